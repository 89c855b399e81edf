"""/_bridge/requests and the page: what is told of requests, to whom, and how much is kept."""

import base64
import hashlib
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from httpx import ASGITransport
from servers import served

from ollama_bridge.instance import page_token
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server import journal

TOKEN = {"authorization": "Bearer test-token"}
SECRET = "what nobody else may read"


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 5_000_000
        return self.now


def exchange(**log: Any) -> Any:
    scope = {"client": ("127.0.0.1", 1)}
    return SimpleNamespace(scope=scope, method="POST", path="/api/chat", status=200, log=log)


class One:
    """An exchange that can be a dictionary's key, as real ones are."""

    def __init__(self, **log: Any) -> None:
        self.__dict__.update(vars(exchange(**log)))


def make() -> journal.Journal:
    return journal.Journal("abcdef", lambda: "2026-01-02T03:04:05.0Z", Clock())


def test_a_request_is_running_and_then_recent() -> None:
    book, one = make(), One()
    book.begin(one)
    assert book.running() == [], "it has not said which model yet"
    one.log |= {"model": "m", "provider": "p", "tokens": (3, 4), "first": 2_000_000}
    (row,) = book.running()
    assert (row["id"], row["model"], row["total_ms"]) == ("abcd-1", "m", 10.0)
    fields = book.end(one)
    assert fields is not None
    assert (fields["tokens_in"], fields["tokens_out"], fields["first_ms"]) == (3, 4, 2.0)
    assert book.running() == []
    assert [row["id"] for row in book.recent] == ["abcd-1"]


def test_what_asks_no_model_is_not_kept() -> None:
    book, one = make(), One()
    book.begin(one)
    assert book.end(one) is None
    assert not book.recent


def test_memory_is_bounded() -> None:
    book = make()
    for number in range(journal.RECENT + 50):
        one = One(model=f"m{number}", error="bad")
        book.begin(one)
        book.end(one)
    assert len(book.recent) == journal.RECENT
    assert book.recent[-1]["model"] == f"m{journal.RECENT + 49}"
    assert len(book.failures) == journal.FAILURES
    assert book.errors == journal.RECENT + 50


# through the daemon's own application


async def test_a_live_request_and_what_remains_of_it(
    bridged: Callable[..., tuple[str, FakeUpstream]],
) -> None:
    async def act(call: Call) -> None:
        await call.start()
        await call.text("first")
        await call.gone.wait()

    url, _ = bridged(act, models=("gpt-4o-mini",))
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": SECRET}]}
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        async with client.stream("POST", "/api/chat", json=body) as reply:
            lines = reply.aiter_lines()  # held: giving it up would hang up
            await anext(lines)
            told = (await client.get("/_bridge/requests", headers=TOKEN)).json()
            assert [row["status"] for row in told["running"]] == [None]
            assert told["running"][0]["model"] == "gpt-4o-mini"
            assert told["recent"] == []
        while told["running"]:
            told = (await client.get("/_bridge/requests", headers=TOKEN)).json()
        (row,) = told["recent"]
        assert row["gone"]
        assert row["provider"] == "fake"
        assert SECRET not in str(told)


async def test_cost_and_speed(bridged: Callable[..., tuple[str, FakeUpstream]]) -> None:
    async def act(call: Call) -> None:
        choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000}
        await call.json({"choices": [choice], "usage": usage})

    url, _ = bridged(act, models=({"id": "m", "pricing": {"input": 2, "output": 5}}, "unpriced"))
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        for model in ("m", "unpriced"):
            asked = {"model": model, "messages": [{"role": "user", "content": "x"}]}
            reply = await client.post("/api/chat", json=asked | {"stream": False})
            assert reply.status_code == 200, reply.text
        told = (await client.get("/_bridge/requests", headers=TOKEN)).json()
    assert [row["cost"] for row in told["recent"]] == [2 + 2 * 5, None]
    assert told["recent"][0]["tokens_per_second"] > 0
    assert told["schema"] == 1


# the page


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1:11434")


@pytest.fixture
def app() -> Any:
    return bridge_app(Provider(name="p", url="http://127.0.0.1:9/v1", key="none"))


async def test_the_page_needs_no_token_and_holds_no_facts(app: Any) -> None:
    async with client_of(app) as client:
        reply = await client.get("/_bridge/ui")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert "test-token" not in reply.text
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", reply.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", reply.text), "nothing from elsewhere"
    assert "innerHTML" not in reply.text


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "192.168.1.5:11434"}, {"origin": "http://evil.example"}],
)
async def test_the_page_is_for_this_machine(app: Any, headers: dict[str, str]) -> None:
    async with client_of(app) as client:
        assert (await client.get("/_bridge/ui", headers=headers)).status_code == 403


async def test_the_pages_token_can_only_look(app: Any) -> None:
    looking = {"authorization": f"Bearer {page_token('test-token')}"}
    async with client_of(app) as client:
        for path in ("/_bridge/status", "/_bridge/requests"):
            assert (await client.get(path, headers=looking)).status_code == 200
            assert (await client.get(path)).status_code == 403
        for path in ("/_bridge/reload", "/_bridge/shutdown"):
            assert (await client.post(path, headers=looking)).status_code == 403


def test_no_token_no_page_token() -> None:
    assert page_token("") == ""


def test_the_page_is_served_by_the_real_server(app: Any) -> None:
    with served(app) as url:
        assert "<title>Ollama Bridge</title>" in httpx.get(f"{url}/_bridge/ui").text
