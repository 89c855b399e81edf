"""models list, show, test, alias, unalias."""

import json
import stat
import sys

from daemons import Home


def test_list(running: Home) -> None:
    found = running.json("models", "list")
    assert found["schema"] == 1
    assert {model["name"] for model in found["models"]} == {
        "poet:latest",
        "demo:latest",
        "demo-embed:latest",
    }
    table = running.run("models", "list").stdout.splitlines()
    assert table[0].split() == ["NAME", "CONTEXT", "CAPABILITIES"]
    assert [line.split()[:2] for line in table if line.startswith("demo-embed")] == [
        ["demo-embed:latest", "8192"]
    ]


def test_show(running: Home) -> None:
    done = running.run("models", "show", "poet")
    assert done.returncode == 0
    facts = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert facts["name"].strip() == "poet"
    assert "demo" in facts["answered by"]
    assert facts["context length"].strip() == "32768 (upstream)"
    assert "completion" in facts["capabilities"]
    found = running.json("models", "show", "poet")
    assert (found["schema"], found["name"]) == (1, "poet")
    assert found["model_info"]


def test_show_of_nothing(running: Home) -> None:
    done = running.run("models", "show", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: model 'nope:latest' not found\n"


def test_aliases_without_a_daemon(home: Home) -> None:
    assert home.run("models", "alias", "coder", "groq/a", "demo/demo").returncode == 0
    assert home.json("models", "alias") == {
        "schema": 1,
        "aliases": [{"name": "coder", "targets": ["groq/a", "demo/demo"]}],
    }
    assert home.run("models", "alias").stdout.splitlines()[1].split(maxsplit=1) == [
        "coder",
        "groq/a, demo/demo",
    ]
    if sys.platform != "win32":
        assert stat.S_IMODE(home.config.stat().st_mode) == 0o600
    assert home.run("models", "unalias", "coder").returncode == 0
    assert home.json("models", "alias")["aliases"] == []
    done = home.run("models", "unalias", "coder")
    assert done.returncode == 5
    assert "aliases.coder is not set" in done.stderr


def test_a_running_daemon_takes_an_alias_at_once(home: Home) -> None:
    home.json("start", "--port", "0")
    done = home.run("models", "alias", "llama3.2", "demo/demo")
    assert "uses it now" in done.stderr
    assert "llama3.2:latest" in home.run("models", "list").stdout
    assert home.run("run", "llama3.2", "hello").returncode == 0
    assert home.run("models", "unalias", "llama3.2").returncode == 0
    assert "llama3.2" not in home.run("models", "list").stdout


def test_a_daemon_with_other_settings_is_left_alone(home: Home, running: Home) -> None:
    home.environ["OLLAMA_BRIDGE_STATE"] = str(running.state)
    done = home.run("models", "alias", "x", "demo/demo")
    assert done.returncode == 0
    assert f"uses other settings: {running.config}" in done.stderr
    assert (
        json.loads(running.run("models", "alias", "--json").stdout)["aliases"][0]["name"] == "poet"
    )
