"""/v1/messages over HTTP: statuses, headers, streams as they really arrive."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream

from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.server.anthropic import PING_EVERY, pings
from ollama_bridge.server.exchange import SSE, Exchange
from ollama_bridge.translate.anthropic_stream import PING, Events, Head
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Ending, Stopwatch

try:
    from compression import zstd
except ImportError:  # Python before 3.14
    from backports import zstd

Bridged = Callable[..., tuple[str, FakeUpstream]]
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
USER = [{"role": "user", "content": "hi"}]


def asks(**fields: Any) -> dict[str, Any]:
    return {"model": "demo", "max_tokens": 50, "messages": USER, **fields}


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    aliases = {
        "claude-sonnet-4": Alias(targets=("demo",), system="Answer in verse."),
        "plain": Alias(targets=("demo",), capabilities=("completion",)),
    }
    app = bridge_app(Provider(name="demo", url=demo_url, key="none"), aliases=aliases)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client
    await app.bridge.aclose()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def post(url: str, body: Any, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(url + MESSAGES, json=body, **options)


# Replies


async def test_a_message(client: httpx.AsyncClient) -> None:
    reply = await client.post(MESSAGES, json=asks())
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["request-id"].startswith("req_")
    message = reply.json()
    assert message["id"].startswith("msg_")
    assert len(message["id"]) == 4 + 24
    assert (message["model"], message["stop_reason"]) == ("demo", "end_turn")
    assert message["usage"]["output_tokens"] > 0


async def test_a_stream(client: httpx.AsyncClient) -> None:
    reply = await client.post(MESSAGES, json=asks(stream=True))
    assert reply.headers["content-type"] == "text/event-stream"
    found = events(reply.text)
    assert [event["type"] for event in found][:3] == [
        "message_start",
        "ping",
        "content_block_start",
    ]
    assert found[-1] == {"type": "message_stop"}


async def test_what_claude_sends_beside_the_body_is_ignored(client: httpx.AsyncClient) -> None:
    headers = {
        "x-api-key": "sk-ant-x",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "context-1m",
    }
    reply = await client.post(
        f"{MESSAGES}?beta=true", json=asks(betas=["x"], metadata={"user_id": "u"}), headers=headers
    )
    assert reply.status_code == 200


async def test_a_body_packed_with_zstd(client: httpx.AsyncClient) -> None:
    packed = zstd.compress(json.dumps(asks()).encode())
    reply = await client.post(MESSAGES, content=packed, headers={"content-encoding": "zstd"})
    assert reply.json()["stop_reason"] == "end_turn"


async def test_a_name_clients_insist_on_can_be_an_alias(client: httpx.AsyncClient) -> None:
    reply = await client.post(MESSAGES, json=asks(model="claude-sonnet-4"))
    assert reply.json()["model"] == "claude-sonnet-4"
    assert "Answer in verse." in reply.json()["content"][-1]["text"]


async def test_two_messages_have_ids_of_their_own(client: httpx.AsyncClient) -> None:
    replies = [await client.post(MESSAGES, json=asks()) for _ in range(2)]
    assert len({reply.json()["id"] for reply in replies}) == 2
    assert len({reply.headers["request-id"] for reply in replies}) == 2


async def test_the_model_is_in_the_list_of_those_used(client: httpx.AsyncClient) -> None:
    await client.post(MESSAGES, json=asks())
    assert [model["model"] for model in (await client.get("/api/ps")).json()["models"]] == [
        "demo:latest"
    ]


async def test_a_model_known_not_to_think_answers_without(client: httpx.AsyncClient) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    plain = await client.post(MESSAGES, json=asks(model="plain", thinking=thinking))
    able = await client.post(MESSAGES, json=asks(thinking=thinking))
    assert [block["type"] for block in plain.json()["content"]] == ["text"]
    assert [block["type"] for block in able.json()["content"]] == ["thinking", "text"]


async def test_tools_that_are_left_out_ask_nothing_of_a_model(client: httpx.AsyncClient) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert (
        await client.post(MESSAGES, json=asks(model="plain", tools=[search]))
    ).status_code == 200


# Errors before the first byte


@pytest.mark.parametrize("path", [MESSAGES, COUNT])
@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        (b"", 400, "invalid_request_error", "EOF"),
        (b"{", 400, "invalid_request_error", "unexpected EOF"),
        ({}, 400, "invalid_request_error", "model is required"),
        (asks(messages=[]), 400, "invalid_request_error", "messages is required"),
        (asks(model="a b"), 400, "invalid_request_error", "invalid model name"),
        (asks(model="demo-embed"), 400, "invalid_request_error", '"demo-embed" does not support chat'),
        (asks(model="plain", tools=[{"name": "f", "input_schema": {}}]), 400, "invalid_request_error", '"plain" does not support tools'),
        (asks(model="claude-opus-4"), 404, "not_found_error", "model 'claude-opus-4' not found; use a name of `ollama-bridge models list`, or make this one known: ollama-bridge models alias claude-opus-4 PROVIDER/MODEL"),
    ],
)  # fmt: skip
async def test_errors(
    client: httpx.AsyncClient, path: str, body: Any, status: int, kind: str, message: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await client.post(path, content=content)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    request_id = reply.headers["request-id"]
    assert reply.json() == {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


async def test_a_limit_is_needed_for_an_answer_only(client: httpx.AsyncClient) -> None:
    body = {"model": "demo", "messages": USER}
    reply = await client.post(MESSAGES, json=body)
    assert reply.json()["error"]["message"] == "max_tokens is required and must be positive"
    assert (await client.post(COUNT, json=body)).status_code == 200


@pytest.mark.parametrize("path", [MESSAGES, COUNT])
async def test_other_methods(client: httpx.AsyncClient, path: str) -> None:
    reply = await client.get(path)
    assert (reply.status_code, reply.text, reply.headers["allow"]) == (
        405,
        "405 method not allowed",
        "POST",
    )


UPSTREAM = [
    (400, 400, "invalid_request_error", None),
    (401, 502, "api_error", "false"),
    (402, 402, "api_error", None),
    (403, 403, "permission_error", None),
    (404, 404, "not_found_error", None),
    (413, 413, "request_too_large", None),
    (429, 429, "rate_limit_error", None),
    (500, 502, "api_error", None),
    (503, 503, "overloaded_error", None),
    (529, 503, "overloaded_error", None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("upstream_status", "status", "kind", "retry"), UPSTREAM)
async def test_an_upstreams_refusal(
    bridged: Bridged, stream: bool, upstream_status: int, status: int, kind: str, retry: str | None
) -> None:
    async def refuse(call: Call) -> None:
        await call.json({"error": {"message": "no, because"}}, upstream_status, retry_after="7")

    url, _ = bridged(refuse)
    reply = await post(url, asks(model="m", stream=stream))
    assert (reply.status_code, reply.json()["error"]["type"]) == (status, kind)
    assert "fake: no, because" in reply.json()["error"]["message"]
    assert reply.headers.get("x-should-retry") == retry
    assert reply.headers["retry-after"] == "7"


async def test_an_upstream_that_is_not_there() -> None:
    app = bridge_app(Provider(name="gone", url="http://127.0.0.1:9/v1", key="none", models=("m",)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1"
    ) as client:
        reply = await client.post(MESSAGES, json=asks(model="gone/m", stream=True))
    await app.bridge.aclose()
    assert (reply.status_code, reply.json()["error"]["type"]) == (502, "api_error")
    assert "gone cannot be reached" in reply.json()["error"]["message"]


async def test_an_error_in_place_of_the_first_word_is_a_status(bridged: Bridged) -> None:
    async def fail(call: Call) -> None:
        await call.start()
        await call.event({"error": {"message": "too busy", "code": 429}})
        await call.write("", more=False)

    url, _ = bridged(fail)
    reply = await post(url, asks(model="m", stream=True))
    assert (reply.status_code, reply.json()["error"]["type"]) == (429, "rate_limit_error")


# Errors afterwards


@pytest.mark.parametrize("broken", [False, True], ids=["ends early", "says why"])
async def test_an_error_in_mid_stream_is_an_event(bridged: Bridged, broken: bool) -> None:
    heard = threading.Event()

    async def stop_halfway(call: Call) -> None:
        await call.start()
        await call.text("Hel")
        assert await asyncio.to_thread(heard.wait, 5)
        if broken:
            await call.event({"error": {"message": "overloaded", "code": 503}})
        await call.write("", more=False)

    url, _ = bridged(stop_halfway)
    said = ""
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("POST", url + MESSAGES, json=asks(model="m", stream=True)) as reply,
    ):
        async for line in reply.aiter_lines():
            said += f"{line}\n"
            if "Hel" in line:
                heard.set()
    assert reply.status_code == 200
    found = events(said)
    assert found[-1]["type"] == "error"
    assert found[-1]["error"]["type"] == ("overloaded_error" if broken else "api_error")
    assert found[-1]["request_id"] == reply.headers["request-id"]
    assert not [event for event in found if event["type"] == "message_stop"]


async def test_an_error_in_mid_answer_is_a_status_when_nothing_is_streamed(
    bridged: Bridged,
) -> None:
    async def stop_halfway(call: Call) -> None:
        await call.start()
        await call.text("Hel")
        await call.write("", more=False)

    url, _ = bridged(stop_halfway)
    reply = await post(url, asks(model="m"))
    assert (reply.status_code, reply.json()["error"]["type"]) == (502, "api_error")


# What the upstream sees


async def answer(call: Call) -> None:
    await call.start()
    await call.text("ok", finish="stop")
    await call.write("data: [DONE]\n\n", more=False)


async def test_the_request_that_goes_up(bridged: Bridged) -> None:
    url, upstream = bridged(answer)
    body = asks(
        model="m",
        stream=True,
        system="Be brief.",
        temperature=0.5,
        stop_sequences=["END"],
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
    )
    assert (await post(url, body)).status_code == 200
    assert upstream.calls[0].path == "/v1/chat/completions"
    assert upstream.calls[0].body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, *USER],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 50,
        "stop": ["END"],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
            }
        ],
        "tool_choice": "required",
    }
    assert "x-api-key" not in upstream.calls[0].headers


async def test_stop_sequences_beyond_what_the_upstream_takes_are_enforced_here(
    bridged: Bridged,
) -> None:
    async def talk(call: Call) -> None:
        await call.start()
        await call.text("one FI")
        await call.text("VE two", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)

    url, upstream = bridged(talk, quirks=("first_four_stops",))
    stops = ["A", "B", "C", "D", "FIVE"]
    message = (await post(url, asks(model="m", stop_sequences=stops))).json()
    assert upstream.calls[0].body["stop"] == stops[:4]
    assert message["content"] == [{"type": "text", "text": "one "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "FIVE")


async def test_counting_asks_no_upstream(bridged: Bridged) -> None:
    url, upstream = bridged(answer)
    async with httpx.AsyncClient() as client:
        few = (await client.post(url + COUNT, json={"model": "m", "messages": USER})).json()
        tools = [{"name": "f", "description": "x" * 400, "input_schema": {"type": "object"}}]
        body = {"model": "m", "messages": USER, "system": "y" * 400, "tools": tools}
        more = (await client.post(url + COUNT, json=body)).json()
        none = (
            await client.post(
                url + COUNT, json={"model": "m", "messages": [{"role": "user", "content": ""}]}
            )
        ).json()
    assert few == none == {"input_tokens": 1}
    assert 200 < more["input_tokens"] < 260
    assert upstream.calls == []


async def test_counters_the_upstream_does_not_tell_are_estimated(bridged: Bridged) -> None:
    url, _ = bridged(answer)
    found = events((await post(url, asks(model="m", stream=True, system="x" * 400))).text)
    assert found[0]["message"]["usage"]["input_tokens"] == found[-2]["usage"]["input_tokens"] == 100


async def test_a_client_that_hangs_up_cancels_the_upstream(bridged: Bridged) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def never_ends(call: Call) -> None:
        await call.start()
        await call.text("word")
        loop.call_soon_threadsafe(arrived.set)
        await call.gone.wait()

    url, upstream = bridged(never_ends)
    request = asyncio.ensure_future(post(url, asks(model="m", stream=True)))
    await asyncio.wait_for(arrived.wait(), 5)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    begun = time.monotonic()
    while not upstream.hung_up.is_set():
        assert time.monotonic() - begun < 2, "the upstream was not told"
        await asyncio.sleep(0.005)


# Pings


class Silence:
    """A stream in which nothing is said, and a pause that ends when the test says."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.pauses: list[float] = []
        scope = {"type": "http", "method": "POST", "path": MESSAGES, "headers": []}
        self.exchange = Exchange(scope, self._receive, self._send, [])
        self.exchange.stream_kind = SSE
        ending = Ending()
        self.events = Events(Head("m", "seed", 1, "req"), ending)
        ticks = count()
        self.reply = Reply(self.events, Stopwatch(lambda: next(ticks)), ending=ending)

    async def last(self, pauses: int, end: Callable[[], Any]) -> list[bytes]:
        """What is sent in so many pauses, after which `end` is called."""

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            if len(self.pauses) > pauses:
                end()

        await asyncio.wait_for(pings(self.exchange, self.reply, self.events, pause), 5)
        return [message["body"] for message in self.sent if "body" in message]

    async def _receive(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


async def test_pings_break_a_silence_until_the_reply_is_over() -> None:
    stream = Silence()
    bodies = await stream.last(3, stream.reply.close)
    assert b"message_start" in bodies[0]
    assert bodies[0].endswith(PING)
    assert bodies[1:] == [PING, PING]
    assert stream.sent[0]["status"] == 200
    assert set(stream.pauses) == {PING_EVERY}


async def test_no_ping_after_the_end() -> None:
    stream = Silence()
    await stream.exchange.line(b"x", last=True)
    assert await stream.last(99, list) == [b"x"]
