"""An upstream's error, in whatever shape it came: one sentence, and the status a client sees.

Sources: upstream-quirks sections C17, C21, G, H4; ollama-api traps 7, 8, 10, 11.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from ollama_bridge.errors import (
    ModelNotFound,
    NotSupported,
    Refusal,
    UpstreamBroke,
    UpstreamFailed,
)
from ollama_bridge.wire import openai

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
_PAGE = re.compile(r"(?i)<!doctype html|<html\b|<body\b")
_TAGS = re.compile(  # each goes once over the text, also where nothing is ever closed
    r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE
)
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
_FEATURES = (
    (_TOOLS, "tools", "tools"),
    (_IMAGES, "images", "vision"),
    (_THINKING, "thinking", "thinking"),
)
_NO_MODEL = re.compile(
    r"(?i)\bmodel:?(?: \S+)? (?:(?:was |could )?not (?:be )?found|(?:does )?not exist|"
    r"(?:is |has been )(?:unknown|decommissioned|deprecated|not available))|"
    r"\b(?:unknown|no such) model\b|\binvalid model(?::| name| id|$)|not a valid model|"
    r"no endpoints found for|\binvalid_model\b|\bmodel_(?:not_found|decommissioned)\b"
)
_NO_ROUTE = re.compile(r"(?i)not found|cannot post|invalid url|no route|no reason given")


def sentence(error: Any) -> str:
    """The human part of an error value, in one line, without markup or secrets."""
    text = _dig(error).encode(errors="replace").decode()  # half emoji cannot be logged
    if _PAGE.search(text):
        text = html.unescape(_TAGS.sub(" ", text))
    text = "".join([sign if sign.isprintable() else " " for sign in text[: 8 * LONGEST]])
    return redact(" ".join(text.split()))[:LONGEST] or "no reason given"


def redact(text: str) -> str:
    """`text` with everything that looks like a key blanked."""
    return _SECRET.sub("[hidden]", text)


def in_stream(error: Any, provider: str) -> UpstreamBroke:
    """An error that came inside a reply whose status said success."""
    code = _code(error)
    broke = UpstreamBroke(
        f"{provider}: {sentence(error)}",
        status=_status(code) if code else 502,
        upstream_status=code,
        detail=sentence(error),
    )
    broke.refusal = refusal(code or 400, error)
    return broke


def unreadable(said: bytes, provider: str) -> UpstreamBroke:
    """The reply is none at all, such as a web page; to ask again would bring the same.

    The service may have done the work and charge for it, so that another try is not free either.
    """
    text = said[:_LOOK].decode(errors="replace")
    advice = (
        f" (a web page: check the base URL of provider {provider})" if _PAGE.search(text) else ""
    )
    return UpstreamBroke(
        f"{provider} sent something that is not JSON: {sentence(text)}{advice}", passing=False
    )


_LOOK = 400
"""Bytes of an unreadable reply that are looked at."""

_REDIRECTS = (
    "it redirects to another address; that is not followed, because the key would go along: "
    "correct the base URL"
)


def refused(
    status: int, body: bytes, *, provider: str, model: str, retry_after: str = ""
) -> UpstreamFailed | ModelNotFound | NotSupported:
    """The upstream answered with an error status: what the client gets to see."""
    error = _json(body)
    said = refusal(status, error)
    failed = _failed(status, error, said.text, provider=provider, model=model)
    failed.refusal = said
    if isinstance(failed, UpstreamFailed):
        failed.retry_after = retry_after
    return failed


def refusal(status: int, error: Any) -> Refusal:
    """The same for whoever may ask again in another way: what is named, and what was written."""
    return Refusal(
        status=status,
        text=_REDIRECTS if 300 <= status < 400 and not _dig(error) else sentence(error),
        param=_find(error, "param") or _place(error),
        code=_find(error, "code"),
        generation=_find(error, "failed_generation"),
    )


def _find(error: Any, key: str, depth: int = 6) -> str:
    """The innermost text of that key: a vendor behind a router knows best."""
    if depth == 0:
        return ""
    if isinstance(error, list):
        return next((said for item in error if (said := _find(item, key, depth - 1))), "")
    if not isinstance(error, dict):
        return ""
    inner = [_cause(error), *(error.get(name) for name in ("error", "message", "detail"))]
    found = next((said for item in inner if (said := _find(item, key, depth - 1))), "")
    own = error.get(key)
    return found or (own if isinstance(own, str) else "")


def _place(error: Any, depth: int = 6) -> str:
    """The field that a validator names, without the word for the whole body."""
    if depth == 0:
        return ""
    if isinstance(error, list):
        return next((said for item in error if (said := _place(item, depth - 1))), "")
    if not isinstance(error, dict):
        return ""
    if isinstance(place := error.get("loc"), list):
        return ".".join(str(part) for part in place if part != "body")
    inner = [_cause(error), *(error.get(name) for name in _PLACES)]
    return next((said for item in inner if (said := _place(item, depth - 1))), "")


_PLACES = ("error", "message", "detail", "details", "errors")


def _failed(
    status: int, error: Any, text: str, *, provider: str, model: str
) -> UpstreamFailed | ModelNotFound | NotSupported:
    if status in (400, 404, 422, 500, 501):
        for pattern, feature, capability in _FEATURES:
            if pattern.search(text):
                unable = NotSupported(f'"{model}" does not support {feature} ({provider}: {text})')
                unable.capability = capability
                return unable
    if status in (400, 404) and _NO_MODEL.search(f"{text} {_word(error)}"):
        return ModelNotFound(f"model '{model}' not found ({provider}: {text})")
    return UpstreamFailed(
        f"{provider}: {text}{_advice(status, text, provider)}",
        status=_status(status),
        upstream_status=status,
        detail=text,
    )


def inner_headers(body: bytes) -> dict[str, str]:
    """Headers of the vendor behind a router, which stand in the error's own text (G12)."""
    error = _json(body)
    inner = error.get("error") if isinstance(error, dict) else None
    metadata = inner.get("metadata") if isinstance(inner, dict) else None
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    pairs = headers.items() if isinstance(headers, dict) else ()
    return {str(name).lower(): str(value) for name, value in pairs}


def native(
    status: int, body: bytes, *, sent: str, model: str, retry_after: str = ""
) -> UpstreamFailed | NotSupported:
    """A real Ollama's refusal, in its words and with its status; `sent` is its name of `model`."""
    error = _json(body)
    fields = error if isinstance(error, dict) else {}
    text = fields.get("error")
    if not isinstance(text, str) or not text:
        fields, text = {}, sentence(error)
    for quote in "'\"":
        text = text.replace(f"{quote}{sent}{quote}", f"{quote}{model}{quote}") if sent else text
    if status == 400 and _LACKS.search(text):
        return NotSupported(text)
    # a bare 401 is about a key of ours; with an address it is Ollama's own "sign in"
    seen = status if "signin_url" in fields else _status(status) if status == 401 else status
    return UpstreamFailed(
        text,
        status=seen,
        upstream_status=status,
        detail=text,
        retry_after=retry_after,
        said=json.dumps(fields | {"error": text}, separators=(",", ":")).encode(),
    )


_LACKS = re.compile(r"does not support \w+$")


def _advice(status: int, text: str, provider: str) -> str:
    if status == 401:
        remedy = f"set a valid key with `ollama-bridge keys set {provider}`"
    elif status == 404 and _NO_ROUTE.search(text):
        remedy = f"check the base URL of provider {provider}"
    else:
        return ""
    return f" (upstream status {status}: {remedy})"


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


def _word(error: Any) -> str:
    """The error's code, where it is a word for programs."""
    inner = error.get("error") if isinstance(error, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else None
    return code if isinstance(code, str) else ""


def _json(body: bytes) -> Any:
    text = body.decode(errors="replace")
    try:
        return openai.loose(text)
    except (ValueError, RecursionError):
        return text[: 8 * LONGEST]


def _dig(error: Any, depth: int = 6) -> str:
    if isinstance(error, str):
        return error
    if error is None or depth == 0:
        return ""
    if isinstance(error, list):
        return next((text for item in error if (text := _dig(item, depth - 1))), "")
    return _of_object(error, depth - 1) if isinstance(error, dict) else str(error)


def _of_object(error: Mapping[str, Any], depth: int) -> str:
    if cause := _cause(error):
        return f"{_dig(error.get('message'), depth)}: {_dig(cause, depth)}".lstrip(": ")
    if isinstance(place := error.get("loc"), list) and "msg" in error:  # FastAPI names the field
        return f"{'.'.join(map(str, place))}: {_dig(error['msg'], depth)}"
    nested = isinstance(error.get("error"), dict | list)
    keys = ("error", *_TEXT_KEYS) if nested else _TEXT_KEYS
    found = next((text for key in keys if (text := _dig(error.get(key), depth))), "")
    return found or (json.dumps(error) if error else "")


def _cause(error: Mapping[str, Any]) -> Any:
    """OpenRouter wraps the real vendor's reply, a JSON string, in `metadata.raw` (quirk G6b)."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return _json(raw.encode(errors="replace")) if isinstance(raw, str) and raw else raw
