"""How Anthropic's messages API says things: the events of a streamed reply, or one message.

A streamed block stays open while more of its kind comes; what is said next closes it. Signatures
only mark thinking as ours: clients want one, and send it back untouched.
"""

import hashlib
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate.anthropic import long_id
from ollama_bridge.translate.lines import Logprobs, encoded
from ollama_bridge.translate.stats import LENGTH, Ending, Stats
from ollama_bridge.translate.tools import Call
from ollama_bridge.wire import anthropic

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
"""Says nothing, and keeps clients from giving up while the model is busy."""

_TEXT, _THINKING = "text", "thinking"
_DELTAS = {
    _TEXT: '{"type":"text_delta","text":',
    _THINKING: '{"type":"thinking_delta","thinking":',
}
_EMPTY = {
    _TEXT: '{"type":"text","text":""}',
    _THINKING: '{"type":"thinking","thinking":"","signature":""}',
}


class Head(NamedTuple):
    """What is known of a message before the model says a word."""

    model: str
    seed: str
    input_tokens: int
    """An estimate; the end of a stream tells the true number."""
    request_id: str


class Events:
    """Writes a streamed reply."""

    def __init__(self, head: Head, ending: Ending) -> None:
        self._head = head
        self._ending = ending
        self._begun = False
        self._index = -1
        self._kind = ""
        self._delta = ""
        self._signature = hashlib.sha256()
        self._called = False

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002 - none here
        """A piece of the answer."""
        opened = "" if self._kind == _TEXT else self._open(_TEXT)
        return f"{opened}{self._delta}{quoted(text)}}}}}\n\n".encode()

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """A piece of the thinking."""
        opened = "" if self._kind == _THINKING else self._open(_THINKING)
        self._signature.update(text.encode(errors="replace"))
        return f"{opened}{self._delta}{quoted(text)}}}}}\n\n".encode()

    def tool_calls(self, calls: Sequence[Call]) -> bytes:
        """A block for each call, its input in one piece."""
        self._called = bool(calls)
        said = self._close()
        for call in with_own_ids(calls, self._head.seed):
            self._index += 1
            given = quoted(encoded(call.arguments))
            said += self._start(_call(call, {}))
            said += _event(
                "content_block_delta",
                f'"index":{self._index},"delta":{{"type":"input_json_delta","partial_json":{given}}}',
            )
            said += _event("content_block_stop", f'"index":{self._index}')
        return said.encode()

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """The end, and what it took."""
        why, stop = _reason(self._ending, called=self._called)
        usage = _usage(stats.prompt_eval_count, stats.eval_count)
        said = self._close() + _event(
            "message_delta",
            f'"delta":{{"stop_reason":"{why}","stop_sequence":{stop}}},"usage":{usage}',
        )
        return f'{said}event: message_stop\ndata: {{"type":"message_stop"}}\n\n'.encode()

    def failed(self, error: UpstreamBroke) -> bytes:
        """The error event, after which nothing comes."""
        said = anthropic.error(error.status, error.message, self._head.request_id)
        return f"event: error\ndata: {said}\n\n".encode()

    def ping(self) -> bytes:
        """A sign of life; it begins the message when nothing was said yet."""
        return PING if self._begun else self._begin().encode()

    def _begin(self) -> str:
        self._begun = True
        usage = _usage(self._head.input_tokens, 0)
        message = (
            f'{_opening(self._head)}[],"stop_reason":null,"stop_sequence":null,"usage":{usage}}}'
        )
        return _event("message_start", f'"message":{message}') + PING.decode()

    def _open(self, kind: str) -> str:
        said = self._close()
        self._index += 1
        self._kind = kind
        self._delta = (
            'event: content_block_delta\ndata: {"type":"content_block_delta",'
            f'"index":{self._index},"delta":{_DELTAS[kind]}'
        )
        return said + self._start(_EMPTY[kind])

    def _start(self, block: str) -> str:
        return _event("content_block_start", f'"index":{self._index},"content_block":{block}')

    def _close(self) -> str:
        """End the block that is open, if one is."""
        said = "" if self._begun else self._begin()
        if self._kind == _THINKING:
            delta = f'{{"type":"signature_delta","signature":"{self._signature.hexdigest()}"}}'
            said += _event("content_block_delta", f'"index":{self._index},"delta":{delta}')
            self._signature = hashlib.sha256()
        if self._kind:
            said += _event("content_block_stop", f'"index":{self._index}')
        self._kind = ""
        return said


class Whole:
    """Writes a reply that is not streamed: nothing until the end, then one message."""

    def __init__(self, head: Head, ending: Ending) -> None:
        self._head = head
        self._ending = ending
        self._said: list[tuple[str, list[str]]] = []
        self._calls: Sequence[Call] = ()

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """Keep a piece of the answer."""
        return self._keep(_TEXT, text)

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """Keep a piece of the thinking."""
        return self._keep(_THINKING, text)

    def tool_calls(self, calls: Sequence[Call]) -> bytes:
        """Keep the calls."""
        self._calls = calls
        return b""

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """Everything at once."""
        blocks = [_block(kind, "".join(pieces)) for kind, pieces in self._said]
        calls = with_own_ids(self._calls, self._head.seed)
        blocks += [_call(call, call.arguments) for call in calls]
        why, stop = _reason(self._ending, called=bool(self._calls))
        usage = _usage(stats.prompt_eval_count, stats.eval_count)
        end = f'"stop_reason":"{why}","stop_sequence":{stop},"usage":{usage}}}'
        return f"{_opening(self._head)}[{','.join(blocks)}],{end}".encode()

    def failed(self, error: UpstreamBroke) -> bytes:
        """Nothing of the answer, only the error."""
        return anthropic.error(error.status, error.message, self._head.request_id).encode()

    def _keep(self, kind: str, piece: str) -> bytes:
        if not self._said or self._said[-1][0] != kind:
            self._said.append((kind, []))
        self._said[-1][1].append(piece)
        return b""


Writer = Events | Whole


def _event(name: str, fields: str) -> str:
    return f'event: {name}\ndata: {{"type":"{name}",{fields}}}\n\n'


def _opening(head: Head) -> str:
    """A message up to its content."""
    message_id = long_id("msg_", head.seed)
    return (
        f'{{"id":"{message_id}","type":"message","role":"assistant",'
        f'"model":{quoted(head.model)},"content":'
    )


def _block(kind: str, text: str) -> str:
    if kind == _TEXT:
        return f'{{"type":"text","text":{quoted(text)}}}'
    signature = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    return f'{{"type":"thinking","thinking":{quoted(text)},"signature":"{signature}"}}'


def with_own_ids(calls: Sequence[Call], seed: str) -> list[Call]:
    """Clients know a call by its id while a conversation lasts, so each has one of its own."""
    return [
        call._replace(id=long_id("toolu_", seed, place, call.id))
        for place, call in enumerate(calls)
    ]


def _call(call: Call, given: dict[str, Any]) -> str:
    return (
        f'{{"type":"tool_use","id":"{call.id}","name":{quoted(call.name)},'
        f'"input":{encoded(given)}}}'
    )


def _usage(tokens_in: int, tokens_out: int) -> str:
    """Both cache counters stand there for clients that add all three numbers up."""
    return (
        f'{{"input_tokens":{tokens_in},"cache_creation_input_tokens":0,'
        f'"cache_read_input_tokens":0,"output_tokens":{tokens_out}}}'
    )


def _reason(ending: Ending, *, called: bool) -> tuple[str, str]:
    """Why the answer ended: `stop_reason`, and `stop_sequence` as JSON."""
    if called:
        return "tool_use", "null"
    if ending.stop:
        return "stop_sequence", quoted(ending.stop)
    if ending.finish in LENGTH:
        return "max_tokens", "null"
    return ("refusal" if ending.finish == "content_filter" else "end_turn"), "null"
