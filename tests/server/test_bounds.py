"""Bounds that have no test elsewhere: what is held grows so far and no further."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fake_upstream import Call, FakeUpstream

from ollama_bridge import log
from ollama_bridge.providers.edits import schemas
from ollama_bridge.server import pump, transport, upstream
from ollama_bridge.translate import responses_stream

Bridged = Callable[..., tuple[str, FakeUpstream]]
HELLO = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


async def endless(call: Call) -> None:
    """A good answer that does not end."""
    await call.start()
    while not call.gone.is_set():
        await call.text("word " * 100)
        await asyncio.sleep(0)


def test_a_stream_without_end_is_not_gathered(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "COLLECTED", 100_000)
    url, upstream_ = bridged(endless)
    body = HELLO | {"stream": False}
    reply = httpx.post(f"{url}/api/chat", json=body, trust_env=False, timeout=30)
    assert reply.status_code == 500
    assert "more than 100000 bytes" in reply.json()["error"]
    assert len(upstream_.calls) == 1, "it would only bring as much again"


def test_an_object_called_a_stream_is_held_so_far(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "MOST", 100_000)

    async def act(call: Call) -> None:
        await call.start()
        await call.write('{"text": "')
        while not call.gone.is_set():
            await call.write('"word" ' * 1000)
            await asyncio.sleep(0)

    url, _ = bridged(act)
    reply = httpx.post(f"{url}/api/chat", json=HELLO, trust_env=False, timeout=30)
    assert reply.status_code == 500
    assert "more than 100000 bytes" in reply.json()["error"]


@pytest.mark.parametrize("streamed", [True, False])
def test_a_response_without_end_is_not_gathered(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(responses_stream, "MOST_TEXT", 2_000_000)
    url, _ = bridged(endless)
    body = {"model": "m", "input": "x", "stream": streamed}
    reply = httpx.post(f"{url}/v1/responses", json=body, trust_env=False, timeout=30)
    assert "more than 2000000 characters" in reply.text
    assert reply.status_code == (200 if streamed else 500)
    if streamed:
        assert '"type":"response.failed"' in reply.text.strip().splitlines()[-1].replace(" ", "")


def test_an_error_without_end_is_read_so_far(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ERROR_LIMIT", 50_000)

    async def act(call: Call) -> None:
        await call.start(400, "text/plain")
        while not call.gone.is_set():
            await call.write("no " * 1000)
            await asyncio.sleep(0)

    url, _ = bridged(act)
    reply = httpx.post(f"{url}/api/chat", json=HELLO, trust_env=False, timeout=30)
    assert reply.status_code == 400
    assert len(reply.content) < 5000


def test_only_so_many_forms_of_requests_are_remembered(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "FORMS", 3)
    most = 0
    first = upstream.Upstream._first

    async def watched(self: upstream.Upstream, *arguments: object) -> object:
        nonlocal most
        reply = await first(self, *arguments)  # type: ignore[arg-type]
        most = max(most, len(self._forms))
        return reply

    monkeypatch.setattr(upstream.Upstream, "_first", watched)

    async def act(call: Call) -> None:
        message = {"role": "assistant", "content": "x"}
        await call.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    names = tuple(f"m{number}" for number in range(8))
    url, _ = bridged(act, models=names)
    for name in names:
        body = HELLO | {"model": name, "stream": False}
        assert httpx.post(f"{url}/api/chat", json=body, trust_env=False).status_code == 200
    assert most == 3


def test_references_to_references_are_cut() -> None:
    """Each level has the next one ten times: 10^30 parts, written out."""
    levels = {
        f"l{level}": {
            "type": "object",
            "properties": {f"p{n}": {"$ref": f"#/$defs/l{level + 1}"} for n in range(10)},
        }
        for level in range(30)
    }
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/l0"}}, "$defs": levels}
    body = {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    schemas.plain_schemas(body)
    assert len(json.dumps(body)) < 100 * schemas._MOST


def test_the_log_keeps_so_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_BYTES", 10_000)
    file = log._File(tmp_path / log.NAME)
    handler = log.Gathering(file.write)
    handler.setFormatter(log.Text())
    for _ in range(1000):
        handler.emit(logging.LogRecord("ollama_bridge", logging.INFO, "", 0, "x" * 200, (), None))
    file.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 1 + log._OLD_FILES
    assert all(file.stat().st_size <= 10_000 for file in files)
