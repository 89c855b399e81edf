"""The built-in `demo` provider: a small OpenAI-compatible service that needs no network and no key.

Strategy: the same request always gets the same answer. A reply is worked out whole, as a list of
short tokens, and then sent either at once or token by token; so streaming, limits, stop words and
counts agree by construction. It holds no language model and says so in every answer.
"""

import array
import asyncio
import base64
import hashlib
import math
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import msgspec

from ollama_bridge.errors import BadRequest, BridgeError, ModelNotFound

Json = Any
Body = Mapping[str, Json]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Reply = dict[str, Json] | list[dict[str, Json]]
"""One object, or the events of a stream."""

CHAT, EMBED = "demo", "demo-embed"
DIMENSIONS = 384
CREATED = 1_750_000_000
"""A fixed date, so that answers and the list of models never change."""

LABEL = (
    "This is Ollama Bridge's built-in demo model; "
    "add a provider with `ollama-bridge providers add` to talk to a real one."
)
QUOTED = 400
"""Characters of the user's words that an answer repeats."""

MODELS: tuple[dict[str, Json], ...] = (
    {
        "id": CHAT,
        "object": "model",
        "created": CREATED,
        "owned_by": "ollama-bridge",
        "context_length": 32768,
        "capabilities": ["completion", "tools", "insert", "vision", "thinking"],
        "supported_parameters": [
            "logprobs",
            "max_tokens",
            "reasoning",
            "response_format",
            "stop",
            "structured_outputs",
            "tool_choice",
            "tools",
            "top_logprobs",
        ],
    },
    {
        "id": EMBED,
        "object": "model",
        "created": CREATED,
        "owned_by": "ollama-bridge",
        "type": "embeddings",
        "context_length": 8192,
        "dimensions": DIMENSIONS,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["embeddings"]},
        "supported_parameters": ["dimensions", "encoding_format"],
    },
)


class Demo:
    """The ASGI application; `delay` is the pause between two tokens of a stream, in seconds."""

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:  # the client has gone
            return
        try:
            reply = answer(scope["method"], scope["path"], body)
        except BridgeError as error:
            await _send_json(send, error.status, _failure(error))
            return
        if isinstance(reply, dict):
            await _send_json(send, 200, reply)
        else:
            await self._stream(reply, receive, send)

    async def _stream(self, events: list[dict[str, Json]], receive: Receive, send: Send) -> None:
        await _start(send, 200, b"text/event-stream")
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            for event in events:
                await _send_part(send, b"data: %b\n\n" % msgspec.json.encode(event))
                await asyncio.wait((gone,), timeout=self._delay)
                if gone.done():
                    return
            await _send_part(send, b"data: [DONE]\n\n", last=True)
        finally:
            gone.cancel()


def answer(method: str, path: str, body: bytes) -> Reply:
    """Work out the reply to a request; the errors it raises carry the status."""
    if path.startswith("/v1/models/") and method == "GET":
        return _model(path.removeprefix("/v1/models/"))
    route = _ROUTES.get((method, path))
    if route is None:
        raise _NoRouteError(f"Unknown request URL: {method} {path}")
    try:
        return route(_object(body) if method == "POST" else {})
    except RecursionError as error:
        raise BadRequest("The JSON body of your request is nested too deeply") from error


class _NoRouteError(BridgeError):
    """No such path, or not with this method."""

    status = 404


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the model says: thoughts, then a call or text, each in tokens."""

    thoughts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    call: dict[str, Json] | None = None
    finish: str = "stop"

    @property
    def tokens(self) -> int:
        """All that was generated."""
        call = _tokens(self.call["function"]["arguments"]) if self.call else []
        return len(self.thoughts) + len(self.words) + len(call)


# Routes


def _models(_: Body) -> Reply:
    return {"object": "list", "data": list(MODELS)}


def _model(name: str) -> Reply:
    return next((model for model in MODELS if model["id"] == name), None) or _no_model(name)


def _chat(body: Body) -> Reply:
    name = _talker(body)
    messages = _messages(body)
    said = _limited(_chat_answer(body, messages), _limit(body))
    top = (_ranks(body, "top_logprobs", 20) or 0) if body.get("logprobs") else None
    frame = _frame("chatcmpl", "chat.completion", name, body)
    usage = _usage(_count(messages) + _count(body.get("tools")), said)
    if body.get("stream"):
        return list(_chat_events(frame, said, top, usage if _wants_usage(body) else None))
    text = None if said.call else "".join(said.words)
    message: dict[str, Json] = {"role": "assistant", "content": text}
    if said.thoughts:
        message["reasoning_content"] = "".join(said.thoughts)
    if said.call:
        message["tool_calls"] = [said.call]
    choice = {"index": 0, "message": message, "finish_reason": said.finish}
    if top is not None:
        choice["logprobs"] = _logprobs(said.words, top)
    return {**frame, "choices": [choice], "usage": usage}


def _completions(body: Body) -> Reply:
    name = _talker(body)
    prompt, suffix = _prompt(body), body.get("suffix")
    text = _between(prompt, suffix) if isinstance(suffix, str) and suffix else _continued(prompt)
    words = _tokens(_until_stop(text, _stops(body)))
    said = _limited(_Answer(words=words), _limit(body))
    frame = _frame("cmpl", "text_completion", name, body)
    usage = _usage(_count(prompt) + _count(suffix), said)
    top = _ranks(body, "logprobs", 5)
    if body.get("stream"):
        return list(_text_events(frame, said, top, usage if _wants_usage(body) else None))
    return {
        **frame,
        "choices": [_text_choice("".join(said.words), said.words, top, said.finish)],
        "usage": usage,
    }


def _embeddings(body: Body) -> Reply:
    name = _model_of(body)
    texts = _inputs(body.get("input"))
    dimensions = body.get("dimensions")
    if dimensions is None:
        dimensions = DIMENSIONS
    if not _is_whole(dimensions) or not 0 < dimensions <= DIMENSIONS:
        raise BadRequest(f"'dimensions' must be a whole number from 1 to {DIMENSIONS}")
    form = _FORMS.get(str(body.get("encoding_format") or "float"))
    if form is None:
        raise BadRequest("'encoding_format' must be 'float' or 'base64'")
    data = [
        {"object": "embedding", "index": index, "embedding": form(_vector(text, dimensions))}
        for index, text in enumerate(texts)
    ]
    tokens = _count(texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


_ROUTES: Mapping[tuple[str, str], Callable[[Body], Reply]] = {
    ("GET", "/v1/models"): _models,
    ("POST", "/v1/chat/completions"): _chat,
    ("POST", "/v1/completions"): _completions,
    ("POST", "/v1/embeddings"): _embeddings,
}


# Reading a request


def _object(body: bytes) -> Body:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("The JSON body of your request must be an object")
    return value


def _model_of(body: Body) -> str:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise BadRequest("you must provide a model parameter")
    return name if any(model["id"] == name for model in MODELS) else _no_model(name)


def _talker(body: Body) -> str:
    name = _model_of(body)
    if name == EMBED:
        raise BadRequest(f"{EMBED} makes embeddings and no text; use {CHAT}")
    return name


def _no_model(name: str) -> Any:
    raise ModelNotFound(f"The model `{name}` does not exist; this service has {CHAT} and {EMBED}")


def _messages(body: Body) -> list[Body]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be an array with at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"'messages[{index}]' must be an object with a role")
        if not isinstance(message.get("content"), str | list | None):
            raise BadRequest(f"'messages[{index}].content' must be a string or an array of parts")
    return messages


def _limit(body: Body) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        limit = body.get(name)
        if limit is None:
            continue
        if not _is_whole(limit) or limit < 1:
            raise BadRequest(f"'{name}' must be a whole number of at least 1")
        return limit
    return None


def _stops(body: Body) -> list[str]:
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise BadRequest("'stop' must be a string or an array of strings")
    return [item for item in stops if item]


def _ranks(body: Body, name: str, most: int) -> int | None:
    """Read how many alternatives to tell for each token."""
    ranks = body.get(name)
    if ranks is None:
        return None
    if not _is_whole(ranks) or not 0 <= ranks <= most:
        raise BadRequest(f"'{name}' must be a whole number from 0 to {most}")
    return ranks


def _prompt(body: Body) -> str:
    prompt = body.get("prompt") or ""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("'prompt' must be one string")
    return prompt


def _inputs(value: Json) -> list[str]:
    """Read the texts to embed; a list of token numbers counts as a text of these numbers."""
    values = value if isinstance(value, list) and value else [value]
    if all(map(_is_whole, values)):
        values = [values]
    return [_input(item) for item in values]


def _input(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(map(_is_whole, value)):
        return " ".join(map(str, value))
    raise BadRequest("'input' must be a string, an array of strings or of tokens, and not empty")


def _wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _is_whole(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


# Making up an answer


def _chat_answer(body: Body, messages: list[Body]) -> _Answer:
    question = _question(messages)
    effort = body.get("reasoning_effort")
    thoughts = _tokens(_thought(question)) if effort and effort != "none" else []
    if tool := _tool(body, messages, question):
        call = _call(tool, question, len(messages))
        return _Answer(thoughts, call=call, finish="tool_calls")
    text = _structured(body, question) or _about_results(messages) or _talk(messages, question)
    return _Answer(thoughts, _tokens(_until_stop(text, _stops(body))))


def _thought(question: str) -> str:
    return f"The user wrote {_quote(question)}. No model runs here, so I repeat what I was sent."


def _talk(messages: list[Body], question: str) -> str:
    told = " ".join(_text(m) for m in messages if m["role"] in ("system", "developer"))
    lines = [LABEL, f"You said: {_quote(question)}"]
    lines += [f"You sent {attachment}." for attachment in _attachments(messages)]
    if told:
        lines.append(f"My instructions are: {_quote(told)}")
    return "\n\n".join(lines)


def _about_results(messages: list[Body]) -> str:
    """Tell what the tools said, if theirs are the last messages."""
    names = _call_names(messages)
    lines: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        asked = message.get("tool_call_id")
        name = message.get("name") or (names.get(asked) if isinstance(asked, str) else None)
        lines.append(f"The tool {name or 'you ran'} answered: {_quote(_text(message))}")
    return "\n\n".join([*reversed(lines), LABEL]) if lines else ""


def _call_names(messages: list[Body]) -> dict[str, str]:
    calls = [call for message in messages for call in _items(message.get("tool_calls"))]
    return {
        call["id"]: str(_part(call, "function").get("name"))
        for call in calls
        if isinstance(call.get("id"), str)
    }


def _continued(prompt: str) -> str:
    return f" {LABEL} Your text was: {_quote(prompt)}"


def _between(prompt: str, suffix: str) -> str:
    before, after = prompt.split()[-1:], suffix.split()[:1]
    return f" [demo: text between {_quote(''.join(before))} and {_quote(''.join(after))}] "


def _question(messages: list[Body]) -> str:
    return next((_text(m) for m in reversed(messages) if m["role"] == "user"), "")


def _text(message: Body) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in _items(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _attachments(messages: list[Body]) -> list[str]:
    """Type and size of each image or other file in the last user message."""
    users = [message for message in messages if message["role"] == "user"]
    parts = _items(users[-1].get("content")) if users else []
    return [_attachment(part) for part in parts if part.get("type") != "text"]


def _attachment(part: Body) -> str:
    kind = part.get("type")
    content = part.get(kind) if isinstance(kind, str) else None
    content = content if isinstance(content, dict) else {"url": content}
    if kind == "input_audio":
        return _file(f"audio/{content.get('format')}", str(content.get("data")))
    url = str(content.get("url") or content.get("file_data"))
    if url.startswith(("http://", "https://")):
        return f"a link to {url[:QUOTED]}, which I cannot open offline"
    head, comma, data = url.partition(";base64,")
    if not comma or not head.startswith("data:"):
        raise BadRequest(
            f"a message part of type {kind!r} must hold a link or a data: URL in base64"
        )
    return _file(head.removeprefix("data:"), data)


def _file(media: str, data: str) -> str:
    try:
        size = len(base64.b64decode(data, validate=True))
    except ValueError as error:
        raise BadRequest(f"a file of type {media} is not valid base64") from error
    return f"a file of type {media}, {size} bytes"


def _until_stop(text: str, stops: list[str]) -> str:
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def _limited(said: _Answer, limit: int | None) -> _Answer:
    """As much of the answer as the limit allows; thoughts count, as with real models."""
    if limit is None or said.tokens <= limit:
        return said
    left = max(0, limit - len(said.thoughts))
    return _Answer(said.thoughts[:limit], said.words[:left], finish="length")


# Tools


_WORD = re.compile(r"[^\W_]+")
_WORD_OR_MARK = re.compile(r"[\w'-]+|\S")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

_COMMON = frozenset(
    _WORD.findall("""
    a about all an and any are at be by can could did do does for from give has have hello here hey
    how i if in into is it its me my name no not now of on one or our please should so some tell
    thank thanks that the their them then there these they this to today tool tools use user using
    want was we were what when where which who why will with would yes you your
    """)
)
"""Words that tell nothing about what a question is about."""

_ORDERS = frozenset(
    _WORD.findall("""
    add ask book buy calculate call check compute convert create delete divide fetch find get list
    look make multiply open play read run search send set show translate turn write
    """)
)
"""Verbs that begin an order; a capital letter does not make them a name."""


def _tool(body: Body, messages: list[Body], question: str) -> Body | None:
    """Choose the function to call: a forced one, or one that the user seems to ask for."""
    functions = [_part(tool, "function") for tool in _items(body.get("tools"))]
    functions = [function for function in functions if isinstance(function.get("name"), str)]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return _named(functions, _part(choice, "function").get("name"))
    asked = messages[-1]["role"] == "user" or choice == "required"
    if not functions or choice == "none" or not asked:
        return None
    topic = _topic(question)
    fitting = (function for function in functions if topic & _topic(_describe(function)))
    return next(fitting, functions[0] if choice == "required" else None)


def _named(functions: list[Body], name: Json) -> Body:
    for function in functions:
        if function["name"] == name:
            return function
    raise BadRequest(f"'tool_choice' names the function {name!r}, which is not among 'tools'")


def _describe(function: Body) -> str:
    name = _CAMEL.sub(" ", function["name"])
    return f"{name} {function.get('description') or ''}"


def _topic(text: str) -> set[str]:
    words = {word.lower() for word in _WORD.findall(text)}
    return {word.removesuffix("s") for word in words - _COMMON if len(word) > 2}


def _call(function: Body, question: str, turn: int) -> dict[str, Json]:
    name, arguments = function["name"], fill(function.get("parameters"), question)
    text = msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()
    return {
        "id": f"call_{_digest(f'{turn} {name} {text}')}",
        "type": "function",
        "function": {"name": name, "arguments": text},
    }


# JSON for a schema


def _structured(body: Body, question: str) -> str:
    """JSON text, if the request wants that."""
    wanted = body.get("response_format")
    if wanted is None:
        return ""
    kind = _part(body, "response_format").get("type")
    if kind == "text":
        return ""
    if kind not in ("json_object", "json_schema"):
        raise BadRequest("'response_format.type' must be text, json_object or json_schema")
    schema = (_part(wanted, "json_schema") if kind == "json_schema" else wanted).get("schema")
    if kind == "json_schema" and not isinstance(schema, dict):
        raise BadRequest("'response_format.json_schema.schema' must be an object")
    value = fill(schema, question) if schema else {"note": LABEL, "you_said": question[:QUOTED]}
    return msgspec.json.encode(value).decode()


def fill(schema: Json, question: str) -> Json:
    """Make a value valid for the schema, of the question's names and numbers where they fit."""
    return _Filler(schema, question).value(schema)


class _Filler:
    """Makes a value for a JSON schema; holds what of the question is not used yet."""

    SHALLOW, DEEPEST, MOST = 4, 32, 2000
    """Levels with optional parts, levels at all, values at all: a schema may contain itself."""

    def __init__(self, root: Json, question: str) -> None:
        self._root = root
        self._question = question[:QUOTED] or CHAT
        self._names = _names(question)
        self._numbers = [float(number) for number in _NUMBER.findall(question)]
        self._made = 0

    def value(self, schema: Json, depth: int = 0) -> Json:
        """Make the value of one part of the schema."""
        self._made += 1
        if depth > self.DEEPEST or self._made > self.MOST:
            raise BadRequest("the JSON schema has no end, or wants more than the demo model makes")
        schema = self._resolved(schema, depth)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if isinstance(choices := schema.get("enum"), list) and choices:
            return self._choice(choices)
        kind = _kind(schema)
        if kind in _FIXED:
            return _FIXED[kind]
        makers = {"object": self._object, "array": self._array}
        return makers.get(kind, self._scalar)(schema, depth)

    def _resolved(self, schema: Json, depth: int) -> Body:
        """Follow references, merge parts and choose one of the alternatives."""
        found: dict[str, Json] = dict(schema) if isinstance(schema, dict) else {}
        for _ in range(self.DEEPEST):
            if "$ref" in found:
                found = _merged(self._at(found.pop("$ref")), found)
            elif parts := _items(found.pop("allOf", None)):
                for part in parts:
                    found = _merged(found, self._resolved(part, depth))
            elif branches := _items(found.pop("anyOf", None) or found.pop("oneOf", None)):
                found = _merged(found, _branch(branches, null=depth > self.SHALLOW))
            else:
                break
        return found

    def _at(self, reference: Json) -> Body:
        """Find what a reference like `#/$defs/City` points to; nothing if it leads elsewhere."""
        found: Body = {"": self._root}
        for step in str(reference).removeprefix("#").split("/"):
            found = _part(found, step.replace("~1", "/").replace("~0", "~"))
        return found

    def _choice(self, choices: list[Json]) -> Json:
        said = (item for item in choices if isinstance(item, str) and item.lower() in self._said)
        return next(said, choices[0])

    @property
    def _said(self) -> set[str]:
        return {word.lower() for word in _WORD_OR_MARK.findall(self._question)}

    def _object(self, schema: Body, depth: int) -> Json:
        properties, names = _part(schema, "properties"), schema.get("required")
        if names is None:
            names = list(properties) if depth <= self.SHALLOW else []
        names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return {name: self.value(properties.get(name), depth + 1) for name in names}

    def _array(self, schema: Body, depth: int) -> Json:
        least, most = _whole(schema, "minItems") or 0, _whole(schema, "maxItems")
        most = self.MOST if most is None else most
        kinds = schema.get("prefixItems")
        kinds = kinds[:most] if isinstance(kinds, list) else []
        count = min(max(least, int(depth <= self.SHALLOW)), most) - len(kinds)
        kinds = [*kinds, *[schema.get("items")] * min(count, self.MOST)]
        values: list[Json] = []
        for kind in kinds:
            value = self.value(kind, depth + 1)
            values.append(self._other(value, kind, values) if schema.get("uniqueItems") else value)
        return values

    def _other(self, value: Json, schema: Json, taken: list[Json]) -> Json:
        """Make a value that is not taken yet."""
        choices = self._resolved(schema, 0).get("enum")
        others = choices if isinstance(choices, list) else _variants(value, len(taken))
        return next((other for other in [value, *others] if other not in taken), value)

    def _scalar(self, schema: Body, _: int) -> Json:
        kind = _kind(schema)
        return self._string(schema) if kind == "string" else self._number(schema, kind == "integer")

    def _string(self, schema: Body) -> str:
        if sample := _SAMPLES.get(str(schema.get("format"))):
            return sample
        text = self._names.pop(0) if self._names else self._question
        longest, shortest = _whole(schema, "maxLength"), _whole(schema, "minLength") or 0
        return text[:longest].ljust(min(shortest, 1 << 14), ".")

    def _number(self, schema: Body, whole: bool) -> float:  # noqa: FBT001 - which of two types
        kinds = {**schema, "multipleOf": _bound(schema, "multipleOf") or 1} if whole else schema
        guesses = [*self._numbers, *_guesses(kinds)]
        number = next((guess for guess in guesses if _fits(guess, kinds)), 1.0)
        if number in self._numbers:
            self._numbers.remove(number)
        return int(number) if number.is_integer() else number


_FIXED = {"boolean": True, "null": None}
_KINDS = frozenset({"object", "array", "string", "number", "integer", *_FIXED})

_HINTS = {
    "properties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "minimum": "number",
    "maximum": "number",
}
"""Keys that tell the type of a schema that does not."""

_SAMPLES = {
    "date": "2025-01-31",
    "date-time": "2025-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_LIMITS: Mapping[str, Callable[[float, float], bool]] = {
    "minimum": float.__ge__,
    "maximum": float.__le__,
    "exclusiveMinimum": float.__gt__,
    "exclusiveMaximum": float.__lt__,
}


def _kind(schema: Body) -> str:
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    known = [kind for kind in kinds if isinstance(kind, str) and kind in _KINDS]
    hinted = next((hint for key, hint in _HINTS.items() if key in schema), "string")
    return next((kind for kind in known if kind != "null"), known[0] if known else hinted)


def _merged(first: Body, second: Body) -> dict[str, Json]:
    """Join two schemas that both hold."""
    merged = {**first, **second}
    if properties := {**_part(first, "properties"), **_part(second, "properties")}:
        merged["properties"] = properties
    one, two = first.get("required"), second.get("required")
    if isinstance(one, list) and isinstance(two, list):
        merged["required"] = [*one, *(name for name in two if name not in one)]
    return merged


def _branch(branches: list[Body], *, null: bool) -> Body:
    wanted = [branch for branch in branches if (branch.get("type") == "null") is null]
    return (wanted or branches)[0]


def _fits(number: float, schema: Body) -> bool:
    step = _bound(schema, "multipleOf")
    if step and not math.isclose(number / step, round(number / step), abs_tol=1e-9):
        return False
    bounds = ((obeys, _bound(schema, key)) for key, obeys in _LIMITS.items())
    return all(bound is None or obeys(number, bound) for obeys, bound in bounds)


def _guesses(schema: Body) -> Iterator[float]:
    """Give numbers to try, the most ordinary first."""
    bounds = [bound for key in _LIMITS if (bound := _bound(schema, key)) is not None]
    step = _bound(schema, "multipleOf") or 1.0
    for start in (1.0, *bounds, sum(bounds) / max(1, len(bounds))):
        near = math.floor(start / step) * step
        yield from (start, near, near + step, near - step)


def _bound(schema: Body, key: str) -> float | None:
    value: Json = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == 0 or 1e-9 < abs(value) < 1e15 else None


def _whole(schema: Body, key: str) -> int | None:
    value = schema.get(key)
    return max(0, value) if _is_whole(value) else None


def _variants(value: Json, count: int) -> list[Json]:
    """Values like this one but different."""
    if isinstance(value, str):
        return [f"{value} {number}" for number in range(2, count + 2)]
    if value is True:
        return [False]
    return [value + more for more in range(1, count + 1)] if isinstance(value, int | float) else []


def _names(question: str) -> list[str]:
    """Find what looks like a name: words with a capital letter, but for common words and orders.

    One word at the start of a sentence is the least likely, so these come last.
    """
    sure: list[str] = []
    unsure: list[str] = []
    for sentence in re.split(r"[.!?\n]\s+", question):
        for words in _runs(_WORD_OR_MARK.findall(sentence)):
            alone = len(words) == 1 and sentence.startswith(words[0])
            (unsure if alone else sure).append(" ".join(words))
    return sure + unsure


def _runs(words: list[str]) -> list[list[str]]:
    """Group neighbours with a capital letter."""
    runs: list[list[str]] = [[]]
    for word in words:
        if word[0].isupper() and (runs[-1] or word.lower() not in _COMMON | _ORDERS):
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


# Embeddings


def _vector(text: str, dimensions: int) -> list[float]:
    """Make a unit vector that is near to those of texts with the same words or parts of words."""
    sums = [0.0] * DIMENSIONS
    for feature, weight in _features(text):
        for place, amount in _places(feature):
            sums[place] += weight * amount
    sums = sums[:dimensions]
    length = math.hypot(*sums)
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)
    return [number / length for number in sums]


def _features(text: str) -> Iterator[tuple[str, float]]:
    """List the words that tell something, and every three letters of them at a lower weight."""
    words = [word.lower() for word in _WORD.findall(text)]
    telling = [word for word in words if word not in _COMMON]
    for word in telling or words or [text]:
        yield word, 1.0
        marked = f"<{word}>"
        yield from ((marked[at : at + 3], 0.5) for at in range(len(marked) - 2))


def _places(feature: str) -> Iterator[tuple[int, float]]:
    """Tell where a feature adds to the vector, and how much."""
    digest = hashlib.blake2b(feature.encode(), digest_size=48).digest()
    for high, low, amount in zip(digest[::3], digest[1::3], digest[2::3], strict=True):
        yield (high << 8 | low) % DIMENSIONS, amount - 127.5


def _as_floats(vector: list[float]) -> Json:
    return [float(f"{number:.9g}") for number in array.array("f", vector)]


def _as_base64(vector: list[float]) -> Json:
    floats = array.array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


_FORMS: Mapping[str, Callable[[list[float]], Json]] = {"float": _as_floats, "base64": _as_base64}


# Writing a reply


def _frame(prefix: str, kind: str, model: str, body: Body) -> dict[str, Json]:
    name = f"{prefix}-{_digest(repr(body))}"
    return {"id": name, "object": kind, "created": CREATED, "model": model}


def _chat_events(
    frame: dict[str, Json], said: _Answer, top: int | None, usage: Json
) -> Iterator[dict[str, Json]]:
    frame = {**frame, "object": "chat.completion.chunk"}
    for delta in _deltas(said):
        choice: dict[str, Json] = {"index": 0, "delta": delta, "finish_reason": None}
        if top is not None and delta.get("content"):
            choice["logprobs"] = _logprobs([delta["content"]], top)
        yield {**frame, "choices": [choice]}
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": said.finish}]}
    if usage:
        yield {**frame, "choices": [], "usage": usage}


def _deltas(said: _Answer) -> Iterator[dict[str, Json]]:
    yield {"role": "assistant", "content": None if said.call else ""}
    yield from ({"reasoning_content": thought} for thought in said.thoughts)
    yield from ({"content": word} for word in said.words)
    if said.call:
        function = said.call["function"]
        head = {**said.call, "index": 0, "function": {**function, "arguments": ""}}
        yield {"tool_calls": [head]}
        for piece in _tokens(function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _text_events(
    frame: dict[str, Json], said: _Answer, top: int | None, usage: Json
) -> Iterator[dict[str, Json]]:
    for word in said.words:
        yield {**frame, "choices": [_text_choice(word, [word], top, None)]}
    yield {**frame, "choices": [_text_choice("", [], None, said.finish)]}
    if usage:
        yield {**frame, "choices": [], "usage": usage}


def _text_choice(text: str, words: list[str], top: int | None, finish: str | None) -> Json:
    logprobs = None if top is None else _text_logprobs(words, top)
    return {"index": 0, "text": text, "finish_reason": finish, "logprobs": logprobs}


def _text_logprobs(words: list[str], top: int) -> Json:
    ranked = [_alternatives(word, top) for word in words]
    return {
        "tokens": words,
        "token_logprobs": [_logprob(word) for word in words],
        "top_logprobs": [{item["token"]: item["logprob"] for item in items} for items in ranked],
        "text_offset": [sum(map(len, words[:index])) for index in range(len(words))],
    }


def _logprobs(words: list[str], top: int) -> Json:
    return {"content": [_scored(word, top) for word in words], "refusal": None}


def _scored(word: str, top: int) -> dict[str, Json]:
    return {**_chance(word, _logprob(word)), "top_logprobs": _alternatives(word, top)}


def _alternatives(word: str, top: int) -> list[dict[str, Json]]:
    """The word itself and made-up words less likely than it."""
    best = _logprob(word)
    others = [_chance(f"{word}~{rank}", best - rank) for rank in range(1, top)]
    return [_chance(word, best), *others][:top]


def _chance(token: str, logprob: float) -> dict[str, Json]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def _logprob(word: str) -> float:
    return -int(_digest(word)[:2], 16) / 256


def _usage(prompt_tokens: int, said: _Answer) -> dict[str, Json]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": said.tokens,
        "total_tokens": prompt_tokens + said.tokens,
        "completion_tokens_details": {"reasoning_tokens": len(said.thoughts)},
    }


_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


def _tokens(text: str) -> list[str]:
    """Cut the text into words and marks, each with the space before it."""
    return _TOKEN.findall(text)


def _count(value: Json) -> int:
    """Tokens in all texts of a JSON value but files."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(_tokens(value))
    if isinstance(value, Mapping):
        value = list(value.values())
    return sum(map(_count, value)) if isinstance(value, list) else 0


def _quote(text: str) -> str:
    return f"“{text if len(text) <= QUOTED else text[:QUOTED] + '…'}”"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _items(value: Json) -> list[Body]:
    """Take the objects of a list; nothing of anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _part(value: Body, key: str) -> Body:
    part = value.get(key)
    return part if isinstance(part, dict) else {}


def _failure(error: BridgeError) -> dict[str, Json]:
    code = {ModelNotFound: "model_not_found", _NoRouteError: "unknown_url"}.get(type(error))
    return {
        "error": {
            "message": error.message,
            "type": "invalid_request_error",
            "param": None,
            "code": code,
        }
    }


# ASGI


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _read(receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, status: int, media: bytes) -> None:
    headers = [(b"content-type", media)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send_part(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})


async def _send_json(send: Send, status: int, value: dict[str, Json]) -> None:
    body = msgspec.json.encode(value)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _send_part(send, body, last=True)


app = Demo()
