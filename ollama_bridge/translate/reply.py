"""What an upstream's reply says, whatever server it came from: the heart of the bridge.

Strategy: bytes in, bytes out; no I/O and no clock but the ones it is given. An upstream's stream
goes through `feed` and `close`, a whole completion through `whole`; what is said goes to a writer
(`lines.Lines` or `lines.Whole`), which knows how Ollama says it.
An event is read in this order, each as one early return or one call:
[DONE], error, usage, no choices, thinking, text, tool calls, finish reason.
Most events are a piece of text and nothing else. Once one was, the next is taken for the same, and
the decoder says whether it is: then nothing has to be asked of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate import failures, lines, tools
from ollama_bridge.translate.fences import Unfenced
from ollama_bridge.translate.stats import FAILED, Ending, Stats, Stopwatch, done_reason, estimate
from ollama_bridge.translate.stops import StopCutter
from ollama_bridge.translate.thinking import TagSplitter
from ollama_bridge.translate.thoughts import Keep, Listener
from ollama_bridge.wire import openai
from ollama_bridge.wire.sse import DONE, EventCutter

LONGEST_LINE = 8192
"""Most characters of text in one line: some clients refuse lines over 128 KiB (clients.md 1.4)."""

MISTAKES = 3
"""How often an event that was taken for plain text may be more before no other is taken for it."""

UNLIKELY = -9999.0
"""What OpenAI writes for a probability of nearly zero; others write null, or minus infinity."""

Logprobs = lines.Logprobs


class Writer(Protocol):
    """Says in one of Ollama's dialects what the upstream said.

    One may also have `texts(pieces)`, for pieces of the answer that came together.
    """

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """A piece of the answer."""

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:
        """A piece of the thinking."""

    def tool_calls(self, calls: Sequence[tools.Call]) -> bytes:
        """All calls, once the answer is complete."""

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:
        """The end, and what it took."""

    def failed(self, error: UpstreamBroke) -> bytes:
        """The end of an answer that went wrong."""


class Reply:
    """One reply of one upstream, on its way to one client."""

    __slots__ = (  # what every event touches lies side by side
        *("over", "finished", "_is_plain", "_sse", "_writer", "_texts", "_characters"),
        *("failure", "estimated", "_watch", "_provider", "_prompt_characters", "_show_thinking"),
        *("_names", "_top_logprobs", "_seed", "_ending", "_drop_cut_calls", "_listener", "_tags"),
        *("_calls", "_usage", "_timings", "_finish", "_logprobs", "_said", "_mistakes", "_stops"),
    )
    by_lines = False

    def __init__(
        self,
        writer: Writer,
        watch: Stopwatch,
        *,
        provider: str = "the upstream",
        prompt_characters: int = 0,
        show_thinking: bool = True,
        names: Mapping[str, str] | None = None,
        top_logprobs: int = 0,
        seed: str = "",
        ending: Ending | None = None,
        drop_cut_calls: bool = False,
        keep: Keep | None = None,
    ) -> None:
        """`keep` is told the thoughts behind tool calls, for providers that want them back."""
        self.over = False
        """Nothing more is worth reading."""
        self.failure: UpstreamBroke | None = None
        self.estimated = False
        """The counters are ours: the upstream told none."""
        self._writer = writer
        self._texts: Callable[[list[str]], bytes] | None = getattr(writer, "texts", None)
        self._watch = watch
        self._provider = provider
        self._prompt_characters = prompt_characters
        self._show_thinking = show_thinking
        self._names = names or {}
        self._top_logprobs = top_logprobs
        self._seed = seed
        self._ending = ending or Ending()
        self._drop_cut_calls = drop_cut_calls
        self._listener = Listener(keep) if keep else None
        self._sse = EventCutter()
        self._tags = TagSplitter()
        self._calls = tools.Gatherer()
        self._usage: openai.Usage | None = None
        self._timings: openai.Timings | None = None
        self._finish: str | None = None
        self.finished = False
        """The upstream said that its answer is complete; only counters may still come."""
        self._logprobs: Logprobs | None = None
        self._characters = 0
        self._said = False
        self._is_plain = False
        """The next event is likely to be a piece of text and nothing else, to be said as it is."""
        self._mistakes = 0
        self._stops: StopCutter | Unfenced | None = None

    def stop_at(self, stops: Sequence[str]) -> None:
        """Stop strings to enforce here, because the upstream was not told of them."""
        self._stops = StopCutter(stops) if stops else None

    def unfence(self, stops: Sequence[str] = ()) -> None:
        """The same, for an answer that was to be JSON: a fence round it is taken off (E9)."""
        self._stops = Unfenced(StopCutter(stops))

    def counts(self) -> tuple[int, int]:
        """Tokens in and out; estimated where the upstream does not tell them."""
        usage = self._usage or openai.Usage()
        prompt, answer = usage.prompt_tokens, usage.completion_tokens
        self.estimated = prompt is None or answer is None
        if prompt is None:
            prompt = estimate(self._prompt_characters)
        if answer is None:
            answer = estimate(self._characters) if self._characters else 0
        return prompt, answer

    def feed(self, data: bytes) -> bytes:
        """Whole lines for what was read: one write a read, b"" while there is nothing to say."""
        if self.over:
            return b""
        said: list[bytes] = []
        try:
            payloads = self._sse.feed(data)
            if len(payloads) == 1:
                return self._event(payloads[0])
            if self._is_plain and self._texts is not None:
                said.append(self._plain(payloads, self._texts))
            for payload in payloads:
                said.append(self._event(payload))
                if self.over:
                    break
        except UpstreamBroke as error:
            said.append(self._fail(error))
        return b"".join(said)

    def whole(self, body: bytes) -> bytes:
        """A reply that came in one piece: everything up to the last line's inputs."""
        try:
            return self._any_event(body.strip(), whole=True)
        except UpstreamBroke as error:
            return self._fail(error)

    def close(self) -> bytes:
        """Gathered tool calls and the last line; an error when the upstream stopped too early."""
        if self.failure:
            return b""
        said: list[bytes] = []
        try:
            said += [self._event(payload) for payload in self._sse.close() if not self.over]
            said.append(self._last())
        except UpstreamBroke as error:
            said.append(self._fail(error))
        self.over = True
        return b"".join(said)

    def fail(self, error: UpstreamBroke) -> bytes:
        """One error line, then silence; a reply that is already complete just ends."""
        if self.failure:
            return b""
        return self.close() if self.finished else self._fail(error)

    def _fail(self, error: UpstreamBroke) -> bytes:
        self.failure = error
        self.over = True
        return self._rest() + self._writer.failed(error)

    def _loosely(self, payload: bytes) -> openai.Chunk:
        try:
            return openai.chunk(payload)
        except (ValueError, RecursionError) as error:
            raise failures.unreadable(payload, self._provider) from error

    def _plain(self, payloads: list[bytes], say: Callable[[list[str]], bytes]) -> bytes:
        """Say the plain pieces of text that `payloads` begins with, and take them out of it."""
        plain = openai.plain
        texts: list[str] = []
        try:
            for payload in payloads:
                texts.append(plain(payload).choices[0].delta.content)
        except (ValueError, RecursionError):
            self._is_plain = False
            self._mistakes += payload != DONE
        if not texts:
            return b""
        del payloads[: len(texts)]
        self._characters += sum(map(len, texts))
        return say(texts)

    def _event(self, payload: bytes) -> bytes:
        if self._is_plain:
            try:
                text = openai.plain(payload).choices[0].delta.content
            except (ValueError, RecursionError):
                self._mistakes += 1
            else:
                self._characters += len(text)
                return self._writer.text(text)
        if payload == DONE:
            self.finished = self.over = True
            return b""
        self._is_plain = False
        return self._any_event(payload)

    def _any_event(self, payload: bytes, *, whole: bool = False) -> bytes:
        try:
            chunk = openai.typed(payload)
        except (ValueError, RecursionError):
            try:
                chunk = self._loosely(payload)
            except UpstreamBroke:
                if self._finish is None or whole:
                    raise
                return b""  # the answer is complete: what is behind it spoils nothing (F10)
        if chunk.error or chunk.object == "error" or chunk.type == "error":
            # older servers put the words beside the mark, not into `error`
            error = chunk.error or openai.loose(payload.decode(errors="replace"))
            raise failures.in_stream(error, self._provider)
        if chunk.usage is not None:
            self._usage = chunk.usage
        elif chunk.x_groq is not None and chunk.x_groq.usage is not None:
            self._usage = chunk.x_groq.usage
        if chunk.timings is not None:
            self._timings = chunk.timings
        if not chunk.choices:
            if whole:
                raise UpstreamBroke(
                    f"{self._provider} sent a reply without an answer in it", passing=False
                )
            return b""
        return self._choice(chunk.choices[0], whole=whole)

    def _choice(self, choice: openai.Choice, *, whole: bool) -> bytes:
        if choice.error:
            raise failures.in_stream(choice.error, self._provider)
        if choice.index and not whole:
            return b""  # Ollama has one answer; others of several are not for it
        if choice.logprobs:
            self._note_logprobs(choice.logprobs)
        delta = None if whole else choice.delta
        if self._listener is not None:
            self._listener.hear(delta or choice.message)
        said = self._message(choice) if delta is None else self._delta(delta)
        if self._finish is None and (choice.finish_reason or whole):
            self._finish = choice.finish_reason or ""  # some send "" with every chunk
            self.finished = True
            self._ending.stopped_by(choice.stop_reason or choice.matched_stop)
        return said

    def _message(self, choice: openai.Choice) -> bytes:
        """What a whole answer says; in a stream only if it is the first to say anything (F16)."""
        message = choice.message or choice.delta
        if message is None:
            return self._text(choice.text) if choice.text else b""
        if self._said:
            return b""
        if message.tool_calls:
            self._gather(message.tool_calls, whole=True)
            message.tool_calls = None
        return self._delta(message)

    def _delta(self, delta: openai.Delta) -> bytes:
        said = b""
        thought = delta.reasoning_content or delta.reasoning or delta.thinking
        if not thought and delta.reasoning_details:
            thought = _details(delta.reasoning_details)
        if thought:
            if not self._tags.passing:
                said = self._no_tags()
            said += self._thinking(thought)
        content = delta.content
        if content:
            if type(content) is list:
                said += self._parts(content)
            elif self._tags.passing:
                said += self._say(content)  # type: ignore[arg-type]
            else:
                said += self._text(content)  # type: ignore[arg-type]
        elif delta.refusal:
            said += self._text(delta.refusal)
        if delta.tool_calls:
            self._gather(delta.tool_calls)
        elif delta.function_call:
            self._gather([openai.ToolCall(index=0, function=delta.function_call)])
        return said

    def _no_tags(self) -> bytes:
        """A server that knows thinking leaves no tags in its text (quirk D5)."""
        text = self._tags.switch_off()
        return self._say(text) if text else b""

    def _parts(self, parts: Sequence[Any]) -> bytes:
        """Mistral's content is a list of text and thinking parts (quirk D4)."""
        said = []
        for part in parts:
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                thought = inner if isinstance(inner, str) else _joined(inner)
                if thought:
                    said.append(self._thinking(thought))
            elif isinstance(text := part.get("text"), str) and text:
                said.append(self._text(text))
        return b"".join(said)

    def _text(self, text: str) -> bytes:
        if self._tags.passing:
            return self._say(text)
        thought, text = self._tags.feed(text)
        return (self._thinking(thought) if thought else b"") + (self._say(text) if text else b"")

    def _say(self, text: str) -> bytes:
        if not self._watch.first:
            self._watch.token()
        self._said = True
        self._characters += len(text)
        if self._stops is None and not self._logprobs and len(text) <= LONGEST_LINE:
            self._is_plain = self._tags.passing and self._mistakes < MISTAKES
            return self._writer.text(text)
        if self._stops is not None:
            text = self._stops.feed(text)
            if self._stops.stopped:
                self._finish, self.finished, self.over = "stop", True, True
                self._ending.stopped_by(self._stops.found)
        return self._write(text) if text else b""

    def _write(self, text: str) -> bytes:
        if len(text) > LONGEST_LINE:
            return self._long(self._writer.text, text)
        return self._writer.text(text, self._take_logprobs() if self._logprobs else None)

    def _thinking(self, text: str) -> bytes:
        if not self._watch.first:
            self._watch.token()
        self._said = True
        self._characters += len(text)
        if not self._show_thinking:
            return b""
        if len(text) > LONGEST_LINE:
            return self._long(self._writer.thinking, text)
        return self._writer.thinking(text, self._take_logprobs())

    def _long(self, write: Any, text: str) -> bytes:
        pieces = [text[at : at + LONGEST_LINE] for at in range(0, len(text), LONGEST_LINE)]
        return b"".join([write(piece, self._take_logprobs()) for piece in pieces])

    def _gather(self, calls: Sequence[openai.ToolCall], *, whole: bool = False) -> None:
        if not self._watch.first:
            self._watch.token()
        self._said = True
        try:
            (self._calls.whole if whole else self._calls.feed)(calls)
        except ValueError as error:
            raise UpstreamBroke(f"{self._provider}: {error}") from error

    def _last(self) -> bytes:
        self._check_end()
        self._ending.finish = self._finish or ""
        calls = self._complete_calls()
        if self._listener is not None:
            self._listener.close(calls, self._calls.extras)
        said = self._rest()
        if calls:
            said += self._writer.tool_calls(calls)
        return said + self._writer.done(
            done_reason(self._finish), self._stats(), self._take_logprobs()
        )

    def _check_end(self) -> None:
        """Raise UpstreamBroke where the answer is not one, although the stream has ended."""
        if not self.finished:
            if self._sse.stray and not self._said:
                raise failures.unreadable(self._sse.stray, self._provider)
            raise UpstreamBroke(f"{self._provider} stopped before its answer was complete")
        if not self._finish and not self._said:  # G16
            raise UpstreamBroke(
                f"{self._provider} sent an empty answer and no reason for its end; "
                "the prompt may be longer than the model's context"
            )
        if reason := FAILED.get(self._finish or ""):
            raise UpstreamBroke(f"{self._provider}: {reason} (finish reason {self._finish})")
        if self._finish == "content_filter" and not self._said:
            raise UpstreamBroke(
                f"{self._provider} withheld the answer: its content filter objected", passing=False
            )

    def _rest(self) -> bytes:
        """Text that was held back, because it could have been the beginning of a tag or a stop."""
        thought, text = self._tags.close()
        said = self._thinking(thought) if thought else b""
        if text:
            said += self._say(text)
        if self._stops is not None and (rest := self._stops.close()):
            said += self._write(rest)
        return said

    def _complete_calls(self) -> list[tools.Call]:
        try:
            return self._calls.close(self._names, self._seed)
        except tools.Unusable as error:
            limited = done_reason(self._finish) == "length"
            if limited and self._drop_cut_calls:  # the client knows this end, and what to do
                return []
            advice = "; the token limit cut them off, so raise num_predict" if limited else ""
            raise UpstreamBroke(
                f"{self._provider}: {error}{advice}", passing=not limited
            ) from error

    def _stats(self) -> Stats:
        return self._watch.stats(*self.counts(), self._timings)

    def _note_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        found = _logprobs(logprobs, self._top_logprobs)
        if found:
            self._logprobs = (self._logprobs or []) + found

    def _take_logprobs(self) -> Logprobs | None:
        taken, self._logprobs = self._logprobs, None
        return taken


def _details(details: Sequence[Any]) -> str:
    """Readable text of OpenRouter's `reasoning_details`; encrypted ones have none (quirk D3)."""
    found = [item.get("text") or item.get("summary") for item in details if isinstance(item, dict)]
    return "".join([text for text in found if isinstance(text, str)])


def _joined(parts: Any) -> str:
    if not isinstance(parts, list):
        return ""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join([text for text in texts if isinstance(text, str)])


def _logprobs(logprobs: Mapping[str, Any], top: int) -> Logprobs:
    """Ollama's form of log probabilities, from OpenAI's for chats or the one for completions."""
    content = logprobs.get("content")
    if isinstance(content, list):
        return [_token(item, top) for item in content if isinstance(item, dict)]
    tokens, values, others = map(logprobs.get, ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(tokens, list) or not isinstance(values, list):
        return []
    tables = (
        others if isinstance(others, list) and len(others) == len(tokens) else [None] * len(tokens)
    )
    return [
        _token({"token": token, "logprob": value, "top_logprobs": _ranked(table)}, top)
        for token, value, table in zip(tokens, values, tables, strict=False)
    ]


def _ranked(table: Any) -> list[dict[str, Any]]:
    """Completions have a table of tokens where chats have a list."""
    pairs = table.items() if isinstance(table, dict) else ()
    return [{"token": token, "logprob": value} for token, value in pairs]


def _token(item: Mapping[str, Any], top: int) -> dict[str, Any]:
    token, value, token_bytes = item.get("token"), item.get("logprob"), item.get("bytes")
    entry: dict[str, Any] = {
        "token": token if isinstance(token, str) else "",
        "logprob": value if isinstance(value, int | float) else UNLIKELY,
    }
    if token_bytes and isinstance(token_bytes, list):
        entry["bytes"] = token_bytes
    others = item.get("top_logprobs")
    if top and others and isinstance(others, list):
        entry["top_logprobs"] = [
            _token(other, 0) for other in others[:top] if isinstance(other, dict)
        ]
    return entry
