"""The bundle of packaging/bundle, with no Python of ours in reach: `make bundle` runs this."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ollama
import psutil
import pytest
from daemons import Home
from tray.panels import Panel, find

pytestmark = pytest.mark.bundle


class User(Home):
    """Somebody who has unpacked the bundle."""

    folder_of_programs = Path(os.environ.get("BUNDLE", "dist/ollama-bridge")).absolute()

    def bridge(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.folder_of_programs / "ollama-bridge", *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def told(self, *arguments: str) -> "dict[str, object]":
        done = self.bridge(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def program(self) -> str:
        """What the daemon runs as."""
        return psutil.Process(self.note()["pid"]).exe()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    one = User(tmp_path)
    del one.environ["PYTHONPATH"], one.environ["PATH"]
    yield one
    assert one.bridge("stop").returncode == 0


def test_it_starts_itself_again(user: User) -> None:
    first = user.told("start", "--port", "0")
    daemon = str(user.folder_of_programs / "ollama-bridge-daemon")
    assert user.program() == daemon
    with ollama.Client(host=first["address"]) as client:
        parts = list(client.chat("demo", [{"role": "user", "content": "Hello!"}], stream=True))
        assert len(parts) > 2
        assert "demo-embed:latest" in [model.model for model in client.list().models]
    again = user.told("restart")
    assert again["instance"] != first["instance"]
    assert user.program() == daemon
    assert user.bridge("stop").returncode == 0
    assert user.bridge("status").returncode == 3


def test_settings_keys_and_completion_are_there(user: User) -> None:
    assert user.bridge("models", "alias", "mine", "demo/demo").returncode == 0
    assert user.config.read_text() == '[aliases]\nmine = "demo/demo"\n'
    assert user.bridge("keys", "list").returncode == 0
    assert "ollama-bridge" in user.bridge("--version").stdout


async def test_the_icon(user: User, session_bus: str) -> None:
    user.environ |= {"DBUS_SESSION_BUS_ADDRESS": session_bus, "OLLAMA_BRIDGE_PORT": "0"}
    panel = await Panel.started(session_bus)
    done = user.bridge("tray")
    assert (done.stdout, done.stderr) == ("The icon is in the panel.\n", "")
    await panel.take()
    await panel.click("Start")
    await panel.until_shown("Ollama Bridge: http")
    assert user.program().endswith("ollama-bridge-daemon")
    await panel.click("Start at login")
    menu = await panel.until(lambda menu: find(menu, "Start at login")["toggle-state"])
    assert find(menu, "Stop") is not None
    (entry,) = user.folder.rglob("*.desktop")
    assert f"Exec={user.folder_of_programs / 'ollama-bridge-tray'} --start" in entry.read_text()
    await panel.click("Quit tray")
    panel.end()
