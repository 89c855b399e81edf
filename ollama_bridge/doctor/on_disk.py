"""Checks of files and folders."""

import json
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ollama_bridge import log
from ollama_bridge.config import Config
from ollama_bridge.doctor.finding import Finding, fault, ok
from ollama_bridge.doctor.situation import Situation
from ollama_bridge.origins import Origins

_TIGHT = 50 * 2**20
"""Bytes; the log takes 20 MB at most."""


def settings(here: Situation) -> Iterator[Finding]:
    """The settings file can be used."""
    found = here.settings
    if not isinstance(found, Config):
        yield fault(
            found.message,
            "mend that line, then `ollama-bridge config validate`; the daemon keeps "
            "its old settings until then",
        )
        return
    there = "" if here.config_path.exists() else " (not there yet: built-in settings hold)"
    yield ok(f"{here.config_path}{there}")


def modes(here: Situation) -> Iterator[Finding]:
    """Nobody else can read the settings, the keys, the token."""
    if here.platform == "win32":  # folders of the user are closed to others there
        yield ok("left to Windows")
        return
    wanted = [here.config_path, here.state, here.state / "daemon.json", *_key_files(here)]
    open_ones = [path for path in wanted if _others_read(path)]
    for path in open_ones:
        yield fault(f"others can read {path}", f"chmod go-rwx '{path}'")
    if not open_ones:
        yield ok("only you can read them")


def state(here: Situation) -> Iterator[Finding]:
    """The state folder can be written."""
    try:
        here.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=here.state, prefix=".doctor.") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        yield fault(
            f"{here.state} cannot be written: {error.strerror}",
            "give that folder to yourself and make room in it, or name another with "
            "OLLAMA_BRIDGE_STATE",
        )
        return
    yield ok(str(here.state))


def space(here: Situation) -> Iterator[Finding]:
    """There is room for logs and settings."""
    for what, path in {"state": here.state, "settings": here.config_path.parent}.items():
        folder = _existing(path)
        free = shutil.disk_usage(folder).free
        says = f"{free // 2**20} MB free for {what} in {folder}"
        if free < _TIGHT:
            yield fault(f"the disk is full: {says}", "delete what you do not need, old logs first")
        else:
            yield ok(says)


def logs(here: Situation) -> Iterator[Finding]:
    """The log can be written by whoever runs the daemon."""
    path = here.state / log.NAME
    if path.exists() and not os.access(path, os.W_OK):
        yield fault(f"{path} cannot be written", f"it is another user's: delete '{path}'")
    elif path.exists() and not path.is_file():
        yield fault(f"{path} is no file", f"move it away: mv '{path}' '{path}.old'")
    else:
        yield ok(str(path))


def origins(here: Situation) -> Iterator[Finding]:
    """Web pages and extensions that were turned away lately."""
    path = here.state / log.NAME
    lines = log.last(path, 2000)[0] if path.is_file() else []
    refused = {name for line in lines for name in log.refused_origins(line)}
    own = here.good_settings.server.origins if here.good_settings else ()
    allowed = Origins(own)
    left = sorted(name for name in refused if not allowed.allow(name.encode("latin-1", "replace")))
    for name in left:
        yield fault(
            f"a page of {name} was turned away",
            f"if you trust it: ollama-bridge config set server.origins "
            f"{shlex.quote(json.dumps([*own, name]))}; else leave it so",
        )
    if not left:
        yield ok("none were")


def _key_files(here: Situation) -> Iterator[Path]:
    found = here.good_settings
    for row in found.providers.values() if found else ():
        rule, _, path = row.key.partition(":")
        if rule == "file":
            yield Path(path.strip()).expanduser()


def _others_read(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


def _existing(path: Path) -> Path:
    return next((one for one in (path, *path.parents) if one.is_dir()), Path.cwd())
