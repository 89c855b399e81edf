"""Spring AI.

Source: spring-projects/spring-ai, models/spring-ai-ollama/src/main/java/org/springframework/ai/ollama/
api/{OllamaApi,OllamaApiHelper}.java and management/OllamaModelManager.java.
"""

from collections.abc import Callable
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, TOOL
from contract.strictness import (
    BOOLEAN,
    COUNT,
    DATE,
    LIST,
    OBJECT,
    TEXT,
    TEXTS,
    WHOLE,
    Case,
    Checker,
    drop,
    every_rule_of,
    field,
    maybe,
    one_of,
    put,
    rule,
)
from contract.talk import Ask, Said

_DURATIONS = tuple(name for name in samples.COUNTERS if name.endswith("duration"))

TAGS = Checker(
    "Spring AI, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", TEXT),
    field("models/*/modified_at", DATE),
    maybe("models/*/size", WHOLE),
    maybe("models/*/details", OBJECT),
)
SHOW = Checker(
    "Spring AI, show",
    samples.SHOW,
    maybe("license", TEXT),
    maybe("parameters", TEXT),
    maybe("model_info", OBJECT),
    maybe("capabilities", TEXTS),
    field("modified_at", DATE),
)
LINES = Checker(
    "Spring AI, chat",
    samples.CALLS,
    field("*/created_at", DATE),
    field("*/message/role", one_of("system", "user", "assistant", "tool")),
    field("*/done", BOOLEAN),
    rule(
        "a done line says why, or there is a null pointer",
        lambda lines: all(TEXT.holds(line["done_reason"]) for line in lines if line["done"]),
        drop("-1/done_reason"),
        put("-1/done_reason", None),
    ),
    rule(
        "a stream with calls ends with stop: only that closes the window it gathers them in",
        lambda lines: closed(windows(lines)[-1]),
        put("-1/done_reason", "tool_calls"),
        put("-1/done", False),
    ),
    rule(
        "arguments are a map",
        lambda lines: all(
            OBJECT.holds(call["function"]["arguments"])
            for line in lines
            for call in line["message"].get("tool_calls", ())
        ),
        put("0/message/tool_calls/0/function/arguments", "{}"),
    ),
    field("-1/prompt_eval_count", COUNT),
    field("-1/eval_count", COUNT),
    *(maybe(f"-1/{name}", WHOLE) for name in _DURATIONS),
)
PULLED = Checker(
    "Spring AI, pull",
    samples.PULL,
    field("*/status", TEXT),
    maybe("1/total", WHOLE),
    maybe("1/completed", WHOLE),
    rule("ends in success", lambda lines: lines[-1]["status"] == "success", drop("-1")),
)
EMBED = Checker(
    "Spring AI, embed",
    samples.EMBED,
    field("embeddings", LIST),
    field("embeddings/*", LIST),
    maybe("total_duration", WHOLE),
    field("prompt_eval_count", COUNT),
)


def windows(lines: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Lines as it gathers them: one by one, but from a call on until the end that is `stop`."""
    found: list[list[dict[str, Any]]] = [[]]
    inside = False
    for line in lines:
        found[-1].append(line)
        inside = inside or bool(line["message"].get("tool_calls"))
        if line["done"] and line["done_reason"] == "stop":
            inside = False
        if not inside:
            found.append([])
    return [window for window in found if window]


def closed(window: list[dict[str, Any]]) -> bool:
    """Whether a window ended by itself and not because the stream did."""
    calls = any(line["message"].get("tool_calls") for line in window)
    return not calls or (window[-1]["done"] and window[-1]["done_reason"] == "stop")


@every_rule_of(TAGS, SHOW, LINES, PULLED, EMBED)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    """Its headers ask for JSON, also where it wants a stream."""
    return talk(lab.url, content_type="application/json", accept="application/json")


def fine(said: Said) -> Said:
    assert said.status == 200, said.body
    return said


def available(ask: Ask, model: str) -> bool:
    """Its look into the list: the name with its tag, and no other spelling."""
    rows = TAGS(fine(ask("GET", "/api/tags")).json())["models"]
    return (model if ":" in model else f"{model}:latest") in [row["name"] for row in rows]


def body(*turns: dict[str, Any], stream: bool, **more: Any) -> dict[str, Any]:
    options = {"temperature": 0.7, "num_ctx": 4096, "top_k": 40, "mirostat": 0, "stop": ["###"]}
    return {
        "model": "coder",
        "messages": list(turns),
        "stream": stream,
        "keep_alive": "5m",
        "tools": [],
        "options": options,
        **more,
    }


@pytest.mark.parametrize("model", ["coder", "vendor/large", "embedder:latest"])
def test_starting_with_a_model_pulled_when_missing(ask: Ask, model: str) -> None:
    """`when_missing` looks first, `always` pulls at once; then the model must be there."""
    assert available(ask, model)
    pull = {"model": model, "insecure": False, "stream": True}
    assert PULLED(fine(ask("POST", "/api/pull", pull)).lines())
    assert available(ask, model)
    SHOW(fine(ask("POST", "/api/show", {"model": model})).json())


def test_a_talk(ask: Ask) -> None:
    turn = {"role": "user", "content": "Hello.", "images": ["iVBORw0KGgo="]}
    said = fine(ask("POST", "/api/chat", body(turn, stream=True)))
    assert said.kind == "application/x-ndjson"
    lines = LINES(said.lines())
    assert len(windows(lines)) == len(lines)
    assert "".join(line["message"]["content"] for line in lines) == SPOKEN
    whole = LINES([fine(ask("POST", "/api/chat", body(turn, stream=False))).json()])[0]
    assert whole["message"]["content"] == SPOKEN


@pytest.mark.parametrize("stream", [True, False])
def test_two_tools_and_their_results(ask: Ask, stream: bool) -> None:
    question = {"role": "user", "content": ASK_TWO}
    said = fine(ask("POST", "/api/chat", body(question, stream=stream, tools=[TOOL])))
    lines = LINES(said.lines() if stream else [said.json()])
    calls = [
        call["function"]
        for line in windows(lines)[-1]
        for call in line["message"].get("tool_calls", ())
    ]
    assert [(call["name"], call["arguments"]) for call in calls] == CALLS
    turns = [
        question,
        {"role": "assistant", "content": "", "tool_calls": [{"function": call} for call in calls]},
        {"role": "tool", "content": "sunny"},
        {"role": "tool", "content": "rainy"},
    ]
    said = fine(ask("POST", "/api/chat", body(*turns, stream=False, tools=[TOOL])))
    assert LINES([said.json()])[0]["message"]["content"] == SUNNY


def test_vectors(ask: Ask) -> None:
    asked = {"model": "embedder", "input": ["a", "b"], "options": {}, "truncate": True}
    assert len(EMBED(fine(ask("POST", "/api/embed", asked)).json())["embeddings"]) == 2


def test_copy_and_delete(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url, content_type="application/json", accept="application/json")
    fine(ask("POST", "/api/copy", {"source": "coder", "destination": "mine"}))
    assert available(ask, "mine")
    fine(ask("DELETE", "/api/delete", {"model": "mine"}))
    assert not available(ask, "mine")
