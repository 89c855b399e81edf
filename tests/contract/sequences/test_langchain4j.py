"""LangChain4j.

Source: langchain4j/langchain4j, langchain4j-ollama/src/main/java/dev/langchain4j/model/ollama/
{OllamaClient,OllamaStreamingResponseBuilder,InternalOllamaHelper,OllamaServerSentEventParser,
OllamaDateDeserializer}.java, and langchain4j-core's ToolCallBuilder, which gathers by index.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, THOUGHT, TOOL
from contract.strictness import (
    BOOLEAN,
    COUNT,
    LIST,
    OBJECT,
    TEXT,
    WHOLE,
    Case,
    Checker,
    Kind,
    drop,
    every_rule_of,
    field,
    maybe,
    one_of,
    put,
    rule,
)
from contract.talk import Ask, Said

_OFFSET = re.compile(r"(.*T\d\d:\d\d:\d\d)\.?(Z|[+-]\d\d:\d\d)")


def date(text: str) -> datetime:
    """Its way with a date: the digits of the fraction are taken away, wherever they stand."""
    if "." in text:
        fraction = re.split(r"[+Z-]", text.split(".")[1])[0]
        text = text.replace(fraction, "") if fraction else text
    found = _OFFSET.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return datetime.fromisoformat(found[1] + found[2])


def _is_date(value: Any) -> bool:
    try:
        return bool(date(value))
    except (ValueError, TypeError):
        return False


DATE = Kind(
    "a date with an offset, and a fraction that stands nowhere else in it",
    _is_date,
    ("", None, "2026-01-02T03:04:05", "2026-01-02T03:04:05.2Z"),
)

TAGS = Checker(
    "LangChain4j, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", TEXT),
    maybe("models/*/size", WHOLE),
    field("models/*/modified_at", DATE),
    maybe("models/*/details", OBJECT),
)
PS = Checker(
    "LangChain4j, running",
    samples.PS,
    field("models", LIST),
    field("models/*/expires_at", DATE),
    maybe("models/*/size_vram", WHOLE),
)
SHOW = Checker(
    "LangChain4j, show",
    samples.SHOW,
    *(maybe(name, TEXT) for name in ("license", "modelfile", "parameters", "template")),
    field("modified_at", DATE),
    maybe("details", OBJECT),
    maybe("capabilities", LIST),
)
LINES = Checker(
    "LangChain4j, chat",
    samples.CALLS,
    field("*/message", OBJECT),
    maybe("*/message/content", TEXT),
    maybe("*/message/thinking", TEXT),
    field("*/done", BOOLEAN),
    rule(
        "calls stay apart when they are put together by function.index, 0 where there is none",
        lambda lines: all(OBJECT.holds(json.loads(text)) for _, text in merged(lines)),
        drop("1/message/tool_calls/0/function/index"),
        put("1/message/tool_calls/0/function/index", 0),
    ),
    rule(
        "the last line is done, and for a reason that it knows",
        lambda lines: lines[-1]["done"] and lines[-1]["done_reason"] in {"stop", "length"},
        put("-1/done_reason", "tool_calls"),
        drop("-1/done_reason"),
    ),
    field("-1/prompt_eval_count", COUNT),
    field("-1/eval_count", COUNT),
)
ANSWER = Checker(
    "LangChain4j, whole answer",
    samples.WHOLE_CALLS,
    field("model", TEXT),
    field("message", OBJECT),
    field("message/role", one_of("assistant")),
    field("done_reason", one_of("stop", "length")),
    field("prompt_eval_count", COUNT),
    field("eval_count", COUNT),
)
EMBED = Checker("LangChain4j, embed", samples.EMBED, field("embeddings", LIST))


def merged(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names and argument texts by index; texts under one index are joined."""
    calls: dict[int, tuple[str, str]] = {}
    for line in lines:
        for call in line["message"].get("tool_calls", ()):
            function = call["function"]
            index = function.get("index", 0)
            _, text = calls.get(index, ("", ""))
            calls[index] = (function["name"], text + json.dumps(function["arguments"]))
    return list(calls.values())


@every_rule_of(TAGS, PS, SHOW, LINES, ANSWER, EMBED)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="Java-http-client/21.0.1")


def post(ask: Ask, path: str, body: Any, method: str = "POST") -> Said:
    """It writes its JSON with indents, and names no content type with a stream."""
    headers = {} if body.get("stream") else {"content_type": "application/json"}
    said = ask(method, path, json.dumps(body, indent=2).encode(), **headers)
    assert said.status == 200, said.body
    return said


def body(*turns: dict[str, Any], stream: bool = True, **more: Any) -> dict[str, Any]:
    options = {
        "temperature": 0.7,
        "top_k": 40,
        "num_predict": 256,
        "num_ctx": 4096,
        "stop": ["###"],
    }
    return {
        "model": "coder",
        "messages": list(turns),
        "options": options,
        "stream": stream,
        "tools": [],
        **more,
    }


def test_models(ask: Ask) -> None:
    rows = TAGS(ask("GET", "/api/tags", content_type="application/json").json())["models"]
    for row in rows:
        SHOW(post(ask, "/api/show", {"model": row["name"]}).json())
    post(ask, "/api/chat", body({"role": "user", "content": "hi"}))
    running = PS(ask("GET", "/api/ps", content_type="application/json").json())["models"]
    assert date(running[0]["expires_at"]) > date(rows[0]["modified_at"])


def test_a_talk(ask: Ask) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello."}]
    said = post(ask, "/api/chat", body(*turns, think=True, keep_alive=300))
    assert b"\n\n" not in said.body
    lines = LINES(said.lines())
    assert "".join(line["message"].get("content", "") for line in lines) == SPOKEN
    assert "".join(line["message"].get("thinking", "") for line in lines) == THOUGHT
    whole = ANSWER(post(ask, "/api/chat", body(*turns, stream=False)).json())
    assert whole["message"]["content"] == SPOKEN


@pytest.mark.parametrize("stream", [True, False])
def test_two_tools_and_their_results(ask: Ask, stream: bool) -> None:
    question = {"role": "user", "content": ASK_TWO}
    parameters = TOOL["function"]["parameters"]
    tool = {"type": "function", "function": {**TOOL["function"], "parameters": parameters}}
    said = post(ask, "/api/chat", body(question, tools=[tool], stream=stream))
    calls = merged(LINES(said.lines()) if stream else [ANSWER(said.json())])
    assert [(name, json.loads(text)) for name, text in calls] == CALLS
    made = [{"function": {"name": name, "arguments": json.loads(text)}} for name, text in calls]
    turns = [
        question,
        {"role": "assistant", "tool_calls": made},
        {"role": "tool", "content": "sunny"},
        {"role": "tool", "content": "rainy"},
    ]
    whole = ANSWER(post(ask, "/api/chat", body(*turns, tools=[tool], stream=False)).json())
    assert whole["message"]["content"] == SUNNY


def test_an_answer_in_a_form(ask: Ask) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    turn = {"role": "user", "content": "Which city?"}
    for form in ("json", schema):
        whole = ANSWER(post(ask, "/api/chat", body(turn, stream=False, format=form)).json())
        assert json.loads(whole["message"]["content"]) == {"city": "Paris"}


def test_vectors_and_deleting(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url)
    reply = EMBED(post(ask, "/api/embed", {"model": "embedder", "input": ["a", "b"]}).json())
    assert len(reply["embeddings"]) == 2
    assert post(ask, "/api/delete", {"model": "poet"}, "DELETE").body == b""
    assert "poet:latest" not in [row["name"] for row in ask("GET", "/api/tags").json()["models"]]
