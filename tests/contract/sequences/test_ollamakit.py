"""OllamaKit, and the Swift apps on it: Ollamac, Enchanted.

Source: kevinhermawan/OllamaKit, Sources/OllamaKit/{Responses,RequestData}/*, Utils/OKHTTPClient.swift
(how a stream is cut) and Extensions/JSONDecoder+Default.swift (the date);
gluonfield/enchanted, Enchanted/Services/OllamaService.swift.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, TOOL, VECTOR
from contract.strictness import (
    BOOLEAN,
    LIST,
    OBJECT,
    TEXT,
    TEXTS_OR_NULL,
    WHOLE,
    Case,
    Checker,
    Kind,
    every_rule_of,
    field,
    maybe,
    put,
    rule,
)
from contract.talk import Ask, Said

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)")
DATE = Kind(
    "a date with a fraction and a zone: its formatter has one pattern",
    lambda value: isinstance(value, str) and _DATE.fullmatch(value) is not None,
    ("", None, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.6"),
)
_COUNTERS = tuple(samples.COUNTERS)

TAGS = Checker(
    "OllamaKit, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", TEXT),
    field("models/*/digest", TEXT),
    field("models/*/size", WHOLE),
    field("models/*/modified_at", DATE),
    field("models/*/details", OBJECT),
    field("models/*/details/format", TEXT),
    field("models/*/details/family", TEXT),
    field("models/*/details/parameter_size", TEXT),
    field("models/*/details/quantization_level", TEXT),
    maybe("models/*/details/families", TEXTS_OR_NULL),
)
SHOW = Checker(
    "OllamaKit, show",
    samples.SHOW,
    *(field(name, TEXT) for name in ("license", "modelfile", "parameters", "template")),
)
LINES = Checker(
    "OllamaKit, chat",
    samples.CALLS,
    field("*/model", TEXT),
    field("*/created_at", DATE),
    field("*/done", BOOLEAN),
    field("*/message", OBJECT),
    rule(
        "the role is one of three",
        lambda lines: all(
            line["message"]["role"] in {"system", "assistant", "user"} for line in lines
        ),
        put("0/message/role", "tool"),
        put("0/message/role", None),
    ),
    field("*/message/content", TEXT),
    maybe("*/done_reason", TEXT),
    *(maybe(f"*/{name}", WHOLE) for name in _COUNTERS),
)
GENERATED = Checker(
    "OllamaKit, generate",
    samples.GENERATE,
    field("*/model", TEXT),
    field("*/created_at", DATE),
    field("*/response", TEXT),
    field("*/done", BOOLEAN),
)
PULLED = Checker(
    "OllamaKit, pull",
    samples.PULL,
    field("*/status", TEXT),
    maybe("1/digest", TEXT),
    maybe("1/total", WHOLE),
    maybe("1/completed", WHOLE),
)


def cut(stream: bytes) -> Iterator[Any]:
    """Objects by their braces, as it does: line ends mean nothing to it."""
    depth, start, inside, escaped = 0, 0, False, False
    for at, byte in enumerate(stream):
        letter = chr(byte)
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            inside = not inside
        elif not inside and letter in "{}":
            start = at if letter == "{" and depth == 0 else start
            depth += 1 if letter == "{" else -1
            if depth == 0:
                yield json.loads(stream[start : at + 1])


@every_rule_of(TAGS, SHOW, LINES, GENERATED, PULLED)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


def test_braces_in_texts_do_not_cut() -> None:
    lines = [{"a": "}{"}, {"b": '\\"}'}, {"c": {"d": "{"}}]
    assert list(cut("\n".join(map(json.dumps, lines)).encode())) == lines
    assert list(cut(b'{"a":1')) == []


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, content_type="application/json", user_agent="Ollamac/1 CFNetwork/1.0")


def fine(said: Said) -> Said:
    assert 200 <= said.status < 300, said.body
    return said


def test_reachable_list_show(ask: Ask) -> None:
    fine(ask("HEAD", "/"))
    rows = TAGS(fine(ask("GET", "/api/tags")).json())["models"]
    for row in rows:
        SHOW(fine(ask("POST", "/api/show", {"name": row["name"]})).json())
    seeing = {
        row["name"] for row in rows if {"clip", "mllama"} & set(row["details"]["families"] or ())
    }
    assert seeing == {"coder:latest", "poet:latest"}, "where Enchanted offers to send a picture"


def test_a_talk(ask: Ask) -> None:
    fine(ask("HEAD", "/"))
    body = {
        "stream": True,
        "model": "coder:latest",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Good day."},
        ],
        "options": {"temperature": 0.8, "top_k": 40, "num_ctx": 2048, "mirostat": 0, "tfs_z": 1},
    }
    lines = LINES(list(cut(fine(ask("POST", "/api/chat", body)).body)))
    assert "".join(line["message"]["content"] for line in lines) == SPOKEN
    assert lines[-1]["done"] is True


def test_tools(ask: Ask) -> None:
    body = {
        "stream": False,
        "model": "coder:latest",
        "messages": [{"role": "user", "content": ASK_TWO}],
        "tools": [TOOL],
    }
    (reply,) = LINES(list(cut(fine(ask("POST", "/api/chat", body)).body)))
    functions = [call["function"] for call in reply["message"]["tool_calls"]]
    assert [(function["name"], function["arguments"]) for function in functions] == CALLS


def test_generate_and_embeddings(ask: Ask) -> None:
    body = {"stream": True, "model": "plain:latest", "prompt": "Good day."}
    lines = GENERATED(list(cut(fine(ask("POST", "/api/generate", body)).body)))
    assert "".join(line["response"] for line in lines) == SPOKEN
    body = {"model": "embedder:latest", "prompt": "Good day.", "keep_alive": "5m"}
    assert fine(ask("POST", "/api/embeddings", body)).json() == {"embedding": VECTOR}


def test_pull_copy_delete(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url, content_type="application/json")
    pulled = fine(ask("POST", "/api/pull", {"model": "plain", "stream": True}))
    assert PULLED(list(cut(pulled.body)))[-1]["status"] == "success"
    fine(ask("POST", "/api/copy", {"source": "plain", "destination": "twin"}))
    assert "twin:latest" in [row["name"] for row in ask("GET", "/api/tags").json()["models"]]
    fine(ask("DELETE", "/api/delete", {"name": "twin"}))
    assert "twin:latest" not in [row["name"] for row in ask("GET", "/api/tags").json()["models"]]
