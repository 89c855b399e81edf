"""Every fault of a provider at every stage: what the client gets, what is let go, what is logged."""

import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from servers import served

from faults import table
from faults.broken_upstream import ROWS, STAGES, BrokenUpstream, Row, full_backlog
from ollama_bridge.providers.provider import Provider

KEY = "sk-a-key-that-must-not-be-told"
CERTIFICATES = Path(__file__).parents[1] / "server" / "certificates"
BOUND = 20.0
"""Seconds; enough to tell a bridge that is stuck from a machine that is busy."""

HELLO = [{"role": "user", "content": "hello"}]
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "streamed": ("/api/chat", {"model": "m", "messages": HELLO}),
    "whole": ("/api/chat", {"model": "m", "messages": HELLO, "stream": False}),
    "vectors": ("/api/embed", {"model": "m", "input": "hello"}),
    "passed on": ("/v1/chat/completions", {"model": "m", "messages": HELLO, "stream": True}),
}
TABLE = table.Table(
    "A provider's faults",
    "`streamed` and `whole` are `/api/chat`, `vectors` is `/api/embed`, `passed on` is "
    "`/v1/chat/completions` as a stream; `fake` is the provider, with `retries = 2`. A number is "
    "the HTTP status. *word* is what had been said before. ×3: asked three times. In every line, "
    "straight and through a proxy: the answer came in bounded time, no connection, task or place in "
    "the queue is left, the log has one line with the same sentence, and the key went nowhere else.",
    ("fault", "stage"),
    tuple(ASKED),
)


def _is_aiohttps(row: Row) -> bool:
    """What differs through a proxy: certificates need a tunnel, which has tests of its own;
    aiohttp unpacks by itself, so that a bomb meets the limits of size; and it takes what follows a
    length that is too short for the head of another reply, which is a connection gone bad."""
    tunnel = row.scheme == "https" or row.full
    return tunnel or b"gzip" in row.head or row.name == "a length that is too short"


CELLS = [
    pytest.param(row, stage, way, asked, id=f"{row.name}-{stage}-{way}-{asked}")
    for row in ROWS
    for stage in STAGES
    for way, routes in (("straight", tuple(ASKED)), ("proxied", ("streamed", "vectors")))
    for asked in routes
    if callable(row.stages[stage]) and (way == "straight" or not _is_aiohttps(row))
]


@pytest.mark.parametrize(("row", "stage", "way", "asked"), CELLS)
def test_fault(
    row: Row,
    stage: str,
    way: str,
    asked: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ollama_bridge")
    with ExitStack() as stack:
        other = stack.enter_context(BrokenUpstream(ROWS[0], "end").running())
        upstream = BrokenUpstream(row, stage, f"http://127.0.0.1:{other.port}/v1/chat/completions")
        if row.full:
            upstream.port = stack.enter_context(full_backlog())
        elif row.name != "refuses":
            stack.enter_context(upstream.running(_certificate() if row.tls else None))
        port = upstream.port or _closed_port()
        provider = Provider(name="fake", url=_url(row, port, way, monkeypatch), **_limits(row))
        app = bridge_app(provider, key=KEY, sleep=_at_once)
        bridge = stack.enter_context(served(app))
        path, body = ASKED[asked]
        began = time.monotonic()
        reply = _ask(f"{bridge}{path}", body, upstream)
        assert time.monotonic() - began < BOUND
        said = _said(reply)
        _until(lambda: upstream.connections <= 1 and not app.journal.exchanges, "what is left?")
        assert app.bridge.active == app.bridge.lane(provider).condition().running == 0
        assert other.connections == other.requests == 0, "the key followed a redirect"
    _until(lambda: upstream.connections == 0, "a connection outlived the bridge")
    number = _tries_in_log(caplog, said)
    # one more is the fresh try after a kept connection died under it
    assert stage == "connect" or upstream.requests in (number, number + 1), said
    assert KEY not in reply.text
    assert KEY not in caplog.text
    tries = f" ×{number}" if number > 1 else ""
    shown = f"{_plain(said, port)}{tries}"
    if way == "straight":
        TABLE.see((row.name, stage), asked, shown)
    elif not table.RENEW:
        told = TABLE.told()[row.name, stage][asked]
        assert _kind(shown) == _kind(told), f"through a proxy: {shown}"


def test_no_cell_is_empty() -> None:
    told = TABLE.told()
    assert list(told) == [(row.name, stage) for row in ROWS for stage in STAGES]
    assert all(cell for line in told.values() for cell in line.values())


async def _at_once(_: float) -> None:
    """A pause before the next try that takes no time."""


def _ask(url: str, body: dict[str, Any], upstream: BrokenUpstream) -> httpx.Response:
    """The whole reply; the provider is told when the client has got something of it."""
    with (
        httpx.Client(timeout=BOUND, trust_env=False) as client,
        client.stream("POST", url, json=body) as reply,
    ):
        parts = []
        for part in reply.iter_raw():
            upstream.go_on()
            parts.append(part)
    return httpx.Response(reply.status_code, headers=reply.headers, content=b"".join(parts))


def _limits(row: Row) -> dict[str, Any]:
    usual = {"connect_timeout": 10.0, "first_byte_timeout": 10.0, "idle_timeout": 10.0}
    return usual | row.limits | {"models": ("m",)}


def _url(row: Row, port: int, way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if way == "straight":
        return f"{row.scheme}://127.0.0.1:{port}/v1"
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    return "http://provider.example/v1"


def _certificate() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")
    return tls


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def _said(reply: httpx.Response) -> str:
    """What the client got, in a few words; a stream may end in no third way."""
    if reply.status_code != 200:
        return f"{reply.status_code}: {_error(reply.json())}"
    if (
        "stream" not in reply.headers["content-type"]
        and "ndjson" not in reply.headers["content-type"]
    ):
        return "complete" if "error" not in reply.json() else f"200: {reply.json()}"
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines()]
    lines = [line for line in lines if line.strip() and line[0] != ":"]  # no comments
    last = lines[-1]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    before = "*word*, then " if any("Gr" in line for line in lines) else ""
    if "error" in events[-1]:
        assert last != "[DONE]"
        assert '"done":true' not in reply.text
        return f"{before}error: {_error(events[-1])}"
    assert last == "[DONE]" or events[-1]["done"] is True, "a stream that just stops"
    return "complete"


def _error(value: dict[str, Any]) -> str:
    error = value["error"]
    said = error["message"] if isinstance(error, dict) else error
    assert isinstance(said, str)
    assert said.strip()
    assert "\n" not in said
    return said


def _plain(said: str, port: int) -> str:
    """Without what differs from run to run and from system to system."""
    said = said.replace(f"127.0.0.1:{port}", "HOST")
    said = re.sub(r"\[Errno -?\d+\] ", "", said)
    said = re.sub(r"(HOST/v1): (?!\[SSL|not a byte|it sent).*", r"\1: ...", said)  # the system's
    return table.cell(re.sub(r" \((?:_?ssl|Invalid|Expected|Data).*", "", said))


def _kind(said: str) -> str:
    """What must be the same on both ways: status, or how the stream ended, and the tries."""
    begun = re.match(r"\d+|complete|(?:\*word\*, then )?error", said)
    return f"{begun[0] if begun else said}{''.join(re.findall(' ×[0-9]+$', said))}"


def _tries_in_log(caplog: pytest.LogCaptureFixture, said: str) -> int:
    """How often it was asked, by the request's one line, which has the client's error too."""
    records = [one for one in caplog.records if one.name == "ollama_bridge.requests"]
    assert len(records) == 1
    fields: dict[str, Any] = records[0].__dict__["fields"]
    assert ("error" in fields) == (said != "complete")
    if "error" in fields:
        assert str(fields["error"])[:60] in said
    assert not any(one.exc_info for one in caplog.records)
    return int(fields.get("tries", 1))


@pytest.fixture(scope="module", autouse=True)
def _written() -> Iterator[None]:
    yield
    if not table.RENEW:
        return
    for row in ROWS:
        for stage in STAGES:
            if isinstance(why := row.stages[stage], str):
                for column in TABLE.columns:
                    TABLE.see((row.name, stage), column, f"*{why}*")
    table.put(TABLE, [(row.name, stage) for row in ROWS for stage in STAGES])
