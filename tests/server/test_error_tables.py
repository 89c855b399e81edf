"""Every row of the reference's error tables: exact status, exact text (ollama-api 1.2, 1.3, 2, 3.4, 4.5, 5)."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from bridges import bridge_app

from ollama_bridge.providers.provider import Alias, Provider

SAYS = "completion", "tools", "vision", "thinking", "insert"
PLAIN = Alias(targets=("demo",), capabilities=("completion",))


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    aliases = {"plain": PLAIN, "able": Alias(targets=("demo",), capabilities=SAYS)}
    app = bridge_app(Provider(name="demo", url=demo_url, key="none"), aliases=aliases)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client
    await app.bridge.aclose()


CHAT, GENERATE, SHOW, EMBED, EMBEDDINGS = (
    f"/api/{name}" for name in ("chat", "generate", "show", "embed", "embeddings")
)
USER = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": USER, "stream": False, **fields}


ROWS: list[tuple[str, bytes | dict[str, Any], int, str]] = [
    # 4.5: order of evaluation
    (CHAT, b"", 400, "missing request body"),
    (GENERATE, b" \n\t", 400, "missing request body"),
    (SHOW, b"", 400, "missing request body"),
    (EMBED, b"", 400, "missing request body"),
    (EMBEDDINGS, b"", 400, "missing request body"),
    (CHAT, b"null", 400, "model is required"),
    (CHAT, {"messages": USER}, 400, "model is required"),
    (CHAT, {"model": "  ", "messages": USER}, 400, "model is required"),
    (GENERATE, {"prompt": "x"}, 404, "model '' not found"),
    (GENERATE, b"null", 404, "model '' not found"),
    (CHAT, chat(model="a b"), 400, "invalid model name"),
    (CHAT, chat(model=":x"), 400, "invalid model name"),
    (CHAT, chat(model="../x"), 400, "invalid model name"),
    (GENERATE, {"model": "a b", "prompt": "x"}, 400, "invalid model name"),
    (
        CHAT,
        chat(model="x:cloud:local"),
        400,
        'use either :local or :cloud, not both: "x:cloud:local"',
    ),
    (CHAT, chat(model="foo"), 404, "model 'foo' not found"),
    (GENERATE, {"model": "foo", "prompt": "x"}, 404, "model 'foo' not found"),
    (CHAT, chat(top_logprobs=21), 400, "top_logprobs must be between 0 and 20"),
    (CHAT, chat(model="", top_logprobs=-1), 400, "top_logprobs must be between 0 and 20"),
    (
        GENERATE,
        {"model": "demo", "prompt": "x", "raw": True, "system": "s"},
        400,
        "raw mode does not support template, system, or context",
    ),
    (
        GENERATE,
        {"model": "demo", "prompt": "x", "raw": True, "template": "t"},
        400,
        "raw mode does not support template, system, or context",
    ),
    (
        GENERATE,
        {"model": "demo", "prompt": "x", "raw": True, "context": [1]},
        400,
        "raw mode does not support template, system, or context",
    ),
    (CHAT, chat(model="plain", think=True), 400, '"plain" does not support thinking'),
    (CHAT, chat(model="plain", think="high"), 400, '"plain" does not support thinking'),
    (CHAT, {"model": "plain", "think": True}, 400, '"plain" does not support thinking'),
    (
        GENERATE,
        {"model": "plain", "prompt": "x", "think": True},
        400,
        '"plain" does not support thinking',
    ),
    (CHAT, chat(model="demo-embed"), 400, '"demo-embed" does not support chat'),
    (
        GENERATE,
        {"model": "demo-embed", "prompt": "x"},
        400,
        '"demo-embed" does not support generate',
    ),
    (
        CHAT,
        chat(model="plain", tools=[{"type": "function", "function": {"name": "f"}}]),
        400,
        "registry.ollama.ai/library/plain:latest does not support tools",
    ),
    (
        GENERATE,
        {"model": "plain", "prompt": "x", "suffix": "y"},
        400,
        "registry.ollama.ai/library/plain:latest does not support insert",
    ),
    (
        CHAT,
        chat(options={"temperature": "hot"}),
        500,
        'option "temperature" must be of type float32',
    ),
    (CHAT, chat(options={"num_ctx": "big"}), 500, 'option "num_ctx" must be of type integer'),
    (CHAT, chat(options={"use_mmap": 1}), 500, 'option "use_mmap" must be of type boolean'),
    (CHAT, chat(options={"stop": "x"}), 500, 'option "stop" must be of type array'),
    (
        GENERATE,
        {"model": "demo", "prompt": "x", "options": {"stop": [1]}},
        500,
        'option "stop" must be of an array of strings',
    ),
    (
        CHAT,
        chat(format="xml"),
        500,
        'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
    ),
    (
        CHAT,
        chat(format=[1]),
        500,
        'invalid format: "[1]"; expected "json" or a valid JSON Schema object',
    ),
    (
        CHAT,
        chat(_debug_render_only=True),
        400,
        "_debug_render_only is not supported: the provider renders the prompt, out of sight",
    ),
    # 1.3: bad JSON
    (CHAT, b'{"model":"x",', 400, "unexpected EOF"),
    (CHAT, b"abc", 400, "invalid character 'a' looking for beginning of value"),
    (CHAT, b"[]", 400, "json: cannot unmarshal array into Go value of type api.ChatRequest"),
    (
        CHAT,
        b'{"model":1}',
        400,
        "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
    ),
    (
        CHAT,
        b'{"stream":"false"}',
        400,
        "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
    ),
    (
        CHAT,
        b'{"options":"x"}',
        400,
        "json: cannot unmarshal string into Go struct field ChatRequest.options of type map[string]interface {}",
    ),
    (
        CHAT,
        chat(messages=[{"role": "user", "content": [{"type": "x"}]}]),
        400,
        "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
    ),
    (
        CHAT,
        chat(messages=[{"role": "user", "images": ["http://x/y.png"]}]),
        400,
        "illegal base64 data at input byte 4",
    ),
    # 2.6 and 2.7
    (
        CHAT,
        chat(think="some"),
        400,
        'invalid think value: "some" (must be "high", "medium", "low", "max", true, or false)',
    ),
    (
        CHAT,
        chat(think=1),
        400,
        'think must be a boolean or string ("high", "medium", "low", "max", true, or false)',
    ),
    (CHAT, chat(keep_alive="-1"), 400, 'time: missing unit in duration "-1"'),
    (CHAT, chat(keep_alive=""), 400, 'time: invalid duration ""'),
    (CHAT, chat(keep_alive="10x"), 400, 'time: unknown unit "x" in duration "10x"'),
    (CHAT, chat(keep_alive=True), 400, "Unsupported type: 'bool'"),
    # 3.4: show
    (SHOW, {}, 400, "model is required"),
    (SHOW, {"model": "", "name": ""}, 400, "model is required"),
    (SHOW, {"model": "a b"}, 400, "invalid model name"),
    (SHOW, {"model": "foo"}, 404, "model 'foo:latest' not found"),
    (SHOW, {"name": "foo:7b"}, 404, "model 'foo:7b' not found"),
    # 5: embeddings
    (EMBED, {"input": "x"}, 404, "model '' not found"),
    (EMBED, {"model": "foo", "input": "x"}, 404, 'model "foo" not found, try pulling it first'),
    (EMBED, {"model": "demo-embed", "input": 7}, 400, "invalid input type"),
    (EMBED, {"model": "demo-embed", "input": ["x", 7]}, 400, "invalid input type"),
    (EMBEDDINGS, {"prompt": "x"}, 400, "model is required"),
    (
        EMBEDDINGS,
        {"model": "foo", "prompt": "x"},
        404,
        'model "foo" not found, try pulling it first',
    ),
]


@pytest.mark.parametrize(("path", "body", "status", "text"), ROWS)
async def test_row(client: httpx.AsyncClient, path: str, body: Any, status: int, text: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await client.post(path, content=content)
    assert (reply.status_code, reply.json()) == (status, {"error": text})
    assert reply.headers["content-type"] == "application/json"
    assert b"\n" not in reply.content


ACCEPTED: list[tuple[str, bytes | dict[str, Any]]] = [
    (CHAT, b'{"model":"demo","messages":[{"role":"user","content":"hi"}],"stream":false} junk'),
    (CHAT, b'{"MODEL":"demo","Messages":[{"ROLE":"USER","content":"hi"}],"sTream":false}'),
    (CHAT, chat(think=False, model="plain")),
    (CHAT, chat(tools=[], format="", options=None, images=None, keep_alive=None)),
    (CHAT, chat(options={"temperature": None, "no_such_option": [1], "mirostat": 2})),
    (CHAT, chat(temperature="hot", tool_choice={}, metadata=1)),
    (CHAT, chat(messages=[{"role": "assistant", "tool_calls": []}, {"role": "USER"}])),
    (SHOW, {"model": "", "name": "demo", "system": "", "template": "", "options": None}),
    (EMBED, {"model": "demo-embed", "input": [""]}),
]


@pytest.mark.parametrize(("path", "body"), ACCEPTED)
async def test_what_ollama_takes_is_taken(client: httpx.AsyncClient, path: str, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/event-stream"}
    reply = await client.post(path, content=content, headers=headers)
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("form", [{}, {"stream": True}, {"stream": False}])
@pytest.mark.parametrize("keep_alive", [0, "0", "0s", "0m", 0.0])
async def test_unloading_is_one_object_in_every_spelling(
    client: httpx.AsyncClient, form: dict[str, Any], keep_alive: Any
) -> None:
    reply = await client.post(
        GENERATE, json={"model": "demo", "prompt": "", "keep_alive": keep_alive, **form}
    )
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert list(reply.json()) == ["model", "created_at", "response", "done", "done_reason"]
    assert reply.json()["done_reason"] == "unload"
    reply = await client.post(CHAT, json={"model": "demo", "keep_alive": keep_alive, **form})
    assert reply.json()["message"] == {"role": "assistant", "content": ""}
    assert reply.json()["done_reason"] == "unload"


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ({"model": "demo-embed"}, {"model": "demo-embed", "embeddings": []}),
        ({"model": "demo-embed", "input": ""}, {"model": "demo-embed", "embeddings": []}),
        ({"model": "demo-embed", "input": []}, {"model": "demo-embed", "embeddings": []}),
        ({"model": "demo-embed", "input": None}, {"model": "demo-embed", "embeddings": []}),
    ],
)
async def test_embedding_nothing_loads_the_model(
    client: httpx.AsyncClient, body: Any, reply: Any
) -> None:
    assert (await client.post(EMBED, json=body)).json() == reply
    legacy = await client.post(EMBEDDINGS, json={"model": "demo-embed", "prompt": ""})
    assert legacy.content == b'{"embedding":[]}'


@pytest.mark.parametrize(
    ("method", "path", "status", "text", "allow"),
    [
        ("GET", "/nope", 404, "404 page not found", None),
        ("POST", "/api/upgrade", 404, "404 page not found", None),
        ("GET", "/api/chat", 405, "405 method not allowed", "POST"),
        ("POST", "/api/tags", 405, "405 method not allowed", "GET, HEAD"),
        ("HEAD", "/api/ps", 405, "", "GET"),
        ("DELETE", "/", 405, "405 method not allowed", "GET, HEAD"),
    ],
)
async def test_unrouted(
    client: httpx.AsyncClient, method: str, path: str, status: int, text: str, allow: str | None
) -> None:
    reply = await client.request(method, path)
    assert (reply.status_code, reply.text, reply.headers.get("allow")) == (status, text, allow)
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/api/tags/", "/api//tags", "/api/version/"])
async def test_slashes_too_many_are_forgiven(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "host.docker.internal:11434"}, 200),
    ],
)
async def test_host_and_origin(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    for path in ("/api/tags", "/nope"):
        reply = await client.get(path, headers=headers)
        assert (reply.status_code == 403) == (status == 403)
        assert reply.content == b"" or status != 403


async def test_the_heartbeat(client: httpx.AsyncClient) -> None:
    reply = await client.get("/")
    assert (reply.text, reply.headers["content-type"]) == (
        "Ollama is running",
        "text/plain; charset=utf-8",
    )
    for path in ("/", "/api/version", "/api/tags"):
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")


async def test_the_version_is_plain_digits_and_new_enough(client: httpx.AsyncClient) -> None:
    version = (await client.get("/api/version")).json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 13, 4)
