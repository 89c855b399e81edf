"""OpenAI replies on their way through: checked, with the client's name for the model, else as sent.

Strategy: bytes in, bytes out, like `reply`, but nothing is translated. Most events of a stream are
never decoded: a few searches for marks tell whether there is anything to look at, and marks are
only found in JSON itself, because a quote inside a text has a backslash before it.
"""

import re
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

import msgspec

from ollama_bridge.errors import UpstreamBroke, UpstreamFailed
from ollama_bridge.translate import embed, failures, lines, pieces
from ollama_bridge.translate.passage import envelope
from ollama_bridge.translate.stats import CHARACTERS_PER_TOKEN, FAILED, Stopwatch, estimate
from ollama_bridge.translate.thoughts import Eavesdropper, Keep
from ollama_bridge.wire import openai
from ollama_bridge.wire.sse import DONE, EventCutter

Json = dict[str, Any]

_FINISH = re.compile(rb'"finish_reason"\s*:\s*"([^"]+)"')
_THOUGHTS = re.compile(rb'"reasoning_content"(\s*:\s*"[^"\\]*(?:\\.[^"\\]*)*")')
_LF = 10
_NEVER = b"\n"
"""A mark no event holds."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Renaming:
    """Puts the client's name for the model where the upstream's own stands."""

    def __init__(self, model: str) -> None:
        self._name = quoted(model).encode()
        self._theirs = _NEVER
        self._ours = b""

    def __call__(self, payload: bytes) -> bytes:
        """The object with the name the client knows; the rest stays byte for byte."""
        found = payload.count(self._theirs)
        if found == 1:
            return payload.replace(self._theirs, self._ours)
        if not found and b'"model"' not in payload:
            return payload
        return self._learned(payload)

    def _learned(self, payload: bytes) -> bytes:
        """Look closely, and remember what the name looks like: it seldom changes in a stream."""
        try:
            fields = _fields.decode(payload)
        except ValueError:
            return self._loosely(payload)
        theirs = bytes(fields.get("model", b""))
        if theirs[:1] != b'"':
            return payload
        places = re.findall(rb'"model"\s*:\s*' + re.escape(theirs), payload)
        if len(places) == 1:
            self._theirs = places[0]
            self._ours = places[0][: -len(theirs)] + self._name
            return payload.replace(self._theirs, self._ours)
        fields["model"] = msgspec.Raw(self._name)
        return msgspec.json.encode(fields)

    def _loosely(self, payload: bytes) -> bytes:
        """The same for JSON that only a tolerant reader takes; raises ValueError for others."""
        value = openai.loose(payload.decode(errors="replace"))
        if not isinstance(value, dict) or not isinstance(value.get("model"), str):
            return payload
        return lines.encoded(value | {"model": msgspec.json.decode(self._name)}).encode()


Characters = Callable[[], int]
"""Tells the length of the prompt's texts; asked only where nobody counted its tokens."""


def _unknown() -> int:
    return 0


class Stream:
    """A reply for a client that wants it in pieces."""

    by_lines = False

    def __init__(
        self,
        model: str,
        watch: Stopwatch,
        *,
        provider: str,
        wants_usage: bool = False,
        prompt_characters: Characters = _unknown,
        keep: Keep | None = None,
    ) -> None:
        """`keep` is told the thoughts behind tool calls, for providers that want them back."""
        self._thoughts = Eavesdropper(keep) if keep else None
        self.estimated = False
        """The counts are ours: the upstream told none, perhaps because nobody asked for them."""
        self.as_text = False
        """Whether a chat is to be told as a text completion."""
        self.over = False
        """Nothing more is worth reading."""
        self.failure: UpstreamBroke | None = None
        self._model = model
        self._renamed = Renaming(model)
        self._watch = watch
        self._provider = provider
        self._wants_usage = wants_usage
        self._sse = EventCutter(comments=True)
        self._usage = b""
        self._prompt_characters = prompt_characters
        self._told = self._size = self._frame = 0
        self._finished = self._ended = self._said = False

    @property
    def finished(self) -> bool:
        """The upstream said that its answer is complete; only counters may still come."""
        return self._finished or self._ended

    def counts(self) -> tuple[int, int]:
        """Tokens in and out; estimated where the upstream does not tell them."""
        if told := _counts(self._usage):
            return told
        self.estimated = True
        # an event is a token at least; what it is longer than the last one, which is empty, is text
        text = self._size - self._told * self._frame if self._frame else 0
        answer = max(self._told, text // CHARACTERS_PER_TOKEN)
        return estimate(self._prompt_characters()), answer

    def feed(self, data: bytes) -> bytes:
        """Whole events for what was read."""
        if self.over:
            return b""
        try:
            return self._events(self._sse.feed(data))
        except UpstreamBroke as error:  # an event too large to hold
            return self._fail(error)

    def whole(self, body: bytes) -> bytes:
        """A reply that came in one piece although a stream was asked for (F13)."""
        try:
            _check(body, self._provider)
            answer = _answer(body, self._provider)
            _check_said(answer, self._provider)
            return self._events(pieces.events(answer, wants_usage=self._wants_usage))
        except UpstreamBroke as error:
            return self._fail(error)

    def close(self) -> bytes:
        """The end mark, which some forget; an error where the upstream stopped too early."""
        if self.failure:
            return b""
        said = b"" if self.over else self._events(filter(_is_complete, self._sse.close()))
        if self.failure:
            return said
        self.over = True
        try:
            self._check_end()
        except UpstreamBroke as error:
            return said + self._fail(error)
        if self._thoughts is not None:
            self._thoughts.close()
        return said + b"data: [DONE]\n\n"

    def fail(self, error: UpstreamBroke) -> bytes:
        """An error event, then silence; a reply that is already complete just ends."""
        if self.failure:
            return b""
        return self.close() if self.finished else self._fail(error)

    def _events(self, payloads: Iterable[bytes]) -> bytes:
        said: list[bytes] = []
        try:
            for payload in payloads:
                said.append(self._event(payload))
                if self._thoughts is not None:
                    self._thoughts.hear(payload)
                if self.over:
                    break
        except UpstreamBroke as error:
            said.append(self._fail(error))
        told = _readable(b"".join(said))
        self._told += len(said)
        self._size += len(told)
        return told

    def _event(self, payload: bytes) -> bytes:
        if payload == DONE:
            self._ended = self.over = True
            return b""
        if payload[:1] == b":":  # a comment keeps the client's connection alive, too
            return payload + b"\n\n"
        if payload[:1] != b"{" or payload[-1:] != b"}":
            return self._unreadable(payload)
        if not self._said:
            self._watch.token()
            self._said = True
        if b'"error"' in payload:
            _check(payload, self._provider)
        if b'"usage"' in payload:
            self._usage = payload
        if _LF in payload:
            payload = payload.replace(b"\n", b" ")  # an event of several lines goes on in one
        try:
            told = pieces.as_text(payload) if self.as_text else _told_twice(payload)
            said = b"data: %b\n\n" % self._renamed(told)
        except (ValueError, RecursionError) as error:
            raise failures.unreadable(payload, self._provider) from error
        if not self._finished and (finish := _FINISH.search(payload)):
            _check_finish(finish[1], self._provider)
            self._finished = True
            self._frame = len(said)
        return said

    def _unreadable(self, payload: bytes) -> bytes:
        if self._finished:
            return b""  # the answer is complete: what is behind it spoils nothing (F10)
        raise failures.unreadable(payload, self._provider)

    def _check_end(self) -> None:
        if self._sse.stray and not self.finished and not self._said:
            raise failures.unreadable(self._sse.stray, self._provider)
        _check_end(self._provider, finished=self.finished, said=self._said)

    def _fail(self, error: UpstreamBroke) -> bytes:
        self.failure = error
        self.over = True
        return b"data: %b\n" % envelope(error)


class Whole:
    """A reply for a client that wants it in one piece."""

    by_lines = False

    def __init__(
        self,
        model: str,
        watch: Stopwatch,
        *,
        provider: str,
        prompt_characters: Characters = _unknown,
        keep: Keep | None = None,
    ) -> None:
        self._thoughts = Eavesdropper(keep) if keep else None
        self.estimated = False
        self.as_text = False
        self.over = self.finished = False
        self.failure: UpstreamBroke | None = None
        self._renamed = Renaming(model)
        self._watch = watch
        self._provider = provider
        self._sse = EventCutter()
        self._gathered = pieces.Gathered()
        self._told = False
        self._usage = b""
        self._prompt_characters = prompt_characters
        self._characters = 0

    def counts(self) -> tuple[int, int]:
        """Tokens in and out; estimated where the upstream does not tell them."""
        if told := _counts(self._usage):
            return told
        self.estimated = True
        return estimate(self._prompt_characters()), self._characters // CHARACTERS_PER_TOKEN

    def whole(self, body: bytes) -> bytes:
        """A reply that came as asked."""
        self._watch.token()
        self._told = self.over = True
        try:
            return self._checked(body.strip())
        except UpstreamBroke as error:
            return self._fail(error)

    def feed(self, data: bytes) -> bytes:
        """A reply that came as a stream: nothing is said before its end."""
        try:
            self._gather(self._sse.feed(data))
        except UpstreamBroke as error:
            self._fail(error)
        return b""

    def close(self) -> bytes:
        """The gathered reply."""
        if self._told or self.failure:
            return b""
        self._told = True
        try:
            self._gather(filter(_is_complete, self._sse.close()))
            if self._sse.stray and not self.finished and not self._gathered.any:
                raise failures.unreadable(self._sse.stray, self._provider)
            _check_end(self._provider, finished=self.finished, said=self._gathered.any)
        except UpstreamBroke as error:
            return self._fail(error)
        reply = self._gathered.reply()
        self._characters = len(reply)
        return self._told_as(reply)

    def fail(self, error: UpstreamBroke) -> bytes:
        """A reply that is not complete is of no use."""
        return b"" if self.finished else self._fail(error)

    def _fail(self, error: UpstreamBroke) -> bytes:
        self.failure = self.failure or error
        self.over = True
        return b""

    def _gather(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            if self.over:
                return
            if payload == DONE:
                self.finished = self.over = True
            else:
                self._add(payload)

    def _add(self, payload: bytes) -> None:
        _check(payload, self._provider)
        if b'"usage"' in payload:
            self._usage = payload
        if finish := _FINISH.search(payload):
            _check_finish(finish[1], self._provider)
            self.finished = True
        self._gathered.add(openai.loose(payload.decode(errors="replace")))

    def _checked(self, body: bytes) -> bytes:
        try:
            fields = _fields.decode(body)
        except ValueError:  # not JSON, or such as only the tolerant reader takes
            fields = {}
        choices = bytes(fields.get("choices", b""))
        if b'"error"' in body or len(choices) <= len("[]"):
            _check(body, self._provider)
            _answer(body, self._provider)
        if finish := _FINISH.search(choices):
            _check_finish(finish[1], self._provider)
        else:
            _check_said(_answer(body, self._provider), self._provider)
        self._usage = b'{"usage":%b}' % bytes(fields.get("usage", b"null"))
        self._characters = len(choices)
        return self._told_as(body)

    def _told_as(self, body: bytes) -> bytes:
        if self._thoughts is not None:
            self._thoughts.hear_all(body)
        told = pieces.as_text(body) if self.as_text else _told_twice(body)
        return _readable(self._renamed(told))


def _readable(told: bytes) -> bytes:
    """The same; bytes that are no characters become U+FFFD, for clients would fail on them."""
    if not told.isascii():
        try:
            told.decode()
        except UnicodeDecodeError:
            return told.decode(errors="replace").encode()
    return told


_VECTOR = re.compile(rb'"embedding"\s*:\s*(?:(\[)|"([^"]*)")')


def embeddings(
    body: bytes, model: str, form: str, provider: str, *, dimensions: int = 0
) -> tuple[bytes, int]:
    """The vectors in the form that was asked for, and the tokens they cost (quirks I1 to I4).

    They are cut to `dimensions` here where the upstream was not asked to.
    """
    body = body.strip()
    if b'"error"' in body:
        _check(body, provider)
    came = _VECTOR.search(body)
    try:
        fields = _fields.decode(body)
        if dimensions or came is None or not _is_in(form, came):
            fields["data"] = _rows(body, form, provider, dimensions)
            body = msgspec.json.encode(fields)
        usage = b'{"usage":%b}' % bytes(fields.get("usage", b"null"))
        return Renaming(model)(body), (_counts(usage) or (0, 0))[0]
    except ValueError as error:
        raise failures.unreadable(body, provider) from error


def _is_in(form: str, came: "re.Match[bytes]") -> bool:
    """Whether the vectors came in the form that was asked for; the first one speaks for all."""
    if form == "float":
        return came[1] is not None
    return came[1] is None and embed.is_floats(came[2].decode(errors="replace"))


def _rows(body: bytes, form: str, provider: str, dimensions: int) -> msgspec.Raw:
    vectors, _ = embed.vectors(body, provider)
    if dimensions:
        vectors = embed.units(vectors, dimensions)
    if not vectors:
        raise UpstreamFailed(f"{provider} sent no embeddings", passing=False)
    return msgspec.Raw(
        msgspec.json.encode(
            [
                {"object": "embedding", "embedding": _written(vector, form), "index": index}
                for index, vector in enumerate(vectors)
            ]
        )
    )


def _written(vector: embed.Vector, form: str) -> Any:
    if form == "float":
        return list(vector.numbers)
    return b64encode(struct.pack(f"<{len(vector.numbers)}f", *vector.numbers)).decode()


def _told_twice(payload: bytes) -> bytes:
    """Thoughts under Ollama's name for them, too: its clients look there only (trap 41)."""
    if b'"reasoning_content"' not in payload or b'"reasoning"' in payload:
        return payload
    return _THOUGHTS.sub(rb'"reasoning"\1,\g<0>', payload)


def _counts(payload: bytes) -> tuple[int, int] | None:
    """Tokens in and out; None where they are not told."""
    try:
        usage = openai.chunk(payload).usage
    except (ValueError, RecursionError):
        return None
    if usage is None or usage.prompt_tokens is usage.completion_tokens is None:
        return None
    return usage.prompt_tokens or 0, usage.completion_tokens or 0


def _check(payload: bytes, provider: str) -> None:
    """Raise what an object reports as an error, in any of the shapes errors have."""
    try:
        chunk = openai.chunk(payload)
        if chunk.error or chunk.object == "error" or chunk.type == "error":
            error = chunk.error or openai.loose(payload.decode(errors="replace"))
            raise failures.in_stream(error, provider)
    except (ValueError, RecursionError) as error:
        raise failures.unreadable(payload, provider) from error
    for choice in chunk.choices or ():
        if choice.error:
            raise failures.in_stream(choice.error, provider)


def _check_end(provider: str, *, finished: bool, said: bool) -> None:
    """Raise where a stream is no answer, although it has ended."""
    if not finished:
        raise UpstreamBroke(f"{provider} stopped before its answer was complete")
    if not said:
        raise _empty(provider)


def _check_said(answer: Json, provider: str) -> None:
    """Raise where a whole reply says nothing, and not why (G16)."""
    choices = [choice for choice in answer["choices"] if isinstance(choice, dict)]
    said = [choice.get("message") or choice.get("delta") or choice for choice in choices]
    if any(choice.get("finish_reason") for choice in choices):
        return
    if not any(part.get(key) for part in said if isinstance(part, dict) for key in _SAYS):
        raise _empty(provider)


_SAYS = (
    *("content", "text", "refusal", "audio", "tool_calls", "function_call"),
    *("thinking", "reasoning", "reasoning_content", "reasoning_details"),
)
"""Keys of a message that hold something of an answer."""


def _empty(provider: str) -> UpstreamBroke:
    return UpstreamBroke(
        f"{provider} sent an empty answer and no reason for its end; "
        "the prompt may be longer than the model's context"
    )


def _check_finish(reason: bytes, provider: str) -> None:
    """Some reasons to finish mean that the answer is not complete."""
    word = reason.decode(errors="replace")
    if said := FAILED.get(word):
        raise UpstreamBroke(f"{provider}: {said} (finish reason {word})")


def _answer(body: bytes, provider: str) -> Json:
    """A whole reply with at least one choice in it."""
    try:
        value: Json = openai.loose(body.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise failures.unreadable(body, provider) from error
    choices = value.get("choices") if isinstance(value, dict) else None
    if not choices or not isinstance(choices, list):
        raise UpstreamBroke(f"{provider} sent a reply without an answer in it", passing=False)
    return value


def _is_complete(payload: bytes) -> bool:
    """Whether what a stream left behind at its end is an event, not the first half of one."""
    try:
        openai.loose(payload.decode(errors="replace"))
    except (ValueError, RecursionError):
        return payload == DONE
    return True
