"""A real Ollama beside us: the official client, and the bytes themselves."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest
from bridges import bridge_app
from fake_ollama import CALL, LLAMA, PULL, SHOWN, WORDS, FakeOllama, encoded
from fake_upstream import Call, FakeUpstream
from ollama import Client, ResponseError
from servers import served

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Alias, Provider

ASK = [{"role": "user", "content": "Why is the sky blue?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


async def hosted(call: Call) -> None:
    if call.path.endswith("/embeddings"):
        await call.json({"data": [{"index": 0, "embedding": [1.0]}]})
        return
    await call.start()
    await call.text("from afar", "stop")
    await call.write("data: [DONE]\n\n", more=False)


class Both(NamedTuple):
    real: FakeOllama
    far: FakeUpstream
    url: str
    client: Client

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=10)


def _both(stack: ExitStack, *, first: str = "far") -> Both:
    real, far = FakeOllama(), FakeUpstream(hosted, models=("big",))
    rows = [
        Provider(name="far", url=f"{stack.enter_context(served(far))}/v1", key="none"),
        replace(PRESETS["ollama"], url=f"{stack.enter_context(served(real))}/v1"),
    ]
    aliases = {
        "mine": Alias(
            targets=("ollama/llama3.2",),
            system="Be brief.",
            parameters={"temperature": 0.1, "num_ctx": 8192},
        ),
        "near-first": Alias(targets=("ollama/llama3.2", "far/big")),
        "far-first": Alias(targets=("far/big", "ollama/llama3.2")),
    }
    rows.sort(key=lambda row: row.name != first)
    url = stack.enter_context(served(bridge_app(*rows, aliases=aliases)))
    client = Client(host=url)
    stack.callback(client._client.close)
    return Both(real, far, url, client)


@pytest.fixture
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield _both(stack)


@pytest.fixture
def local() -> Iterator[Both]:
    """The real one is the default provider."""
    with ExitStack() as stack:
        yield _both(stack, first="ollama")


def test_one_list_holds_both_and_the_local_row_is_the_real_one(both: Both) -> None:
    rows = {row["name"]: row for row in httpx.get(f"{both.url}/api/tags").json()["models"]}
    assert "big:latest" in rows
    name = "ollama/llama3.2:latest"
    assert rows[name] == {**LLAMA, "name": name, "model": name}
    own = rows["mine:latest"]
    assert own["size"] == LLAMA["size"]
    assert own["digest"] != LLAMA["digest"]
    assert [model.model for model in both.client.list().models if model.model == name]


def test_ps_shows_what_is_really_loaded_and_what_was_used(both: Both) -> None:
    both.client.chat("big", ASK)
    rows = {row.model: row for row in both.client.ps().models}
    assert rows["ollama/llama3.2:latest"].size_vram == 5964735424
    assert "big:latest" in rows


def test_show_is_the_servers_own(both: Both) -> None:
    reply = both.post("/api/show", {"model": "ollama/llama3.2"})
    assert reply.content == encoded(SHOWN)
    assert both.client.show("ollama/llama3.2").capabilities == ["completion", "tools"]
    own = both.post("/api/show", {"name": "mine"}).json()
    assert own["system"] == "Be brief."
    assert own["model_info"] == SHOWN["model_info"]
    assert own["parameters"].count("temperature") == 1
    assert "<|eot_id|>" in own["parameters"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize("stream", [True, False])
def test_bytes_pass_with_the_name_replaced(both: Both, path: str, stream: bool) -> None:
    ask = {"prompt": "Why?"} if path == "/api/generate" else {"messages": ASK}
    body = {"stream": stream, "unknown": {"a": [1.0, None]}, **ask}
    through = both.post(path, {"model": "ollama/llama3.2", **body})
    sent = both.real.bodies(path)
    direct_app = FakeOllama()
    with served(direct_app) as url:
        direct = httpx.post(f"{url}{path}", json={"model": "llama3.2:latest", **body})
    assert sent == direct_app.bodies(path)
    assert through.headers["content-type"] == direct.headers["content-type"]
    expected = direct.content.replace(b'{"model":"llama3.2:latest"', b'{"model":"ollama/llama3.2"')
    assert through.content == expected
    assert through.headers["x-ollama-bridge-model"] == "ollama/llama3.2:latest"


def test_the_official_client_chats_with_both(both: Both) -> None:
    assert both.client.chat("big", ASK).message.content == "from afar"
    reply = both.client.chat("ollama/llama3.2", ASK)
    assert reply.message.content == "".join(WORDS)
    assert reply.model == "ollama/llama3.2"
    called = both.client.chat("ollama/llama3.2", ASK, tools=[TOOL]).message.tool_calls or []
    assert called[0].function.arguments == CALL["function"]["arguments"]
    parts = list(both.client.chat("ollama/llama3.2", ASK, tools=[TOOL], stream=True))
    assert parts[-1].eval_count == 282
    assert [part.done for part in parts] == [False, True]


def test_embeddings(both: Both) -> None:
    assert both.client.embed("ollama/llama3.2", "hi").embeddings == [[0.6, -0.8]]
    assert both.client.embeddings("ollama/llama3.2", "hi").embedding == [0.5670403, 0.009260174]
    assert both.client.embed("big", "hi").embeddings == [[1.0]]
    assert both.real.bodies("/api/embed") == [{"model": "llama3.2:latest", "input": "hi"}]


def test_load_and_unload_reach_the_server(both: Both) -> None:
    reply = both.post("/api/chat", {"model": "ollama/llama3.2", "keep_alive": 0})
    assert reply.json()["done_reason"] == "unload"
    assert reply.headers["content-type"].startswith("application/json")
    assert both.real.bodies("/api/chat") == [{"model": "llama3.2:latest", "keep_alive": 0}]


def test_v1_goes_to_its_v1(both: Both) -> None:
    reply = both.post("/v1/chat/completions", {"model": "ollama/llama3.2", "messages": ASK})
    assert reply.json()["choices"][0]["message"]["content"] == "ok"
    assert both.real.calls[-1].path == "/v1/chat/completions"


def test_a_model_of_ones_own_is_put_into_the_native_request(both: Both) -> None:
    both.client.chat("mine", ASK, options={"temperature": 0.9})
    sent = both.real.bodies("/api/chat")[0]
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, *ASK]
    assert sent["options"] == {"temperature": 0.9, "num_ctx": 8192}
    both.client.generate("mine", "hi")
    assert both.real.bodies("/api/generate")[0]["system"] == "Be brief."


@pytest.mark.parametrize("stream", [True, False])
def test_targets_of_both_kinds(both: Both, stream: bool) -> None:
    body = {"model": "near-first", "messages": ASK, "stream": stream}
    assert "The" in both.post("/api/chat", body).text
    both.real.refusal = (503, {"error": "server busy"})
    reply = both.post("/api/chat", body)
    assert reply.headers["x-ollama-bridge-model"] == "far/big"
    assert "from afar" in reply.text

    async def fails(call: Call) -> None:
        await call.json({"error": {"message": "down"}}, 503)

    both.real.refusal, both.far.act = None, fails
    reply = both.post("/api/chat", body | {"model": "far-first"})
    assert reply.headers["x-ollama-bridge-model"] == "ollama/llama3.2:latest"
    assert json.loads(reply.content.splitlines()[0])["model"] == "far-first"


def test_errors_pass_with_status_and_text(both: Both) -> None:
    reply = both.post("/api/chat", {"model": "ollama/none", "messages": ASK})
    assert (reply.status_code, reply.json()) == (404, {"error": "model 'ollama/none' not found"})
    said = {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=a"}
    for status, body in (
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}),
        (500, {"error": "model runner has unexpectedly stopped"}),
        (400, {"error": "registry.ollama.ai/library/gemma3:4b does not support tools"}),
        (401, said),
    ):
        both.real.refusal = (status, body)
        reply = both.post("/api/chat", {"model": "ollama/llama3.2", "messages": ASK})
        assert (reply.status_code, reply.json()) == (status, body)
    both.real.refusal = (401, {"error": "unauthorized"})  # a proxy's: our key is meant
    assert both.post("/api/show", {"model": "ollama/llama3.2"}).status_code == 502


@pytest.mark.parametrize("lines", [0, 2])
def test_a_stream_that_breaks_off_says_so(both: Both, lines: int) -> None:
    both.real.broken = lines
    reply = both.post("/api/chat", {"model": "ollama/llama3.2", "messages": ASK})
    last = json.loads(reply.text.splitlines()[-1])
    assert "ollama" in last["error"]
    assert (reply.status_code >= 500) == (lines == 0)
    assert len(reply.text.splitlines()) == lines + 1


def test_pull_streams_the_progress_and_the_list_knows(both: Both) -> None:
    reply = both.post("/api/pull", {"name": "ollama/qwen3:8b", "model": ""})
    assert reply.content == b"".join(encoded(line) + b"\n" for line in PULL)
    assert both.real.bodies("/api/pull") == [{"model": "qwen3:8b"}]
    assert "ollama/qwen3:8b" in [row.model for row in both.client.list().models]
    assert both.client.pull("ollama/phi4").status == "success"


def test_a_pull_that_fails_is_a_line_with_status_200(both: Both) -> None:
    reply = both.post("/api/pull", {"model": "ollama/nothing"})
    assert reply.status_code == 200
    last = json.loads(reply.text.splitlines()[-1])
    assert last == {"error": "pull model manifest: file does not exist"}


def test_delete_copy_and_create_there(both: Both) -> None:
    copied = both.client.copy("ollama/llama3.2", "ollama/second")
    assert copied.status == "success"
    assert both.real.bodies("/api/copy")[0] == {
        "source": "llama3.2",
        "destination": "second",
    }
    list(both.client.create("ollama/mario", from_="ollama/llama3.2", system="Mario", stream=True))
    assert both.real.bodies("/api/create")[0]["from"] == "llama3.2"
    names = [row.model for row in both.client.list().models]
    assert {"ollama/second:latest", "ollama/mario:latest"} <= {*names}
    assert both.client.delete("ollama/second").status == "success"
    assert "second" not in both.real.models
    assert "ollama/second:latest" not in [row.model for row in both.client.list().models]
    with pytest.raises(ResponseError) as caught:
        both.client.delete("ollama/second")
    assert caught.value.status_code == 404


def test_a_copy_across_servers_is_refused_with_a_sentence(both: Both) -> None:
    reply = both.post("/api/copy", {"source": "big", "destination": "ollama/big"})
    assert reply.status_code == 400
    assert "is not at ollama" in reply.json()["error"]


def test_as_the_default_provider_bare_names_are_its_own(local: Both) -> None:
    assert "llama3.2:latest" in [row.model for row in local.client.list().models]
    local.client.pull("new-one")
    assert local.real.bodies("/api/pull")[0]["model"] == "new-one"
    assert local.client.chat("llama3.2", ASK).model == "llama3.2"
    assert local.client.delete("llama3.2").status == "success"
    assert "llama3.2:latest" not in local.real.models


class Later:
    """An application that is made once its address is known."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@pytest.mark.parametrize("row", [PRESETS["ollama"], Provider(name="ollama", url="", key="none")])
def test_a_provider_that_is_ourselves_is_refused(row: Provider) -> None:
    later = Later()
    with served(later) as url:
        later.app = bridge_app(replace(row, url=f"{url}/v1"))
        body = {"model": "ollama/x", "messages": ASK}
        reply = httpx.post(f"{url}/api/chat", json=body, timeout=20)
    assert reply.status_code == 508
    assert "leads back to Ollama Bridge itself" in reply.json()["error"]
