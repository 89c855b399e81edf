"""A real server, real sockets: when lines arrive, and what happens when somebody goes away."""

import asyncio
import json
import time
from collections.abc import Callable

import httpx
import pytest
from fake_upstream import Call, FakeUpstream

Bridged = Callable[..., tuple[str, FakeUpstream]]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


async def say_hello(call: Call) -> None:
    await call.start()
    await call.text("Hel")
    await call.text("lo", finish="stop")
    await call.event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    await call.write("data: [DONE]\n\n", more=False)


async def test_a_line_arrives_as_soon_as_its_chunk_does(bridged: Bridged) -> None:
    proceed = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def one_at_a_time(call: Call) -> None:
        await call.start()
        await call.text("first")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(proceed.wait(), loop))
        await call.text("second", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)

    url, _ = bridged(one_at_a_time)
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{url}/api/chat", json=CHAT) as reply,
    ):
        lines = reply.aiter_lines()
        first = json.loads(await asyncio.wait_for(anext(lines), 5))
        assert first["message"]["content"] == "first"
        proceed.set()
        rest = [json.loads(line) async for line in lines]
    assert [line["done"] for line in rest] == [False, True]
    assert reply.headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize(
    "spoken", [True, False], ids=["in mid-stream", "while the upstream is silent"]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_cancels_the_upstream(
    bridged: Bridged, spoken: bool, stream: bool
) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def never_ends(call: Call) -> None:
        await call.start()
        if spoken:
            await call.text("word")
        loop.call_soon_threadsafe(arrived.set)
        await call.gone.wait()

    url, upstream = bridged(never_ends)
    client = httpx.AsyncClient(timeout=30)
    request = asyncio.ensure_future(client.post(f"{url}/api/chat", json={**CHAT, "stream": stream}))
    await asyncio.wait_for(arrived.wait(), 5)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await client.aclose()
    begun = time.monotonic()
    while not upstream.hung_up.is_set():
        assert time.monotonic() - begun < 2, "the upstream was not told"
        await asyncio.sleep(0.005)


async def test_hanging_up_before_the_upstream_answers_at_all(bridged: Bridged) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def says_nothing(call: Call) -> None:
        loop.call_soon_threadsafe(arrived.set)
        await call.gone.wait()

    url, upstream = bridged(says_nothing)
    client = httpx.AsyncClient(timeout=30)
    request = asyncio.ensure_future(
        client.post(f"{url}/api/generate", json={"model": "m", "prompt": "x"})
    )
    await asyncio.wait_for(arrived.wait(), 5)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await client.aclose()
    begun = time.monotonic()
    while not upstream.hung_up.is_set():
        assert time.monotonic() - begun < 2, "the upstream was not told"
        await asyncio.sleep(0.005)


async def test_a_hundred_streams_at_once_are_complete_and_apart(bridged: Bridged) -> None:
    async def count(call: Call) -> None:
        name = call.body["messages"][0]["content"]
        await call.start()
        for number in range(30):
            await call.text(f"{name}-{number} ")
            await asyncio.sleep(0.002)
        await call.text("", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)

    url, upstream = bridged(count)

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": f"c{number}"}]}
        reply = await client.post(f"{url}/api/chat", json=body)
        lines = [json.loads(line) for line in reply.text.splitlines()]
        assert "".join(line["message"]["content"] for line in lines) == "".join(
            f"c{number}-{place} " for place in range(30)
        )
        assert [line["done"] for line in lines] == [False] * 30 + [True]

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        await asyncio.gather(*(ask(client, number) for number in range(100)))
    assert len(upstream.calls) == 100
    assert upstream.open_now == 0


async def test_a_cut_stream_ends_in_one_error_line(bridged: Bridged) -> None:
    async def cut(call: Call) -> None:
        await call.start()
        await call.text("half an ans")
        await call.write("", more=False)

    url, _ = bridged(cut)
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{url}/api/chat", json=CHAT)
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert reply.status_code == 200
    assert lines[0]["message"]["content"] == "half an ans"
    assert lines[1:] == [{"error": "fake stopped before its answer was complete"}]


async def test_an_upstream_that_fails_before_the_first_word_costs_a_status(
    bridged: Bridged,
) -> None:
    async def fail(call: Call) -> None:
        await call.start()
        await call.write(": waiting\n\n")
        await call.event({"error": {"message": "engine on fire", "code": 503}})
        await call.write("", more=False)

    url, _ = bridged(fail)
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{url}/api/chat", json=CHAT)
    assert reply.status_code == 503
    assert reply.json() == {"error": "fake: engine on fire"}
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_streams_or_not_as_it_likes(bridged: Bridged, stream: bool) -> None:
    """Quirk F13: asked for a stream, some send one object; others the other way round."""

    async def contrary(call: Call) -> None:
        if not call.body["stream"]:
            await say_hello(call)
            return
        choice = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        await call.json(
            {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        )

    url, _ = bridged(contrary)
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{url}/api/chat", json={**CHAT, "stream": stream})
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "Hello"
    assert lines[-1]["done"] is True
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (3, 2)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["", "text/event-stream", "application/json"])
@pytest.mark.parametrize("form", ["object", "stream"])
async def test_a_reply_is_what_it_looks_like(
    bridged: Bridged, path: str, stream: bool, kind: str, form: str
) -> None:
    """Quirk F13: content types are missing or wrong."""

    async def mislabelled(call: Call) -> None:
        headers = [(b"content-type", kind.encode())] if kind else []
        await call.send({"type": "http.response.start", "status": 200, "headers": headers})
        choice = {"index": 0, "finish_reason": "stop"}
        said = {"role": "assistant", "content": "Hello"}
        if form == "stream":
            await call.event({"choices": [choice | {"delta": said}]})
            await call.write("data: [DONE]\n\n", more=False)
            return
        text = json.dumps({"choices": [choice | {"message": said}]})
        await call.write(f"\n\n{text[:9]}")
        await call.write(text[9:], more=False)

    url, _ = bridged(mislabelled)
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{url}{path}", json={**CHAT, "stream": stream})
    assert reply.status_code == 200, reply.text
    assert "Hello" in reply.text
    assert "error" not in reply.text


async def test_silence_after_the_last_word_does_not_hold_the_client(bridged: Bridged) -> None:
    """Quirk F10: a finish reason, then neither `[DONE]` nor an end."""

    async def lingers(call: Call) -> None:
        await call.start()
        await call.text("done", finish="stop")
        await call.gone.wait()

    url, _ = bridged(lingers)
    async with httpx.AsyncClient(timeout=10) as client:
        reply = await client.post(f"{url}/api/chat", json=CHAT)
    assert json.loads(reply.text.splitlines()[-1])["done"] is True


async def test_more_stop_strings_than_a_provider_takes_are_all_obeyed(bridged: Bridged) -> None:
    async def talk(call: Call) -> None:
        assert call.body["stop"] == ["a1", "b2", "c3", "d4"]
        await call.start()
        for piece in ("one ", "EN", "D two", " three"):
            await call.text(piece)
        await call.text("", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)

    url, _ = bridged(talk, quirks=("first_four_stops",))
    options = {"stop": ["a1", "b2", "c3", "d4", "END"]}
    async with httpx.AsyncClient() as client:
        reply = await client.post(
            f"{url}/api/chat", json={**CHAT, "stream": False, "options": options}
        )
    assert reply.json()["message"]["content"] == "one "
    assert reply.json()["done_reason"] == "stop"


async def test_a_kept_connection_that_died_is_replaced_once() -> None:
    """llama.cpp promises keep-alive and closes all the same (real-upstreams.md, section 1)."""
    from bridges import bridge_app
    from servers import served

    from ollama_bridge.providers.provider import Provider

    answered = 0
    handlers: list[asyncio.Task[None] | None] = []
    body = json.dumps(
        {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "usage": {}}
    ).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        handlers.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        await reader.readexactly(length)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: keep-alive\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()
        answered += 1
        await reader.read(1)  # the next request on this connection is never answered
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = Provider(name="flaky", url=f"http://127.0.0.1:{port}/v1", key="none")
    with served(bridge_app(provider)) as url:
        async with httpx.AsyncClient() as client:
            for _ in range(4):
                reply = await client.post(f"{url}/api/chat", json={**CHAT, "stream": False})
                assert reply.json()["message"]["content"] == "ok"
    server.close()
    await asyncio.gather(*(task for task in handlers if task), return_exceptions=True)
    assert answered == len(handlers) >= 5, "the model list and four chats, a connection each"
