"""models refresh: public facts from a real server, into the state folder; nothing half done."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import Home
from servers import served

from ollama_bridge import config, refreshing


def model(context: int, price: float) -> dict[str, Any]:
    return {
        "limit": {"context": context, "output": 100},
        "modalities": {"input": ["text"], "output": ["text"]},
        "tool_call": True,
        "reasoning": False,
        "cost": {"input": price, "output": price * 4},
    }


def database(services: int = 60) -> dict[str, Any]:
    hosts = {
        f"host{number}": {
            "npm": "@ai-sdk/openai-compatible",
            "api": f"https://api.host{number}.example/v1",
            "env": [f"HOST{number}_API_KEY"],
            "models": {f"m{number}-{size}b": model(1000, 1) for size in range(1, 11)},
        }
        for number in range(services)
    }
    hosts["openai"] = {
        "npm": "@ai-sdk/openai",
        "env": ["OPENAI_API_KEY"],
        "models": {"gpt-9-test": model(7_000_000, 3)},
    }
    return hosts


class Published:
    """A server with one document."""

    def __init__(self) -> None:
        self.status, self.body = 200, json.dumps(database()).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
def published() -> Iterator[tuple[str, Published]]:
    one = Published()
    with served(one) as url:
        yield f"{url}/api.json", one


def test_a_running_daemon_knows_the_new_facts_at_once(
    home: Home, published: tuple[str, Published]
) -> None:
    url, _ = published
    home.write('[providers.openai]\nmodels = ["gpt-9-test"]\nbase_url = "http://127.0.0.1:9/v1"\n')
    home.json("start", "--port", "0")
    known = home.json("models", "show", "gpt-9-test")["known"]
    assert known["context_length"]["source"] == "default"
    done = home.run("models", "refresh", "--from", url)
    assert done.returncode == 0, done.stderr
    assert "663 models of 61 services" in done.stderr
    assert "uses it now" in done.stderr
    known = home.json("models", "show", "gpt-9-test")["known"]
    assert known["context_length"] == {"value": 7_000_000, "source": "refreshed facts"}


def test_a_new_service_is_added_by_its_name_alone(
    home: Home, published: tuple[str, Published]
) -> None:
    url, _ = published
    assert home.call("providers", "add", "host7").exit_code == 5
    assert home.call("models", "refresh", "--from", url).exit_code == 0
    done = home.call("providers", "add", "host7")
    assert done.exit_code == 0, done.stderr
    assert "HOST7_API_KEY" in done.stderr
    row = config.load(home.config, home.environ).providers["host7"]
    assert (row.url, row.key_variable) == ("https://api.host7.example/v1", "HOST7_API_KEY")
    names = {
        row["name"]
        for row in json.loads(home.call("providers", "list", "--known", "--json").stdout)[
            "services"
        ]
    }
    assert {"host7", "openai", "azure"} <= names


def test_from_a_file(home: Home) -> None:
    file = home.folder / "api.json"
    file.write_text(json.dumps(database()), "utf-8")
    assert home.call("models", "refresh", "--from", str(file)).exit_code == 0
    assert config.facts_file(home.state).exists()


FAULTS: dict[str, tuple[int, bytes, str]] = {
    "not found": (404, b"", "status 404"),
    "a page": (200, b"<html>sign in</html>", "holds no facts"),
    "cut off": (200, json.dumps(database()).encode()[:5000], "holds no facts"),
    "another form": (200, b'{"models": [1, 2]}', "holds no facts"),
    "empty": (200, b"{}", "and 0 services are in it"),
    "too little": (200, json.dumps(database(3)).encode(), "holds no facts: only"),
    "packed": (200, gzip.compress(b"{}"), "holds no facts"),
    "deep": (200, b"[" * 200_000, "holds no facts"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_comes_instead_leaves_the_old_facts(
    home: Home, published: tuple[str, Published], fault: str
) -> None:
    url, server = published
    assert home.call("models", "refresh", "--from", url).exit_code == 0
    before = config.facts_file(home.state).read_bytes()
    server.status, server.body, said = FAULTS[fault]
    done = home.call("models", "refresh", "--from", url)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "stay as they were" in done.stderr
    assert config.facts_file(home.state).read_bytes() == before


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:9/api.json", "ftp://x/y", "/nowhere/api.json"]
)
def test_what_cannot_be_read(home: Home, source: str) -> None:
    done = home.call("models", "refresh", "--from", source)
    assert done.exit_code == 1
    assert "stay as they were" in done.stderr
    assert not config.facts_file(home.state).exists()


def test_a_spoilt_file_means_the_bundled_facts(home: Home) -> None:
    home.state.mkdir()
    config.facts_file(home.state).write_text("{", "utf-8")
    assert config.public_facts(home.state).origin == "bundled facts"
    assert home.call("providers", "add", "chutes").exit_code == 0


def test_nothing_is_fetched_unless_told(home: Home) -> None:
    """The only address in the program is in this one command."""
    assert refreshing.SOURCE.startswith("https://models.dev/")
    home.json("start", "--port", "0")
    assert not config.facts_file(home.state).exists()
