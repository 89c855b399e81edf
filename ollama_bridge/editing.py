"""Changes to the settings file: comments kept, written whole, and never made invalid.

Strategy: each function edits the parsed document under the file's lock; the result is checked like
any settings file and only then replaces the old one. All raise SettingsInvalid and return what is
in effect afterwards.
"""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ollama_bridge import config, files, schema
from ollama_bridge.config import Config
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers.names import same_name, untagged
from ollama_bridge.providers.provider import Alias

Change = Callable[[Any], None]
"""Edits a document that is open for writing; several can go into one edit."""


def edit(path: Path, change: Change, environ: Mapping[str, str] = os.environ) -> Config:
    """Let `change` edit the file's document; raises SettingsInvalid and writes nothing if bad."""
    import tomlkit  # only writers need it

    with files.locked(path):
        text = config.read(path)
        config.parse(text, path)  # its errors are clearer; what it means may be what is mended
        document = tomlkit.parse(text)
        change(document)
        edited = tomlkit.dumps(document)
        settings = config.check(config.parse(edited, path), path, environ)
        try:
            files.replace(path, edited)
        except OSError as error:
            raise files.unwritable(error, path, named=path) from error
    return settings


def replace_text(
    path: Path, before: str, text: str, environ: Mapping[str, str] = os.environ
) -> Config:
    """Put a whole new text in place of `before`, if it is valid and nobody else was quicker."""
    with files.locked(path):
        if config.read(path) != before:
            raise SettingsInvalid(f"{path}: another program changed it meanwhile; look at it again")
        settings = config.check(config.parse(text, path), path, environ)
        try:
            files.replace(path, text)
        except OSError as error:
            raise files.unwritable(error, path, named=path) from error
    return settings


def key_path(text: str) -> tuple[str, ...]:
    """The parts of a dotted key such as `providers.lab.base_url`; quotes work as in TOML."""
    try:
        value: Any = tomllib.loads(f"{text} = 0") if "\n" not in text else 0
    except tomllib.TOMLDecodeError:
        value = 0
    path = []
    while isinstance(value, dict) and len(value) == 1:
        ((part, value),) = value.items()
        path.append(part)
    if not path or value != 0:
        raise SettingsInvalid(
            f'"{text}" is no key; keys look like server.port or aliases."llama3.2"'
        )
    return tuple(path)


def set_value(
    path: Path, key: Sequence[str], value: Any, environ: Mapping[str, str] = os.environ
) -> Config:
    """Set one key of the file."""

    def change(document: Any) -> None:
        _table(document, key[:-1], path)[key[-1]] = _item(value)

    return edit(path, change, environ)


def unset_value(path: Path, key: Sequence[str], environ: Mapping[str, str] = os.environ) -> Config:
    """Take one key or table out of the file; raises SettingsInvalid when it is not there."""

    def change(document: Any) -> None:
        table = document
        for part in key[:-1]:
            table = table.get(part) if isinstance(table, dict) else None
        if not isinstance(table, dict) or key[-1] not in table:
            raise SettingsInvalid(f"{path}: {schema.dotted(tuple(key))} is not set there")
        del table[key[-1]]

    return edit(path, change, environ)


def set_alias(
    path: Path,
    name: str,
    alias: Alias | Sequence[str],
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """Give a name to a model; plain targets leave what else an alias holds as it is."""

    def change(document: Any) -> None:
        aliases = _table(document, ("aliases",), path)
        if isinstance(alias, Alias):
            _put_alias(aliases, name, alias)
        elif isinstance(aliases.get(name), dict):
            aliases[name]["target"] = _one_or_list(alias)
        else:
            aliases[name] = _one_or_list(alias)

    return edit(path, change, environ)


def set_default_model(
    path: Path, name: str, origin: str, environ: Mapping[str, str] = os.environ
) -> Config:
    """Let the alias `default` mean the model listed as `name`, which is `origin` in full.

    In full it stays the same model when another provider becomes the default one; a name of the
    user's own is kept, with all it holds.
    """
    aliases = config.load(path, environ).aliases
    alias = same_name(config.DEFAULT_MODEL, aliases) or config.DEFAULT_MODEL
    return set_alias(path, alias, [same_name(name, aliases) or origin], environ)


def remove_alias(path: Path, name: str, environ: Mapping[str, str] = os.environ) -> Config:
    """Forget a name; raises SettingsInvalid when it is not in the file."""
    return unset_value(path, ("aliases", name), environ)


def add_provider(
    path: Path,
    name: str,
    table: Mapping[str, Any],
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """Add a provider; those found in the environment go into the file too, so none is lost."""

    def change(document: Any) -> None:
        providers = _table(document, ("providers",), path)
        if name in providers:
            raise SettingsInvalid(
                f"{path}: provider {name} is there already; change it with "
                f"`ollama-bridge config set providers.{schema.dotted((name,))}.KEY VALUE`"
            )
        rows = {} if providers else config.from_environment(environ)
        for found, row in rows.items():
            providers[found] = _new_table({"key": "none"} if row.key == "none" else {})
        providers[name] = _new_table(table)

    return edit(path, change, environ)


def with_provider(
    path: Path,
    name: str,
    table: Mapping[str, Any],
    model: str,
    environ: Mapping[str, str] = os.environ,
) -> Change:
    """Have a provider with these values, there or not; a model, if named, becomes the default."""

    def change(document: Any) -> None:
        providers = _table(document, ("providers",), path)
        rows = {} if providers else config.from_environment(environ)
        for found, row in rows.items():
            providers[found] = _new_table({"key": "none"} if row.key == "none" else {})
        if name in providers:
            providers[name].update(table)
            if "key" not in table:  # the keyring's again, whatever it was
                providers[name].pop("key", None)
        else:
            providers[name] = _new_table(table)
        if model:
            _put_default(_table(document, ("aliases",), path), model)

    return change


def _put_default(aliases: Any, model: str) -> None:
    alias = same_name(config.DEFAULT_MODEL, aliases) or config.DEFAULT_MODEL
    if isinstance(aliases.get(alias), dict):
        aliases[alias]["target"] = model
    else:
        aliases[alias] = model


def remove_provider(path: Path, name: str, environ: Mapping[str, str] = os.environ) -> Config:
    """Take a provider out of the file; it is no longer the default one either."""

    def change(document: Any) -> None:
        providers = document.get("providers", {})
        if name not in providers:
            raise SettingsInvalid(f"{path}: there is no provider {name} in this file")
        del providers[name]
        if document.get("default_provider") == name:
            del document["default_provider"]

    return edit(path, change, environ)


# What Ollama's own routes change. Names mean what they mean to a client: `m`, `M` and `m:latest`
# are one model.


def making(path: Path, name: str, alias: Alias) -> Change:
    """Make a model of the user's own, or replace the one of that name."""

    def change(document: Any) -> None:
        aliases = _table(document, ("aliases",), path)
        _put_alias(aliases, same_name(name, aliases) or untagged(name), alias)

    return change


def forgetting(name: str) -> Change:
    """Take a model of the user's own away; it may be gone already."""

    def change(document: Any) -> None:
        aliases = document.get("aliases", {})
        if key := same_name(name, aliases):
            del aliases[key]

    return change


def hiding(model: str) -> Change:
    """Put `provider/model` among the hidden ones."""

    def change(document: Any) -> None:
        hidden = document.setdefault("hidden", [])
        if model not in hidden:
            hidden.append(model)

    return change


def showing(model: str) -> Change:
    """Take `provider/model` from the hidden ones."""

    def change(document: Any) -> None:
        hidden = document.get("hidden", [])
        for item in list(hidden):
            if untagged(item) == untagged(model):
                hidden.remove(item)
        if "hidden" in document and not hidden:
            del document["hidden"]

    return change


def _table(document: Any, key: Sequence[str], path: Path) -> Any:
    """The table at that key, made where it is missing."""
    import tomlkit  # only writers need it

    table = document
    for depth, part in enumerate(key, 1):
        if part not in table:
            # only the last of a chain gets a headline: [providers.lab], not [providers] before it
            table[part] = tomlkit.table(is_super_table=depth < len(key) or part == "providers")
        table = table[part]
        if not isinstance(table, dict):
            where = schema.dotted(tuple(key[:depth]))
            raise SettingsInvalid(f"{path}: {where} is a single value there, not a table")
    return table


def _new_table(values: Mapping[str, Any]) -> Any:
    import tomlkit  # only writers need it

    table = tomlkit.table()
    for key, value in values.items():
        table[key] = _item(value)
    return table


def _item(value: Any) -> Any:
    """A table inside a table goes on the line of its key: headers = { X-Team = "search" }."""
    import tomlkit  # only writers need it

    if not isinstance(value, Mapping):
        return value
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline


def _put_alias(aliases: Any, name: str, alias: Alias) -> None:
    import tomlkit  # only writers need it

    value = _alias_value(alias)
    if isinstance(aliases, tomlkit.items.InlineTable) and isinstance(value, Mapping):
        value = _inline(value)  # aliases = { … } holds no table that has lines of its own
    aliases[name] = value


def _inline(value: Any) -> Any:
    """Tables at any depth in the form that needs no lines of their own."""
    import tomlkit  # only writers need it

    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update({key: _inline(item) for key, item in value.items()})
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(_inline(item) for item in value)
        return array
    return value


def _alias_value(alias: Alias) -> Any:
    filled = {
        "system": alias.system,
        "template": alias.template,
        "parameters": dict(alias.parameters),
        "context_length": alias.context_length,
        "license": alias.license,
        "messages": [dict(message) for message in alias.messages],
    }
    kept: dict[str, Any] = {key: value for key, value in filled.items() if value}
    if alias.capabilities is not None:  # an empty list says something
        kept["capabilities"] = list(alias.capabilities)
    target = _one_or_list(alias.targets)
    return _new_table({"target": target, **kept}) if kept else target


def _one_or_list(targets: Sequence[str]) -> Any:
    return targets[0] if len(targets) == 1 else list(targets)
