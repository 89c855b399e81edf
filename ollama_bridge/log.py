"""The daemon's log: one rotating file with one writer, as text or as JSON lines.

Strategy: to write a line costs more than to translate the answer it tells of. So lines about
requests gather for a moment and are written together; all others are written at once.
"""

import contextlib
import functools
import json
import logging
import logging.handlers
import os
import queue
import re
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

NAME = "ollama-bridge.log"
FORMATS = ("text", "json")

_BYTES = 5_000_000
_OLD_FILES = 3
_OURS = "ollama_bridge"

REQUESTS = f"{_OURS}.requests"
"""The logger of the lines about requests."""

SOON = 0.2
"""Seconds that lines about requests may wait."""

UNREAD = 1024 * 1024
"""Bytes that wait for somebody to read standard error; further lines are left out there."""

_LAST_WORDS = 1.0
"""Seconds that the end waits for them to be read."""


Write = Callable[[str], None]
"""Puts whole lines somewhere."""

Fields = Mapping[str, Any]
"""What is told of one request, in the order in which it is written."""

_Asked = tuple[float, Fields]
"""When a request was over, in seconds since the epoch, and what is told of it."""

_root = logging.getLogger()
_requests = logging.getLogger(REQUESTS)


def set_up(state: Path, form: str, *, verbose: bool, console: bool) -> Write:
    """Send every record to the file, and to standard error when there is somebody to read it.

    What comes back writes lines of others there, which are finished already.
    """
    sinks: list[Write] = [_File(state / NAME).write]
    at_end = _nothing
    if console and (shown := _console(sys.stderr)) is not None:
        sinks.append(shown.write)
        at_end = shown.close
    elif console:
        sinks.append(_to(sys.stderr))
    return _send(Gathering(*sinks, at_end=at_end), form, verbose=verbose).write


def _nothing() -> None:
    """Nothing has to be closed."""


def set_up_pipe(form: str, *, verbose: bool) -> None:
    """Send every record to standard error, for the process that keeps the file."""
    _send(Gathering(_to(sys.stderr)), form, verbose=verbose)


def _send(handler: "Gathering", form: str, *, verbose: bool) -> "Gathering":
    handler.setFormatter(Json() if form == "json" else Text())
    handler.addFilter(_ours_or_serious)
    _collect_no_more_than_is_written()
    logging.raiseExceptions = False  # a full disk stops the log, not the answers
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.INFO)
    return handler


def _to(stream: TextIO) -> Write:
    def write(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed terminal
            stream.write(text)
            stream.flush()

    return write


class _Console:
    """Lines for whoever reads along; a thread waits for those who do not: no answer does."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        """`file` is not buffered."""
        self._file = file
        self._encoding = encoding
        self._texts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._given = self._written = 0
        """Bytes; each is counted by one thread alone."""
        self._left_out = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Have lines written, unless UNREAD bytes wait already."""
        if self._given - self._written > UNREAD:
            self._left_out += text.count("\n")
            return
        if self._left_out:
            text = f"({self._left_out} lines left out: nobody read them in time)\n{text}"
            self._left_out = 0
        data = text.encode(self._encoding, errors="backslashreplace")
        self._given += len(data)
        self._texts.put(data)

    def close(self) -> None:
        """Write what waits, as far as it is read within a moment."""
        self._texts.put(b"")
        self._thread.join(_LAST_WORDS)

    def _run(self) -> None:
        while data := self._texts.get():
            size = len(data)
            with contextlib.suppress(OSError, ValueError):  # a closed terminal
                while data:
                    data = data[self._file.write(data) or len(data) :]
            self._written += size


def _console(stream: TextIO) -> _Console | None:
    """What writes to standard error; None for a file, which takes everything at once.

    The thread has a way of its own: a buffer shared with it could not be closed at the end.
    """
    try:
        number = stream.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return None
        return _Console(open(number, "wb", buffering=0, closefd=False), stream.encoding)
    except (OSError, ValueError):
        return None


def request(fields: Fields) -> None:
    """A line about a request that is over.

    A record of logging costs several times as much as the line: it is made for other handlers only.
    """
    if not _requests.isEnabledFor(logging.INFO):
        return
    handlers = _root.handlers
    if len(handlers) == 1 and type(handlers[0]) is Gathering:
        handlers[0].request(fields)
    else:
        _requests.info("%s", _words(fields), extra={"fields": fields})


class Place(NamedTuple):
    """Where the next line will begin: in which file, whatever it is called by then."""

    file: tuple[int, int]
    """Device and number."""
    end: int
    """Bytes from its beginning."""


def last(path: Path, number: int) -> tuple[list[str], Place]:
    """The last lines of a log, and the place behind them."""
    with path.open("rb") as file:
        data = file.read()
        place = Place(_identity(os.fstat(file.fileno())), len(data))
    lines = data.decode(errors="replace").splitlines()
    return lines[max(0, len(lines) - number) :], place


def follow(path: Path, place: Place, pause: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Lines as they are written after that place, through any rotation meanwhile.

    The file is opened anew each time: one that is held open cannot be rotated on Windows.
    """
    rest = b""
    while True:
        data, place = _after(path, place)
        *lines, rest = (rest + data).split(b"\n")
        yield from [line.decode(errors="replace") for line in lines]
        if not data:
            pause(0.2)


def _after(path: Path, place: Place) -> tuple[bytes, Place]:
    """What stands after that place, in its file and in those that came after it."""
    names = [path, *(path.with_name(f"{path.name}.{n}") for n in range(1, _OLD_FILES + 1))]
    found = next((at for at, name in enumerate(names) if _file(name) == place.file), 0)
    begun = _file(names[found])
    parts, here = [], place
    try:
        for name in reversed(names[: found + 1]):  # the oldest first
            part, here = _rest(name, place)
            parts.append(part)
    except FileNotFoundError:  # between two names
        return b"", place
    if _file(names[found]) != begun:  # rotated while we read: the names mean other files now
        return b"", place
    return b"".join(parts), here


def _rest(path: Path, place: Place) -> tuple[bytes, Place]:
    """A file from that place on; from its beginning when the place is in another file."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        goes_on = _identity(status) == place.file and place.end <= status.st_size
        begin = place.end if goes_on else 0  # also of one that was emptied
        file.seek(begin)
        data = file.read()
    return data, Place(_identity(status), begin + len(data))


def _file(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(path.stat())
    except FileNotFoundError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def refused_origins(line: str) -> list[str]:
    """The web origins that the guard turned away, by its line in the log."""
    found = re.findall(r"refused: Origin (['\"])(.*?)\1 is not allowed", line)
    return [origin for _, origin in found]


class Gathering(logging.Handler):
    """Writes lines to every sink, those about requests some at a time."""

    def __init__(self, *sinks: Write, at_end: Callable[[], None] = _nothing) -> None:
        super().__init__()
        self._sinks = sinks
        self._at_end = at_end
        self._lines: list[str | _Asked] = []
        self._waiting = False

    def close(self) -> None:
        """Nothing more will come."""
        self._at_end()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line; write it, unless it can wait."""
        try:
            self._lines.append(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end a request
            self.handleError(record)
        self.flush()

    def request(self, fields: Fields) -> None:
        """Take what will be a line about a request; many are made at once."""
        with self.lock or contextlib.nullcontext():
            self._lines.append((time.time(), fields))
        if not self._waiting and not self._will_flush():
            self.flush()

    def write(self, text: str) -> None:
        """Lines that somebody else has made."""
        with self.lock or contextlib.nullcontext():
            self._lines.append(text)
            self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines, self._waiting = self._lines, [], False
            if not lines:
                return
            form: Any = self.formatter  # one of ours, where there are requests
            text = "".join(
                [line if isinstance(line, str) else f"{form.request(*line)}\n" for line in lines]
            )
            for write in self._sinks:
                write(text)

    def _will_flush(self) -> bool:
        """Whether an event loop will write it; where none runs, nothing waits."""
        import asyncio  # by now the server has imported it

        try:
            asyncio.get_running_loop().call_later(SOON, self.flush)
        except RuntimeError:
            return False
        self._waiting = True
        return True


class _File(logging.handlers.RotatingFileHandler):
    """The file, and the older ones beside it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_BYTES, backupCount=_OLD_FILES, encoding="utf-8")

    def write(self, text: str) -> None:
        """Put lines at the end, in a new file if they do not fit."""
        with contextlib.suppress(OSError, ValueError):  # a full disk
            if self.stream is None:
                self.stream = self._open()
            if self.stream.tell() + len(text) >= self.maxBytes:
                self.doRollover()
            self.stream.write(text)
            self.stream.flush()


def _collect_no_more_than_is_written() -> None:
    """Spare each record what no line of ours shows: half of what a record costs."""
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, name, False)
    logging._srcfile = None  # noqa: SLF001 - the way that logging's own documentation names


class Text(logging.Formatter):
    """One line a record; only a traceback adds more."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        time_ = _time(record.created)
        line = f"{time_} {record.levelname} {record.name}: {_one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def request(self, now: float, fields: Fields) -> str:
        """The same of a request, without a record."""
        return f"{_time(now)} INFO {REQUESTS}: {_one_line(_words(fields))}"


class Json(logging.Formatter):
    """One object a record; a request's fields stand in it under their own names."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written."""
        line = {"time": _time(record.created), "level": record.levelname.lower()}
        line |= {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def request(self, now: float, fields: Fields) -> str:
        """The same of a request, without a record."""
        line = {"time": _time(now), "level": "info", "logger": REQUESTS, **fields}
        return json.dumps(line, ensure_ascii=False, default=str)


def _words(fields: Fields) -> str:
    return " ".join([f"{key}={value}" for key, value in fields.items()])


def _time(seconds: float) -> str:
    second, rest = divmod(seconds, 1)
    date, zone = _second(int(second))
    return f"{date}.{int(rest * 1000):03}{zone}"


@functools.lru_cache(maxsize=2)
def _second(second: int) -> tuple[str, str]:
    """Date and time of a second, and the time zone: made once for all its lines."""
    text = datetime.fromtimestamp(second, UTC).astimezone().isoformat()
    return text[:19], text[19:]


def _one_line(message: str) -> str:
    """The message without line ends, which a client could use to write lines of its own."""
    return message.replace("\r", "\\r").replace("\n", "\\n")


def _ours_or_serious(record: logging.LogRecord) -> bool:
    """Libraries speak only of trouble: what they tell in detail may hold prompts and keys."""
    ours = record.name == _OURS or record.name.startswith(f"{_OURS}.")
    return ours or record.levelno >= logging.WARNING
