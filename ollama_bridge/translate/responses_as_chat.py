"""A response, or the events of one, as the chat completion that was asked for (quirk A9).

Strategy: bytes in, bytes out. What comes out is what a service with chat completions would have
sent, so that everything behind it is the same for both. What an event says is read by
`response_deltas`; how a chat is written stands here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate.lines import encoded
from ollama_bridge.translate.response_deltas import Deltas, number
from ollama_bridge.wire import openai
from ollama_bridge.wire.responses import word
from ollama_bridge.wire.sse import DONE, LIMIT, EventCutter

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]


class Chunks:
    """One reply; `stops` are the stop strings that the service was not told of.

    `created` is in seconds since the epoch, for services that do not date their responses.
    """

    def __init__(
        self, model: str, *, stops: Sequence[str] = (), wants_usage: bool = True, created: int = 0
    ) -> None:
        self._sse = EventCutter()
        self._deltas = Deltas(stops)
        self._wants_usage = wants_usage
        self._frame: Body = {"id": "chatcmpl-0", "created": created, "model": model}
        self._prefix = ""
        self._role = True
        self._over = self._begun = False
        self._plain: list[bytes] | None = None
        self._held = 0

    def feed(self, data: bytes) -> bytes:
        """The chunks of a chat completion for what was read; raises UpstreamBroke for too much."""
        if not self._begun and (start := data.lstrip()[:1]):
            self._begun = True
            self._plain = [] if start == b"{" else None  # whole, whatever it is said to be (F13)
        if self._plain is None:
            return b"".join([self._payload(payload) for payload in self._sse.feed(data)])
        self._held += len(data)
        if self._held > LIMIT:
            raise UpstreamBroke(f"the upstream sent a response longer than {LIMIT} bytes")
        self._plain.append(data)
        return b""

    def close(self) -> bytes:
        """What the stream held back; a stream that stopped too early just stops."""
        if self._plain is not None:
            whole, self._plain = b"".join(self._plain), None
            return self._payload(b'{"type":"response.completed","response":%b}' % whole)
        said = b"".join([self._payload(payload) for payload in self._sse.close()])
        if not self._over and not self._deltas.said:
            said += self._sse.stray  # no events at all: the reader tells what it was
        return said

    def whole(self, body: bytes) -> bytes:
        """A response that came in one piece, as a whole chat completion; else what it was."""
        try:
            response = _decoded(body)
        except (ValueError, RecursionError):
            return body
        if _is_error(response):
            return encoded(_error(response)).encode()
        if not isinstance(response, dict) or "output" not in response:
            return body
        self._learn(response)
        message, found = _joined([*self._deltas.of_response(response)])
        choice: Body = {"index": 0, "message": message, "finish_reason": self._finish(response)}
        if self._deltas.stopped:
            choice["stop_reason"] = self._deltas.found
        if found:
            choice["logprobs"] = {"content": found}
        head = self._frame | {"object": "chat.completion", "choices": [choice]}
        return encoded(head | _usage(response)).encode()

    def _payload(self, payload: bytes) -> bytes:
        if self._over or payload == DONE:
            return b""
        try:
            event = _decoded(payload)
        except (ValueError, RecursionError):
            return b"data: %b\n\n" % payload.replace(b"\n", b" ")  # the reader says what is wrong
        return self._event(event) if isinstance(event, dict) else b""

    def _event(self, event: Object) -> bytes:
        kind, response = word(event, "type"), event.get("response")
        if kind in _LAST:
            return self._last(kind, response if isinstance(response, dict) else {})
        if kind == "error" or event.get("error"):
            return self._failed(event)
        if kind in _BEGUN and isinstance(response, dict):
            self._learn(response)
            return b""
        return (
            b"".join([self._chunk(delta) for delta in self._deltas.of_event(event)]) + self._cut()
        )

    def _learn(self, response: Object) -> None:
        """What stands in every chunk, from any event that tells it."""
        created = response.get("created_at")
        if isinstance(created, int | float):
            self._frame["created"] = int(created)
        if known := word(response, "id"):
            self._frame["id"] = f"chatcmpl-{known.removeprefix('resp_')}"
        self._frame["model"] = word(response, "model") or self._frame["model"]
        self._prefix = ""

    def _last(self, kind: str, response: Object) -> bytes:
        if kind == "response.failed" or _is_error(response):
            return self._failed(response)
        self._learn(response)
        said = b"".join([self._chunk(delta) for delta in self._deltas.of_response(response)])
        said += self._cut()
        if self._over:
            return said
        self._over = True
        usage = _usage(response)
        end = {"index": 0, "delta": {}, "finish_reason": self._finish(response)}
        if self._role:
            end["delta"] = {"role": "assistant"}
        if self._wants_usage and usage:
            said += _written(self._chunk_head() | {"choices": [end]})
            return said + _written(self._chunk_head() | {"choices": []} | usage) + _END
        # nobody asked for a chunk of their own, but the log and the limits want the counts
        return said + _written(self._chunk_head() | {"choices": [end]} | usage) + _END

    def _failed(self, holder: Object) -> bytes:
        self._over = True
        return _written(_error(holder))

    def _cut(self) -> bytes:
        """The end, once a stop string was met."""
        if self._over or not self._deltas.stopped:
            return b""
        self._over = True
        choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
        choice["stop_reason"] = self._deltas.found
        return _written(self._chunk_head() | {"choices": [choice]}) + _END

    def _finish(self, response: Object) -> str:
        if self._deltas.stopped:
            return "stop"
        if word(response, "status") == "incomplete":
            details = response.get("incomplete_details")
            reason = word(details, "reason") if isinstance(details, dict) else ""
            return reason if reason == "content_filter" else "length"
        return "tool_calls" if self._deltas.calls else "stop"

    def _chunk(self, delta: Body) -> bytes:
        found = delta.pop("logprobs", None)
        if self._role:
            self._role = False
            delta = {"role": "assistant"} | delta
        if found:
            choice = {"index": 0, "delta": delta, "logprobs": {"content": found}}
            return _written(self._chunk_head() | {"choices": [choice | {"finish_reason": None}]})
        if not self._prefix:
            head = encoded(self._chunk_head())[:-1]
            self._prefix = f'data: {head},"choices":[{{"index":0,"delta":'
        return f'{self._prefix}{encoded(delta)},"finish_reason":null}}]}}\n\n'.encode()

    def _chunk_head(self) -> Body:
        return self._frame | {"object": "chat.completion.chunk"}


_END = b"data: [DONE]\n\n"
_BEGUN = frozenset({"response.created", "response.queued", "response.in_progress"})
_LAST = frozenset({"response.completed", "response.incomplete", "response.failed", "response.done"})

_STATUS: Mapping[str, int] = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_image": 400,
}
"""HTTP statuses of errors that come inside a response whose own status was good."""


def _written(value: Body) -> bytes:
    return f"data: {encoded(value)}\n\n".encode()


def _decoded(payload: bytes) -> Json:
    try:
        return msgspec.json.decode(payload)
    except ValueError:
        return openai.loose(payload.decode(errors="replace"))


def _is_error(response: Json) -> bool:
    return isinstance(response, dict) and bool(
        response.get("error") or word(response, "status") in ("failed", "cancelled")
    )


def _error(holder: Object) -> Body:
    """The error of a response, or an event that is one, as chat completions have it."""
    error = holder.get("error")
    error = holder if error is None else error
    if not isinstance(error, dict):
        return {"error": error}
    message = error.get("message") or f"the response ended as {word(error, 'status') or 'failed'}"
    found: Body = {"message": message, "type": "server_error", "param": error.get("param")}
    code = error.get("code")
    status = _STATUS.get(code) if isinstance(code, str) else None
    return {"error": found | {"code": code} | ({} if status is None else {"status": status})}


def _usage(response: Object) -> Body:
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return {}
    given, taken = (number(usage.get(f"{way}_tokens"), 0) for way in ("input", "output"))
    found: Body = {"prompt_tokens": given, "completion_tokens": taken}
    found["total_tokens"] = given + taken
    for name, theirs in (("prompt", "input"), ("completion", "output")):
        if isinstance(details := usage.get(f"{theirs}_tokens_details"), dict):
            found[f"{name}_tokens_details"] = details
    return {"usage": found}


def _joined(deltas: Collection[Body]) -> tuple[Body, list[Json]]:
    """The message that these are the pieces of, and its log probabilities."""
    message: Body = {"role": "assistant", "content": None}
    found: list[Json] = []
    for delta in deltas:
        found += delta.pop("logprobs", ())
        for key, value in delta.items():
            if key == "tool_calls":
                _join_call(message.setdefault(key, []), value[0])
            elif isinstance(value, list):
                message[key] = message.get(key, []) + value
            else:
                message[key] = (message.get(key) or "") + value
    return message, found


def _join_call(calls: list[Body], piece: Body) -> None:
    """A call's head comes first, then what is given to it."""
    index = piece.pop("index")
    if index == len(calls):
        calls.append(piece)
        return
    ((kind, inner),) = piece.items()
    for field, text in inner.items():
        calls[index][kind][field] += text
