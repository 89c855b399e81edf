"""Limits for a day from the command line, with a real daemon."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from daemons import Home, end, until_ready

from ollama_bridge import config, process
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers.provider import Limits

if TYPE_CHECKING:
    import subprocess


@pytest.fixture
def running(home: Home) -> Iterator["subprocess.Popen[str]"]:
    home.write("[providers.demo]\n")
    child = home.daemon()
    try:
        until_ready(child)
        yield child
    finally:
        end(child)


def ask(home: Home) -> tuple[int, str]:
    """One chat; its status and body."""
    url = f"http://127.0.0.1:{home.note()['port']}/api/chat"
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]})
    try:
        with urllib.request.urlopen(url, body.encode(), timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_set_reach_see_raise_and_restart(home: Home, running: "subprocess.Popen[str]") -> None:
    assert ask(home)[0] == 200
    done = home.run("config", "set", "providers.demo.limits.requests_per_day", "2")
    assert "The running daemon uses it now." in done.stderr
    assert ask(home)[0] == 200
    status, said = ask(home)
    assert (status, "limit of 2 requests a day" in said) == (429, True)

    (row,) = home.json("status")["providers"]
    assert row["today"]["requests"] == 2
    assert row["limits"] == [
        {"limit": "requests_per_day", "most": 2.0, "used": 2.0, "reached": True}
    ]
    shown = home.run("status").stdout
    assert "2 of 2 requests" in shown
    assert "requests_per_day is reached" in shown
    doctor = home.run("doctor")
    assert doctor.returncode == 1
    assert "requests_per_day is reached" in doctor.stdout
    assert home.json("providers", "show", "demo")["limits"] == {"requests_per_day": 2}

    process.stop(home.state)  # the counts outlive the daemon
    running.wait(20)
    second = home.daemon()
    try:
        until_ready(second)
        assert ask(home)[0] == 429
        home.run("config", "set", "providers.demo.limits.requests_per_day", "3")
        assert ask(home)[0] == 200
        home.run("config", "unset", "providers.demo.limits")
        assert ask(home)[0] == 200
        (row,) = home.json("status")["providers"]
        assert (row["today"]["requests"], row["limits"]) == (4, [])
    finally:
        end(second)


def test_a_limit_in_money_never_leaves_models_out_in_silence(
    home: Home, running: "subprocess.Popen[str]"
) -> None:
    done = home.run("config", "set", "providers.demo.limits.usd_per_day", "1.5")
    assert "does not count 2 models whose price nobody tells" in done.stderr
    assert "config set providers.demo.limits.fallback_price '[IN, OUT]'" in done.stderr
    assert "does not count" in home.run("status").stderr
    assert "price nobody tells" in home.run("doctor").stdout
    home.run("config", "set", "providers.demo.limits.fallback_price", "[10000, 10000]")
    assert "does not count" not in home.run("status").stderr
    assert ask(home)[0] == 200
    (row,) = home.json("status")["providers"]
    assert row["today"]["usd"] > 0


def test_without_a_daemon_it_is_said_too(home: Home) -> None:
    home.write("[providers.demo]\n")
    done = home.run("config", "set", "providers.demo.limits.usd_per_day", "1.5")
    assert "price nobody tells" in done.stderr


def test_settings(home: Home) -> None:
    home.write(
        "[providers.openai.limits]\nrequests_per_day = 5\ntokens_per_day = 6\n"
        "usd_per_day = 7\nfallback_price = [1, 2.5]\n"
    )
    row = config.load(home.config, {}).providers["openai"]
    assert row.limits == Limits(5, 6, 7, (1, 2.5))
    assert config.load(home.folder / "none.toml", {}).providers["demo"].limits == Limits()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("limits = 3", r"providers\.openai\.limits: found 3 .*\[providers\.openai\.limits\]"),
        ("limits = { request_per_day = 3 }", r'did you mean "requests_per_day"'),
        ("limits = { requests_per_day = -1 }", "a whole number, 0 or more"),
        ("limits = { requests_per_day = 1.5 }", "a whole number, 0 or more"),
        ("limits = { usd_per_day = inf }", "a number of US dollars"),
        ("limits = { usd_per_day = nan }", "a number of US dollars"),
        ("limits = { fallback_price = 1 }", "two numbers"),
        ("limits = { fallback_price = [1] }", "two numbers"),
        ("limits = { fallback_price = [1, -1] }", "two numbers"),
        ("limit = { }", r'did you mean "limits"'),
    ],
)
def test_settings_that_are_wrong(home: Home, text: str, says: str) -> None:
    home.write(f"[providers.openai]\n{text}\n")
    with pytest.raises(SettingsInvalid, match=says):
        config.load(home.config, {})
