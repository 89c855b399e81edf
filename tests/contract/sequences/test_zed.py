"""Zed: its agent panel and its edit predictions.

Source: zed-industries/zed, crates/ollama/src/ollama.rs (the serde types) and
crates/language_models/src/provider/ollama.rs (what becomes of a line). Tool calls carry an `id` in
the newest generation; the older one took none.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, THOUGHT, TOOL
from contract.strictness import (
    BOOLEAN,
    LIST,
    OBJECT,
    TEXT,
    TEXTS,
    TEXTS_OR_NULL,
    UNSIGNED,
    Case,
    Checker,
    every_rule_of,
    field,
    maybe,
    one_of,
    put,
    rule,
)
from contract.talk import Ask, Said

AT_ONCE = 5
HIDDEN = "-embed"

TAGS = Checker(
    "Zed, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", TEXT),
    field("models/*/modified_at", TEXT),
    field("models/*/size", UNSIGNED),
    field("models/*/digest", TEXT),
    field("models/*/details", OBJECT),
    field("models/*/details/format", TEXT),
    field("models/*/details/family", TEXT),
    maybe("models/*/details/families", TEXTS_OR_NULL),
    field("models/*/details/parameter_size", TEXT),
    field("models/*/details/quantization_level", TEXT),
)
SHOW = Checker("Zed, show", samples.SHOW, maybe("capabilities", TEXTS))
LINES = Checker(
    "Zed, chat",
    samples.CALLS,
    field("*/model", TEXT),
    field("*/created_at", TEXT),
    field("*/message", OBJECT),
    field("*/message/role", one_of("assistant", "user", "system", "tool")),
    field("*/message/content", TEXT),
    maybe("*/message/thinking", TEXT),
    maybe("*/message/images", TEXTS_OR_NULL),
    maybe("*/message/tool_calls", LIST),
    rule(
        "every call has an id, a name and arguments",
        lambda lines: all(
            isinstance(call["id"], str)
            and isinstance(call["function"]["name"], str)
            and isinstance(call["function"]["arguments"], dict)
            for line in lines
            for call in line["message"].get("tool_calls", ())
        ),
        put("0/message/tool_calls/0/id", None),
        put("0/message/tool_calls/0/function/name", None),
        put("0/message/tool_calls/0/function/arguments", '{"city":"Paris"}'),
    ),
    rule(
        "one call to a line: it reads only the first",
        lambda lines: all(len(line["message"].get("tool_calls", ())) < 2 for line in lines),
        put("0/message/tool_calls", [samples.called(0, "Paris"), samples.called(1, "Rome")]),
    ),
    rule(
        "no text beside a call: it is dropped",
        lambda lines: (
            not any(
                line["message"]["content"] and line["message"].get("tool_calls") for line in lines
            )
        ),
        put("0/message/content", "I will look."),
    ),
    field("*/done", BOOLEAN),
    maybe("*/done_reason", TEXT),
    maybe("*/prompt_eval_count", UNSIGNED),
    maybe("*/eval_count", UNSIGNED),
    rule("the last line is done", lambda lines: lines[-1]["done"], put("-1/done", False)),
)
PREDICTION = Checker("Zed, edit prediction", samples.GENERATE[0], field("response", TEXT))


def events(lines: list[dict[str, Any]]) -> tuple[str, str, list[Any]]:
    """Text, thinking and calls, as the panel gets them."""
    messages = [line["message"] for line in LINES(lines)]
    calls = [
        message["tool_calls"][0]["function"] for message in messages if "tool_calls" in message
    ]
    text = "".join(message["content"] for message in messages if "tool_calls" not in message)
    thinking = "".join(message.get("thinking", "") for message in messages)
    return text, thinking, [(call["name"], call["arguments"]) for call in calls]


@every_rule_of(TAGS, SHOW, LINES, PREDICTION)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="Zed/0.230.0 (linux; x86_64)", content_type="application/json")


def test_the_list_and_five_shows_at_a_time(ask: Ask) -> None:
    """One reply it cannot read, and there are no models at all."""
    tags = ask("GET", "/api/tags", accept="application/json")
    names = [model["name"] for model in TAGS(fine(tags).json())["models"]]
    names = [name for name in names if HIDDEN not in name]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        replies = list(pool.map(lambda name: ask("POST", "/api/show", {"model": name}), names))
    shown = {n: SHOW(fine(said).json()) for n, said in zip(names, replies, strict=True)}
    able = {name for name, reply in shown.items() if "tools" in reply["capabilities"]}
    assert able == {"coder:latest", "poet:latest", "vendor/large:latest"}


def body(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat as it is serialised: every field is there, `None` as null."""
    return {
        "model": "coder:latest",
        "messages": [{"role": "system", "content": "You are a coding agent."}, *turns],
        "stream": True,
        "keep_alive": -1,
        "options": {
            "num_ctx": 16384,
            "num_predict": None,
            "stop": [],
            "temperature": 1.0,
            "top_p": None,
        },
        "tools": [],
        "think": True,
        **more,
    }


def test_a_talk(ask: Ask) -> None:
    """With an earlier answer, whose list of calls is empty and whose thinking is null."""
    turns = [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello.", "tool_calls": [], "thinking": None},
        {"role": "user", "content": "Again."},
        {"role": "user", "content": "In French."},
    ]
    said = fine(ask("POST", "/api/chat", body(*turns)))
    assert events(said.lines()) == (SPOKEN, THOUGHT, [])


def test_two_tools_and_their_results(ask: Ask) -> None:
    question = {"role": "user", "content": ASK_TWO}
    tools = [{"type": "function", "function": TOOL["function"]}]
    text, _, calls = events(fine(ask("POST", "/api/chat", body(question, tools=tools))).lines())
    assert (text, calls) == ("", CALLS)
    turns = [
        question,
        {
            "role": "assistant",
            "content": text,
            "tool_calls": [{"function": {"name": n, "arguments": a}} for n, a in calls],
            "thinking": THOUGHT,
        },
        {"role": "tool", "tool_name": "get_weather", "content": "sunny"},
        {"role": "tool", "tool_name": "get_weather", "content": "rainy"},
    ]
    text, _, _ = events(fine(ask("POST", "/api/chat", body(*turns, tools=tools))).lines())
    assert text == SUNNY


def test_an_edit_prediction(ask: Ask) -> None:
    prompt = "<|fim_prefix|>def add(<|fim_suffix|>\n<|fim_middle|>"
    asked = {
        "model": "coder:latest",
        "prompt": prompt,
        "raw": True,
        "stream": False,
        "keep_alive": -1,
    }
    asked["options"] = {"num_predict": 64, "temperature": 0.2, "stop": ["<|endoftext|>"]}
    assert PREDICTION(fine(ask("POST", "/api/generate", asked)).json())["response"]


def test_an_error_is_shown_as_it_comes(ask: Ask) -> None:
    """Its status and its whole body, so the body has to be readable."""
    said = ask("POST", "/api/chat", body({"role": "user", "content": "x"}, model="nope"))
    assert (said.status, said.body) == (404, b'{"error":"model \'nope\' not found"}')


def fine(said: Said) -> Said:
    assert 200 <= said.status < 300, said.body
    return said
