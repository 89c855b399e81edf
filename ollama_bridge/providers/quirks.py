"""Small named edits of the request body for services that refuse what all others take.

Strategy: a body is the plain dict of one OpenAI request, edited in place just before it is sent.
A provider's row names its edits; the settings may name them too, so a private server needs no code.
"""

from collections.abc import Callable, Mapping
from typing import Any

Body = dict[str, Any]


def new_token_limit(body: Body) -> None:
    """Newer models refuse `max_tokens`, the name every other service knows."""
    if (limit := body.pop("max_tokens", None)) is not None:
        body["max_completion_tokens"] = limit


def random_seed(body: Body) -> None:
    """The same thing under another name; unknown names are refused with 422."""
    if (seed := body.pop("seed", None)) is not None:
        body["random_seed"] = seed


def no_stream_options(body: Body) -> None:
    """Usage comes at the end of every stream without asking, and asking is refused."""
    body.pop("stream_options", None)


def first_four_stops(body: Body) -> None:
    """More than four stop strings are refused; the bridge itself watches for the others."""
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        body["stop"] = stop[:4]


QUIRKS: Mapping[str, Callable[[Body], None]] = {
    edit.__name__: edit
    for edit in (new_token_limit, random_seed, no_stream_options, first_four_stops)
}
