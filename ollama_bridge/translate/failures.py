"""An upstream's error, in whatever shape it came, as one sentence and the status a client should see.

Sources: upstream-quirks sections C17, C21, G, H4; ollama-api traps 7, 8, 10, 11.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ollama_bridge.errors import ModelNotFound, NotSupported, UpstreamBroke, UpstreamFailed

LONGEST = 1200
"""Characters of an upstream's text that are passed on."""

STATUS: Mapping[int, int] = {
    401: 502,  # the bridge's key was refused; clients take 401 for "sign in to Ollama"
    405: 502,
    407: 502,
    408: 504,
    422: 400,
    500: 502,
    529: 503,
}
"""What a client sees for an upstream's status; others from 400 on stay as they are."""

_TEXT_KEYS = ("message", "detail", "msg", "error_description", "reason", "title", "error")
_HTML = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_SECRET = re.compile(
    r"(?i)\bbearer\s+[-\w.~+/=]{16,}|\bsk-[-\w*]{6,}|\bAIza[-\w]{16,}|"
    r"\b(?:pk|rk|gsk|xai|hf|nvapi|ghp|gho|csk|fw|r8)[-_][-\w*]{16,}"
)

_TOOLS = re.compile(
    r"(?i)tool choice requires|requires --jinja|tools? (?:use|calling|call)?`? ?is not supported|"
    r"tool calling` is not supported|does not support (?:tool|function)|cannot use tools|"
    r"no endpoints found that support .*tool|tool use is not supported"
)
_IMAGES = re.compile(
    r"(?i)unknown variant `image_url`|image input is not supported|does not support image|"
    r"does not support vision|not a multimodal model|no endpoints found that support image"
)
_THINKING = re.compile(r"(?i)does not support (?:parameter )?(?:reasoning|thinking)")
_FEATURES = ((_TOOLS, "tools"), (_IMAGES, "images"), (_THINKING, "thinking"))
_NO_MODEL = re.compile(
    r"(?i)model.{0,200}(?:not found|does not exist|not exist|decommissioned|unknown|is not available)|"
    r"(?:unknown|invalid|no such) model|not a valid model|invalid_model|model_not_found"
)


def sentence(error: Any) -> str:
    """The human part of an error value, in one line, without markup or secrets."""
    text = _dig(error)
    text = " ".join(_HTML.sub(" ", text).split())
    return redact(text)[:LONGEST] or "no reason given"


def redact(text: str) -> str:
    """`text` with everything that looks like a key blanked."""
    return _SECRET.sub("[hidden]", text)


def in_stream(error: Any, provider: str) -> UpstreamBroke:
    """An error that came inside a reply whose status said success."""
    code = _code(error)
    return UpstreamBroke(
        f"{provider}: {sentence(error)}",
        status=_status(code) if code else 502,
        upstream_status=code,
        detail=sentence(error),
    )


def refused(
    status: int, body: bytes, *, provider: str, model: str, retry_after: str = ""
) -> UpstreamFailed | ModelNotFound | NotSupported:
    """The upstream answered with an error status: what the client gets to see."""
    text = sentence(_json(body))
    if status in (400, 404, 422, 500, 501):
        for pattern, feature in _FEATURES:
            if pattern.search(text):
                return NotSupported(f'"{model}" does not support {feature} ({provider}: {text})')
    if status in (400, 404) and _NO_MODEL.search(text):
        return ModelNotFound(f"model '{model}' not found ({provider}: {text})")
    advice = _ADVICE.get(status, "")
    return UpstreamFailed(
        f"{provider}: {text}{advice.format(provider=provider, status=status)}",
        status=_status(status),
        upstream_status=status,
        detail=text,
        retry_after=retry_after,
    )


_KEY_ADVICE = " (upstream status {status}: set a valid key with `ollama-bridge keys set {provider}`)"
_ADVICE: Mapping[int, str] = {
    401: _KEY_ADVICE,
    404: " (upstream status 404: check the base URL of provider {provider})",
}


def _status(status: int) -> int:
    if status < 400 or status > 599:
        return 502
    return STATUS.get(status, status)


def _code(error: Any) -> int | None:
    if not isinstance(error, dict):
        return None
    for key in ("code", "status_code", "status"):
        value = error.get(key)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body[: 8 * LONGEST].decode(errors="replace")


def _dig(error: Any, depth: int = 6) -> str:
    if isinstance(error, str):
        return error
    if depth == 0 or error is None:
        return ""
    if isinstance(error, list):
        return next((text for item in error if (text := _dig(item, depth - 1))), "")
    if not isinstance(error, dict):
        return str(error)
    if cause := _cause(error):
        return f"{_dig(error.get('message'), depth - 1)}: {_dig(cause, depth - 1)}".lstrip(": ")
    inner = error.get("error")
    if isinstance(inner, dict | list) and (text := _dig(inner, depth - 1)):
        return text
    if text := next((text for key in _TEXT_KEYS if (text := _dig(error.get(key), depth - 1))), ""):
        return text
    return msgspec.json.encode(error).decode() if error else ""


def _cause(error: Mapping[str, Any]) -> Any:
    """OpenRouter wraps the real vendor's reply, a JSON string, in `metadata.raw` (quirk G6b)."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if not isinstance(raw, str):
        return raw if isinstance(raw, dict) else None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw
