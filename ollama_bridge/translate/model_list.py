"""What a provider's list of models says, in whatever shape it comes.

Strategy: every list is a list of rows, and every vendor has its own names for the same few facts.
Tables say where a fact may stand; the first place that holds a usable value wins. Capabilities are
gathered as "has" and "lacks", because most lists speak of some and are silent on the others.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ollama_bridge.errors import UpstreamFailed

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpstreamModel:
    """What a provider's list says of one model; None and "" where it says nothing."""

    id: str
    """As the provider wants it back."""
    created: int | None = None
    """Seconds since the epoch."""
    context_length: int | None = None
    embedding_length: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] | None = None
    """In Ollama's words; None when the list says nothing of any."""
    lacks: frozenset[str] = frozenset()
    """Capabilities the list denies; of all others it is silent."""
    owned_by: str = ""
    family: str = ""
    parameter_size: str = ""
    """As Ollama writes it: 135M, 7.6B."""
    quantization: str = ""
    size: int | None = None
    """Bytes."""
    price_in: float | None = None
    """US dollars per million tokens."""
    price_out: float | None = None
    row: Row | None = None
    """The row as it stands, of a list that has Ollama's own shape."""


# Fields in the order they are believed; "meta.n_ctx" is the field `n_ctx` of the object `meta`.
CONTEXT = (
    # What a local server runs with comes before what the model was trained for.
    "loaded_instances.config.context_length",
    "loaded_context_length",
    "meta.n_ctx",
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_input_tokens",
    "inputTokenLimit",
    "limits.max_input_tokens",
    "capabilities.limits.max_context_window_tokens",
    "top_provider.context_length",
    "details.context_length",
    "meta.n_ctx_train",
)
OUTPUT = (
    "max_completion_tokens",
    "max_output_length",
    "max_output_tokens",
    "max_tokens",
    "outputTokenLimit",
    "limits.max_output_tokens",
    "capabilities.limits.max_output_tokens",
    "top_provider.max_completion_tokens",
)
EMBEDDING = (
    "embedding_length",
    "embedding_dimensions",
    "dimensions",
    "details.embedding_length",
    "meta.n_embd",
)
SIZE = ("size", "size_bytes", "meta.size")
FAMILY = ("details.family", "arch", "architecture")
PARAMETERS = ("details.parameter_size", "parameter_size", "params_string")
QUANTIZATION = ("details.quantization_level", "quantization.name", "quantization")
OWNER = ("owned_by", "organization", "publisher", "vendor")
CREATED = ("created", "created_at", "modified_at")

OBJECTS = (
    "meta",
    "details",
    "top_provider",
    "limits",
    "quantization",
    "architecture",
    "capabilities",
    "capabilities.limits",
    "loaded_instances",
    "loaded_instances.config",
)
"""Objects in a row whose fields are read; of a list of them, the first."""

ALL = frozenset(
    {"completion", "tools", "insert", "vision", "embedding", "thinking", "image", "audio"}
)
"""Ollama's words for what a model can do; `image` is making pictures."""

WORDS = {word: word for word in ALL} | {
    "chat": "completion",
    "embeddings": "embedding",
    "function-calling": "tools",
    "function_calling": "tools",
    "include_reasoning": "thinking",
    "multimodal": "vision",
    "reasoning": "thinking",
    "reasoning_effort": "thinking",
    "tool-calling": "tools",
    "tool-use": "tools",
    "tool_choice": "tools",
    "tool_use": "tools",
}
"""Words that stand in lists of capabilities, parameters, features and tags."""

SWITCHES = WORDS | {
    "adaptive_thinking": "thinking",
    "completion_chat": "completion",
    "completion_fim": "insert",
    "image_input": "vision",
    "max_thinking_budget": "thinking",
    "tool_calls": "tools",
    "trained_for_tool_use": "tools",
}
"""Keys of a capabilities object."""
del SWITCHES["audio"], SWITCHES["image"]  # these say which kind a model is, not what one may send

_CHAT = {"completion": True, "embedding": False}
_NO_TEXT = {"completion": False, "embedding": False}
KINDS: dict[str, dict[str, bool]] = {
    "chat": _CHAT,
    "language": _CHAT,
    "code": _CHAT,
    "llm": _CHAT | {"vision": False},  # told apart from "vlm"
    "vlm": _CHAT | {"vision": True},
    "completion": _CHAT | {"tools": False},
    "embedding": {"completion": False, "embedding": True},
    "embeddings": {"completion": False, "embedding": True},
    "image": _NO_TEXT | {"image": True},
    "audio": _NO_TEXT,
    "moderation": _NO_TEXT,
    "other": _NO_TEXT,
    "rerank": _NO_TEXT,
    "reranker": _NO_TEXT,
    "speech": _NO_TEXT,
    "transcribe": _NO_TEXT,
    "video": _NO_TEXT,
}
"""What a row's `type` says."""


BY_NAME = ("result", "endpoints")
"""Where catalogues have their rows that number the models; requests take the names."""

TASKS = {
    "text generation": "chat",
    "text embeddings": "embedding",
    "text-to-image": "image",
    "llm/v1/chat": "chat",
    "llm/v1/completions": "completion",
    "llm/v1/embeddings": "embedding",
}
"""What such a catalogue says of a model's purpose, as a `type`; all others make no text."""


def read_list(body: bytes) -> tuple[UpstreamModel, ...]:
    """The models of a list in any known shape; raises UpstreamFailed when it is no list."""
    found: dict[str, UpstreamModel] = {}
    for row in _rows(body):
        if isinstance(row, dict) and (model_id := _id(row)) and model_id not in found:
            found[model_id] = _model(model_id, _flat(row), _own_shape(row))
    return tuple(found.values())


def with_running(body: bytes, told: bytes) -> bytes:
    """A list of one model with what its server tells of how it runs (llama.cpp's /props, J4).

    Of several models, or when it tells nothing usable, the list stays as it is.
    """
    rows, props = _rows(body), _props(told)
    window = _count(_object(props, "default_generation_settings").get("n_ctx"))
    if len(rows) != 1 or not isinstance(row := rows[0], dict) or window is None:
        return body
    can = dict(_object(row, "capabilities"))
    if modalities := _object(props, "modalities"):
        can["vision"] = modalities.get("vision") is True
    if _object(props, "chat_template_caps").get("supports_tools") is True:
        can["tools"] = True
    row = {**row, "meta": {**_object(row, "meta"), "n_ctx": window}, "capabilities": can}
    return msgspec.json.encode({"object": "list", "data": [row]})


def _object(row: Row, field: str) -> Row:
    value = row.get(field)
    return value if isinstance(value, dict) else {}


def _props(told: bytes) -> Row:
    try:
        props = msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return props if isinstance(props, dict) else {}


def _rows(body: bytes) -> list[Any]:
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        reply = None
    if isinstance(reply, list):
        return reply
    if isinstance(reply, dict):
        for field in BY_NAME:
            if isinstance(rows := reply.get(field), list):
                return [_by_name(row) for row in rows if isinstance(row, dict)]
    if not isinstance(reply, dict) or not reply.keys() & {"data", "models"}:
        raise UpstreamFailed("the provider did not answer with a list of models")
    data, models = _list(reply.get("data")), _list(reply.get("models"))
    return _merged(data, models) if data and models else data or models


def _by_name(row: Row) -> Row:
    """A row of the shape that all the others have."""
    plain = {**row, "id": row.get("name")}
    if isinstance(task := row.get("task"), dict):
        task = task.get("name")
    if isinstance(task, str):
        plain["type"] = TASKS.get(task.lower(), "other")
    told = [item for item in _list(row.get("properties")) if isinstance(item, dict)]
    named = {
        item["property_id"]: item.get("value") for item in told if _text(item.get("property_id"))
    }
    plain["tags"] = [name for name, value in named.items() if value == "true"]
    return named | plain


def _merged(data: list[Any], models: list[Any]) -> list[Any]:
    """llama.cpp lists every model twice; only the second row tells of pictures."""
    twins = {_id(twin): twin for twin in models if isinstance(twin, dict)}
    return [
        {**twin, **row, "capabilities": row.get("capabilities", _pictures(twin))}
        if isinstance(row, dict) and (twin := twins.get(_id(row)))
        else row
        for row in data
    ]


def _pictures(twin: Row) -> dict[str, bool]:
    """Its words are "completion" and perhaps "multimodal", never "tools": it says no more."""
    return {"completion": True, "vision": "multimodal" in _list(twin.get("capabilities"))}


def _id(row: Row) -> str:
    # "name" comes last: where there is an id as well, it is a title.
    for field in ("id", "model", "key", "name"):
        value = row.get(field)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return _GOOGLES_PREFIX.sub("", value)
    return ""


# Gemini lists "models/gemini-…" and takes the id without. A path to a file is llama.cpp's id.
_GOOGLES_PREFIX = re.compile(r"^models/(?=[^/]+$)(?!.*\.gguf$)")


def _flat(row: Row) -> Row:
    """The row with the fields of its objects beside its own."""
    flat = dict(row)
    for name in OBJECTS:
        value = flat.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, dict):
            flat |= {f"{name}.{field}": item for field, item in value.items()}
    return flat


def _own_shape(row: Row) -> Row | None:
    """The row, if it says all that Ollama's own do."""
    digest = row.get("digest")
    full = isinstance(digest, str) and len(digest) >= 12 and isinstance(row.get("details"), dict)
    return row if full and isinstance(row.get("modified_at"), str) else None


def _model(model_id: str, row: Row, own_shape: Row | None) -> UpstreamModel:
    said = _said(row)
    price_in, price_out = _prices(row)
    return UpstreamModel(
        id=model_id,
        created=_first(row, CREATED, _seconds),
        context_length=_first(row, CONTEXT, _count) or _smallest_host(row),
        embedding_length=_first(row, EMBEDDING, _count),
        max_output=_first(row, OUTPUT, _count),
        capabilities=frozenset([word for word, has in said.items() if has]) if said else None,
        lacks=frozenset([word for word, has in said.items() if not has]),
        owned_by=_first(row, OWNER, _text) or "",
        family=_first(row, FAMILY, _plain) or "",
        parameter_size=_first(row, PARAMETERS, _text) or _short(row.get("meta.n_params")),
        quantization=_first(row, QUANTIZATION, _text) or "",
        size=_first(row, SIZE, _count),
        price_in=price_in,
        price_out=price_out,
        row=own_shape,
    )


def _first(row: Row, fields: tuple[str, ...], read: Callable[[Any], T | None]) -> T | None:
    """The first of the fields that holds something `read` can use."""
    for field in fields:
        value = row.get(field)
        if value is not None and (usable := read(value)) is not None:
            return usable
    return None


def _count(value: Any) -> int | None:
    """A positive whole number, also when it comes as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**63:
        return None
    return int(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _plain(value: Any) -> str | None:
    """A word that may stand before the dot of a metadata key."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w-]+", value, re.ASCII) else None


def _seconds(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            return None
        value = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    count = _count(value)
    if count is not None and count >= YEAR_5000:
        count //= 1000  # milliseconds
    return count if count is not None and count < YEAR_5000 else None


YEAR_5000 = 95_617_584_000


def _short(count: Any) -> str:
    """A number of parameters as Ollama writes it."""
    number = _count(count)
    if number is None:
        return ""
    for size, letter, digits in ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 0)):
        if number >= size:
            return f"{number / size:.{digits if number % size else 0}f}{letter}"
    return str(number)


def _smallest_host(row: Row) -> int | None:
    """Behind a router any host may answer, so the smallest window counts."""
    sizes = [_count(host.get("context_length")) for host in _hosts(row)]
    return min((size for size in sizes if size), default=None)


def _hosts(row: Row) -> list[Row]:
    hosts = [host for host in _list(row.get("providers")) if isinstance(host, dict)]
    return [host for host in hosts if host.get("status") in (None, "live")]


# Capabilities.


def _said(row: Row) -> dict[str, bool]:
    """What the row says of capabilities, has or lacks; the more exact source comes later."""
    said = dict(KINDS.get(_kind(row), {}))
    said |= _modalities(row)
    for field in ("supported_parameters", "supported_features"):
        if words := _list(row.get(field)):
            said |= {"tools": False, "thinking": False} | _has(words, ("tools", "thinking"))
    said |= _has(_list(row.get("tags")), ("tools", "thinking", "vision"))
    tools = [host["supports_tools"] for host in _hosts(row) if "supports_tools" in host]
    if tools:
        said["tools"] = any(tools)
    capabilities = row.get("capabilities")
    if isinstance(capabilities, dict):
        said |= _switches(capabilities)
    elif words := _list(capabilities):
        said |= _listed(words)
    return said


def _kind(row: Row) -> str:
    kind = row.get("capabilities.type") or row.get("type")
    return kind.lower() if isinstance(kind, str) else ""


def _modalities(row: Row) -> dict[str, bool]:
    inputs = _first_list(row, "input_modalities")
    outs = _first_list(row, "output_modalities")
    said = {}
    if inputs:
        said["vision"] = "image" in inputs
    if outs:
        said["completion"] = "text" in outs and ("text" in inputs or not inputs)
        said["embedding"] = "embeddings" in outs or "embedding" in outs
        said["image"] = "image" in outs and "text" not in outs
    return said


def _first_list(row: Row, field: str) -> list[Any]:
    names = (field, f"supported_{field}", f"architecture.{field}")
    return next((words for name in names if (words := _list(row.get(name)))), [])


def _listed(words: list[Any]) -> dict[str, bool]:
    """A list that names a model's purpose is Ollama's kind, and complete."""
    has = _has(words, ALL)
    if has.keys() & {"completion", "embedding", "image"}:
        return dict.fromkeys(ALL, False) | has
    return has


def _has(words: list[Any], of: Iterable[str]) -> dict[str, bool]:
    meant = {WORDS.get(word, "") for word in words if isinstance(word, str)}
    return {word: True for word in of if word in meant}


def _switches(capabilities: Row) -> dict[str, bool]:
    said = {}
    supports = capabilities.get("supports")
    if isinstance(supports, dict):  # here an absent switch is one that is off
        said = {"tools": False, "vision": False}
        capabilities = supports
    for field, value in capabilities.items():
        if word := SWITCHES.get(field):
            on = value.get("supported") if isinstance(value, dict) else value
            said[word] = said.get(word, False) or bool(on)
    return said


# Prices.


def _prices(row: Row) -> tuple[float | None, float | None]:
    prices = row.get("pricing")
    if not isinstance(prices, dict):
        return None, None
    return _price(prices, "prompt", "input"), _price(prices, "completion", "output")


def _price(prices: Row, per_token: str, per_million: str) -> float | None:
    """Dollars per million tokens. Vendors that write a price as text mean one token."""
    value: Any = prices.get(per_token, prices.get(per_million))
    try:
        amount = float(value)
    except (TypeError, ValueError):
        return None
    one = per_token in prices or isinstance(value, str)
    amount = round(amount * 1_000_000, 9) if one else amount
    return amount if 0 <= amount < 1_000_000 else None  # negative: it depends


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
