"""keys set, list, test, remove: API keys in the operating system's keyring, never shown."""

import dataclasses
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ollama_bridge import config as config_file
from ollama_bridge import editing, keyfile, keys
from ollama_bridge.config import Config
from ollama_bridge.errors import BridgeError, KeyMissing, SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import DEMO_URL, PRESETS
from ollama_bridge.providers.provider import Provider

from . import completing, render, session
from .arguments import AsJson, OneProvider
from .session import Session

if TYPE_CHECKING:
    from ollama_bridge.probe import Verdict

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The provider's name.", autocompletion=completing.keyed),
]


def set_key(
    context: typer.Context,
    name: Name,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the key from standard input.")
    ] = False,
    insecure_storage: Annotated[
        bool,
        typer.Option(
            "--insecure-storage",
            help="Keep it in a plain file that only you can read, where there is no keyring.",
        ),
    ] = False,
) -> None:
    """Store a provider's key; asks for it without showing it."""
    user = session.of(context)
    settings = user.load()
    if not stdin and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask at; pass the key with --stdin")
    typed = sys.stdin.read() if stdin else typer.prompt(f"Key for {name}", hide_input=True)
    store(user, settings, name, typed, in_file=insecure_storage)
    _look_again(user, name)
    user.tell_daemon()


def _look_again(user: Session, name: str) -> None:
    """With a key a service may list its models at another path than was guessed without one."""
    path = user.config_path
    table = config_file.parse(config_file.read(path), path).get("providers", {}).get(name, {})
    if "base_url" not in table:
        return
    from ollama_bridge import locate  # HTTP, which no other command of these needs

    row = user.load().providers[name]
    if not row.listing or row.facts or address.preset_at(row.url):
        return  # of a service that is known there is nothing to find out
    try:
        found = locate.find(row, row.url, user.keys().get(row))
    except BridgeError:
        return  # the key is stored; who uses it will hear of this
    if found.proof == locate.LISTS and found.url != row.url:
        exact = address.base_url(found.url) != found.url
        editing.set_value(path, ("providers", name, "base_url"), found.url)
        if exact or "exact" in table:
            editing.set_value(path, ("providers", name, "exact"), exact)
        user.say(f"Its models are listed at {found.url}; the settings say so now.")


def store(user: Session, settings: Config, name: str, typed: str, *, in_file: bool) -> None:
    """Keep what was typed or pasted as that name's key, and have the settings use it."""
    key = keys.clean(typed, f"The key for {name}")
    if key != typed.removesuffix("\n").removesuffix("\r"):
        user.say("White space or quotes around the key were left out.")
    if in_file:
        _store_in_file(user, settings, name, key)
        return
    user.keys().set(name, key)
    user.say(f"The key for {name} is in the keyring.")
    provider = settings.providers.get(name)
    known = None if provider else config_file.service(name, os.environ)
    if known is not None and known.blanks:
        user.say(f"No provider has this name yet: ollama-bridge providers add {name}")
    elif known is not None:
        # public facts may change: the address is kept as it was found
        table = {} if name in PRESETS else {"base_url": known.url}
        editing.add_provider(user.config_path, name, table)
        user.say(f"Added provider {name} to {user.config_path}")
    elif provider is None and name not in settings.server.access_keys:
        user.say(f"No provider has this name yet: ollama-bridge providers add {name} URL")
    elif keyfile.is_used(settings, name):
        editing.unset_value(user.config_path, ("providers", name, "key"))
        keyfile.remove(user.config_path, name)
        user.say("The file that held the key before is deleted.")
    elif provider is not None and provider.key != "keyring":
        user.say(f'Not used so far: provider {name} takes its key from "{provider.key}".')


def _store_in_file(user: Session, settings: Config, name: str, key: str) -> None:
    if name not in settings.providers and config_file.service(name, os.environ) is None:
        raise SettingsInvalid(
            f"no provider has the name {name}, so no setting could name its file; first: "
            f"ollama-bridge providers add {name} URL"
        )
    file = keyfile.write(user.config_path, name, key)
    try:
        _name_file(user, name)
    except BridgeError:
        keyfile.remove(user.config_path, name)
        raise
    user.say(f"The key for {name} is in {file}, not encrypted; only you can read it.")


def _name_file(user: Session, name: str) -> None:
    """Have the settings take the key from its file."""
    path, rule = user.config_path, keyfile.rule(name)
    in_settings = config_file.parse(config_file.read(path), path).get("providers", {})
    if name in in_settings:
        editing.set_value(path, ("providers", name, "key"), rule)
    else:
        editing.add_provider(path, name, {"key": rule})


def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where each provider's key comes from and how it ends, never the key."""
    user = session.of(context)
    found = user.keys()
    rows = [
        {"provider": row.name, "source": found.source(row), "ends_in": found.ending(row)}
        for row in user.load().providers.values()
    ]
    if as_json:
        render.document({"keys": rows})
        return
    cells = [
        [row["provider"], row["source"], f"…{row['ends_in']}" if row["ends_in"] else ""]
        for row in rows
    ]
    user.table(["provider", "key", "ends in"], cells)


def check_keys(
    context: typer.Context,
    name: OneProvider = None,
    as_json: AsJson = False,
) -> None:
    """Ask the provider whether it takes the key: valid, refused, no quota or unreachable."""
    user = session.of(context)
    results = [_tested(user, row) for row in chosen(user.load(), name)]
    if as_json:
        render.document({"keys": results})
    else:
        for row in results:
            render.result(": ".join(filter(None, (row["provider"], row["result"], row["detail"]))))
    if any(row["result"] not in GOOD for row in results):
        raise typer.Exit(1)


NOT_NEEDED = "no key needed"
MISSING = "missing"
GOOD = ("valid", NOT_NEEDED)
"""Results with which `keys test` ends as a success."""


def chosen(settings: Config, name: str | None) -> list[Provider]:
    """The provider of that name, or all; raises SettingsInvalid."""
    if name is None:
        return list(settings.providers.values())
    if name not in settings.providers:
        known = ", ".join(settings.providers)
        raise SettingsInvalid(f"there is no provider {name}; there are: {known}")
    return [settings.providers[name]]


def _tested(user: Session, provider: Provider) -> dict[str, Any]:
    found = verdict(user, provider)
    return {"provider": provider.name, "result": found.result, "detail": found.detail}


def verdict(user: Session, provider: Provider) -> "Verdict":
    """What the provider says of its key: a word of the probe's or one of those above, and why."""
    from ollama_bridge import probe  # HTTP, which no other command of these needs

    if provider.url == DEMO_URL:
        return probe.Verdict(NOT_NEEDED)
    try:
        key = user.keys().get(provider)
    except KeyMissing as error:
        return probe.Verdict(MISSING, error.message)
    found = probe.ask(provider, key)
    needed = key or found.result != probe.VALID
    return found if needed else dataclasses.replace(found, result=NOT_NEEDED)


def remove(context: typer.Context, name: Name) -> None:
    """Delete a provider's key from the keyring, and from the file of --insecure-storage."""
    user = session.of(context)
    settings = user.load()
    in_file = keyfile.is_used(settings, name)
    if in_file:
        editing.unset_value(user.config_path, ("providers", name, "key"))
        keyfile.remove(user.config_path, name)
    try:
        removed = user.keys().remove(name) or in_file
    except BridgeError:
        if not in_file:  # a machine without a keyring is why the file was there
            raise
        removed = True
    user.say(f"The key for {name} is deleted." if removed else f"There was no key for {name}.")
    user.tell_daemon()


COMMANDS: dict[str, Callable[..., None]] = {
    "set": set_key,
    "list": list_keys,
    "test": check_keys,
    "remove": remove,
}
