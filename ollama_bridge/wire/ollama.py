"""Requests of Ollama's API, read as Ollama's server reads them.

Strategy: one typed decode takes what nearly every client sends; a few checks follow it, for what a
type cannot say. Any doubt sends the body down the slow road (`go_json`), which alone decides what
is wrong and words it. Its tables come from the Structs, so a field is written down once.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import base64, duration, go_json
from ollama_bridge.wire.go_json import (
    Place,
    Read,
    Shape,
    alone,
    array,
    exactly,
    integer,
    plain,
    struct,
    table,
)

Json = Any
Object = dict[str, Json]
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

if TYPE_CHECKING:
    Seconds = float | None
else:
    Seconds = Any  # clients send text or numbers: the typed decode lets all pass, `duration` reads

LEVELS = ("low", "medium", "high", "max")
"""What `think` may be besides true and false."""


class Function(Struct, forbid_unknown_fields=True, gc=False):
    """What a tool call calls; the order of the arguments is the client's."""

    index: Int = 0
    name: str = ""
    arguments: Object = {}


class ToolCall(Struct, forbid_unknown_fields=True, gc=False):
    """A call the assistant made earlier in the conversation."""

    id: str = ""
    function: Function = field(default_factory=Function)


class Message(Struct, forbid_unknown_fields=True, gc=False):
    """One turn; `name` is where older clients put the tool's name."""

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: list[str] = []
    tool_calls: list[ToolCall] = []
    tool_name: str = ""
    tool_call_id: str = ""
    name: str = ""


class ChatRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/chat."""

    model: str = ""
    messages: list[Message] | None = None
    tools: list[Object] | None = None
    stream: bool | None = None
    format: Json = None
    keep_alive: Seconds = None
    options: Object | None = None
    think: bool | str | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: Int = 0
    debug_render_only: bool = field(default=False, name="_debug_render_only")


class GenerateRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/generate."""

    model: str = ""
    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: list[Int] | None = None
    images: list[str] = []
    raw: bool = False
    stream: bool | None = None
    format: Json = None
    keep_alive: Seconds = None
    options: Object | None = None
    think: bool | str | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool = False
    top_logprobs: Int = 0
    debug_render_only: bool = field(default=False, name="_debug_render_only")


class EmbedRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/embed; the type of `input` is checked where it is used, as Ollama does."""

    model: str = ""
    input: Json = None
    truncate: bool | None = None
    dimensions: Int = 0
    keep_alive: Seconds = None
    options: Object | None = None


class EmbeddingsRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/embeddings."""

    model: str = ""
    prompt: str = ""
    keep_alive: Seconds = None
    options: Object | None = None


class ShowRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/show; here and below `name` is the old form of `model`."""

    model: str = ""
    name: str = ""
    verbose: bool = False
    system: str = ""
    template: str = ""
    options: Object | None = None


class PullRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/pull."""

    model: str = ""
    name: str = ""
    insecure: bool = False
    username: str = ""
    password: str = ""
    stream: bool | None = None


class PushRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/push."""

    model: str = ""
    name: str = ""
    insecure: bool = False
    username: str = ""
    password: str = ""
    stream: bool | None = None


class CopyRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/copy."""

    source: str = ""
    destination: str = ""


class DeleteRequest(Struct, forbid_unknown_fields=True, gc=False):
    """DELETE /api/delete."""

    model: str = ""
    name: str = ""


class CreateRequest(Struct, forbid_unknown_fields=True, gc=False):
    """POST /api/create."""

    model: str = ""
    name: str = ""
    from_: str = field(default="", name="from")
    remote_host: str = ""
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str = ""
    system: str = ""
    license: Json = None
    parameters: Object | None = None
    messages: list[Message] | None = None
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    quantize: str = ""
    quantization: str = ""
    draft_quantize: str = ""
    info: Object | None = None
    stream: bool | None = None


Request = TypeVar("Request", bound=Struct)


def decode(body: bytes, kind: type[Request]) -> Request:
    """The request in a body; raises BadRequest with Ollama's text."""
    form = _FORMS[kind]
    try:
        request: Request = form.decoder.decode(body)
        for settle in form.settle:
            settle(request)
    except (ValueError, OverflowError, RecursionError, BadRequest):
        slow: Request = go_json.read(body, form.fits)
        return slow
    return request


# What the typed decode leaves open. Each function puts its fields right, or raises.


def _settle_messages(request: Any) -> None:
    for message in request.messages or ():
        if not message.role.islower():
            message.role = message.role.lower()
        if message.images:
            _settle_images(message)


def _settle_images(holder: Any) -> None:
    holder.images = [base64.standard(image) for image in holder.images]


def _settle_keep_alive(request: Any) -> None:
    if request.keep_alive is not None:
        request.keep_alive = duration.seconds(request.keep_alive)


def _settle_think(request: Any) -> None:
    if request.think is not None:
        _think(request.think)


def _settle_options(request: Any) -> None:
    if request.options:
        request.options = _given(request.options)


def _settle_tools(request: Any) -> None:
    for tool in request.tools or ():
        function = tool.get("function", {})
        if not (_fits(tool, _TOOL_TYPES) and _fits(function, _FUNCTION_TYPES)):
            raise ValueError("a tool to look at closely")


_TOOL_TYPES = {"type": str, "function": dict}
_FUNCTION_TYPES = {"name": str, "description": str, "parameters": dict, "strict": bool}


def _fits(item: Object, types: Mapping[str, type]) -> bool:
    return all(type(value) is types.get(key) for key, value in item.items())


_SETTLE: Mapping[str, Callable[[Any], None]] = {
    "messages": _settle_messages,
    "images": _settle_images,
    "keep_alive": _settle_keep_alive,
    "think": _settle_think,
    "options": _settle_options,
    "tools": _settle_tools,
}

# The slow road: fields whose type alone does not say how Ollama reads them.


def _role(value: Json, place: Place) -> str:
    role = _STRING(value, place)
    return role.lower() if isinstance(role, str) else ""


def _content(value: Json, place: Place) -> Any:
    """The AI SDK sends an empty list for a turn of images only; Ollama refuses that."""
    return "" if value == [] else _STRING(value, place)


def _name(value: Json, _: Place) -> str:
    """Ollama does not know this field, so nothing in it is an error."""
    return value if isinstance(value, str) else ""


def _image(value: Json, place: Place) -> str:
    if not isinstance(value, str):
        place.note(value, "api.ImageData")
        return ""
    try:
        return base64.standard(value)
    except BadRequest as error:
        place.notes.append(error)
        return ""


def _arguments(value: Json, place: Place) -> Object:
    """An object; also the text of one, as OpenAI's clients send it, which Ollama refuses."""
    found = _from_text(value) if isinstance(value, str) else value
    if isinstance(found, dict):
        return {key: plain(item, place) for key, item in found.items()}
    raise BadRequest(f"{place.path} must be a JSON object, or a string that holds one")


def _from_text(text: str) -> Json:
    if not text:  # how OpenAI's streams write a call without arguments
        return {}
    try:
        return go_json.parse(text.encode())
    except BadRequest:
        return None


def _keep_alive(value: Json, place: Place) -> float:
    return duration.seconds(_ANY(value, place))


def _think(value: Json, _: Place | None = None) -> bool | str:
    if isinstance(value, bool) or value in LEVELS:
        return value  # type: ignore[no-any-return]
    choices = '"high", "medium", "low", "max", true, or false'
    if isinstance(value, str):
        raise BadRequest(f"invalid think value: {go_json.quoted(value)} (must be {choices})")
    raise BadRequest(f"think must be a boolean or string ({choices})")


def _options(value: Json, place: Place) -> Object:
    return _given(_MAP(value, place))


def _given(options: Object) -> Object:
    """Options without nulls; raises OverflowError for a number too large for Go's float64."""
    for value in options.values():
        if value is None:
            return _given({key: kept for key, kept in options.items() if kept is not None})
        if type(value) is int:
            float(value)
    return options


_ANY = alone(plain)
_STRING = exactly(str, "string")
_BOOL = exactly(bool, "bool")
_MAP = table(plain, "map[string]interface {}", lambda: None)
_PARAMETERS = table(plain, "api.ToolFunctionParameters", lambda: None)
_IMAGES = array(_image, "[]api.ImageData", str)

_TYPES: Mapping[Any, Read] = {
    str: _STRING,
    bool: _BOOL,
    bool | None: _BOOL,
    Int: integer,
    Json: plain,
    list[Int] | None: array(integer, "[]int", int),
    Object | None: _MAP,
    dict[str, str] | None: table(_STRING, "map[string]string", str),
}


def _shape(kind: type[Struct], go: str, special: Mapping[str, Read], *, named: bool) -> Shape:
    """The table of a Struct."""
    fields = {
        known.encode_name: (known.name, special.get(known.name) or _TYPES[known.type])
        for known in msgspec.structs.fields(kind)
    }
    return Shape(go, fields, kind, named=named)


_CALLED = _shape(Function, "ToolCallFunction", {"arguments": _arguments}, named=False)
_CALL = _shape(ToolCall, "ToolCall", {"function": struct(_CALLED)}, named=False)
_TURN: Mapping[str, Read] = {
    "role": _role,
    "content": _content,
    "name": _name,
    "images": _IMAGES,
    "tool_calls": array(struct(_CALL), "[]api.ToolCall", ToolCall),
}
_MESSAGE = _shape(Message, "Alias", _TURN, named=False)
_TOOL_FUNCTION: Mapping[str, tuple[str, Read]] = {
    "name": ("name", _STRING),
    "description": ("description", _STRING),
    "parameters": ("parameters", _PARAMETERS),
}
_TOOL: Mapping[str, tuple[str, Read]] = {
    "type": ("type", _STRING),
    "function": ("function", struct(Shape("ToolFunction", _TOOL_FUNCTION, dict, open=True))),
}
_SPECIAL: Mapping[str, Read] = {
    "messages": array(alone(struct(_MESSAGE)), "[]api.Message", Message),
    "tools": array(struct(Shape("Tool", _TOOL, dict, open=True)), "api.Tools", dict),
    "images": _IMAGES,
    "keep_alive": _keep_alive,
    "think": _think,
    "options": _options,
}


class _Form(NamedTuple):
    """How one kind of request is read: quickly, and slowly."""

    decoder: msgspec.json.Decoder[Any]
    settle: tuple[Callable[[Any], None], ...]
    fits: Read


def _form(kind: type[Struct], go: str) -> _Form:
    settle = tuple(_SETTLE[name] for name in kind.__struct_fields__ if name in _SETTLE)
    fits = struct(_shape(kind, go, _SPECIAL, named=True))
    return _Form(msgspec.json.Decoder(kind), settle, fits)


_FORMS = {
    ChatRequest: _form(ChatRequest, "ChatRequest"),
    GenerateRequest: _form(GenerateRequest, "GenerateRequest"),
    EmbedRequest: _form(EmbedRequest, "EmbedRequest"),
    EmbeddingsRequest: _form(EmbeddingsRequest, "EmbeddingRequest"),
    ShowRequest: _form(ShowRequest, "ShowRequest"),
    PullRequest: _form(PullRequest, "PullRequest"),
    PushRequest: _form(PushRequest, "PushRequest"),
    CopyRequest: _form(CopyRequest, "CopyRequest"),
    DeleteRequest: _form(DeleteRequest, "DeleteRequest"),
    CreateRequest: _form(CreateRequest, "CreateRequest"),
}
