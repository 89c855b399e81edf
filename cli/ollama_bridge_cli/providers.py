"""providers add, list, show, test, remove: the services that answer."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollama_bridge import editing
from ollama_bridge.config import Config
from ollama_bridge.errors import KeyMissing, KeyringUnusable, NotRunning, SettingsInvalid
from ollama_bridge.providers import quirks
from ollama_bridge.providers.provider import Provider

from . import completing, keys, render, session
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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def add(
    context: typer.Context,
    name: NewName,
    preset: Annotated[str | None, typer.Option(help="Take all from a known service.")] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address, as in http://host:8000/v1.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="keyring, env:NAME, file:PATH, command:… or none.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="ollama for a real Ollama; else openai.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model, where the service cannot list them.")
    ] = None,
) -> None:
    """Add a service; a known one needs only its name."""
    user = session.of(context)
    given = {"preset": preset, "base_url": base_url, "key": key, "kind": kind, "models": model}
    table = {field: value for field, value in given.items() if value}
    settings = editing.add_provider(user.config_path, name, table)
    user.say(f"Added provider {name} to {user.config_path}")
    try:
        user.keys().get(settings.providers[name])
    except (KeyMissing, KeyringUnusable) as error:
        user.say(f"Next: {error.message}")
    user.tell_daemon()


def list_providers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the services, with their models when the daemon runs."""
    user = session.of(context)
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
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="The provider's name; else all.",
            autocompletion=completing.providers,
        ),
    ] = None,
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
