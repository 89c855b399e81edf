"""Settings: what they are, where they live, how they are read, checked and saved.

Strategy: `load` reads the file, the environment and the presets into one immutable Config; whoever
wants other settings loads again. The functions at the end edit the file, keep its comments and
write nothing that `load` would refuse.
"""

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from ollama_bridge import environment, files, schema
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import DEMO, PRESETS, URL_VARIABLES
from ollama_bridge.providers.provider import Alias, Provider

_APP = "ollama-bridge"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, slots=True)
class Server:
    """Where the daemon listens and whom it answers."""

    host: str = "127.0.0.1"
    """Empty for every interface."""
    port: int = environment.PORT
    origins: tuple[str, ...] = ()
    """Added to Ollama's built-in list of allowed web origins (`OLLAMA_ORIGINS` included)."""
    access_keys: tuple[str, ...] = ()
    """Names of keyring entries; when set, clients must send one of those keys."""
    keep_alive: float = 300.0
    """Seconds a model counts as loaded after its last use; negative means for ever."""


@dataclass(frozen=True, slots=True)
class Config:
    """One complete, checked set of settings. Immutable: a reload makes a new one."""

    path: Path
    """The settings file, whether or not it exists."""
    server: Server = field(default_factory=Server)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """By name, in the order of the file (or of the presets when there is no file)."""
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    default_provider: str = ""
    """Name of the provider whose models are listed by their bare ids; a key of `providers`."""


# where files live


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The settings file, whether or not it exists."""
    named = environ.get("OLLAMA_BRIDGE_CONFIG")
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_config_path(_APP, appauthor=False) / "config.toml"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the lock, `daemon.json`, logs and caches."""
    named = environ.get("OLLAMA_BRIDGE_STATE")
    if named:
        return Path(named).expanduser().absolute()
    return platformdirs.user_state_path(_APP, appauthor=False)


# reading


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The settings of that file (or the usual one) and the environment; raises SettingsInvalid."""
    path = (path or config_file(environ)).expanduser().absolute()
    return _config(_document(_text(path), path), path, environ)


def listen_at(config: Config, host: str | None, port: int | None) -> Config:
    """The same settings with the address of the command line, where it names one."""
    server = config.server
    server = replace(
        server,
        host=server.host if host is None else host,
        port=server.port if port is None else port,
    )
    _refuse_loop(config, server)
    return replace(config, server=server)


def _config(document: Mapping[str, Any], path: Path, environ: Mapping[str, str]) -> Config:
    schema.check(document, str(path))
    providers = _providers(document.get("providers", {}), path, environ)
    aliases = document.get("aliases", {})
    config = Config(
        path=path,
        server=_server(document.get("server", {}), environ),
        providers=providers,
        aliases={name: _alias(value) for name, value in aliases.items()},
        default_provider=_default_provider(document.get("default_provider"), providers, path),
    )
    _refuse_loop(config, config.server)
    return config


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # editors on Windows add the mark
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from error


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{path}: not TOML: {error}") from error


def _server(table: Mapping[str, Any], environ: Mapping[str, str]) -> Server:
    default = Server()
    host, port = table.get("host", default.host), table.get("port", default.port)
    if ollama := environment.variable(environ, "OLLAMA_HOST"):
        host, port = environment.address(ollama)
    host = environment.variable(environ, "OLLAMA_BRIDGE_HOST") or host
    if ours := environment.variable(environ, "OLLAMA_BRIDGE_PORT"):
        port = _port(ours)
    origins = environment.origins(environment.variable(environ, "OLLAMA_ORIGINS"))
    keep_alive = environment.variable(environ, "OLLAMA_KEEP_ALIVE")
    return Server(
        host=host.strip("[]"),
        port=port,
        origins=(*origins, *table.get("origins", ())),
        access_keys=tuple(table.get("access_keys", ())),
        keep_alive=environment.keep_alive(keep_alive, default.keep_alive),
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise SettingsInvalid(
        f'OLLAMA_BRIDGE_PORT: found "{text}"; allowed: a whole number from 0 to 65535'
    )


def _providers(
    tables: Mapping[str, Any], path: Path, environ: Mapping[str, str]
) -> dict[str, Provider]:
    if tables:
        return {name: _provider(name, table, path, environ) for name, table in tables.items()}
    return from_environment(environ) or {DEMO: PRESETS[DEMO]}


def from_environment(environ: Mapping[str, str]) -> dict[str, Provider]:
    """Every well-known provider that the environment has a key or an address for."""
    moved = {
        preset for variable, preset in URL_VARIABLES.items() if environ.get(variable, "").strip()
    }
    found = {}
    for name, row in PRESETS.items():
        if environ.get(row.key_variable, "").strip():
            found[name] = _moved(replace(row, key=f"env:{row.key_variable}"), environ)
        elif environ.get(environment.key_variable(name), "").strip():
            found[name] = _moved(row, environ)
        elif name in moved:
            found[name] = _moved(replace(row, key="none"), environ)
    return found


def _provider(
    name: str, table: Mapping[str, Any], path: Path, environ: Mapping[str, str]
) -> Provider:
    row = _row(name, table, path, environ)
    own = {key: _value(key, table[key], path) for key in _FIELDS if key in table}
    return replace(row, name=name, **own)


_FIELDS = (
    "key",
    "models",
    "include",
    "exclude",
    "headers",
    "quirks",
    "connect_timeout",
    "idle_timeout",
)
"""Keys of a provider's table that stand for themselves in a Provider."""


def _value(key: str, value: Any, path: Path) -> Any:
    if key == "key" and value.startswith("file:"):
        # the daemon's working folder is nobody's business: relative means beside the settings
        return f"file:{path.parent / Path(value[5:].strip()).expanduser()}"
    return tuple(value) if isinstance(value, list) else value


def _row(name: str, table: Mapping[str, Any], path: Path, environ: Mapping[str, str]) -> Provider:
    """What is known of a service before the file's own values."""
    preset = PRESETS.get(table.get("preset", name))
    if "base_url" not in table:
        if preset is None:
            hint = schema.closest(name, PRESETS)
            raise schema.refuse(
                str(path),
                ("providers", name),
                "no base_url",
                f'base_url = "https://…/v1", or the name or preset of a known service{hint}',
            )
        return _moved(preset, environ)
    url = _url(table["base_url"], f"{path}: {schema.dotted(('providers', name, 'base_url'))}")
    if preset is not None and "preset" in table:
        return replace(preset, url=url)
    return _elsewhere(preset or Provider(name=name, url=url), url)


def _moved(preset: Provider, environ: Mapping[str, str]) -> Provider:
    """The preset at the address the environment names for it, if it does."""
    for variable, name in URL_VARIABLES.items():
        given = environ.get(variable, "").strip()
        if given and name == preset.name:
            return _elsewhere(preset, _url(given, variable))
    return preset


def _elsewhere(row: Provider, url: str) -> Provider:
    """A row at another address: oddities belong to the service that is there, not to a name."""
    known = address.preset_at(url)
    if known is not None:
        return replace(known, name=row.name, url=url, key=row.key)
    if row.url.startswith("https:"):
        return Provider(name=row.name, url=url, key=row.key, key_variable=row.key_variable)
    return replace(row, url=url)


def _url(text: str, where: str) -> str:
    try:
        return address.base_url(text)
    except ValueError as error:
        raise SettingsInvalid(
            f'{where}: {error}; allowed: an address like "http://10.0.0.5:8000/v1"'
        ) from error


def _alias(value: Any) -> Alias:
    table = value if isinstance(value, dict) else {"target": value}
    target = table["target"]
    targets = (target,) if isinstance(target, str) else tuple(target)
    capabilities = table.get("capabilities")
    return Alias(
        targets=targets,
        system=table.get("system", ""),
        template=table.get("template", ""),
        parameters=table.get("parameters", {}),
        context_length=table.get("context_length"),
        capabilities=None if capabilities is None else tuple(capabilities),
        license=table.get("license", ""),
        messages=tuple(table.get("messages", ())),
    )


def _default_provider(name: str | None, providers: Mapping[str, Provider], path: Path) -> str:
    if name is None:
        return next(iter(providers))
    if name not in providers:
        hint = schema.closest(name, providers)
        found = f'"{name}", which is no provider here{hint}'
        raise schema.refuse(str(path), ("default_provider",), found, ", ".join(providers))
    return name


def _refuse_loop(config: Config, server: Server) -> None:
    """A provider at our own address would ask itself for ever."""
    if server.host not in _LOOPBACK | _EVERYWHERE:
        return
    for provider in config.providers.values():
        url = urlsplit(provider.url)
        if url.scheme == "http" and url.hostname in _LOOPBACK and url.port == server.port:
            raise SettingsInvalid(
                f"{config.path}: provider {provider.name} is at {provider.url}, where the bridge "
                "itself listens; give that server or the bridge another port (--port)"
            )


# editing


def edit(
    path: Path, change: Callable[[Any], None], environ: Mapping[str, str] = os.environ
) -> Config:
    """Let `change` edit the file's document; raises SettingsInvalid and writes nothing if bad."""
    import tomlkit  # noqa: PLC0415 - only writers need it

    with files.locked(path):
        text = _text(path)
        _document(text, path)
        document = tomlkit.parse(text)
        change(document)
        edited = tomlkit.dumps(document)
        config = _config(_document(edited, path), path, environ)
        try:
            files.replace(path, edited)
        except OSError as error:
            raise SettingsInvalid(f"{path}: cannot be written: {error.strerror}") from error
    return config


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
            aliases[name] = _alias_value(alias)
        elif isinstance(aliases.get(name), dict):
            aliases[name]["target"] = _one_or_list(alias)
        else:
            aliases[name] = _one_or_list(alias)

    return edit(path, change, environ)


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
        rows = {} if providers else from_environment(environ)
        for found, row in rows.items():
            providers[found] = _new_table({"key": "none"} if row.key == "none" else {})
        providers[name] = _new_table(table)

    return edit(path, change, environ)


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


def _table(document: Any, key: Sequence[str], path: Path) -> Any:
    """The table at that key, made where it is missing."""
    import tomlkit  # noqa: PLC0415 - only writers need it

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
    import tomlkit  # noqa: PLC0415 - only writers need it

    table = tomlkit.table()
    for key, value in values.items():
        table[key] = _item(value)
    return table


def _item(value: Any) -> Any:
    """A table inside a table goes on the line of its key: headers = { X-Team = "search" }."""
    import tomlkit  # noqa: PLC0415 - only writers need it

    if not isinstance(value, Mapping):
        return value
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline


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
