"""Live bridges for tests: one in front of the demo provider, others in front of a fake upstream."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import planted
import pytest
from fake_upstream import Act, FakeUpstream
from servers import served

from ollama_bridge.config import Config
from ollama_bridge.demo import Demo
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.server.app import App, build
from ollama_bridge.server.bridge import Sleep


class NoKeys:
    """Keys for providers that want none, or all the same one."""

    def __init__(self, key: str = planted.KEY) -> None:
        self.key = key

    def get(self, provider: Provider) -> str:
        return self.key

    def source(self, provider: Provider) -> str:
        return "test"


def bridge_app(
    *providers: Provider,
    aliases: dict[str, Alias] | None = None,
    key: str = planted.KEY,
    sleep: Sleep = asyncio.sleep,
) -> App:
    """The daemon's application for these providers; the first one is the default."""
    config = Config(
        path=Path("config.toml"),
        providers={provider.name: provider for provider in providers},
        aliases=aliases or {},
        default_provider=providers[0].name,
    )
    return build(
        config, keys=NoKeys(key), token="test-token", instance="test-instance", sleep=sleep
    )


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """The demo provider as a server of its own."""
    with served(Demo()) as url:
        yield f"{url}/v1"


@pytest.fixture(scope="session")
def demo_bridge(demo_url: str) -> Iterator[str]:
    """The address of a bridge that answers from the demo provider."""
    aliases = {
        "poet": Alias(targets=("demo",), system="Answer in verse.", parameters={"temperature": 0.1})
    }
    with served(
        bridge_app(Provider(name="demo", url=demo_url, key="none"), aliases=aliases)
    ) as url:
        yield url


@pytest.fixture
def bridged() -> Iterator[Callable[..., tuple[str, FakeUpstream]]]:
    """Makes a bridge in front of a fake upstream: `url, upstream = bridged(act)`.

    It asks once only, unless `retries` says otherwise.
    """
    with ExitStack() as stack:

        def make(act: Act | None = None, **options: Any) -> tuple[str, FakeUpstream]:
            upstream = FakeUpstream(act, models=options.pop("models", ("m",)))
            url = stack.enter_context(served(upstream))
            key = options.pop("key", planted.KEY)
            aliases = options.pop("aliases", None)
            sleep = options.pop("sleep", asyncio.sleep)
            options.setdefault("retries", 0)
            provider = Provider(name="fake", url=f"{url}/v1", key="none", **options)
            app = bridge_app(provider, aliases=aliases, key=key, sleep=sleep)
            return stack.enter_context(served(app)), upstream

        yield make
