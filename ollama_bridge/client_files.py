"""Settings files of other programs: changed in one place, with a copy of the old one beside it."""

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ollama_bridge import files, jsonc
from ollama_bridge.errors import BridgeError

Edits = Sequence[tuple[tuple[str, ...], Any]]


def changed(path: Path, edits: Edits) -> tuple[str, str]:
    """The file's text as it is and as it would be; raises BridgeError where only a person may."""
    try:
        before = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as error:
        raise BridgeError(f"{path} cannot be read; change it by hand") from error
    after = before
    put = _FORMS.get(path.suffix, jsonc.put)
    try:
        for key, value in edits:
            after = put(after, key, value)
    except jsonc.Unchangeable as error:
        raise BridgeError(f"{path} is left alone, because {error}; change it by hand") from error
    return before, after


def _put_toml(text: str, key: Sequence[str], value: Any) -> str:
    """The text with one value set; comments and order stay. Raises Unchangeable."""
    import tomlkit  # only for clients whose settings are TOML
    from tomlkit.exceptions import TOMLKitError

    try:
        document: Any = tomlkit.parse(text)
        table = document
        for depth, part in enumerate(key[:-1], 2):
            if part not in table:
                table[part] = tomlkit.table(is_super_table=depth < len(key))
            table = table[part]
        table[key[-1]] = value
        return tomlkit.dumps(document)
    except (TOMLKitError, TypeError) as error:
        raise jsonc.Unchangeable("it is not TOML of the usual form") from error


_FORMS: dict[str, Callable[[str, Sequence[str], Any], str]] = {".toml": _put_toml}
"""By the file's ending; all others are JSON, with or without comments."""


def write(path: Path, text: str, now: datetime) -> Path | None:
    """Replace the file; where the copy of the old one is, if there was one. Raises BridgeError."""
    copy = None
    try:
        if path.exists():
            copy = path.with_name(f"{path.name}.{now:%Y%m%d-%H%M%S}.bak")
            shutil.copy2(path, copy)
        files.replace(path, text)
        if copy:
            shutil.copymode(copy, path)
    except OSError as error:
        raise BridgeError(f"{path} cannot be written: {error.strerror}") from error
    return copy
