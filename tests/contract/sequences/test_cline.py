"""Cline, whose requests go through the AI SDK and ollama-js.

Source: cline/cline, sdk/packages/llms/src/providers/vendors/ollama.ts,
apps/vscode/src/core/controller/models/getOllamaModels.ts and
patches/ollama-ai-provider-v2@4.0.1.patch; jagreehal/ai-sdk-ollama,
src/utils/convert-to-ollama-messages.ts. The line's schema is ollama-ai-provider-v2's.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, FAILURE, SPOKEN, SUNNY, THOUGHT, TOOL
from contract.strictness import (
    BOOLEAN,
    LIST,
    OBJECT,
    TEXT,
    WHOLE,
    Case,
    Checker,
    absent,
    drop,
    every_rule_of,
    field,
    maybe,
    put,
    rule,
)
from contract.talk import Ask, Said

TAGS = Checker("Cline, list", samples.TAGS, field("models", LIST), field("models/*/name", TEXT))
LINES = Checker(
    "Cline, chat",
    samples.CALLS,
    absent("*/error"),
    field("*/model", TEXT),
    field("*/created_at", TEXT),
    field("*/done", BOOLEAN),
    field("*/message", OBJECT),
    field("*/message/role", TEXT),
    field("*/message/content", TEXT),
    maybe("*/message/thinking", TEXT),
    maybe("*/done_reason", TEXT),
    maybe("*/eval_count", WHOLE),
    maybe("*/prompt_eval_count", WHOLE),
    rule(
        "a list of calls has calls in it, with names and arguments",
        lambda lines: all(
            calls
            and all(TEXT.holds(call["name"]) and OBJECT.holds(call["arguments"]) for call in calls)
            for calls in (functions(line) for line in lines if "tool_calls" in line["message"])
        ),
        put("0/message/tool_calls", []),
        put("0/message/tool_calls/0/function/arguments", '{"city":"Paris"}'),
        drop("0/message/tool_calls/0/function/name"),
    ),
    rule(
        "the last line is done and says why",
        lambda lines: lines[-1]["done"] and lines[-1]["done_reason"],
        drop("-1/done_reason"),
        drop("-1"),
    ),
    rule(
        "something was said: an empty answer is asked for again",
        lambda lines: any(
            each["message"]["content"] or functions(each) or each["message"].get("thinking")
            for each in lines
        ),
        lambda lines: lines[-1:],
    ),
)


def functions(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [call["function"] for call in line["message"].get("tool_calls", ())]


def joined(lines: list[dict[str, Any]], key: str) -> str:
    return "".join(line["message"].get(key, "") for line in lines)


@every_rule_of(TAGS, LINES)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(
        lab.url,
        user_agent="ollama-js/0.6.4 (x64 linux Node.js/v22.0.0)",
        content_type="application/json",
        accept="application/json",
    )


def chat(ask: Ask, *turns: dict[str, Any], **more: Any) -> Said:
    body = {"model": "coder:latest", "messages": list(turns), "options": {"num_ctx": 32768}}
    return ask("POST", "/api/chat", {**body, "think": True, **more, "stream": True})


def test_the_list(ask: Ask) -> None:
    names = [row["name"] for row in TAGS(ask("GET", "/api/tags").json())["models"]]
    assert "coder:latest" in names
    assert len(set(names)) == len(names)


def test_thinking_and_text(ask: Ask) -> None:
    turns = [{"role": "system", "content": "You are Cline."}, {"role": "user", "content": "Hello."}]
    lines = LINES(chat(ask, *turns).lines())
    assert (joined(lines, "thinking"), joined(lines, "content")) == (THOUGHT, SPOKEN)


@pytest.mark.parametrize("ids", [True, False], ids=["provider-v2", "ai-sdk-ollama"])
def test_two_tools_and_their_results(ask: Ask, ids: bool) -> None:
    """Two generations of it: results with the call's id beside the name, and with the name only."""
    question = {"role": "user", "content": ASK_TWO}
    lines = LINES(chat(ask, question, tools=[TOOL]).lines())
    assert [(f["name"], f["arguments"]) for line in lines for f in functions(line)] == CALLS
    sent = [
        {"id": f"tool-{place}", "type": "function", "function": {"name": n, "arguments": a}}
        for place, (n, a) in enumerate(CALLS)
    ]
    results: list[dict[str, Any]] = [
        {"role": "tool", "content": text, "tool_name": "get_weather"} for text in ("sunny", "rainy")
    ]
    if ids:
        results = [each | {"tool_call_id": f"tool-{at}"} for at, each in enumerate(results)][::-1]
    asked = {"role": "assistant", "content": "", "tool_calls": sent}
    lines = LINES(chat(ask, question, asked, *results, tools=[TOOL]).lines())
    assert joined(lines, "content") == SUNNY


@pytest.mark.parametrize("content", ["", "Look."])
def test_a_turn_that_is_only_a_picture(ask: Ask, lab: Lab, content: str) -> None:
    turn = {"role": "user", "content": content, "images": ["iVBORw0KGgo="]}
    LINES(chat(ask, turn).lines())
    parts = lab.upstream.calls[-1].body["messages"][-1]["content"]
    url = "data:image/png;base64,iVBORw0KGgo="
    assert parts[-1] == {"type": "image_url", "image_url": {"url": url}}
    assert len(parts) == 1 + bool(content)


def test_an_unknown_capability_leaves_think_out(ask: Ask) -> None:
    """For a model it knows nothing of it sends no `think`, which must never be refused."""
    body = {"model": "plain:latest", "messages": [{"role": "user", "content": "x"}], "stream": True}
    LINES(ask("POST", "/api/chat", body | {"options": {"num_ctx": 8192}}).lines())


def test_an_error_in_the_stream_is_told(ask: Ask) -> None:
    """As a line of its own, after which nothing comes: its patch shows the sentence."""
    said = chat(ask, {"role": "user", "content": "x"}, model="breaks:latest", think=False)
    assert said.status == 200
    *lines, last = [json.loads(line) for line in said.body.splitlines()]
    assert joined(lines, "content") == "All is well"
    assert FAILURE in last["error"]
