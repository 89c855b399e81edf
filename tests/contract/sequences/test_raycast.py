"""Raycast's Ollama extension.

Source: MassimilianoPasquini97/raycast_ollama, src/lib/ollama/{ollama,types}.ts: what passes its type
guards is used, what does not is dropped without a word.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import SPOKEN, THOUGHT, VECTOR
from contract.strictness import (
    BOOLEAN,
    COUNT,
    DATE,
    FILLED,
    LIST,
    OBJECT,
    TEXT,
    TEXTS,
    UNSIGNED,
    Case,
    Checker,
    absent,
    drop,
    every_rule_of,
    field,
    one_of,
    put,
    rule,
)
from contract.talk import Ask, Said

PATIENCE = 1.8
"""Seconds it gives the version and the list."""

OLDEST = (0, 1, 14)

VERSION = Checker(
    "Raycast, version",
    samples.VERSION,
    rule(
        "at least 0.1.14",
        lambda reply: tuple(map(int, reply["version"].split("."))) >= OLDEST,
        put("version", "0.1.13"),
        drop("version"),
    ),
)
TAGS = Checker(
    "Raycast, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", FILLED),
    field("models/*/details", OBJECT),
    field("models/*/details/family", TEXT),
    field("models/*/details/parameter_size", TEXT),
    field("models/*/details/quantization_level", TEXT),
    field("models/*/modified_at", DATE),
    field("models/*/size", UNSIGNED),
)
SHOW = Checker(
    "Raycast, show",
    samples.SHOW,
    field("capabilities", TEXTS),
    field("modelfile", TEXT),
    field("parameters", TEXT),
    field("template", TEXT),
)
PS = Checker(
    "Raycast, running",
    samples.PS,
    field("models", LIST),
    field("models/*/name", TEXT),
    field("models/*/expires_at", DATE),
    field("models/*/context_length", COUNT),
    field("models/*/size_vram", UNSIGNED),
)
LINES = Checker(
    "Raycast, chat",
    samples.CHAT,
    absent("*/error"),
    field("*/model", TEXT),
    field("*/created_at", TEXT),
    field("*/done", BOOLEAN),
    field("*/message", OBJECT),
    field("*/message/role", one_of("system", "user", "assistant", "tool")),
    field("*/message/content", TEXT),
    rule(
        "no text in the last line: it reads only the counters there",
        lambda lines: lines[-1]["done"] and not lines[-1]["message"]["content"],
        put("-1/message/content", "!"),
    ),
)
PULLED = Checker(
    "Raycast, pull",
    samples.PULL,
    absent("*/error"),
    field("*/status", TEXT),
    rule("ends in success", lambda lines: lines[-1]["status"] == "success", drop("-1")),
)


@every_rule_of(VERSION, TAGS, SHOW, PS, LINES, PULLED)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="node-fetch", accept="*/*")


def in_time(ask: Ask, path: str) -> Said:
    begun = time.monotonic()
    said = ask("GET", path)
    assert time.monotonic() - begun < PATIENCE
    return said


def test_version_list_and_show(ask: Ask) -> None:
    VERSION(in_time(ask, "/api/version").json())
    rows = TAGS(in_time(ask, "/api/tags").json())["models"]
    able: dict[str, set[str]] = {}
    for row in rows:
        said = ask("POST", "/api/show", {"name": row["name"]}, content_type="application/json")
        for ability in SHOW(said.json())["capabilities"]:
            able.setdefault(ability, set()).add(row["name"])
    assert able["vision"] == able["thinking"] == {"coder:latest", "poet:latest"}
    assert able["embedding"] == {"embedder:latest"}
    assert "embedder:latest" not in able["completion"]


def test_a_talk_and_what_runs_then(ask: Ask) -> None:
    body = {
        "model": "coder:latest",
        "messages": [{"role": "user", "content": "Good day."}],
        "options": {"num_ctx": 4096, "temperature": 0.8},
        "stream": True,
        "keep_alive": "5m",
    }
    lines = LINES(ask("POST", "/api/chat", body, content_type="application/json").lines())
    said = [line["message"] for line in lines if not line["done"]]
    assert "".join(message["content"] for message in said) == SPOKEN
    assert "".join(message.get("thinking", "") for message in said) == THOUGHT
    assert "coder:latest" in [row["name"] for row in PS(ask("GET", "/api/ps").json())["models"]]


@pytest.mark.parametrize("think", [False, True, "low", "high"])
def test_a_command_on_some_text(ask: Ask, think: Any) -> None:
    """Its commands are one prompt each, and with a level of thinking."""
    body = {"model": "coder:latest", "prompt": "Fix: helo", "system": "", "stream": True}
    lines = ask("POST", "/api/generate", {**body, "images": [], "think": think}).lines()
    assert all(TEXT.holds(line["response"]) for line in lines)
    assert "".join(line["response"] for line in lines) == SPOKEN
    assert any("thinking" in line for line in lines) == (think is not False)


def test_a_vector(ask: Ask) -> None:
    body = {"model": "embedder:latest", "prompt": "Good day."}
    assert ask("POST", "/api/embeddings", body).json() == {"embedding": VECTOR}


def test_pull_and_delete(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url)
    PULLED(ask("POST", "/api/pull", {"name": "plain"}).lines())
    last = ask("POST", "/api/pull", {"name": "nope"}).lines()[-1]
    assert last == {"error": "pull model manifest: file does not exist"}
    assert ask("DELETE", "/api/delete", {"name": "poet:latest"}).status == 200
    assert ask("POST", "/api/show", {"name": "poet:latest"}).status == 404
