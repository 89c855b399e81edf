"""Both ways to a provider, straight and through a proxy: who takes which, and that they do the same."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollama_bridge.errors import BridgeError, UpstreamBroke, UpstreamFailed
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.flow import Limits
from ollama_bridge.server.transport import Transport
from ollama_bridge.server.upstream import Upstream

CERTIFICATES = Path(__file__).parent / "certificates"
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(
    answer: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that hands each request's head to `answer`; its port, and the heads."""
    heads: list[bytes] = []
    tasks: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or b"0"))
                heads.append(head)
                await answer(head, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=tls, family=2)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(raw: bytes, *, close: bool = False) -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            await writer.drain()
            raise ConnectionError

    return answer


async def asked(base_url: str) -> httpx2.Response:
    """One request of the SDK's kind."""
    transport = Transport(base_url, Limits(5, 5, 5))
    try:
        async with httpx2.AsyncClient(transport=transport) as client:
            return await client.post(f"{base_url}/x", content=b"{}")
    finally:
        await transport.aclose()


# TLS


def _served_by() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")
    return tls


async def test_a_custom_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    tls, names = _served_by(), []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(saying(REPLY), tls) as (port, _):
        assert (await asked(f"https://localhost:{port}/v1")).json() == {}
    assert names == ["localhost"], "the server is told which name is meant"


async def test_an_authority_nobody_trusts() -> None:
    async with serving(saying(REPLY), _served_by()) as (port, heads):
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
            await asked(f"https://localhost:{port}/v1")
    assert heads == [], "nothing was said to it"


async def test_a_certificate_for_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    async with serving(saying(REPLY), _served_by()) as (port, heads):
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate|match"):
            await asked(f"https://127.0.0.1:{port}/v1")
    assert heads == []


# both ways


@pytest.fixture(params=["straight", "proxied"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    """The base URL that leads to the server at this port."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "straight":
        return lambda port: f"http://localhost:{port}/v1"

    def through(port: int) -> str:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        return "http://provider.example/v1"

    return through


async def answer_of(base_url: str, **timeouts: Any) -> bytes:
    """The whole of two replies to one question: the SDK's request, then its repetition."""
    upstream = Upstream(Provider(name="lab", url=base_url, key="none", **timeouts), "secret-key")
    try:
        said = []
        for _ in range(2):
            opened = await upstream.open("/chat/completions", {"model": "m"}, model="m")
            said.append(await opened.whole())
        assert said[0] == said[1]
        return said[0]
    finally:
        await upstream.aclose()


async def test_a_reply(way: Callable[[int], str]) -> None:
    async with serving(saying(REPLY)) as (port, heads):
        assert await answer_of(way(port)) == b"{}"
    lines = [sorted(head.lower().split(b"\r\n")[1:]) for head in heads]
    assert lines[0] == lines[1], "a repeated request is the same as the SDK's own"
    assert b"authorization: bearer secret-key" in lines[0]
    assert b"accept-encoding: identity" in lines[0]
    target = heads[0].split()[1]
    assert target.endswith(b"/v1/chat/completions")
    assert target.startswith(b"http://provider.example/" if b"provider" in heads[0] else b"/v1")


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = {
    "chunks": (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", False),
    "trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n", False),
    "hints": (b"HTTP/1.1 103 Hint\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", False),
    "until the close": (b"HTTP/1.1 200 OK\r\n\r\nhello", True),
}


@pytest.mark.parametrize(("raw", "close"), WHOLE.values(), ids=WHOLE)
async def test_bodies_of_every_kind(way: Callable[[int], str], raw: bytes, close: bool) -> None:
    async with serving(saying(raw, close=close)) as (port, _):
        assert await answer_of(way(port)) == b"hello"


BROKEN = {
    "a short body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
    "half a chunk": CHUNKED + b"9\r\nhello",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_cut_bodies(way: Callable[[int], str], raw: bytes) -> None:
    async with serving(saying(raw, close=True)) as (port, _):
        with pytest.raises(UpstreamBroke, match="lab broke off: "):
            await answer_of(way(port))


REFUSED = {
    "an error": (b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy", "busy"),
    "a redirect": (
        b"HTTP/1.1 302 Found\r\nlocation: http://evil/\r\ncontent-length: 0\r\n\r\n",
        "lab",
    ),
    "not HTTP": (b"SSH-2.0-OpenSSH_9\r\n\r\n", "cannot be reached"),
}


@pytest.mark.parametrize(("raw", "said"), REFUSED.values(), ids=REFUSED)
async def test_refusals(way: Callable[[int], str], raw: bytes, said: str) -> None:
    async with serving(saying(raw, close=True)) as (port, heads):
        with pytest.raises(BridgeError, match=said):
            await answer_of(way(port))
    assert len(heads) == 1, "nothing is followed, nothing is asked twice"


HEADED = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
SILENT = {
    "at once": (b"", {"first_byte_timeout": 0.05}),
    "after the head": (HEADED, {"first_byte_timeout": 0.05}),
    "in the body": (HEADED + b"he", {"idle_timeout": 0.05}),
}


@pytest.mark.parametrize(("raw", "limit"), SILENT.values(), ids=SILENT)
async def test_silence(way: Callable[[int], str], raw: bytes, limit: dict[str, float]) -> None:
    async def little(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await asyncio.Event().wait()

    async with serving(little) as (port, _):
        with pytest.raises(UpstreamFailed) as caught:
            await answer_of(way(port), **limit)
    assert caught.value.status == 504


async def test_thinking_is_not_silence(way: Callable[[int], str]) -> None:
    async def slowly(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(HEADED)
        await asyncio.sleep(0.2)
        writer.write(b"hello")

    async with serving(slowly) as (port, _):
        assert await answer_of(way(port), first_byte_timeout=30, idle_timeout=0.1) == b"hello"


async def test_a_kept_connection_that_died_is_replaced(way: Callable[[int], str]) -> None:
    async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
        if heads and len(heads) == 2:  # the repetition, on the connection of the first
            raise ConnectionError
        writer.write(REPLY)

    async with serving(once) as (port, heads):
        assert await answer_of(way(port)) == b"{}"
    assert len(heads) == 3
