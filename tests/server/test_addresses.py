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
    done = httpx.post(f"{bridge}/api/chat", json=body, timeout=60)
    assert done.json()["message"]["content"] == "ok", done.text


def test_azure_in_the_v1_form(service: tuple[str, Service]) -> None:
    url, upstream = service
    row = _moved("azure", url, models=("my gpt",))
    with served(bridge_app(row, key="sk-azure-key")) as bridge:
        assert "my gpt" in httpx.get(f"{bridge}/api/tags", timeout=60).text
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
            timeout=60,
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
        assert "my-llama" in httpx.get(f"{bridge}/api/tags", timeout=60).text
        _chat(bridge, "my-llama")
    assert [path for _, path, _, _ in upstream.seen] == [
        "/api/2.0/serving-endpoints",
        "/serving-endpoints/chat/completions",
    ]


class Lists:
    """A server with these documents, and 404 for all else."""

    def __init__(self, **documents: Any) -> None:
        self.documents = {name.replace("_", "/"): value for name, value in documents.items()}
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        path = scope["path"]
        self.asked.append(path)
        found = self.documents.get(path.strip("/"))
        status = 200 if found is not None else 404
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})


def _shown(server: Lists, name: str) -> dict[str, Any]:
    with served(server) as url, served(bridge_app(_moved(name, url))) as bridge:
        (row,) = httpx.get(f"{bridge}/api/tags", timeout=60).json()["models"]
    found: dict[str, Any] = row
    return found


def test_lm_studios_own_list_tells_what_is_loaded() -> None:
    own = {"id": "m", "type": "vlm", "max_context_length": 131072, "loaded_context_length": 12918}
    server = Lists(api_v0_models={"data": [own]}, v1_models={"data": [{"id": "m"}]})
    row = _shown(server, "lmstudio")
    assert row["details"]["context_length"] == 12918
    assert "vision" in row["capabilities"]
    assert "/v1/models" not in server.asked


def test_an_older_one_has_the_usual_list() -> None:
    server = Lists(v1_models={"data": [{"id": "m"}]})
    assert _shown(server, "lmstudio")["name"] == "m:latest"


def test_llama_cpp_tells_the_window_it_runs_with() -> None:
    listed = {"data": [{"id": "m", "meta": {"n_ctx_train": 40960}}]}
    props = {"default_generation_settings": {"n_ctx": 4096}}
    assert (
        _shown(Lists(v1_models=listed, props=props), "llamacpp")["details"]["context_length"]
        == 4096
    )
    assert _shown(Lists(v1_models=listed), "llamacpp")["details"]["context_length"] == 40960


@pytest.mark.parametrize("status", [404, 405, 501])
def test_where_a_service_has_no_list_public_facts_name_its_models(status: int) -> None:
    async def act(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"detail":"no"}'})

    with served(act) as url:
        row = Provider(name="mine", url=f"{url}/v1", key="none", facts="groq", retries=0)
        with served(bridge_app(row)) as bridge:
            listed = httpx.get(f"{bridge}/api/tags", timeout=60).json()["models"]
        assert "openai/gpt-oss-120b:latest" in [model["name"] for model in listed]
        with served(bridge_app(replace(row, facts=""))) as bridge:
            assert httpx.get(f"{bridge}/api/tags", timeout=60).json()["models"] == []
