"""Clients that are slow, gone, broken or hostile: each is let go of in bounded time, the rest served."""

import gzip
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from servers import served

from faults import table
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server import exchange
from ollama_bridge.server.connection import HEAD_LIMIT, Connection

BOUND = 20.0
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
BODY = json.dumps(HELLO).encode()
HEAD = b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\n"
LENGTH = HEAD + b"content-length: %d\r\n\r\n"


class Quick(Connection):
    """The same in half a second."""

    window = 0.25


async def answers(call: Call) -> None:
    await call.start()
    await call.text("word", finish="stop")
    await call.write("data: [DONE]\n\n", more=False)


async def waits(call: Call) -> None:
    await call.start()
    await call.text("word")
    await call.gone.wait()


TABLE = table.Table(
    "A client's faults",
    "A number is the HTTP status. In every line the client was let go of in bounded time, and others "
    "were answered meanwhile.",
    ("fault",),
    ("it gets", "the provider is asked"),
)
TIMES = ("never", "once", "twice")


def see(fault: str, said: bytes | str, upstream: FakeUpstream) -> None:
    """Hold the observation against the table."""
    TABLE.see((fault,), "it gets", shown(said) if isinstance(said, bytes) else said)
    TABLE.see((fault,), "the provider is asked", TIMES[len(upstream.calls)])


def shown(said: bytes) -> str:
    """A reply in a few words."""
    if not said:
        return "closed"
    head, _, body = said.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status == 200:
        assert b'"done":true' in body
        return "complete"
    text = body.decode(errors="replace").strip()
    if text.startswith("{"):
        text = json.loads(text)["error"]
    text = text.removeprefix(f"{status} ")
    return table.cell(f"{status}: {re.sub('[0-9]+ MiB', 'N MiB', text)}")


Made = Callable[..., tuple[int, FakeUpstream]]


@pytest.fixture
def bridge() -> Iterator[Made]:
    """`port, upstream = bridge(act)`."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(act: Any = answers) -> tuple[int, FakeUpstream]:
            upstream = FakeUpstream(act)
            url = stack.enter_context(served(upstream))
            provider = Provider(name="fake", url=f"{url}/v1", key="none", models=("m",))
            address = stack.enter_context(served(bridge_app(provider), http=Quick))
            return int(address.rpartition(":")[2]), upstream

        yield make


def talk(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """Everything that comes back until the bridge closes or has answered once."""
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        for piece in pieces:
            sock.sendall(piece)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        said = b""
        while b"0\r\n\r\n" not in said:
            data = sock.recv(65536)
            if not data:
                break
            said += data
        return said


SLOW = {
    "half a head": (b"POST /api/chat HTTP/1.1\r\nhost: loc",),
    "half a body": (LENGTH % len(BODY), BODY[:10]),
    "half a chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\nff\r\n{",),
}


@pytest.mark.parametrize("name", SLOW)
def test_half_a_request_is_not_waited_for(bridge: Made, name: str) -> None:
    port, upstream = bridge()
    said = talk(port, *SLOW[name])
    assert said.startswith(b"HTTP/1.1 408 ")
    assert not upstream.calls
    see(name, said, upstream)


def test_a_head_drop_by_drop_is_not_waited_for(bridge: Made) -> None:
    port, upstream = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as sock:
        end = time.monotonic() + BOUND
        sock.sendall(b"GET / HTTP/1.1\r\nx: ")
        said = b""
        while not said:
            assert time.monotonic() < end
            sock.sendall(b"x")
            try:
                said = sock.recv(1000)
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 408 ")
        see("a head drop by drop", said, upstream)


def test_a_slow_upload_is_taken(bridge: Made) -> None:
    """Slower than the windows are long, but it goes on."""
    port, upstream = bridge()
    long = json.dumps({**HELLO, "keep": "x" * 4000}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(LENGTH % len(long))
        for place in range(0, len(long), 400):
            sock.sendall(long[place : place + 400])
            time.sleep(0.1)  # this is what is tried: four windows long
        said = _until(sock, b'"done":true')
        assert said.startswith(b"HTTP/1.1 200 ")
    assert len(upstream.calls) == 1
    see("a slow upload that goes on", said, upstream)


def test_a_head_without_end(bridge: Made) -> None:
    port, upstream = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        said = b""
        try:
            for _ in range(HEAD_LIMIT // 1000 + 100):
                sock.sendall(b"x-more: " + b"y" * 990 + b"\r\n")
            said = sock.recv(1000)
        except OSError:  # closed while more was being sent
            said = b"HTTP/1.1 431 "
        assert said.startswith(b"HTTP/1.1 431 ")
    see("a head without end", "431, or closed if it goes on sending", upstream)


def test_half_closed_clients_get_their_answer_or_an_end(bridge: Made) -> None:
    port, upstream = bridge()
    said = talk(port, LENGTH % len(BODY) + BODY, half_close=True)
    assert said == b"" or b'"done":true' in said
    assert len(upstream.calls) <= 1
    TABLE.see(("half-closed after its request",), "it gets", "complete, or closed")
    TABLE.see(("half-closed after its request",), "the provider is asked", "at most once")


HANG_UPS = {
    "in the head": HEAD,
    "before the body": LENGTH % len(BODY),
    "in the body": LENGTH % len(BODY) + BODY[:20],
    "after the request": LENGTH % len(BODY) + BODY,
}


@pytest.mark.parametrize("stage", HANG_UPS)
def test_hang_ups_cost_nothing(bridge: Made, stage: str) -> None:
    port, upstream = bridge(waits)
    sent = HANG_UPS[stage]
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
            sock.sendall(sent)
            if sent.endswith(BODY):
                assert b"word" in _until(sock, b"word")
    end = time.monotonic() + BOUND
    while upstream.open_now:
        assert time.monotonic() < end, "an abandoned request still runs at the provider"
        time.sleep(0.01)
    assert httpx.get(f"http://127.0.0.1:{port}/api/version", trust_env=False).status_code == 200
    asked = "once, and hung up on" if upstream.calls else "never"
    TABLE.see((f"hangs up {stage}",), "it gets", "nothing more")
    TABLE.see((f"hangs up {stage}",), "the provider is asked", asked)


def test_pipelined_requests_are_answered_in_order(bridge: Made) -> None:
    port, upstream = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        one = LENGTH % len(BODY) + BODY
        sock.sendall(one + b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n" + one)
        said = b""
        while said.count(b'"done":true') < 2:
            data = sock.recv(65536)
            assert data
            said += data
    assert said.find(b'"done":true') < said.find(b'"version"') < said.rfind(b'"done":true')
    see("pipelining", "complete, each in its turn", upstream)


def _sent(body: bytes, *headers: bytes) -> bytes:
    return (
        HEAD
        + b"".join(header + b"\r\n" for header in headers)
        + LENGTH[len(HEAD) :] % len(body)
        + body
    )


DEEP = b"[" * 200_000
REFUSED = {
    "nested deeply": _sent(b'{"model":"m","messages":' + DEEP + b"]" * 200_000 + b"}"),
    "nested deeply, cut": _sent(b'{"model":"m","messages":' + DEEP),
    "gzip": _sent(gzip.compress(BODY), b"content-encoding: gzip"),
    "deflate that is none": _sent(b"\xff" * 40, b"content-encoding: deflate"),
    "not UTF-8": _sent(BODY.replace(b"hello", b"\xff\xfe\xfa")[:-1] + b"}"),
    "UTF-16": _sent(BODY.decode().encode("utf-16")),
    "a byte order mark": _sent(b"\xef\xbb\xbf" + BODY),
    "a length that is none": HEAD + b"content-length: ten\r\n\r\n",
    "a negative length": HEAD + b"content-length: -5\r\n\r\n",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}{}{}",
    "length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "garbage for chunks": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00" + bytes(range(256)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(bridge: Made, name: str) -> None:
    """One sentence and a status of the client's fault, or an answer; never a 500, never silence."""
    port, upstream = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(REFUSED[name])
        said = _whole(sock)
    status = int(said.split()[1])
    assert status == 200 or 400 <= status < 500, said[:200]
    assert httpx.get(f"http://127.0.0.1:{port}/api/version", trust_env=False).status_code == 200
    see(name, said, upstream)


LARGE = {
    "a body too large": HEAD + b"transfer-encoding: chunked\r\n\r\n",
    "a body that is said to be too large": LENGTH % (3 * 2**20),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_body_too_large(bridge: Made, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered, so that the test need not send so much; the rest is not waited for."""
    monkeypatch.setattr(exchange, "BODY_LIMIT", 2**20)
    port, upstream = bridge()
    piece = b" " * 65536
    piece = b"10000\r\n" + piece + b"\r\n" if b"chunked" in LARGE[name] else piece
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(LARGE[name])
        said = b""
        try:
            for _ in range(32):
                sock.sendall(piece)
            said = sock.recv(65536)
            while sock.recv(65536):
                pass
        except OSError:  # closed while more was being sent
            pass
    assert not said or said.startswith(b"HTTP/1.1 413 ")
    assert not upstream.calls
    TABLE.see((name,), "it gets", "413: the request is larger than N MiB; then closed")
    TABLE.see((name,), "the provider is asked", "never")


ORDER = [
    *SLOW,
    *("a head drop by drop", "a slow upload that goes on", "a head without end"),
    *("half-closed after its request", *(f"hangs up {stage}" for stage in HANG_UPS), "pipelining"),
    *(*REFUSED, *LARGE),
]


def test_no_cell_is_empty() -> None:
    told = TABLE.told()
    assert list(told) == [(name,) for name in ORDER]
    assert all(cell for line in told.values() for cell in line.values())


@pytest.fixture(scope="module", autouse=True)
def _written() -> Iterator[None]:
    yield
    if table.RENEW:
        table.put(TABLE, [(name,) for name in ORDER])


def _whole(sock: socket.socket) -> bytes:
    """A reply: to its length, or to the end of its last chunk."""
    said = _until(sock, b"\r\n\r\n")
    if found := re.search(rb"(?i)content-length: (\d+)", said):
        rest = int(found[1]) - len(said.partition(b"\r\n\r\n")[2])
        return said + (sock.recv(rest, socket.MSG_WAITALL) if rest > 0 else b"")
    return said if said.endswith(b"0\r\n\r\n") else said + _until(sock, b"0\r\n\r\n")


def _until(sock: socket.socket, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        data = sock.recv(65536)
        assert data, said
        said += data
    return said
