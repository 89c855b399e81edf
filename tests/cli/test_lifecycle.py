"""start, stop, restart, reload, status, logs, serve with real processes."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Home, end, has_ipv6, until_ready

import ollama_bridge
from ollama_bridge import log, process


def test_a_life(home: Home) -> None:
    first = home.json("start", "--port", "0")
    assert first["schema"] == 1
    assert first["started"] is True
    assert [(row["name"], row["models"]) for row in first["providers"]] == [("demo", 2)]
    with urllib.request.urlopen(f"{first['address']}/api/tags") as reply:
        assert len(json.load(reply)["models"]) == 2

    again = home.json("start")
    assert (again["started"], again["instance"]) == (False, first["instance"])

    status = home.json("status")
    assert status["running"] is True
    assert status["address"] == first["address"]
    assert status["config"] == str(home.config)

    anew = home.json("restart")
    assert anew["instance"] != first["instance"]

    assert home.json("stop") == {"schema": 1, "running": False, "was_running": True}
    assert home.json("stop") == {"schema": 1, "running": False, "was_running": False}
    done = home.run("status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (3, {"schema": 1, "running": False})


def test_start_says_where_what_and_what_next(home: Home) -> None:
    done = home.run("start", "--port", "0")
    assert done.returncode == 0
    assert done.stdout.startswith("Ollama Bridge answers at http://127.0.0.1:")
    assert "demo" in done.stdout
    assert "keys set" in done.stderr
    assert "ollama-bridge run demo`" in done.stderr
    assert "models list" in done.stderr


def test_a_restart_with_broken_settings_ends_nothing(home: Home) -> None:
    before = home.json("start", "--port", "0")["instance"]
    home.write("no toml")
    done = home.run("restart")
    assert (done.returncode, "not TOML" in done.stderr) == (5, True)
    assert home.json("status")["instance"] == before


def test_a_restart_of_one_that_was_killed_keeps_the_flags(home: Home) -> None:
    home.json("start", "--host", "localhost", "--port", "0")
    os.kill(home.note()["pid"], signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    home.json("restart")
    assert home.note()["host"] == "localhost"


def test_two_starts_at_once_both_succeed(home: Home) -> None:
    command = [sys.executable, "-m", "ollama_bridge_cli", "start", "--port", "0", "--json"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=home.environ)
        for _ in range(2)
    ]
    said = [json.loads(one.communicate(timeout=60)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(facts["started"] for facts in said) == [False, True]
    assert said[0]["instance"] == said[1]["instance"]


def test_a_daemon_of_an_older_version_is_told(home: Home) -> None:
    old = home.folder / "old"
    shutil.copytree(Path(ollama_bridge.__file__).parent, old / "ollama_bridge")
    old.joinpath("ollama_bridge/__init__.py").write_text('__version__ = "0.0.1"\n')
    child = home.daemon(PYTHONPATH=str(old), PYTHONSAFEPATH="1")
    try:
        until_ready(child)
        for command in ("start", "status"):
            done = home.run(command)
            assert done.returncode == 0
            assert f"0.0.1, older than this command ({ollama_bridge.__version__})" in done.stderr
            assert "ollama-bridge restart" in done.stderr
    finally:
        end(child)


def test_a_restart_keeps_the_flags(home: Home) -> None:
    other = home.folder / "other.toml"
    other.write_text('[aliases]\nmine = "demo/demo"\n')
    done = home.run("--config", str(other), "start", "--host", "localhost", "--port", "0")
    assert done.returncode == 0, done.stderr
    home.json("restart")
    note = home.note()
    assert (note["config"], note["host"], note["port_flag"]) == (str(other), "localhost", 0)


def test_a_taken_port_exits_4(home: Home, running: Home) -> None:
    done = home.run("start", "--port", str(running.note()["port"]))
    assert done.returncode == 4
    assert done.stderr.startswith("error: Another Ollama Bridge")
    assert len(done.stderr.splitlines()) == 1


def test_a_start_that_takes_too_long_says_so(home: Home) -> None:
    done = home.run("start", "--port", "0", "--timeout", "0.1")
    assert done.returncode == 3
    assert "did not answer within 0.1 s" in done.stderr
    assert "--timeout" in done.stderr
    assert process.is_gone(home.state, 20), "and leaves nothing behind"


def test_reload(home: Home) -> None:
    home.json("start", "--port", "0")
    home.write('[aliases]\nnew = "demo/demo"\n')
    assert home.run("reload").returncode == 0
    assert "new:latest" in home.run("models", "list").stdout
    home.write("x = [")
    done = home.run("reload")
    assert done.returncode == 5
    assert done.stderr.startswith(f"error: {home.config}: not TOML")
    assert "new:latest" in home.run("models", "list").stdout, "the old settings hold"
    status = home.run("status")
    assert status.returncode == 0
    assert "not TOML" in status.stdout


def test_status_for_people(running: Home) -> None:
    done = running.run("status")
    assert done.returncode == 0
    assert f"http://127.0.0.1:{running.note()['port']}" in done.stdout
    assert str(running.config) in done.stdout
    assert "\x1b" not in done.stdout, "no colour in a pipe"
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []


def test_nothing_shows_the_token(running: Home) -> None:
    token = running.note()["token"]
    for command in (["status"], ["status", "--json"], ["start"], ["logs"], ["config", "show"]):
        done = running.run(*command)
        assert token not in done.stdout + done.stderr


def test_logs(running: Home) -> None:
    path = running.state / "ollama-bridge.log"
    assert running.run("logs", "--path").stdout == f"{path}\n"
    assert "listens on" in running.run("logs").stdout
    assert len(running.run("logs", "-n", "1").stdout.splitlines()) == 1
    assert running.run("logs", "-n", "0").stdout == ""
    found = running.json("logs", "-n", "1")
    assert (found["schema"], found["path"], len(found["lines"])) == (1, str(path), 1)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_localhost_works_wherever_it_resolves(running: Home) -> None:
    port = running.note()["port"]
    for host in ("127.0.0.1", "[::1]", "localhost"):
        with urllib.request.urlopen(f"http://{host}:{port}/api/version") as reply:
            assert reply.status == 200


def test_no_log_yet(home: Home) -> None:
    done = home.run("logs")
    assert done.returncode == 1
    assert "ollama-bridge start" in done.stderr


def test_following_a_log(home: Home) -> None:
    home.state.mkdir()
    path = home.state / log.NAME
    path.write_text("old\n")
    reader = subprocess.Popen(
        [sys.executable, "-m", "ollama_bridge_cli", "logs", "-f", "-n", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home.environ,
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "old\n"
        with path.open("a") as file:
            file.write("one\ntw")
        assert reader.stdout.readline() == "one\n"
        with path.open("a") as file:
            file.write("o\n")
        assert reader.stdout.readline() == "two\n"
        reader.send_signal(signal.SIGINT)
        _, said = reader.communicate(timeout=20)
        assert reader.returncode == 130
        assert said == ""
    finally:
        end(reader)


@pytest.fixture
def small_log(home: Home) -> Iterator[log.Gathering]:
    """A log that the daemon's own handler rotates every few dozen lines."""
    home.state.mkdir()
    file = log._File(home.state / log.NAME)
    file.maxBytes = 4000
    handler = log.Gathering(file.write)
    handler.setFormatter(log.Text())
    yield handler
    file.close()


def write(handler: log.Gathering, numbers: range) -> None:
    for number in numbers:
        text = f"line {number}"
        handler.emit(logging.LogRecord("ollama_bridge", logging.INFO, "", 0, text, None, None))


def read(reader: "subprocess.Popen[str]", number: int) -> list[str]:
    """That many lines, without their time."""
    assert reader.stdout is not None
    return [reader.stdout.readline().rpartition(": ")[2].rstrip() for _ in range(number)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_following_through_rotations(home: Home, small_log: log.Gathering) -> None:
    """Also while the reader sleeps and the new file has grown past its place in the old one."""
    write(small_log, range(10))
    reader = subprocess.Popen(
        [sys.executable, "-m", "ollama_bridge_cli", "logs", "-f"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home.environ,
    )
    try:
        seen = read(reader, 10)
        for start in range(10, 310, 50):
            if start == 110:
                reader.send_signal(signal.SIGSTOP)
                write(small_log, range(start, start + 50))
                reader.send_signal(signal.SIGCONT)
            else:
                write(small_log, range(start, start + 50))
            seen += read(reader, 50)
        assert seen == [f"line {number}" for number in range(310)]
        assert (home.state / f"{log.NAME}.3").exists(), "it was rotated often enough"
    finally:
        end(reader)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_following_one_that_slept_through_two_rotations(
    home: Home, small_log: log.Gathering
) -> None:
    write(small_log, range(10))
    _, place = log.last(home.state / log.NAME, 0)
    write(small_log, range(10, 130))
    follower = log.follow(home.state / log.NAME, place)
    told = [next(follower).rpartition(": ")[2] for _ in range(120)]
    assert told == [f"line {number}" for number in range(10, 130)]


def test_following_one_that_was_emptied(home: Home, small_log: log.Gathering) -> None:
    path = home.state / log.NAME
    write(small_log, range(10))
    _, place = log.last(path, 0)
    path.write_text("anew\n")
    assert next(log.follow(path, place)) == "anew"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("command", [["serve"], ["start", "--foreground"]])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_foreground(home: Home, command: list[str], number: int, code: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "ollama_bridge_cli", *command, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=home.environ,
    )
    try:
        until_ready(child)
        assert home.json("status")["pid"] == child.pid
        os.kill(child.pid, number)
        _, said = child.communicate(timeout=20)
        assert child.returncode == code
        assert "Traceback" not in said
    finally:
        end(child)
