"""A response of a service that has /v1/responses itself, on its way to the client.

Strategy: events pass as the bytes they are. Only the few that hold a whole response object are
opened, because the client is to read the name it asked for, and there only `model` is replaced.
A stream that stops before its last event gets one, so that it cannot look complete.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate import failures
from ollama_bridge.translate.responses_stream import error_code, event
from ollama_bridge.translate.stats import Stopwatch, estimate
from ollama_bridge.wire.sse import LIMIT

Raw = dict[str, msgspec.Raw]

_BYTES_PER_TOKEN = 250
"""Of a stream: each token comes in an event of its own, with all that stands around it."""


class Passage:
    """One reply: bytes in, bytes out; `model` is the name the client used."""

    by_lines = False

    def __init__(
        self,
        model: str,
        watch: Stopwatch,
        *,
        provider: str,
        streamed: bool,
        prompt_characters: Callable[[], int] = int,
    ) -> None:
        self.over = self.finished = self.estimated = False
        self.failure: UpstreamBroke | None = None
        self._model = msgspec.Raw(msgspec.json.encode(model))
        self._watch = watch
        self._provider = provider
        self._streamed = streamed
        self._begun = False
        self._parts: list[bytes] = []
        self._held = 0
        self._tail = b""
        self._prompt_characters = prompt_characters
        self._size = 0
        self._tokens: tuple[int, int] | None = None

    def counts(self) -> tuple[int, int]:
        """Tokens in and out; estimated where the upstream does not tell them."""
        if self._tokens is not None:
            return self._tokens
        self.estimated = True
        return estimate(self._prompt_characters()), self._size // _BYTES_PER_TOKEN

    def feed(self, data: bytes) -> bytes:
        """All events that are complete."""
        if not self._watch.first:
            self._watch.token()
        self._size += len(data)
        looked = self._tail + data  # an end may be cut between two reads
        ends = [found.end() for found in _END.finditer(looked)]
        end = ends[-1] - len(self._tail) if ends else 0
        if end > 0:
            whole = self._taken() + data[:end]
            self._hold(data[end:])
            return self._events(whole)
        self._hold(data)
        if self._held > LIMIT:
            return self.fail(
                UpstreamBroke(f"{self._provider} sent an event longer than {LIMIT} bytes")
            )
        return b""

    def whole(self, body: bytes) -> bytes:
        """A response that came in one piece."""
        try:
            said = self._renamed(_object(body))
            if self._streamed:
                return self.fail(
                    UpstreamBroke(
                        f"{self._provider} sent a whole response instead of a stream", passing=False
                    )
                )
        except ValueError as error:
            broke = failures.unreadable(body, self._provider)
            broke.__cause__ = error
            return self.fail(broke)
        self.finished = self.over = True
        return msgspec.json.encode(said)

    def close(self) -> bytes:
        """What is left of the last event; an error when that was not the last one."""
        rest = self._taken()
        said = self._events(rest + b"\n\n") if rest.strip() and not self.over else b""
        if not self.finished:
            broke = UpstreamBroke(f"{self._provider} stopped before its answer was complete")
            said += self.fail(broke)
        self.over = True
        return said

    def fail(self, error: UpstreamBroke) -> bytes:
        """The last event of a stream that broke."""
        if self.finished:
            return b""
        self.over = self.finished = True
        self.failure = error
        code, message = error_code(error), error.message
        return event("error", {"code": code, "message": message, "param": None})

    def _hold(self, part: bytes) -> None:
        """Keep the beginning of an event: a list of parts, so that a long one costs linear time."""
        self._parts.append(part)
        self._held += len(part)
        self._tail = (self._tail + part[-_LOOK_BACK:])[-_LOOK_BACK:]

    def _taken(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        self._held, self._tail = 0, b""
        return whole

    def _events(self, data: bytes) -> bytes:
        if not self._begun and (start := data.lstrip()):
            self._begun = True
            if not _FIELD.match(start):
                return self.fail(failures.unreadable(start, self._provider))
        if not _TOLD.search(data):
            return data
        blocks = [block for block in _END.split(data) if block.strip()]
        return b"".join([self._event(block) for block in blocks])

    def _event(self, block: bytes) -> bytes:
        if self.over:
            return b""
        found = _TOLD.search(block)
        if found is None:
            return block + b"\n\n"
        kind = found[1].decode()
        try:
            fields = _object(b"".join(_DATA.findall(block)))
            if "response" in fields:
                fields["response"] = msgspec.Raw(
                    msgspec.json.encode(self._renamed(_object(fields["response"])))
                )
        except ValueError:
            return block + b"\n\n"
        if kind in _FAILED and self.failure is None:
            self.failure = failures.in_stream(_error(fields), self._provider)
        self.over = kind in _LAST
        self.finished = self.over or kind in _FAILED
        return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(fields) + b"\n\n"

    def _renamed(self, response: Raw) -> Raw:
        if "model" in response:
            response["model"] = self._model
        usage = msgspec.json.decode(response.get("usage", b"null"))
        if isinstance(usage, dict):
            self._tokens = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
        return response


_raw = msgspec.json.Decoder(Raw)

_LOOK_BACK = 3
"""Bytes of an event's end that may stand in earlier reads: all but the last of `\\r\\n\\r\\n`."""

_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
"""How every line of an event begins, and a comment; a web page does not."""

_DATA = re.compile(rb"(?m)^data: ?(.*?)\r?$")
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
_FAILED = frozenset({"response.failed", "error"})
_TOLD = re.compile(
    rb'"type"\s*:\s*"(response\.(?:created|queued|in_progress|completed|incomplete|failed)|error)"'
)
"""Events with a whole response in them, and errors; inside a text the quotes would be escaped."""


def _object(body: bytes | msgspec.Raw) -> Raw:
    """One level of an object; raises ValueError for anything else."""
    return _raw.decode(body)


def _error(fields: Raw) -> Any:
    """The error's own value, wherever this kind of event has it."""
    response = fields.get("response")
    holder = _object(response) if response is not None else fields
    found = holder.get("error")
    return msgspec.json.decode(found if found is not None else msgspec.json.encode(holder))
