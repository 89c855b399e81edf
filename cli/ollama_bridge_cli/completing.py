"""Completion of names in the shell: quick, silent, and never in the way."""

import threading
from collections.abc import Callable
from pathlib import Path

import typer

SECONDS = 0.3
"""Longest a key press may wait."""

Found = Callable[[Path | None], list[str]]


def models(context: typer.Context, incomplete: str) -> list[str]:
    """Models of the daemon, or of the lists it kept."""
    from ollama_bridge import known_names

    return _beginning(context, incomplete, known_names.models)


def providers(context: typer.Context, incomplete: str) -> list[str]:
    """Providers of the settings."""
    from ollama_bridge import known_names

    return _beginning(context, incomplete, known_names.providers)


def keyed(context: typer.Context, incomplete: str) -> list[str]:
    """What a key can be stored for: providers, and services that a key would add."""
    from ollama_bridge import known_names
    from ollama_bridge.providers.presets import PRESETS

    return _beginning(context, incomplete, lambda path: [*known_names.providers(path), *PRESETS])


def services(context: typer.Context, incomplete: str) -> list[str]:
    """Well-known services."""
    from ollama_bridge.providers.presets import PRESETS

    return _beginning(context, incomplete, lambda _: list(PRESETS))


def aliases(context: typer.Context, incomplete: str) -> list[str]:
    """The user's own names for models."""
    from ollama_bridge import known_names

    return _beginning(context, incomplete, known_names.aliases)


def _beginning(context: typer.Context, incomplete: str, find: Found) -> list[str]:
    """What begins like that; nothing when looking takes too long or fails."""
    config = context.find_root().params.get("config_file")
    found: list[str] = []

    def look() -> None:
        try:
            found.extend(find(Path(config).expanduser() if config else None))
        except Exception:  # noqa: BLE001 - a traceback on the user's line helps nobody
            found.clear()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(SECONDS)
    if looking.is_alive():
        return []
    start = incomplete.lower()
    return [name for name in dict.fromkeys(found) if name.lower().startswith(start)]
