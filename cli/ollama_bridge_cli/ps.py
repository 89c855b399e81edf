"""ps: the models in use, like `ollama ps`."""

from datetime import UTC, datetime
from typing import Any

import typer

from . import render, session
from .arguments import AsJson


def ps(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Show which models are in use, and until when."""
    user = session.of(context)
    running = user.client()
    models = running.ps()["models"]
    answering = running.status()["answering"]
    if as_json:
        render.document({"models": models, "answering": answering})
        return
    now = datetime.now(UTC)
    rows = [
        [
            model["name"],
            model["digest"][:12],
            str(model.get("context_length") or "?"),
            until(model["expires_at"], now),
        ]
        for model in models
    ]
    user.table(["name", "id", "context", "until"], rows)
    if answering:
        user.say(f"Answering now: {', '.join(answering)}")
    elif not models:
        user.say("No model has been used lately.")


_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_FOREVER = 100 * 365 * 86_400


def until(time: Any, now: datetime) -> str:
    """A moment as `4 minutes from now`, which is what `ollama ps` says too."""
    moment = datetime.fromisoformat(f"{str(time).partition('.')[0].rstrip('Z')}+00:00")
    seconds = int((moment - now).total_seconds())
    if seconds > _FOREVER:
        return "forever"
    for name, length in _UNITS:
        if seconds >= length:
            return f"{render.count(seconds // length, name)} from now"
    return "now"
