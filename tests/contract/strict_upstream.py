"""An OpenAI-compatible service that refuses what OpenAI refuses, and has a model for every need."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

from fake_upstream import Call, FakeUpstream

Body = dict[str, Any]

MODELS: list[Body] = [
    {
        "id": "coder",
        "object": "model",
        "created": 1_750_000_000,
        "context_length": 131072,
        "details": {"family": "qwen3", "parameter_size": "7.6B", "quantization_level": "Q4_K_M"},
        "capabilities": ["completion", "tools", "vision", "thinking", "insert"],
    },
    {"id": "plain", "object": "model", "context_length": 8192, "capabilities": ["completion"]},
    {"id": "embedder", "object": "model", "type": "embeddings", "dimensions": 3},
    {"id": "vendor/large", "object": "model", "capabilities": ["completion", "tools"]},
    {"id": "breaks", "object": "model", "capabilities": ["completion"]},
]
"""`coder` thinks and calls two tools at once; `breaks` ends with an error in mid-stream."""

THOUGHT = "Let me think."
FAILURE = "the engine fell over"
PAUSE = 0.2
"""Seconds between words and error: read at once, they would make an HTTP status and no stream."""
VECTOR = [3.0, 4.0, 12.0]
JSON_ANSWER = '{"city": "Paris"}'
SPOKEN = 'Good day. "Bonjour",\nas they say \u2028 in Paris\u0085. 😀'
HEARD = "Good day."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
"""A tool whose calls `coder` makes for the cities in the question."""

ASK_TWO = "What is the weather in Paris and in Rome?"
CALLS = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]
SUNNY = "Paris: sunny | Rome: rainy"
"""What `coder` says when the results of both calls came back under their own ids."""

_KNOWN = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "response_format",
        "tools",
        "tool_choice",
        "n",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "prompt",
        "suffix",
        "input",
        "dimensions",
        "encoding_format",
        "user",
        "parallel_tool_calls",
    ]
)
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*")


def strict_upstream() -> FakeUpstream:
    """The service; what it was sent stands in `calls`."""
    upstream = FakeUpstream(_act)
    upstream.models = MODELS
    return upstream


def faults(body: Body) -> Iterator[str]:
    """Why OpenAI would answer 400."""
    unknown = body.keys() - _KNOWN
    if unknown:
        yield f"Unrecognized request arguments supplied: {', '.join(sorted(unknown))}"
    yield from (f"{key} must not be null" for key, value in body.items() if value is None)
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options is only allowed when streaming"
    if body.get("tools") == []:
        yield "[] is too short - 'tools'"
    yield from (fault for tool in body.get("tools", ()) for fault in _tool_faults(tool))
    if "messages" in body:
        yield from _message_faults(body["messages"])


def _tool_faults(tool: Body) -> Iterator[str]:
    function = tool["function"]
    if tool.get("type") != "function" or not _NAME.fullmatch(function.get("name", "")):
        yield "tools[].function.name does not match '^[a-zA-Z0-9_-]{1,64}$'"
    parameters = function.get("parameters", {"type": "object", "properties": {}})
    if parameters.get("type") != "object" or "properties" not in parameters:
        yield "tools[].function.parameters must be an object schema"


def _message_faults(messages: list[Body]) -> Iterator[str]:
    if not messages:
        yield "[] is too short - 'messages'"
    waiting: list[str] = []
    for message in messages:
        role = message.get("role")
        if role not in _ROLES:
            yield f"invalid role {role!r}"
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                yield "a tool message must follow the call it answers"
            else:
                waiting.remove(message["tool_call_id"])
        elif waiting:
            yield f"tool_call_ids did not have response messages: {', '.join(waiting)}"
        yield from _content_faults(message)
        for call in message.get("tool_calls", ()):
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                yield "arguments must be an object"
            waiting.append(call["id"])
    if waiting:
        yield f"tool_call_ids did not have response messages: {', '.join(waiting)}"


def _content_faults(message: Body) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, list):
        if not content:
            yield "content must not be empty"
        for part in content:
            if part["type"] == "image_url" and not _IMAGE.fullmatch(part["image_url"]["url"]):
                yield "the image is no data URL of a known type"
    elif not isinstance(content, str) and not message.get("tool_calls"):
        yield "content must be a string or an array of parts"
    if message.get("tool_calls") == []:
        yield "[] is too short - 'tool_calls'"


async def _act(call: Call) -> None:
    if call.path.endswith("/audio/transcriptions"):
        await call.json({"text": HEARD})
        return
    fault = next(faults(call.body), "")
    if fault:
        await call.json({"error": {"message": fault, "type": "invalid_request_error"}}, 400)
    elif call.path.endswith("/embeddings"):
        await _embed(call)
    elif call.body["model"] == "breaks":
        await _break(call)
    else:
        await _answer(call)


async def _embed(call: Call) -> None:
    texts = call.body["input"]
    texts = [texts] if isinstance(texts, str) else texts
    size = call.body.get("dimensions", len(VECTOR))
    rows = [
        {"object": "embedding", "index": index, "embedding": VECTOR[:size]}
        for index, _ in enumerate(texts)
    ]
    await call.json({"object": "list", "data": rows, "usage": {"prompt_tokens": len(texts)}})


async def _break(call: Call) -> None:
    error = {"error": {"message": FAILURE, "type": "server_error"}}
    if not call.body.get("stream"):
        await call.json(error, 500)
        return
    await call.start()
    await call.text("All is well")
    await asyncio.sleep(PAUSE)
    await call.event(error)
    await call.write("", more=False)


async def _answer(call: Call) -> None:
    body = call.body
    if "messages" not in body:
        await _say(call, [{"text": piece} for piece in _pieces("return a + b")], "stop")
        return
    said: Body = {"reasoning_content": THOUGHT} if body["model"] == "coder" else {}
    last = body["messages"][-1]
    calls = _calls(body, last)
    if calls:
        await _say(call, [said, *calls] if said else calls, "tool_calls")
        return
    text = _results(body["messages"]) or (JSON_ANSWER if "response_format" in body else SPOKEN)
    deltas = [{"content": piece} for piece in _pieces(text)]
    await _say(call, [said, *deltas] if said else deltas, "stop")


def _pieces(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _calls(body: Body, last: Body) -> list[Body]:
    """The deltas of the calls, whose pieces take turns."""
    question = last["content"] if isinstance(last.get("content"), str) else ""
    if last["role"] != "user" or not body.get("tools"):
        return []
    name = body["tools"][0]["function"]["name"]
    cities = [city for city in ("Paris", "Rome") if city in question]
    heads, tails = [], []
    for index, city in enumerate(cities):
        text = json.dumps({"city": city})
        function = {"name": name, "arguments": text[:5]}
        heads.append(
            {"index": index, "id": f"call_{city}", "type": "function", "function": function}
        )
        tails.append({"index": index, "function": {"arguments": text[5:]}})
    return [{"tool_calls": [piece]} for piece in heads + tails]


def _results(messages: list[Body]) -> str:
    """Each call's city with what came back under the call's id; "" if nothing came back."""
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    results = {m["tool_call_id"]: m["content"] for m in messages if m["role"] == "tool"}
    cities = [json.loads(call["function"]["arguments"]).get("city") for call in calls]
    found = [results.get(call["id"], "nothing") for call in calls]
    return " | ".join(f"{city}: {text}" for city, text in zip(cities, found, strict=True))


async def _say(call: Call, deltas: list[Body], finish: str) -> None:
    head = {"id": "chatcmpl-1", "created": 1_750_000_000, "model": f"{call.body['model']}-0815"}
    if not call.body.get("stream"):
        whole = {"object": "chat.completion", "choices": [_whole(deltas, finish)], "usage": USAGE}
        await call.json(head | whole)
        return
    head["object"] = "chat.completion.chunk"
    await call.start()
    for delta in deltas:
        inner = delta if "text" in delta else {"delta": delta}
        await call.event(head | {"choices": [{"index": 0, "finish_reason": None, **inner}]})
    end = {"index": 0, "delta": {}, "finish_reason": finish}
    await call.event(head | {"choices": [end]})
    if call.body.get("stream_options", {}).get("include_usage"):
        await call.event(head | {"choices": [], "usage": USAGE})
    await call.write("data: [DONE]\n\n", more=False)


def _whole(deltas: list[Body], finish: str) -> Body:
    if "text" in deltas[0]:
        text = "".join(delta["text"] for delta in deltas)
        return {"index": 0, "text": text, "finish_reason": finish}
    message: Body = {"role": "assistant", "content": None}
    for key in ("content", "reasoning_content"):
        if text := "".join(delta.get(key, "") for delta in deltas):
            message[key] = text
    if calls := [piece for delta in deltas for piece in delta.get("tool_calls", ())]:
        message["tool_calls"] = _joined(calls)
    return {"index": 0, "message": message, "finish_reason": finish}


def _joined(pieces: list[Body]) -> list[Body]:
    calls = [piece for piece in pieces if "id" in piece]
    for call in calls:
        texts = [
            piece["function"]["arguments"] for piece in pieces if piece["index"] == call["index"]
        ]
        call["function"]["arguments"] = "".join(texts)
    return calls
