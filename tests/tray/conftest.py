"""A panel on a session bus of its own, and the tray as a process of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from daemons import Home
from tray.panels import Panel

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join(str(ROOT / part) for part in ("", "cli", "tray", "tests"))


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
