"""Home Assistant's Ollama integration, through the very client it uses.

Source: home-assistant/core, homeassistant/components/ollama/{config_flow,coordinator,entity}.py;
its manifest pins `ollama` 0.6.2. The integration itself needs a newer Python than these tests.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import ollama
import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, JSON_ANSWER, SPOKEN, SUNNY, THOUGHT, TOOL
from contract.strictness import (
    COUNT,
    LIST,
    OBJECT,
    TEXT,
    UNSIGNED,
    Case,
    Checker,
    absent,
    every_rule_of,
    field,
    maybe,
    put,
    rule,
)

PATIENCE = 5
"""Seconds it gives a list before the integration counts as unreachable."""

FOREVER = -1
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

TAGS = Checker(
    "Home Assistant, list", samples.TAGS, field("models", LIST), field("models/*/model", TEXT)
)
PS = Checker(
    "Home Assistant, sensors",
    samples.PS,
    field("models", LIST),
    field("models/*/model", TEXT),
    maybe("models/*/size", UNSIGNED),
    maybe("models/*/size_vram", UNSIGNED),
)
LINES = Checker(
    "Home Assistant, chat",
    samples.CALLS,
    absent("*/error"),
    field("*/message/role", TEXT),
    maybe("*/message/content", TEXT),
    maybe("*/message/thinking", TEXT),
    rule(
        "arguments are an object: it walks through their items",
        lambda lines: all(
            OBJECT.holds(call["function"]["arguments"])
            for line in lines
            for call in line["message"].get("tool_calls", ())
        ),
        put("0/message/tool_calls/0/function/arguments", '{"city": "Paris"}'),
    ),
    rule("the last line is done", lambda lines: lines[-1]["done"], put("-1/done", False)),
    field("-1/eval_count", COUNT),
)


@every_rule_of(TAGS, PS, LINES)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[ollama.AsyncClient]:
    client = ollama.AsyncClient(host=lab.url, headers=None)
    yield client
    await client._client.aclose()


async def listed(client: ollama.AsyncClient) -> set[str]:
    async with asyncio.timeout(PATIENCE):
        reply = await client.list()
    return {row["model"] for row in TAGS(plain(reply))["models"]}


def plain(reply: Any) -> Any:
    """What the client read, without what was not there."""
    return json.loads(reply.model_dump_json(exclude_none=True))


async def test_setting_up_and_polling(client: ollama.AsyncClient) -> None:
    """A list to connect; then a list and the running models together, every half minute."""
    assert "coder:latest" in await listed(client)
    await said(client, [{"role": "user", "content": "hi"}])
    for _ in range(2):
        models, running = await asyncio.gather(listed(client), client.ps())
        assert {row["model"] for row in PS(plain(running))["models"]} <= models


@pytest.mark.parametrize("model", ["coder", "vendor/large"])
async def test_a_model_that_is_not_listed_is_pulled(client: ollama.AsyncClient, model: str) -> None:
    """Two lists, then a pull that it waits for: the name without its tag is in no list."""
    await listed(client)
    assert model not in await listed(client)
    assert plain(await client.pull(model)) == {"status": "success"}


async def test_a_library_name_that_nobody_has_cannot_be_pulled(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        await client.pull("llama3.2:latest")


async def said(
    client: ollama.AsyncClient, messages: list[Any], **more: Any
) -> list[dict[str, Any]]:
    """One round: always a stream, always these fields."""
    stream = await client.chat(
        model="coder:latest",
        messages=messages,
        stream=True,
        options={"num_ctx": 8192},
        **{"tools": None, "keep_alive": FOREVER, "think": False, "format": None, **more},
    )
    return LINES([plain(line) async for line in stream])


def joined(lines: list[dict[str, Any]], key: str) -> str:
    return "".join(line["message"].get(key, "") for line in lines)


@pytest.mark.parametrize("keep_alive", [FOREVER, "300s", "0s"])
async def test_a_talk(client: ollama.AsyncClient, keep_alive: Any) -> None:
    turns = [
        ollama.Message(role="system", content="You are a voice assistant."),
        ollama.Message(role="user", content="Good day."),
    ]
    lines = await said(client, turns, keep_alive=keep_alive)
    assert (joined(lines, "content"), joined(lines, "thinking")) == (SPOKEN, "")
    assert joined(await said(client, turns, think=True), "thinking") == THOUGHT


async def test_two_tools_and_their_results(client: ollama.AsyncClient) -> None:
    """Calls without ids and results without names: only their order tells what belongs together."""
    turns: list[Any] = [
        ollama.Message(role="system", content="You control a home."),
        ollama.Message(role="user", content=ASK_TWO),
    ]
    lines = await said(client, turns, tools=[TOOL])
    calls = [
        (call["function"]["name"], call["function"]["arguments"])
        for line in lines
        for call in line["message"].get("tool_calls", ())
    ]
    assert calls == CALLS
    made = ollama.Message.ToolCall
    turns.append(
        ollama.Message(
            role="assistant",
            content=joined(lines, "content"),
            tool_calls=[
                made(function=made.Function(name=name, arguments=given)) for name, given in calls
            ],
        )
    )
    turns += [ollama.Message(role="tool", content=text) for text in ("sunny", "rainy")]
    assert joined(await said(client, turns, tools=[TOOL]), "content") == SUNNY


async def test_a_task_with_a_structure(client: ollama.AsyncClient) -> None:
    """The text must be JSON, whole, and nothing else."""
    lines = await said(client, [{"role": "user", "content": "Which city?"}], format=SCHEMA)
    assert json.loads(joined(lines, "content")) == json.loads(JSON_ANSWER)


async def test_failures_are_told_apart(client: ollama.AsyncClient) -> None:
    """401 and 403 ask for a new key, other 4xx on the list mean that this is no Ollama."""
    with pytest.raises(ollama.ResponseError) as caught:
        await client.chat("nope", [{"role": "user", "content": "x"}], stream=False)
    assert caught.value.status_code == 404
    stream = await client.chat("breaks", [{"role": "user", "content": "x"}], stream=True)
    with pytest.raises(ollama.ResponseError, match="fell over"):
        [line async for line in stream]
