"""Ollama's `options` and `format` as fields of an OpenAI request.

Every option of Ollama's table is mapped or knowingly ignored (ollama-api 2.10, upstream-quirks M).
Nothing is sent that the client did not ask for.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ollama_bridge.errors import BadOption

MAPPED: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "num_predict": "max_tokens",  # 0, -1 and -2 mean "no limit" and are not sent
    "stop": "stop",
}

BY_PROVIDER: Mapping[str, str] = {
    "top_k": "only some servers take it",
    "min_p": "only some servers take it",
    "typical_p": "only some servers take it",
    "repeat_penalty": "only some servers take it, under several names",
    "repeat_last_n": "only some servers take it",
    "mirostat": "only llama.cpp's relatives take it",
    "mirostat_tau": "only llama.cpp's relatives take it",
    "mirostat_eta": "only llama.cpp's relatives take it",
}
"""Sent only where the provider's row names them (`Provider.extra_options`)."""

IGNORED: Mapping[str, str] = {
    "num_ctx": "the upstream fixes its own window",
    "num_keep": "there is no context shift upstream",
    "num_batch": "how a local runner works",
    "num_gpu": "how a local runner works",
    "main_gpu": "how a local runner works",
    "use_mmap": "how a local runner works",
    "num_thread": "how a local runner works",
    "draft_num_predict": "how a local runner works",
    "tfs_z": "gone from Ollama too",
    "penalize_newline": "gone from Ollama too",
    "numa": "gone from Ollama too",
    "low_vram": "gone from Ollama too",
    "f16_kv": "gone from Ollama too",
    "logits_all": "gone from Ollama too",
    "vocab_only": "gone from Ollama too",
    "use_mlock": "gone from Ollama too",
    "embedding_only": "gone from Ollama too",
}

_INTEGER = frozenset(
    {"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict", "num_keep"}
    | {"seed", "num_predict", "top_k", "repeat_last_n"}
)
_FLOAT = frozenset(
    {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty"}
    | {"presence_penalty", "frequency_penalty"}
)
_BOOLEAN = frozenset({"use_mmap"})
_UNSET_BELOW_ZERO = frozenset({"num_predict", "seed", "top_k", "repeat_last_n"})
"""Clients send -1 (n8n: for every option) where they mean "not set"."""


def to_openai(options: Mapping[str, Any], extra: Mapping[str, str]) -> dict[str, Any]:
    """Request fields for `options`; raises BadOption with Ollama's text for a wrong type."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        sent = MAPPED.get(name) or extra.get(name)
        checked = _checked(name, value)
        if sent and not _unset(name, checked):
            fields[sent] = checked
    return fields


def response_format(format: Any) -> dict[str, Any] | None:  # noqa: A002 - Ollama's own field name
    """`format` as `response_format`; raises BadOption with Ollama's text for anything else."""
    if format is None or format == "":
        return None
    if format == "json":
        return {"type": "json_object"}
    if isinstance(format, dict):
        # Ollama schemas are written loosely; strict mode would refuse most of them
        schema = {"name": "answer", "schema": format, "strict": False}
        return {"type": "json_schema", "json_schema": schema}
    quoted = msgspec.json.encode(msgspec.json.encode(format).decode()).decode()
    raise BadOption(f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')


def _checked(name: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _INTEGER:
        if not number:
            raise BadOption(f'option "{name}" must be of type integer')
        return _truncated(value)
    if name in _FLOAT and not number:
        raise BadOption(f'option "{name}" must be of type float32')
    if name in _BOOLEAN and not isinstance(value, bool):
        raise BadOption(f'option "{name}" must be of type boolean')
    if name == "stop":
        if not isinstance(value, list):
            raise BadOption('option "stop" must be of type array')
        if not all(isinstance(item, str) for item in value):
            raise BadOption('option "stop" must be of an array of strings')
    return value


def _truncated(value: float) -> int:
    limit = 2**63 - 1
    return int(max(-limit, min(limit, value)))


def _unset(name: str, value: Any) -> bool:
    if name == "num_predict":
        return bool(value <= 0)
    if name in _UNSET_BELOW_ZERO:
        return bool(value < 0)
    return name == "stop" and not value
