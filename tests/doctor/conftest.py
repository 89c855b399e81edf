"""A set-up without a fault."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from daemons import Home


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Nothing stored, any free port, one command on the PATH."""
    one = Home(tmp_path, OLLAMA_BRIDGE_PORT="0", OLLAMA_BRIDGE_KEY_LAB="")
    one.write("[providers.demo]\n")
    one.config.chmod(0o600)
    yield one
    if one.state.joinpath("daemon.json").exists():
        assert one.run("stop").returncode == 0


@pytest.fixture
def running(home: Home) -> Iterator[Home]:
    done = home.run("start")
    assert done.returncode == 0, done.stderr
    yield home
    assert home.run("stop").returncode == 0
