"""RFC 3339 time text with nanoseconds, as Ollama writes it.

Strategy: only the nine digits after the point change within a second, so the rest is kept.
"""

from collections.abc import Callable
from datetime import UTC, datetime

NANOSECONDS = 1_000_000_000


def text(ns: int) -> str:
    """`ns` since the epoch as UTC time text: `2026-01-02T03:04:05.000000006Z`."""
    second, rest = divmod(ns, NANOSECONDS)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def stamper(clock: Callable[[], int]) -> Callable[[], str]:
    """Tells the time of `clock` (nanoseconds) as text; formats the date once a second."""
    begin, end, prefix = 0, 0, ""

    def stamp() -> str:
        nonlocal begin, end, prefix
        now = clock()
        if not begin <= now < end:
            second = now // NANOSECONDS
            begin, end = second * NANOSECONDS, (second + 1) * NANOSECONDS
            prefix = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}."
        return f"{prefix}{str(now - begin + NANOSECONDS)[1:]}Z"  # the added one keeps the zeros

    return stamp
