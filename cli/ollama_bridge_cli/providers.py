"""providers add, list, show, test, remove: the services that answer."""

import os
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollama_bridge import config, editing
from ollama_bridge.config import Config
from ollama_bridge.errors import KeyMissing, KeyringUnusable, NotRunning, SettingsInvalid
from ollama_bridge.providers import address, quirks
from ollama_bridge.providers.presets import DEMO_URL, PRESETS
from ollama_bridge.providers.provider import OLLAMA, Provider

from . import blanks, completing, keys, render, session
from .arguments import AsJson, OneProvider
from .config import in_effect
from .session import Session

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The provider's name.", autocompletion=completing.providers
    ),
]
NewName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The provider's name.", autocompletion=completing.services),
]


def add(
    context: typer.Context,
    name: NewName,
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL]",
            help="Address of any other service, with or without /v1: it is asked there.",
        ),
    ] = "",
    preset: Annotated[str | None, typer.Option(help="Take all from a known service.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The same, but nothing is asked there.")
    ] = None,
    blanks_set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A part of its address, as account=ID."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="keyring, env:NAME, file:PATH, command:… or none.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="ollama for a real Ollama; else openai.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model, where the service cannot list them.")
    ] = None,
) -> None:
    """Add a service; a known one needs only its name, any other its address."""
    user = session.of(context)
    if url and base_url:
        raise typer.BadParameter("URL and --base-url contradict each other")
    table: dict[str, Any] = {"preset": preset, "base_url": base_url or url, "key": key}
    table |= {"kind": kind, "models": model}
    _fill_blanks(table, name, blanks.given(blanks_set or ()))
    if url:
        table |= _located(user, name, {field: value for field, value in table.items() if value})
    settings = editing.add_provider(
        user.config_path, name, {field: value for field, value in table.items() if value}
    )
    row = settings.providers[name]
    user.say(f"Added provider {name} to {user.config_path}")
    if not row.listing and not row.models:
        user.say(f"It has no list of models; name them: --model NAME, or {name}/NAME in requests")
    try:
        user.keys().get(row)
    except (KeyMissing, KeyringUnusable) as error:
        user.say(f"Next: {error.message}")
    user.tell_daemon()


def _fill_blanks(table: dict[str, Any], name: str, values: dict[str, str]) -> None:
    """Complete the address of a service that has one of its own for each user."""
    row = config.service(table["preset"] or name, os.environ)
    if row is None or table["base_url"]:
        if values:
            raise typer.BadParameter(
                "only for known services without an address", param_hint="--set"
            )
        return
    if row.blanks or values:
        table["base_url"] = blanks.filled(row, values, attended=sys.stdin.isatty())
        table["preset"] = row.name
    elif row.name not in PRESETS:  # facts may change: the address is kept where it was found
        table["base_url"] = row.url


def _located(user: Session, name: str, table: dict[str, Any]) -> dict[str, Any]:
    """The base URL at an address as pasted, and what kind of service answers there."""
    from ollama_bridge import locate  # HTTP, which no other command of these needs

    row = config.check({"providers": {name: table}}, user.config_path, {}).providers[name]
    user.say(f"Asking at {table['base_url']} ...")
    found = locate.find(row, table["base_url"], key_of(user, row))
    if found.proof == locate.LISTS:
        user.say(f"{found.models} models at {found.url}")
    elif found.proof == locate.WANTS_KEY:
        user.say(f"It wants a key before it says more; for now its address is {found.url}")
    elif found.proof == locate.CHATS:
        user.say(f"It answers at {found.url}, but has no list of models; name them with --model")
    else:
        user.say(
            f"Nothing there answers like an OpenAI-compatible service ({found.detail}). "
            f"Added with {found.url} all the same; try again with `ollama-bridge keys test {name}`"
        )
    known: dict[str, Any] = {}
    if found.kind == OLLAMA and "kind" not in table:
        known["kind"] = found.kind
    if address.base_url(found.url) != found.url:  # at the root, where else /v1 would be added
        known["exact"] = True
    return {"base_url": found.url, **known}


def key_of(user: Session, row: Provider) -> str:
    """The provider's key if there is one by now, else none."""
    try:
        return user.keys().get(row)
    except (KeyMissing, KeyringUnusable):
        return ""


def list_providers(
    context: typer.Context,
    known: Annotated[
        bool, typer.Option("--known", help="All services that `providers add` knows by name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the services, with their models when the daemon runs."""
    user = session.of(context)
    if known:
        _list_known(user, as_json=as_json)
        return
    settings = user.load()
    live = _live(user)
    found = user.keys()
    rows = [
        {
            "name": row.name,
            "url": live.get(row.name, {}).get("url", row.url),
            "default": row.name == settings.default_provider,
            "key_source": found.source(row),
            "models": live.get(row.name, {}).get("models"),
            "error": live.get(row.name, {}).get("error"),
        }
        for row in settings.providers.values()
    ]
    if as_json:
        render.document({"providers": rows})
        return
    user.table(["provider", "models", "key", "address", "problem"], [_cells(row) for row in rows])


def _list_known(user: Session, *, as_json: bool) -> None:
    facts = config.public_facts(user.state)
    ours = {row.facts for row in PRESETS.values()}
    rows = [
        {"name": row.name, "url": row.url, "key_variable": row.key_variable}
        for row in PRESETS.values()
        if row.url != DEMO_URL
    ]
    rows += [
        {"name": name, "url": service.url, "key_variable": service.key}
        for name, service in facts.services.items()
        if service.url and name not in PRESETS and name not in ours
    ]
    if as_json:
        render.document({"services": rows})
    else:
        user.table(["service", "address", "key variable"], [list(row.values()) for row in rows])


def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one service's settings in effect."""
    user = session.of(context)
    settings = user.load()
    row = _named(settings, name)
    facts = {"name": name, **in_effect(settings)["providers"][name]}
    facts["key_source"] = user.keys().source(row)
    if as_json:
        render.document(facts)
    else:
        render.facts(facts | {"quirks": quirks.explained(row.quirks)})


def check(
    context: typer.Context,
    name: OneProvider = None,
    as_json: AsJson = False,
) -> None:
    """Ask a service for its models, and for a word where that proves the key."""
    user = session.of(context)
    rows = [_tested(user, row) for row in keys.chosen(user.load(), name)]
    if as_json:
        render.document({"providers": rows})
    else:
        heads = ["provider", "result", "chat models", "took", "address", "problem"]
        user.table(heads, [_test_cells(row) for row in rows])
    if any(row["result"] not in keys.GOOD for row in rows):
        raise typer.Exit(1)


def _tested(user: Session, provider: Provider) -> dict[str, Any]:
    begun = time.monotonic()
    found = keys.verdict(user, provider)
    return {
        "name": provider.name,
        "url": provider.url,
        "result": found.result,
        "detail": found.detail,
        "chat_models": list(found.models),
        "seconds": round(time.monotonic() - begun, 3),
    }


def _test_cells(row: dict[str, Any]) -> list[str]:
    took = f"{row['seconds']:.2f}s"
    found = str(len(row["chat_models"]) or "?")
    return [row["name"], row["result"], found, took, row["url"], row["detail"]]


def remove(context: typer.Context, name: Name) -> None:
    """Take a service out of the settings; its key stays in the keyring."""
    user = session.of(context)
    editing.remove_provider(user.config_path, name)
    user.say(f"Removed provider {name} from {user.config_path}")
    user.say(f"A key in the keyring stays; delete it with `ollama-bridge keys remove {name}`")
    user.tell_daemon()


COMMANDS: dict[str, Callable[..., None]] = {
    "add": add,
    "list": list_providers,
    "show": show,
    "test": check,
    "remove": remove,
}


def _named(settings: Config, name: str) -> Provider:
    row = settings.providers.get(name)
    if row is None:
        known = ", ".join(settings.providers)
        raise SettingsInvalid(f"there is no provider {name}; there are: {known}")
    return row


def _live(user: Session) -> dict[str, dict[str, Any]]:
    try:
        rows = user.client().status()["providers"]
    except NotRunning:
        return {}
    return {row["name"]: row for row in rows}


def _cells(row: dict[str, Any]) -> list[str]:
    name = f"{row['name']} (default)" if row["default"] else row["name"]
    models = "?" if row["models"] is None else str(row["models"])
    return [name, models, row["key_source"], row["url"], row["error"] or ""]
