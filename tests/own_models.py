"""A bridge with a settings file that clients may change, and restarts that only the file survives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridges import NoKeys
from fake_upstream import Call, FakeUpstream
from servers import served

from ollama_bridge import config, editing
from ollama_bridge.server.app import App, build


async def hello(call: Call) -> None:
    """The answer of a provider that always says the same."""
    await call.start()
    await call.text("hello", "stop")
    await call.write("data: [DONE]\n\n", more=False)


class Place:
    """One folder with settings, and the provider they name."""

    def __init__(self, folder: Path, url: str, upstream: FakeUpstream, *, more: str = "") -> None:
        self.file = folder / "config.toml"
        self.upstream = upstream
        self.file.write_text(
            f'# mine\n[providers.fake]\nbase_url = "{url}/v1"\nkey = "none"\n{more}'
        )

    def app(self, **options: object) -> App:
        """A daemon's application that has just read the settings."""
        return build(
            config.load(self.file, {}),
            keys=NoKeys(),
            edit=lambda change: editing.edit(self.file, change, {}),
            reload=lambda: config.load(self.file, {}),
            token="test-token",
            **options,
        )

    def text(self) -> str:
        return self.file.read_text(encoding="utf-8")

    def sent(self) -> list[dict[str, object]]:
        """The messages of the last chat that reached the provider."""
        return self.upstream.calls[-1].body["messages"]

    @contextmanager
    def running(self, app: Any = None) -> Iterator[str]:
        """The bridge at work; yields its address."""
        with served(app or self.app()) as url:
            yield url


@contextmanager
def provider() -> Iterator[Callable[..., Place]]:
    """Makes places that share one provider, which is as new for each: `make(folder, models)`."""
    upstream = FakeUpstream(hello)
    with served(upstream) as url:

        def make(folder: Path, models: tuple[str, ...] = ("m", "other"), more: str = "") -> Place:
            upstream.models = [{"id": model, "object": "model"} for model in models]
            upstream.calls.clear()
            return Place(folder, url, upstream, more=more)

        yield make
