"""Clients that are slow, gone, broken or hostile: each is let go of in bounded time, the rest served."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Provider
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


@pytest.mark.parametrize("pieces", SLOW.values(), ids=SLOW)
def test_half_a_request_is_not_waited_for(bridge: Made, pieces: tuple[bytes, ...]) -> None:
    port, upstream = bridge()
    assert talk(port, *pieces).startswith(b"HTTP/1.1 408 ")
    assert not upstream.calls


def test_a_head_drop_by_drop_is_not_waited_for(bridge: Made) -> None:
    port, _ = bridge()
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


def test_a_slow_upload_is_taken(bridge: Made) -> None:
    """Slower than the windows are long, but it goes on."""
    port, upstream = bridge()
    long = json.dumps({**HELLO, "keep": "x" * 4000}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(LENGTH % len(long))
        for place in range(0, len(long), 400):
            sock.sendall(long[place : place + 400])
            time.sleep(0.1)  # this is what is tried: four windows long
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert len(upstream.calls) == 1


def test_a_head_without_end(bridge: Made) -> None:
    port, _ = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n")
        said = b""
        try:
            for _ in range(HEAD_LIMIT // 1000 + 100):
                sock.sendall(b"x-more: " + b"y" * 990 + b"\r\n")
            said = sock.recv(1000)
        except OSError:  # closed while more was being sent
            return
        assert said.startswith(b"HTTP/1.1 431 ")


def test_half_closed_clients_get_their_answer_or_an_end(bridge: Made) -> None:
    port, _ = bridge()
    said = talk(port, LENGTH % len(BODY) + BODY, half_close=True)
    assert said == b"" or b'"done":true' in said


HANG_UPS = {
    "in the head": HEAD,
    "before the body": LENGTH % len(BODY),
    "in the body": LENGTH % len(BODY) + BODY[:20],
    "after the request": LENGTH % len(BODY) + BODY,
}


@pytest.mark.parametrize("sent", HANG_UPS.values(), ids=HANG_UPS)
def test_hang_ups_cost_nothing(bridge: Made, sent: bytes) -> None:
    port, upstream = bridge(waits)
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


def test_pipelined_requests_are_answered_in_order(bridge: Made) -> None:
    port, _ = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        one = LENGTH % len(BODY) + BODY
        sock.sendall(one + b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n" + one)
        said = b""
        while said.count(b'"done":true') < 2:
            data = sock.recv(65536)
            assert data
            said += data
    assert said.find(b'"done":true') < said.find(b'"version"') < said.rfind(b'"done":true')


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


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(bridge: Made, raw: bytes) -> None:
    """One sentence and a status of the client's fault, or an answer; never a 500, never silence."""
    port, _ = bridge()
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as sock:
        sock.sendall(raw)
        said = sock.recv(65536)
    status = int(said.split()[1])
    assert status == 200 or 400 <= status < 500, said[:200]
    assert httpx.get(f"http://127.0.0.1:{port}/api/version", trust_env=False).status_code == 200


def _until(sock: socket.socket, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        data = sock.recv(65536)
        assert data, said
        said += data
    return said
