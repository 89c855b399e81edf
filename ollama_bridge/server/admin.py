"""/_bridge/*: what the command line and the tray ask the daemon. FastAPI; never shows a key."""

import asyncio
import base64
import dataclasses
import hashlib
import os
from pkgutil import get_data
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from ollama_bridge import __version__, spending
from ollama_bridge.catalog import Entry
from ollama_bridge.config import DEFAULT_MODEL
from ollama_bridge.errors import BridgeError, ModelNotFound
from ollama_bridge.providers.names import same_name, untagged
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server import summing
from ollama_bridge.server.models import listed
from ollama_bridge.server.trials import Result

if TYPE_CHECKING:
    from ollama_bridge.server.app import App


class Today(BaseModel):
    """What was sent to a provider since midnight, local time."""

    requests: int
    tokens_in: int
    tokens_out: int
    usd: float
    """By list prices, for the models whose price is known."""
    estimated: int
    """Requests whose tokens are estimated, because the provider did not tell them."""
    unpriced: int
    """Requests that are not in `usd`, because nobody tells the model's price."""


class DayLimit(BaseModel):
    """One limit for a day, and what has been used of it."""

    limit: str
    """Its name in the settings."""
    most: float
    used: float
    reached: bool


class ProviderStatus(BaseModel):
    """One provider as the daemon sees it."""

    name: str
    url: str
    key_source: str
    models: int | None
    """Models in its list; null while it has not told."""
    error: str | None
    state: str
    """`ok`, `failing` (an alias asks its other targets first) or `trying` (a request finds out)."""
    failures: int
    """Requests in a row that it did not answer."""
    running: int
    waiting: int
    """Requests that wait for a place."""
    limit: int
    """Places; fewer than the settings say after it was asked too much."""
    resting: float
    """Seconds until it is asked first again."""
    today: Today
    limits: list[DayLimit]
    """The limits that the settings have for it."""
    uncounted: list[str]
    """Its models whose price is not known, where there is a limit in money."""


class Failure(BaseModel):
    """A request that failed."""

    number: int
    """Counts this daemon's failures."""
    time: str
    model: str
    error: str


class Learned(BaseModel):
    """What is done differently for one model, because its provider refused something."""

    model: str
    """As `provider/model`."""
    learned: list[str]
    """Names of request edits, as the settings' `quirks` know them, and of what the model lacks."""


class WorkerStatus(BaseModel):
    """One of the processes that answer together."""

    number: int
    """Counts all that there were: higher than the number of workers after one was replaced."""
    pid: int
    started_at: str
    active: int
    requests: int
    errors: int


class Status(BaseModel):
    """The whole state in one answer."""

    schema_: int = 1
    instance: str
    version: str
    pid: int
    started_at: str
    config: str
    settings_error: str | None
    default_provider: str
    default_model: str
    """What the alias `default` stands for, by its listed name; empty without such an alias."""
    providers: list[ProviderStatus]
    models: int
    learned: list[Learned]
    """What refusals have taught of single models; gone when the daemon ends or reloads."""
    active: int
    answering: list[str]
    """Names of the models that are answering, one for each request."""
    requests: int
    errors: int
    failures: list[Failure]
    """The last ones, oldest first."""
    workers: list[WorkerStatus]
    """The processes that answer; empty where the daemon is only one. All sums are theirs."""


class Asked(BaseModel):
    """One request, over or not; never what was said."""

    id: str
    time: str
    """When it came."""
    client: str
    route: str
    status: int | None
    """None while it runs."""
    model: str
    provider: str
    first_ms: float
    """Until the first token; 0 when there was none."""
    total_ms: float
    tokens_in: int
    tokens_out: int
    estimated: bool = False
    """The tokens are counted here: the provider told none."""
    gone: bool = False
    """The client did not wait for the end."""
    tokens_per_second: float | None = None
    cost: float | None = None
    """US dollars, where the model's price is known."""
    error: str | None = None


class Requests(BaseModel):
    """What goes on, oldest first."""

    schema_: int = 1
    running: list[Asked]
    recent: list[Asked]


class Fact(BaseModel):
    """One thing that is known of a model, and who told it."""

    value: int | float | list[str] | None
    source: str
    """`settings`, `tested`, `upstream`, `bundled facts`, `refreshed facts`, `default` or empty."""


class Outcome(BaseModel):
    """One feature of a model, tried out."""

    outcome: str
    """`yes` and `no` are proved; any other word proves nothing."""
    detail: str = ""


class Model(BaseModel):
    """One model with all that is known of it."""

    name: str
    targets: list[str]
    """As `provider/model`, in the order in which they are tried."""
    listed: str
    """Empty for a model in /api/tags, else why it is not there."""
    context_length: Fact
    capabilities: Fact
    embedding_length: Fact
    max_output: Fact
    price_in: Fact
    """US dollars per million tokens."""
    price_out: Fact
    tested: dict[str, Outcome]
    """By feature, what `models test` found out."""
    tested_at: str | None
    learned: list[str]
    """Names of what is done differently, because its provider refused something."""


class Models(BaseModel):
    """Every model there is, with those that clients are not shown."""

    schema_: int = 1
    models: list[Model]


class OneModel(BaseModel):
    """The model that a name means."""

    schema_: int = 1
    model: Model


class Tried(BaseModel):
    """What a trial of one model found out."""

    model: str
    results: dict[str, Outcome]
    embedding_length: int | None = None


class Done(BaseModel):
    """An order was carried out."""

    ok: bool = True


class Facts:
    """What one process tells of itself."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._sources = _Sources(app)

    async def status(self) -> dict[str, Any]:
        """`Status`, as JSON can hold it."""
        return _document(_status(self._app, await self._sources.told()))

    def requests(self) -> dict[str, Any]:
        """`Requests`, as JSON can hold them."""
        app, journal = self._app, self._app.journal
        told = Requests(
            running=[_asked(app, fields | {"status": None}) for fields in journal.running()],
            recent=[_asked(app, fields) for fields in list(journal.recent)],
        )
        return _document(told)


def build(app: "App", facts: Facts) -> FastAPI:
    """The admin application for a running daemon."""
    api = FastAPI(title="Ollama Bridge", docs_url=None, redoc_url=None, openapi_url=None)

    @api.get("/_bridge/status")
    async def status() -> JSONResponse:
        own, others = await asyncio.gather(facts.status(), app.siblings.ask("status"))
        return JSONResponse(summing.status([own, *others], app.siblings.place.pid))

    @api.get("/_bridge/requests")
    async def requests() -> JSONResponse:
        others = await app.siblings.ask("requests")
        return JSONResponse(summing.requests([facts.requests(), *others]))

    @api.get("/_bridge/models")
    async def models() -> JSONResponse:
        catalog = await listed(app.bridge)
        hidden = [_model(app, entry, _REMOVED) for entry in catalog.concealed()]
        rows = [_model(app, entry, _listed(entry)) for entry in catalog.entries]
        return JSONResponse(_document(Models(models=rows + hidden)))

    @api.get("/_bridge/model")
    async def model(name: str) -> JSONResponse:
        entry = await app.bridge.resolve(name)
        return JSONResponse(_document(OneModel(model=_model(app, entry, _listed(entry)))))

    @api.post("/_bridge/tried")
    async def tried(found: Tried) -> Done:
        results = {name: Result(it.outcome, it.detail) for name, it in found.results.items()}
        await app.bridge.tried(found.model, results, found.embedding_length)
        return Done()

    @api.get("/_bridge/ui")
    async def page() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers=_PAGE_HEADERS)

    @api.post("/_bridge/reload")
    async def reload() -> Done:
        await app.reload()
        return Done()

    @api.post("/_bridge/shutdown")
    async def shutdown(finish: Annotated[float | None, Query(ge=0, le=3600)] = None) -> Done:
        asyncio.get_running_loop().call_later(0.02, app.stop, finish)
        return Done()

    @api.exception_handler(BridgeError)
    async def refuse(_request: Request, error: BridgeError) -> JSONResponse:
        return JSONResponse({"error": error.message}, status_code=error.status)

    return api


class _Sources:
    """Where each provider's key comes from; a keyring that thinks does not hold the status up."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._asked: dict[str, asyncio.Task[str]] = {}

    async def told(self) -> dict[str, str]:
        """What is told in a moment; what comes later is there the next time."""
        for provider in self._app.bridge.config.providers.values():
            asked = self._asked.get(provider.name)
            if asked is None or asked.done():
                asking = asyncio.to_thread(_source, self._app, provider)
                self._asked[provider.name] = asyncio.ensure_future(asking)
        await asyncio.wait(self._asked.values(), timeout=_SOURCE_SECONDS)
        return {name: asked.result() for name, asked in self._asked.items() if asked.done()}


_SOURCE_SECONDS = 0.5


def _status(app: "App", sources: dict[str, str]) -> Status:
    bridge = app.bridge
    config = bridge.config
    return Status(
        instance=app.instance,
        version=__version__,
        pid=os.getpid(),
        started_at=app.started_at,
        config=str(config.path),
        settings_error=app.settings_error,
        default_provider=config.default_provider,
        default_model=_default_model(app),
        providers=[_provider(app, row, sources) for row in config.providers.values()],
        models=len(bridge.catalog.entries),
        learned=[
            Learned(model="/".join(key), learned=list(names))
            for key, names in bridge.memory.all().items()
        ],
        active=bridge.active,
        answering=[fields["model"] for fields in app.journal.running()],
        requests=bridge.requests,
        errors=bridge.errors,
        failures=[Failure(**fields) for fields in list(app.journal.failures)],
        workers=_workers(app),
    )


def _workers(app: "App") -> list[WorkerStatus]:
    number, bridge = app.siblings.place.number, app.bridge
    if not number:
        return []
    return [
        WorkerStatus(
            number=number,
            pid=os.getpid(),
            started_at=app.started_at,
            active=bridge.active,
            requests=bridge.requests,
            errors=bridge.errors,
        )
    ]


def _document(answer: BaseModel) -> dict[str, Any]:
    fields = answer.model_dump()
    return {"schema": fields.pop("schema_")} | fields


def _default_model(app: "App") -> str:
    aliases = app.bridge.config.aliases
    name = same_name(DEFAULT_MODEL, aliases)
    if name is None:
        return ""
    target = aliases[name].targets[0]
    try:
        return untagged(app.bridge.catalog.resolve(target).name)
    except ModelNotFound:
        return target


_REMOVED = "removed: `ollama pull` brings it back"
_NO_USE = "it makes no text, pictures or vectors"


def _listed(entry: Entry) -> str:
    return "" if entry.capabilities or entry.row else _NO_USE


def _model(app: "App", entry: Entry, listed: str) -> Model:
    trial = app.bridge.trials.of(entry.target)
    results = trial.results if trial else {}
    return Model(
        name=entry.name,
        targets=list(entry.origins),
        listed=listed,
        context_length=Fact(value=entry.context_length, source=entry.context_source),
        capabilities=Fact(value=list(entry.capabilities), source=entry.capabilities_source),
        embedding_length=Fact(value=entry.embedding_length, source=entry.embedding_source),
        max_output=Fact(value=entry.max_output, source=entry.output_source),
        price_in=Fact(value=entry.price_in, source=entry.price_source),
        price_out=Fact(value=entry.price_out, source=entry.price_source),
        tested={
            name: Outcome(outcome=result.outcome, detail=result.detail)
            for name, result in results.items()
        },
        tested_at=trial.when if trial else None,
        learned=list(app.bridge.memory.of(entry.target)),
    )


_PAGE = get_data(__package__, "page.html") or b""


def _only(element: bytes) -> str:
    """The source that lets the page's own element in and nothing else of its kind."""
    text = _PAGE.partition(b"<%b>" % element)[2].partition(b"</%b>" % element)[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


_PAGE_HEADERS = {
    # the style and the script stand in the page itself; nothing comes from or goes elsewhere
    "content-security-policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    f"style-src {_only(b'style')}; script-src {_only(b'script')}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def _asked(app: "App", fields: dict[str, Any]) -> Asked:
    asked = Asked(**fields)
    writing = asked.total_ms - asked.first_ms
    if writing < asked.total_ms / 20:  # it came all at once
        writing = asked.total_ms
    if asked.tokens_out and writing:
        asked.tokens_per_second = round(asked.tokens_out / writing * 1000, 1)
    asked.cost = _cost(app, asked)
    return asked


def _cost(app: "App", asked: Asked) -> float | None:
    """None unless the price of exactly this provider's model is known."""
    try:
        entry = app.bridge.catalog.resolve(asked.model)
    except ModelNotFound:
        return None
    if entry.target.provider.name != asked.provider:
        return None
    if entry.price_in is None or entry.price_out is None:
        return None
    return (asked.tokens_in * entry.price_in + asked.tokens_out * entry.price_out) / 1e6


def _limits(provider: Provider, spent: spending.Spent) -> list[DayLimit]:
    found = []
    for limit in spending.LIMITS:
        most = getattr(provider.limits, limit)
        if most is not None:
            used = spending.used(limit, spent)
            found.append(DayLimit(limit=limit, most=most, used=used, reached=used >= most))
    return found


def _uncounted(app: "App", provider: Provider) -> list[str]:
    limits = provider.limits
    if limits.usd_per_day is None or limits.fallback_price is not None:
        return []
    return [
        entry.target.model
        for entry in app.bridge.catalog.entries
        if entry.target.provider.name == provider.name
        and not entry.alias
        and (entry.price_in is None or entry.price_out is None)
    ]


def _provider(app: "App", provider: Provider, sources: dict[str, str]) -> ProviderStatus:
    known = app.bridge.catalog.lists.get(provider.name)
    spent = app.bridge.spending.today(provider.name)
    return ProviderStatus(
        name=provider.name,
        url=provider.url,
        key_source=sources.get(provider.name, "not told yet"),
        models=None if known is None else len(known),
        error=app.bridge.list_errors.get(provider.name),
        today=Today(**dataclasses.asdict(spent)),
        limits=_limits(provider, spent),
        uncounted=_uncounted(app, provider),
        **dataclasses.asdict(app.bridge.lane(provider).condition()),
    )


def _source(app: "App", provider: Provider) -> str:
    try:
        return app.bridge.keys.source(provider)
    except BridgeError as error:
        return error.message
