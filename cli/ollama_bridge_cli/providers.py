"""providers add, list, show, remove: the services that answer."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollama_bridge import editing
from ollama_bridge.config import Config
from ollama_bridge.errors import KeyMissing, KeyringUnusable, NotRunning, SettingsInvalid
from ollama_bridge.providers import quirks
from ollama_bridge.providers.provider import Provider

from . import render, session
from .config import in_effect
from .session import Session

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def add(
    context: typer.Context,
    name: Name,
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
    keys = user.keys()
    rows = [
        {
            "name": row.name,
            "url": live.get(row.name, {}).get("url", row.url),
            "default": row.name == settings.default_provider,
            "key_source": keys.source(row),
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
