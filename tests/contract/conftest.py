"""A bridge with settings of its own in front of a service that refuses what OpenAI refuses."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from bridges import NoKeys
from contract.strict_upstream import strict_upstream
from contract.talk import Ask, talking
from fake_upstream import FakeUpstream
from servers import served

from ollama_bridge import config, editing
from ollama_bridge.server.app import build

SETTINGS = """\
# mine
[providers.lab]
base_url = "{url}/v1"
key = "none"

[aliases.poet]
target = "coder"
system = "Answer in verse."
parameters = {{ temperature = 0.25, num_ctx = 16384, stop = ["END", "two words"] }}
license = "MIT"
"""


class Lab:
    """A bridge, the service behind it, and the settings file between them."""

    def __init__(self, folder: Path, upstream_url: str, upstream: FakeUpstream) -> None:
        self.file = folder / "config.toml"
        self.file.write_text(SETTINGS.format(url=upstream_url), encoding="utf-8")
        self.upstream = upstream
        self.url = ""

    @contextmanager
    def running(self) -> Iterator[str]:
        """The bridge at work, with the settings as they are in the file now."""
        app = build(
            config.load(self.file, {}),
            keys=NoKeys(),
            edit=lambda change: editing.edit(self.file, change, {}),
            reload=lambda: config.load(self.file, {}),
            token="test-token",
            instance="test-instance",
        )
        with served(app) as self.url:
            yield self.url


@pytest.fixture(scope="session")
def _strict() -> Iterator[tuple[str, FakeUpstream]]:
    upstream = strict_upstream()
    with served(upstream) as url:
        yield url, upstream


@pytest.fixture(scope="module")
def lab(
    _strict: tuple[str, FakeUpstream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """One for all tests of a file: they leave its models alone."""
    lab = Lab(tmp_path_factory.mktemp("lab"), *_strict)
    with lab.running():
        yield lab


@pytest.fixture
def own_lab(_strict: tuple[str, FakeUpstream], tmp_path: Path) -> Iterator[Lab]:
    """One for a test that makes or deletes models."""
    lab = Lab(tmp_path, *_strict)
    with lab.running():
        yield lab


@pytest.fixture(scope="module")
def talk() -> Iterator[Callable[..., Ask]]:
    """Makes clients: `ask = talk(url, user_agent="…")`."""
    with ExitStack() as stack:

        def make(url: str, **headers: str) -> Ask:
            return stack.enter_context(talking(url, **headers))

        yield make
