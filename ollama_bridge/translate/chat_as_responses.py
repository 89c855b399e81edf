"""A chat completion request as one of /v1/responses, for models that speak nothing else (quirk A9).

Strategy: whatever route a client used, what goes up is a chat completion; it is turned into this
other form as the last step. Fields that both have pass as they are. What the other form has no word
for stands in a table with its reason; what would change the answer is refused.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ollama_bridge.errors import NotSupported
from ollama_bridge.translate import tools
from ollama_bridge.wire.responses import LEAST_TOKENS, word

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]

SEALED = "openai-responses-v1"
"""Format of sealed thoughts in `reasoning_details`: the name that routers gave it."""

LEFT_OUT: Mapping[str, str] = {
    "stop": "there are no stop strings; the answer is cut here",
    "stream_options": "the counts always come",
    "seed": "there is none, and it was never a promise",
    "presence_penalty": "there is no such dial",
    "frequency_penalty": "there is no such dial",
    "logit_bias": "there is no such dial",
    "prediction": "it only makes the same answer come sooner",
}
"""Fields without a counterpart, and why they can be missing."""


def to_responses(body: Object, left_out: Collection[str] = ()) -> Body:
    """The request to send; `left_out` are fields of it that this model refuses, with dots inside.

    Nothing is to be stored there, as nothing is with a chat. Raises NotSupported.
    """
    _refuse(body)
    sent: Body = {"store": False}
    for key, value in body.items():
        if key in LEFT_OUT or value is None:
            continue
        told = _FIELDS.get(key)
        _merge(sent, {key: value} if told is None else told(value))
    _keep_thoughts(sent)
    for path in left_out:
        _drop(sent, path.split("."))
    return sent


def _refuse(body: Object) -> None:
    several = body.get("n")
    if isinstance(several, int) and several > 1:
        raise NotSupported("this model gives one answer at a time: leave out `n`")
    modes = body.get("modalities")
    if body.get("audio") or (isinstance(modes, list) and "audio" in modes):
        raise NotSupported("this model answers in text only: leave out `audio` and `modalities`")


def _keep_thoughts(sent: Body) -> None:
    """Nothing is stored there, so what was thought before a call has to go along, sealed."""
    thinks = sent.get("reasoning", {}).get("effort") != "none"
    if sent.get("tools") and thinks:
        _merge(sent, {"include": ["reasoning.encrypted_content"]})


def _merge(sent: Body, more: Body) -> None:
    """Several fields of a chat may be parts of one here."""
    for key, value in more.items():
        before = sent.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            sent[key] = before | value
        elif isinstance(before, list) and isinstance(value, list):
            sent[key] = before + value
        else:
            sent[key] = value


def _drop(sent: Body, way: list[str]) -> None:
    holder: Any = sent
    for step in way[:-1]:
        holder = holder.get(step) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        holder.pop(way[-1], None)
    if len(way) > 1 and sent.get(way[0]) == {}:
        del sent[way[0]]


# fields


def _limit(value: Json) -> Body:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = max(LEAST_TOKENS, value)  # less is refused (quirk G17c)
    return {"max_output_tokens": value}


def _effort(value: Json) -> Body:
    """Thoughts are shown only to those who ask for them, and then as a summary."""
    shown = {} if value == "none" else {"summary": "auto"}
    return {"reasoning": {"effort": value} | shown}


def _reasoning(value: Json) -> Body:
    """A router's object; it can also say that there is to be no thinking."""
    if isinstance(value, dict) and value.get("enabled") is False:
        return _effort("none")
    effort = value.get("effort") if isinstance(value, dict) else None
    return {} if effort is None else _effort(effort)


def _format(value: Json) -> Body:
    if isinstance(value, str):
        return {"text": {"format": {"type": value}}}
    if not isinstance(value, dict):
        return {"text": {"format": value}}
    schema = value.get("json_schema")
    rest = {key: item for key, item in value.items() if key != "json_schema"}
    return {"text": {"format": rest | (schema if isinstance(schema, dict) else {})}}


def _verbosity(value: Json) -> Body:
    return {"text": {"verbosity": value}}


def _logprobs(value: Json) -> Body:
    return {"include": ["message.output_text.logprobs"]} if value is True else {}


def _tools(value: Json) -> Body:
    return {"tools": [_tool(item) for item in value] if isinstance(value, list) else value}


def _tool(tool: Json) -> Json:
    kind = word(tool, "type") if isinstance(tool, dict) else ""
    inner = tool.get(kind or "function") if isinstance(tool, dict) else None
    if not isinstance(inner, dict):
        return tool
    if kind == "custom":
        form = inner.get("format")
        grammar = form.get("grammar") if isinstance(form, dict) else None
        if isinstance(form, dict) and isinstance(grammar, dict):
            inner = inner | {"format": {"type": "grammar"} | grammar}
        return {"type": "custom"} | inner
    # here a schema counts as strict unless it says otherwise, and most are not written for that
    schema = inner.get("parameters") or {"type": "object", "properties": {}}
    strict = {"parameters": schema, "strict": bool(inner.get("strict"))}
    return {"type": "function"} | inner | strict


def _functions(value: Json) -> Body:
    """The field that `tools` took the place of."""
    given = value if isinstance(value, list) else []
    return _tools([{"type": "function", "function": item} for item in given])


def _tool_choice(value: Json) -> Body:
    return {"tool_choice": _choice(value)}


def _choice(value: Json) -> Json:
    kind = word(value, "type") if isinstance(value, dict) else ""
    inner = value.get(kind) if kind else None
    if not isinstance(inner, dict):
        return value
    if kind == "allowed_tools":
        named = inner.get("tools")
        named = [_choice(item) for item in named] if isinstance(named, list) else named
        return {"type": kind} | inner | {"tools": named}
    return {"type": kind, "name": inner.get("name")}


def _function_call(value: Json) -> Body:
    named = isinstance(value, dict)
    return {"tool_choice": {"type": "function", "name": value.get("name")} if named else value}


def _search(value: Json) -> Body:
    options = dict(value) if isinstance(value, dict) else {}
    place = options.get("user_location")
    if isinstance(place, dict) and isinstance(inner := place.get("approximate"), dict):
        options["user_location"] = {"type": "approximate"} | inner
    return {"tools": [{"type": "web_search"} | options]}


def _nothing(_: Json) -> Body:
    return {}


def _messages(value: Json) -> Body:
    turns = value if isinstance(value, list) else []
    items = _Items()
    return {"input": [item for turn in turns for item in items.of(turn)]}


_FIELDS: Mapping[str, Callable[[Json], Body]] = {
    "messages": _messages,
    "max_tokens": _limit,
    "max_completion_tokens": _limit,
    "reasoning_effort": _effort,
    "reasoning": _reasoning,
    "response_format": _format,
    "verbosity": _verbosity,
    "logprobs": _logprobs,
    "tools": _tools,
    "functions": _functions,
    "tool_choice": _tool_choice,
    "function_call": _function_call,
    "web_search_options": _search,
    "n": _nothing,
    "modalities": _nothing,
}
"""Fields with another name or form; all others are the same in both."""


# messages


class _Items:
    """Messages one by one, each as the items it is here."""

    def __init__(self) -> None:
        self._custom: set[str] = set()
        self._legacy: dict[str, str] = {}
        self._count = 0

    def of(self, turn: Json) -> Iterator[Json]:
        """What one message is; one that is no message is the upstream's to refuse."""
        if not isinstance(turn, dict):
            yield turn
            return
        role = word(turn, "role")
        if role == "assistant":
            yield from self._assistant(turn)
        elif role == "tool":
            yield self._result(word(turn, "tool_call_id"), turn)
        elif role == "function":
            yield self._result(self._legacy.get(word(turn, "name"), ""), turn)
        else:
            yield {"type": "message", "role": role, "content": _content(turn.get("content"))}

    def _assistant(self, turn: Object) -> Iterator[Body]:
        thoughts = _thoughts(turn)
        yield from thoughts.get((False, 0), ())
        said = _text(turn.get("content")) or word(turn, "refusal")
        if said:
            yield {"type": "message", "role": "assistant", "content": said}
        yield from thoughts.get((True, 0), ())
        calls = turn.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            for after_text in (False, True) if place else ():
                yield from thoughts.get((after_text, place), ())
            if isinstance(call, dict):
                yield self._call(call)
        if isinstance(function := turn.get("function_call"), dict):
            self._count += 1
            self._legacy[word(function, "name")] = call_id = f"call_{self._count}"
            yield self._call({"id": call_id, "function": function})

    def _call(self, call: Object) -> Body:
        call_id = word(call, "id")
        if isinstance(custom := call.get("custom"), dict):
            self._custom.add(call_id)
            head = {"type": "custom_tool_call", "call_id": call_id}
            return head | {"name": word(custom, "name"), "input": word(custom, "input")}
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        given = function.get("arguments")
        arguments = given if isinstance(given, str) else tools.text_of(given or {})
        head = {"type": "function_call", "call_id": call_id}
        return head | {"name": word(function, "name"), "arguments": arguments or "{}"}

    def _result(self, call_id: str, turn: Object) -> Body:
        kind = "custom_tool_call_output" if call_id in self._custom else "function_call_output"
        output = _content(turn.get("content"))
        return {"type": kind, "call_id": call_id, "output": output}


def _thoughts(turn: Object) -> dict[tuple[bool, int], list[Body]]:
    """Sealed thoughts of this API as they came, by the text and the calls that were before them.

    Those of others would be refused.
    """
    found: dict[tuple[bool, int], list[Body]] = {}
    details = turn.get("reasoning_details")
    for part in details if isinstance(details, list) else ():
        if isinstance(part, dict) and part.get("format") == SEALED and word(part, "data"):
            item = {"type": "reasoning", "summary": [], "encrypted_content": part["data"]}
            item |= {"id": part["id"]} if word(part, "id") else {}
            calls = part.get("after_calls")
            place = part.get("after_text") is True, calls if isinstance(calls, int) else 0
            found.setdefault(place, []).append(item)
    return found


def _text(content: Json) -> str:
    """The words of the model's own message: it can say nothing else."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if _is_list(content) else []
    return "\n".join([word(part, "text") or word(part, "refusal") for part in parts])


def _content(content: Json) -> Json:
    if not _is_list(content):
        return "" if content is None else content
    return [_part(part) for part in content]


def _is_list(content: Json) -> bool:
    return isinstance(content, list)


def _part(part: Json) -> Json:
    kind = word(part, "type") if isinstance(part, dict) else ""
    told = _PARTS.get(kind)
    return part if told is None else told(part)


def _text_part(part: Object) -> Body:
    return {"type": "input_text", "text": part.get("text")}


def _image_part(part: Object) -> Body:
    image = part.get("image_url")
    image = image if isinstance(image, dict) else {"url": image}
    detail = image.get("detail") or "auto"
    return {"type": "input_image", "image_url": image.get("url"), "detail": detail}


def _file_part(part: Object) -> Body:
    file = part.get("file")
    return {"type": "input_file"} | (dict(file) if isinstance(file, dict) else {})


_PARTS: Mapping[str, Callable[[Object], Body]] = {
    "text": _text_part,
    "image_url": _image_part,
    "file": _file_part,
}
"""Parts of a message with another form; sound is the same in both."""
