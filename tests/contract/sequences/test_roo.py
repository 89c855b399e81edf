"""Roo Code: its models, its tasks, its code index.

Source: RooCodeInc/Roo-Code, src/api/providers/fetchers/ollama.ts (the zod schemas),
src/api/providers/native-ollama.ts and src/services/code-index/embedders/ollama.ts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, TOOL
from contract.strictness import (
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    TEXTS_OR_NULL,
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
from contract.talk import Ask

_DETAILS = ("format", "parent_model", "quantization_level")
TAGS = Checker(
    "Roo, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/name", TEXT),
    field("models/*/model", TEXT),
    maybe("models/*/digest", TEXT),
    maybe("models/*/modified_at", TEXT),
    maybe("models/*/size", NUMBER),
    field("models/*/details", OBJECT),
    field("models/*/details/family", TEXT),
    maybe("models/*/details/families", TEXTS_OR_NULL),
    field("models/*/details/parameter_size", TEXT),
    *(maybe(f"models/*/details/{name}", TEXT) for name in _DETAILS),
)
SHOW = Checker(
    "Roo, show",
    samples.SHOW,
    *(maybe(name, TEXT) for name in ("modelfile", "parameters", "template")),
    field("details", OBJECT),
    field("details/family", TEXT),
    field("details/parameter_size", TEXT),
    field("model_info", OBJECT),
    maybe("capabilities", TEXTS),
    rule(
        "the first key with context_length in it is a number",
        lambda shown: NUMBER.holds(window(shown)),
        put("model_info/llama.context_length", "131072"),
        drop("model_info/llama.context_length"),
    ),
)
STREAM = Checker(
    "Roo, chat",
    samples.CALLS,
    rule(
        "no key `error`: ollama-js throws, whatever its value",
        lambda lines: not any("error" in line for line in lines),
        put("0/error", None),
        put("-1/error", ""),
    ),
    field("*/message", OBJECT),
    absent("*/message/error"),
    rule(
        "arguments are an object, which it writes as text itself",
        lambda lines: all(OBJECT.holds(arguments) for _, arguments in calls(lines)),
        put("0/message/tool_calls/0/function/arguments", "{}"),
    ),
    rule(
        "both counts are in a line, or it shows no usage",
        lambda lines: any("prompt_eval_count" in each and "eval_count" in each for each in lines),
        drop("-1/eval_count"),
        drop("-1/prompt_eval_count"),
    ),
    rule(
        "the stream ends with done: true, or ollama-js throws",
        lambda lines: lines[-1]["done"] is True,
        put("-1/done", False),
        drop("-1/done"),
    ),
)
VECTORS = Checker("Roo, embed", samples.EMBED, field("embeddings", LIST))


def window(shown: dict[str, Any]) -> Any:
    return next(value for key, value in shown["model_info"].items() if "context_length" in key)


def calls(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The calls in order; it makes up their ids."""
    return [
        (call["function"]["name"], call["function"]["arguments"])
        for line in lines
        for call in line["message"].get("tool_calls", ())
    ]


@every_rule_of(TAGS, SHOW, STREAM, VECTORS)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="axios/1.12.0", content_type="application/json")


def offered(ask: Ask) -> dict[str, Any]:
    """What it does before every message: the list, then every show at the same time."""
    rows = TAGS(ask("GET", "/api/tags").json())["models"]
    with ThreadPoolExecutor(len(rows)) as pool:
        replies = list(pool.map(lambda r: ask("POST", "/api/show", {"model": r["model"]}), rows))
    shown = {
        row["name"]: SHOW(said.json())
        for row, said in zip(rows, replies, strict=True)
        if said.status == 200
    }
    assert len(shown) == len(rows), "one that fails, and no model is offered"
    return {name: reply for name, reply in shown.items() if "tools" in reply["capabilities"]}


def test_models_with_tools_are_offered(ask: Ask) -> None:
    models = offered(ask)
    assert set(models) == {"coder:latest", "poet:latest", "vendor/large:latest"}
    assert window(models["coder:latest"]) == 131072
    assert "vision" in models["coder:latest"]["capabilities"]


def test_a_task_whose_results_come_as_the_users_words(ask: Ask, lab: Lab) -> None:
    offered(ask)
    asked: dict[str, Any] = {
        "model": "coder:latest",
        "messages": [
            {"role": "system", "content": "You are Roo."},
            {"role": "user", "content": ASK_TWO},
        ],
        "stream": True,
        "options": {"temperature": 0, "num_ctx": 65536},
        "tools": [TOOL],
    }
    agent = {"user_agent": "ollama-js/0.5.18 (x64 linux Node.js/v20)", "accept": "application/json"}
    made = calls(STREAM(ask("POST", "/api/chat", asked, **agent).lines()))
    assert made == CALLS
    offered(ask)
    asked["messages"] += [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": n, "arguments": a}} for n, a in made],
        },
        {"role": "user", "content": "sunny"},
        {"role": "user", "content": "rainy"},
        {"role": "user", "content": "<environment_details>…</environment_details>"},
    ]
    said = ask("POST", "/api/chat", asked, **agent)
    assert said.status == 200, said.body
    STREAM(said.lines())
    sent = lab.upstream.calls[-1].body["messages"]
    assert [turn["role"] for turn in sent[2:]] == [
        "assistant",
        "tool",
        "tool",
        "user",
        "user",
        "user",
    ]
    assert [turn["content"] for turn in sent[5:7]] == ["sunny", "rainy"]


def test_one_prompt_without_a_stream(ask: Ask) -> None:
    asked = {
        "model": "coder:latest",
        "messages": [{"role": "user", "content": "Improve this prompt."}],
        "stream": False,
        "options": {"temperature": 0},
    }
    assert ask("POST", "/api/chat", asked).json()["message"]["content"] == SPOKEN


@pytest.mark.parametrize("model", ["embedder", "embedder:latest"])
def test_the_code_index(ask: Ask, model: str) -> None:
    names = [row["name"] for row in ask("GET", "/api/tags").json()["models"]]
    assert {model, f"{model}:latest", model.replace(":latest", "")} & set(names)
    for texts in (["test"], ["a", "b", "c"]):
        said = ask("POST", "/api/embed", {"model": model, "input": texts})
        assert len(VECTORS(said.json())["embeddings"]) == len(texts)


def test_an_unknown_model_is_404(ask: Ask) -> None:
    """It tells the user to pull the model, and only for this status."""
    asked = {"model": "nope", "messages": [{"role": "user", "content": "x"}], "stream": True}
    assert ask("POST", "/api/chat", asked).status == 404
