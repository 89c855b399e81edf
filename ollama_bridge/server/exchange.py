"""One request of a client and the answer to it, on plain ASGI."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any

from ollama_bridge.errors import BadRequest, BridgeError, UpstreamBroke
from ollama_bridge.server import flow, straight
from ollama_bridge.server.callers import WHEN_GONE
from ollama_bridge.translate import lines

if TYPE_CHECKING:
    from ollama_bridge.server.learning import Course

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_LIMIT = 256 * 1024 * 1024
"""Most bytes of a request's body."""

JSON = b"application/json; charset=utf-8"
ERROR_JSON = b"application/json"
NDJSON = b"application/x-ndjson"
SSE = b"text/event-stream"
TEXT = b"text/plain; charset=utf-8"

ANSWERED_BY = b"x-ollama-bridge-model"
"""Header that tells which provider and model answered."""


Envelope = Callable[[BridgeError], bytes]


def native(error: BridgeError) -> bytes:
    """The error as `/api/*` writes it."""
    said: bytes = getattr(error, "said", b"")
    return said or lines.error(error.message)[:-1]


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


class Exchange:
    """Reads the request once; answers once, whole or line by line."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.tail = ""
        """What the path ends in, for routes that take any end."""
        self.envelope: Envelope = native
        """How this family of routes writes an error."""
        self.stream_kind = NDJSON
        """The content type of a streamed reply."""
        self.status = 0
        self.complete = False
        self._gone = False
        self.answered_by = ""
        """`provider/model` of the target that is being asked; the reply's header tells it."""
        self.course: Course | None = None
        """What this request has learned of the target that is being asked."""
        self.log: dict[str, Any] = {}
        self.cut_by: UpstreamBroke | None = None
        """Why the answer is to end early, once it is."""
        self._work: asyncio.Task[Any] | None = None
        self._receive = receive
        self._send = send
        self._way = straight.way(send)
        self._headers = headers

    @property
    def started(self) -> bool:
        """Whether the status line is gone: from here on errors are lines."""
        return self.status != 0

    def header(self, name: bytes) -> str:
        """A request header's first value, or ""."""
        found = next((value for key, value in self.scope["headers"] if key == name), b"")
        return bytes(found).decode("latin-1")

    async def body(self) -> bytes:
        """The request's whole body; raises BadRequest past BODY_LIMIT, ClientGone when cut off."""
        message = await self._receive()
        first = _part(message)
        if not message.get("more_body"):
            return first
        self._check_size(int(self.header(b"content-length") or 0))
        parts, size = [first], len(first)
        while message.get("more_body"):
            message = await self._receive()
            parts.append(_part(message))
            size += len(parts[-1])
            self._check_size(size)
        return b"".join(parts)

    def _check_size(self, size: int) -> None:
        if size > BODY_LIMIT:
            self.add_headers([(b"connection", b"close")])  # the rest is not waited for
            raise _TooLarge(f"the request is larger than {BODY_LIMIT // 2**20} MiB")

    async def parts(self) -> AsyncIterator[bytes]:
        """The request's body piece by piece; raises ClientGone when it is cut off."""
        more = True
        while more:
            message = await self._receive()
            yield _part(message)
            more = message.get("more_body", False)

    async def answer(self, body: bytes, *, kind: bytes = JSON, status: int = 200) -> None:
        """A whole reply."""
        headers = self._begin(status, [(b"content-type", kind)])
        self.complete = True
        way = self._way
        if way is not None and way.answer(status, headers, body, last=True, whole=True):
            return
        await self._start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self._body(b"" if self.method == "HEAD" else body, last=True)

    async def refuse(self, error: BridgeError) -> None:
        """An error in Ollama's form: one line, plain text in `error` (traps 7 to 10)."""
        if retry_after := getattr(error, "retry_after", ""):
            self._headers = [
                *self._headers,
                (b"retry-after", retry_after.encode("latin-1", "replace")),
            ]
        if error.final:  # the SDKs of OpenAI and Anthropic go by it
            self._headers = [*self._headers, (b"x-should-retry", b"false")]
        self.log["error"] = error.message
        await self.answer(self.envelope(error), kind=ERROR_JSON, status=error.status)

    async def line(self, data: bytes, *, last: bool = False) -> None:
        """Part of a streamed reply; the first one sends the status."""
        way = self._way
        self.complete = last
        if not self.status:
            headers = self._begin(200, [(b"content-type", self.stream_kind)])
            if way is not None and way.answer(200, headers, data, last=last):
                return
            await self._start(200, headers)
        elif last and way is not None and way.end(data):
            return
        await self._body(data, last=last)

    def push(self, data: bytes) -> Awaitable[None] | None:
        """The same as `line`, done at once; what a slow client leaves to wait for comes back."""
        straight_on = self.straight_on
        return straight_on(data) if straight_on else flow.begun(self.line(data))

    @property
    def straight_on(self) -> Callable[[bytes], Awaitable[None] | None] | None:
        """The shortest way of `push`, if there is one, once the status has been sent."""
        return self._way.push if self._way is not None and self._way.is_chunked else None

    async def while_connected(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, but not beyond the moment the client goes away (trap 46).

        The server's word comes when the client is gone, and also when the reply is complete.
        """
        task = self._work = asyncio.current_task()
        let_go = self._watched()
        try:
            await work
        except asyncio.CancelledError:
            reason = ClientGone() if self._gone else None if self.started else self.cut_by
            if reason is None or (task is not None and task.uncancel()):
                raise
            raise reason from None
        finally:
            self._work = None
            let_go()

    def cut(self, error: UpstreamBroke) -> None:
        """End the answer now: with that error as its status, or as its last line."""
        self.cut_by = error
        if self._work is not None:
            self._work.cancel()

    def _watched(self) -> Callable[[], Any]:
        """Have the work cancelled when the client goes; what comes back ends that."""
        when_gone = (self.scope.get("state") or {}).get(WHEN_GONE)
        if when_gone is None:  # another server than ours
            return asyncio.ensure_future(self._wait_until_gone()).cancel
        when_gone(self._cancel_when_gone)
        return functools.partial(when_gone, None)

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel_when_gone()

    def _cancel_when_gone(self) -> None:
        if not self.complete and self._work is not None:
            self._gone = True
            self._work.cancel()

    def add_headers(self, headers: Headers) -> None:
        """More headers for the reply."""
        self._headers = [*self._headers, *headers]

    def _begin(self, status: int, headers: Headers) -> Headers:
        """From here on there is an answer; its headers are all that are known by now."""
        self.status = status
        headers += self._headers
        if self.answered_by:
            headers.append((ANSWERED_BY, self.answered_by.encode("latin-1", "replace")))
        return headers

    async def _start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, data: bytes, *, last: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


class _TooLarge(BadRequest):
    """The body is larger than the bridge will hold."""

    status = 413


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    return bytes(message.get("body", b""))
