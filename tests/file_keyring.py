"""A keyring in a plain file, named by FILE_KEYRING: several processes of a test can share it."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class Ring(KeyringBackend):
    priority = 1  # type: ignore[assignment]

    def get_password(self, service: str, username: str) -> str | None:
        return _entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        _write(_entries() | {f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = _entries()
        if f"{service}/{username}" not in entries:
            raise PasswordDeleteError("not found")
        del entries[f"{service}/{username}"]
        _write(entries)


def _file() -> Path:
    return Path(os.environ["FILE_KEYRING"])


def _entries() -> dict[str, str]:
    return json.loads(_file().read_text()) if _file().exists() else {}


def _write(entries: dict[str, str]) -> None:
    _file().write_text(json.dumps(entries))
