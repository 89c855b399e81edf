"""What is answered while the application is still being imported."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from bridges import bridge_app

from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.app import App
from ollama_bridge.server.front import Front


class Running:
    """A front whose application is not there before `proceed` is set."""

    def __init__(self) -> None:
        self.proceed = threading.Event()
        self.failed = threading.Event()
        self.broken = False
        self.front = Front(self.build, self.failed.set)
        self.inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.sent: asyncio.Queue[Any] = asyncio.Queue()

    def build(self) -> App:
        assert self.proceed.wait(10)
        if self.broken:
            raise SettingsInvalid("broken")
        return bridge_app(Provider(name="p", url="http://127.0.0.1:9/v1", key="none"))

    async def begin(self) -> None:
        lifespan: Any = {"type": "lifespan"}
        self.life = asyncio.ensure_future(
            self.front(lifespan, self.inbox.get, self.sent.put)  # type: ignore[arg-type]
        )
        await self.inbox.put({"type": "lifespan.startup"})
        assert (await self.sent.get())["type"] == "lifespan.startup.complete"

    async def end(self) -> None:
        self.proceed.set()
        await self.inbox.put({"type": "lifespan.shutdown"})
        await self.life


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    await running.begin()
    yield running
    await running.end()


def client(running: Running, host: str = "127.0.0.1:11434") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(running.front)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


PATHS = ("/", "/api/version")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
async def test_early_answers_are_the_later_ones(running: Running, path: str, method: str) -> None:
    async with client(running) as talk:
        early = await talk.request(method, path)
        running.proceed.set()
        assert (await talk.get("/api/ps")).status_code == 200, "the application is there"
        later = await talk.request(method, path)
    assert (early.status_code, early.content) == (later.status_code, later.content)
    assert sorted(early.headers.items()) == sorted(later.headers.items())


@pytest.mark.parametrize(
    ("host", "headers"), [("evil.example:11434", {}), ("127.0.0.1", {"Origin": "http://evil"})]
)
async def test_what_has_to_be_judged_waits(
    running: Running, host: str, headers: dict[str, str]
) -> None:
    async with client(running, host) as talk:
        asking = asyncio.ensure_future(talk.get("/api/version", headers=headers))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done()
        running.proceed.set()
        assert (await asking).status_code == 403


async def test_everything_else_waits_for_the_application(running: Running) -> None:
    async with client(running) as talk:
        asking = asyncio.ensure_future(talk.get("/api/ps"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done()
        running.proceed.set()
        assert (await asking).json() == {"models": []}


async def test_an_application_that_cannot_be_built_ends_the_server(running: Running) -> None:
    running.broken = True
    running.proceed.set()
    await asyncio.to_thread(running.failed.wait, 10)
    assert isinstance(running.front.error, SettingsInvalid)
