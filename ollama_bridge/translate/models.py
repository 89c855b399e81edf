"""How Ollama tells of models: the replies of /api/tags, /api/ps and /api/show."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from ollama_bridge.translate.custom import Customised
from ollama_bridge.translate.model_list import YEAR_5000
from ollama_bridge.wire import stamp

Row = dict[str, Any]


class Model(Protocol):
    """What must be known of a model to list and show it: a catalog entry, seen from here."""

    @property
    def name(self) -> str: ...
    @property
    def alias(self) -> Customised | None: ...
    @property
    def origins(self) -> tuple[str, ...]: ...
    @property
    def created(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def capabilities(self) -> tuple[str, ...]: ...
    @property
    def capabilities_source(self) -> str: ...
    @property
    def context_length(self) -> int: ...
    @property
    def context_source(self) -> str: ...
    @property
    def embedding_length(self) -> int | None: ...
    @property
    def embedding_source(self) -> str: ...
    @property
    def max_output(self) -> int | None: ...
    @property
    def output_source(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def parameter_size(self) -> str: ...
    @property
    def quantization(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def price_in(self) -> float | None: ...
    @property
    def price_out(self) -> float | None: ...
    @property
    def price_source(self) -> str: ...
    @property
    def row(self) -> Mapping[str, Any] | None: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that /api/ps lists, and until when."""

    model: Model
    expires_ns: int


ARCHITECTURE = "bridge"
"""The architecture of models whose provider tells none: one word, so that keys and family agree."""

UNKNOWN = "unknown"
"""Ollama's own word for a quantization it cannot name."""

STUB_SIZE = 384
"""Bytes. What Ollama shows for a model that lives elsewhere is a description of this size."""

FOREVER = 292 * 365 * 86_400 * 1_000_000_000
"""Nanoseconds; the longest duration Ollama can hold."""


def expiry(now: int, seconds: float) -> int:
    """When a model used at `now` (nanoseconds) is unloaded; negative `seconds` mean never."""
    if seconds < 0:
        return now + FOREVER
    return now + min(int(seconds * 1_000_000_000), FOREVER)


def tags(models: Iterable[Model], now: int) -> bytes:
    """The /api/tags reply; `now` (nanoseconds) dates models whose age nobody tells."""
    return _encode({"models": [_tag(model, now) for model in models]})


def _tag(model: Model, now: int) -> Row:
    if model.row:
        return {**model.row, "name": model.name, "model": model.name, "digest": model.digest}
    details = _details(model)
    details["context_length"] = model.context_length
    if model.embedding_length:
        details["embedding_length"] = model.embedding_length
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": _modified(model, now),
        "size": model.size or STUB_SIZE,
        "digest": model.digest,
        "details": details,
        "capabilities": model.capabilities,
    }


def ps(loaded: Iterable[Loaded], beside: Iterable[Row] = ()) -> bytes:
    """The /api/ps reply, longest lived first; no memory of ours is used: `size_vram` is 0.

    `beside` are the rows of real servers, whose memory it is.
    """
    latest_first = sorted(loaded, key=lambda item: item.expires_ns, reverse=True)
    rows = [_running(item.model, item.expires_ns) for item in latest_first]
    return _encode({"models": [*beside, *rows]})


def _running(model: Model, expires_ns: int) -> Row:
    return {
        "name": model.name,
        "model": model.name,
        "size": model.size or STUB_SIZE,
        "digest": model.digest,
        "details": _details(model),
        "expires_at": stamp.text(expires_ns),
        "size_vram": 0,
        "context_length": model.context_length,
    }


def show(
    model: Model, *, verbose: bool = False, user_agent: str = "", requested: str = "", now: int = 0
) -> bytes:
    """The /api/show reply; `verbose` adds where each fact comes from to the metadata."""
    label = ""
    if user_agent.startswith("GitHubCopilotChat/"):  # it shows the basename as the model's label
        label = requested or model.name
    custom = model.alias
    reply: Row = {
        # Always texts: clients in Swift refuse a reply without any of these.
        "license": custom.license if custom else "",
        "modelfile": _modelfile(model),
        "parameters": parameters(custom.parameters) if custom else "",
        "template": (custom.template if custom else "") or _template(model),
        "system": custom.system if custom else "",
        "details": _details(model),
    }
    if custom and custom.messages:
        reply["messages"] = [dict(message) for message in custom.messages]
    reply["model_info"] = _info(model, label) | (_sources(model) if verbose else {})
    reply["capabilities"] = model.capabilities
    reply["modified_at"] = _modified(model, now)
    return _encode(reply)


def overruled(reply: Row, model: Model) -> bytes:
    """A real server's /api/show reply with what the settings say of a model of the user's own."""
    if model.capabilities_source == _SETTINGS:
        reply["capabilities"] = model.capabilities
    info = reply.get("model_info")
    if model.context_source == _SETTINGS and isinstance(info, dict):
        info[f"{info.get('general.architecture', ARCHITECTURE)}.context_length"] = (
            model.context_length
        )
    return _encode(reply)


_SETTINGS = "settings"


def _details(model: Model) -> Row:
    family = model.family or ARCHITECTURE
    families = [family]
    if "vision" in model.capabilities:
        families.append("clip")  # how older clients tell that a model takes pictures
    if "embedding" in model.capabilities:
        families.append("bert")  # how they tell that it is not for chat
    return {
        "parent_model": "",
        "format": "",  # as Ollama has it for a model that lives elsewhere
        "family": family,
        "families": families,
        "parameter_size": model.parameter_size or UNKNOWN,
        "quantization_level": model.quantization or UNKNOWN,
    }


def _info(model: Model, label: str) -> Row:
    architecture = model.family or ARCHITECTURE
    info = {
        "general.architecture": architecture,
        "general.basename": label or model.name.removesuffix(":latest"),
        "general.parameter_count": _parameter_count(model.parameter_size),
        f"{architecture}.context_length": model.context_length,
    }
    if model.embedding_length:
        info[f"{architecture}.embedding_length"] = model.embedding_length
    if "vision" in model.capabilities:
        # Clients from before `capabilities` look for any key of this kind; the count is not known.
        info[f"{architecture}.vision.block_count"] = 0
    return info


def _sources(model: Model) -> Row:
    """For `models show`. No key may contain "context_length": clients take the first that does."""
    facts = {
        "bridge.targets": model.origins,
        "bridge.source.context": model.context_source,
        "bridge.source.capabilities": model.capabilities_source,
        "bridge.source.embedding": model.embedding_source or None,
        "bridge.source.max_output": model.output_source or None,
        "bridge.source.price": model.price_source or None,
        "bridge.max_output": model.max_output,
        "bridge.price.input": model.price_in,
        "bridge.price.output": model.price_out,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _parameter_count(size: str) -> int:
    """The number behind "7.6B"; 0 when nobody tells."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMBT])", size.upper())
    if not found:
        return 0
    return round(float(found[1]) * {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[found[2]])


def _modified(model: Model, now: int) -> str:
    seconds = model.created
    return stamp.text(seconds * stamp.NANOSECONDS if 0 < seconds < YEAR_5000 else now)


def _template(model: Model) -> str:
    """A Go template that says what the provider is sent: clients search it for these fields."""
    if "completion" not in model.capabilities:
        return "{{ .Prompt }}"
    parts = ["{{- range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"]
    if "tools" in model.capabilities:
        parts.insert(0, "{{- if .Tools }}tools: {{ .Tools }}\n{{ end }}")
    if "insert" in model.capabilities:
        parts = ["{{- if .Suffix }}{{ .Prompt }}{{ .Suffix }}{{ else }}", *parts, "{{- end }}"]
    return "".join(parts)


def parameters(parameters: Mapping[str, Any]) -> str:
    """One name and value a line, as /api/show tells them."""
    return "\n".join(f"{name:<30} {value}" for name, value in _settings(parameters))


def _settings(parameters: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """One name and value per line, as a Modelfile has them: lists are the name once per item."""
    for name, value in parameters.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            whole = isinstance(item, float) and item.is_integer()
            yield name, json.dumps(int(item) if whole else item, ensure_ascii=False)


def _modelfile(model: Model) -> str:
    """Enough to make the same model again with `ollama create`."""
    lines = ["# Made by Ollama Bridge. The model itself runs elsewhere."]
    lines += [f"# When that fails: {origin}" for origin in model.origins[1:]]
    lines.append(f"FROM {model.origins[0] if model.alias else model.name}")
    if custom := model.alias:
        texts = {"TEMPLATE": custom.template, "SYSTEM": custom.system, "LICENSE": custom.license}
        lines += [f'{word} """{text}"""' for word, text in texts.items() if text]
        lines += [f"PARAMETER {name} {value}" for name, value in _settings(custom.parameters)]
        lines += [
            f"MESSAGE {message.get('role', 'user')} {_quoted(message.get('content', ''))}"
            for message in custom.messages
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: Any) -> str:
    return f'"""{text}"""' if "\n" in str(text) else str(text)


def _encode(reply: Row) -> bytes:
    return msgspec.json.encode(reply)
