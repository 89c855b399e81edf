"""When a request is made again, after which pause, and when it is not.

Strategy: only what may pass by itself is tried again (upstream-quirks G9 to G18), and only before
the client was told anything. A pause is what the provider asks for, or our own, which doubles from
try to try and is never twice the same, so that many clients do not come back together.
"""

import re

from ollama_bridge.errors import (
    BridgeError,
    KeyMissing,
    LimitReached,
    ModelNotFound,
    NotSupported,
    UpstreamFailed,
)

LONGEST = 30.0
"""Seconds; a provider that asks for more gets its answer passed on at once, with the header."""

LOADING = re.compile(r"(?i)\bloading model\b|model is (?:still )?(?:being )?load")
LOADING_TRIES, LOADING_PAUSE = 120, 1.0
"""A local server that loads a model says so with 503 until it is done (G14)."""

_FIRST, _DOUBLED = 0.5, 8.0
"""Seconds of the first pause, and the most that doubling makes of it."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses of an upstream that may be gone a moment later."""

_QUOTA = re.compile(r"(?i)insufficient.?quota|exceeded your current quota|billing|credit|per.?day")
"""A 429 that no waiting mends (G10)."""

_CERTIFICATE = re.compile(r"(?i)certificate")
"""One that does not fit will not fit a second later."""

_OWN_FAULT = frozenset({400, 409, 413, 414, 422})
"""Statuses of an upstream that finds fault with the request; another would find it as well."""


def pause(error: UpstreamFailed, tries: int, most: int, chance: float) -> float | None:
    """Seconds before the next try, None when there is to be none.

    `tries` have been made beyond the first, `most` are allowed; `chance` is from 0 to 1.
    """
    if error.upstream_status == 503 and LOADING.search(error.detail):
        return LOADING_PAUSE if most and tries < LOADING_TRIES else None
    if tries >= most or not passes_by_itself(error):
        return None
    own = min(_DOUBLED, _FIRST * 2.0**tries) * (0.75 + chance / 2)
    wait = max(error.wait or 0.0, own)
    return wait if wait <= LONGEST else None


def passes_by_itself(error: UpstreamFailed) -> bool:
    """Whether the same request may be answered a little later."""
    if not error.passing:
        return False  # what was asked for has been done, only not in a way that can be read
    if error.upstream_status is None and _CERTIFICATE.search(error.detail):
        return False
    if error.upstream_status is None:
        return error.status == 502  # unreachable, or broken off; after a timeout enough was waited
    if error.upstream_status == 429:
        return _QUOTA.search(error.detail) is None
    return error.upstream_status in _PASSING


def may_fare_better(error: BridgeError) -> bool:
    """Whether another target may answer what this one did not."""
    if isinstance(error, UpstreamFailed):
        return error.upstream_status not in _OWN_FAULT
    return isinstance(error, KeyMissing | LimitReached | ModelNotFound | NotSupported)


def is_its_fault(error: BridgeError) -> bool:
    """Whether the provider is in trouble, as opposed to this one request."""
    if isinstance(error, UpstreamFailed):
        return error.upstream_status not in _OWN_FAULT | {404}
    return isinstance(error, KeyMissing)
