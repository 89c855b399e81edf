"""Queue and breaker of a provider, seen from outside: real clients, real servers, the admin API."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Alias, Provider

Bridged = Callable[..., Any]
ADMIN = {"Authorization": "Bearer test-token"}


def ask(number: int, model: str = "m") -> dict[str, Any]:
    messages = [{"role": "user", "content": str(number)}]
    return {"model": model, "messages": messages, "stream": False}


async def answers(call: Call, text: str = "yes") -> None:
    message = {"role": "assistant", "content": text}
    await call.json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


async def condition(client: httpx.AsyncClient, name: str = "fake") -> dict[str, Any]:
    status = (await client.get("/_bridge/status", headers=ADMIN)).json()
    found = [row for row in status["providers"] if row["name"] == name]
    return dict(found[0])


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


class Held:
    """An upstream that answers when it is told to, and notes the order of what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most = self.now = 0
        self._go = asyncio.Semaphore(0)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, call: Call) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked.append(call.body["messages"][-1]["content"])
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._go.acquire()
        finally:
            self.now -= 1
        await answers(call)

    def release(self, number: int = 1) -> None:
        assert self._loop is not None
        for _ in range(number):
            self._loop.call_soon_threadsafe(self._go.release)


async def test_requests_wait_in_order_and_nobody_is_sent_beyond_the_limit(bridged: Bridged) -> None:
    held = Held()
    url, _ = bridged(held, concurrency=2)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        asking = []
        for number in range(8):
            asking.append(asyncio.create_task(client.post("/api/chat", json=ask(number))))
            entered = number + 1
            await until(lambda entered=entered: len(held.asked) == min(2, entered))
            while (row := await condition(client))["running"] + row["waiting"] < entered:
                await asyncio.sleep(0.005)
        assert (row["running"], row["waiting"], row["limit"]) == (2, 6, 2)
        held.release(8)
        replies = await asyncio.gather(*asking)
        assert [reply.status_code for reply in replies] == [200] * 8
        assert held.asked == [str(number) for number in range(8)]
        assert held.most == 2
        row = await condition(client)
        assert (row["running"], row["waiting"]) == (0, 0)


async def test_who_hangs_up_in_the_queue_is_never_sent(bridged: Bridged) -> None:
    held = Held()
    url, _ = bridged(held, concurrency=1)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        first = asyncio.create_task(client.post("/api/chat", json=ask(0)))
        await until(lambda: held.asked)
        gone = asyncio.create_task(client.post("/api/chat", json=ask(1)))
        last = asyncio.create_task(client.post("/api/chat", json=ask(2)))
        while (await condition(client))["waiting"] < 2:
            await asyncio.sleep(0.005)
        gone.cancel()
        while (await condition(client))["waiting"] > 1:
            await asyncio.sleep(0.005)
        held.release(2)
        assert (await first).status_code == (await last).status_code == 200
        assert held.asked == ["0", "2"]


async def test_one_full_provider_is_no_hurdle_for_another() -> None:
    held = Held()
    with ExitStack() as stack:
        slow, quick = FakeUpstream(held), FakeUpstream(answers)
        rows = [
            Provider(name=name, url=f"{stack.enter_context(served(each))}/v1", key="none")
            for name, each in (("slow", slow), ("quick", quick))
        ]
        narrow = Provider(name="slow", url=rows[0].url, key="none", concurrency=1)
        url = stack.enter_context(served(bridge_app(narrow, rows[1])))
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            asking = [
                asyncio.create_task(client.post("/api/chat", json=ask(number, "slow/m")))
                for number in range(5)
            ]
            await until(lambda: held.asked)
            reply = await client.post("/api/chat", json=ask(0, "quick/m"))
            assert reply.json()["message"]["content"] == "yes"
            held.release(5)
            assert {reply.status_code for reply in await asyncio.gather(*asking)} == {200}


async def test_the_breaker_can_be_seen_and_steers() -> None:
    """Three failures open it: an alias goes elsewhere, a bare name does not; one good answer ends it."""
    broken = True

    async def sometimes(call: Call) -> None:
        if broken:
            await call.json({"error": {"message": "out of order"}}, 503)
        else:
            await answers(call, "first")

    async def second(call: Call) -> None:
        await answers(call, "second")

    with ExitStack() as stack:
        one, two = FakeUpstream(sometimes), FakeUpstream(second)
        rows = [
            Provider(
                name=name, url=f"{stack.enter_context(served(each))}/v1", key="none", retries=0
            )
            for name, each in (("one", one), ("two", two))
        ]
        aliases = {"safe": Alias(targets=("one/m", "two/m"))}
        url = stack.enter_context(served(bridge_app(*rows, aliases=aliases)))
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:

            async def said(model: str) -> str:
                reply = await client.post("/api/chat", json=ask(0, model))
                return str(reply.json().get("message", {}).get("content", reply.status_code))

            states = []
            for _ in range(4):
                assert await said("safe") == "second"
                row = await condition(client, "one")
                states.append((row["state"], row["failures"]))
            assert states == [("ok", 1), ("ok", 2), ("failing", 3), ("failing", 3)]
            assert row["resting"] > 0
            assert len(one.calls) == 3, "not asked while it rests"
            assert await said("one/m") == "503", "who has nowhere else to go is not refused here"
            assert len(one.calls) == 4
            broken = False
            assert await said("one/m") == "first"
            row = await condition(client, "one")
            assert (row["state"], row["failures"], row["resting"]) == ("ok", 0, 0)
            assert await said("safe") == "first"
            ok = await condition(client, "two")
            assert (ok["state"], ok["failures"]) == ("ok", 0)


async def test_too_many_requests_make_the_queue_narrower(bridged: Bridged) -> None:
    """A 429 to a batch halves what is sent at once, and `status` tells."""
    together = asyncio.Barrier(4)
    refused = 0

    async def act(call: Call) -> None:
        nonlocal refused
        if refused < 4:
            refused += 1
            await together.wait()
            await call.json({"error": {"message": "slow down"}}, 429)
        else:
            await answers(call)

    url, _ = bridged(act, concurrency=4)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        replies = await asyncio.gather(
            *[client.post("/api/chat", json=ask(number)) for number in range(4)]
        )
        assert {reply.status_code for reply in replies} == {429}
        assert (await condition(client))["limit"] == 2
        for number in range(2):
            assert (await client.post("/api/chat", json=ask(number))).status_code == 200
        assert (await condition(client))["limit"] == 3
        assert json.dumps(await condition(client))
