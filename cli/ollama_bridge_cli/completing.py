"""Completion of names in the shell: quick, silent, and never in the way."""

import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import typer

SECONDS = 1.0
"""Longest a key press may wait."""

Found = Callable[[Path | None], list[str]]


@contextmanager
def whole_words(environ: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Put names such as `qwen3:8b` together again, for bash ends a word at a colon.

    bash completes only what stands behind the colon, so what is printed leaves the rest out.
    """
    there = _rejoined(environ) if environ.get(_BASH[0]) == _BASH[1] else ""
    if not there:
        yield
        return
    try:
        with redirect_stdout(io.StringIO()) as told:
            yield
    finally:
        for name in told.getvalue().splitlines():
            sys.stdout.write(f"{name.removeprefix(there)}\n")


_BASH = ("_OLLAMA_BRIDGE_COMPLETE", "complete_bash")


def _rejoined(environ: MutableMapping[str, str]) -> str:
    """What of the last word stands before its last colon; "" where bash split none."""
    text, current = environ.get("COMP_WORDS", ""), int(environ.get("COMP_CWORD") or 0)
    words = text.split("\n" if "\n" in text else " ")[: current + 1]
    whole: list[str] = []
    for word, before in zip(words, ["", *words], strict=False):
        if whole and (_COLONS.fullmatch(word) or _COLONS.fullmatch(before)):
            whole[-1] += word
        else:
            whole.append(word)
    if len(whole) == len(words):
        return ""
    environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(whole), str(len(whole) - 1)
    return whole[-1][: whole[-1].rfind(":") + 1]


_COLONS = re.compile(":+")


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
