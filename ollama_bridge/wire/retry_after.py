"""How long a server asks to be left alone, in every form one was seen to say it.

Sources: upstream-quirks G11 to G13; RFC 9110, section 10.2.3.
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import duration

_EPOCH = 1_000_000_000
"""A number of seconds above this is a date, not a length of time."""


def seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, None when nobody tells; `now` is the time in seconds since the epoch.

    Header names are in lower case. A time that is zero, negative or unreadable says nothing (G13).
    """
    for name, read in _READERS.items():
        if (text := headers.get(name, "").strip()) and (found := _usable(read, text, now)):
            return found
    return None


def _usable(read: Callable[[str, float], float], text: str, now: float) -> float | None:
    try:
        found = read(text, now)
    except (ValueError, OverflowError, BadRequest):
        return None
    return found if 0 < found < _EPOCH else None


def _milliseconds(text: str, _now: float) -> float:
    return float(text) / 1000


def _seconds_or_date(text: str, now: float) -> float:
    try:
        return float(text)
    except ValueError:
        when = parsedate_to_datetime(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now


def _reset(text: str, now: float) -> float:
    """A Go duration, a number of seconds, or a date in seconds or milliseconds."""
    if not text.replace(".", "", 1).isdecimal():
        return duration.nanoseconds(text) / 1e9
    number = float(text)
    if number > 1000 * _EPOCH:
        number /= 1000
    return number - now if number > _EPOCH else number


_READERS: Mapping[str, Callable[[str, float], float]] = {
    "retry-after-ms": _milliseconds,
    "x-ms-retry-after-ms": _milliseconds,
    "retry-after": _seconds_or_date,
    "x-ratelimit-reset": _reset,
}
"""The most exact comes first. `x-ratelimit-reset-requests` and its like tell when a window is full
again, which is not when the next request is let in: they are no reason to wait."""
