"""config path, show, get, set, unset, validate."""

import tomllib

import pytest
from daemons import Home

from ollama_bridge import config


def test_path(home: Home) -> None:
    assert home.run("config", "path").stdout == f"{home.config}\n"
    found = home.json("config", "path")
    assert found == {"schema": 1, "path": str(home.config), "exists": False}


def test_show_is_what_is_in_effect(home: Home) -> None:
    home.write('[providers.lab]\nbase_url = "http://h"\n[aliases]\n"a.b" = ["lab/x", "y"]\n')
    shown = tomllib.loads(home.run("config", "show", OLLAMA_HOST="0.0.0.0:5").stdout)
    assert shown["server"]["host"] == "0.0.0.0"
    assert shown["server"]["port"] == 5
    assert shown["default_provider"] == "lab"
    assert shown["providers"]["lab"]["base_url"] == "http://h/v1"
    assert shown["aliases"] == {"a.b": {"target": ["lab/x", "y"]}}
    assert home.json("config", "show", OLLAMA_HOST="0.0.0.0:5") == {"schema": 1, **shown}


@pytest.mark.parametrize(
    "text", ["", "[providers.openai]\n", '[providers.lab]\nbase_url = "http://h"']
)
def test_what_show_prints_can_be_read_back(home: Home, text: str) -> None:
    home.write(text)
    before = config.load(home.config, {})
    home.write(home.call("config", "show").stdout)
    after = config.load(home.config, {})
    assert (after.server, after.default_provider) == (before.server, before.default_provider)
    assert {name: (row.url, row.key, row.quirks) for name, row in after.providers.items()} == {
        name: (row.url, row.key, row.quirks) for name, row in before.providers.items()
    }


def test_secret_headers_are_hidden(home: Home) -> None:
    headers = '{ Authorization = "hush", X-Api-Key = "hush", X-Team = "search" }'
    home.write(f'[providers.lab]\nbase_url = "http://h"\nheaders = {headers}\n')
    for command in (["config", "show"], ["config", "show", "--json"], ["providers", "show", "lab"]):
        shown = home.call(*command).stdout
        assert "hush" not in shown
        assert "search" in shown


def test_get_set_unset(home: Home) -> None:
    assert home.run("config", "get", "server.port").stdout == "11434\n"
    assert home.run("config", "set", "server.port", "1234").returncode == 0
    assert home.run("config", "get", "server.port").stdout == "1234\n"
    assert home.json("config", "get", "server.port") == {
        "schema": 1,
        "key": "server.port",
        "value": 1234,
    }
    assert home.run("config", "unset", "server.port").returncode == 0
    assert home.run("config", "get", "server.port").stdout == "11434\n"


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [
        ("server.host", "127.0.0.1", "127.0.0.1"),
        ("server.host", '"::1"', "::1"),
        ("server.origins", '["app://*"]', ["app://*"]),
        ('aliases."llama3.2"', "demo/demo", "demo/demo"),
        ("aliases.coder.target", '["a/b", "c"]', ["a/b", "c"]),
        ("providers.lab.base_url", "http://10.0.0.5:8000/v1", "http://10.0.0.5:8000/v1"),
    ],
)
def test_values_are_toml_or_plain_text(home: Home, key: str, value: str, read: object) -> None:
    done = home.call("config", "set", key, value)
    assert done.exit_code == 0, done.stderr
    written = tomllib.loads(home.config.read_text())
    for part in tomllib_path(key):
        written = written[part]
    assert written == read


def tomllib_path(key: str) -> list[str]:
    return [part.strip('"') for part in key.split(".", 1)] if '"' in key else key.split(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "server.prot", "1"], 'did you mean "port"?'),
        (["set", "server.port", "high"], 'found "high"'),
        (["set", "a b", "1"], "is no key"),
        (["unset", "server.port"], "server.port is not set"),
        (["get", "server.prot"], "config show"),
        (["get", "nothing"], "config show"),
    ],
)
def test_bad_edits_exit_5_and_leave_no_trace(home: Home, arguments: list[str], said: str) -> None:
    home.write("# mine\n")
    done = home.call("config", *arguments)
    assert done.exit_code == 5
    assert said in done.stderr
    assert home.config.read_text() == "# mine\n"


def test_validate(home: Home) -> None:
    assert home.json("config", "validate") == {
        "schema": 1,
        "path": str(home.config),
        "valid": True,
        "problem": None,
    }
    home.write("[providers.groq]")
    assert home.run("config", "validate").stdout == f"{home.config}: valid, 1 provider\n"
    home.write("x = 1")
    done = home.run("config", "validate", "--json")
    assert done.returncode == 5
    assert '"valid": false' in done.stdout
