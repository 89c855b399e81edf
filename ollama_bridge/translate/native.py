"""Ollama's own API on its way through to a real Ollama: only the model's name is replaced.

Strategy: a request is taken apart one level deep and its fields stay the bytes the client sent. Of
a reply each line goes on as it came, but for the name it begins with; the few lines that could end
it are looked into, so that a stream that is cut never looks finished.
"""

import re
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import msgspec
from msgspec import Struct

from ollama_bridge.errors import BadRequest, NotSupported, UpstreamBroke
from ollama_bridge.translate import failures, lines
from ollama_bridge.translate.custom import Customised
from ollama_bridge.wire import openai, responses
from ollama_bridge.wire.sse import LIMIT

Fields = dict[str, Any]

CHAT, GENERATE, EMBED, EMBEDDINGS = "/api/chat", "/api/generate", "/api/embed", "/api/embeddings"
SHOW, TAGS, PS = "/api/show", "/api/tags", "/api/ps"

_NAMES = frozenset({"model", "name"})
"""Two words for one thing; clients send either, or one of them empty (trap 24)."""


def body(raw: bytes, **replaced: str) -> bytes:
    """The request with other texts in some of its fields; `model` also stands for `name`."""
    return msgspec.json.encode(_replaced(_fields(raw), replaced))


def asked(raw: bytes, path: str, model: str, own: Customised | None) -> bytes:
    """The request to a model, with what a model of the user's own adds to it."""
    fields = _replaced(_fields(raw), {"model": model})
    if own is not None:
        _own(fields, path, own)
    return msgspec.json.encode(fields)


def _fields(raw: bytes) -> Fields:
    """The fields by their names in lower case, as Go reads them (ollama-api 1.3)."""
    if not raw.strip():
        return {}
    return {key.lower(): value for key, value in responses.fields(raw).items()}


def _replaced(fields: Fields, replaced: Mapping[str, str]) -> Fields:
    kept = {key: value for key, value in fields.items() if key not in _NAMES}
    return {**{key: replaced[key] for key in replaced if key == "model"}, **kept, **replaced}


def _own(fields: Fields, path: str, own: Customised) -> None:
    if own.parameters:
        given = _value(fields, "options")
        fields["options"] = {**own.parameters, **(given if isinstance(given, dict) else {})}
    if path == CHAT and (turns := _value(fields, "messages")):
        fields["messages"] = _turns(turns, own)
    if path == GENERATE and not _value(fields, "raw") and _value(fields, "prompt"):
        if own.messages:
            raise NotSupported(
                "this model of your own begins with turns, which a real Ollama cannot put before a "
                "prompt; ask it with /api/chat"
            )
        for name, text in (("system", own.system), ("template", own.template)):
            if text and not _value(fields, name):
                fields[name] = text


def _turns(turns: list[Any], own: Customised) -> list[Any]:
    """Its turns come first; its system prompt before them, unless the client sent one."""
    every = [*map(dict, own.messages), *turns]
    first = every[0] if isinstance(every[0], dict) else {}
    if own.system and str(first.get("role")).lower() != "system":
        every.insert(0, {"role": "system", "content": own.system})
    return every


def _value(fields: Fields, key: str) -> Any:
    value = fields.get(key)
    return _loosely(bytes(value)) if isinstance(value, msgspec.Raw) else value


def _loosely(raw: bytes) -> Any:
    try:
        return openai.loose(raw.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(str(error)) from error


class Last(Struct, gc=False):
    """What is read of a line that may be the last one."""

    done: Any = False
    status: Any = None
    error: Any = None
    prompt_eval_count: Any = 0
    eval_count: Any = 0


_last = msgspec.json.Decoder(Last).decode
_OPENING = re.compile(rb'^(\s*\{\s*"model"\s*:\s*)"(?:[^"\\]|\\.)*"', re.MULTILINE)
_PROMPT = re.compile(rb'"prompt_eval_count"\s*:\s*(\d{1,15})')
_ENDS = (b'"done":true', b'"error"', b'"success"', b'"done": true')


class Passage:
    """One reply of a real Ollama; `name` is what the client calls the model.

    With `raises`, an error line is a failure, so that another target may be asked; without, it is
    an end like any other, as in the progress of a pull.
    """

    estimated = False
    by_lines = True

    def __init__(self, name: str, *, provider: str, raises: bool = True) -> None:
        self.over = False
        self.finished = False
        self.failure: UpstreamBroke | None = None
        self.error = ""
        """What the server itself said went wrong."""
        self._named = b"\\g<1>" + quoted(name).encode().replace(b"\\", b"\\\\") if name else b""
        self._name = name
        self._provider = provider
        self._raises = raises
        self._held: list[bytes] = []
        self._size = 0
        self._counts = (0, 0)

    def counts(self) -> tuple[int, int]:
        """Tokens in and out, for the log."""
        return self._counts

    def feed(self, data: bytes) -> bytes:
        """Whole lines, as they came."""
        if self.over:
            return b""
        whole, end, rest = data.rpartition(b"\n")
        if not end:
            return self._hold(data)
        if self._held:
            whole = b"".join((*self._held, whole))
            self._held.clear()
            self._size = 0
        if rest:
            self._hold(rest)
        return self._lines(whole + end)

    def whole(self, body: bytes) -> bytes:
        """A reply that came in one piece."""
        self.finished = self.over = True
        self._note(body)
        if not self.error and self._counts == (0, 0) and (told := _PROMPT.search(body)):
            self._counts = int(told[1]), 0  # embeddings are done without a word of it
        return self._renamed(body)

    def close(self) -> bytes:
        """What is left; an error when the reply ended before it was complete."""
        if self.failure or (self.over and not self._held):
            return b""
        said = self._lines(b"".join((*self._held, b"\n"))) if self._held else b""
        self._held.clear()
        self.over = True
        if self.finished or self.failure:
            return said
        said = b"" if said and not _is_object(said) else said  # half a line is none
        broke = UpstreamBroke(f"{self._provider} stopped before its answer was complete")
        return said + self.fail(broke)

    def fail(self, error: UpstreamBroke) -> bytes:
        """One error line, then silence; a reply that is already complete just ends."""
        if self.failure or self.finished:
            return b""
        self.failure = error
        self.over = True
        return lines.error(error.message)

    def _hold(self, part: bytes) -> bytes:
        self._held.append(part)
        self._size += len(part)
        if self._size <= LIMIT:
            return b""
        return self.fail(UpstreamBroke(f"{self._provider} sent a line longer than {LIMIT} bytes"))

    def _lines(self, block: bytes) -> bytes:
        if any(mark in block for mark in _ENDS):
            for line in block.splitlines():
                self._note(line)
        return self._renamed(block)

    def _note(self, line: bytes) -> None:
        """Whether the line ends the reply, and what it tells."""
        if not any(mark in line for mark in _ENDS):
            return
        try:
            last = _last(line)
        except ValueError:
            return
        if last.error:
            self._failed(last.error)
        elif last.done is True:
            self.finished = True
            self._counts = (_count(last.prompt_eval_count), _count(last.eval_count))
        elif last.status == "success":
            self.finished = True

    def _failed(self, error: Any) -> None:
        self.error = failures.sentence(error)
        self.finished = True
        if self._raises:
            self.failure = UpstreamBroke(self.error, status=500)
            self.over = True

    def _renamed(self, block: bytes) -> bytes:
        if not self._named or b'"model"' not in block:
            return block
        told, found = _OPENING.subn(self._named, block)
        return told if found else _anywhere(block, self._name)


def _anywhere(block: bytes, name: str) -> bytes:
    """The slow road, for lines that begin with another field."""
    try:
        rows = [responses.fields(line) for line in block.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return block
    if not all("model" in row for row in rows):
        return block
    end = b"\n" if block.endswith(b"\n") else b""
    return b"\n".join([msgspec.json.encode(row | {"model": name}) for row in rows]) + end


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except ValueError:
        return False


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def rows(body: bytes) -> list[Fields]:
    """The models of a reply to /api/ps; none when it is no such reply."""
    try:
        models = msgspec.json.decode(body).get("models")
    except (ValueError, AttributeError):
        return []
    found = models if isinstance(models, list) else []
    return [row for row in found if isinstance(row, dict) and isinstance(row.get("model"), str)]


def shown(body: bytes, own: Customised, parameters: str) -> Fields | None:
    """A reply to /api/show under a model of the user's own; None when it is no such reply."""
    try:
        reply = msgspec.json.decode(body)
    except ValueError:
        return None
    if not isinstance(reply, dict):
        return None
    texts = {"system": own.system, "template": own.template, "license": own.license}
    reply |= {name: text for name, text in texts.items() if text}
    if parameters:
        before = str(reply.get("parameters") or "").splitlines()
        kept = [line for line in before if line.split(" ", 1)[0] not in own.parameters]
        reply["parameters"] = "\n".join([*kept, parameters])
    if own.messages:
        reply["messages"] = [dict(turn) for turn in own.messages]
    return reply
