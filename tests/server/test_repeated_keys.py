"""Services that repeat the key they were sent, in every kind of error: no client and no log gets it."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import planted
import pytest
from fake_upstream import Call, FakeUpstream

ROUTES: dict[str, dict[str, Any]] = {
    "/api/chat": {},
    "/api/generate": {"prompt": "x"},
    "/api/embed": {"input": "x"},
    "/v1/chat/completions": {},
    "/v1/completions": {"prompt": "x"},
    "/v1/embeddings": {"input": "x"},
    "/v1/responses": {"input": "x"},
    "/v1/messages": {"max_tokens": 10},
}
LONG = "y" * 1180
"""So much before the key that an error's text is cut within it."""


async def refused(call: Call, said: str) -> None:
    await call.json({"error": {"message": said, "param": "none", "code": "none"}}, status=400)


async def unauthorized(call: Call, said: str) -> None:
    await call.json({"error": {"message": said}}, status=401)


async def in_200(call: Call, said: str) -> None:
    await call.json({"error": {"message": said}})


async def in_stream(call: Call, said: str) -> None:
    await call.start()
    await call.event({"error": {"message": said}})


async def in_mid_stream(call: Call, said: str) -> None:
    await call.start()
    await call.text("word")
    await call.event({"error": {"message": said}})


async def garbage(call: Call, said: str) -> None:
    await call.start()
    await call.write(f"data: {{{said}\n\n", more=False)


async def redirect(call: Call, said: str) -> None:
    await call.json({"error": said}, status=302, location=f"http://127.0.0.1:9/{said[-20:]}")


WAYS = (refused, unauthorized, in_200, in_stream, in_mid_stream, garbage, redirect)
CELLS = [pytest.param(way, "", id=way.__name__) for way in WAYS]
CELLS += [pytest.param(way, LONG, id=f"{way.__name__}, cut") for way in (refused, unauthorized)]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(("way", "before"), CELLS)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_the_key_stays_here(
    bridged: Callable[..., tuple[str, FakeUpstream]],
    caplog: pytest.LogCaptureFixture,
    path: str,
    way: Callable[[Call, str], Any],
    streamed: bool,
    before: str,
) -> None:
    caplog.set_level(logging.DEBUG, "ollama_bridge")

    async def act(call: Call) -> None:
        await way(call, f"{before} wrong key {call.headers['authorization'][7:]} here")

    url, upstream = bridged(act)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **ROUTES[path]}
    reply = httpx.post(
        f"{url}{path}", json=body | {"stream": streamed}, trust_env=False, timeout=20
    )
    assert upstream.calls
    assert not planted.tells(reply.content), planted.excerpt(reply.content)
    assert not planted.tells(repr(reply.headers).encode())
    records = json.dumps([[one.getMessage(), repr(one.__dict__)] for one in caplog.records])
    assert not planted.tells(records.encode()), planted.excerpt(records.encode())
