"""Lengths of time as Ollama lets clients write them: Go's duration text, or a number of seconds."""

import re
from typing import Any

from ollama_bridge.errors import BadRequest

FOREVER = -1.0
DEFAULT = 300.0
"""How long Ollama keeps a model when nobody says otherwise."""

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_MOST = 2**63
"""Nanoseconds that Go can hold, about 292 years; only a negative length may reach it."""
_LONGEST = 1000
"""Characters we look at; Go has no limit, but then a body full of units costs seconds."""
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_GO_TYPES = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


def seconds(value: Any) -> float:
    """`keep_alive` in seconds, FOREVER when negative; raises BadRequest with Ollama's text."""
    if isinstance(value, str):
        value = nanoseconds(value) / _SECOND
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"Unsupported type: '{_GO_TYPES.get(type(value), 'unknown')}'")
    return float(value) if 0 <= value < _MOST / _SECOND else FOREVER


def environment(text: str) -> float:
    """Seconds from OLLAMA_KEEP_ALIVE, which also takes a bare integer; DEFAULT if unreadable."""
    text = text.strip().strip("\"'")
    if _INTEGER.fullmatch(text):
        return seconds(int(text))
    try:
        return seconds(text)
    except BadRequest:
        return DEFAULT


def nanoseconds(text: str) -> int:
    """Go's duration text as a number; raises BadRequest with Go's text."""
    negative = text.startswith("-")
    unsigned = text[1:] if text.startswith(("+", "-")) else text
    if unsigned == "0":
        return 0
    if not unsigned or len(text) > _LONGEST:
        raise _invalid(text[:_LONGEST])
    total = 0
    for part in _PART.finditer(unsigned):
        total += _part(part, text) if part[0] else 0  # the last match is empty
        if total > _MOST:
            raise _invalid(text)
    if total == _MOST and not negative:
        raise _invalid(text)
    return -total if negative else total


def _part(part: re.Match[str], text: str) -> int:
    """One number with its unit."""
    whole, fraction, unit = part[1], part[2] or "", part[3]
    if not (whole or fraction) or len(whole.lstrip("0")) > 19 or int(whole or "0") > _MOST:
        raise _invalid(text)
    if not unit:
        raise BadRequest(f"time: missing unit in duration {_quoted(text)}")
    if unit not in _UNITS:
        raise BadRequest(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
    fraction = fraction[: 19 if int(fraction[:19] or "0") <= _MOST else 18]  # as Go's 64 bits
    size = _UNITS[unit]
    return int(whole or "0") * size + int(int(fraction or "0") * (size / 10 ** len(fraction)))


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"time: invalid duration {_quoted(text)}")


def _quoted(text: str) -> str:
    """Text in quotes, safe on one line: Go writes all but printable ASCII byte by byte."""
    return '"' + "".join(map(_shown, text)) + '"'


def _shown(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char < "\x80":
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors="replace"))
