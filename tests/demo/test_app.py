"""The application: models, errors, streams that are left, and OpenAI's own client."""

import asyncio
import json

import pytest
from demo.asking import PNG, WEATHER, ask, post
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from pydantic import BaseModel

from ollama_bridge.demo import Demo, app

CHAT = "/v1/chat/completions"


async def test_models(client):
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    chatting, embedding = listed["data"]
    assert chatting["id"] == "demo"
    assert {"tools", "reasoning", "structured_outputs"} <= set(chatting["supported_parameters"])
    assert {"completion", "vision", "insert"} <= set(chatting["capabilities"])
    assert embedding["id"] == "demo-embed"
    assert embedding["dimensions"] == 384
    assert all(model["context_length"] > 0 for model in listed["data"])
    assert (await client.get("/v1/models/demo")).json() == chatting
    assert (await client.get("/v1/models/nobody")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("chat/completions", ask(model="nobody"), 404, "nobody"),
        ("chat/completions", ask(model="demo-embed"), 400, "no text"),
        ("chat/completions", ask(model=None), 400, "model"),
        ("chat/completions", {"model": "demo"}, 400, "messages"),
        ("chat/completions", {"model": "demo", "messages": []}, 400, "messages"),
        ("chat/completions", {"model": "demo", "messages": ["x"]}, 400, "messages[0]"),
        ("chat/completions", ask(1), 400, "messages[0].content"),
        ("chat/completions", ask(max_tokens=0), 400, "max_tokens"),
        ("chat/completions", ask(max_tokens="9"), 400, "max_tokens"),
        ("chat/completions", ask(max_completion_tokens=True), 400, "max_completion_tokens"),
        ("chat/completions", ask(stop=[1]), 400, "stop"),
        ("chat/completions", ask(logprobs=True, top_logprobs=21), 400, "top_logprobs"),
        ("chat/completions", ask(response_format="json"), 400, "response_format"),
        ("chat/completions", ask(response_format={"type": "xml"}), 400, "response_format"),
        ("chat/completions", ask(response_format={"type": "json_schema"}), 400, "schema"),
        ("chat/completions", ask(tool_choice={"function": {"name": "f"}}), 400, "'f'"),
        (
            "chat/completions",
            ask([{"type": "image_url", "image_url": {"url": PNG}}]),
            400,
            "data: URL",
        ),
        (
            "chat/completions",
            ask([{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]),
            400,
            "base64",
        ),
        ("chat/completions", ask([{"type": "video", "video": {}}]), 400, "video"),
        ("completions", {"model": "demo-embed", "prompt": "x"}, 400, "no text"),
        ("completions", {"model": "demo", "prompt": ["a", "b"]}, 400, "prompt"),
        ("completions", {"model": "demo", "prompt": "a", "logprobs": 6}, 400, "logprobs"),
        ("embeddings", {"model": "demo-embed"}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": []}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": ["a", 1]}, 400, "input"),
        ("embeddings", {"model": "demo-embed", "input": "a", "dimensions": 385}, 400, "dimensions"),
        ("embeddings", {"model": "demo-embed", "input": "a", "dimensions": 0}, 400, "dimensions"),
        (
            "embeddings",
            {"model": "demo-embed", "input": "a", "encoding_format": "x"},
            400,
            "encoding",
        ),
        ("responses", {}, 404, "POST /v1/responses"),
    ],
)
async def test_errors_have_openais_form(client, path, body, status, words):
    reply = await post(client, body, f"/v1/{path}")
    error = reply.json()["error"]
    assert reply.status_code == status
    assert error.keys() == {"message", "type", "param", "code"}
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    codes = {400: {None}, 404: {"model_not_found", "unknown_url"}}
    assert error["code"] in codes[status]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model":"\xff"}', b"[" * 99999])
async def test_unreadable_bodies(client, body):
    reply = await client.post("/v1/chat/completions", content=body)
    assert reply.status_code == 400
    assert "JSON body" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/v1/embeddings"), ("PUT", "/v1/models")]
)
async def test_unknown_routes(client, method, path):
    reply = await client.request(method, path)
    assert reply.status_code == 404
    assert reply.json()["error"]["message"] == f"Unknown request URL: {method} {path}"


class Place(BaseModel):
    city: str


async def test_openais_own_client(client):
    async with AsyncOpenAI(base_url="http://demo/v1", api_key="none", http_client=client) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["demo", "demo-embed"]
        reply = await sdk.chat.completions.create(**ask("Hello"))
        assert "demo model" in reply.choices[0].message.content
        async with sdk.chat.completions.stream(**ask(tools=[WEATHER])) as stream:
            whole = (await stream.get_final_completion()).choices[0].message
        assert json.loads(whole.tool_calls[0].function.arguments)["city"] == "New York"
        parsed = await sdk.chat.completions.parse(**ask(), response_format=Place)
        assert parsed.choices[0].message.parsed.city == "New York"
        vectors = await sdk.embeddings.create(model="demo-embed", input=["a"])
        assert len(vectors.data[0].embedding) == 384
        with pytest.raises(NotFoundError):
            await sdk.chat.completions.create(**ask(model="nobody"))
        with pytest.raises(BadRequestError):
            await sdk.chat.completions.create(**ask(max_tokens=0))


async def test_a_client_that_hangs_up_in_a_pause_ends_the_stream():
    incoming = [{"type": "http.request", "body": json.dumps(ask("Hello", stream=True)).encode()}]
    sent = []
    gone = asyncio.Event()

    async def receive():
        if incoming:
            return incoming.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            gone.set()

    scope = {"type": "http", "method": "POST", "path": CHAT}
    await asyncio.wait_for(Demo(delay=3600)(scope, receive, send), 10)
    assert sent == ["http.response.start", "http.response.body"]


async def test_a_client_that_hangs_up_while_sending_gets_nothing():
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await app({"type": "http", "method": "POST", "path": CHAT}, receive, send)


async def test_start_and_stop_of_the_server():
    steps = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
    sent = []

    async def receive():
        return steps.pop()

    async def send(message):
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
