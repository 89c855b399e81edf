"""A service whose models speak /v1/responses and nothing else, and which refuses what OpenAI does.

Each event it sends is read by the official client's own types first, so that it cannot drift.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from fake_upstream import Call, FakeUpstream
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

Body = dict[str, Any]

NO_CHAT = {
    "error": {
        "message": "This model is only supported in v1/responses and not in v1/chat/completions.",
        "type": "invalid_request_error",
        "param": "model",
        "code": None,
    }
}
"""As OpenAI sends it, with status 404."""

THOUGHT = ("**Looking**\n\nThere is a tool.", "**Asking**\n\nIt wants a city.")
SEALED = "gAAAAABsealed=="
SPOKEN = 'Good day. "Bonjour",\nas they say \u2028 in Paris. 😀'
JSON_ANSWER = '{"city": "Paris"}'
FAILURE = "the engine fell over"
PAUSE = 0.2
USAGE = {
    "input_tokens": 11,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 18,
}

_event = TypeAdapter(ResponseStreamEvent)
_KNOWN = frozenset(
    {"model", "input", "instructions", "stream", "store", "include", "tools", "tool_choice"}
    | {"parallel_tool_calls", "reasoning", "text", "temperature", "top_p", "top_logprobs", "user"}
    | {"max_output_tokens", "metadata", "truncation", "service_tier", "prompt_cache_key"}
)
_ITEMS: dict[str, tuple[set[str], set[str]]] = {
    "message": ({"type", "role", "content"}, set()),
    "function_call": ({"type", "call_id", "name", "arguments"}, {"id", "status"}),
    "function_call_output": ({"type", "call_id", "output"}, {"id", "status"}),
    "custom_tool_call": ({"type", "call_id", "name", "input"}, {"id"}),
    "custom_tool_call_output": ({"type", "call_id", "output"}, {"id"}),
    "reasoning": ({"type", "id", "summary"}, {"encrypted_content", "content", "status"}),
}
"""What an item must have, and what it may."""

_PARTS: dict[str, tuple[set[str], set[str]]] = {
    "input_text": ({"type", "text"}, set()),
    "input_image": ({"type", "detail", "image_url"}, set()),
    "input_file": ({"type"}, {"file_id", "file_data", "filename"}),
}
_TOOLS: dict[str, tuple[set[str], set[str]]] = {
    "function": ({"type", "name", "parameters", "strict"}, {"description"}),
    "custom": ({"type", "name"}, {"description", "format"}),
}


def responses_only(models: tuple[str, ...] = ("m",)) -> FakeUpstream:
    """The service; what it was sent stands in `calls`."""
    return FakeUpstream(_act, models=models)


def faults(body: Body) -> Iterator[str]:
    """Why OpenAI would answer 400."""
    if unknown := body.keys() - _KNOWN:
        yield f"Unknown parameter: '{min(unknown)}'."
    yield from (f"{key} must not be null" for key, value in body.items() if value is None)
    if body.get("store") is not False:
        yield "'store' must be false for this organization"
    if not isinstance(body.get("input"), list) or not body["input"]:
        yield "One of 'input' must be provided."
        return
    if (limit := body.get("max_output_tokens")) is not None and limit < 16:
        yield f"Invalid 'max_output_tokens': integer below minimum value. Expected >= 16, got {limit}."
    for tool in body.get("tools", ()):
        yield from _shape(tool, _TOOLS, "tools[]")
    yield from _item_faults(body["input"])
    if body.get("text", {}).get("format", {}).get("type") == "json_object":
        said = json.dumps([item for item in body["input"] if item["type"] == "message"])
        if "json" not in said.lower():
            yield "Response input messages must contain the word 'json' in some form."


def _shape(value: Body, known: dict[str, tuple[set[str], set[str]]], where: str) -> Iterator[str]:
    if value.get("type") not in known:
        yield f"Invalid value: '{value.get('type')}' for '{where}.type'"
        return
    must, may = known[value["type"]]
    yield from (f"Missing required parameter: '{where}.{key}'." for key in must - value.keys())
    yield from (f"Unknown parameter: '{where}.{key}'." for key in value.keys() - must - may)


def _item_faults(items: list[Body]) -> Iterator[str]:
    waiting: dict[str, str] = {}
    for at, given in enumerate(items):
        item = {"type": "message"} | given
        where = f"input[{at}]"
        yield from _shape(item, _ITEMS, where)
        kind = item.get("type")
        if kind == "message":
            yield from _message_faults(item, where)
        elif kind in ("function_call", "custom_tool_call"):
            if kind == "function_call" and not isinstance(json.loads(item["arguments"]), dict):
                yield f"{where}.arguments must be an object"
            waiting[item["call_id"]] = f"{kind}_output"
        elif (
            kind is not None
            and kind.endswith("_output")
            and waiting.pop(item["call_id"], "") != kind
        ):
            yield f"No tool call found for {kind} with call_id {item['call_id']}."
        elif kind == "reasoning" and item.get("encrypted_content") != SEALED:
            yield "The encrypted content could not be verified."
        elif kind == "reasoning" and not _follows(items, at):
            yield f"Item '{item['id']}' was provided without its required following item."
    yield from (f"No tool output found for function call {call_id}." for call_id in waiting)


def _follows(items: list[Body], at: int) -> bool:
    """Whether what came of a thought stands behind it."""
    after = items[at + 1] if at + 1 < len(items) else {}
    return after.get("role") == "assistant" or str(after.get("type")).endswith("_call")


def _message_faults(item: Body, where: str) -> Iterator[str]:
    if item["role"] not in ("user", "assistant", "system", "developer"):
        yield f"Invalid value: '{item['role']}' for '{where}.role'"
    if isinstance(item["content"], str):
        return
    if item["role"] == "assistant":
        yield f"Invalid value for '{where}.content': must be a string here"
    for part in item["content"]:
        yield from _shape(part, _PARTS, f"{where}.content[]")


async def _act(call: Call) -> None:
    if call.path.endswith("/chat/completions"):
        await call.json(NO_CHAT, 404)
        return
    if not call.path.endswith("/responses"):
        await call.json({"error": {"message": f"Invalid URL (POST {call.path})"}}, 404)
        return
    fault = next(faults(call.body), "")
    if fault:
        await call.json({"error": {"message": fault, "type": "invalid_request_error"}}, 400)
        return
    await _answer(call)


def _question(body: Body) -> str:
    asked = [item for item in body["input"] if item.get("role") == "user"]
    content = asked[-1]["content"] if asked else ""
    return content if isinstance(content, str) else " ".join(p.get("text", "") for p in content)


def _output(body: Body) -> list[Body]:
    """What the model says, by the last thing that it was told."""
    found: list[Body] = []
    effort = body.get("reasoning", {}).get("effort", "none")
    if effort != "none":
        thought = THOUGHT if body["reasoning"].get("summary") else ()
        item = {"type": "reasoning", "id": "rs_1", "summary": _summary(thought)}
        sealed = "reasoning.encrypted_content" in body.get("include", ())
        found.append(item | ({"encrypted_content": SEALED} if sealed else {}))
    items = [{"type": "message"} | item for item in body["input"]]
    last, question = items[-1], _question(body)
    cities = [city for city in ("Paris", "Rome") if city in question]
    if last["type"] == "message" and body.get("tools") and cities:
        found += [_call(body["tools"][0], city, at) for at, city in enumerate(cities)]
        return found
    results = [item["output"] for item in items if item["type"].endswith("_output")]
    if results:
        text = " | ".join(results)
    elif body.get("text", {}).get("format", {}).get("type", "text") != "text":
        text = JSON_ANSWER
    else:
        text = SPOKEN
    return [*found, _message(text)]


def _summary(thought: tuple[str, ...]) -> list[Body]:
    return [{"type": "summary_text", "text": text} for text in thought]


def _message(text: str) -> Body:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    head = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
    return head | {"content": [part]}


def _call(tool: Body, city: str, at: int) -> Body:
    head = {"id": f"fc_{at}", "call_id": f"call_{city}", "name": tool["name"]}
    if tool["type"] == "custom":
        return head | {"type": "custom_tool_call", "input": city}
    arguments = json.dumps({"city": city})
    return head | {"type": "function_call", "arguments": arguments, "status": "completed"}


def _response(body: Body, output: list[Body], status: str, **more: Any) -> Body:
    response = {
        "id": "resp_68",
        "object": "response",
        "created_at": 1_750_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": f"{body['model']}-2026-01-01",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE if status in ("completed", "incomplete") else None,
    } | more
    Response.model_validate(response)
    return response


def _ending(body: Body, output: list[Body]) -> Body:
    """How it ends: cut short when the limit is below the words, failed when that is asked for."""
    question = _question(body)
    if "fail" in question:
        error = {"code": "server_error", "message": FAILURE}
        return _response(body, [], "failed", error=error)
    if body.get("max_output_tokens", 1000) < 20:
        details = {"reason": "max_output_tokens"}
        return _response(body, output, "incomplete", incomplete_details=details)
    return _response(body, output, "completed")


async def _answer(call: Call) -> None:
    body = call.body
    output = _output(body)
    last = _ending(body, output)
    if not body.get("stream"):
        await call.json(last)
        return
    await call.start()
    number = 0

    async def say(kind: str, **fields: Any) -> None:
        nonlocal number
        event = {"type": kind, "sequence_number": number, **fields}
        number += 1
        _event.validate_python(event)
        await call.write(f"event: {kind}\ndata: {json.dumps(event)}\n\n")

    begun = _response(body, [], "in_progress")
    await say("response.created", response=begun)
    await say("response.in_progress", response=begun)
    for at, item in enumerate(output):
        for kind, fields in _events(at, item):
            await say(kind, **fields)
        if "hang" in _question(body):
            await call.gone.wait()
            return
        if "break off" in _question(body):
            await asyncio.sleep(PAUSE)
            await call.write("", more=False)
            return
        if last["status"] == "failed":
            await asyncio.sleep(PAUSE)
    await say(f"response.{last['status']}", response=last)
    await call.write("", more=False)


def _events(at: int, item: Body) -> Iterator[tuple[str, Body]]:
    place = {"output_index": at}
    inner = place | {"item_id": item["id"]}
    kind = item["type"]
    empty = {"message": {"content": []}, "reasoning": {"summary": []}}
    empty |= {"function_call": {"arguments": ""}, "custom_tool_call": {"input": ""}}
    yield "response.output_item.added", place | {"item": item | empty[kind]}
    if kind == "message":
        (part,) = item["content"]
        here = inner | {"content_index": 0}
        yield "response.content_part.added", here | {"part": part | {"text": ""}}
        for piece in _pieces(part["text"]):
            yield "response.output_text.delta", here | {"delta": piece, "logprobs": []}
        yield "response.output_text.done", here | {"text": part["text"], "logprobs": []}
        yield "response.content_part.done", here | {"part": part}
    elif kind == "reasoning":
        for index, part in enumerate(item["summary"]):
            here = inner | {"summary_index": index}
            yield "response.reasoning_summary_part.added", here | {"part": part | {"text": ""}}
            for piece in _pieces(part["text"]):
                yield "response.reasoning_summary_text.delta", here | {"delta": piece}
            yield "response.reasoning_summary_text.done", here | {"text": part["text"]}
            yield "response.reasoning_summary_part.done", here | {"part": part}
    elif kind == "function_call":
        for piece in _pieces(item["arguments"]):
            yield "response.function_call_arguments.delta", inner | {"delta": piece}
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield "response.function_call_arguments.done", inner | done
    else:
        yield "response.custom_tool_call_input.delta", inner | {"delta": item["input"]}
        yield "response.custom_tool_call_input.done", inner | {"input": item["input"]}
    yield "response.output_item.done", place | {"item": item}


def _pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]
