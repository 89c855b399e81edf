"""Every command in every situation, as a process: its exit code, one sentence, no traceback."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from daemons import Home
from disks import fill, mounted

from ollama_bridge_cli import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")

GOOD = '[providers.demo]\n[aliases]\npoet = "demo/demo"\n'
BROKEN = "x = ["
KEY = "sk-hush-0123456789\n"


class Row(NamedTuple):
    """A command and its exit codes; None where it would not end by itself."""

    line: str
    down: int | None
    up: int | None
    broken: int
    """With settings that are no TOML, and no daemon."""
    broken_up: int
    """The same beside a daemon that has read better ones."""
    no_state: int
    """With a state folder that is a file, or on a disk that takes nothing."""


# fmt: off
ROWS = [
    #                                  down  up broken broken_up no_state
    Row("reload",                          3, 0, 3, 5, 3),
    Row("status",                          3, 0, 3, 0, 3),
    Row("status --json",                   3, 0, 3, 0, 3),
    Row("logs",                            1, 0, 1, 0, 1),
    Row("logs --json",                     1, 0, 1, 0, 1),
    Row("logs --path",                     0, 0, 0, 0, 0),
    Row("doctor",                          0, 0, 1, 1, 1),
    Row("doctor --json",                   0, 0, 1, 1, 1),
    Row("run demo hello",                  3, 0, 3, 0, 3),
    Row("run nope hello",                  3, 1, 3, 1, 3),
    Row("setup",                           0, 0, 0, 0, 0),
    Row("setup codex --model m",           0, 0, 5, 0, 0),
    Row("setup zed --write",               0, 0, 5, 0, 0),
    Row("ps",                              3, 0, 3, 0, 3),
    Row("top",                             3, 0, 3, 0, 3),
    Row("top --json",                      3, 0, 3, 0, 3),
    Row("ui --print",                      3, 0, 3, 0, 3),
    Row("tray",                            1, 1, 1, 1, 1),
    Row("providers list",                  0, 0, 5, 5, 0),
    Row("providers show demo",             0, 0, 5, 5, 0),
    Row("providers test",                  0, 0, 5, 5, 0),
    Row("keys list",                       0, 0, 5, 5, 0),
    Row("keys set groq --stdin",           6, 6, 5, 5, 6),
    Row("keys test",                       0, 0, 5, 5, 0),
    Row("keys remove groq",                0, 0, 5, 5, 0),
    Row("models list",                     3, 0, 3, 0, 3),
    Row("models show demo",                3, 0, 3, 0, 3),
    Row("models test demo",                3, 0, 3, 0, 3),
    Row("models refresh --from nowhere",   1, 1, 1, 1, 1),
    Row("models alias",                    0, 0, 5, 5, 0),
    Row("config path",                     0, 0, 0, 0, 0),
    Row("config show",                     0, 0, 5, 5, 0),
    Row("config get default_provider",     0, 0, 5, 5, 0),
    Row("config validate",                 0, 0, 5, 5, 0),
    Row("service status",                  0, 0, 0, 0, 0),
    Row("service print",                   0, 0, 0, 0, 0),
    Row("serve --port 0",               None, 4, 5, 5, 1),
    Row("start --port 0",               None, 0, 5, 0, 1),
    Row("restart",                      None, None, 5, 5, 1),
]
EDITS = [
    Row("models alias x demo/demo",        0, 0, 5, 5, 1),
    Row("models unalias poet",             0, 0, 5, 5, 1),
    Row("providers add groq",              0, 0, 5, 5, 1),
    Row("providers remove demo",           0, 0, 5, 5, 1),
    Row("config set server.port 4321",     0, 0, 5, 5, 1),
    Row("config unset aliases.poet",       0, 0, 5, 5, 1),
    Row("config edit",                     0, 0, 0, 0, 1),
]
# fmt: on
ELSEWHERE = {"service install", "service uninstall", "stop", "uninstall"}
"""What the tests of services and of the daemon's life look at; `stop` also ends each test here."""


def test_no_command_is_left_out() -> None:
    def leaves(command: object, path: str) -> Iterator[str]:
        below = getattr(command, "commands", {})
        if not below:
            yield path.strip()
        for name, inner in below.items():
            yield from leaves(inner, f"{path} {name}")

    known = [row.line for row in ROWS + EDITS]
    for leaf in leaves(typer.main.get_command(main.build()), ""):
        assert leaf in ELSEWHERE or any(line.startswith(leaf) for line in known), leaf


def check(home: Home, line: str, code: int) -> None:
    done = home.run(*line.split(), stdin=KEY if line.startswith("keys") else "")
    told = f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == code, told
    assert "Traceback" not in done.stderr, told
    assert "a mistake in" not in done.stderr, told
    assert KEY.strip() not in done.stdout + done.stderr
    if code and not line.startswith("doctor"):
        (said,) = done.stderr.splitlines()
        assert said.startswith("error: "), told


@pytest.fixture
def user(home: Home) -> Home:
    home.write(GOOD)
    home.config.chmod(0o600)
    home.environ |= {"OLLAMA_BRIDGE_PORT": "0", "EDITOR": "true", "DBUS_SESSION_BUS_ADDRESS": ""}
    return home


Codes = Callable[[Row], int | None]


def look(home: Home, codes: Codes, settings: str) -> None:
    """Run all commands; those that change the settings get them anew each time."""
    home.write(settings)
    for row in (*ROWS, *EDITS):
        if (code := codes(row)) is not None:
            check(home, row.line, code)
        if row in EDITS:
            home.write(settings)


def test_without_a_daemon(user: Home) -> None:
    look(user, lambda row: row.down, GOOD)
    check(user, "stop", 0)


def test_with_a_daemon(user: Home) -> None:
    check(user, "start", 0)
    look(user, lambda row: row.up, GOOD)


def test_with_broken_settings(user: Home) -> None:
    look(user, lambda row: row.broken, BROKEN)
    assert user.config.read_text() == BROKEN
    check(user, "stop", 0)


def test_with_settings_broken_beside_a_daemon(user: Home) -> None:
    check(user, "start", 0)
    before = user.note()["id"]
    look(user, lambda row: row.broken_up, BROKEN)
    assert user.note()["id"] == before
    assert user.config.read_text() == BROKEN


def test_with_a_state_folder_that_is_a_file(user: Home) -> None:
    user.state.write_text("")
    look(user, lambda row: row.down if row in EDITS else row.no_state, GOOD)
    check(user, "stop", 0)
    user.state.unlink()


@contextmanager
def on_a_disk(home: Home, options: str) -> Iterator[Path]:
    """Settings and state on a small disk."""
    disk = home.folder / "disk"
    disk.mkdir(mode=0o700)
    with mounted(disk, options):
        shutil.move(home.config, disk)
        home.config, home.state = disk / home.config.name, disk / "state"
        home.state.mkdir(mode=0o700)
        home.environ["OLLAMA_BRIDGE_CONFIG"] = str(home.config)
        home.environ["OLLAMA_BRIDGE_STATE"] = str(home.state)
        try:
            yield disk
        finally:
            home.run("stop")  # a daemon would keep the disk busy


def test_on_a_full_disk(user: Home) -> None:
    user.environ["EDITOR"] = "sed -i s/poet/coder/"
    with on_a_disk(user, "size=64k") as disk:
        fill(disk)
        for row in (*ROWS, *EDITS):
            check_edit(user, row) if row.line == "config edit" else check(
                user, row.line, row.no_state
            )
        assert user.config.read_text() == GOOD, "no half of a change is kept"
        check(user, "stop", 0)


def test_on_a_disk_that_is_read_only(user: Home) -> None:
    with on_a_disk(user, "size=1m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for row in (*ROWS, *EDITS):
            if row.line != "config edit":
                check(user, row.line, row.no_state)
        check(user, "stop", 1)


def check_edit(home: Home, row: Row) -> None:
    """What was typed is not lost."""
    done = home.run(*row.line.split())
    assert done.returncode == row.no_state
    first, last = done.stderr.splitlines()
    assert "No space left on device" in first
    assert "coder" in Path(last.rpartition("your text is in ")[2]).read_text()


def test_a_daemon_whose_disk_fills_up_answers_on(user: Home) -> None:
    with on_a_disk(user, "size=256k") as disk:
        check(user, "start", 0)
        fill(disk)
        for line in ("status", "run demo hello", "models list", "ps", "logs", "top"):
            check(user, line, 0)
        check(user, "models alias x demo/demo", 1)
        check(user, "reload", 0)
        check(user, "stop", 0)
