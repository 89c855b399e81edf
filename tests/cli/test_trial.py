"""models test: what a model really does, tried through the daemon and remembered."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from daemons import Home
from fake_upstream import Call, FakeUpstream
from servers import served

REFUSED = {
    "tools": "this model does not support tools",
    "vision": "image input is not supported by this model",
    "thinking": "reasoning is not supported",
}


def model(can: set[str]) -> Callable[[Call], Any]:
    """A model that does these things and refuses all others, in words that services use."""

    async def act(call: Call) -> None:
        body = call.body
        if call.path.endswith("/embeddings"):
            if "embeddings" not in can:
                await call.json({"error": {"message": "no such route"}}, 404)
                return
            data = [{"index": n, "embedding": [1.0, 0.0, 0.0]} for n in range(len(body["input"]))]
            await call.json({"data": data, "usage": {"prompt_tokens": 2}})
            return
        asked = {
            "tools": "tools" in body,
            "vision": isinstance(body["messages"][-1]["content"], list),
            "thinking": "reasoning_effort" in body,
        }
        for feature, wanted in asked.items():
            if wanted and feature not in can:
                await call.json({"error": {"message": REFUSED[feature]}}, 400)
                return
        await call.start()
        if asked["tools"]:
            function = {"name": "get_weather", "arguments": json.dumps({"city": "Paris"})}
            delta = {"tool_calls": [{"index": 0, "id": "c1", "function": function}]}
            await call.event({"choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]})
        elif "response_format" in body:
            fits = '{"capital":"Paris","letters":5}'
            await call.text(fits if "json schema" in can else "Paris, 5", "stop")
        else:
            if asked["thinking"]:
                thought = {"reasoning_content": "hm"}
                await call.event({"choices": [{"index": 0, "delta": thought}]})
            await call.text("Red ")
            await call.text("one two", "stop")
        await call.write("data: [DONE]\n\n", more=False)

    return act


ALL = {"tools", "vision", "thinking", "json schema", "embeddings"}


@pytest.fixture
def tried(home: Home) -> Iterator[Callable[..., FakeUpstream]]:
    """`tried(can, row)`: a daemon in front of a model that can do these things."""
    with ExitStack() as stack:

        def make(can: set[str], **row: Any) -> FakeUpstream:
            upstream = FakeUpstream(model(can), models=({"id": "m", **row},))
            url = stack.enter_context(served(upstream))
            home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\n')
            home.json("start", "--port", "0")
            return upstream

        yield make


def outcomes(home: Home) -> dict[str, str]:
    results = home.json("models", "test", "m")["results"]
    return {name: result["outcome"] for name, result in results.items()}


def test_a_model_that_can_do_everything(home: Home, tried: Callable[..., FakeUpstream]) -> None:
    tried(ALL)
    assert set(outcomes(home).values()) == {"yes"}
    known = home.json("models", "show", "m")["known"]
    assert known["capabilities"] == {
        "value": ["completion", "tools", "vision", "embedding", "thinking"],
        "source": "tested",
    }
    assert known["embedding_length"] == {"value": 3, "source": "tested"}
    lines = home.run("models", "show", "m").stdout
    assert "(tested)" in lines
    assert "json schema: yes" in lines


def test_what_a_list_promises_and_the_model_does_not_keep(
    home: Home, tried: Callable[..., FakeUpstream]
) -> None:
    promises = {"capabilities": ["completion", "tools", "vision", "thinking"]}
    tried({"vision"}, **promises)
    found = outcomes(home)
    assert found == {
        "stream": "yes",
        "tools": "no",
        "json schema": "no",
        "vision": "yes",
        "thinking": "no",
        "embeddings": "no",
    }
    known = home.json("models", "show", "m")["known"]
    assert known["capabilities"] == {"value": ["completion", "vision"], "source": "tested"}


def test_what_a_list_denies_and_the_model_does(
    home: Home, tried: Callable[..., FakeUpstream]
) -> None:
    """The trial reaches the service, whatever is known."""
    upstream = tried(ALL, capabilities=["completion"])
    assert "tools" not in home.json("models", "show", "m")["capabilities"]
    assert outcomes(home)["tools"] == "yes"
    assert any("tools" in call.body for call in upstream.calls)
    assert "tools" in home.json("models", "show", "m")["capabilities"]


def test_it_is_remembered_by_the_next_daemon(
    home: Home, tried: Callable[..., FakeUpstream]
) -> None:
    tried({"tools"})
    home.run("models", "test", "m")
    before = home.json("models", "show", "m")["known"]
    assert home.run("restart").returncode == 0
    after = home.json("models", "show", "m")["known"]
    assert after["tested"] == before["tested"]
    assert after["tested_at"] == before["tested_at"]
    assert after["capabilities"] == before["capabilities"]
    # another service under the same name has shown nothing
    home.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["m"]\n')
    assert home.run("reload").returncode == 0
    assert home.json("models", "show", "m")["known"]["tested"] == {}


def test_what_was_learned_on_the_way_is_shown(
    home: Home, tried: Callable[..., FakeUpstream]
) -> None:
    tried(set())
    home.run("models", "test", "m")
    known = home.json("models", "show", "m")["known"]
    assert "lacks:tools" in known["learned"]
    assert "learned" in home.run("models", "show", "m").stdout


def test_a_service_that_is_down_proves_nothing(home: Home) -> None:
    home.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["m"]\nretries = 0\n')
    home.json("start", "--port", "0")
    done = home.run("models", "test", "m")
    assert done.returncode == 1
    assert "stream: failed" in done.stdout
    assert "not remembered" in done.stderr
    assert home.json("models", "show", "m")["known"]["tested"] == {}


def test_the_demo(running: Home) -> None:
    done = running.run("models", "test", "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stream: yes" in done.stdout
    assert "tools: yes" in done.stdout
    assert "json schema: yes" in done.stdout


def test_all_models_with_what_clients_are_not_shown(home: Home) -> None:
    rows = ({"id": "m"}, {"id": "whisper-1"}, {"id": "old"})
    with served(FakeUpstream(model(ALL), models=rows)) as url:
        home.write(f'hidden = ["lab/old"]\n[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\n')
        home.json("start", "--port", "0")
        listed = [row["name"] for row in home.json("models", "list")["models"]]
        assert listed == ["m:latest"]
        every = {
            row["name"]: row["listed"] for row in home.json("models", "list", "--all")["models"]
        }
        assert every["m:latest"] == ""
        assert "no text" in every["whisper-1:latest"]
        assert "ollama pull" in every["old:latest"]
        table = home.run("models", "list", "--all").stdout
        assert "whisper-1:latest" in table


def test_a_name_that_nobody_knows(running: Home) -> None:
    done = running.run("models", "test", "nope")
    assert done.returncode == 1
    assert "not found" in done.stderr


def test_an_alias_that_boasts(home: Home) -> None:
    """What settings say of a model proves nothing of it; what fails otherwise neither."""

    async def act(call: Call) -> None:
        if "tools" in getattr(call, "body", {}):
            await call.start()
            await call.text("words, not a call", "stop")
            await call.write("data: [DONE]\n\n", more=False)
        else:
            await call.json({"error": {"message": "no room today"}}, 400)

    with served(FakeUpstream(act)) as url:
        home.write(
            f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\n'
            '[aliases.boast]\ntarget = "lab/m"\ncapabilities = ["completion", "tools"]\n'
        )
        assert home.run("start", "--port", "0").returncode == 0
        done = home.run("models", "test", "boast")
    assert done.returncode == 1
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines["stream"].startswith("failed")
    assert "no room today" in lines["stream"]
    assert lines["tools"] == "unclear (it answered without the tool)"
