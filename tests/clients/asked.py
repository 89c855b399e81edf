"""What every client is asked, and the upstream for what the demo model is too simple for."""

import asyncio
import base64
import json
from typing import Any

from fake_upstream import Call, FakeUpstream

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

ASK: dict[str, Any] = {
    "model": "demo",
    "embedder": "demo-embed",
    "two_calls": "lab/two-calls",
    "breaks": "lab/breaks",
    "agent": "lab/agent",
    "unknown": "nope",
    # line ends for some readers of lines, and a character of two UTF-16 units
    "say": "Say blue, then \u2028 and \u0085 and 😀.",
    "weather": "What is the weather in Paris? Use the tool.",
    "two_cities": "What is the weather in Paris and in Rome?",
    "country": "Tell me about Canada.",
    "texts": ["one", "two words", "three small words"],
    "image": base64.b64encode(PNG).decode(),
}

FAILURE = "the engine fell over"

PAUSE = 0.2
"""Seconds between words and error: read at once, they would make an HTTP status and no stream."""

_CAPABILITIES = ["completion", "tools", "vision"]


def lab() -> FakeUpstream:
    """Models that call two tools at once, run a command, or break in mid-stream."""
    upstream = FakeUpstream(_act)
    upstream.models = [
        {"id": name, "object": "model", "capabilities": _CAPABILITIES}
        for name in ("two-calls", "agent", "breaks")
    ]
    return upstream


async def _act(call: Call) -> None:
    model, messages = call.body["model"], call.body["messages"]
    if model == "breaks":
        await _break(call)
    elif model == "agent":
        await _run(call)
    elif messages[-1]["role"] == "tool":
        said = {"content": paired(messages)}
        await _reply(call, said, [said], "stop")
    else:
        await _reply(call, {"tool_calls": _CALLS}, _pieces(_CALLS), "tool_calls")


async def _break(call: Call) -> None:
    """Some words, then an error; a whole reply is an error at once."""
    error = {"error": {"message": FAILURE, "type": "server_error", "code": 500}}
    if not call.body.get("stream"):
        await call.json(error, status=400)  # a status that no client tries again
        return
    await call.start()
    for word in ("All ", "is ", "well"):
        await call.text(word)
    await asyncio.sleep(PAUSE)
    await call.event(error)
    await call.write("", more=False)


async def _run(call: Call) -> None:
    """Run a command for each city with the agent's own tool, then repeat what came out."""
    messages = call.body["messages"]
    if files := _files(messages):
        await _reply(call, {"content": files}, [{"content": files}], "stop")
        return
    printed = [_text(message) for message in messages if message["role"] == "tool"]
    if printed:
        lines = [line for text in printed for line in text.splitlines() if "sunny" in line]
        said = {"content": " | ".join(lines)}
        await _reply(call, said, [said], "stop")
        return
    asked = _text(messages[-1])
    calls = [
        _called("exec_command", city, {"cmd": f"echo It is sunny in {city}."})
        for city in ("Paris", "Rome")
        if city in asked
    ]
    await _reply(call, {"tool_calls": calls}, _pieces(calls), "tool_calls")


def paired(messages: list[dict[str, Any]]) -> str:
    """Each call with the result that came back under its id."""
    calls = [item for message in messages for item in message.get("tool_calls") or ()]
    results = {
        message["tool_call_id"]: message for message in messages if message["role"] == "tool"
    }
    return " | ".join(f"{_city(call)}: {_text(results.get(call['id']))}" for call in calls)


def _city(call: dict[str, Any]) -> Any:
    return json.loads(call["function"]["arguments"]).get("city")


def _text(message: dict[str, Any] | None) -> str:
    content = (message or {}).get("content", "nothing")
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _files(messages: list[dict[str, Any]]) -> str:
    """What was sent as images, in the demo model's words."""
    parts = [
        part
        for message in messages
        if isinstance(message["content"], list)
        for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    sent = [url.removeprefix("data:").split(";base64,") for url in urls]
    return " ".join(
        f"You sent a file of type {kind}, {len(base64.b64decode(data))} bytes."
        for kind, data in sent
    )


def _called(name: str, city: str, arguments: dict[str, str]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{city}", "type": "function", "function": function}


_CALLS = [_called("get_weather", city, {"city": city}) for city in ("Paris", "Rome")]


def _pieces(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls as deltas that take turns, as some services send them."""
    heads, tails = [], []
    for index, call in enumerate(calls):
        text = call["function"]["arguments"]
        head = call["function"] | {"arguments": text[:6]}
        heads.append({"tool_calls": [{**call, "index": index, "function": head}]})
        tails.append({"tool_calls": [{"index": index, "function": {"arguments": text[6:]}}]})
    return heads + tails


async def _reply(
    call: Call, message: dict[str, Any], deltas: list[dict[str, Any]], finish: str
) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    head = {"id": "chatcmpl-1", "created": 1_750_000_000, "model": call.body["model"]}
    if not call.body.get("stream"):
        said = {"role": "assistant", "content": None, **message}
        choice = {"index": 0, "message": said, "finish_reason": finish}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        await call.json(whole)
        return
    await call.start()
    head["object"] = "chat.completion.chunk"
    for delta in [*deltas, {}]:
        end = None if delta else finish
        choices = [{"index": 0, "delta": delta, "finish_reason": end}]
        await call.event({**head, "choices": choices})
    await call.event({**head, "choices": [], "usage": usage})
    await call.write("data: [DONE]\n\n", more=False)
