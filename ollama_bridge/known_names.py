"""Names of models and providers for completion: what is known without waiting for anybody."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ollama_bridge import client, config
from ollama_bridge.errors import BridgeError

PATIENCE = 0.3
"""Seconds a running daemon gets to answer; somebody waits with a finger on the key."""


def providers(path: Path | None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The providers of these settings; none when they cannot be read."""
    try:
        return list(config.load(path, environ).providers)
    except BridgeError:
        return []


def aliases(path: Path | None, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The user's own names for models."""
    try:
        return list(config.load(path, environ).aliases)
    except BridgeError:
        return []


def models(
    path: Path | None, environ: Mapping[str, str] = os.environ, patience: float = PATIENCE
) -> list[str]:
    """What the daemon lists; without one, aliases and the lists it kept the last time."""
    state = config.state_folder(environ)
    with contextlib.suppress(BridgeError):
        listed = client.connect(state, patience).tags()["models"]
        return [str(model["name"]).removesuffix(":latest") for model in listed]
    return [*aliases(path, environ), *_kept(path, state, environ)]


def _kept(path: Path | None, state: Path, environ: Mapping[str, str]) -> list[str]:
    try:
        settings = config.load(path, environ)
    except BridgeError:
        return []
    names = []
    for name, row in settings.providers.items():
        prefix = "" if name == settings.default_provider else f"{name}/"
        names += [f"{prefix}{model}" for model in (*row.models, *_saved(state, row.url))]
    return names


def _saved(state: Path, url: str) -> list[str]:
    """The ids of a saved list, in the provider's own form."""
    try:
        document = json.loads(config.saved_list(state, url).read_bytes())
    except (OSError, ValueError):
        return []
    rows = document.get("data") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        return []
    return [row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
