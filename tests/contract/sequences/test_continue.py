"""Continue: chat, completion in the editor, its index.

Source: continuedev/continue, core/llm/llms/Ollama.ts.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, TOOL
from contract.strictness import (
    LIST,
    TEXT,
    Case,
    Checker,
    absent,
    every_rule_of,
    field,
    put,
    rule,
)
from contract.talk import Ask, Said

_PARAMETER = re.compile(r'(\S+)\s+((?:".*")|\S+)')
_FRIENDLY = re.compile(r"model '([^']+)' not found")

SHOW = Checker(
    "Continue, show",
    samples.SHOW,
    field("template", TEXT),
    rule(
        "every line of the parameters is a key and a value, or it reads nothing of the reply",
        lambda shown: all(_PARAMETER.fullmatch(line) for line in parameter_lines(shown)),
        put("parameters", "num_ctx"),
        put("parameters", "stop                           a b"),
        put("parameters", {"num_ctx": 8192}),
    ),
    rule(
        "a stop is JSON text, the window a number",
        lambda shown: (
            TEXT.holds(json.loads(setting(shown, "stop"))) and int(setting(shown, "num_ctx"))
        ),
        put("parameters", "stop                           END\nnum_ctx 1"),
        put("parameters", 'stop                           "END"\nnum_ctx "8k"'),
    ),
)
LINES = Checker(
    "Continue, chat",
    samples.CALLS,
    absent("*/error"),
    absent("*/type"),
    rule(
        "the role is not tool",
        lambda lines: all(line["message"]["role"] != "tool" for line in lines),
        put("0/message/role", "tool"),
    ),
    field("*/message/content", TEXT),
    rule(
        "a call has a name and arguments that it can write as text",
        lambda lines: all(
            TEXT.holds(call["function"]["name"]) and isinstance(call["function"]["arguments"], dict)
            for line in lines
            for call in line["message"].get("tool_calls", ())
        ),
        put("0/message/tool_calls/0/function/name", None),
        put("0/message/tool_calls/0/function/arguments", "{}"),
    ),
)
PIECES = Checker(
    "Continue, completion", samples.GENERATE, absent("*/error"), field("*/response", TEXT)
)
TAGS = Checker("Continue, list", samples.TAGS, field("models", LIST), field("models/*/name", TEXT))
STREAM = Checker(
    "Continue, stream",
    b'{"a":1}\n{"b":2}\n',
    rule(
        "every line has its end, also the last: what follows the last end is never read",
        lambda raw: raw.endswith(b"\n"),
        lambda raw: raw[:-1],
    ),
)


def parameter_lines(shown: dict[str, Any]) -> list[str]:
    parameters = shown["parameters"]
    return parameters.split("\n") if parameters else []


def setting(shown: dict[str, Any], key: str) -> str:
    """The first value of a parameter; one that passes where there is none."""
    pairs = [_PARAMETER.fullmatch(line) for line in parameter_lines(shown)]
    found = [pair[2] for pair in pairs if pair and pair[1] == key]
    return found[0] if found else '""' if key == "stop" else "1"


@every_rule_of(SHOW, LINES, PIECES, TAGS, STREAM)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, content_type="application/json", authorization="Bearer undefined")


def body(**more: Any) -> dict[str, Any]:
    """What every request has; options that it does not know are not there."""
    options = {
        "temperature": 0.5,
        "top_k": 40,
        "num_predict": 2048,
        "num_ctx": 8192,
        "mirostat": 0,
        "num_thread": 8,
        "min_p": 0.05,
    }
    return {"model": "coder", "options": options, "keep_alive": 1800, "stream": True, **more}


def lines_of(said: Said) -> list[Any]:
    assert said.status == 200, said.body
    STREAM(said.body)
    return said.lines()


def test_what_a_model_can_do(ask: Ask) -> None:
    TAGS(ask("GET", "/api/tags").json())
    for name, completes in (("coder", True), ("plain", False), ("embedder", False)):
        shown = SHOW(ask("POST", "/api/show", {"name": name}).json())
        assert (".Suffix" in shown["template"]) == completes, name
    shown = SHOW(ask("POST", "/api/show", {"name": "poet"}).json())
    assert (setting(shown, "num_ctx"), json.loads(setting(shown, "stop"))) == ("16384", "END")


def test_a_talk(ask: Ask) -> None:
    turns = [
        {"role": "system", "content": "You are an assistant."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Once more.", "images": ["iVBORw0KGgo="]},
    ]
    lines = LINES(lines_of(ask("POST", "/api/chat", body(messages=turns))))
    assert "".join(line["message"]["content"] for line in lines) == SPOKEN


@pytest.mark.parametrize("stream", [True, False])
def test_two_tools_and_their_results(ask: Ask, stream: bool) -> None:
    """Older versions do not stream with tools; the next request has results and no tools."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": ASK_TWO}]
    said = ask("POST", "/api/chat", body(messages=turns, tools=[TOOL], stream=stream))
    lines = LINES(lines_of(said) if stream else [said.json()])
    functions = [
        call["function"] for line in lines for call in line["message"].get("tool_calls", ())
    ]
    assert [(function["name"], function["arguments"]) for function in functions] == CALLS
    turns.append(
        {"role": "assistant", "content": "", "tool_calls": [{"function": f} for f in functions]}
    )
    turns += [{"role": "tool", "content": text} for text in ("sunny", "rainy")]
    lines = LINES(lines_of(ask("POST", "/api/chat", body(messages=turns))))
    assert "".join(line["message"]["content"] for line in lines) == SUNNY


def test_completion_in_the_editor(ask: Ask, lab: Lab) -> None:
    """With what follows the cursor, or with a template of its own and `raw`."""
    asked = body(prompt="def add(a, b):\n    ", suffix="\n\nadd(1, 2)")
    lines = PIECES(lines_of(ask("POST", "/api/generate", asked)))
    assert "".join(line["response"] for line in lines) == "return a + b"
    assert lab.upstream.calls[-1].body["suffix"] == "\n\nadd(1, 2)"
    asked = body(prompt="<fim_prefix>x<fim_suffix>y<fim_middle>", raw=True)
    assert PIECES(lines_of(ask("POST", "/api/generate", asked)))


def test_the_index(ask: Ask) -> None:
    texts = [f"text {number}" for number in range(64)]
    said = ask("POST", "/api/embed", {"model": "embedder", "input": texts})
    assert len(said.json()["embeddings"]) == 64


def test_a_model_that_is_not_there(ask: Ask) -> None:
    """It offers to pull the model that stands between the quotes, then pulls it by `name`."""
    said = ask("POST", "/api/chat", body(model="nope", messages=[{"role": "user", "content": "x"}]))
    found = _FRIENDLY.search(said.json()["error"])
    assert said.status == 404
    assert found
    assert found[1] == "nope"
    assert ask("POST", "/api/pull", {"name": "coder"}).lines()[-1] == {"status": "success"}
