"""Services whose addresses and keys are not where all others have them, asked over real sockets."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from servers import served

from ollama_bridge import probe
from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Provider

CHUNK = {"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": "stop"}]}


class Service:
    """Answers everything alike and keeps the requests."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        raw = scope["raw_path"].decode().partition("?")[0]
        self.seen.append((scope["method"], raw, scope["query_string"].decode(), headers))
        listed = scope["method"] == "GET"
        kind = b"application/json" if listed else b"text/event-stream"
        told = json.dumps({"endpoints": [{"id": "1", "name": "my-llama"}]})
        body = told if listed else f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
        await send(start)
        await send({"type": "http.response.body", "body": body.encode()})


@pytest.fixture
def service() -> Iterator[tuple[str, Service]]:
    one = Service()
    with served(one) as url:
        yield url, one


def _moved(name: str, url: str, **more: Any) -> Provider:
    """A preset's row with its host replaced."""
    path = PRESETS[name].url.partition("://")[2].partition("/")[2]
    return replace(PRESETS[name], url=f"{url}/{path}", blanks=(), **more)


def _chat(bridge: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    done = httpx.post(f"{bridge}/api/chat", json=body, timeout=10)
    assert done.json()["message"]["content"] == "ok", done.text


def test_azure_in_the_v1_form(service: tuple[str, Service]) -> None:
    url, upstream = service
    row = _moved("azure", url, models=("my gpt",))
    with served(bridge_app(row, key="sk-azure-key")) as bridge:
        assert "my gpt" in httpx.get(f"{bridge}/api/tags").text
        for _ in range(2):  # as the SDK makes it, and repeated
            _chat(bridge, "my gpt")
    assert [(method, path, query) for method, path, query, _ in upstream.seen] == [
        ("POST", "/openai/v1/chat/completions", "")
    ] * 2, "its list of models is no list of deployments, so it is not asked for"
    for *_, headers in upstream.seen:
        assert headers["api-key"] == "sk-azure-key"
        assert "authorization" not in headers


def test_azure_in_the_deployments_form(service: tuple[str, Service]) -> None:
    url, upstream = service
    row = _moved("azure-deployments", url, models=("gpt-4o", "my/gpt"))
    with served(bridge_app(row, key="sk-azure-key")) as bridge:
        for model in ("gpt-4o", "gpt-4o", "my/gpt"):
            _chat(bridge, model)
        done = httpx.post(
            f"{bridge}/v1/audio/transcriptions",
            data={"model": "gpt-4o"},
            files={"file": ("a.wav", b"RIFF")},
            timeout=10,
        )
        assert done.status_code == 200
    deployments = "/openai/deployments"
    assert [(path, query) for _, path, query, _ in upstream.seen] == [
        (f"{deployments}/gpt-4o/chat/completions", "api-version=2024-10-21"),
        (f"{deployments}/gpt-4o/chat/completions", "api-version=2024-10-21"),
        (f"{deployments}/my%2Fgpt/chat/completions", "api-version=2024-10-21"),
        (f"{deployments}/gpt-4o/audio/transcriptions", "api-version=2024-10-21"),
    ]
    assert all("authorization" not in headers for *_, headers in upstream.seen)


def test_keys_are_tried_at_the_same_address(service: tuple[str, Service]) -> None:
    url, upstream = service
    row = _moved("azure-deployments", url, models=("gpt-4o",))
    assert probe.ask(row, "sk-azure-key").result == probe.VALID
    ((method, path, query, headers),) = upstream.seen
    assert (method, path) == ("POST", "/openai/deployments/gpt-4o/chat/completions")
    assert query == "api-version=2024-10-21"
    assert headers["api-key"] == "sk-azure-key"


def test_a_list_elsewhere_at_the_same_host(service: tuple[str, Service]) -> None:
    url, upstream = service
    with served(bridge_app(_moved("databricks", url), key="dapi-key")) as bridge:
        assert "my-llama" in httpx.get(f"{bridge}/api/tags").text
        _chat(bridge, "my-llama")
    assert [path for _, path, _, _ in upstream.seen] == [
        "/api/2.0/serving-endpoints",
        "/serving-endpoints/chat/completions",
    ]
