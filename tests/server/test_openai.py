"""OpenAI's routes against an upstream that answers as the test says: what arrives there and here."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from backports import zstd
from bridges import NoKeys, bridge_app
from fake_upstream import Call, FakeUpstream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_bridge.config import Config
from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.providers.quirks import QUIRKS
from ollama_bridge.server.app import build
from ollama_bridge.translate.passage import READ

Bridged = Callable[..., tuple[str, FakeUpstream]]
USER = [{"role": "user", "content": "hi"}]
CHAT, COMPLETIONS, EMBEDDINGS, MODELS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/models",
)
SPEECH, IMAGES = "/v1/audio/transcriptions", "/v1/images/generations"
POET = Alias(targets=("m",), system="Answer in verse.", parameters={"temperature": 0.1})


def chunk(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": "m-2026", "choices": [choice], **more}


def complete(**more: Any) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": "stop",
    }
    return {
        "object": "chat.completion",
        "model": "m-2026",
        "choices": [choice],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
        **more,
    }


def error(message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


async def says_complete(call: Call) -> None:
    await call.json(complete())


async def says_hello(call: Call) -> None:
    await call.start()
    await call.write(": PROCESSING\n\n")
    await call.event(chunk("Hel"))
    await call.event(chunk("lo", "stop"))
    await call.write("data: [DONE]\n\n", more=False)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


# requests


async def test_a_request_goes_up_with_only_the_model_replaced(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    url, upstream = bridged(says_complete)
    body = {
        "model": "fake/m",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "x"}], "name": "n", "new": 1}
        ],
        "max_completion_tokens": 7,
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "n": 2,
        "logit_bias": {"5": -100},
        "stream_options": {"include_usage": True, "x": 1},
        "metadata": {"a": None},
    }
    reply = await client.post(url + CHAT, json=body)
    assert upstream.calls[0].path == CHAT
    assert upstream.calls[0].body == body | {"model": "m"}
    assert reply.json() == complete(model="fake/m")
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


async def test_the_reply_is_untouched_where_the_name_is_the_same(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    said = b'{ "model" : "m", "choices":[ {"index":0, "message":{"content":"\\u00e9"}, "finish_reason":"stop"} ], "x": 1.50 }'

    async def act(call: Call) -> None:
        await call.start(kind="application/json")
        await call.write(said, more=False)

    url, _ = bridged(act)
    reply = await client.post(url + CHAT, json={"model": "m", "messages": USER})
    assert reply.content == said


async def test_quirks_are_the_same_as_on_the_native_routes(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    url, upstream = bridged(
        says_complete, quirks=("new_token_limit", "reasoning_object", "say_json")
    )
    body = {
        "model": "m",
        "messages": USER,
        "max_tokens": 7,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
    }
    await client.post(url + CHAT, json=body)
    sent = upstream.calls[0].body
    assert sent["max_completion_tokens"] == 7
    assert sent["reasoning"] == {"effort": "low"}
    assert sent["messages"] == [*USER, {"role": "system", "content": "Answer in JSON."}]


async def test_stop_strings_are_not_dropped_in_silence(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    url, _ = bridged(says_complete, quirks=("first_four_stops",))
    reply = await client.post(
        url + CHAT, json={"model": "m", "messages": USER, "stop": list("abcde")}
    )
    assert reply.status_code == 400
    assert reply.json() == error(
        "fake takes at most 4 stop strings; send fewer", "invalid_request_error"
    )
    reply = await client.post(
        url + CHAT, json={"model": "m", "messages": USER, "stop": list("abcd")}
    )
    assert reply.status_code == 200


async def test_a_model_of_ones_own(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, upstream = bridged(says_complete, aliases={"poet": POET})
    reply = await client.post(url + CHAT, json={"model": "Poet:latest", "messages": USER})
    assert upstream.calls[0].body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Answer in verse."}, *USER],
        "temperature": 0.1,
    }
    assert reply.json()["model"] == "Poet:latest"


async def test_packed_bodies(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, upstream = bridged(says_complete)
    body = json.dumps({"model": "m", "messages": USER}).encode()
    for packed in (zstd.compress(body), zstd.compress(body[:9]) + zstd.compress(body[9:])):
        reply = await client.post(url + CHAT, content=packed, headers={"content-encoding": "zstd"})
        assert reply.status_code == 200, reply.text
    assert [call.body for call in upstream.calls] == [{"model": "m", "messages": USER}] * 2


BOMB = zstd.compress(b" " * (20 * 2**20 + 1))
WIDE = zstd.compress(
    b"{}" * 2**24,
    options={
        zstd.CompressionParameter.window_log: 25,
        zstd.CompressionParameter.content_size_flag: 0,
    },
)


@pytest.mark.parametrize(
    ("path", "packed", "text"),
    [
        (CHAT, BOMB, "http: request body too large"),
        (COMPLETIONS, BOMB, "http: request body too large"),
        (EMBEDDINGS, BOMB, "http: request body too large"),
        (CHAT, zstd.compress(b"{}" * 90)[:-4], "unexpected EOF"),
        (CHAT, b"{}", "the body is not the zstd it is said to be: "),
        (CHAT, WIDE, "the body is not the zstd it is said to be: "),
    ],
)
async def test_packed_bodies_that_cannot_be_used(
    bridged: Bridged, client: httpx.AsyncClient, path: str, packed: bytes, text: str
) -> None:
    url, upstream = bridged(says_complete)
    reply = await client.post(url + path, content=packed, headers={"content-encoding": "ZSTD"})
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(text), "zstd failures have the native form (8.1)"
    assert upstream.calls == []


async def test_just_as_much_as_may_be_unpacked_is(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    url, _ = bridged(says_complete)
    body = json.dumps({"model": "m", "messages": USER}).encode().ljust(20 * 2**20)
    reply = await client.post(
        url + CHAT, content=zstd.compress(body), headers={"content-encoding": "zstd"}
    )
    assert reply.status_code == 200


# errors

NO_TOOLS = Alias(targets=("m",), capabilities=("completion",))
EMBEDDER = Alias(targets=("m",), capabilities=("embedding",))
ROWS: list[tuple[str, Any, int, str, str]] = [
    (CHAT, b"", 400, "EOF", "invalid_request_error"),
    (CHAT, b"\n", 400, "EOF", "invalid_request_error"),
    (COMPLETIONS, b"", 400, "EOF", "invalid_request_error"),
    (EMBEDDINGS, b"", 400, "EOF", "invalid_request_error"),
    (IMAGES, b"", 400, "EOF", "invalid_request_error"),
    (
        CHAT,
        b"\x1f\x8b",
        400,
        "invalid character '\\x1f' looking for beginning of value",
        "invalid_request_error",
    ),
    (CHAT, b"null", 400, "[] is too short - 'messages'", "invalid_request_error"),
    (
        CHAT,
        {"model": "m", "messages": []},
        400,
        "[] is too short - 'messages'",
        "invalid_request_error",
    ),
    (CHAT, {"model": "m"}, 400, "[] is too short - 'messages'", "invalid_request_error"),
    (CHAT, {"messages": USER}, 400, "model is required", "invalid_request_error"),
    (CHAT, {"model": " ", "messages": USER}, 400, "model is required", "invalid_request_error"),
    (
        CHAT,
        {"model": 1, "messages": USER},
        400,
        "json: cannot unmarshal number into Go struct field ChatCompletionRequest.model of type string",
        "invalid_request_error",
    ),
    (
        CHAT,
        {"model": "m", "messages": USER, "stream": 1},
        400,
        "json: cannot unmarshal number into Go struct field ChatCompletionRequest.stream of type bool",
        "invalid_request_error",
    ),
    (CHAT, {"model": "a b", "messages": USER}, 400, "invalid model name", "invalid_request_error"),
    (CHAT, {"model": "foo", "messages": USER}, 404, "model 'foo' not found", "not_found_error"),
    (
        CHAT,
        {"model": "embedder", "messages": USER},
        400,
        '"embedder" does not support chat',
        "invalid_request_error",
    ),
    (
        CHAT,
        {"model": "plain", "messages": USER, "tools": [{"type": "function"}]},
        400,
        "registry.ollama.ai/library/plain:latest does not support tools",
        "invalid_request_error",
    ),
    (COMPLETIONS, {"prompt": "x"}, 404, "model '' not found", "not_found_error"),
    (COMPLETIONS, {"model": "foo", "prompt": "x"}, 404, "model 'foo' not found", "not_found_error"),
    (
        COMPLETIONS,
        {"model": "embedder", "prompt": "x"},
        400,
        '"embedder" does not support generate',
        "invalid_request_error",
    ),
    (EMBEDDINGS, {"input": "x"}, 404, "model '' not found", "not_found_error"),
    (
        EMBEDDINGS,
        {"model": "foo", "input": "x"},
        404,
        'model "foo" not found, try pulling it first',
        "not_found_error",
    ),
    (EMBEDDINGS, {"model": "m"}, 400, "invalid input", "invalid_request_error"),
    (EMBEDDINGS, {"model": "m", "input": []}, 400, "invalid input", "invalid_request_error"),
    (
        EMBEDDINGS,
        {"model": "m", "input": "x", "encoding_format": "hex"},
        400,
        "Invalid value for 'encoding_format' = hex. Supported values: ['float', 'base64'].",
        "invalid_request_error",
    ),
    (IMAGES, {"prompt": "x"}, 400, "model is required", "invalid_request_error"),
    (IMAGES, {"model": "foo", "prompt": "x"}, 404, "model 'foo' not found", "not_found_error"),
]


@pytest.fixture
async def rows_client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    aliases = {
        "plain": Alias(targets=("demo",), capabilities=("completion",)),
        "embedder": Alias(targets=("demo",), capabilities=("embedding",)),
        "m": Alias(targets=("demo",)),
    }
    app = bridge_app(Provider(name="demo", url=demo_url, key="none"), aliases=aliases)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client
    await app.bridge.aclose()


@pytest.mark.parametrize(("path", "body", "status", "text", "kind"), ROWS)
async def test_errors_before_anything_is_sent(
    rows_client: httpx.AsyncClient, path: str, body: Any, status: int, text: str, kind: str
) -> None:
    reply = await rows_client.post(
        path, content=body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    assert (reply.status_code, reply.json()) == (status, error(text, kind))
    assert reply.headers["content-type"] == "application/json"
    assert reply.content.count(b"\n") == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", CHAT, 405, "405 method not allowed"),
        ("POST", MODELS, 405, "405 method not allowed"),
        ("POST", "/v1/moderations", 404, "404 page not found"),
    ],
)
async def test_the_routers_own_errors_are_plain(
    rows_client: httpx.AsyncClient, method: str, path: str, status: int, text: str
) -> None:
    reply = await rows_client.request(method, path)
    assert (reply.status_code, reply.text) == (status, text)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "body", "seen", "text", "kind"),
    [
        (
            400,
            {"error": {"message": "bad thing", "param": "x"}},
            400,
            "fake: bad thing",
            "invalid_request_error",
        ),
        (
            401,
            {"error": "no key"},
            502,
            "fake: no key (upstream status 401: set a valid key with `ollama-bridge keys set fake`)",
            "api_error",
        ),
        (
            404,
            {"error": {"message": "The model `m` does not exist"}},
            404,
            "model 'm' not found (fake: The model `m` does not exist)",
            "not_found_error",
        ),
        (429, {"error": {"message": "slow down"}}, 429, "fake: slow down", "api_error"),
        (503, {"error": {"message": "Loading model"}}, 503, "fake: Loading model", "api_error"),
    ],
)
async def test_errors_of_the_upstream(
    bridged: Bridged,
    client: httpx.AsyncClient,
    stream: bool,
    status: int,
    body: Any,
    seen: int,
    text: str,
    kind: str,
) -> None:
    async def act(call: Call) -> None:
        await call.json(body, status, retry_after="7")

    url, _ = bridged(act)
    reply = await client.post(url + CHAT, json={"model": "m", "messages": USER, "stream": stream})
    assert (reply.status_code, reply.json()) == (seen, error(text, kind))
    assert reply.headers["content-type"] == "application/json"
    if status == 429:
        assert reply.headers["retry-after"] == "7"


# streams


async def streamed(client: httpx.AsyncClient, url: str, **fields: Any) -> httpx.Response:
    return await client.post(
        url + CHAT, json={"model": "fake/m", "messages": USER, "stream": True, **fields}
    )


async def test_a_stream_with_its_comments(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, upstream = bridged(says_hello)
    reply = await streamed(client, url)
    assert reply.headers["content-type"] == "text/event-stream"
    wanted = [chunk("Hel") | {"model": "fake/m"}, chunk("lo", "stop") | {"model": "fake/m"}]
    assert (
        reply.text
        == ": PROCESSING\n\n"
        + "".join(f"data: {json.dumps(item)}\n\n" for item in wanted)
        + "data: [DONE]\n\n"
    )
    assert upstream.calls[0].body == {"model": "m", "messages": USER, "stream": True}


async def test_a_chunk_arrives_as_soon_as_it_is_sent(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    proceed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def one_at_a_time(call: Call) -> None:
        await call.start()
        await call.event(chunk("first"))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        await call.event(chunk("second", "stop"))
        await call.write("", more=False)

    url, _ = bridged(one_at_a_time)
    body = {"model": "m", "messages": USER, "stream": True}
    async with client.stream("POST", url + CHAT, json=body) as reply:
        said = reply.aiter_lines()
        assert "first" in await asyncio.wait_for(anext(said), 5)
        proceed.set()
        rest = [line async for line in said if line]
    assert rest[-1] == "data: [DONE]", "some upstreams forget it, and some clients wait for it"


@pytest.mark.parametrize(
    ("writes", "text"),
    [
        ([], "fake stopped before its answer was complete"),
        ([{"error": {"message": "overloaded", "code": 529}}], "fake: overloaded"),
        (["data: busy\n\n"], "fake sent something that is not JSON: busy"),
    ],
)
async def test_errors_in_mid_stream_are_events(
    bridged: Bridged, client: httpx.AsyncClient, writes: list[Any], text: str
) -> None:
    proceed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def act(call: Call) -> None:
        await call.start()
        await call.event(chunk("a"))
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        for item in writes:
            await (call.write(item) if isinstance(item, str) else call.event(item))
        await call.write("", more=False)

    url, _ = bridged(act)
    body = {"model": "m", "messages": USER, "stream": True}
    async with client.stream("POST", url + CHAT, json=body) as reply:
        assert reply.status_code == 200
        said = reply.aiter_lines()
        await anext(said)
        proceed.set()
        events = [line async for line in said if line]
    assert [json.loads(line[6:]) for line in events] == [error(text, "api_error")]


async def test_a_connection_that_breaks_is_told(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    async def act(call: Call) -> None:
        await call.start(content_length="5000")
        await call.event(chunk("a"))

    url, _ = bridged(act)
    reply = await streamed(client, url)
    last = json.loads(reply.text.splitlines()[-2][6:])
    assert last["error"]["type"] == "api_error"
    assert last["error"]["message"].startswith("fake broke off")
    assert "[DONE]" not in reply.text


async def test_an_error_before_the_first_chunk_is_a_status(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    async def act(call: Call) -> None:
        await call.start()
        await call.event({"error": {"message": "overloaded", "code": 503}})
        await call.write("", more=False)

    url, _ = bridged(act)
    reply = await streamed(client, url)
    assert (reply.status_code, reply.json()) == (503, error("fake: overloaded", "api_error"))


async def test_json_for_a_stream(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, _ = bridged(says_complete)
    reply = await streamed(client, url, stream_options={"include_usage": True})
    said = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    assert [
        item["choices"][0]["finish_reason"] if item["choices"] else item["usage"] for item in said
    ] == [None, "stop", {"prompt_tokens": 2, "completion_tokens": 1}]
    assert said[0]["choices"][0]["delta"]["content"] == "Hi"
    assert {item["model"] for item in said} == {"fake/m"}
    assert reply.text.endswith("data: [DONE]\n\n")


async def test_a_stream_for_json(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, _ = bridged(says_hello)
    reply = await client.post(url + CHAT, json={"model": "fake/m", "messages": USER})
    assert reply.json()["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ]
    assert reply.json()["model"] == "fake/m"


async def test_a_broken_stream_for_json_is_an_error(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    async def act(call: Call) -> None:
        await call.start()
        await call.event(chunk("a"))
        await call.write("", more=False)

    url, _ = bridged(act)
    reply = await client.post(url + CHAT, json={"model": "m", "messages": USER})
    assert (reply.status_code, reply.json()) == (
        502,
        error("fake stopped before its answer was complete", "api_error"),
    )


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, EMBEDDINGS, IMAGES])
async def test_a_client_that_hangs_up_cancels_the_upstream(
    bridged: Bridged, stream: bool, path: str
) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def never_ends(call: Call) -> None:
        if stream:
            await call.start()
            await call.event(chunk("word"))
        loop.call_soon_threadsafe(arrived.set)
        await call.gone.wait()

    url, upstream = bridged(never_ends)
    client = httpx.AsyncClient(timeout=30)
    body = {"model": "m", "messages": USER, "prompt": "x", "input": "x", "stream": stream}
    asking = asyncio.ensure_future(client.post(url + path, json=body))
    await asyncio.wait_for(arrived.wait(), 5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await client.aclose()
    begun = time.monotonic()
    while not upstream.hung_up.is_set():
        assert time.monotonic() - begun < 2, "the upstream was not told"
        await asyncio.sleep(0.005)


async def test_the_model_counts_as_used_and_the_log_tells(
    bridged: Bridged, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    url, _ = bridged(says_complete)
    with caplog.at_level("INFO", "ollama_bridge.requests"):
        await client.post(url + CHAT, json={"model": "m", "messages": USER})
        names = [model["name"] for model in (await client.get(f"{url}/api/ps")).json()["models"]]
    assert names == ["m:latest"]
    fields = next(
        record.fields for record in caplog.records if record.fields["route"] == f"POST {CHAT}"
    )  # type: ignore[attr-defined]
    assert (fields["model"], fields["provider"], fields["upstream"], fields["status"]) == (
        "m",
        "fake",
        200,
        200,
    )
    assert (fields["tokens_in"], fields["tokens_out"]) == (2, 1)
    assert fields["first_ms"] > 0


# text completions


@pytest.mark.parametrize("prompt", ["", None])
async def test_an_empty_prompt_asks_no_upstream(
    bridged: Bridged, client: httpx.AsyncClient, prompt: str | None
) -> None:
    url, upstream = bridged(says_complete)
    body = {"model": "m", "prompt": prompt}
    whole = (await client.post(url + COMPLETIONS, json=body)).json()
    assert whole["choices"] == [{"text": "", "index": 0, "finish_reason": "load"}]
    said = (await client.post(url + COMPLETIONS, json={**body, "stream": True})).text.splitlines()
    assert json.loads(said[0][6:])["choices"][0]["finish_reason"] == "load"
    assert said[2] == "data: [DONE]"
    assert upstream.calls == []
    assert (await client.get(f"{url}/api/ps")).json()["models"][0]["name"] == "m:latest"


async def test_a_text_completion(bridged: Bridged, client: httpx.AsyncClient) -> None:
    async def act(call: Call) -> None:
        await call.json(
            {
                "object": "text_completion",
                "model": "x",
                "choices": [{"text": "blue", "index": 0, "finish_reason": "length"}],
            }
        )

    url, upstream = bridged(act, aliases={"poet": POET})
    body = {
        "model": "poet",
        "prompt": "The sky is",
        "suffix": "today",
        "echo": True,
        "max_tokens": 1,
    }
    reply = await client.post(url + COMPLETIONS, json=body)
    assert upstream.calls[0].body == body | {
        "model": "m",
        "prompt": "Answer in verse.\n\nThe sky is",
        "temperature": 0.1,
    }
    assert reply.json() == {
        "object": "text_completion",
        "model": "poet",
        "choices": [{"text": "blue", "index": 0, "finish_reason": "length"}],
    }


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (
            404,
            "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use v1/chat/completions?",
        ),
        (404, "Unknown request URL: POST /v1/completions"),
        (405, "Method Not Allowed"),
        (400, "Only chat models can be used here; use /chat/completions"),
    ],
)
async def test_a_text_completion_where_models_only_chat(
    bridged: Bridged, client: httpx.AsyncClient, stream: bool, status: int, refusal: str
) -> None:
    async def act(call: Call) -> None:
        if call.path == COMPLETIONS:
            await call.json({"error": {"message": refusal}}, status)
        else:
            await (says_hello(call) if stream else call.json(complete()))

    url, upstream = bridged(act, aliases={"poet": POET})
    body = {
        "model": "poet",
        "prompt": "Hi",
        "echo": False,
        "logprobs": 1,
        "max_tokens": 9,
        "stream": stream,
    }
    reply = await client.post(url + COMPLETIONS, json=body)
    again = await client.post(url + COMPLETIONS, json=body)
    assert [call.path for call in upstream.calls] == [COMPLETIONS, CHAT, CHAT], "it is remembered"
    assert again.status_code == 200
    assert upstream.calls[1].body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Answer in verse."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 9,
        "stream": stream,
        "temperature": 0.1,
    }
    if not stream:
        wanted = complete(object="text_completion", model="poet")
        wanted["choices"] = [{"index": 0, "text": "Hi", "logprobs": None, "finish_reason": "stop"}]
        assert reply.json() == wanted
        return
    said = [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: {")]
    assert [(item["object"], item["model"], item["choices"][0]["text"]) for item in said] == [
        ("text_completion", "poet", "Hel"),
        ("text_completion", "poet", "lo"),
    ]
    assert said[-1]["choices"][0]["finish_reason"] == "stop"
    assert reply.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("more", "status"), [({"prompt": [1, 2]}, 404), ({"suffix": "x"}, 404), ({}, 429)]
)
async def test_what_is_no_chat_stays_refused(
    bridged: Bridged, client: httpx.AsyncClient, more: Any, status: int
) -> None:
    async def act(call: Call) -> None:
        await call.json({"error": {"message": "not here"}}, status)

    url, upstream = bridged(act)
    reply = await client.post(url + COMPLETIONS, json={"model": "m", "prompt": "Hi", **more})
    assert reply.status_code == status
    assert len(upstream.calls) == 1


# embeddings


def vectors(*rows: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    return {
        "object": "list",
        "data": data,
        "model": "e",
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }


@pytest.mark.parametrize("given", ["x", ["x", "y"], [1, 2], [[1], [2]], ""])
async def test_embeddings_go_through(
    bridged: Bridged, client: httpx.AsyncClient, given: Any
) -> None:
    async def act(call: Call) -> None:
        await call.json(vectors([3.0, 4.0]))

    url, upstream = bridged(act)
    reply = await client.post(
        url + EMBEDDINGS, json={"model": "fake/m", "input": given, "dimensions": 2, "user": "u"}
    )
    assert upstream.calls[0].body == {"model": "m", "input": given, "dimensions": 2, "user": "u"}
    assert reply.json() == vectors([3.0, 4.0]) | {"model": "fake/m"}, (
        "vectors keep their length here"
    )


async def test_base64_where_the_upstream_cannot(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    async def act(call: Call) -> None:
        if "encoding_format" in call.body:
            await call.json({"error": {"message": "encoding_format base64 is not supported"}}, 400)
        else:
            await call.json(vectors([1.0, 0.0]))

    url, upstream = bridged(act)
    reply = await client.post(
        url + EMBEDDINGS, json={"model": "m", "input": "x", "encoding_format": "base64"}
    )
    assert reply.json()["data"] == [
        {"object": "embedding", "index": 0, "embedding": "AACAPwAAAAA="}
    ]
    assert len(upstream.calls) == 2


async def test_other_refusals_of_embeddings_are_not_tried_again(
    bridged: Bridged, client: httpx.AsyncClient
) -> None:
    async def act(call: Call) -> None:
        await call.json({"error": {"message": "this server has no embeddings"}}, 501)

    url, upstream = bridged(act)
    reply = await client.post(
        url + EMBEDDINGS, json={"model": "m", "input": "x", "encoding_format": "base64"}
    )
    assert (reply.status_code, reply.json()) == (
        501,
        error("fake: this server has no embeddings", "api_error"),
    )
    assert len(upstream.calls) == 1


# lists


async def test_the_list_has_the_names_of_tags(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, _ = bridged(models=("m", "org/big:free", "Org/Big"), aliases={"poet": POET})
    rows = (await client.get(url + MODELS)).json()
    tags = [model["name"] for model in (await client.get(f"{url}/api/tags")).json()["models"]]
    assert [row["id"] for row in rows["data"]] == tags
    assert rows["object"] == "list"
    assert all(
        row["object"] == "model" and row["created"] > 10**9 and row["owned_by"] == "fake"
        for row in rows["data"]
    )
    assert (await client.get(f"{url}{MODELS}/")).json() == rows


async def test_an_empty_list_is_a_list(client: httpx.AsyncClient, bridged: Bridged) -> None:
    url, _ = bridged(models=())
    assert (await client.get(url + MODELS)).json() == {"object": "list", "data": []}


@pytest.mark.parametrize(
    "name",
    [
        "org/big:free",
        "org%2Fbig%3Afree",
        "ORG/BIG:FREE",
        "fake/org/big:free",
        "fake%2Forg/big:free",
    ],
)
async def test_one_model_by_any_spelling(
    bridged: Bridged, client: httpx.AsyncClient, name: str
) -> None:
    url, _ = bridged(models=("m", "org/big:free"))
    row = (await client.get(f"{url}{MODELS}/{name}")).json()
    assert row["id"] == name.replace("%2F", "/").replace("%3A", ":")
    assert row["object"] == "model"


@pytest.mark.parametrize(
    ("name", "status", "text", "kind"),
    [
        ("foo", 404, "model 'foo:latest' not found", "not_found_error"),
        ("org/foo:7b", 404, "model 'org/foo:7b' not found", "not_found_error"),
        ("a%20b", 400, "invalid model name", "invalid_request_error"),
    ],
)
async def test_models_there_are_not(
    bridged: Bridged, client: httpx.AsyncClient, name: str, status: int, text: str, kind: str
) -> None:
    url, _ = bridged()
    reply = await client.get(f"{url}{MODELS}/{name}")
    assert (reply.status_code, reply.json()) == (status, error(text, kind))


# sound and pictures

SOUND = bytes(range(256)) * 300


async def test_a_recording_goes_up_as_it_came(bridged: Bridged, client: httpx.AsyncClient) -> None:
    async def act(call: Call) -> None:
        await call.start(kind="text/plain; charset=utf-8")
        await call.write("Hello there.\n", more=False)

    url, upstream = bridged(act, key="sk-secret-123456")
    form = {"model": "fake/m", "response_format": "text", "language": "en"}
    sound = {"file": ("a.wav", SOUND, "audio/wav")}
    asked = client.build_request("POST", url + SPEECH, data=form, files=sound)
    body = await asked.aread()
    reply = await client.send(asked)
    assert (reply.text, reply.headers["content-type"]) == (
        "Hello there.\n",
        "text/plain; charset=utf-8",
    )
    call = upstream.calls[0]
    assert call.path == SPEECH
    assert call.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert call.headers["authorization"] == "Bearer sk-secret-123456"
    own = [name for name in call.headers if name.startswith("x-")]
    assert own == ["x-ollama-bridge-via"], "told to servers nearby, which might be this one"
    assert call.body == body.replace(b"fake/m", b"m")
    assert SOUND in call.body


async def test_a_transcript_in_pieces(bridged: Bridged, client: httpx.AsyncClient) -> None:
    said = 'event: transcript.text.delta\ndata: {"type":"transcript.text.delta","delta":"Hi"}\n\n'

    async def act(call: Call) -> None:
        await call.start()
        await call.write(said)
        await call.write("", more=False)

    url, _ = bridged(act)
    reply = await client.post(
        url + SPEECH, data={"model": "m", "stream": "true"}, files={"file": SOUND}
    )
    assert (reply.text, reply.headers["content-type"]) == (said, "text/event-stream")


@pytest.mark.parametrize("path", [SPEECH, IMAGES])
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_provider_without_such_a_route(
    bridged: Bridged, client: httpx.AsyncClient, path: str, status: int
) -> None:
    async def act(call: Call) -> None:
        await call.json({"detail": "Not Found"}, status)

    url, _ = bridged(act)
    if path == SPEECH:
        reply = await client.post(url + path, data={"model": "m"}, files={"file": SOUND})
    else:
        reply = await client.post(url + path, json={"model": "m", "prompt": "x"})
    what = "speech recognition" if path == SPEECH else "image generation"
    text = f"fake offers no {what} (Not Found); name a model of a provider that does"
    assert (reply.status_code, reply.json()) == (501, error(text, "api_error"))


async def test_recordings_that_cannot_be_used(bridged: Bridged, client: httpx.AsyncClient) -> None:
    url, upstream = bridged(says_complete)
    for form, text in (
        ({"data": {"model": "m"}, "files": {"file": b""}}, "audio file is empty"),
        (
            {"data": {"model": "m"}, "files": {"sound": b"x"}},
            "file is required: http: no such file",
        ),
        ({"data": {"language": "de"}, "files": {"file": b"x"}}, "model is required"),
        (
            {"json": {"model": "m"}},
            "failed to parse multipart form: request Content-Type isn't multipart/form-data",
        ),
    ):
        reply = await client.post(url + SPEECH, **form)  # type: ignore[arg-type]
        assert (reply.status_code, reply.json()) == (400, error(text, "invalid_request_error"))
    assert upstream.calls == []


async def test_a_picture(bridged: Bridged, client: httpx.AsyncClient) -> None:
    async def act(call: Call) -> None:
        await call.json({"created": 1, "data": [{"b64_json": "AAAA"}]})

    url, upstream = bridged(act)
    reply = await client.post(
        url + IMAGES, json={"model": "fake/m", "prompt": "a cat", "size": "512x512"}
    )
    assert upstream.calls[0].path == IMAGES
    assert upstream.calls[0].body == {"model": "m", "prompt": "a cat", "size": "512x512"}
    assert reply.json() == {"created": 1, "data": [{"b64_json": "AAAA"}]}


# anything at all


class Down:
    """A provider that has one model and refuses every request, once it could be sent."""

    async def open(self, path: str, body: dict[str, Any], *, model: str) -> Any:
        for quirk in QUIRKS.values():
            quirk(body)
        msgspec.json.encode(body)
        raise UpstreamFailed("down", status=503, upstream_status=503)

    async def open_form(self, path: str, kind: str, content: bytes, *, model: str) -> Any:
        raise UpstreamFailed("down", status=503, upstream_status=503)

    async def models(self) -> bytes:
        return b'{"data":[{"id":"m"}]}'

    async def retire(self) -> None: ...

    async def aclose(self) -> None: ...


words = st.sampled_from(
    ["m", "poet", "", "user", "system", "developer", "text", "json_object", "base64"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*sorted(READ), "role", "content", "type", "Model", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=9,
)
bodies = st.binary(max_size=30) | st.fixed_dictionaries(
    {"model": words, "messages": values, "prompt": values, "input": values},
    optional=dict.fromkeys(sorted(READ - {"model", "messages", "prompt", "input"}), values),
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from([CHAT, COMPLETIONS, EMBEDDINGS, IMAGES, SPEECH]), body=bodies)
async def test_no_body_breaks_anything(path: str, body: bytes) -> None:
    provider = Provider(name="fake", url="http://127.0.0.1:9/v1", key="none", quirks=tuple(QUIRKS))
    config = Config(
        path=Path("x"),
        providers={"fake": provider},
        aliases={"poet": POET},
        default_provider="fake",
    )
    app = build(config, keys=NoKeys(), connect=lambda _provider, _key: Down())
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        reply = await client.post(path, content=body)
    await app.bridge.aclose()
    if reply.status_code == 200:
        assert path == COMPLETIONS, "only an empty prompt is answered without an upstream"
        return
    assert reply.status_code in (400, 404, 503), reply.text
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}
