"""A provider that fails in every way there is, at a chosen stage of its answer; raw sockets."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

STAGES = ("connect", "head", "first byte", "middle", "end")
"""Where a fault happens: before a request can be sent, instead of the status, before the first
byte of the answer, in the middle of it, and after its last word, before it is closed."""

EVENT = "text/event-stream"
JSON = "application/json"

Fault = Callable[["Peer", str], Awaitable[None]]


class Over(Exception):
    """Nothing more is said on this connection."""


@dataclass(frozen=True)
class Row:
    """One fault; `stages` says for each stage how it is done there, or why it cannot happen."""

    name: str
    stages: dict[str, Fault | str]
    limits: dict[str, float] = field(default_factory=dict)
    """The provider's settings: tiny limits where they are what is tried."""
    kind: str = ""
    """The content type, where it belongs to the fault."""
    head: bytes = b"transfer-encoding: chunked"
    """How the head says where the body ends."""
    tls: bool = False
    scheme: str = "http"
    full: bool = False
    """Nothing takes the connection: the system's queue for it is full."""


@dataclass
class Answer:
    """A good answer in two halves, and what a client makes of it."""

    kind: str
    first: bytes
    rest: bytes


def _event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()


_WORDS = [_event({"content": word}) for word in ("Größe ", "zwei ", "drei")]
_COUNTS = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
_USAGE = f"data: {json.dumps({'choices': [], 'usage': _COUNTS})}\n\n".encode()
_MESSAGE = {"role": "assistant", "content": "Größe zwei drei"}
_CHAT = {"choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}], "usage": _COUNTS}
_VECTORS = {"data": [{"index": 0, "embedding": [0.6, 0.8]}], "usage": _COUNTS}
CALL = {"name": "look", "arguments": '{"where":"there"}'}
_CALL_BEGUN = _event(
    {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {**CALL}}]}
).replace(b'there\\"}', b"th")


def answer_to(path: str, body: dict[str, Any]) -> Answer:
    """What a healthy provider says."""
    if path.endswith("/embeddings"):
        return _halved(_VECTORS)
    if body.get("stream"):
        return Answer(EVENT, _WORDS[0], b"".join(_WORDS[1:]) + _event({}, "stop") + _USAGE)
    return _halved(_CHAT)


def _halved(value: Any) -> Answer:
    text = json.dumps(value, ensure_ascii=False).encode()
    return Answer(JSON, text[: len(text) // 2], text[len(text) // 2 :])


class Peer:
    """One connection, as the provider sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, row: Row):
        self.reader, self.writer, self.row = reader, writer, row
        self.answer = Answer(JSON, b"", b"")
        self.elsewhere = b""
        self.heard: asyncio.Event | None = None
        self._packer = zlib.compressobj(wbits=31)

    async def request(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the next request."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
        body = await self.reader.readexactly(int(length or 0))
        return path, json.loads(body) if body else {}

    async def say(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def body(self, data: bytes) -> None:
        """Part of the body, framed as the head says."""
        if b"gzip" in self.row.head:
            end = zlib.Z_SYNC_FLUSH if data else zlib.Z_FINISH
            packed = self._packer.compress(data) + self._packer.flush(end)
            await self.say(b"%x\r\n%b\r\n" % (len(packed), packed))
            if data:
                return
        chunked = self.row.head.startswith(b"transfer-encoding")
        await self.say(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    async def head(self, status: str = "200 OK", kind: str = "", *more: bytes) -> None:
        lines = [
            f"HTTP/1.1 {status}".encode(),
            b"content-type: " + (kind or self.row.kind or self.answer.kind).encode(),
            *more,
            b"" if any(line.startswith(b"content-length") for line in more) else self.row.head,
        ]
        await self.say(b"\r\n".join(filter(None, lines)) + b"\r\n\r\n")

    async def whole(self, status: str, kind: str, text: bytes, *more: bytes) -> None:
        """An answer that is complete, so that nothing follows it."""
        await self.head(status, kind, b"content-length: %d" % len(text), *more)
        await self.say(text)

    async def until_gone(self) -> None:
        """Say nothing until the other side has hung up."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass
        raise Over

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Over

    async def play(self, stage: str, fault: Fault) -> None:
        """A good answer up to the stage, then the fault, then the rest if there may be one."""
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "head": self.head,
            "first byte": lambda: self.body(self.answer.first),
            "middle": lambda: self.body(self.answer.rest),
            "end": self.finish,
        }
        for step, good in steps.items():
            if step == "middle" and self.heard is not None:
                await self.heard.wait()  # the client has the first word
            if step == stage:
                await fault(self, stage)
            await good()

    async def finish(self) -> None:
        if self.answer.kind == EVENT:
            await self.body(b"data: [DONE]\n\n")
        await self.body(b"")


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """The port of a socket that listens and whose queue is full: what comes now is not answered."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class BrokenUpstream:
    """Runs in a thread of its own. `connections` are open now, `requests` asked for an answer."""

    def __init__(self, row: Row, stage: str, elsewhere: str = "") -> None:
        self.row, self.stage, self.elsewhere = row, stage, elsewhere.encode()
        self.connections = self.requests = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._heard = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def go_on(self) -> None:
        """The client has got something."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._heard.set)

    @contextlib.contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator["BrokenUpstream"]:
        started = threading.Event()
        stop = asyncio.Event()

        async def run() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await stop.wait()
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        thread = threading.Thread(target=lambda: self._loop.run_until_complete(run()), daemon=True)
        thread.start()
        assert started.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        peer = Peer(reader, writer, self.row)
        peer.elsewhere = self.elsewhere
        try:
            await self._talk(peer)
        except (Over, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.connections -= 1
            self._tasks.discard(task)
            writer.close()

    async def _talk(self, peer: Peer) -> None:
        fault = self.row.stages[self.stage]
        assert callable(fault)
        if self.stage == "connect":
            await fault(peer, self.stage)
        while True:
            path, body = await peer.request()
            if path.endswith("/models"):
                await peer.whole("200 OK", JSON, b'{"data":[{"id":"m"}]}')
                continue
            self.requests += 1
            peer.answer = answer_to(path, body)
            peer.heard = self._heard if body.get("stream") else None
            await peer.play(self.stage, fault)


# faults


async def reset(peer: Peer, _: str) -> None:
    await asyncio.sleep(0)
    peer.reset()


async def close(peer: Peer, stage: str) -> None:
    if stage == "head":
        await peer.say(b"HTTP/1.1 200 O")
    raise Over


async def hang(peer: Peer, _: str) -> None:
    await peer.until_gone()


def cut(begun: bytes) -> Fault:
    """The connection is closed in the middle of an event; an object is cut at its half anyway."""

    async def fault(peer: Peer, _: str) -> None:
        if peer.answer.kind == EVENT:
            await peer.body(begun)
        raise Over

    return fault


IN_LINE = cut(_WORDS[1][:20])
IN_CHARACTER = cut(_WORDS[0][: _WORDS[0].index("ö".encode()) + 1])
IN_CALL = cut(_CALL_BEGUN)


GARBAGE = bytes(range(256)) * 4


async def not_http(peer: Peer, _: str) -> None:
    """Bytes where HTTP's own are due."""
    await peer.say(b"SSH-2.0-OpenSSH_9\r\n" + GARBAGE)
    raise Over


async def garbage(peer: Peer, _: str) -> None:
    """Bytes where the answer's are due, and then the answer."""
    await peer.body(GARBAGE + b"\n\ndata: {half an object\n\n")


HTML = b"<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body>no</body></html>"


async def html(peer: Peer, stage: str) -> None:
    if stage == "head":
        await peer.whole("502 Bad Gateway", "text/html", HTML)
        raise Over
    await peer.body(HTML)
    if stage == "first byte":
        await peer.body(b"")
        raise Over


PIECE = b"x" * 65536


def endless(first: bytes, piece: bytes) -> Fault:
    """The same again and again, as fast as it is read; header lines instead of a head."""

    async def fault(peer: Peer, stage: str) -> None:
        if stage == "head":
            await peer.say(b"HTTP/1.1 200 OK\r\nx-long: ")
        say = peer.say if stage == "head" else peer.body
        await say(first)
        while True:
            await say(piece)
            await asyncio.sleep(0)

    return fault


async def dripping(peer: Peer, stage: str) -> None:
    """A comment now and then, and nothing else, for ever."""
    while True:
        if stage == "head":
            await peer.say(b"HTTP/1.1 102 Processing\r\n\r\n")
        else:
            await peer.body(b": still there\n\n" if peer.answer.kind == EVENT else b" \n")
        await asyncio.sleep(0.02)


async def ends_early(peer: Peer, stage: str) -> None:
    """The head told of more, or of less, than came; what came is closed."""
    if stage == "head":
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n")
    raise Over


async def bomb(peer: Peer, _: str) -> None:
    """Some kilobytes that become 256 megabytes; the head has said `gzip`."""
    for _ in range(8):
        await peer.body(b"\0" * 2**25)


ERROR = {"error": {"message": "the machine is on fire", "type": "server_error", "code": 500}}


async def error_inside(peer: Peer, stage: str) -> None:
    text = json.dumps(ERROR).encode()
    if stage == "head":
        await peer.whole("200 OK", JSON, text)
        raise Over
    await peer.body(b"data: " + text + b"\n\n" if peer.answer.kind == EVENT else text)
    await peer.body(b"")
    raise Over


async def too_many(peer: Peer, _: str) -> None:
    text = b'{"error":{"message":"slow down","type":"rate_limit"}}'
    await peer.whole("429 Too Many Requests", JSON, text, b"retry-after: 1")
    peer.answer = Answer(JSON, b"", b"")
    raise Over


async def elsewhere(peer: Peer, _: str) -> None:
    await peer.whole("307 Temporary Redirect", JSON, b"", b"location: " + peer.elsewhere)
    raise Over


async def nothing(_peer: Peer, _stage: str) -> None:
    """The fault lies elsewhere: in the certificate."""


_STANDS = "the connection stands by then"
_HEAD = "it is part of the head"
_UNSENT = "nothing has been sent yet"
_BODY = "it is part of the body"
_COMPLETE = "the last word has been said by then"


def _all(fault: Fault, connect: Fault | str = _UNSENT) -> dict[str, Fault | str]:
    return {"connect": connect} | dict.fromkeys(STAGES[1:], fault)


def _only(stage: str, fault: Fault, before: str, after: str) -> dict[str, Fault | str]:
    """A fault of one stage."""
    place = STAGES.index(stage)
    return {
        step: fault if step == stage else before if number < place else after
        for number, step in enumerate(STAGES)
    }


_SHORT = b"content-length: 20"
_LONG = b"content-length: 100000"
_LENGTH = {"connect": _UNSENT, "first byte": "it shows in the middle or at the end"}
_SMALL = {"first_byte_timeout": 0.5, "idle_timeout": 0.5}

ROWS = (
    Row("refuses", _only("connect", nothing, "", _STANDS)),
    Row("resets", _all(reset, reset)),
    Row("closes", _all(close, close)),
    Row("says nothing", _all(hang, hang), {**_SMALL, "connect_timeout": 0.5}, tls=False),
    Row("cuts in a line", _only("middle", IN_LINE, _BODY, _COMPLETE)),
    Row("cuts in a UTF-8 character", _only("middle", IN_CHARACTER, _BODY, _COMPLETE)),
    Row("cuts in a tool call", _only("middle", IN_CALL, _BODY, _COMPLETE)),
    Row("is not HTTP", _all(not_http, not_http)),
    Row("garbage in the answer", _all(garbage) | {"head": _BODY}),
    Row("HTML", _all(html)),
    Row("an endless line", _all(endless(b"data: {", b"x" * 65536))),
    Row("endless comments, fast", _all(endless(b": ", b": still there\n\n" * 4096))),
    Row("endless comments, slow", _all(dripping), _SMALL),
    Row("a length that is no number", _only("head", ends_early, _UNSENT, _HEAD)),
    Row(
        "a length that is too short",
        {**_LENGTH, "head": _HEAD, "middle": garbage, "end": "it shows in the middle"},
        head=_SHORT,
    ),
    Row(
        "a length that is too long",
        {**_LENGTH, "head": _HEAD, "middle": ends_early, "end": ends_early},
        head=_LONG,
    ),
    Row(
        "a compressed bomb",
        _all(bomb) | {"head": _BODY},
        head=b"transfer-encoding: chunked\r\ncontent-encoding: gzip",
    ),
    Row("an error inside 200", _all(error_inside)),
    Row("429 again and again", _only("head", too_many, _UNSENT, _HEAD)),
    Row("a redirect elsewhere", _only("head", elsewhere, _UNSENT, _HEAD)),
    Row(
        "a certificate that does not fit",
        _only("connect", nothing, "", _STANDS),
        tls=True,
        scheme="https",
    ),
    Row(
        "stalls in the TLS handshake",
        _only("connect", hang, "", _STANDS),
        {"connect_timeout": 0.5},
        scheme="https",
    ),
    Row(
        "takes no connection",
        _only("connect", nothing, "", _STANDS),
        {"connect_timeout": 0.5},
        full=True,
    ),
)
