"""Files for the owner's eyes only, replaced whole: a reader never sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ollama_bridge.errors import BridgeError, SettingsInvalid

_LOCK_SECONDS = 10.0


def folder(path: Path) -> Path:
    """Make a folder for the owner alone; raises BridgeError when it cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BridgeError(f"the folder {path} cannot be made: {error.strerror}") from error
    return path


def unwritable(error: OSError, path: Path, *, named: Path | None = None) -> BridgeError:
    """Our sentence for a file that the system did not let us write.

    `named` is what the user knows, where the system speaks of a file beside it.
    """
    return BridgeError(
        f"{named or error.filename or path} cannot be written: {error.strerror}; "
        "`ollama-bridge doctor` tells more"
    )


def emptied(path: Path) -> BinaryIO:
    """A new file, and proof that there is room in it for a few words; raises BridgeError."""
    try:
        file = path.open("wb", buffering=0)
        file.write(b" " * 4096)
        file.truncate(0)
        file.seek(0)
    except OSError as error:
        raise unwritable(error, path) from error
    return file


def replace(path: Path, text: str) -> None:
    """Write `text` with mode 0600 in one step; a symbolic link keeps pointing at the file."""
    path = path.resolve()
    folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with 0600
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)  # only there when something failed


@contextmanager
def locked(path: Path, patience: float = _LOCK_SECONDS) -> Iterator[None]:
    """Keep other writers of `path` out; raises SettingsInvalid when one does not finish."""
    import filelock  # only writers need it

    folder(path.parent)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=patience)
    except filelock.Timeout as error:
        raise SettingsInvalid(
            f"{path}: another program is writing it; try again when it has finished"
        ) from error
    except OSError as error:
        raise unwritable(error, path, named=path) from error
    try:
        yield
    finally:
        lock.release()
