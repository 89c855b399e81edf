"""What several processes tell of themselves, told as one daemon. Pure: documents in, one out."""

from collections.abc import Sequence
from typing import Any

from ollama_bridge.server.journal import FAILURES, RECENT

Document = dict[str, Any]

_SUMS = ("active", "requests", "errors")
_PROVIDER_SUMS = ("failures", "running", "waiting", "limit")
_STATES = ("ok", "trying", "failing")
"""From good to bad: a provider is as well as the worst that any of them has seen."""


def status(told: Sequence[Document], pid: int) -> Document:
    """The state of all; the first is the one that was asked. `pid` is the supervisor's, if any."""
    own = told[0]
    if len(told) == 1 and not own["workers"]:
        return own
    return own | {
        **{name: sum(one[name] for one in told) for name in _SUMS},
        "pid": pid or own["pid"],
        "started_at": min(one["started_at"] for one in told),
        "settings_error": next(
            (one["settings_error"] for one in told if one["settings_error"]), None
        ),
        "answering": [name for one in told for name in one["answering"]],
        "learned": _learned(told),
        "failures": _failures(told),
        "providers": [_provider(row, told) for row in own["providers"]],
        "workers": sorted((row for one in told for row in one["workers"]), key=_number),
    }


def requests(told: Sequence[Document]) -> Document:
    """The requests of all, oldest first."""
    if len(told) == 1:
        return told[0]
    return told[0] | {
        "running": sorted((row for one in told for row in one["running"]), key=_time),
        "recent": sorted((row for one in told for row in one["recent"]), key=_time)[-RECENT:],
    }


def _learned(told: Sequence[Document]) -> list[Document]:
    """By model, each lesson once."""
    found: dict[str, list[str]] = {}
    for row in (row for one in told for row in one["learned"]):
        known = found.setdefault(row["model"], [])
        known += [name for name in row["learned"] if name not in known]
    return [{"model": model, "learned": names} for model, names in found.items()]


def _failures(told: Sequence[Document]) -> list[Document]:
    """The last ones, counted through: a reader knows by the number which are new."""
    rows = sorted((row for one in told for row in one["failures"]), key=_time)[-FAILURES:]
    first = sum(one["errors"] for one in told) - len(rows) + 1
    return [row | {"number": first + index} for index, row in enumerate(rows)]


def _provider(row: Document, told: Sequence[Document]) -> Document:
    rows = [other for one in told for other in one["providers"] if other["name"] == row["name"]]
    return row | {
        **{name: sum(other[name] for other in rows) for name in _PROVIDER_SUMS},
        "state": max((other["state"] for other in rows), key=_STATES.index),
        "resting": max(other["resting"] for other in rows),
    }


def _number(row: Document) -> int:
    return int(row["number"])


def _time(row: Document) -> str:
    return str(row["time"])
