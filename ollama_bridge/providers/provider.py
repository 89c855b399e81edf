"""The values every other part talks in: who answers, and by which name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin

_NOTHING: Mapping[str, Any] = MappingProxyType({})

EFFORTS: Mapping[str, str] = MappingProxyType(
    {"on": "medium", "low": "low", "medium": "medium", "high": "high", "max": "high"}
)
"""What most services take; what is missing (`off`) is not sent."""

OPENAI, OLLAMA = KINDS = ("openai", "ollama")
"""Dialects of services: OpenAI's API alone, or Ollama's own with OpenAI's beside it under /v1."""


class Blank(NamedTuple):
    """A part of an address that is each user's own: `{name}` in a row's URL."""

    name: str
    variable: str
    """The environment variable this service's users usually set for it."""
    meaning: str
    """What to ask for, as in "account id"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that may be spent at one service in a day, by the local calendar; None: no limit."""

    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    """In and out together."""
    usd_per_day: float | None = None
    """US dollars, by list prices."""
    fallback_price: tuple[float, float] | None = None
    """US dollars for a million tokens in and out, for models whose price nobody tells."""

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return not (self.requests_per_day is self.tokens_per_day is self.usd_per_day is None)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Provider:
    """One service that speaks the OpenAI API, with everything we must know to use it."""

    name: str
    url: str
    """Base URL with its version segment, without a trailing slash; a preset's may have blanks."""
    blanks: tuple[Blank, ...] = ()
    """Parts of a preset's URL that are to be filled in."""
    hosts: tuple[str, ...] = ()
    """Other hosts at which this service answers; names below them count too."""
    model_path: str = ""
    """What comes before a route where the URL names the model: `/deployments/{model}`."""
    listing: str = "models"
    """The list of models, relative to the base URL; empty for services that have none."""
    running: str = ""
    """What a server tells of the one model it runs, relative to the base URL; empty for none."""
    query: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Goes along with every request, behind a question mark."""
    key: str = "keyring"
    """Where the key is: `keyring`, `env:NAME`, `file:PATH`, `command:…` or `none`."""
    key_variable: str = ""
    """The environment variable this service's users usually set."""
    key_header: str = ""
    """The header that holds the bare key; else `Authorization: Bearer`."""
    headers: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    quirks: tuple[str, ...] = ()
    """Names of request edits in `quirks.QUIRKS`, applied in this order."""
    model_quirks: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NOTHING)
    """More of them for the models whose id fits a pattern, such as `*-pro`."""
    extra_options: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Ollama options beyond the OpenAI ones that this service takes, and its names for them."""
    efforts: Mapping[str, str] = field(default_factory=lambda: EFFORTS)
    """Ollama's `think` (`on`, `off` or a level) as this service's `reasoning_effort`."""
    models: tuple[str, ...] = ()
    """Model ids for services that cannot list theirs; they are added to the list."""
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    """Seconds."""
    idle_timeout: float = 300.0
    """Seconds without a byte from the service."""
    first_byte_timeout: float = 600.0
    """Seconds until the service begins to answer; a model may think for minutes (quirk F19)."""
    retries: int = 2
    """How often a request that met a passing trouble is made again."""
    concurrency: int = 2048
    """Most requests it is given at the same time; others wait for their turn."""
    embed_batch: int = 64
    """Most inputs the service takes in one embeddings request."""
    responses: bool = False
    """It has /v1/responses; for all others the bridge translates to chat completions."""
    facts: str = ""
    """Its name among the public facts; empty where they do not know it."""
    kind: str = OPENAI
    """One of KINDS. A real Ollama gets native requests as they came, and its own lists count."""

    limits: Limits = NO_LIMITS

    @property
    def root(self) -> str:
        """Where a real Ollama's own API begins."""
        return self.url.removesuffix("/v1")

    @property
    def list_url(self) -> str:
        """Where the list of models is; empty when there is none."""
        return urljoin(f"{self.url}/", self.listing) if self.listing else ""

    @property
    def list_urls(self) -> tuple[str, ...]:
        """The same, and the usual place, where an older version of the service has it."""
        urls = (self.list_url, f"{self.url}/models") if self.listing else ()
        return tuple(dict.fromkeys(urls))

    @property
    def running_url(self) -> str:
        """Where the server tells what it runs; empty when it does not."""
        return urljoin(f"{self.url}/", self.running) if self.running else ""

    def route(self, path: str, model: str) -> str:
        """The path of a route behind the base URL, for that model."""
        if not self.model_path:
            return path
        return self.model_path.format(model=quote(model, safe="")) + path

    def credentials(self, key: str) -> dict[str, str]:
        """The headers that show the key; none without one (some refuse an empty token, K7)."""
        if not key:
            return {}
        return {self.key_header: key} if self.key_header else {"Authorization": f"Bearer {key}"}


@dataclass(frozen=True, slots=True)
class Alias:
    """A name of the user's own for one or more models, with what goes along with it."""

    targets: tuple[str, ...]
    """`provider/model` or bare ids, tried in order."""
    system: str = ""
    template: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    context_length: int | None = None
    """Tokens; overrides what is known of the target."""
    capabilities: tuple[str, ...] | None = None
    license: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """One model of one provider, by the id the provider knows."""

    provider: Provider
    model: str
