"""A user's home for each test, and one running daemon for those that only look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Home

SETTINGS = """\
[providers.demo]
[aliases]
poet = "demo/demo"
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose daemon, if the test starts one, is stopped afterwards."""
    one = Home(tmp_path, OLLAMA_BRIDGE_KEY_LAB="")  # these tests have keys of their own
    yield one
    if one.state.joinpath("daemon.json").exists():
        assert one.run("stop").returncode == 0


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with a daemon that answers from the demo; nobody changes its settings."""
    one = Home(tmp_path_factory.mktemp("running"))
    one.write(SETTINGS)
    done = one.run("start", "--port", "0")
    assert done.returncode == 0, done.stderr
    yield one
    assert one.run("stop").returncode == 0


@pytest.fixture
def user(home: Home) -> Home:
    """A home with a keyring; only for processes of their own, which look for theirs at the start."""
    home.environ |= {
        "PYTHON_KEYRING_BACKEND": "file_keyring.Ring",
        "FILE_KEYRING": str(home.folder / "ring.json"),
    }
    return home
