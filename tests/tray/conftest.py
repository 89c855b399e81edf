"""A session bus of its own, a panel on it, and the tray as a process of its own."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from daemons import Home
from tray.panels import Panel

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("", "cli", "tray", "tests"))


def needed(program: str, package: str) -> str:
    """The program's path; a test skips without it, except where everything must run."""
    found = shutil.which(program)
    if found is None:
        assert not os.environ.get("CI"), f"{program} is missing: apt-get install {package}"
        pytest.skip(f"needs {program}: apt-get install {package}")
    return found


@pytest.fixture
def session_bus(tmp_path: Path) -> Iterator[str]:
    """The address of an empty session bus."""
    program = needed("dbus-daemon", "dbus")
    folder = tmp_path / "bus"
    folder.mkdir()
    bus = subprocess.Popen(
        [
            *[program, "--session", "--nofork", "--nopidfile", "--print-address=1"],
            f"--address=unix:dir={folder}",
        ],
        # what the bus starts by itself keeps its files with this user too
        env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bus.stdout is not None
    yield bus.stdout.readline().strip()
    bus.terminate()
    bus.wait(10)
    bus.stdout.close()


@pytest.fixture
def user(tmp_path: Path, session_bus: str) -> Iterator[Home]:
    """A user with a session and no display; a daemon that runs at the end is stopped."""
    home = Home(
        tmp_path,
        PYTHONPATH=PATHS,
        DBUS_SESSION_BUS_ADDRESS=session_bus,
        XDG_CONFIG_HOME=str(tmp_path / "config"),
        OLLAMA_BRIDGE_PORT="0",
    )
    yield home
    if home.state.joinpath("daemon.json").exists():
        assert home.run("stop").returncode == 0


class Tray:
    """The icon's process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ollama_bridge_tray",
            *arguments,
            env=self._home.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    async def said(self) -> str:
        """Its next line."""
        assert self.process is not None
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode().strip()

    async def ended(self) -> tuple[int | None, str]:
        """How it ended, and what it complained of."""
        assert self.process is not None
        _, errors = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode, errors.decode()

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()


@pytest.fixture
async def tray(user: Home) -> AsyncIterator[Tray]:
    """Not started yet."""
    one = Tray(user)
    yield one
    await one.kill()


@pytest.fixture
async def panel(session_bus: str) -> AsyncIterator[Panel]:
    """A panel that shows icons."""
    one = await Panel.started(session_bus)
    yield one
    one.end()
