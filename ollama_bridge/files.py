"""Files for the owner's eyes only, replaced whole: a reader never sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ollama_bridge.errors import BridgeError, SettingsInvalid

_LOCK_SECONDS = 10.0


def folder(path: Path) -> Path:
    """Make a folder for the owner alone; raises BridgeError when it cannot be."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BridgeError(f"the folder {path} cannot be made: {error.strerror}") from error
    return path


def unwritable(error: OSError, path: Path) -> BridgeError:
    """Our sentence for a file that the system did not let us write."""
    return BridgeError(
        f"{error.filename or path} cannot be written: {error.strerror}; `ollama-bridge doctor` "
        "tells more"
    )


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
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=patience)
    try:
        with lock:
            yield
    except filelock.Timeout as error:
        raise SettingsInvalid(
            f"{path}: another program is writing it; try again when it has finished"
        ) from error
