"""Two ends of a channel between processes of one daemon."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ollama_bridge.channel import Channel
from ollama_bridge.errors import BridgeError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets between processes")


async def hear(what: str, body: Any) -> Any:
    if what == "fails":
        raise BridgeError("not today")
    if what == "breaks":
        raise KeyError(body)
    return body


@contextlib.asynccontextmanager
async def two_ends() -> AsyncIterator[tuple[Channel, Channel]]:
    ours, theirs = socket.socketpair()
    ends = Channel(ours, hear), Channel(theirs, hear)
    running = [asyncio.ensure_future(end.run()) for end in ends]
    try:
        yield ends
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_an_answer_comes_back() -> None:
    async with two_ends() as (one, other):
        assert await one.ask("echo", {"half": "\ud83d"}) == {"half": "\ud83d"}
        assert await other.ask("echo", [1, None]) == [1, None]


async def test_an_error_comes_back_as_it_was() -> None:
    async with two_ends() as (one, _):
        with pytest.raises(BridgeError, match="not today"):
            await one.ask("fails")


async def test_what_breaks_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """And not when the patience of whoever asked is over."""
    async with two_ends() as (one, _):
        with caplog.at_level(logging.ERROR), pytest.raises(BridgeError, match="internal error"):
            await asyncio.wait_for(one.ask("breaks", "here"), 10)
        assert await one.ask("echo", 1) == 1
    assert "could not be done" in caplog.text


async def test_who_is_gone_answers_nobody() -> None:
    async with two_ends() as (one, other):
        other._sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(BridgeError, match="has ended"):
            await asyncio.wait_for(one.ask("echo"), 10)
