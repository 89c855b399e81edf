"""Whatever bytes arrive, the answer is one Ollama could have given: never a traceback, never a made-up 500."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridges import NoKeys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_bridge.config import Config
from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.app import App, build

PATHS = ("/api/chat", "/api/generate", "/api/show", "/api/embed", "/api/embeddings")
LIST = b'{"data":[{"id":"m","capabilities":["completion","tools","vision","thinking","insert"]}]}'


class Down:
    """A provider that lists one model and refuses everything else, so that no request leaves."""

    async def open(self, path: str, body: dict[str, Any], *, model: str) -> Any:
        json.dumps(body)
        raise UpstreamFailed("down", status=503, upstream_status=503)

    async def models(self) -> bytes:
        return LIST

    async def retire(self) -> None: ...

    async def aclose(self) -> None: ...


def application() -> App:
    provider = Provider(name="fake", url="http://127.0.0.1:9/v1", key="none")
    config = Config(path=Path("x"), providers={"fake": provider}, default_provider="fake")
    return build(config, keys=NoKeys(), connect=lambda _provider, _key: Down())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = [
    "model",
    "name",
    "messages",
    "prompt",
    "suffix",
    "system",
    "template",
    "context",
    "images",
    "raw",
    "stream",
    "format",
    "keep_alive",
    "options",
    "think",
    "truncate",
    "logprobs",
    "top_logprobs",
    "tools",
    "input",
    "dimensions",
    "verbose",
    "role",
    "content",
    "tool_calls",
    "function",
    "arguments",
    "id",
    "tool_name",
    "tool_call_id",
    "type",
    "properties",
    "temperature",
    "num_predict",
    "stop",
    "seed",
]
likely = st.recursive(
    st.sampled_from(
        [
            "m",
            "",
            "user",
            "tool",
            "assistant",
            "json",
            "high",
            "5m",
            "iVBORw0KGgo=",
            None,
            True,
            0,
            -1,
            2.5,
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=20,
)
bodies = (
    st.binary(max_size=200)
    | json_values.map(json.dumps).map(str.encode)
    | likely.map(json.dumps).map(str.encode)
    | st.dictionaries(st.sampled_from(FIELDS), likely, max_size=8).map(
        lambda body: json.dumps({"model": "m", **body}).encode()
    )
)

OLLAMAS_500 = ('option "', "invalid format: ")


@pytest.mark.parametrize("path", PATHS)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=bodies)
def test_any_body(path: str, body: bytes) -> None:
    import asyncio

    asyncio.run(_ask(path, body))


async def _ask(path: str, body: bytes) -> None:
    app = application()
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        reply = await client.post(path, content=body)
    await app.bridge.aclose()
    if reply.status_code == 200:
        assert isinstance(reply.json(), dict)
        assert "error" not in reply.json()
        return
    text = reply.json()["error"]
    assert isinstance(text, str)
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    assert reply.status_code in (400, 404, 500, 503)
    assert reply.status_code != 500 or text.startswith(OLLAMAS_500)
    assert reply.status_code != 503 or text == "down"


@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "PATCH"]))
@settings(max_examples=100, deadline=None)
def test_any_path(path: str, method: str) -> None:
    import asyncio

    async def ask() -> int:
        app = application()
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/" + path,
            "headers": [(b"host", b"localhost")],
        }
        await app(scope, receive, send)
        await app.bridge.aclose()
        return int(sent[0]["status"])

    assert asyncio.run(ask()) in (200, 400, 401, 403, 404, 405)
