"""ps, top and ui: what goes on, and where to see it."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from daemons import Home
from screens import Screen

from ollama_bridge_cli import ps, top

NOW = datetime(2026, 1, 2, tzinfo=UTC)

ROW: dict[str, Any] = {
    "id": "a-1",
    "time": "2026-01-02T03:04:05.123456789Z",
    "client": "127.0.0.1",
    "route": "POST /api/chat",
    "status": 200,
    "model": "m",
    "provider": "p",
    "first_ms": 120.0,
    "total_ms": 2500.0,
    "tokens_in": 10,
    "tokens_out": 50,
    "estimated": False,
    "gone": False,
    "tokens_per_second": 21.0,
    "cost": 0.00012,
    "error": None,
}


def test_ps(running: Home) -> None:
    assert running.run("run", "demo", "hello").returncode == 0
    done = running.run("ps")
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["NAME", "ID", "CONTEXT", "UNTIL"]
    (ours,) = [row for row in rows if row.startswith("demo:latest")]
    assert ours.rstrip().endswith("from now")  # one that others used may be about to go
    told = running.json("ps")
    assert "demo:latest" in [model["name"] for model in told["models"]]
    assert told["answering"] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (299, "4 minutes from now"),
        (60, "1 minute from now"),
        (7200, "2 hours from now"),
        (3, "3 seconds from now"),
        (0, "now"),
        (-9, "now"),
        (200 * 365 * 86_400, "forever"),
        (86_400 * 3, "3 days from now"),
    ],
)
def test_until(seconds: int, text: str) -> None:
    moment = NOW + timedelta(seconds=seconds)
    assert ps.until(moment.strftime("%Y-%m-%dT%H:%M:%S.000000001Z"), NOW) == text


def test_top_in_a_pipe_is_one_snapshot(running: Home) -> None:
    assert running.run("run", "demo", "some words").returncode == 0
    done = running.run("top", "-n", "1")
    assert (done.returncode, done.stderr) == (0, "")
    summary, head, *rows = done.stdout.splitlines()
    assert "running" in summary
    assert head.split() == [header.upper() for header in top.HEADERS]
    assert len(rows) == 1
    assert " demo " in rows[0]
    assert "\x1b" not in done.stdout


def test_top_json_tells_nothing_that_was_said(running: Home) -> None:
    assert running.run("run", "demo", "secret words").returncode == 0
    told = running.json("top")
    assert told["schema"] == 1
    assert {"running", "recent"} <= told.keys()
    assert "secret words" not in str(told)


@pytest.mark.parametrize("command", ["ps", "top", "ui"])
def test_without_a_daemon(home: Home, command: str) -> None:
    done = home.run(command)
    assert (done.returncode, done.stdout) == (3, "")
    assert "ollama-bridge start" in done.stderr


def test_rows_and_summary() -> None:
    live = ROW | {"status": None, "error": None, "tokens_per_second": None, "cost": None}
    failed = ROW | {"status": 502, "error": "p refused", "cost": None, "first_ms": 0.0}
    told = {"running": [live], "recent": [ROW, failed, ROW | {"gone": True, "status": 499}]}
    results = [top.cells(row)[3] for row in top.latest(told, 10)]
    assert results == ["running", "client left", "p refused", "200"]
    assert top.cells(ROW)[4:] == ["0.12s", "2.50s", "10", "50", "21.0", "$0.00012"]
    assert top.cells(failed)[4] == "-"
    assert top.summary(told) == (
        "1 running, 3 recent requests, 1 failed, 150 tokens out, $0.00024 where prices are known"
    )
    assert len(top.latest(told, 2)) == 2


def test_ui_prints_an_address_that_only_lets_look(running: Home) -> None:
    done = running.run("ui", DISPLAY="")
    assert done.returncode == 0
    address, _, token = done.stdout.strip().partition("#token=")
    assert running.note()["token"] not in done.stdout
    headers = {"authorization": f"Bearer {token}"}
    root = address.removesuffix("/ui")
    assert httpx.get(address).status_code == 200
    assert httpx.get(f"{root}/status", headers=headers).status_code == 200
    assert httpx.post(f"{root}/shutdown", headers=headers).status_code == 403
    assert token not in (running.state / "ollama-bridge.log").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_top_on_a_screen(running: Home, screen: Callable[..., Screen]) -> None:
    watched = screen(running, "top")
    watched.until("q leaves")
    assert running.run("run", "demo-embed", "seen by top").returncode == 0
    watched.until("demo-embed")
    assert running.run("run", "demo", "some words").returncode == 0
    numbers = r"\d\d:\d\d:\d\d +demo +demo +200 +\d+\.\d\ds +\d+\.\d\ds +\d+ +\d+ +\d+\.\d"
    watched.until(lambda shown: re.search(numbers, shown) is not None)
    assert "seen by top" not in watched.shown
    watched.press("q")
    assert watched.ended() == 0
    again = screen(running, "top")
    again.until("q leaves")
    again.press("C-c")
    assert again.ended() == 130
