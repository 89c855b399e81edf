"""Many at once against a real daemon; LOAD=1 (`make test-load`) makes it many more."""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from daemons import Home, end, until_ready
from fake_upstream import Call, FakeUpstream
from servers import served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="counts files as POSIX does")

FULL = bool(os.environ.get("LOAD"))
STREAMS = 1000 if FULL else 60
WHOLE = 100 if FULL else 30
DROPPED = 10_000 if FULL else 300
RELOADS = 100 if FULL else 8
WORDS = 20
PAUSE = 0.2 if FULL else 0.02
MOST_MEMORY = 400e6
HELLO = [{"role": "user", "content": "hello"}]
CHAT = {"model": "m", "messages": HELLO}


async def act(call: Call) -> None:
    if call.path.endswith("/embeddings"):
        texts = call.body["input"]
        data = [{"index": number, "embedding": [0.6, 0.8]} for number in range(len(texts))]
        await call.json({"data": data})
    elif not call.body.get("stream"):
        message = {"role": "assistant", "content": "whole"}
        await call.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    else:
        await call.start()
        for number in range(WORDS):
            await call.text(f"{number} ")
            await asyncio.sleep(PAUSE)
        await call.text("", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)


@pytest.fixture
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Home, int]]:
    """A daemon of its own; extra settings of its provider come as the parameter."""
    home = Home(tmp_path)
    with served(FakeUpstream(act)) as url:
        more = getattr(request, "param", "")
        home.write(
            f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\nmodels = ["m"]\n{more}\n'
        )
        child = home.daemon()
        try:
            until_ready(child)
            yield home, child.pid
        finally:
            end(child)


def _address(home: Home) -> tuple[str, int]:
    return "127.0.0.1", home.note()["port"]


async def asked(home: Home, path: str, body: Any) -> tuple[int, bytes]:
    """Status and body, on a connection of its own."""
    reader, writer = await asyncio.open_connection(*_address(home))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    try:
        said = await reader.read()
    finally:
        writer.close()
    head_said, _, rest = said.partition(b"\r\n\r\n")
    if b"chunked" in head_said.lower():
        rest = b"".join(rest.split(b"\r\n")[1::2])
    return int(head_said.split()[1]), rest


def is_complete(said: bytes) -> bool:
    """Whether every word came once, in order, and the end too."""
    lines = [json.loads(line) for line in said.splitlines()]
    words = "".join(line["message"]["content"] for line in lines).split()
    return words == [str(number) for number in range(WORDS)] and lines[-1]["done"] is True


async def test_many_slow_streams(daemon: tuple[Home, int]) -> None:
    home, pid = daemon
    replies = await asyncio.gather(*(asked(home, "/api/chat", CHAT) for _ in range(STREAMS)))
    assert all(status == 200 and is_complete(said) for status, said in replies)
    assert psutil.Process(pid).memory_info().rss < MOST_MEMORY


async def test_a_mix_of_small_and_large(daemon: tuple[Home, int]) -> None:
    home, pid = daemon
    image = {"role": "user", "content": "look", "images": ["iVBORw0KGgo" + "A" * 20_000_001]}
    whole = {**CHAT, "stream": False}
    works = [asked(home, "/api/chat", whole) for _ in range(WHOLE)]
    works += [asked(home, "/api/chat", CHAT) for _ in range(5)]
    works += [asked(home, "/api/embed", {"model": "m", "input": ["x" * 1_000_000]})]
    works += [asked(home, "/api/chat", {**whole, "messages": [image]})]
    replies = await asyncio.gather(*works)
    assert [status for status, _ in replies] == [200] * len(replies)
    assert psutil.Process(pid).memory_info().rss < 2 * MOST_MEMORY


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks the C library of Linux")
async def test_what_large_requests_took_is_given_back(daemon: tuple[Home, int]) -> None:
    home, pid = daemon
    memory = psutil.Process(pid).memory_info
    assert (await asked(home, "/api/chat", CHAT))[0] == 200
    before = memory().rss
    image = {"role": "user", "content": "look", "images": ["iVBORw0KGgo" + "A" * 20_000_001]}
    works = [asked(home, "/api/chat", {**CHAT, "messages": [image]}) for _ in range(4)]
    assert [status for status, _ in await asyncio.gather(*works)] == [200] * 4
    await _until(lambda: memory().rss < before + 20e6)


async def test_connections_that_come_and_go(daemon: tuple[Home, int]) -> None:
    home, pid = daemon
    process = psutil.Process(pid)
    assert (await asked(home, "/api/chat", CHAT))[0] == 200
    before = process.num_fds()
    for _ in range(DROPPED // 100):
        made = await asyncio.gather(*(asyncio.open_connection(*_address(home)) for _ in range(100)))
        for _, writer in made:
            writer.transport.abort()
    assert (await asked(home, "/api/chat", CHAT))[0] == 200
    await _until(lambda: process.num_fds() <= before + 5)


async def test_new_settings_in_mid_stream(daemon: tuple[Home, int]) -> None:
    home, _ = daemon
    streams = [asyncio.ensure_future(asked(home, "/api/chat", CHAT)) for _ in range(10)]
    note = home.note()
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        for _ in range(RELOADS):
            reply = await client.post(
                f"http://127.0.0.1:{note['port']}/_bridge/reload",
                headers={"authorization": f"Bearer {note['token']}"},
            )
            assert reply.status_code == 200
    assert all(
        status == 200 and is_complete(said) for status, said in await asyncio.gather(*streams)
    )


@pytest.mark.parametrize("daemon", ["concurrency = 1"], indirect=True)
async def test_overload_is_answered(daemon: tuple[Home, int]) -> None:
    """One at a time and 512 in the queue; those beyond are told so in Ollama's words."""
    home, _ = daemon
    works = [asyncio.ensure_future(asked(home, "/api/chat", CHAT)) for _ in range(560)]
    done, waiting = await asyncio.wait(works, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    await _until(lambda: sum(work.done() for work in works) >= 40)
    refused = [work.result() for work in works if work.done() and work.result()[0] == 503]
    assert refused
    assert all(b"server busy, please try again" in said for _, said in refused)
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    assert done or waiting


async def test_the_limit_of_open_files(daemon: tuple[Home, int]) -> None:
    """Clients beyond it are turned away, the log says why, and afterwards all is well."""
    import resource

    home, pid = daemon
    assert (await asked(home, "/api/chat", CHAT))[0] == 200
    most = psutil.Process(pid).num_fds() + 30
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    made = await asyncio.gather(*(asyncio.open_connection(*_address(home)) for _ in range(80)))
    log = home.state / "ollama-bridge.log"
    await _until(lambda: "files that may be open are in use" in log.read_text())
    for _, writer in made:
        writer.transport.abort()
    await _until(lambda: psutil.Process(pid).num_fds() < most - 20)
    status, said = await asked(home, "/api/chat", CHAT)
    assert status == 200
    assert is_complete(said)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /dev/full")
async def test_a_full_disk_stops_the_log_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.state.mkdir()
    (home.state / "ollama-bridge.log").symlink_to("/dev/full")
    child = home.daemon()
    try:
        until_ready(child)
        for _ in range(3):
            status, said = await asked(home, "/api/chat", {**CHAT, "model": "demo"})
            assert status == 200
            assert b'"done":true' in said
    finally:
        end(child)


async def _until(true: Any) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        await asyncio.sleep(0.02)
