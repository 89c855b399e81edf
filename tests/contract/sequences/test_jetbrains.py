"""JetBrains AI Assistant and Junie: closed source, so this holds what is known from outside.

Source: JetBrains' documentation (a host address and "Test connection", then the models appear;
Junie takes an OpenAI-compatible address), and logs in bug reports of other servers like this one,
among them "connection succeeds, zero models". Hence every field that any client reads of a list.
"""

import json
from collections.abc import Callable

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, TOOL
from contract.strictness import (
    COUNT,
    DATE,
    FILLED,
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

TAGS = Checker(
    "JetBrains, list",
    samples.TAGS,
    field("models", LIST),
    *(field(f"models/*/{name}", FILLED) for name in ("name", "model", "digest")),
    field("models/*/modified_at", DATE),
    field("models/*/size", COUNT),
    field("models/*/details", OBJECT),
    *(
        field(f"models/*/details/{name}", TEXT)
        for name in ("parent_model", "format", "family", "parameter_size", "quantization_level")
    ),
    field("models/*/details/families", TEXTS),
    rule(
        "name and model are the same, with a tag",
        lambda reply: all(
            row["name"] == row["model"] and ":" in row["name"] for row in reply["models"]
        ),
        put("models/*/model", "llama3.2"),
    ),
)
SHOW = Checker(
    "JetBrains, show",
    samples.SHOW,
    field("capabilities", TEXTS),
    field("model_info", OBJECT),
    rule(
        "the window can be found",
        lambda shown: NUMBER.holds(
            shown["model_info"][f"{shown['model_info']['general.architecture']}.context_length"]
        ),
        drop("model_info/llama.context_length"),
    ),
)
V1_MODELS = Checker(
    "JetBrains, /v1/models",
    {"object": "list", "data": [{"id": "llama3.2:latest", "object": "model", "created": 1}]},
    field("data", LIST),
    field("data/*/id", FILLED),
)


@every_rule_of(TAGS, SHOW, V1_MODELS)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, user_agent="ktor-client", accept="application/json")


def test_the_connection_and_the_models(ask: Ask) -> None:
    assert ask("GET", "/").body == b"Ollama is running"
    rows = TAGS(ask("GET", "/api/tags").json())["models"]
    for row in rows:
        SHOW(ask("POST", "/api/show", {"model": row["name"]}).json())
    names = [row["id"] for row in V1_MODELS(ask("GET", "/v1/models").json())["data"]]
    assert names == [row["name"] for row in rows]


@pytest.mark.parametrize("native", [True, False], ids=["AI Assistant", "Junie"])
def test_a_talk_with_a_tool(ask: Ask, native: bool) -> None:
    """Natively, and the way of OpenAI: the same words and the same calls."""
    path = "/api/chat" if native else "/v1/chat/completions"
    turn = {"role": "user", "content": "Hello."}
    body = {"model": "coder:latest", "messages": [turn], "stream": True}
    said = ask("POST", path, body)
    if native:
        assert "".join(line["message"]["content"] for line in said.lines()) == SPOKEN
    else:
        *events, end = said.events()
        assert end == "[DONE]"
        deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == SPOKEN
    asked = {**body, "stream": False, "tools": [TOOL]}
    reply = ask("POST", path, {**asked, "messages": [{"role": "user", "content": ASK_TWO}]}).json()
    message = reply["message"] if native else reply["choices"][0]["message"]
    functions = [call["function"] for call in message["tool_calls"]]
    found = [
        (each["name"], each["arguments"] if native else json.loads(each["arguments"]))
        for each in functions
    ]
    assert found == CALLS
