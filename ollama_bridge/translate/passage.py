"""OpenAI requests on their way through: what is read of them, and the few edits they need.

Strategy: a request is taken apart one level deep and no further. Each field stays the bytes the
client sent, so that whatever we know nothing of reaches the upstream as it was; only a provider
with request edits of its own, or a model of the user's, needs values. What comes back is in
`passed`.
"""

import re
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple, Protocol

import msgspec

from ollama_bridge.errors import BadRequest, BridgeError, NotSupported
from ollama_bridge.translate import custom, messages, options
from ollama_bridge.translate.custom import Customised
from ollama_bridge.translate.stats import CHARACTERS_PER_TOKEN
from ollama_bridge.wire import go_json

Fields = dict[str, Any]
"""A request's fields, each the bytes it came in (`msgspec.Raw`) or a value we put there."""

CHAT, COMPLETION, EMBEDDING, IMAGE = (
    "ChatCompletionRequest",
    "CompletionRequest",
    "EmbedRequest",
    "ImageGenerationRequest",
)
"""Ollama's names for the requests; its messages about wrong types quote them."""

READ = frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "input",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
    }
)
"""Fields that Ollama takes in any case of letters; upstreams take them in this one."""

OLLAMA_ONLY: Mapping[str, str] = {
    "options": "goose puts num_ctx there; Ollama ignores it here, strict upstreams refuse it",
    "keep_alive": "nothing is loaded, and no upstream knows the word",
}
"""Fields of Ollama's own that clients send along; they go no further."""

ENCODINGS = ("float", "base64")

_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_turns = msgspec.json.Decoder(list[msgspec.Raw])
_EMPTY_LIST = re.compile(rb"\[\s*\]")


def envelope(error: BridgeError) -> bytes:
    """The error as `/v1/*` writes it (ollama-api 8.1)."""
    kind = _TYPES.get(error.status, "api_error")
    said = f'"message":{quoted(error.message)},"type":"{kind}","param":null,"code":null'
    return f'{{"error":{{{said}}}}}\n'.encode()


class Request(NamedTuple):
    """One request, one level deep."""

    kind: str
    fields: Fields

    @property
    def model(self) -> str:
        """The model's name as the client writes it."""
        return self._typed("model", str, "string") or ""

    @property
    def stream(self) -> bool:
        """Whether the reply is to come in pieces; here that has to be asked for (trap 1)."""
        return self._typed("stream", bool, "bool") or False

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with its token counts."""
        wanted = self.value("stream_options")
        return isinstance(wanted, dict) and wanted.get("include_usage") is True

    def value(self, key: str) -> Any:
        """A field's value; None where it is absent or null, which mean the same."""
        field = self.fields.get(key)
        if isinstance(field, list):
            return [plain(item) for item in field]
        return plain(field)

    def given(self, key: str) -> bool:
        """Whether a field is there and neither null nor an empty list."""
        field = self.fields.get(key)
        if isinstance(field, msgspec.Raw):
            said = bytes(field)
            return said != b"null" and _EMPTY_LIST.fullmatch(said) is None
        return field is not None and field != []

    def body(self, model: str, *, decoded: bool) -> Fields:
        """What the upstream gets; `decoded` for a provider whose edits look at values."""
        fields = {key: self.value(key) for key in self.fields} if decoded else dict(self.fields)
        fields["model"] = model
        return fields

    def characters(self) -> int:
        """Length of the texts in it, to estimate its tokens if nobody counts them."""
        return sum(length(self.value(key)) for key in ("messages", "prompt", "input"))

    def _typed(self, key: str, kind: type, go: str) -> Any:
        value = self.value(key)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(key, value, go)
        return value

    def wrong(self, key: str, value: Any, go: str) -> BadRequest:
        """Go's words for a field of another type than `go`."""
        place = go_json.Place(self.kind, key, [])
        place.note(value, go)
        return place.notes[0]


def read(body: bytes, kind: str) -> Request:
    """The request in a body; raises BadRequest with Ollama's text."""
    try:
        fields: Fields = _fields.decode(body)
    except (ValueError, RecursionError):
        fields = _as_go_reads(body, kind)
    if not fields.keys() <= READ:
        fields = _in_our_spelling(fields)
    return Request(kind, fields)


def check_messages(request: Request) -> None:
    """A chat needs messages, in a list."""
    if not request.given("messages"):
        raise BadRequest("[] is too short - 'messages'")
    if not _is_list(request.fields["messages"]):
        raise request.wrong("messages", request.value("messages"), "[]openai.Message")


def check_input(request: Request) -> None:
    """Embeddings need something to embed, in a form they can be sent in."""
    if not request.given("input"):
        raise BadRequest("invalid input")
    wanted = request.value("encoding_format")
    if wanted not in (None, "", *ENCODINGS):
        raise BadRequest(
            f"Invalid value for 'encoding_format' = {wanted}. "
            "Supported values: ['float', 'base64']."
        )


def says_nothing(request: Request) -> bool:
    """An empty prompt only loads the model, which no upstream hears of (8.3)."""
    return not request.given("prompt") or request.value("prompt") == ""


def copy(request: Request) -> Request:
    """The same request, to be edited."""
    return Request(request.kind, dict(request.fields))


def add_to_chat(request: Request, own: Customised, extra: Mapping[str, str]) -> Request:
    """What a model of the user's own adds: turns, system prompt and parameters."""
    turns = request.fields["messages"]
    turns = _turns.decode(turns) if isinstance(turns, msgspec.Raw) else turns
    added = messages.to_openai(custom.before(own))
    if own.system and _role((*added, *turns)[0]) not in ("system", "developer"):
        added.insert(0, {"role": "system", "content": own.system})
    if added:
        request.fields["messages"] = [*added, *turns]
    return add_parameters(request, own, extra)


def add_to_completion(request: Request, own: Customised, extra: Mapping[str, str]) -> Request:
    """The same for a text completion, which has no turns: the system prompt begins the text."""
    prompt = request.value("prompt")
    if own.system and isinstance(prompt, str):
        request.fields["prompt"] = f"{own.system}\n\n{prompt}"
    elif own.system:
        raise NotSupported(
            f'"{request.model}" has a system prompt, which can only go before a prompt that is one '
            "text; use /v1/chat/completions"
        )
    return add_parameters(request, own, extra)


def as_chat(request: Request) -> Request | None:
    """A text completion as a chat of one turn, for upstreams that only chat; None if it is more.

    Ollama, too, puts every prompt into the model's chat template (8.3).
    """
    prompt = request.value("prompt")
    if not isinstance(prompt, str) or request.given("suffix"):
        return None
    fields = {key: field for key, field in request.fields.items() if key not in _TEXT_ONLY}
    return Request(CHAT, fields | {"messages": [{"role": "user", "content": prompt}]})


_TEXT_ONLY = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs"})


def add_parameters(request: Request, own: Customised, extra: Mapping[str, str]) -> Request:
    """Parameters of the user's own model; what the client asks for wins."""
    for name, value in options.to_openai(own.parameters, extra).items():
        limited = name == "max_tokens" and request.given("max_completion_tokens")
        if not limited and not request.given(name):
            request.fields[name] = value
    return request


def _as_go_reads(body: bytes, kind: str) -> Fields:
    """The slow road: bodies that only Go takes, or that even Go refuses."""
    if not body.strip(b" \t\r\n"):
        raise BadRequest("EOF")
    place = go_json.Place("", "", [])
    try:
        value = go_json.plain(go_json.parse(body), place)
    except RecursionError:
        raise BadRequest("exceeded max depth") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        place.note(value, f"openai.{kind}")
    if place.notes:
        raise place.notes[0]
    return {key: msgspec.Raw(msgspec.json.encode(item)) for key, item in value.items()}


def _in_our_spelling(fields: Fields) -> Fields:
    """Keys as upstreams know them, without what only Ollama knows."""
    found = {}
    for key, value in fields.items():
        folded = go_json.fold(key)
        if folded not in OLLAMA_ONLY:
            found[folded if folded in READ else key] = value
    return found


def plain(field: Any) -> Any:
    """A field's value, whether it is still the bytes that came or not."""
    return msgspec.json.decode(field) if isinstance(field, msgspec.Raw) else field


def length(value: Any) -> int:
    """Characters of all texts in a JSON value; pictures and files are none.

    A number is a token: a prompt may be a list of them.
    """
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(length, value))
    if isinstance(value, dict):
        return sum(length(item) for key, item in value.items() if key not in _NO_TEXT)
    return CHARACTERS_PER_TOKEN if isinstance(value, int) and not isinstance(value, bool) else 0


_NO_TEXT = frozenset({"image_url", "input_audio", "file", "file_data", "type", "role", "id"})


def decode(fields: Fields) -> None:
    """Values in place of the bytes that a client sent, for whoever edits them."""
    for key, field in fields.items():
        if isinstance(field, msgspec.Raw):
            fields[key] = plain(field)
        elif isinstance(field, list) and any(isinstance(item, msgspec.Raw) for item in field):
            fields[key] = [plain(item) for item in field]


def _is_list(field: Any) -> bool:
    return bytes(field)[:1] == b"[" if isinstance(field, msgspec.Raw) else isinstance(field, list)


def _role(turn: Any) -> str:
    """Whose turn it is, "" when it cannot be told: the upstream says what is wrong with that."""
    value = plain(turn)
    role = value.get("role") if isinstance(value, dict) else None
    return role if isinstance(role, str) else ""


class Model(Protocol):
    """What a list tells of a model: a catalog entry, seen from here."""

    @property
    def name(self) -> str: ...
    @property
    def origins(self) -> tuple[str, ...]: ...
    @property
    def created(self) -> int: ...


def models(entries: Iterable[Model], now: int) -> bytes:
    """The list of models; never null (trap 15). `now`, in nanoseconds, dates those without age."""
    rows = [_row(entry, entry.name, now) for entry in entries]
    return msgspec.json.encode({"object": "list", "data": rows})


def model(entry: Model, requested: str, now: int) -> bytes:
    """One model, by the name it was asked for."""
    return msgspec.json.encode(_row(entry, requested, now))


def _row(entry: Model, name: str, now: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": entry.created or now // 1_000_000_000,
        "owned_by": entry.origins[0].partition("/")[0],
    }


def loaded(model: str, created: int) -> bytes:
    """The text completion of an empty prompt, as Ollama gives it (8.3)."""
    return msgspec.json.encode(
        {
            "id": f"cmpl-{created % 999}",
            "object": "text_completion",
            "created": created,
            "model": model,
            "system_fingerprint": "fp_ollama",
            "choices": [{"text": "", "index": 0, "finish_reason": "load"}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
    )


class Upload(NamedTuple):
    """A multipart form: where the content of each field stands in its bytes."""

    body: bytes
    places: Mapping[str, slice]

    def text(self, name: str) -> str:
        """A field's content, "" where there is none."""
        place = self.places.get(name)
        return "" if place is None else self.body[place].decode(errors="replace")

    def with_model(self, model: str) -> bytes:
        """The same form with another model."""
        place = self.places["model"]
        return b"".join((self.body[: place.start], model.encode(), self.body[place.stop :]))


_BOUNDARY = re.compile(r'(?i)\bboundary=(?:"([^"]+)"|([^\s;]+))')
_NAME = re.compile(rb'(?i)^content-disposition:[^\r\n]*?[;\s]name="([^"]*)"', re.MULTILINE)


def read_upload(body: bytes, content_type: str) -> Upload:
    """A recording to be written down (8.7); raises BadRequest with Ollama's text."""
    upload = Upload(body, _places(body, content_type))
    if not upload.text("model").strip():
        raise BadRequest("model is required")
    file = upload.places.get("file")
    if file is None:
        raise BadRequest("file is required: http: no such file")
    if file.start == file.stop:
        raise BadRequest("audio file is empty")
    return upload


def _places(body: bytes, content_type: str) -> Mapping[str, slice]:
    """The content of each named part; what stands between two boundaries is a part."""
    if not content_type.lower().startswith("multipart/form-data"):
        raise _unreadable("request Content-Type isn't multipart/form-data")
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise _unreadable("no multipart boundary param in Content-Type")
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode("latin-1")
    # the first boundary has no line end before it, so its search begins two bytes earlier
    begin = 0 if body.startswith(mark[2:]) else body.find(mark) + 2
    found: dict[str, slice] = {}
    at = begin + len(mark) - 2
    if begin == 1:
        raise _unreadable("multipart: NextPart: EOF")
    while body[at : at + 2] != b"--":
        start, end = body.find(b"\r\n\r\n", at), body.find(mark, at)
        if start < 0 or end < start:
            raise _unreadable("multipart: NextPart: EOF")
        if name := _NAME.search(body, at, start):
            found.setdefault(
                name[1].decode(errors="replace"), slice(start + 4, max(start + 4, end))
            )
        at = end + len(mark)
    return found


def _unreadable(reason: str) -> BadRequest:
    return BadRequest(f"failed to parse multipart form: {reason}")
