"""Thoughts that a provider wants to see again: upstreams that refuse a request without them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fake_upstream import Act, Call

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.server import recollection
from ollama_bridge.server.recollection import Recollection
from ollama_bridge.translate import tools
from ollama_bridge.translate.thoughts import Thoughts

Bridged = Callable[..., Any]
Body = dict[str, Any]

SUM = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
ASK = {"model": "m", "messages": [{"role": "user", "content": "1 + 1?"}], "tools": [SUM]}
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
DETAILS = [
    {"type": "reasoning.text", "text": "I ", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "add.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "gAAAA", "id": "rs_1", "index": 1},
]


def first_call(delta: Body, **call: Any) -> Act:
    """Thinks and calls; answers only when its thoughts are there again."""

    async def act(upstream: Call) -> None:
        turns = [turn for turn in upstream.body["messages"] if turn.get("tool_calls")]
        if turns:
            await upstream.start()
            await upstream.text("two", "stop")
            await upstream.write("data: [DONE]\n\n", more=False)
            return
        function = {"name": "add", "arguments": '{"a": 1}'}
        called = {"index": 0, "id": "call_1", "type": "function", "function": function} | call
        message = {"role": "assistant", "content": None, "tool_calls": [called]}
        if not upstream.body["stream"]:
            details = delta.get("reasoning_details")
            choice = {"index": 0, "message": delta | message, "finish_reason": "tool_calls"}
            assert details is None or isinstance(details, list)
            await upstream.json({"choices": [choice]})
            return
        await upstream.start()
        pieces: list[Body] = [
            {"reasoning_details": [part]} for part in delta.get("reasoning_details", ())
        ]
        rest = {key: value for key, value in delta.items() if key != "reasoning_details"}
        for piece in (*pieces, rest, {"tool_calls": [called]}):
            await upstream.event({"choices": [{"index": 0, "delta": piece, "finish_reason": None}]})
        end = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        await upstream.event({"choices": [end]})
        await upstream.write("data: [DONE]\n\n", more=False)

    return act


def talk(url: str, *, stream: bool, keeps_id: bool = True, thinking: str = "") -> None:
    """Both turns of a tool call, by a client that drops thoughts, and ids too if it likes."""
    reply = httpx.post(f"{url}/api/chat", json=ASK | {"stream": stream}, timeout=10)
    lines = [json.loads(line) for line in reply.content.splitlines()]
    (call,) = next(
        line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"]
    )
    if not keeps_id:
        del call["id"]
    turn = {"role": "assistant", "content": "", "tool_calls": [call]}
    if thinking:
        turn["thinking"] = thinking
    result = {"role": "tool", "tool_name": "add", "content": "2"}
    messages = [*ASK["messages"], turn, result]
    reply = httpx.post(f"{url}/api/chat", json=ASK | {"messages": messages}, timeout=10)
    assert "two" in reply.text


def came_back(upstream: Any) -> Body:
    (turn,) = [turn for turn in upstream.calls[-1].body["messages"] if turn.get("tool_calls")]
    return dict(turn)


@pytest.mark.parametrize("keeps_id", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_behind_a_call(bridged: Bridged, stream: bool, keeps_id: bool) -> None:
    """Quirk D6."""
    act = first_call({"reasoning_content": "I add."})
    url, upstream = bridged(act, quirks=("thoughts_back",))
    talk(url, stream=stream, keeps_id=keeps_id)
    assert came_back(upstream)["reasoning_content"] == "I add."


def test_the_clients_own_thoughts_go_first(bridged: Bridged) -> None:
    url, upstream = bridged(first_call({"reasoning_content": "I add."}), quirks=("thoughts_back",))
    talk(url, stream=True, thinking="I add, I said.")
    assert came_back(upstream)["reasoning_content"] == "I add, I said."


def test_others_get_no_thoughts(bridged: Bridged) -> None:
    """Quirks B9 and B10: they would refuse them."""
    url, upstream = bridged(first_call({"reasoning_content": "I add."}))
    talk(url, stream=True, thinking="I add.")
    assert "reasoning_content" not in came_back(upstream)


def test_that_they_are_wanted_is_learned(bridged: Bridged) -> None:
    act = first_call({"reasoning_content": "I add."})

    async def strict(call: Call) -> None:
        turns = [turn for turn in call.body["messages"] if turn.get("tool_calls")]
        if any("reasoning_content" not in turn for turn in turns):
            text = "The `reasoning_content` in the thinking mode must be passed back to the API."
            await call.json({"error": {"message": text, "type": "invalid_request_error"}}, 400)
            return
        await act(call)

    url, upstream = bridged(strict)
    talk(url, stream=True)
    assert came_back(upstream)["reasoning_content"] == "I add."
    before = len(upstream.calls)
    talk(url, stream=True)
    assert len(upstream.calls) == before + 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_signature(bridged: Bridged, stream: bool) -> None:
    """Quirk D8."""
    url, upstream = bridged(first_call({}, extra_content=SIGNED))
    talk(url, stream=stream)
    assert came_back(upstream)["tool_calls"][0]["extra_content"] == SIGNED


def test_a_signature_that_was_lost(bridged: Bridged) -> None:
    url, upstream = bridged(
        first_call({}), models=("gemini-3-pro",), quirks=PRESETS["gemini"].quirks
    )
    call = {"id": "call_9", "function": {"name": "add", "arguments": {"a": 1}}}
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "add", "content": "2"},
    ]
    body = ASK | {"model": "gemini-3-pro", "messages": turns}
    assert "two" in httpx.post(f"{url}/api/chat", json=body, timeout=10).text
    extra = came_back(upstream)["tool_calls"][0]["extra_content"]
    assert extra == {"google": {"thought_signature": "skip_thought_signature_validator"}}


@pytest.mark.parametrize("stream", [True, False])
def test_a_routers_reasoning_parts(bridged: Bridged, stream: bool) -> None:
    """Quirk D7: in order and unmodified; the pieces of a streamed part are one again."""
    url, upstream = bridged(first_call({"reasoning_details": DETAILS}))
    talk(url, stream=stream)
    assert came_back(upstream)["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "I add.",
            "signature": "sig",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        DETAILS[3],
    ]


def test_for_coding_agents_too(bridged: Bridged) -> None:
    """Agents that speak Anthropic's API know the ids of their calls, and nothing of the rest."""
    url, upstream = bridged(first_call({}, extra_content=SIGNED))
    tool = {"name": "add", "input_schema": SUM["function"]["parameters"]}
    ask = {"model": "m", "max_tokens": 99, "messages": ASK["messages"], "tools": [tool]}
    reply = httpx.post(f"{url}/v1/messages", json=ask, timeout=10).json()
    (call,) = [block for block in reply["content"] if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "2"}
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    httpx.post(f"{url}/v1/messages", json=ask | {"messages": turns, "stream": True}, timeout=10)
    assert came_back(upstream)["tool_calls"][0]["extra_content"] == SIGNED


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_memory_is_bounded_in_turns_bytes_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    memory = Recollection(clock)
    monkeypatch.setattr(recollection, "MOST", 3)
    for number in range(5):
        memory.keep("p", [tools.Call(f"id{number}", "f", {"n": number})], Thoughts("x"))
    assert len(memory) == 3
    assert memory.find("p", "id0", "f", '{"n":0}') is None
    assert memory.find("p", "id4", "", "") == Thoughts("x")
    assert memory.find("p", "", "f", '{ "n": 4 }') == Thoughts("x")
    assert memory.find("other", "id4", "f", '{"n":4}') is None
    memory.keep("p", [tools.Call("big", "f", {})], Thoughts("x" * recollection.LARGEST))
    assert memory.find("p", "big", "", "") is None
    monkeypatch.setattr(recollection, "TOTAL", 3 * memory.size // 3 + 10)
    memory.keep("p", [tools.Call("id6", "f", {"n": 6})], Thoughts("x" * 20))
    assert memory.size <= recollection.TOTAL
    clock.now = recollection.AGE + 1
    assert memory.find("p", "id6", "", "") is None
    assert (len(memory), memory.size) == (0, 0)
