"""How Ollama says things: the lines of a streamed reply and the object of a whole one.

/api/chat and /api/generate differ only in where the text stands; a `Form` holds that difference.
All JSON is ASCII: ollama-python cuts lines at U+2028, U+0085 and their like (ollama-api trap 3).
"""

import functools
import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate.stats import Stats
from ollama_bridge.translate.tools import Call

Logprobs = list[dict[str, Any]]
Stamp = Callable[[], str]


class Form(NamedTuple):
    """The JSON around what was said: `open` text [`thinking` thought] [calls] `close`."""

    open: str
    close: str
    with_calls: bool


CHAT = Form('"message":{"role":"assistant","content":', "}", with_calls=True)
GENERATE = Form('"response":', "", with_calls=False)


_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encoded(value: Any) -> str:
    """Compact JSON in ASCII; not by msgspec, which refuses half emoji and numbers past 64 bits."""
    return _encoder.encode(value)


class Lines:
    """Writes a streamed reply; every line holds only one kind of thing (trap 19)."""

    __slots__ = ("_form", "_goes_on", "_head", "_open", "_stamp")

    def __init__(self, form: Form, model: str, stamp: Stamp) -> None:
        self._form = form
        self._head = _head(model)
        self._stamp = stamp
        self._open, self._goes_on = _around(form)

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """A piece of the answer."""
        if logprobs:
            return self._line(quoted(text), '"done":false' + _logprobs(logprobs))
        stamp = self._stamp  # what is called where it is looked up is looked for as a method first
        return f"{self._head}{stamp()}{self._open}{quoted(text)}{self._goes_on}".encode()

    def texts(self, texts: list[str]) -> bytes:
        """Pieces of the answer that came together: a line each, all of the same moment."""
        begin = f"{self._head}{self._stamp()}{self._open}"
        between = self._goes_on + begin
        return f"{begin}{between.join(map(quoted, texts))}{self._goes_on}".encode()

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """A piece of the thinking."""
        return self._line(f'"","thinking":{quoted(text)}', '"done":false' + _logprobs(logprobs))

    def tool_calls(self, calls: Sequence[Call]) -> bytes:
        """One line a call: Zed reads only the first of a line."""
        if not self._form.with_calls:
            return b""
        pieces = [f'"","tool_calls":[{_call(index, call)}]' for index, call in enumerate(calls)]
        return b"".join([self._line(piece, '"done":false') for piece in pieces])

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:
        """The last line."""
        return self._line('""', _end(reason, stats, logprobs))

    def failed(self, broke: UpstreamBroke) -> bytes:
        """The error line, after which nothing comes."""
        return error(broke.message)

    def _line(self, said: str, rest: str) -> bytes:
        return (
            f"{self._head}{self._stamp()}{self._open}{said}{self._form.close},{rest}}}\n".encode()
        )


class Whole:
    """Writes a reply that is not streamed: nothing until the end, then one object."""

    def __init__(self, form: Form, model: str, stamp: Stamp) -> None:
        self._form = form
        self._head = _head(model)
        self._stamp = stamp
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: Sequence[Call] = ()
        self._logprobs: Logprobs = []

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """Keep a piece of the answer."""
        self._text.append(text)
        self._logprobs += logprobs or []
        return b""

    def texts(self, texts: list[str]) -> bytes:
        """Keep pieces of the answer."""
        self._text += texts
        return b""

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """Keep a piece of the thinking."""
        self._thinking.append(text)
        self._logprobs += logprobs or []
        return b""

    def tool_calls(self, calls: Sequence[Call]) -> bytes:
        """Keep the calls."""
        self._calls = calls if self._form.with_calls else ()
        return b""

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:
        """Everything at once."""
        said = self._form.open + quoted("".join(self._text))
        if self._thinking:
            said += f',"thinking":{quoted("".join(self._thinking))}'
        if self._calls:
            calls = ",".join([_call(index, call) for index, call in enumerate(self._calls)])
            said += f',"tool_calls":[{calls}]'
        end = _end(reason, stats, self._logprobs + (logprobs or []))
        return f'{self._head}{self._stamp()}",{said}{self._form.close},{end}}}'.encode()

    def failed(self, broke: UpstreamBroke) -> bytes:
        """Nothing of the answer, only the error."""
        return error(broke.message)


def idle(form: Form, model: str, stamp: Stamp, reason: str) -> bytes:
    """The answer when nothing was asked: the model was loaded or unloaded (ollama-api 4.4)."""
    said = f'{form.open}""{form.close}'
    return f'{_head(model)}{stamp()}",{said},"done":true,"done_reason":"{reason}"}}'.encode()


def error(message: str) -> bytes:
    """The line that ends a stream that went wrong."""
    return f'{{"error":{quoted(message)}}}\n'.encode()


@functools.lru_cache(maxsize=256)
def _around(form: Form) -> tuple[str, str]:
    """What stands before and behind a text; made once, so that it stays in the cache."""
    return '",' + form.open, form.close + ',"done":false}\n'


@functools.lru_cache(maxsize=256)
def _head(model: str) -> str:
    return f'{{"model":{quoted(model)},"created_at":"'


def _end(reason: str, stats: Stats, logprobs: Logprobs | None) -> str:
    return _END % (reason, *stats, _logprobs(logprobs))


_END = (
    '"done":true,"done_reason":"%s",' + ",".join([f'"{name}":%d' for name in Stats._fields]) + "%s"
)


def _logprobs(logprobs: Logprobs | None) -> str:
    return f',"logprobs":{encoded(logprobs)}' if logprobs else ""


def _call(index: int, call: Call) -> str:
    function = (
        f'{{"index":{index},"name":{quoted(call.name)},"arguments":{encoded(call.arguments)}}}'
    )
    return f'{{"id":{quoted(call.id)},"function":{function}}}'
