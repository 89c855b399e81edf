"""/v1/responses over HTTP: statuses, headers, errors, and both ways to an upstream."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Alias, Provider

Bridged = Callable[..., tuple[str, FakeUpstream]]
HELLO = {"model": "m", "input": "hello"}
DONE = "data: [DONE]\n\n"


async def post(url: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(f"{url}/v1/responses", content=content, headers=headers)


def events(text: str) -> list[dict[str, Any]]:
    lines = [line for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def says_hello(call: Call) -> None:
    await call.start()
    await call.text("Hel")
    await call.text("lo", finish="stop")
    await call.event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    await call.write(DONE, more=False)


async def test_a_stream(bridged: Bridged) -> None:
    url, upstream = bridged(says_hello)
    reply = await post(url, HELLO | {"stream": True})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    found = events(reply.text)
    assert found[0]["type"] == "response.created"
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"
    assert "[DONE]" not in reply.text
    assert upstream.calls[0].path == "/v1/chat/completions"
    assert upstream.calls[0].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("stream", [False, None, ...])
async def test_a_whole_reply_unless_a_stream_is_asked_for(bridged: Bridged, stream: Any) -> None:
    async def whole(call: Call) -> None:
        message = {"role": "assistant", "content": "Hello"}
        await call.json({"choices": [{"message": message, "finish_reason": "stop"}]})

    url, upstream = bridged(whole)
    reply = await post(url, HELLO if stream is ... else HELLO | {"stream": stream})
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.json()["output"][0]["content"][0]["text"] == "Hello"
    assert upstream.calls[0].body["stream"] is False


async def test_an_upstream_that_streams_all_the_same(bridged: Bridged) -> None:
    url, _ = bridged(says_hello)
    assert (await post(url, HELLO)).json()["output"][0]["content"][0]["text"] == "Hello"


async def test_a_delta_arrives_as_soon_as_its_chunk_does(bridged: Bridged) -> None:
    proceed, loop = asyncio.Event(), asyncio.get_running_loop()

    async def waits(call: Call) -> None:
        await call.start()
        await call.text("first")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        await call.text("second", finish="stop")
        await call.write(DONE, more=False)

    url, _ = bridged(waits)
    body = HELLO | {"stream": True}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{url}/v1/responses", json=body) as reply,
    ):
        text = ""
        parts = reply.aiter_text()
        while "response.output_text.delta" not in text:
            text += await asyncio.wait_for(anext(parts), 5)
        assert [event["delta"] for event in events(text) if "delta" in event] == ["first"]
        proceed.set()
        text += "".join([part async for part in parts])
    assert events(text)[-1]["type"] == "response.completed"


async def test_a_client_that_hangs_up_cancels_the_upstream(bridged: Bridged) -> None:
    arrived, loop = asyncio.Event(), asyncio.get_running_loop()

    async def never_ends(call: Call) -> None:
        await call.start()
        await call.text("word")
        loop.call_soon_threadsafe(arrived.set)
        await call.gone.wait()

    url, upstream = bridged(never_ends)
    request = asyncio.ensure_future(post(url, HELLO | {"stream": True}))
    await asyncio.wait_for(arrived.wait(), 5)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    begun = time.monotonic()
    while not upstream.hung_up.is_set():
        assert time.monotonic() - begun < 2, "the upstream was not told"
        await asyncio.sleep(0.005)


async def test_an_error_in_mid_stream_is_told_in_the_stream(bridged: Bridged) -> None:
    proceed, loop = asyncio.Event(), asyncio.get_running_loop()

    async def breaks(call: Call) -> None:
        await call.start()
        await call.text("Hel")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        await call.event({"error": {"message": "out of memory", "code": 500}})
        await call.write("", more=False)

    url, _ = bridged(breaks)
    body = HELLO | {"stream": True}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{url}/v1/responses", json=body) as reply,
    ):
        parts = reply.aiter_text()
        text = await anext(parts)
        proceed.set()
        text += "".join([part async for part in parts])
    error, failed = events(text)[-2:]
    assert (error["type"], error["message"]) == ("error", "fake: out of memory")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "seen", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 502, "api_error"),
        (429, 429, "api_error"),
        (500, 502, "api_error"),
    ],
)
async def test_a_refusal_has_its_status(
    bridged: Bridged, stream: bool, status: int, seen: int, kind: str
) -> None:
    async def refuses(call: Call) -> None:
        await call.json({"error": {"message": "no"}}, status=status, retry_after="7")

    url, _ = bridged(refuses)
    reply = await post(url, HELLO | {"stream": stream})
    assert reply.status_code == seen
    error = reply.json()["error"]
    assert error["message"].startswith("fake: no")
    assert (error["type"], error["param"], error["code"]) == (kind, None, None)
    assert reply.headers["retry-after"] == "7"


async def test_an_error_before_the_first_word_has_a_status_too(bridged: Bridged) -> None:
    async def fails(call: Call) -> None:
        await call.start()
        await call.event({"error": {"message": "busy", "code": 503}})
        await call.write("", more=False)

    url, _ = bridged(fails)
    reply = await post(url, HELLO | {"stream": True})
    assert (reply.status_code, reply.json()["error"]["message"]) == (503, "fake: busy")


LOOK = {"type": "function", "name": "look"}
ASK = {"model": "demo", "input": "x"}
ROWS: list[tuple[Any, int, str]] = [
    (b"", 400, "EOF"),
    (b"abc", 400, "invalid character 'a' looking for beginning of value"),
    (b"[]", 400, "json: cannot unmarshal array into Go value of type openai.ResponsesRequest"),
    ({"input": "x"}, 400, "model is required"),
    (ASK | {"model": "a b"}, 400, "invalid model name"),
    (ASK | {"model": "nope"}, 404, "model 'nope' not found"),
    (
        {"model": 1},
        400,
        "json: cannot unmarshal number into Go struct field ResponsesRequest.model of type string",
    ),
    (ASK | {"input": [{"type": "x"}]}, 400, 'input[0]: unknown input item type: "x"'),
    (
        ASK | {"model": "plain", "tools": [LOOK]},
        400,
        "registry.ollama.ai/library/plain:latest does not support tools",
    ),
    (
        ASK | {"model": "plain", "reasoning": {"effort": "low"}},
        400,
        '"plain" does not support thinking',
    ),
    (ASK | {"model": "demo-embed"}, 400, '"demo-embed" does not support chat'),
    (
        ASK | {"previous_response_id": "resp_1"},
        400,
        "previous_response_id is not supported, because nothing is stored here: send the earlier turns again as items of input",
    ),
]


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    plain = Alias(targets=("demo",), capabilities=("completion",))
    app = bridge_app(Provider(name="demo", url=demo_url, key="none"), aliases={"plain": plain})
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client
    await app.bridge.aclose()


@pytest.mark.parametrize(("body", "status", "text"), ROWS)
async def test_errors_in_openais_envelope(
    client: httpx.AsyncClient, body: Any, status: int, text: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await client.post("/v1/responses/", content=content)
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    assert reply.json() == {"error": {"message": text, "type": kind, "param": None, "code": None}}
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    reply = await client.get("/v1/responses")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")


async def test_keys_in_any_case(bridged: Bridged) -> None:
    url, upstream = bridged(says_hello)
    reply = await post(url, {"Model": "m", "INPUT": "hello", "Instructions": "Be brief."})
    assert reply.status_code == 200
    assert [message["role"] for message in upstream.calls[0].body["messages"]] == ["system", "user"]


async def test_more_stop_strings_than_the_service_takes(bridged: Bridged) -> None:
    """A model of the user's own may have them; the bridge watches for those it cannot send."""
    own = Alias(targets=("m",), parameters={"stop": ["1", "2", "3", "4", "l"]})
    url, _ = bridged(says_hello, aliases={"own": own}, quirks=("first_four_stops",))
    reply = await post(url, HELLO | {"model": "own"})
    assert reply.json()["output"][0]["content"][0]["text"] == "He"


async def test_a_packed_body(bridged: Bridged) -> None:
    zstd = pytest.importorskip(
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    )
    url, _ = bridged(says_hello)
    packed = zstd.compress(json.dumps(HELLO).encode())
    reply = await post(url, packed, **{"content-encoding": "zstd"})
    assert reply.json()["output"][0]["content"][0]["text"] == "Hello"


# a service that has the route itself

RESPONSE = {
    "id": "resp_9",
    "object": "response",
    "model": "m-2025",
    "status": "completed",
    "output": [],
}


async def answers_itself(call: Call) -> None:
    if not call.body.get("stream"):
        await call.json(RESPONSE)
        return
    await call.start()
    for kind in ("response.created", "response.completed"):
        await call.write(f"event: {kind}\n")
        await call.event({"type": kind, "response": RESPONSE, "sequence_number": 0})
    await call.write("", more=False)


def test_who_has_it() -> None:
    names = [row.name for row in PRESETS.values() if row.responses]
    assert names == ["openai", "azure", "litellm", "ollama"]


@pytest.mark.parametrize("stream", [True, False])
async def test_passed_on_with_everything_in_it(bridged: Bridged, stream: bool) -> None:
    url, upstream = bridged(answers_itself, responses=True, key="k")
    extra = {"previous_response_id": "resp_8", "tools": [{"type": "file_search"}], "store": True}
    body = HELLO | {"model": "m:latest", "stream": stream} | extra
    reply = await post(url, body)
    call = upstream.calls[0]
    assert (call.path, call.body) == ("/v1/responses", body | {"model": "m"})
    assert call.headers["authorization"] == "Bearer k"
    renamed = RESPONSE | {"model": "m:latest"}
    if stream:
        assert [event["response"] for event in events(reply.text)] == [renamed, renamed]
    else:
        assert reply.json() == renamed


async def test_a_server_without_the_route_is_asked_for_a_chat(bridged: Bridged) -> None:
    """The flag stands for a service; the user may have moved it to another address."""

    async def chats_only(call: Call) -> None:
        if call.path.endswith("/responses"):
            await call.json({"detail": "Not Found"}, status=404)
        else:
            await says_hello(call)

    url, upstream = bridged(chats_only, responses=True)
    reply = await post(url, HELLO)
    assert reply.json()["output"][0]["content"][0]["text"] == "Hello"
    assert [call.path for call in upstream.calls] == ["/v1/responses", "/v1/chat/completions"]


async def test_a_model_the_service_does_not_have_is_not_asked_for_twice(bridged: Bridged) -> None:
    async def lacks(call: Call) -> None:
        await call.json({"error": {"message": "The model `m` does not exist"}}, status=404)

    url, upstream = bridged(lacks, responses=True)
    reply = await post(url, HELLO)
    assert (reply.status_code, len(upstream.calls)) == (404, 1)
    assert reply.json()["error"]["type"] == "not_found_error"


async def test_a_passed_stream_that_stops_early_gets_an_error(bridged: Bridged) -> None:
    proceed, loop = asyncio.Event(), asyncio.get_running_loop()

    async def stops(call: Call) -> None:
        await call.start()
        await call.event({"type": "response.created", "response": RESPONSE})
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        await call.write("", more=False)

    url, _ = bridged(stops, responses=True)
    body = HELLO | {"stream": True}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{url}/v1/responses", json=body) as reply,
    ):
        parts = reply.aiter_text()
        text = await anext(parts)
        proceed.set()
        text += "".join([part async for part in parts])
    assert [event["type"] for event in events(text)] == ["response.created", "error"]
    assert events(text)[-1]["message"] == "fake stopped before its answer was complete"
