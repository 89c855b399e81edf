"""`server.access_keys`: who gets in, by which way, and that no log holds a key."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ollama import Client
from servers import served

from ollama_bridge.config import Config, Server
from ollama_bridge.errors import KeyMissing
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.app import App, build

LAPTOP, PHONE = "laptop-key-0123456789", "phone/key+with=signs"
Talk = Callable[..., "AsyncIterator[httpx.AsyncClient]"]


class Ring:
    """A keyring in memory that counts how often it is asked."""

    def __init__(self, **entries: str) -> None:
        self.entries = entries
        self.asked = 0

    def get(self, provider: Provider) -> str:
        return ""

    def source(self, provider: Provider) -> str:
        return "test"

    def named(self, name: str) -> str:
        self.asked += 1
        if name not in self.entries:
            raise KeyMissing(f"No key for provider {name}: store one")
        return self.entries[name]


def app_for(ring: Ring, demo_url: str, names: tuple[str, ...] = ("laptop", "phone")) -> App:
    config = Config(
        path=Path("config.toml"),
        server=Server(access_keys=names),
        providers={"demo": Provider(name="demo", url=demo_url, key="none")},
        default_provider="demo",
    )
    return build(config, keys=ring, token="daemon-token")


@asynccontextmanager
async def talking(app: App) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client
    finally:
        await app.bridge.aclose()


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with talking(app_for(Ring(laptop=LAPTOP, phone=PHONE), demo_url)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/tags", {"authorization": f"Bearer {LAPTOP}"}),
        ("/api/tags", {"authorization": f"bearer   {PHONE} "}),
        ("/api/tags", {"x-api-key": PHONE}),
        ("/api/tags", {"authorization": "Bearer daemon-token"}),
        (f"/{LAPTOP}/api/tags", {}),
        (f"/{LAPTOP}/api/tags/", {}),
        (f"/{LAPTOP}//api/tags", {}),
        ("/phone%2Fkey+with=signs/api/tags", {}),
        (f"/{LAPTOP}/api/tags", {"authorization": "Bearer ollama"}),
        (f"/{LAPTOP}/api/tags", {"authorization": f"Bearer {PHONE}"}),
        (f"/{LAPTOP}", {}),
        (f"/{LAPTOP}/", {}),
        (f"/{LAPTOP}/v1/models", {}),
        ("/", {}),
        ("/", {"authorization": "Bearer ollama"}),
        ("/api/version", {}),
    ],
)
async def test_who_gets_in(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    reply = await client.get(path, headers=headers)
    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/tags", {}),
        ("/api/tags", {"authorization": "Bearer"}),
        ("/api/tags", {"authorization": "Bearer "}),
        ("/api/tags", {"authorization": LAPTOP}),
        ("/api/tags", {"authorization": f"Basic {LAPTOP}"}),
        ("/api/tags", {"authorization": f"Bearer {LAPTOP}x"}),
        ("/api/tags", {"authorization": f"Bearer {LAPTOP[:-1]}"}),
        ("/api/tags", {"authorization": "Bearer laptop"}),
        ("/wrong/api/tags", {}),
        (f"/{LAPTOP[:-1]}/api/tags", {}),
        (f"/x/{LAPTOP}/api/tags", {}),
        (f"/api/tags/{LAPTOP}", {}),
        ("/nope", {}),
        ("/wrong/", {}),
        ("/api/nope", {}),
        ("/v1/models", {}),
        (f"/{LAPTOP}/_bridge/status", {}),
    ],
)
async def test_who_stays_out(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        reply = await client.request(method, path, headers=headers)
        assert reply.status_code == 401
        assert list(reply.json()) == ["error"]
        assert "access key" in str(reply.json()["error"])
        assert reply.headers["www-authenticate"] == "Bearer"
        assert reply.headers["content-type"] == "application/json"


async def test_with_a_key_what_is_not_there_is_404_and_405(client: httpx.AsyncClient) -> None:
    bearer = {"authorization": f"Bearer {LAPTOP}"}
    assert (await client.get("/nope", headers=bearer)).status_code == 404
    assert (await client.get("/wrong/api/tags", headers=bearer)).status_code == 404
    assert (await client.get(f"/{LAPTOP}/api/nope")).status_code == 404
    assert (await client.get(f"/{LAPTOP}/api/chat")).status_code == 405


async def test_the_admin_routes_keep_their_own_gate(client: httpx.AsyncClient) -> None:
    status = "/_bridge/status"
    assert (await client.get(status)).status_code == 403
    assert (
        await client.get(status, headers={"authorization": f"Bearer {LAPTOP}"})
    ).status_code == 403
    reply = await client.get(status, headers={"authorization": "Bearer daemon-token"})
    assert reply.status_code == 200
    assert LAPTOP not in reply.text


async def test_foreign_pages_stay_out_even_with_a_key(client: httpx.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {LAPTOP}", "origin": "https://evil.example"}
    reply = await client.get("/api/tags", headers=headers)
    assert (reply.status_code, reply.content) == (403, b"")
    own = {"origin": "http://localhost:3000"}
    reply = await client.get("/api/tags", headers=own)
    assert reply.status_code == 401
    assert reply.headers["access-control-allow-origin"] == "http://localhost:3000"
    preflight = await client.options("/api/chat", headers=own)
    assert preflight.status_code == 204


async def test_no_log_holds_a_key(demo_url: str, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("ollama_bridge", "ollama_bridge.requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    async with talking(app_for(Ring(laptop=LAPTOP, phone=PHONE), demo_url)) as client:
        for key in (LAPTOP, "an-old-key", "phone%2Fkey+with=signs"):
            await client.post(f"/{key}/api/chat", json=body)
            await client.get(f"/{key}/api/tags", headers={"origin": "https://evil.example"})
            await client.get(f"/{key}", headers={"host": "evil.example"})
            await client.get(f"/{key}/nope")
    ours = [record for record in caplog.records if record.name.startswith("ollama_bridge")]
    logged = [record.getMessage() + str(record.__dict__) for record in ours]
    assert any("POST /api/chat" in line for line in logged)
    assert any("refused" in line for line in logged)
    for key in (LAPTOP, "an-old-key", "phone/key", "with=signs"):
        assert not any(key in line for line in logged)


async def test_the_keyring_is_asked_once_by_many(demo_url: str) -> None:
    ring = Ring(laptop=LAPTOP, phone=PHONE)
    async with talking(app_for(ring, demo_url)) as client:
        bearer = {"authorization": f"Bearer {LAPTOP}"}
        replies = await asyncio.gather(*(client.get("/api/ps", headers=bearer) for _ in range(20)))
        assert {reply.status_code for reply in replies} == {200}
        assert ring.asked == 2


async def test_without_any_readable_key_nobody_gets_in_until_there_is_one(demo_url: str) -> None:
    ring = Ring()
    async with talking(app_for(ring, demo_url)) as client:
        for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Bearer "}):
            reply = await client.get("/api/tags", headers=headers)
            assert reply.status_code == 503
            assert "ollama-bridge logs" in reply.json()["error"]
        assert (await client.get("/")).status_code == 200
        ring.entries["phone"] = PHONE
        assert (await client.get("/api/tags", headers={"x-api-key": PHONE})).status_code == 200
        assert (await client.get("/api/tags", headers={"x-api-key": "x"})).status_code == 401


async def test_no_access_keys_no_gate(demo_url: str) -> None:
    async with talking(app_for(Ring(), demo_url, names=())) as client:
        assert (await client.get("/api/tags")).status_code == 200
        assert (await client.get("/nope/api/tags")).status_code == 404


async def test_a_reload_changes_who_gets_in(demo_url: str) -> None:
    ring = Ring(laptop=LAPTOP, phone=PHONE)
    app = app_for(ring, demo_url)
    fresh = app_for(ring, demo_url, names=("phone",)).bridge.config
    app._reload = lambda: fresh
    async with talking(app) as client:
        laptop, phone = ({"x-api-key": key} for key in (LAPTOP, PHONE))
        assert (await client.get("/api/tags", headers=laptop)).status_code == 200
        await app.reload()
        assert (await client.get("/api/tags", headers=laptop)).status_code == 401
        assert (await client.get("/api/tags", headers=phone)).status_code == 200


def test_the_official_client_with_a_key_in_its_address_or_its_headers(demo_url: str) -> None:
    with served(app_for(Ring(laptop=LAPTOP), demo_url, names=("laptop",))) as url:
        for client in (
            Client(host=f"{url}/{LAPTOP}"),
            Client(host=url, headers={"Authorization": f"Bearer {LAPTOP}"}),
        ):
            assert client.list().models
            messages = [{"role": "user", "content": "Say blue."}]
            said = "".join(
                part.message.content for part in client.chat("demo", messages, stream=True)
            )
            assert "blue" in said
            client._client.close()
