"""What the limits for a day say, in words."""

import time
from collections.abc import Mapping
from typing import Any

from ollama_bridge.errors import NotRunning
from ollama_bridge.spending import amount

from . import render
from .session import Session

_FEW = 3
_LIST_SECONDS = 5.0


def today(row: Mapping[str, Any]) -> str:
    """What was spent at a provider today, and of how much where there are limits."""
    spent = row["today"]
    if row["limits"]:
        parts = [_of(limit) for limit in row["limits"]]
    elif spent["requests"]:
        parts = [
            amount("requests_per_day", spent["requests"]),
            amount("tokens_per_day", spent["tokens_in"] + spent["tokens_out"]),
        ]
        if spent["usd"]:
            parts.append(amount("usd_per_day", spent["usd"]))
    else:
        return ""
    estimated = " (partly estimated)" if spent["estimated"] else ""
    return ", ".join(parts) + estimated


def reached(row: Mapping[str, Any]) -> str:
    """That a limit is reached, if one is."""
    return ", ".join(f"{limit['limit']} is reached" for limit in row["limits"] if limit["reached"])


def hints(rows: list[dict[str, Any]]) -> list[str]:
    """What the limits in money do not count, and how to make them."""
    return [_uncounted(row["name"], row["uncounted"]) for row in rows if row["uncounted"]]


def tell(user: Session, key: tuple[str, ...]) -> None:
    """After a limit in money was set: what it does not count is never left unsaid."""
    if key[-1:] != ("usd_per_day",) or len(key) < 2:
        return
    try:
        rows = _when_listed(user, key[1])
    except NotRunning:
        user.say(
            "Models whose price nobody tells are not counted in money; once the daemon runs, "
            "`ollama-bridge doctor` tells which."
        )
        return
    for hint in hints(rows):
        user.say(hint)


def _when_listed(user: Session, name: str) -> list[dict[str, Any]]:
    """The provider's row once its models are told, or after a while."""
    deadline = time.monotonic() + _LIST_SECONDS
    while True:
        rows = [row for row in user.client().status()["providers"] if row["name"] == name]
        waiting = [row for row in rows if row["models"] is None and not row["error"]]
        if not waiting or time.monotonic() > deadline:
            return rows
        time.sleep(0.05)


def _of(limit: Mapping[str, Any]) -> str:
    most, used = limit["most"], limit["used"]
    if limit["limit"] == "usd_per_day":
        return f"{amount('usd_per_day', used)} of {amount('usd_per_day', most)}"
    return f"{used:,.0f} of {amount(limit['limit'], most)}"


def _uncounted(name: str, models: list[str]) -> str:
    few = ", ".join(models[:_FEW]) + (", ..." if len(models) > _FEW else "")
    return (
        f"The limit in money of {name} does not count {render.count(len(models), 'model')} whose "
        f"price nobody tells ({few}). Say what they cost, in dollars for a million tokens in and "
        f"out: ollama-bridge config set providers.{name}.limits.fallback_price '[IN, OUT]'"
    )
