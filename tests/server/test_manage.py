"""pull, push, create, copy, delete, blobs: exact answers, and what becomes of the settings file."""

import asyncio
import functools
import hashlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_models import Place, provider

from ollama_bridge import config, editing
from ollama_bridge.server import blobs
from ollama_bridge.server.app import App

PULL, PUSH, CREATE, COPY, DELETE = (
    f"/api/{name}" for name in ("pull", "push", "create", "copy", "delete")
)
NO_MANIFEST = "pull model manifest: file does not exist"
SUCCESS = {"status": "success"}


@pytest.fixture(scope="module")
def make_at() -> Iterator[Callable[..., Place]]:
    with provider() as make:
        yield make


@pytest.fixture
def make(make_at: Callable[..., Place], tmp_path: Path) -> Callable[..., Place]:
    return functools.partial(make_at, tmp_path)


@pytest.fixture
def place(make: Callable[..., Place]) -> Place:
    return make()


@asynccontextmanager
async def talking(place: Place, **options: Any) -> AsyncIterator[tuple[httpx.AsyncClient, App]]:
    """A client of a fresh daemon."""
    app = place.app(**options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/api/tags")).status_code == 200
            yield client, app
    finally:
        await app.bridge.aclose()


@pytest.fixture
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with talking(place) as (client, _):
        yield client


async def listed(client: httpx.AsyncClient) -> list[str]:
    return [model["name"] for model in (await client.get("/api/tags")).json()["models"]]


async def remove(client: httpx.AsyncClient, body: Any) -> httpx.Response:
    return await client.request("DELETE", DELETE, json=body)


async def chat(client: httpx.AsyncClient, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    return await client.post("/api/chat", json=body | fields)


async def made(client: httpx.AsyncClient, **fields: Any) -> None:
    reply = await client.post(CREATE, json={"stream": False, **fields})
    assert (reply.status_code, reply.json()) == (200, SUCCESS), reply.text


def lines(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.text.endswith("}\n")
    return [json.loads(line) for line in reply.text.splitlines()]


# exact errors

BLOB = f"/api/blobs/sha256:{'0' * 64}"
ROWS: list[tuple[str, str, Any, int, str]] = [
    ("POST", PULL, b"", 400, "missing request body"),
    ("POST", PULL, {}, 400, "invalid model name"),
    ("POST", PULL, {"model": "a b"}, 400, "invalid model name"),
    ("POST", PULL, {"model": "", "name": " "}, 400, "invalid model name"),
    ("POST", PULL, {"model": "nope", "stream": False}, 500, NO_MANIFEST),
    ("POST", PULL, {"model": "fake/nope", "stream": False}, 500, NO_MANIFEST),
    ("POST", PUSH, {}, 400, "model is required"),
    ("POST", PUSH, {"model": "a b"}, 400, "invalid model name"),
    ("POST", PUSH, {"model": "nope", "stream": False}, 500, "model 'nope' not found"),
    ("POST", CREATE, b"", 400, "missing request body"),
    ("POST", CREATE, {"from": "m"}, 400, "invalid model name"),
    ("POST", CREATE, {"model": "a b", "from": "m"}, 400, "invalid model name"),
    ("POST", CREATE, {"model": " x", "from": "m"}, 400, "invalid model name"),
    ("POST", CREATE, {"model": "x" * 351, "from": "m"}, 400, "invalid model name"),
    ("POST", CREATE, {"model": "x"}, 400, "neither 'from' or 'files' was specified"),
    ("POST", CREATE, {"model": "x", "stream": False}, 400, "neither 'from' or 'files' was specified"),
    ("POST", CREATE, {"model": "x", "from": "nope", "stream": False}, 500, NO_MANIFEST),
    ("POST", CREATE, {"model": "x", "from": "a b"}, 400, "invalid model name"),
    ("POST", CREATE, {"model": "x", "files": {"/a": "sha256:1"}}, 400, "file path must be relative"),
    ("POST", CREATE, {"model": "x", "parameters": {"seed": "x"}, "from": "m"}, 400, 'option "seed" must be of type integer'),
    ("POST", COPY, b"", 400, "missing request body"),
    ("POST", COPY, {"source": "x y", "destination": "z"}, 400, 'source "x y" is invalid'),
    ("POST", COPY, {"source": "m", "destination": "x y"}, 400, 'destination "x y" is invalid'),
    ("POST", COPY, {"source": "m"}, 400, 'destination "" is invalid'),
    ("POST", COPY, {"source": "foo", "destination": "z"}, 404, 'model "foo" not found'),
    ("DELETE", DELETE, b"", 400, "missing request body"),
    ("DELETE", DELETE, {"model": " "}, 400, "model is required"),
    ("DELETE", DELETE, {"model": "a b"}, 400, 'name "a b" is invalid'),
    ("DELETE", DELETE, {"model": "foo"}, 404, "model 'foo' not found"),
    ("DELETE", DELETE, {"model": "", "name": "foo:7b"}, 404, "model 'foo:7b' not found"),
    ("DELETE", DELETE, {"model": "fake/foo"}, 404, "model 'fake/foo' not found"),
    ("POST", "/api/blobs/sha256:12", b"x", 400, "invalid digest format"),
    ("POST", f"/api/blobs/md5:{'0' * 64}", b"x", 400, "invalid digest format"),
    (
        "POST",
        BLOB,
        b"x",
        400,
        f'digest mismatch, expected "sha256:{"0" * 64}", got "sha256:{hashlib.sha256(b"x").hexdigest()}"',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), ROWS)
async def test_row(
    place: Place,
    client: httpx.AsyncClient,
    method: str,
    path: str,
    body: Any,
    status: int,
    text: str,
) -> None:
    before = place.text()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await client.request(method, path, content=content)
    assert (reply.status_code, reply.json()) == (status, {"error": text})
    assert reply.headers["content-type"] == "application/json"
    assert place.text() == before


# pull and push


@pytest.mark.parametrize(
    "body", [{"model": "m"}, {"name": "m:latest"}, {"model": "", "name": "fake/M"}]
)
async def test_a_pull_of_a_known_model(client: httpx.AsyncClient, body: Any) -> None:
    said = lines(await client.post(PULL, json=body))
    assert said[0] == {"status": "pulling manifest"}
    assert said[-1] == SUCCESS
    assert said[1]["completed"] == said[1]["total"]
    assert "m:latest" in await listed(client)


async def test_a_pull_in_one_piece(client: httpx.AsyncClient) -> None:
    reply = await client.post(PULL, json={"model": "m", "insecure": False, "stream": False})
    assert reply.content == b'{"status":"success"}'
    assert reply.headers["content-type"] == "application/json"


async def test_a_pull_of_an_unknown_model_is_an_error_line(client: httpx.AsyncClient) -> None:
    reply = await client.post(PULL, json={"model": "nope"})
    assert reply.status_code == 200
    assert lines(reply) == [{"status": "pulling manifest"}, {"error": NO_MANIFEST}]


@pytest.mark.parametrize("name", ["brand-new", "fake/brand-new"])
async def test_a_pull_looks_for_models_that_are_new(place: Place, name: str) -> None:
    async with talking(place) as (client, app):
        place.upstream.models.append({"id": "brand-new", "object": "model"})
        assert "brand-new:latest" not in await listed(client)
        later = app.bridge.monotonic() + 10**10
        app.bridge.monotonic = lambda: later
        assert lines(await client.post(PULL, json={"model": name}))[-1] == SUCCESS
        assert "brand-new:latest" in await listed(client)


async def test_a_push_says_why_not(client: httpx.AsyncClient) -> None:
    first, last = lines(await client.post(PUSH, json={"name": "m"}))
    assert first == {"status": "retrieving manifest"}
    assert "runs at its provider" in last["error"]
    assert "ollama show --modelfile m" in last["error"]
    reply = await client.post(PUSH, json={"model": "m", "stream": False})
    assert (reply.status_code, reply.json()) == (400, last)
    assert lines(await client.post(PUSH, json={"model": "nope"})) == [
        {"status": "retrieving manifest"},
        {"status": "couldn't retrieve manifest"},
        {"error": "model 'nope' not found"},
    ]


# create

POET = {
    "from": "m",
    "system": "Answer in verse.\r\nAlways.",
    "parameters": {"temperature": 0.1, "stop": ["END", "\n\n"], "num_ctx": 8192},
    "messages": [{"role": "user", "content": "A rose?"}, {"role": "assistant", "content": "It rises."}],
    "license": ["MIT", "and more"],
    "template": "{{ .System }} {{ .Prompt }}",
}  # fmt: skip


async def test_a_created_model_chats_shows_and_survives_a_restart(place: Place) -> None:
    async with talking(place) as (client, _):
        said = [
            line["status"]
            for line in lines(await client.post(CREATE, json={"model": "poet", **POET}))
        ]
        assert said[0].startswith("using existing layer sha256:")
        assert sum(line.startswith("creating new layer sha256:") for line in said) == 5
        assert said[-3].startswith("note: the template is kept")
        assert said[-2:] == ["writing manifest", "success"]
    for _ in range(2):
        async with talking(place) as (client, _):
            assert "poet:latest" in await listed(client)
            assert (await chat(client, "poet")).json()["message"]["content"] == "hello"
            assert place.sent() == [
                {"role": "system", "content": POET["system"]},
                *POET["messages"],
                {"role": "user", "content": "hi"},
            ]
            body = place.upstream.calls[-1].body
            assert (body["model"], body["temperature"], body["stop"]) == ("m", 0.1, ["END", "\n\n"])
            shown = (await client.post("/api/show", json={"model": "poet"})).json()
            assert shown["system"] == POET["system"]
            assert shown["template"] == POET["template"]
            assert shown["license"] == "MIT\nand more"
            assert shown["messages"] == POET["messages"]
            assert shown["parameters"].split("\n")[0].split() == ["temperature", "0.1"]
            for part in (
                "FROM fake/m\n",
                f'SYSTEM """{POET["system"]}"""\n',
                'TEMPLATE """{{ .System }} {{ .Prompt }}"""\n',
                'LICENSE """MIT\nand more"""\n',
                "PARAMETER temperature 0.1\n",
                'PARAMETER stop "END"\n',
                "PARAMETER num_ctx 8192\n",
                "MESSAGE user A rose?\n",
                "MESSAGE assistant It rises.\n",
            ):
                assert part in shown["modelfile"]
    assert place.text().startswith("# mine\n")


async def test_a_create_in_one_piece(client: httpx.AsyncClient) -> None:
    reply = await client.post(CREATE, json={"name": "x", "model": "", "from": "m", "stream": False})
    assert reply.content == b'{"status":"success"}'
    assert reply.headers["content-type"] == "application/json"


async def test_a_create_from_nothing_known(client: httpx.AsyncClient) -> None:
    reply = await client.post(CREATE, json={"model": "x", "from": "nope"})
    assert reply.status_code == 200
    assert lines(reply) == [{"status": "pulling manifest"}, {"error": NO_MANIFEST}]


async def test_a_model_made_from_another_has_its_settings_and_does_not_need_it(
    place: Place, client: httpx.AsyncClient
) -> None:
    await made(client, model="poet", **POET)
    await made(
        client, model="brief", **{"from": "POET"}, system="Be brief.", parameters={"seed": 1}
    )
    assert (await remove(client, {"model": "poet"})).status_code == 200
    await chat(client, "brief")
    assert place.sent()[0] == {"role": "system", "content": "Be brief."}
    assert place.sent()[1:3] == POET["messages"]
    assert place.upstream.calls[-1].body["temperature"] == 0.1
    assert place.upstream.calls[-1].body["seed"] == 1


async def test_creating_again_replaces_whatever_the_spelling(
    place: Place, client: httpx.AsyncClient
) -> None:
    await made(client, model="Poet", **POET)
    for name in ("poet", "POET:latest", "Poet:LATEST"):
        await made(client, model=name, **{"from": "other"}, system=name)
    assert [name for name in await listed(client) if "oet" in name.lower()] == ["Poet:latest"]
    await chat(client, "poet")
    assert place.upstream.calls[-1].body["model"] == "other"
    assert place.sent()[0] == {"role": "system", "content": "Poet:LATEST"}
    await made(client, model="poet:v2", **{"from": "m"})
    assert {"Poet:latest", "poet:v2"} <= set(await listed(client))


async def test_a_model_may_take_the_name_of_the_one_it_is_made_from(
    place: Place, client: httpx.AsyncClient
) -> None:
    for system in ("one", "two"):
        await made(client, model="m", **{"from": "m"}, system=system)
        await chat(client, "m")
        assert place.sent()[0] == {"role": "system", "content": system}
        assert place.upstream.calls[-1].body["model"] == "m"
    assert (await remove(client, {"model": "m"})).status_code == 200
    await chat(client, "m")
    assert len(place.sent()) == 1


async def test_a_saved_conversation_goes_on(place: Place) -> None:
    """What `/save` of the `ollama` command sends: the whole conversation, pictures and calls too."""
    call = {"id": "c1", "function": {"name": "look", "arguments": {"at": ["it"], "deep": 1.5}}}
    turns = [
        {"role": "user", "content": "What is it?", "images": ["iVBORw0KGgo="]},
        {"role": "assistant", "thinking": "I should look.", "tool_calls": [call]},
        {"role": "tool", "content": "a cat", "tool_name": "look"},
        {"role": "assistant", "content": "A cat."},
    ]
    async with talking(place) as (client, _):
        await made(client, model="saved", **{"from": "m"}, messages=turns)
    async with talking(place) as (client, _):
        assert (await chat(client, "saved")).status_code == 200
        asked, called, result, said, now = place.sent()
        assert [part["type"] for part in asked["content"]] == ["text", "image_url"]
        assert (
            json.loads(called["tool_calls"][0]["function"]["arguments"])
            == call["function"]["arguments"]
        )
        assert result["tool_call_id"] == called["tool_calls"][0]["id"]
        assert (said["content"], now["content"]) == ("A cat.", "hi")
        shown = (await client.post("/api/show", json={"model": "saved"})).json()
        assert [turn["role"] for turn in shown["messages"]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]


async def test_what_info_says_is_shown(client: httpx.AsyncClient) -> None:
    info = {"context_length": 1234, "capabilities": ["completion"]}
    await made(client, model="x", **{"from": "m"}, info=info)
    shown = (await client.post("/api/show", json={"model": "x"})).json()
    assert shown["capabilities"] == ["completion"]
    assert 1234 in shown["model_info"].values()


async def test_comments_and_other_settings_stay(make: Callable[..., Place]) -> None:
    place = make(
        more='\n[aliases]\nsmall = "fake/m"  # for tests\n\n[server]\nport = 4321 # ours\n'
    )
    before = place.text().splitlines()
    async with talking(place) as (client, _):
        await made(client, model="poet", **POET)
        await client.post(COPY, json={"source": "small", "destination": "tiny"})
        await remove(client, {"model": "other"})
        await remove(client, {"model": "poet"})
    after = place.text().splitlines()
    assert [line for line in before if line and line not in after] == []
    assert 'tiny = "fake/m"' in after
    assert 'hidden = ["fake/other"]' in after
    if sys.platform != "win32":
        assert place.file.stat().st_mode & 0o777 == 0o600


async def test_aliases_on_one_line_are_edited_too(make: Callable[..., Place]) -> None:
    place = make()
    place.file.write_text('aliases = { small = "fake/m" } # short\n' + place.text())
    async with talking(place) as (client, _):
        await made(client, model="poet", **POET)
        assert {"small:latest", "poet:latest"} <= set(await listed(client))
    async with talking(place) as (client, _):
        await chat(client, "poet")
        assert place.sent()[0]["content"] == POET["system"]


async def test_the_first_create_keeps_the_providers_of_the_environment(tmp_path: Path) -> None:
    path, environ = tmp_path / "config.toml", {"OPENAI_API_KEY": "k", "GROQ_API_KEY": "k"}
    before = config.load(path, environ)
    alias = editing.Alias(("openai/gpt-5",), system="s")
    after = editing.edit(path, editing.making(path, "x", alias), environ)
    assert after.providers == before.providers
    assert after.default_provider == before.default_provider
    assert config.load(path, environ).aliases == {"x": alias}


async def test_settings_that_cannot_be_written_are_an_error(place: Place) -> None:
    async with talking(place) as (client, _):
        broken = place.text() + "x = [\n"
        place.file.write_text(broken)
        reply = await client.post(CREATE, json={"model": "x", "from": "m", "stream": False})
        assert reply.status_code == 500
        assert f"{place.file}: not TOML" in reply.json()["error"]
        said = lines(await client.post(CREATE, json={"model": "x", "from": "m"}))
        assert "not TOML" in said[-1]["error"]
        assert SUCCESS not in said
        assert place.text() == broken
        assert (await chat(client, "m")).status_code == 200
        assert (await chat(client, "x")).status_code == 404


async def test_an_edit_changes_names_only(place: Place) -> None:
    """What else somebody wrote into the file waits for a reload, which may be refused."""
    async with talking(place) as (client, app):
        place.file.write_text(
            place.text() + '[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\n'
        )
        await made(client, model="x", **{"from": "m"})
        assert list(app.bridge.config.providers) == ["fake"]
        await app.reload()
        assert list(app.bridge.config.providers) == ["fake", "lab"]
        assert "x:latest" in await listed(client)


_text = st.text().map(lambda text: text.encode("utf-8", "replace").decode())
_parameter = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    _text,
    st.booleans(),
    st.lists(_text, max_size=3),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    system=_text,
    terms=st.one_of(_text, st.lists(_text, max_size=3)),
    parameters=st.dictionaries(_text.map("mine{}".format), _parameter, max_size=3),
    turns=st.lists(st.tuples(st.sampled_from(["user", "assistant"]), _text), max_size=3),
)
def test_any_text_is_kept_as_it_was_sent(
    make: Callable[..., Place], system: str, terms: Any, parameters: Any, turns: Any
) -> None:
    place = make()
    messages = [{"role": role, "content": text} for role, text in turns]

    async def round_trip() -> None:
        async with talking(place) as (client, _):
            await made(
                client, model="x", **{"from": "m"}, system=system, license=terms,
                parameters=parameters, messages=messages,
            )  # fmt: skip
        async with talking(place) as (client, app):
            shown = (await client.post("/api/show", json={"model": "x"})).json()
            assert shown["system"] == system
            assert shown["license"] == (terms if isinstance(terms, str) else "\n".join(terms))
            assert shown.get("messages", []) == messages
            assert dict(app.bridge.config.aliases["x"].parameters) == parameters

    asyncio.run(round_trip())


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"x","from":"m","stream":false,"system":"half \ud83d emoji"}',
        rb'{"model":"x","from":"m","stream":false,"system":"nul \u0000 bell \u0007 del \u007f"}',
        rb'{"model":"\ud83d","from":"m","stream":false}',
        rb'{"model":"x","from":"m","stream":false,"parameters":{"seed":123456789012345678901234567890}}',
        rb'{"MODEL":"x","From":"m","Stream":false,"Parameters":{"TOP":[]}} junk',
    ],
)
async def test_strange_bodies_make_models_that_last(place: Place, body: bytes) -> None:
    async with talking(place) as (client, _):
        reply = await client.post(CREATE, content=body)
        assert (reply.status_code, reply.json()) == (200, SUCCESS)
    async with talking(place) as (client, _):
        (name,) = set(await listed(client)) - {"m:latest", "other:latest"}
        assert (await chat(client, name)).status_code == 200


# copy


async def test_a_copy_stands_for_the_same_model(place: Place, client: httpx.AsyncClient) -> None:
    reply = await client.post(COPY, json={"source": "m", "destination": "mine"})
    assert (reply.status_code, reply.content) == (200, b"")
    assert 'mine = "fake/m"' in place.text()
    await chat(client, "mine")
    assert place.upstream.calls[-1].body["model"] == "m"
    models = (await client.get("/api/tags")).json()["models"]
    assert len({model["digest"] for model in models}) == len(models) == 3


async def test_a_copy_has_the_settings_and_may_outlive_its_source(
    place: Place, client: httpx.AsyncClient
) -> None:
    await made(client, model="poet", **POET)
    assert (
        await client.post(COPY, json={"source": "Poet", "destination": "bard"})
    ).status_code == 200
    await remove(client, {"model": "poet"})
    await chat(client, "bard")
    assert place.sent()[0]["content"] == POET["system"]
    assert place.sent()[1:3] == POET["messages"]


@pytest.mark.parametrize(
    ("source", "destination"),
    [("m", "m"), ("m:latest", "M"), ("fake/m", "m"), ("poet", "POET:latest")],
)
async def test_a_copy_onto_itself_changes_nothing(
    place: Place, client: httpx.AsyncClient, source: str, destination: str
) -> None:
    await made(client, model="poet", **POET)
    before = place.text()
    reply = await client.post(COPY, json={"source": source, "destination": destination})
    assert (reply.status_code, reply.content) == (200, b"")
    assert place.text() == before


async def test_a_copy_overwrites_silently(place: Place, client: httpx.AsyncClient) -> None:
    await made(client, model="poet", **POET)
    assert (
        await client.post(COPY, json={"source": "other", "destination": "Poet"})
    ).status_code == 200
    await chat(client, "poet")
    assert place.upstream.calls[-1].body["model"] == "other"
    assert place.sent() == [{"role": "user", "content": "hi"}]


# delete


@pytest.mark.parametrize("body", [{"model": "mine"}, {"model": "", "name": "MINE:latest"}])
async def test_delete_forgets_a_model_of_ones_own(
    place: Place, client: httpx.AsyncClient, body: Any
) -> None:
    before = await listed(client)
    await made(client, model="mine", **POET)
    await chat(client, "mine")
    reply = await remove(client, body)
    assert (reply.status_code, reply.content) == (200, b"")
    assert await listed(client) == before
    assert (await client.get("/api/ps")).json() == {"models": []}
    assert (await chat(client, "mine")).json() == {"error": "model 'mine' not found"}
    assert (await remove(client, body)).status_code == 404
    assert "mine" not in place.text().replace("# mine", "")


@pytest.mark.parametrize("name", ["m", "M:latest", "fake/m"])
async def test_delete_hides_a_providers_model_until_it_is_pulled(place: Place, name: str) -> None:
    async with talking(place) as (client, _):
        await made(client, model="poet", **POET)
        assert (await remove(client, {"model": name})).status_code == 200
    for _ in range(2):
        async with talking(place) as (client, _):
            assert await listed(client) == ["poet:latest", "other:latest"]
            for spelling in ("m", "m:latest", "M", "fake/m", "FAKE/M", "fake/m:latest"):
                assert (await chat(client, spelling)).status_code == 404, spelling
                assert (await remove(client, {"model": spelling})).status_code == 404
            assert (await chat(client, "poet")).status_code == 200, (
                "it was made from the hidden one"
            )
    async with talking(place) as (client, _):
        assert (await client.post(PULL, json={"model": name, "stream": False})).json() == SUCCESS
        assert "m:latest" in await listed(client)
        assert (await chat(client, "m")).status_code == 200
    assert "hidden" not in place.text()


async def test_a_model_can_be_made_from_a_hidden_one(
    place: Place, client: httpx.AsyncClient
) -> None:
    await remove(client, {"model": "m"})
    await made(client, model="poet", **POET)
    assert (await chat(client, "poet")).status_code == 200
    assert await listed(client) == ["poet:latest", "other:latest"]


async def test_a_hidden_name_can_be_given_to_another_model(
    place: Place, client: httpx.AsyncClient
) -> None:
    await remove(client, {"model": "m"})
    await client.post(COPY, json={"source": "other", "destination": "m"})
    await chat(client, "m")
    assert place.upstream.calls[-1].body["model"] == "other"
    await remove(client, {"model": "m"})
    assert await listed(client) == ["other:latest"]


async def test_an_alias_that_leads_nowhere_can_be_deleted(make: Callable[..., Place]) -> None:
    place = make(more='[aliases]\nlost = "gone/x"\n')
    async with talking(place) as (client, _):
        assert (await chat(client, "lost")).status_code == 404
        assert (await remove(client, {"model": "lost"})).status_code == 200
    assert "lost" not in place.text()


# blobs

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


async def test_a_blob_is_there_once_it_was_uploaded_for_an_hour(place: Place) -> None:
    now = [10**18]
    async with talking(place) as (client, app):
        app.bridge.monotonic = lambda: now[0]
        path = f"/api/blobs/sha256:{DIGEST}"
        missing = await client.head(path)
        assert (missing.status_code, missing.content) == (404, b"")
        first = await client.post(path, content=DATA)
        assert (first.status_code, first.content) == (201, b"")
        again = await client.post(f"/api/blobs/sha256-{DIGEST}", content=DATA)
        assert (again.status_code, again.content) == (200, b"")
        assert (await client.head(path)).status_code == 200
        now[0] += blobs.KEPT
        assert (await client.head(path)).status_code == 404
        assert (await client.head("/api/blobs/nonsense")).status_code == 400
        assert (await client.get(path)).status_code == 405


async def test_a_create_with_files_says_why_not(client: httpx.AsyncClient) -> None:
    digest = f"sha256:{DIGEST}"
    assert (await client.post(f"/api/blobs/{digest}", content=DATA)).status_code == 201
    for fields in ({"files": {"a.gguf": digest}}, {"adapters": {"a": digest}, "from": "m"}, {"quantize": "q4_0", "from": "m"}):  # fmt: skip
        reply = await client.post(CREATE, json={"model": "x", **fields})
        assert reply.status_code == 400
        assert "has no weights of its own" in reply.json()["error"]


@pytest.mark.parametrize("told", [True, False])
async def test_a_large_blob_is_refused_before_it_is_read(place: Place, told: bool) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 2**20
            yield b"\0" * 2**20

    headers = {"content-length": str(5 * 10**9)} if told else {}
    app = place.app()
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    stream = endless()

    async def receive() -> Any:
        return {"type": "http.request", "body": await anext(stream), "more_body": True}

    raw = [(b"host", b"localhost")] + [(k.encode(), v.encode()) for k, v in headers.items()]
    await app({"type": "http", "method": "POST", "path": BLOB, "headers": raw}, receive, send)
    assert said[0]["status"] == 413
    assert b"more than 64 MiB" in said[1]["body"]
    assert taken == (0 if told else blobs.LIMIT + 2**20)
    await app.bridge.aclose()


async def test_only_so_many_blobs_are_remembered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "REMEMBERED", 2)
    async with talking(place) as (client, _):
        paths = [
            f"/api/blobs/sha256:{hashlib.sha256(data).hexdigest()}" for data in (b"1", b"2", b"3")
        ]
        for path, data in zip(paths, (b"1", b"2", b"3"), strict=True):
            assert (await client.post(path, content=data)).status_code == 201
        assert [(await client.head(path)).status_code for path in paths] == [404, 200, 200]


# many at once


async def test_simultaneous_creates_and_deletes_lose_nothing(place: Place) -> None:
    async with talking(place) as (client, _):
        await asyncio.gather(
            *(made(client, model=f"x{i}", **{"from": "m"}, system=str(i)) for i in range(40))
        )
        work = [remove(client, {"model": f"x{i}"}) for i in range(0, 40, 2)]
        work += [
            client.post(COPY, json={"source": f"x{i}", "destination": f"y{i}"})
            for i in range(1, 40, 2)
        ]
        assert {reply.status_code for reply in await asyncio.gather(*work)} == {200}
    expected = {f"{name}{i}" for name in "xy" for i in range(1, 40, 2)}
    assert set(config.load(place.file, {}).aliases) == expected
    async with talking(place) as (client, _):
        assert {f"{name}:latest" for name in expected} <= set(await listed(client))


async def test_one_bad_change_does_not_spoil_the_others(place: Place) -> None:
    async with talking(place) as (_, app):
        bridge = app.bridge

        def bad(document: Any) -> None:
            document["nonsense"] = 1

        changes = [
            editing.hiding("fake/m"),
            bad,
            editing.making(place.file, "x", editing.Alias(("fake/m",))),
        ]
        results = await asyncio.gather(*map(bridge.edit, changes), return_exceptions=True)
        assert [type(result).__name__ for result in results] == [
            "NoneType",
            "SettingsInvalid",
            "NoneType",
        ]
        assert bridge.config.hidden == {"fake/m"}
        assert list(bridge.config.aliases) == ["x"]


async def test_a_reload_in_the_midst_of_creates_loses_none(place: Place) -> None:
    async with talking(place) as (client, app):
        creates = [made(client, model=f"x{i}", **{"from": "m"}) for i in range(10)]
        await asyncio.gather(*creates[:5], app.reload(), *creates[5:], app.reload())
        assert len(app.bridge.config.aliases) == 10


async def test_another_program_may_write_at_the_same_time(place: Place) -> None:
    async with talking(place) as (client, app):
        theirs = [
            asyncio.to_thread(editing.set_alias, place.file, f"their{i}", ["fake/m"], {})
            for i in range(10)
        ]
        await asyncio.gather(
            *theirs, *(made(client, model=f"our{i}", **{"from": "m"}) for i in range(10))
        )
        await app.reload()
        assert len(app.bridge.config.aliases) == 20
