"""The official Python client manages models: live bridge, settings file, restarts."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import Home, end, until_ready
from ollama import AsyncClient, Client, ResponseError
from own_models import Place, provider

VERSES = {"system": "Answer in verse.", "parameters": {"temperature": 0.1, "stop": ["END"]}}
USER = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., Place]]:
    with provider() as make:
        yield make


@pytest.fixture
def place(make: Callable[..., Place], tmp_path: Path) -> Place:
    return make(tmp_path)


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with place.running() as url:
        client = Client(host=url)
        yield client
        client._client.close()


def names(client: Client) -> list[str | None]:
    return [model.model for model in client.list().models]


def statuses(progress: Any) -> list[str | None]:
    return [step.status for step in progress]


def test_create_show_chat_copy_delete(client: Client, place: Place) -> None:
    turns = [{"role": "user", "content": "A rose?"}, {"role": "assistant", "content": "It rises."}]
    steps = statuses(
        client.create("poet", from_="m", messages=turns, license="MIT", stream=True, **VERSES)
    )
    assert steps[-1] == "success"
    assert "poet:latest" in names(client)
    shown = client.show("poet")
    assert shown.license == "MIT"
    assert "FROM fake/m" in (shown.modelfile or "")
    assert "MESSAGE assistant It rises." in (shown.modelfile or "")
    assert client.chat("poet", USER).message.content == "hello"
    assert place.sent() == [{"role": "system", "content": "Answer in verse."}, *turns, *USER]
    assert client.generate("poet", "hi").response == "hello"
    assert place.sent() == [{"role": "system", "content": "Answer in verse."}, *turns, *USER]
    assert client.copy("poet", "bard").status == "success"
    assert client.delete("poet").status == "success"
    assert {"bard:latest"} == {
        name for name in names(client) if name not in ("m:latest", "other:latest")
    }
    assert "Answer in verse." in (client.show("bard").modelfile or "")
    with pytest.raises(ResponseError) as caught:
        client.chat("poet", USER)
    assert (caught.value.status_code, caught.value.error) == (404, "model 'poet' not found")


def test_create_in_one_piece_and_pull_and_hide(client: Client) -> None:
    assert client.create("x", from_="m", **VERSES).status == "success"
    assert client.delete("m").status == "success"
    assert "m:latest" not in names(client)
    assert client.pull("m").status == "success"
    assert "m:latest" in names(client)
    assert statuses(client.pull("m", stream=True))[-1] == "success"


@pytest.mark.parametrize(
    ("ask", "status", "text"),
    [
        (lambda c: c.pull("nope"), 500, "pull model manifest: file does not exist"),
        (lambda c: list(c.pull("nope", stream=True)), -1, "pull model manifest: file does not exist"),
        (lambda c: c.create("x", from_="nope"), 500, "pull model manifest: file does not exist"),
        (lambda c: c.create("x"), 400, "neither 'from' or 'files' was specified"),
        (lambda c: c.copy("foo", "x"), 404, 'model "foo" not found'),
        (lambda c: c.copy("m", "x y"), 400, 'destination "x y" is invalid'),
        (lambda c: c.delete("foo"), 404, "model 'foo' not found"),
    ],
)  # fmt: skip
def test_errors(client: Client, ask: Callable[[Client], Any], status: int, text: str) -> None:
    with pytest.raises(ResponseError) as caught:
        ask(client)
    assert (caught.value.status_code, caught.value.error) == (status, text)


def test_a_model_file_is_uploaded_and_refused_with_the_reason(
    client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" * 1000)
    digest = client.create_blob(file)
    assert client.create_blob(file) == digest
    with pytest.raises(ResponseError, match="has no weights of its own"):
        client.create("x", files={"model.gguf": digest})
    with pytest.raises(ResponseError, match="cannot be pushed"):
        list(client.push("m", stream=True))


async def test_the_same_asynchronously(place: Place) -> None:
    with place.running() as url:
        client = AsyncClient(host=url)
        steps = [
            step.status
            async for step in await client.create("poet", from_="m", stream=True, **VERSES)
        ]
        assert steps[-1] == "success"
        assert [step.status async for step in await client.pull("poet", stream=True)][
            -1
        ] == "success"
        assert (await client.copy("poet", "bard")).status == "success"
        assert (await client.delete("poet")).status == "success"
        pieces = [
            part.message.content async for part in await client.chat("bard", USER, stream=True)
        ]
        assert "".join(pieces) == "hello"
        with pytest.raises(ResponseError, match="file does not exist"):
            _ = [step async for step in await client.pull("nope", stream=True)]
        await client._client.aclose()


async def test_two_hundred_shows_and_creates_at_once_lose_nothing_and_are_quick(
    place: Place,
) -> None:
    """The time of each is taken by the server's side of the loop: clients of this size are slow."""
    app, took = place.app(), []

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        began = time.perf_counter()
        await app(scope, receive, send)
        if scope["type"] == "http" and scope["path"] in ("/api/show", "/api/create"):
            took.append(time.perf_counter() - began)

    with place.running(timed) as url:
        clients = [AsyncClient(host=url) for _ in range(20)]
        await clients[0].create("first", from_="m")
        await asyncio.gather(*(client.show("m") for client in clients))
        took.clear()
        shows = [clients[i % 20].show("m") for i in range(200)]
        creates = [clients[i].create(f"own{i}", from_="m", **VERSES) for i in range(20)]
        replies = await asyncio.gather(*shows, *creates)
        assert len(replies) == len(took) == 220
        assert all(reply.capabilities for reply in replies[:200])
        listed = {model.model for model in (await clients[0].list()).models}
        assert {f"own{i}:latest" for i in range(20)} <= listed
        for client in clients:
            await client._client.aclose()
    assert max(took) < 0.5, "ten times what a quiet machine needs"


@pytest.mark.parametrize("settings", ["", "[aliases]\n# none yet\n"])
def test_a_created_model_answers_by_its_prompt_after_a_restart(
    tmp_path: Path, settings: str
) -> None:
    """Real processes, nothing configured: the demo provider stays, and so does the model."""
    home = Home(tmp_path)
    if settings:
        home.write(settings)
    for run in range(2):
        daemon = home.daemon()
        try:
            until_ready(daemon)
            client = Client(host=f"http://127.0.0.1:{home.note()['port']}")
            if run == 0:
                client.create("poet", from_="demo", **VERSES)
            both = {"poet:latest", "demo:latest"}
            tries = iter(range(50))  # a machine under load is slow to list its own demo
            while not both <= set(names(client)) and next(tries, None) is not None:
                time.sleep(0.2)
            assert both <= set(names(client))
            assert client.show("poet").modelfile.count("Answer in verse.") == 1
            plain = client.chat("demo", USER)
            own = client.chat("poet", USER)
            assert own.prompt_eval_count > plain.prompt_eval_count, "the system prompt went along"
            client._client.close()
        finally:
            end(daemon)
    assert "Answer in verse." in home.config.read_text(encoding="utf-8")
