"""Limits for a day, seen by clients of each dialect."""

import asyncio
import json
from typing import Any, Self

import anthropic
import httpx
import openai
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Alias, Limits, Provider
from ollama_bridge.spending import Spent

USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
TURNS = [{"role": "user", "content": "hi, this is a question of forty characters"}]


async def answers(call: Call) -> None:
    """As it was asked: whole or streamed, with usage."""
    if call.path.endswith("/embeddings"):
        rows = [{"index": i, "embedding": [1.0]} for i, _ in enumerate(call.body["input"])]
        await call.json({"data": rows, "usage": {"prompt_tokens": 9}})
    elif call.body.get("stream"):
        await call.start()
        await call.text("one")
        await call.text(" two", "stop")
        await call.event({"choices": [], "usage": USAGE})
        await call.write("data: [DONE]\n\n", more=False)
    else:
        choice = {"index": 0, "message": {"content": "one two"}, "finish_reason": "stop"}
        await call.json({"choices": [choice], "usage": USAGE})


async def tells_no_usage(call: Call) -> None:
    if call.path.endswith("/embeddings"):
        await call.json({"data": [{"index": 0, "embedding": [1.0]}]})
    elif call.body.get("stream"):
        await call.start()
        for _ in range(7):
            await call.text("word")
        await call.text("", "stop")
        await call.write("data: [DONE]\n\n", more=False)
    else:
        choice = {"index": 0, "message": {"content": "word" * 20}, "finish_reason": "stop"}
        await call.json({"choices": [choice]})


class Limited:
    """A bridge before a fake upstream whose model `m` costs $1 a million in and $10 out."""

    def __init__(self, act: Any = answers, **limits: Any) -> None:
        price = {"prompt": "0.000001", "completion": "0.00001"}
        self.upstream = FakeUpstream(act, models=({"id": "m", "pricing": price}, "unpriced"))
        self._limits = limits

    def __enter__(self) -> Self:
        self._serving = served(self.upstream)
        url = self._serving.__enter__()
        row = Provider(
            name="fake", url=f"{url}/v1", key="none", retries=0, limits=Limits(**self._limits)
        )
        self.app = bridge_app(row)
        self._bridging = served(self.app)
        self.url = self._bridging.__enter__()
        httpx.get(f"{self.url}/api/tags")
        return self

    def __exit__(self, *error: object) -> None:
        self._bridging.__exit__(*error)
        self._serving.__exit__(*error)

    def post(self, path: str, **body: Any) -> httpx.Response:
        fields = {"model": "m", "messages": TURNS} | body
        return httpx.post(f"{self.url}{path}", json=fields, timeout=60)

    @property
    def spent(self) -> Spent:
        httpx.get(f"{self.url}/api/version")  # answered after what came before is counted
        return self.app.bridge.spending.today("fake")

    def status(self) -> dict[str, Any]:
        reply = httpx.get(
            f"{self.url}/_bridge/status", headers={"authorization": "Bearer test-token"}
        )
        row: dict[str, Any] = reply.json()["providers"][0]
        return row


CHATS: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {}),
    ("/api/chat", {"stream": False}),
    ("/api/generate", {"prompt": "hi"}),
    ("/v1/chat/completions", {}),
    ("/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": True}}),
    ("/v1/messages", {"max_tokens": 10}),
    ("/v1/messages", {"max_tokens": 10, "stream": True}),
    ("/v1/responses", {"input": "hi"}),
    ("/v1/responses", {"input": "hi", "stream": True}),
]


@pytest.mark.parametrize(("path", "body"), CHATS)
def test_every_route_counts_what_the_upstream_tells(path: str, body: dict[str, Any]) -> None:
    with Limited() as bridge:
        assert bridge.post(path, **body).status_code == 200
        assert bridge.spent == Spent(1, 30, 12, pytest.approx(30e-6 + 120e-6))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *CHATS,
        ("/v1/chat/completions", {"stream": True}),
    ],
)
def test_what_the_upstream_does_not_tell_is_estimated_and_said(
    path: str, body: dict[str, Any]
) -> None:
    with Limited(tells_no_usage) as bridge:
        assert bridge.post(path, **body).status_code == 200
        spent = bridge.spent
        assert (spent.requests, spent.estimated) == (1, 1)
        assert 1 <= spent.tokens_in <= 30
        assert 4 <= spent.tokens_out <= 60
        assert bridge.status()["today"]["estimated"] == 1


@pytest.mark.parametrize(
    ("path", "tells", "tokens"),
    [
        ("/api/embed", answers, 9),
        ("/api/embeddings", answers, 9),
        ("/v1/embeddings", answers, 9),
        ("/api/embed", tells_no_usage, 3),
        ("/api/embeddings", tells_no_usage, 3),
        ("/v1/embeddings", tells_no_usage, 3),
    ],
)
def test_embeddings_count(path: str, tells: Any, tokens: int) -> None:
    with Limited(tells) as bridge:
        text = "twelve chars"
        reply = bridge.post(
            path, **{"prompt" if path == "/api/embeddings" else "input": text}, messages=[]
        )
        assert reply.status_code == 200
        estimated = int(tells is tells_no_usage)
        assert bridge.spent == Spent(1, tokens, 0, pytest.approx(tokens * 1e-6), estimated)


def test_each_batch_of_embeddings_is_a_request() -> None:
    with Limited(requests_per_day=2) as bridge:
        reply = bridge.post("/api/embed", input=["text"] * 200)
        assert reply.status_code == 429
        assert bridge.spent.requests == 2
        assert len(bridge.upstream.calls) <= 2


def test_a_model_without_a_price_is_told_of() -> None:
    with Limited(usd_per_day=1.0) as bridge:
        assert bridge.post("/api/chat", model="unpriced").status_code == 200
        row = bridge.status()
        assert row["today"]["unpriced"] == 1
        assert row["uncounted"] == ["unpriced"]
    with Limited(usd_per_day=1.0, fallback_price=(1000.0, 0.0)) as bridge:
        assert bridge.post("/api/chat", model="unpriced").status_code == 200
        assert bridge.spent.usd == pytest.approx(0.03)
        assert bridge.status()["uncounted"] == []


def test_status_tells_each_limit() -> None:
    with Limited(requests_per_day=3, usd_per_day=0.0001) as bridge:
        bridge.post("/api/chat")
        limits = bridge.status()["limits"]
    assert limits == [
        {"limit": "requests_per_day", "most": 3.0, "used": 1.0, "reached": False},
        {
            "limit": "usd_per_day",
            "most": 0.0001,
            "used": pytest.approx(0.00015),
            "reached": True,
        },
    ]


@pytest.mark.parametrize(
    "limits", [{"requests_per_day": 1}, {"tokens_per_day": 42}, {"usd_per_day": 0.0001}]
)
def test_the_next_request_is_refused_in_ollamas_shape(limits: dict[str, Any]) -> None:
    with Limited(**limits) as bridge:
        assert bridge.post("/api/chat").status_code == 200
        for path in ("/api/chat", "/api/generate", "/api/embed"):
            reply = bridge.post(path, prompt="x", input="x")
            assert reply.status_code == 429
            assert list(reply.json()) == ["error"]
            (name,) = limits
            assert f"providers.fake.limits.{name}" in reply.json()["error"]
            assert 0 < int(reply.headers["retry-after"]) <= 25 * 3600
        assert len(bridge.upstream.calls) == 1, "the provider was not asked"
        assert httpx.get(f"{bridge.url}/api/tags").status_code == 200


def test_the_sdks_read_it_and_do_not_ask_again() -> None:
    with Limited(requests_per_day=0) as bridge:
        ours = openai.OpenAI(base_url=f"{bridge.url}/v1", api_key="x")
        with pytest.raises(openai.RateLimitError, match=r"limit of 0 requests a day") as told:
            ours.chat.completions.create(model="m", messages=TURNS)  # type: ignore[arg-type]
        assert told.value.response.headers["x-should-retry"] == "false"
        theirs = anthropic.Anthropic(base_url=bridge.url, api_key="x")
        with pytest.raises(anthropic.RateLimitError, match=r"limit of 0 requests a day") as said:
            theirs.messages.create(model="m", max_tokens=5, messages=TURNS)  # type: ignore[arg-type]
        assert said.value.body["error"]["type"] == "rate_limit_error"  # type: ignore[index,call-overload]
        assert len(bridge.upstream.calls) == 0
        refused = [fields for fields in bridge.app.journal.recent if fields["status"] == 429]
        assert len(refused) == 2, "each asked once"


def test_another_target_answers_instead() -> None:
    first, second = FakeUpstream(answers, ("one",)), FakeUpstream(answers, ("two",))
    with served(first) as one, served(second) as two:
        app = bridge_app(
            Provider(name="first", url=f"{one}/v1", key="none", limits=Limits(requests_per_day=1)),
            Provider(name="second", url=f"{two}/v1", key="none"),
            aliases={"both": Alias(targets=("first/one", "second/two"))},
        )
        with served(app) as url:
            httpx.get(f"{url}/api/tags")
            by = [
                httpx.post(f"{url}/api/chat", json={"model": "both", "messages": TURNS})
                for _ in range(3)
            ]
    assert [reply.headers["x-ollama-bridge-model"] for reply in by] == [
        "first/one",
        "second/two",
        "second/two",
    ]
    assert (len(first.calls), len(second.calls)) == (1, 2)


def test_a_request_made_again_counts_again() -> None:
    async def fails(call: Call) -> None:
        await call.json({"error": {"message": "overloaded"}}, 503)

    async def soon(_seconds: float) -> None:
        return

    upstream = FakeUpstream(fails)
    with served(upstream) as url:
        row = Provider(
            name="fake", url=f"{url}/v1", key="none", retries=5, limits=Limits(requests_per_day=3)
        )
        app = bridge_app(row, sleep=soon)
        with served(app) as bridge:
            reply = httpx.post(f"{bridge}/api/chat", json={"model": "m", "messages": TURNS})
    assert reply.status_code == 429
    assert "requests_per_day" in reply.json()["error"]
    assert len(upstream.calls) == 3


async def test_many_at_once_pass_no_limit_of_requests() -> None:
    with Limited(requests_per_day=40) as bridge:
        async with httpx.AsyncClient(timeout=120) as client:
            body = {"model": "m", "messages": TURNS, "stream": False}
            asked = [client.post(f"{bridge.url}/api/chat", json=body) for _ in range(100)]
            replies = await asyncio.gather(*asked)
        statuses = sorted(reply.status_code for reply in replies)
        assert statuses == [200] * 40 + [429] * 60
        assert len(bridge.upstream.calls) == 40


async def test_many_at_once_pass_a_limit_of_tokens_only_by_what_is_under_way() -> None:
    """All that have begun when the limit is reached are finished; none begins after that."""
    inside = 0
    most_inside = 0

    async def slow(call: Call) -> None:
        nonlocal inside, most_inside
        inside += 1
        most_inside = max(most_inside, inside)
        await asyncio.sleep(0.02)
        await answers(call)
        inside -= 1

    limit = 42 * 10
    with Limited(slow, tokens_per_day=limit) as bridge:
        gate = asyncio.Semaphore(8)
        async with httpx.AsyncClient(timeout=120) as client:

            async def one() -> int:
                async with gate:
                    body = {"model": "m", "messages": TURNS, "stream": False}
                    reply = await client.post(f"{bridge.url}/api/chat", json=body)
                    return reply.status_code

            statuses = await asyncio.gather(*(one() for _ in range(100)))
        assert 429 in statuses
        assert limit <= bridge.spent.tokens < limit + 42 * most_inside
        assert most_inside <= 8


def test_a_client_that_leaves_has_its_part_counted() -> None:
    async def endless(call: Call) -> None:
        await call.start()
        while not call.gone.is_set():
            await call.text("word ")
            await asyncio.sleep(0.005)

    with Limited(endless) as bridge:
        body = {"model": "m", "messages": TURNS}
        with httpx.stream("POST", f"{bridge.url}/api/chat", json=body) as reply:
            lines = reply.iter_lines()
            for _ in range(5):
                assert json.loads(next(lines))["message"]["content"] == "word "
        for _ in range(200):
            if bridge.spent.estimated:
                break
            httpx.get(f"{bridge.url}/api/version")
        assert bridge.spent.estimated == 1
        assert bridge.spent.tokens_out >= 5


def test_lists_and_looks_cost_nothing() -> None:
    with Limited(requests_per_day=0) as bridge:
        for path in ("/api/tags", "/api/ps", "/v1/models"):
            assert httpx.get(f"{bridge.url}{path}").status_code == 200
        assert bridge.post("/api/show", model="m").status_code == 200
        assert bridge.spent == Spent()
