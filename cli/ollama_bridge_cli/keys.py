"""keys set, list, remove: API keys in the operating system's keyring, never shown."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ollama_bridge import editing
from ollama_bridge.providers.presets import PRESETS

from . import render, session

Name = Annotated[str, typer.Argument(metavar="NAME", help="The provider's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def set_key(
    context: typer.Context,
    name: Name,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the key from standard input.")
    ] = False,
) -> None:
    """Store a provider's key; asks for it without showing it."""
    user = session.of(context)
    settings = user.load()
    if not stdin and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at; pass the key with --stdin")
    secret = sys.stdin.read() if stdin else typer.prompt(f"Key for {name}", hide_input=True)
    user.keys().set(name, secret)
    user.say(f"The key for {name} is in the keyring.")
    provider = settings.providers.get(name)
    if provider is None and name in PRESETS:
        editing.add_provider(user.config_path, name, {})
        user.say(f"Added provider {name} to {user.config_path}")
    elif provider is None and name not in settings.server.access_keys:
        user.say(
            f"No provider has this name yet: ollama-bridge providers add {name} --base-url URL"
        )
    elif provider is not None and provider.key != "keyring":
        user.say(f'Not used so far: provider {name} takes its key from "{provider.key}".')
    user.tell_daemon()


def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where each provider's key comes from, never the key."""
    user = session.of(context)
    keys = user.keys()
    sources = {row.name: keys.source(row) for row in user.load().providers.values()}
    if as_json:
        listed = [{"provider": name, "source": source} for name, source in sources.items()]
        render.document({"keys": listed})
        return
    user.table(["provider", "key"], [[name, source] for name, source in sources.items()])


def remove(context: typer.Context, name: Name) -> None:
    """Delete a provider's key from the keyring."""
    user = session.of(context)
    removed = user.keys().remove(name)
    user.say(f"The key for {name} is deleted." if removed else f"There was no key for {name}.")
    user.tell_daemon()


COMMANDS: dict[str, Callable[..., None]] = {"set": set_key, "list": list_keys, "remove": remove}
