"""VS Code's Copilot Chat with models of one's own.

Source: microsoft/vscode-copilot-chat, src/extension/byok/vscode-node/ollamaProvider.ts and
src/extension/byok/node/openAIEndpoint.ts.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, MODELS, SUNNY, TOOL
from contract.strictness import (
    COUNT,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    Case,
    Checker,
    drop,
    every_rule_of,
    field,
    put,
    rule,
)
from contract.talk import Ask

OLDEST = (0, 6, 4)
DEVELOPMENT = (0, 0, 0)
KEPT_FOR_OUTPUT = 4096


def newest(version: str) -> bool:
    """Its comparison: number by number, and a development build is let through."""
    numbers = tuple(int(part) for part in version.split("."))
    return numbers >= OLDEST or numbers == DEVELOPMENT


VERSION = Checker(
    "Copilot, version",
    samples.VERSION,
    field("version", TEXT),
    rule("at least 0.6.4", lambda reply: newest(reply["version"]), put("version", "0.6.3")),
)
TAGS = Checker("Copilot, list", samples.TAGS, field("models", LIST), field("models/*/model", TEXT))
SHOW = Checker(
    "Copilot, show",
    samples.SHOW,
    field("model_info", OBJECT),
    field("model_info/general.architecture", TEXT),
    field("model_info/general.basename", TEXT),
    field("capabilities", TEXTS),
    rule(
        "the window stands under the architecture's name",
        lambda reply: NUMBER.holds(window(reply)),
        put("model_info/general.architecture", "other"),
        put("model_info/llama.context_length", "131072"),
        drop("model_info/llama.context_length"),
    ),
    rule(
        "more room than what is kept for the answer",
        lambda reply: window(reply) > KEPT_FOR_OUTPUT,
        put("model_info/llama.context_length", 4096),
    ),
)


def window(shown: dict[str, Any]) -> Any:
    info = shown["model_info"]
    return info[f"{info['general.architecture']}.context_length"]


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _piece(index: int, text: str, **head: str) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": text}
    if head:
        function["name"] = "get_weather"
    return {"tool_calls": [{"index": index, **head, "function": function}]}


STREAM = Checker(
    "Copilot, chat",
    [
        _chunk({"role": "assistant", "content": ""}),
        _chunk(_piece(0, "{}", id="call_0", type="function")),
        _chunk({}, "tool_calls"),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ],
    rule(
        "every event has a list of choices",
        lambda events: all(LIST.holds(event["choices"]) for event in events),
        drop("0/choices"),
        put("0/choices", None),
    ),
    rule(
        "every choice has a delta",
        lambda events: all(OBJECT.holds(choice["delta"]) for choice in choices(events)),
        drop("0/choices/0/delta"),
    ),
    rule(
        "a call has its id, name and index where it begins",
        lambda events: all(call["id"] and call["name"] for call in gathered(events)),
        drop("1/choices/0/delta/tool_calls/0/id"),
        drop("1/choices/0/delta/tool_calls/0/function/name"),
        drop("1/choices/0/delta/tool_calls/0/index"),
    ),
    rule(
        "the arguments are text that is JSON in the end",
        lambda events: all(OBJECT.holds(json.loads(call["text"])) for call in gathered(events)),
        put("1/choices/0/delta/tool_calls/0/function/arguments", '{"city"'),
        put("1/choices/0/delta/tool_calls/0/function/arguments", {}),
    ),
    rule(
        "one choice says why it ended",
        lambda events: any(choice.get("finish_reason") for choice in choices(events)),
        put("2/choices/0/finish_reason", None),
    ),
    field("-1/usage/prompt_tokens", COUNT),
    field("-1/usage/completion_tokens", COUNT),
)


def choices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice for event in events for choice in event["choices"]]


def gathered(events: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The calls as it puts them together: by index."""
    calls: dict[int, dict[str, str]] = {}
    for choice in choices(events):
        for piece in choice["delta"].get("tool_calls", ()):
            call = calls.setdefault(piece["index"], {"id": "", "name": "", "text": ""})
            call["id"] += piece.get("id") or ""
            call["name"] += piece["function"].get("name") or ""
            call["text"] += piece["function"].get("arguments") or ""
    return list(calls.values())


@every_rule_of(VERSION, TAGS, SHOW, STREAM)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="GitHubCopilotChat/0.31.0", content_type="application/json")


def test_every_model_is_found_one_after_another(ask: Ask) -> None:
    VERSION(ask("GET", "/api/version").json())
    names = [model["model"] for model in TAGS(ask("GET", "/api/tags").json())["models"]]
    shown = {name: SHOW(ask("POST", "/api/show", {"model": name}).json()) for name in names}
    assert len(shown) == len(MODELS) + 1, "the provider's models and one of the user's own"
    assert {name: reply["model_info"]["general.basename"] for name, reply in shown.items()} == {
        name: name for name in names
    }, "it shows the basename, and names that look alike cannot be told apart"
    assert window(shown["coder:latest"]) == 131072
    assert {"tools", "vision"} <= set(shown["coder:latest"]["capabilities"])
    assert shown["plain:latest"]["capabilities"] == ["completion"]


def test_two_tools_and_their_results(ask: Ask) -> None:
    """Its agent mode; the key is empty, and the parameters of some tools are too."""
    bare = {"type": "function", "function": {"name": "bare", "description": "", "parameters": {}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are an AI programming assistant."},
        {"role": "user", "content": ASK_TWO},
    ]
    body = {
        "model": "coder:latest",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.1,
        "top_p": 1,
        "n": 1,
        "tools": [TOOL],
    }
    calls = gathered(STREAM(chunks(ask, body)))
    assert [(call["name"], json.loads(call["text"])) for call in calls] == CALLS
    assert len({call["id"] for call in calls}) == 2
    messages.append(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["text"]},
                }
                for call in calls
            ],
        }
    )
    for call, result in zip(calls, ("sunny", "rainy"), strict=True):
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    answer = STREAM(chunks(ask, body | {"tools": [TOOL, bare]}))
    deltas = [choice["delta"] for choice in choices(answer)]
    assert "".join(delta.get("content") or "" for delta in deltas) == SUNNY


def test_a_picture(ask: Ask, lab: Lab) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    body = {"model": "coder:latest", "messages": [{"role": "user", "content": parts}]}
    STREAM(chunks(ask, body | {"stream": True, "stream_options": {"include_usage": True}}))
    assert lab.upstream.calls[-1].body["messages"][0]["content"] == parts


def chunks(ask: Ask, body: dict[str, Any]) -> list[dict[str, Any]]:
    said = ask("POST", "/v1/chat/completions", body, authorization="Bearer")
    assert (said.status, said.kind) == (200, "text/event-stream"), said.body
    *events, end = said.events()
    assert end == "[DONE]"
    return [json.loads(event) for event in events]
