"""A key in a plain file, for machines without a keyring: only ever made when the user asks."""

from pathlib import Path

from ollama_bridge import files
from ollama_bridge.config import Config
from ollama_bridge.errors import BridgeError

_FOLDER = "keys"


def rule(name: str) -> str:
    """What the settings say of a provider whose key is in such a file."""
    return f"file:{_FOLDER}/{name}.key"  # relative: beside the settings


def path(config_path: Path, name: str) -> Path:
    """Where the file of that provider is, whether or not it exists."""
    return config_path.parent / _FOLDER / f"{name}.key"


def write(config_path: Path, name: str, key: str) -> Path:
    """Make or replace the file, for its owner alone; raises BridgeError."""
    file = path(config_path, name)
    try:
        files.replace(file, key + "\n")
    except OSError as error:
        raise BridgeError(f"{file}: cannot be written: {error.strerror}") from error
    return file


def is_used(settings: Config, name: str) -> bool:
    """Whether the settings take that provider's key from its file here."""
    row = settings.providers.get(name)
    return row is not None and row.key == f"file:{path(settings.path, name)}"


def remove(config_path: Path, name: str) -> bool:
    """Delete the file; False when there was none. Raises BridgeError."""
    file = path(config_path, name)
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise BridgeError(f"{file}: cannot be deleted: {error.strerror}") from error
    return True
