"""The daemon's log: one rotating file with one writer, as text or as JSON lines."""

import json
import logging
import logging.handlers
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

NAME = "ollama-bridge.log"
FORMATS = ("text", "json")

_BYTES = 5_000_000
_OLD_FILES = 3
_OURS = "ollama_bridge"


def set_up(state: Path, form: str, *, verbose: bool, console: bool) -> None:
    """Send every record to the file, and to standard error when there is somebody to read it."""
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            state / NAME, maxBytes=_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
        )
    ]
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
    formatter = Json() if form == "json" else Text()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.addFilter(_ours_or_serious)
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.INFO)


def last(path: Path, number: int) -> tuple[list[str], int]:
    """The last lines of a log, and where the next one will begin."""
    data = path.read_bytes()
    lines = data.decode(errors="replace").splitlines()
    return lines[max(0, len(lines) - number) :], len(data)


def follow(path: Path, end: int, pause: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Lines as they are written after `end`, also when the log is rotated meanwhile.

    The file is opened anew each time: one that is held open cannot be rotated on Windows.
    """
    rest = b""
    while True:
        data = _after(path, end)
        if data is None:  # a new file: first what the old one got last
            data = _after(path.with_name(f"{path.name}.1"), end) or b""
            end = 0
        else:
            end += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from [line.decode(errors="replace") for line in lines]
        if not data:
            pause(0.2)


def _after(path: Path, end: int) -> bytes | None:
    """What stands after that place; None when the file is shorter and so another one."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < end:
                return None
            file.seek(end)
            return file.read()
    except FileNotFoundError:  # between two names
        return b""


class Text(logging.Formatter):
    """One line a record; only a traceback adds more."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        line = f"{_time(record)} {record.levelname} {record.name}: {_one_line(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Json(logging.Formatter):
    """One object a record; a request's fields stand in it under their own names."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        line = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        fields = getattr(record, "fields", None)
        line |= fields if isinstance(fields, dict) else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).astimezone()
    return moment.isoformat(timespec="milliseconds")


def _one_line(record: logging.LogRecord) -> str:
    """The message without line ends, which a client could use to write lines of its own."""
    return record.getMessage().replace("\r", "\\r").replace("\n", "\\n")


def _ours_or_serious(record: logging.LogRecord) -> bool:
    """Libraries speak only of trouble: what they tell in detail may hold prompts and keys."""
    ours = record.name == _OURS or record.name.startswith(f"{_OURS}.")
    return ours or record.levelno >= logging.WARNING
