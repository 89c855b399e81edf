"""What the chat model says: thoughts, then text, JSON or a call of a tool."""

import base64
import itertools
from collections.abc import Iterator

import msgspec

from ollama_bridge.demo import models, reply, request, schema, tools
from ollama_bridge.demo.models import LABEL
from ollama_bridge.demo.reply import Answer, Reply
from ollama_bridge.demo.request import Body, Json, items, part
from ollama_bridge.demo.words import QUOTED, quote, tokens
from ollama_bridge.errors import BadRequest


def respond(body: Body) -> Reply:
    """Answer a request to /v1/chat/completions."""
    models.talker(body)
    messages = request.messages(body)
    answer = reply.limited(_answer(body, messages), body)
    top = (request.whole_number(body, "top_logprobs", 0, 20) or 0) if body.get("logprobs") else None
    kind = "chat.completion.chunk" if body.get("stream") else "chat.completion"
    head = reply.frame(body, "chatcmpl", kind)
    used = reply.usage([messages, body.get("tools")], answer)
    return reply.written(body, head, used, _choice(answer, top), _chunks(answer, top))


def _answer(body: Body, messages: list[Body]) -> Answer:
    user = next((message for message in reversed(messages) if message["role"] == "user"), {})
    question = _text(user)
    effort = body.get("reasoning_effort")
    thoughts = tokens(_thought(question)) if effort and effort != "none" else []
    if function := tools.chosen(body, question, asked=messages[-1]["role"] == "user"):
        call = tools.call(function, question, len(messages))
        return Answer(thoughts, call=call, finish="tool_calls")
    text = _structured(body, question) or _about_results(messages) or _talk(messages, user)
    return Answer(thoughts, reply.until_stop(text, body))


def _thought(question: str) -> str:
    return f"The user wrote {quote(question)}. No model runs here, so I repeat what I was sent."


def _structured(body: Body, question: str) -> str:
    """JSON text, if the request wants that."""
    wanted = part(body, "response_format")
    kind = wanted.get("type")
    if body.get("response_format") is None or kind == "text":
        return ""
    if kind not in ("json_object", "json_schema"):
        raise BadRequest("'response_format.type' must be text, json_object or json_schema")
    form = (part(wanted, "json_schema") if kind == "json_schema" else wanted).get("schema")
    if kind == "json_schema" and not isinstance(form, dict):
        raise BadRequest("'response_format.json_schema.schema' must be an object")
    note = {"note": LABEL, "you_said": question[:QUOTED]}
    return msgspec.json.encode(schema.fill(form, question) if form else note).decode()


def _about_results(messages: list[Body]) -> str:
    """What the tools said, if theirs are the last messages."""
    calls = [call for message in messages for call in items(message.get("tool_calls"))]
    names = {str(call.get("id")): part(call, "function").get("name") for call in calls}
    lines: list[str] = []
    for message in itertools.takewhile(lambda message: message["role"] == "tool", messages[::-1]):
        name = message.get("name") or names.get(str(message.get("tool_call_id"))) or "you ran"
        lines.insert(0, f"The tool {name} answered: {quote(_text(message))}")
    return "\n\n".join([*lines, LABEL]) if lines else ""


def _talk(messages: list[Body], user: Body) -> str:
    files = [item for item in items(user.get("content")) if item.get("type") != "text"]
    told = " ".join(_text(m) for m in messages if m["role"] in ("system", "developer"))
    lines = [LABEL, f"You said: {quote(_text(user))}"]
    lines += [f"You sent {_file(file)}." for file in files]
    lines += [f"My instructions are: {quote(told)}"] if told else []
    return "\n\n".join(lines)


def _text(message: Body) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = [item.get("text") for item in items(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _file(item: Body) -> str:
    """Type and size of an image or other file; the model cannot look into it."""
    kind = str(item.get("type"))
    content = part(item, kind) or {"url": item.get(kind)}
    url = str(content.get("url") or content.get("file_data"))
    if kind == "input_audio":
        url = f"data:audio/{content.get('format')};base64,{content.get('data')}"
    if url.startswith(("http://", "https://")):
        return f"a link to {url[:QUOTED]}, which I cannot open offline"
    head, comma, data = url.partition(";base64,")
    if not comma or not head.startswith("data:"):
        raise BadRequest(
            f"a message part of type {kind!r} must hold a link or a data: URL in base64"
        )
    media = head.removeprefix("data:")
    try:
        size = len(base64.b64decode(data, validate=True))
    except ValueError as error:
        raise BadRequest(f"a file of type {media} is not valid base64") from error
    return f"a file of type {media}, {size} bytes"


def _choice(answer: Answer, top: int | None) -> dict[str, Json]:
    text = None if answer.call else "".join(answer.words)
    message: dict[str, Json] = {"role": "assistant", "content": text}
    if answer.thoughts:
        message["reasoning_content"] = "".join(answer.thoughts)
    if answer.call:
        message["tool_calls"] = [answer.call]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish}
    return {**choice, **_logprobs(answer.words, top)}


def _chunks(answer: Answer, top: int | None) -> Iterator[dict[str, Json]]:
    for delta in _deltas(answer):
        logprobs = _logprobs([delta["content"]], top) if delta.get("content") else {}
        yield {"index": 0, "delta": delta, "finish_reason": None, **logprobs}
    yield {"index": 0, "delta": {}, "finish_reason": answer.finish}


def _deltas(answer: Answer) -> Iterator[dict[str, Json]]:
    yield {"role": "assistant", "content": None if answer.call else ""}
    yield from ({"reasoning_content": thought} for thought in answer.thoughts)
    yield from ({"content": word} for word in answer.words)
    if answer.call:
        function = answer.call["function"]
        yield {
            "tool_calls": [{**answer.call, "index": 0, "function": {**function, "arguments": ""}}]
        }
        for piece in tokens(function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _logprobs(words: list[str], top: int | None) -> dict[str, Json]:
    if top is None:
        return {}
    content = [
        {**reply.ranked(word, 1)[0], "top_logprobs": reply.ranked(word, top)[:top]}
        for word in words
    ]
    return {"logprobs": {"content": content, "refusal": None}}
