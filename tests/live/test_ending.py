"""A daemon that is stopped in mid-answer: it waits, then says in the answer that it was cut."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from daemons import Home, end, until_ready
from fake_upstream import Call, FakeUpstream
from servers import served

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

HELLO = [{"role": "user", "content": "hello"}]
SAID = "Ollama Bridge was stopped before this answer was complete"
STREAMS: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": HELLO},
    "/api/generate": {"prompt": "hello"},
    "/v1/chat/completions": {"messages": HELLO, "stream": True},
    "/v1/completions": {"prompt": "hello", "stream": True},
    "/v1/responses": {"input": "hello", "stream": True},
    "/v1/messages": {"messages": HELLO, "stream": True, "max_tokens": 9},
}


class Upstream:
    """Says one word and then nothing more, until it is released."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def act(self, call: Call) -> None:
        self.loop = asyncio.get_running_loop()
        await call.start()
        words = {"text": "word", "index": 0}
        if call.path.endswith("/chat/completions"):
            await call.text("word")
        else:
            await call.event({"choices": [words]})
        self.asked.set()
        waits = [asyncio.ensure_future(one.wait()) for one in (self.release, call.gone)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self.release.is_set():
            await call.text("last", finish="stop")
            await call.write("data: [DONE]\n\n", more=False)

    def let_go(self) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.release.set)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def home(tmp_path: Path, upstream: Upstream) -> Iterator[Home]:
    with served(FakeUpstream(upstream.act)) as url:
        home = Home(tmp_path)
        home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\nmodels = ["m"]\n')
        yield home


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_that_is_cut_ends_with_an_error(home: Home, path: str) -> None:
    child = home.daemon("--finish", "0")
    try:
        until_ready(child)
        pieces = []
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("POST", _url(home, path), json={"model": "m", **STREAMS[path]}) as reply,
        ):
            assert reply.status_code == 200
            async for piece in reply.aiter_text():  # ends without an error of the transport
                if not pieces:
                    child.send_signal(signal.SIGTERM)
                pieces.append(piece)
        text = "".join(pieces)
        assert SAID in text.strip().splitlines()[-1]
        assert "[DONE]" not in text
        assert '"done":true' not in text
        assert "message_stop" not in text
        said = await asyncio.to_thread(child.communicate, timeout=20)
        assert child.returncode == 0
        assert "Traceback" not in said[1]
        assert "cut off" in said[1]
    finally:
        end(child)


@pytest.mark.parametrize("path", STREAMS)
async def test_an_answer_that_had_not_begun_gets_a_status(
    home: Home, upstream: Upstream, path: str
) -> None:
    child = home.daemon("--finish", "0")
    try:
        until_ready(child)
        body = {"model": "m", **STREAMS[path], "stream": False}
        async with httpx.AsyncClient(timeout=30) as client:
            asking = asyncio.ensure_future(client.post(_url(home, path), json=body))
            await _until_asked(upstream, asking)
            child.send_signal(signal.SIGTERM)
            reply = await asking
        assert reply.status_code == 503
        assert SAID in json.dumps(reply.json())
    finally:
        end(child)


async def test_an_answer_that_ends_in_time_is_whole(home: Home, upstream: Upstream) -> None:
    child = home.daemon("--finish", "60")
    try:
        until_ready(child)
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream(
                "POST", _url(home, "/api/chat"), json={"model": "m", "messages": HELLO}
            ) as reply,
        ):
            lines = reply.aiter_lines()
            await anext(lines)
            child.send_signal(signal.SIGTERM)
            assert child.stderr is not None
            for line in child.stderr:
                if "stopping: 1 answers have 60 s" in line:
                    break
            upstream.let_go()
            rest = [json.loads(line) async for line in lines]
        assert rest[-1]["done"] is True
        await asyncio.to_thread(child.wait, 20)
        assert child.returncode == 0
    finally:
        end(child)


async def test_stop_says_that_it_waits_and_for_how_long_is_yours_to_say(home: Home) -> None:
    child = home.daemon()
    try:
        until_ready(child)
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream(
                "POST", _url(home, "/api/chat"), json={"model": "m", "messages": HELLO}
            ) as reply,
        ):
            lines = reply.aiter_lines()
            await anext(lines)
            stopping = asyncio.ensure_future(
                asyncio.to_thread(home.run, "stop", "--timeout", "2.1")
            )
            rest = [json.loads(line) async for line in lines]
            done = await stopping
        assert SAID in rest[-1]["error"]
        assert done.returncode == 0
        assert "Waiting for 1 answer to be complete" in done.stderr
        assert child.wait(20) == 0
    finally:
        end(child)


async def test_a_second_ctrl_c_ends_at_once_and_still_says_so(home: Home) -> None:
    child = home.daemon("--finish", "600")
    try:
        until_ready(child)
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream(
                "POST", _url(home, "/api/chat"), json={"model": "m", "messages": HELLO}
            ) as reply,
        ):
            lines = reply.aiter_lines()
            await anext(lines)
            assert child.stderr is not None
            os.kill(child.pid, signal.SIGINT)
            for line in child.stderr:
                if "stopping:" in line:
                    break
            os.kill(child.pid, signal.SIGINT)
            rest = [json.loads(line) async for line in lines]
        assert SAID in rest[-1]["error"]
        await asyncio.to_thread(child.wait, 20)
        assert child.returncode == 130
    finally:
        end(child)


def _url(home: Home, path: str) -> str:
    return f"http://127.0.0.1:{home.note()['port']}{path}"


async def _until_asked(upstream: Upstream, asking: "asyncio.Future[Any]") -> None:
    while not upstream.asked.is_set():
        assert not asking.done(), asking.result().text
        await asyncio.sleep(0.005)
