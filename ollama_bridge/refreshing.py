"""Fetch the public facts anew, into the state folder; only when the user says so.

Strategy: what is fetched is trimmed and read as the daemon would read it, all in memory; only facts
that hold together replace the file. Whatever goes wrong leaves the old ones.
"""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ollama_bridge import __version__, config, files
from ollama_bridge.errors import BridgeError
from ollama_bridge.providers import database, facts

SOURCE = database.SOURCE

SECONDS = 30.0
"""Longest wait for the server."""

LARGEST = 64 * 2**20
"""Bytes; the database has 3 million."""

LEAST_MODELS, LEAST_SERVICES = 500, 50
"""A database with fewer has lost something."""


def refresh(state: Path, source: str = SOURCE, seconds: float = SECONDS) -> facts.Table:
    """Read the database at an address or in a file, and replace the facts; raises BridgeError."""
    kept = "The facts stay as they were."
    try:
        text = _fetched(source, seconds) if "://" in source else Path(source).read_bytes()
        made = database.text(_parsed(text), f"{source}, {datetime.now(UTC):%Y-%m-%d}")
        table = _whole(facts.read(made.encode(), "refreshed facts"))
    except urllib.error.HTTPError as error:
        error.close()
        raise BridgeError(f"{source} answered with status {error.code}. {kept}") from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        what = getattr(reason, "strerror", None) or reason
        raise BridgeError(f"{source} cannot be read: {what}. {kept}") from error
    except ValueError as error:
        raise BridgeError(f"{source} holds no facts: {error}. {kept}") from error
    try:
        files.replace(config.facts_file(state), made)
    except OSError as error:
        raise files.unwritable(error, config.facts_file(state)) from error
    return table


def _whole(table: facts.Table) -> facts.Table:
    if len(table) < LEAST_MODELS or len(table.services) < LEAST_SERVICES:
        raise ValueError(f"only {len(table)} models and {len(table.services)} services are in it")
    return table


def _fetched(url: str, seconds: float) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise ValueError("an address begins with https://")
    headers = {"User-Agent": f"ollama-bridge/{__version__}", "Accept": "application/json"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=seconds) as reply:  # noqa: S310 - the same
        text: bytes = reply.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 2**20} MiB")
    return text


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return found if isinstance(found, dict) else {}
