"""config path, show, get, set, unset, edit, validate: the settings file."""

import dataclasses
import json
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from ollama_bridge import config as config_file
from ollama_bridge import editing, files
from ollama_bridge.config import Config
from ollama_bridge.errors import BridgeError, SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import DEMO_URL
from ollama_bridge.providers.provider import OPENAI, Alias, Provider

from . import render, session, spending
from .arguments import AsJson

Key = Annotated[str, typer.Argument(metavar="KEY", help='Like server.port or aliases."llama3.2".')]

_SECRET_HEADERS = ("auth", "key", "token", "secret", "cookie")


def path(context: typer.Context, as_json: AsJson = False) -> None:
    """Show which file holds the settings."""
    file = session.of(context).config_path
    if as_json:
        render.document({"path": str(file), "exists": file.is_file()})
    else:
        render.result(str(file))


def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the settings in effect: file, environment and defaults together."""
    settings = in_effect(session.of(context).load())
    if as_json:
        render.document(settings)
        return
    import tomlkit  # 50 ms that --help does not need

    render.result(tomlkit.dumps(settings).strip())


def get(context: typer.Context, key: Key, as_json: AsJson = False) -> None:
    """Show one setting in effect."""
    value: Any = in_effect(session.of(context).load())
    for part in editing.key_path(key):
        if not isinstance(value, dict) or part not in value:
            raise SettingsInvalid(f"{key} is not set; `ollama-bridge config show` lists what is")
        value = value[part]
    if as_json:
        render.document({"key": key, "value": value})
    else:
        render.result(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def set_value(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As in TOML; or a plain text.")],
) -> None:
    """Change one setting in the file."""
    user = session.of(context)
    parts = editing.key_path(key)
    editing.set_value(user.config_path, parts, _value(value))
    user.say(f"{key} is set in {user.config_path}")
    user.tell_daemon()
    spending.tell(user, parts)


def unset(context: typer.Context, key: Key) -> None:
    """Take one setting out of the file."""
    user = session.of(context)
    editing.unset_value(user.config_path, editing.key_path(key))
    user.say(f"{key} is no longer set in {user.config_path}")
    user.tell_daemon()


def validate(context: typer.Context, as_json: AsJson = False) -> None:
    """Check the settings without using them."""
    user = session.of(context)
    file = user.config_path
    try:
        settings = user.load()
    except SettingsInvalid as error:
        if as_json:
            render.document({"path": str(file), "valid": False, "problem": error.message})
        raise
    if as_json:
        render.document({"path": str(file), "valid": True, "problem": None})
        return
    found = "" if file.is_file() else " (there is no such file, so defaults hold)"
    providers = render.count(len(settings.providers), "provider")
    render.result(f"{file}: valid, {providers}{found}")


def edit(context: typer.Context) -> None:
    """Open the file in your editor ($VISUAL or $EDITOR); a wrong one is not taken."""
    user = session.of(context)
    file = user.config_path
    before = config_file.read(file) if file.exists() else ""
    text = before or _BEGINNING
    while True:
        text = _edited(text)
        if text.strip() in (before.strip(), _BEGINNING.strip()):
            user.say("Nothing was changed.")
            return
        try:
            editing.replace_text(file, before, text)
        except BridgeError as error:
            render.message(f"error: {error.message}")
            if sys.stdin.isatty() and typer.confirm("Edit it again?", default=True, err=True):
                continue
            kept = _kept(file, text)
            raise type(error)(f"{file} is as it was; your text is in {kept}") from None
        user.say(f"{file} is changed.")
        user.tell_daemon()
        return


_BEGINNING = """\
# Settings of Ollama Bridge. What can stand here: ollama-bridge config show
"""


def _edited(text: str) -> str:
    """What the user's editor makes of the text."""
    try:
        changed = click.edit(text, extension=".toml", require_save=False)
    except click.ClickException as error:
        raise BridgeError(
            f"the editor could not be used: {error.format_message()}; set EDITOR to one that can"
        ) from error
    return text if changed is None else changed


def _kept(file: Path, text: str) -> Path:
    """A copy of a text that was not taken, so that no work is lost."""
    copy = file.with_name(f"{file.name}.rejected")
    try:
        files.replace(copy, text)
    except (OSError, BridgeError):  # the disk may be why the text was not taken
        copy = Path(tempfile.mkdtemp(prefix="ollama-bridge.")) / copy.name
        files.replace(copy, text)
    return copy


COMMANDS: dict[str, Callable[..., None]] = {
    "path": path,
    "show": show,
    "get": get,
    "set": set_value,
    "unset": unset,
    "edit": edit,
    "validate": validate,
}


def in_effect(settings: Config) -> dict[str, Any]:
    """The settings as a file would hold them; headers that may be secret are hidden."""
    server = dataclasses.asdict(settings.server)
    return {
        "default_provider": settings.default_provider,
        "server": {key: _plain(value) for key, value in server.items() if key != "keep_alive"},
        "providers": {name: _provider(row) for name, row in settings.providers.items()},
        "aliases": {name: _alias(item) for name, item in settings.aliases.items()},
        "hidden": sorted(settings.hidden),
    }


def _provider(row: Provider) -> dict[str, Any]:
    fields = {
        "base_url": row.url,
        "exact": row.url != DEMO_URL and address.base_url(row.url) != row.url,
        "kind": "" if row.kind == OPENAI else row.kind,
        "key": row.key,
        "models": list(row.models),
        "include": list(row.include),
        "exclude": list(row.exclude),
        "headers": {name: _shown(name, value) for name, value in row.headers.items()},
        "query": dict(row.query),
        "quirks": list(row.quirks),
        "model_quirks": {pattern: list(names) for pattern, names in row.model_quirks.items()},
        "connect_timeout": row.connect_timeout,
        "first_byte_timeout": row.first_byte_timeout,
        "idle_timeout": row.idle_timeout,
        "retries": row.retries,
        "concurrency": row.concurrency,
        "limits": _filled(dataclasses.asdict(row.limits)),
    }
    if row.url == DEMO_URL:  # no address: the daemon serves it itself
        del fields["base_url"]
    return {key: value for key, value in fields.items() if value not in ([], {}, "", False)}


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in fields.items() if value is not None}


def _alias(item: Alias) -> dict[str, Any]:
    fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    target = fields.pop("targets")
    filled = {key: _plain(value) for key, value in fields.items() if value}
    return {"target": _plain(target) if len(target) > 1 else target[0], **filled}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(name: str, value: str) -> str:
    return "(hidden)" if any(word in name.lower() for word in _SECRET_HEADERS) else value


def _value(text: str) -> Any:
    """What TOML would read, and a plain text when it would not."""
    try:
        read = tomllib.loads(f"value = {text}") if "\n" not in text else {}
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if len(read) == 1 else text
