"""/v1/responses as a chat completion request; `responses_stream` writes the answer.

Strategy: the input's items are read in their order and told to the same Conversation that the
native routes use, so ids, missing results and pictures are put right once. What only a server with
a memory or tools of its own could do is refused with a sentence; Ollama drops it without a word.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ollama_bridge.errors import BadRequest
from ollama_bridge.translate import options, thinking, tools
from ollama_bridge.translate.custom import Customised
from ollama_bridge.translate.messages import Conversation
from ollama_bridge.wire import ollama, openai, responses
from ollama_bridge.wire.go_json import quoted

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]

PATH = "/responses"


class Tool(NamedTuple):
    """A tool as the client knows it."""

    name: str
    namespace: str = ""
    custom: bool = False
    """It takes any text instead of an object of arguments."""


class Question(NamedTuple):
    """A request on its way up."""

    body: Body
    tools: Mapping[str, Tool]
    """The client's tools by the names sent."""
    characters: int
    """Length of the prompt, to estimate its tokens if nobody counts them."""


def check(request: responses.Request) -> None:
    """Refuse what would need a server that remembers."""
    for name, instead in _STATEFUL.items():
        if getattr(request, name):
            raise BadRequest(f"{name} is not supported, because nothing is stored here: {instead}")


def to_openai(
    request: responses.Request,
    model: str,
    *,
    own: Customised | None,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
) -> Question:
    """The request to send; `own` is the user's own model, the tables are the provider's."""
    body: Body = {"model": model, "messages": _messages(request, own)}
    body |= _sampling(request, own, extra)
    if form := _response_format((request.text or {}).get("format")):
        body["response_format"] = form
    if effort := thinking.effort(think(request.reasoning), efforts):
        body["reasoning_effort"] = effort
    known = _tools(request, body)
    body["stream"] = bool(request.stream)
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return Question(body, known, sum(_length(message) for message in body["messages"]))


def think(reasoning: Object | None) -> bool | str | None:
    """`reasoning.effort` as Ollama's `think`; raises BadRequest with Ollama's text."""
    effort = (reasoning or {}).get("effort")
    if effort is None or effort == "":
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        choices = ", ".join(f'"{word}"' for word in _CHOICES)
        shown = quoted(effort if isinstance(effort, str) else str(effort))
        raise BadRequest(f'invalid reasoning value: {shown} (must be {choices}, or "none")')
    return _EFFORTS[effort]


def passed_on(
    fields: dict[str, Any], request: responses.Request, model: str, own: Customised | None
) -> Body:
    """The same request for a service that has this route itself: only what must differ does."""
    body = {key: value for key, value in fields.items() if key.lower() != "model"}
    body["model"] = model
    if request.max_output_tokens is not None and request.max_output_tokens < _LEAST:
        body["max_output_tokens"] = _LEAST  # less is refused (quirk G17c)
    if own is None:
        return body
    if own.system and not request.instructions:
        body["instructions"] = own.system
    for option, name in _OPTIONS.items():
        if option in own.parameters and getattr(request, name) is None:
            body[name] = own.parameters[option]
    if own.messages:
        body["input"] = [*map(dict, own.messages), *_items(request.input)]
    return body


_STATEFUL = {
    "previous_response_id": "send the earlier turns again as items of input",
    "conversation": "send the earlier turns as items of input",
    "prompt": "send the prompt's text as instructions and input",
    "background": "leave background out and read the answer as it comes",
}

_EFFORTS: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_CHOICES = ("minimal", "low", "medium", "high", "xhigh", "ultra", "max")

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "num_predict": "max_output_tokens",
}
"""Ollama's options that this API has, and its names for them."""

_LEAST = 16


def _sampling(request: responses.Request, own: Customised | None, extra: Mapping[str, str]) -> Body:
    """Nothing is sent that neither the client nor the user's own model asks for."""
    given = {option: getattr(request, name) for option, name in _OPTIONS.items()}
    asked = {option: value for option, value in given.items() if value is not None}
    return options.to_openai({**(own.parameters if own else {}), **asked}, extra)


def _response_format(form: Json) -> Body | None:
    """`text.format`; there is no word for `text.verbosity` that every server takes."""
    form = form if isinstance(form, dict) else {"type": form}
    kind = form.get("type")
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema" or not isinstance(form.get("schema"), dict):
        raise BadRequest(
            'text.format must have the type "text", "json_object", or "json_schema" with a schema'
        )
    schema = {"name": form.get("name") or "answer", "schema": form["schema"]}
    return {"type": "json_schema", "json_schema": schema | {"strict": bool(form.get("strict"))}}


# Input items.


def _items(given: Json) -> list[Object]:
    """The input as items; a text is the user's."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}] if given else []
    if not isinstance(given, list):
        raise BadRequest("input must be a string or array")
    return given


def _messages(request: responses.Request, own: Customised | None) -> list[Body]:
    items = _items(request.input if request.input is not None else [])
    if not items:
        raise BadRequest("input is required: a string, or at least one item")
    reader = _Reader(request.instructions or "")
    for turn in own.messages if own else ():
        reader.add(turn)
    for place, item in enumerate(items):
        try:
            reader.add(item)
        except BadRequest as error:
            raise BadRequest(f"input[{place}]: {error.message}") from error
    return reader.close(own.system if own else "")


class _Reader:
    """Items in, messages out."""

    def __init__(self, instructions: str) -> None:
        self._system = [instructions] if instructions else []
        self._begun = False
        self._conversation = Conversation()
        self._said = ""
        self._calls: list[ollama.ToolCall] = []

    def add(self, item: Object) -> None:
        """The next item; raises BadRequest for one that means nothing here."""
        if not isinstance(item, Mapping):
            raise BadRequest("an input item must be an object")
        kind = item.get("type") or ("message" if item.get("role") else "")
        if kind in _NOT_SAID:
            return
        if kind in _CALLS:
            self._call(item, _CALLS[kind])
        elif kind in _RESULTS:
            self._result(item)
        elif kind == "message":
            self._message(item)
        elif kind == "item_reference":
            raise BadRequest(
                "nothing is stored here that an item_reference could mean: send the item"
            )
        elif not kind:
            raise BadRequest("input item missing required 'type' field")
        else:
            raise BadRequest(f"unknown input item type: {quoted(str(kind))}")

    def close(self, system: str) -> list[Body]:
        """All messages, after the system prompt: the client's own, else `system`."""
        self._end_turn()
        prompt = "\n\n".join(self._system) or system
        first: list[Body] = [{"role": "system", "content": prompt}] if prompt else []
        return first + self._conversation.close()

    def _message(self, item: Object) -> None:
        role = _ROLES.get(str(item.get("role") or ""), "user")
        said = _content(item.get("content"))
        if role == "assistant":
            self._end_turn()
            self._said, self._begun = _text(said), True
        elif role == "system" and not self._begun and isinstance(said, str):
            self._system.append(said)  # many templates take one system message, the first (B4)
        elif said:
            self._end_turn()
            self._begun = True
            self._conversation.plain(role, said)

    def _call(self, item: Object, where: str) -> None:
        """Calls belong to the assistant's message before them, all of them to one."""
        name = str(item.get("name") or item["type"].removesuffix("_call"))
        tool = Tool(name, str(item.get("namespace") or ""))
        function = ollama.Function(
            name=_full_name(tool), arguments=_arguments(item.get(where), where)
        )
        self._calls.append(ollama.ToolCall(id=str(item.get("call_id") or ""), function=function))
        self._begun = True

    def _result(self, item: Object) -> None:
        self._end_turn()
        self._begun = True
        said = _content(item.get("output"))
        call_id = str(item.get("call_id") or "")
        pictures = [] if isinstance(said, str) else _pictures(said)
        result = ollama.Message(content=_text(said), images=pictures, tool_call_id=call_id)
        self._conversation.result(result)

    def _end_turn(self) -> None:
        """The assistant's turn is over once something else follows."""
        if self._said or self._calls:
            turn = ollama.Message(content=self._said, tool_calls=self._calls)
            self._conversation.assistant(turn)
        self._said, self._calls = "", []


_ROLES = {"system": "system", "developer": "system", "assistant": "assistant"}

_NOT_SAID = frozenset({
    "reasoning",  # no field for it that every server takes in a history (quirk B10)
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "tool_search_call",
    "tool_search_output",
    "mcp_list_tools",
})  # fmt: skip
"""Items about what a server did on its own: the messages around them say what came of it."""

_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Calls of tools that the client runs, and where each has its arguments."""

_RESULTS = frozenset(f"{kind}_output" for kind in _CALLS)


def _arguments(given: Json, where: str) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    text = str(given or "")
    if where == "input":
        return {_INPUT: text}
    try:
        found = openai.loose(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"failed to parse function call arguments: {error}") from error
    if not isinstance(found, dict):
        raise BadRequest("failed to parse function call arguments: not a JSON object")
    return found


def _content(given: Json) -> str | list[Body]:
    """What an item says: text alone stays text, because text-only models refuse lists (H5)."""
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, dict):  # what a shell or a patch came to, with names of its own
        return msgspec.json.encode(given).decode()
    if not isinstance(given, list):
        raise BadRequest("content must be a string or array")
    if any(isinstance(part, dict) and "type" not in part for part in given):
        return msgspec.json.encode(given).decode()
    parts = [_part(part, place) for place, part in enumerate(given)]
    said = [part for part in parts if part.get("text") != ""]
    return said if any(part["type"] != "text" for part in said) else _text(said)


def _part(part: Json, place: int) -> Body:
    kind = part.get("type") if isinstance(part, dict) else None
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise BadRequest(f"content[{place}]: unknown content type: {kind}")
    try:
        return read(part)
    except BadRequest as error:
        raise BadRequest(f"content[{place}]: {error.message}") from error


def _text_part(part: Object) -> Body:
    return {"type": "text", "text": str(part.get("text") or part.get("refusal") or "")}


def _image_part(part: Object) -> Body:
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    if not url:
        raise BadRequest(
            "an image needs image_url: files are not stored here, so file_id means nothing"
        )
    detail = part.get("detail")
    image = {"url": url} | ({"detail": detail} if detail in ("low", "high") else {})
    return {"type": "image_url", "image_url": image}


def _audio_part(part: Object) -> Body:
    return {"type": "input_audio", "input_audio": part.get("input_audio")}


def _file_part(_: Object) -> Body:
    raise BadRequest("file inputs are not currently supported")


_PARTS: Mapping[str, Callable[[Object], Body]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "summary_text": _text_part,
    "refusal": _text_part,
    "input_image": _image_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "input_file": _file_part,
}


def _text(said: str | Sequence[Body]) -> str:
    if isinstance(said, str):
        return said
    return "\n".join([part["text"] for part in said if part["type"] == "text"])


def _pictures(said: Sequence[Body]) -> list[str]:
    return [part["image_url"]["url"] for part in said if part["type"] == "image_url"]


def _length(message: Body) -> int:
    content = message["content"]
    return len(content if isinstance(content, str) else _text(content))


# Tools.

_INPUT = "input"
"""The one argument of a tool that takes any text."""

_LEFT_OUT = ("web_search", "image_generation", "tool_search")
"""Tools the client offers on top, as Codex does with every request: without them it works, too."""


def _tools(request: responses.Request, body: Body) -> dict[str, Tool]:
    """Put the tools and how to choose among them into the body; they come back by sent name."""
    choice = request.tool_choice
    allowed = None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = {tool.get("name") for tool in choice.get("tools") or ()}
        choice = choice.get("mode")
    offered = list(_offered(request.tools or ()))
    if allowed is not None:
        offered = [(tool, function) for tool, function in offered if tool.name in allowed]
    chosen = _choice(choice, [tool for tool, _ in offered])
    if not offered:
        return {}
    sent, names = tools.to_openai([{"function": function} for _, function in offered])
    body["tools"] = sent
    if chosen is not None:
        body["tool_choice"] = chosen
    if request.parallel_tool_calls is False:  # true is what every server does anyway
        body["parallel_tool_calls"] = False
    by_name = {_full_name(tool): tool for tool, _ in offered}
    sent_names = [item["function"]["name"] for item in sent]
    return {name: by_name[names.get(name, name)] for name in sent_names}


def _offered(given: Iterable[Object], namespace: str = "") -> Iterator[tuple[Tool, Body]]:
    """Every tool the client runs, and its definition as a function."""
    for item in given:
        if not isinstance(item, dict):
            raise BadRequest("tools: a tool must be an object")
        kind, name = item.get("type"), str(item.get("name") or "")
        if kind == "namespace":
            yield from _offered(item.get("tools") or (), name)
        elif kind in ("function", "custom"):
            tool = Tool(name, namespace, custom=kind == "custom")
            define = _custom if tool.custom else _function
            yield tool, define(item, _full_name(tool))
        elif not str(kind).startswith(_LEFT_OUT):
            raise BadRequest(
                f"tools: {quoted(str(kind))} is a tool that the service itself must run, and this "
                "model's service cannot: leave it out, or offer a function instead"
            )


def _function(item: Object, name: str) -> Body:
    function: Body = {"name": name, "description": item.get("description")}
    function["parameters"] = item.get("parameters")
    return function | ({"strict": True} if item.get("strict") else {})


def _custom(item: Object, name: str) -> Body:
    """Chat completions know functions only: the text becomes their one argument."""
    form = item.get("format") or {}
    lines = [str(item.get("description") or "")]
    if form.get("type") == "grammar":
        lines.append(f"The {_INPUT} must follow this {form.get('syntax')} grammar:")
        lines.append(str(form.get("definition") or ""))
    text = {"type": "string", "description": "The text the tool gets, as it is."}
    schema = {"type": "object", "properties": {_INPUT: text}, "required": [_INPUT]}
    return {"name": name, "description": "\n".join(filter(None, lines)), "parameters": schema}


def _choice(choice: Json, offered: Sequence[Tool]) -> str | Body | None:
    """`tool_choice` as chat completions have it; `auto` goes without saying."""
    if choice in (None, "", "auto"):
        return None
    if choice in ("none", "required"):
        return str(choice)
    wanted = choice if isinstance(choice, dict) else {}
    name, namespace = wanted.get("name"), wanted.get("namespace")
    found = [tool for tool in offered if tool.name == name and namespace in (None, tool.namespace)]
    if not found:
        shown = name or wanted.get("type") or choice
        raise BadRequest(
            f"tool_choice: {quoted(str(shown))} is not among the tools that can be used"
        )
    return {"type": "function", "function": {"name": tools.sent_name(_full_name(found[0]))}}


def _full_name(tool: Tool) -> str:
    """A tool's name with its namespace, for services that know no namespaces."""
    if not tool.namespace:
        return tool.name
    return f"{tool.namespace.rstrip('_')}__{tool.name}"
