"""No account and no cloud of Ollama's: the answers that keep its own command line content."""

from collections.abc import AsyncIterator

import httpx
import pytest
from bridges import bridge_app

from ollama_bridge.providers.provider import Provider


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = bridge_app(Provider(name="demo", url=demo_url, key="none"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:11434") as client:
        yield client
    await app.bridge.aclose()


SEARCH, FETCH = "/api/experimental/web_search", "/api/experimental/web_fetch"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "answer"),
    [
        ("POST", "/api/me", b"", 503, {"error": "account unavailable"}),
        ("POST", "/api/me", b"{}", 503, {"error": "account unavailable"}),
        ("POST", "/api/signout", b"", 401, {"error": "you are not currently signed in"}),
        (
            "DELETE",
            "/api/user/keys/c3NoLWVkMjU1MTk",
            b"",
            401,
            {"error": "you are not currently signed in"},
        ),
        ("GET", "/api/status", b"", 200, {"cloud": {"disabled": True, "source": "config"}}),
        ("POST", SEARCH, b"", 400, {"error": "missing request body"}),
        (
            "POST",
            SEARCH,
            b'{"query":"x"}',
            403,
            {"error": "ollama cloud is disabled: web search is unavailable"},
        ),
        (
            "POST",
            FETCH,
            b'{"url":"x"}',
            403,
            {"error": "ollama cloud is disabled: web fetch is unavailable"},
        ),
        (
            "GET",
            "/api/experimental/model-recommendations",
            b"",
            200,
            {"recommendations": []},
        ),
    ],
)
async def test_answer(
    client: httpx.AsyncClient, method: str, path: str, body: bytes, status: int, answer: object
) -> None:
    reply = await client.request(method, path, content=body)
    assert (reply.status_code, reply.json()) == (status, answer)
    assert reply.headers["content-type"].startswith("application/json")
    assert "\n" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/me", "POST"),
        ("GET", "/api/signout", "POST"),
        ("POST", "/api/status", "GET"),
        ("GET", SEARCH, "POST"),
        ("POST", "/api/experimental/model-recommendations", "GET"),
        ("GET", "/api/user/keys/x", "DELETE"),
    ],
)
async def test_other_methods(client: httpx.AsyncClient, method: str, path: str, allow: str) -> None:
    reply = await client.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allow)
