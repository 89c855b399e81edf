"""What `models test` found out, kept in the state folder from one daemon to the next.

Strategy: one row per model under `provider/model`, with the provider's address: another service of
the same name has shown nothing. A row holds a word for each feature; what a capability is called
and what a word proves is in tables. A file that cannot be read is no trials.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ollama_bridge import files
from ollama_bridge.catalog import Proof
from ollama_bridge.errors import BridgeError
from ollama_bridge.providers.provider import Target

YES, NO = "yes", "no"
"""What a trial can prove; all other words prove nothing."""

CAPABILITY = {
    "stream": "completion",
    "tools": "tools",
    "vision": "vision",
    "thinking": "thinking",
    "embeddings": "embedding",
}
"""Ollama's word for what a feature shows; a JSON schema has none."""

_SHOWS_ABSENCE = frozenset({"tools", "vision", "thinking"})
"""Features that a model was refused for; a refused chat may have other reasons."""

_log = logging.getLogger("ollama_bridge")


class Result(msgspec.Struct, frozen=True):
    """One feature of one model, tried out."""

    outcome: str
    """`yes`, `no`, or another word that proves nothing."""
    detail: str = ""


class Trial(msgspec.Struct, frozen=True):
    """All that was tried of one model."""

    url: str
    """Its provider's address."""
    when: str
    """The time of the last trial."""
    results: dict[str, Result]
    embedding_length: int | None = None


class Trials:
    """The trials of every model, in memory and in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows = _read(path)

    def read(self) -> None:
        """Begin again with what the file says. May block."""
        self._rows = _read(self._path)

    def of(self, target: Target) -> Trial | None:
        """What was tried of a model, if that was at the address it has now."""
        trial = self._rows.get(f"{target.provider.name}/{target.model}")
        return trial if trial and trial.url == target.provider.url else None

    def shown(self, urls: Mapping[str, str]) -> dict[str, Proof]:
        """What the trials prove, by `provider/model`; `urls` are the providers' addresses."""
        return {
            origin: _shown(trial)
            for origin, trial in self._rows.items()
            if urls.get(origin.partition("/")[0]) == trial.url
        }

    def add(
        self, target: Target, when: str, found: Mapping[str, Result], length: int | None
    ) -> None:
        """Remember results; of features that were not tried the old ones stay. May block."""
        old = self.of(target)
        results = {**(old.results if old else {}), **found}
        length = length or (old.embedding_length if old else None)
        trial = Trial(target.provider.url, when, results, length)
        self._rows[f"{target.provider.name}/{target.model}"] = trial
        if self._path is not None:
            try:
                files.replace(self._path, msgspec.json.encode(self._rows).decode())
            except (OSError, BridgeError) as error:
                _log.warning("the trials could not be kept: %s", error)


def trials_file(state: Path) -> Path:
    """Where the trials are kept."""
    return state / "trials.json"


def _shown(trial: Trial) -> Proof:
    outcomes = {name: result.outcome for name, result in trial.results.items()}
    return Proof(
        has=frozenset(word for name, word in CAPABILITY.items() if outcomes.get(name) == YES),
        lacks=frozenset(CAPABILITY[name] for name in _SHOWS_ABSENCE if outcomes.get(name) == NO),
        embedding_length=trial.embedding_length,
    )


def _read(path: Path | None) -> dict[str, Trial]:
    try:
        text = path.read_bytes() if path else b""
        return msgspec.json.decode(text, type=dict[str, Trial]) if text else {}
    except (OSError, msgspec.DecodeError):
        return {}
