"""Settings: what they are, where they live, how they are read and checked.

Strategy: `load` reads the file, the environment and the presets into one immutable Config; whoever
wants other settings loads again. `editing.py` changes the file.
"""

import hashlib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import platformdirs

from ollama_bridge import environment, schema
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import DEMO, PRESETS, URL_VARIABLES
from ollama_bridge.providers.provider import NO_LIMITS, OLLAMA, Alias, Limits, Provider

if TYPE_CHECKING:
    from ollama_bridge.providers import facts

DEFAULT_MODEL = "default"
"""The alias that the tray points at the model of the user's choice."""

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
    users: tuple[str, ...] = ("me",)
    """Users of this machine who are answered, by name or number; `me` and `any` are our words."""
    behind_balancer: bool = False
    """This is one of several copies at one address: none tells what only it has noticed."""
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
    hidden: frozenset[str] = frozenset()
    """Models that a client deleted, as `provider/model`: neither listed nor found by name."""


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


def saved_list(state: Path, url: str) -> Path:
    """The file in which the daemon keeps the last model list of the provider at that address."""
    return state / "models" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"


def facts_file(state: Path) -> Path:
    """The public facts that `models refresh` fetched, whether or not the file exists."""
    return state / "facts.json"


def public_facts(state: Path | None) -> "facts.Table":
    """The facts of `models refresh`, if there are any that can be read; else the bundled ones."""
    from ollama_bridge.providers import facts  # most commands ask nothing of them

    try:
        text = facts_file(state).read_bytes() if state else b""
        return facts.read(text, "refreshed facts") if text else facts.bundled()
    except (OSError, ValueError):
        return facts.bundled()


# reading


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The settings of that file (or the usual one) and the environment; raises SettingsInvalid."""
    path = (path or config_file(environ)).expanduser().absolute()
    return check(parse(read(path), path), path, environ)


def read(path: Path) -> str:
    """The file's text, empty when there is no file; raises SettingsInvalid."""
    try:
        return path.read_bytes().decode("utf-8-sig")  # editors on Windows add the mark
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise SettingsInvalid(f"{path}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise SettingsInvalid(f"{path}: cannot be read: {error.strerror}") from error


def parse(text: str, path: Path) -> dict[str, Any]:
    """The text as TOML; raises SettingsInvalid naming `path`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"{path}: not TOML: {error}") from error


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


def check(document: Mapping[str, Any], path: Path, environ: Mapping[str, str]) -> Config:
    """The settings of a parsed file; raises SettingsInvalid naming `path`."""
    schema.check(document, str(path))
    providers = _providers(document.get("providers", {}), path, environ)
    aliases = document.get("aliases", {})
    config = Config(
        path=path,
        server=_server(document.get("server", {}), environ),
        providers=providers,
        aliases={name: _alias(value) for name, value in aliases.items()},
        default_provider=_default_provider(document.get("default_provider"), providers, path),
        hidden=frozenset(document.get("hidden", ())),
    )
    _refuse_loop(config, config.server)
    return config


def _server(table: Mapping[str, Any], environ: Mapping[str, str]) -> Server:
    default = Server()
    host, port = table.get("host", default.host), table.get("port", default.port)
    if ollama := environment.variable(environ, "OLLAMA_HOST"):
        host, port = environment.address(ollama)
    host = environment.variable(environ, "OLLAMA_BRIDGE_HOST") or host
    if ours := environment.variable(environ, "OLLAMA_BRIDGE_PORT"):
        port = _port(ours)
    origins = environment.names(environment.variable(environ, "OLLAMA_ORIGINS"))
    keep_alive = environment.variable(environ, "OLLAMA_KEEP_ALIVE")
    users = environment.names(environment.variable(environ, "OLLAMA_BRIDGE_USERS"))
    return Server(
        host=host.strip("[]"),
        port=port,
        origins=(*origins, *table.get("origins", ())),
        access_keys=tuple(table.get("access_keys", ())),
        users=users or _users(table.get("users", default.users)),
        behind_balancer=_is_on(environ, table.get("behind_balancer", default.behind_balancer)),
        keep_alive=environment.keep_alive(keep_alive, default.keep_alive),
    )


def _is_on(environ: Mapping[str, str], otherwise: Any) -> bool:
    text = environment.variable(environ, "OLLAMA_BRIDGE_BEHIND_BALANCER").lower()
    if text and text not in _SWITCH:
        raise SettingsInvalid(
            f'OLLAMA_BRIDGE_BEHIND_BALANCER: found "{text}"; allowed: {", ".join(_SWITCH)}'
        )
    return _SWITCH.get(text, bool(otherwise))


_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def _users(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


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
    for name, preset in PRESETS.items():
        row = _filled(preset, environ)
        if row is None:
            continue
        if environ.get(row.key_variable, "").strip():
            found[name] = _moved(replace(row, key=f"env:{row.key_variable}"), environ)
        elif environ.get(environment.key_variable(name), "").strip():
            found[name] = _moved(row, environ)
        elif name in moved:
            found[name] = _moved(replace(row, key="none"), environ)
    return found


def _filled(preset: Provider, environ: Mapping[str, str]) -> Provider | None:
    """The preset with the blanks of its address filled from the environment, if all are there."""
    if not preset.blanks:
        return preset
    values = {blank.name: environ.get(blank.variable, "") for blank in preset.blanks}
    try:
        return replace(preset, url=address.fill(preset, values), blanks=())
    except ValueError:
        return None


def service(name: str, environ: Mapping[str, str]) -> Provider | None:
    """The well-known service of that name: a preset's, its name in the public facts, or theirs."""
    if name in PRESETS:
        return PRESETS[name]
    if preset := next((row for row in PRESETS.values() if row.facts == name), None):
        return preset
    found = public_facts(state_folder(environ)).services.get(name)
    if found is None or not found.url:
        return None
    known = address.preset_at(found.url) or Provider(name=name, url="")
    place = replace(known, name=name, facts=name, url=found.url, blanks=())
    return replace(place, key_variable=found.key) if found.key else place


def _provider(
    name: str, table: Mapping[str, Any], path: Path, environ: Mapping[str, str]
) -> Provider:
    row = _row(name, table, path, environ)
    own = {key: _value(key, table[key], path) for key in _FIELDS if key in table}
    row = replace(row, name=name, limits=_limits(table.get("limits", {})), **own)
    return _beside(row) if row.kind == OLLAMA else row


def _limits(table: Mapping[str, Any]) -> Limits:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return Limits(**fields) if fields else NO_LIMITS


def _beside(row: Provider) -> Provider:
    """A real Ollama: people paste its address with and without `/v1`, or the path of a route."""
    root = row.url.partition("/api")[0].removesuffix("/v1")
    return replace(row, url=f"{root}/v1", responses=True)


_FIELDS = (
    "key",
    "kind",
    "models",
    "include",
    "exclude",
    "headers",
    "query",
    "quirks",
    "model_quirks",
    "connect_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "retries",
    "concurrency",
)
"""Keys of a provider's table that stand for themselves in a Provider."""


def _value(key: str, value: Any, path: Path) -> Any:
    if key == "key" and value.startswith("file:"):
        # the daemon's working folder is nobody's business: relative means beside the settings
        return f"file:{path.parent / Path(value[5:].strip()).expanduser()}"
    if key == "model_quirks":
        return {pattern: tuple(names) for pattern, names in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _row(name: str, table: Mapping[str, Any], path: Path, environ: Mapping[str, str]) -> Provider:
    """What is known of a service before the file's own values."""
    named = table.get("preset", name)
    preset = service(named, environ)
    if preset is None and ("preset" in table or "base_url" not in table):
        hint = schema.closest(named, PRESETS)
        if "preset" in table:
            key, found = ("providers", name, "preset"), f'"{named}"{hint}'
            raise schema.refuse(str(path), key, found, f"one of {', '.join(PRESETS)}")
        raise schema.refuse(
            str(path),
            ("providers", name),
            "no base_url",
            f'base_url = "https://…/v1", or the name or preset of a known service{hint}',
        )
    if preset is not None and "base_url" not in table:
        filled = _filled(preset, environ)
        if filled is None:
            raise schema.refuse(str(path), ("providers", name), "no base_url", _how_to_fill(preset))
        return _moved(filled, environ)
    read = address.plain if table.get("exact") else address.base_url
    where = f"{path}: {schema.dotted(('providers', name, 'base_url'))}"
    url = _url(table["base_url"], where, read)
    if preset is not None and "preset" in table:
        return replace(preset, url=url, blanks=())
    if preset is not None and preset.url == url:
        return preset
    return _elsewhere(preset or Provider(name=name, url=url), url)


def _how_to_fill(preset: Provider) -> str:
    variables = " and ".join(blank.variable for blank in preset.blanks)
    return (
        f'base_url = "{preset.url}" with your own {_listed(preset)}, or {variables} in the '
        f"environment; `ollama-bridge providers add {preset.name}` asks for it"
    )


def _listed(preset: Provider) -> str:
    return " and ".join(blank.meaning for blank in preset.blanks)


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
        return replace(known, name=row.name, url=url, key=row.key, blanks=())
    if row.url.startswith("https:"):
        return Provider(name=row.name, url=url, key=row.key, key_variable=row.key_variable)
    return replace(row, url=url)


def _url(text: str, where: str, read: Callable[[str], str] = address.base_url) -> str:
    try:
        return read(text)
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


_MOVED = (
    ": a real Ollama moves with OLLAMA_HOST=127.0.0.1:11435 in its own environment, and is then "
    'added with base_url = "http://127.0.0.1:11435"'
)


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
                f"{_MOVED if provider.kind == OLLAMA else ''}"
            )
