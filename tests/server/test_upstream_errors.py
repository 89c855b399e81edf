"""What a client sees for each way an upstream can refuse, with respx at the HTTP border."""

import json
from typing import Any

import httpx
import pytest
import respx

from ollama_bridge.errors import BridgeError, UpstreamBroke
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.upstream import Upstream

BASE = "http://up.test/v1"
KEY = "sk-secret-1234567890"


@pytest.fixture
async def upstream() -> Any:
    async with httpx.AsyncClient() as client:
        yield Upstream(Provider(name="acme", url=BASE), KEY, http_client=client)


async def refused(upstream: Upstream, response: httpx.Response | Exception) -> BridgeError:
    with respx.mock:
        route = respx.post(f"{BASE}/chat/completions")
        route.mock(side_effect=[response])
        with pytest.raises(BridgeError) as caught:
            await upstream.open("/chat/completions", {"model": "big"}, model="big")
        assert route.call_count == 1, "an error must not be retried behind the client's back"
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "seen", "text"),
    [
        (400, {"error": {"message": "bad \n thing"}}, 400, "acme: bad thing"),
        (
            401,
            {"error": {"message": "Incorrect API key"}},
            502,
            "acme: Incorrect API key (upstream status 401: set a valid key with `ollama-bridge keys set acme`)",
        ),
        (402, {"error": {"message": "no credit"}}, 402, "acme: no credit"),
        (403, {"error": "moderated"}, 403, "acme: moderated"),
        (
            404,
            {"error": {"message": "The model `big` does not exist"}},
            404,
            "model 'big' not found (acme: The model `big` does not exist)",
        ),
        (413, {"detail": "too large"}, 413, "acme: too large"),
        (422, {"detail": [{"msg": "extra inputs"}]}, 400, "acme: extra inputs"),
        (429, {"error": {"message": "slow down"}}, 429, "acme: slow down"),
        (500, {"error": {"message": "oops"}}, 502, "acme: oops"),
        (503, {"error": {"message": "Loading model"}}, 503, "acme: Loading model"),
        (529, {"error": {"message": "overloaded"}}, 503, "acme: overloaded"),
        (400, [{"error": {"message": "in a list", "code": 400}}], 400, "acme: in a list"),
        (
            400,
            {"error": {"message": "tool calling` is not supported with this model"}},
            400,
            '"big" does not support tools (acme: tool calling` is not supported with this model)',
        ),
    ],
)
async def test_statuses_and_sentences(
    upstream: Upstream, status: int, body: Any, seen: int, text: str
) -> None:
    error = await refused(upstream, httpx.Response(status, json=body))
    assert (error.status, error.message) == (seen, text)


async def test_html_becomes_one_sentence(upstream: Upstream) -> None:
    page = "<html><head><style>p{}</style></head><body><h1>502 Bad\nGateway</h1></body></html>"
    error = await refused(upstream, httpx.Response(502, text=page))
    assert (error.status, error.message) == (502, "acme: 502 Bad Gateway")


async def test_the_key_is_never_repeated(upstream: Upstream) -> None:
    error = await refused(
        upstream,
        httpx.Response(400, json={"error": f"bad key {KEY} and Bearer abcdef.ghijkl.mnopqr"}),
    )
    assert KEY not in error.message
    assert "abcdef.ghijkl" not in error.message


async def test_retry_after_is_passed_on(upstream: Upstream) -> None:
    error = await refused(
        upstream, httpx.Response(429, json={"error": "x"}, headers={"retry-after": "7"})
    )
    assert error.retry_after == "7"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cause", "status", "text"),
    [
        (
            httpx.ConnectError("refused"),
            502,
            "acme cannot be reached at http://up.test/v1: refused",
        ),
        (
            httpx.ConnectTimeout("slow"),
            504,
            "acme did not answer in time at http://up.test/v1: slow",
        ),
    ],
)
async def test_network_errors(upstream: Upstream, cause: Exception, status: int, text: str) -> None:
    error = await refused(upstream, cause)
    assert (error.status, error.message) == (status, text)


async def test_what_is_sent(upstream: Upstream) -> None:
    with respx.mock:
        route = respx.post(f"{BASE}/chat/completions").respond(json={"choices": []})
        opened = await upstream.open("/chat/completions", {"model": "big"}, model="big")
        assert await opened.whole() == b'{"choices":[]}'
    request = route.calls.last.request
    assert json.loads(request.content) == {"model": "big"}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith("ollama-bridge/")
    assert not [name for name in request.headers if name.startswith("x-stainless")]


async def test_no_key_no_header() -> None:
    async with httpx.AsyncClient() as client:
        upstream = Upstream(Provider(name="lab", url=BASE, key="none"), "", http_client=client)
        with respx.mock:
            route = respx.post(f"{BASE}/embeddings").respond(json={})
            await (await upstream.open("/embeddings", {}, model="m")).whole()
    assert "authorization" not in route.calls.last.request.headers


async def test_a_read_that_breaks_off(upstream: Upstream) -> None:
    async def broken() -> Any:
        yield b"data: {}\n\n"
        raise httpx.ReadError("reset")

    with respx.mock:
        respx.post(f"{BASE}/chat/completions").respond(
            content=broken(), headers={"content-type": "text/event-stream"}
        )
        opened = await upstream.open("/chat/completions", {}, model="m")
        assert await opened.read()
        with pytest.raises(UpstreamBroke, match="acme broke off: reset"):
            await opened.read()
