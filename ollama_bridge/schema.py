"""What a settings file may hold: every key and the kind of value it takes.

Strategy: one table per section. `check` walks the file once and refuses the first thing that is
not in the tables, with the key's path, what was found and what is allowed.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import quirks
from ollama_bridge.providers.provider import KINDS

CAPABILITIES = (
    "completion",
    "tools",
    "insert",
    "vision",
    "embedding",
    "thinking",
    "image",
    "audio",
)

KEY_RULES = '"keyring", "env:NAME", "file:PATH", "command:…" or "none"'

_WEB_SCHEMES = ("http://", "https://")
_EXTENSION_SCHEMES = (
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_SHOWN = 60

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: how it is called in a message, and how it is told."""

    words: str
    fits: Callable[[Any], bool]
    secret: bool = False
    """What was found is not repeated in a message."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_amount(value: Any) -> bool:
    return _is_number(value) and 0 <= value < math.inf


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(fits(item) for item in value)


def _one_of(names: Iterable[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


def _is_targets(value: Any) -> bool:
    return _is_filled(value) or (_list_of(_is_filled)(value) and bool(value))


def _is_key_rule(value: Any) -> bool:
    if value in {"keyring", "none"}:
        return True
    return isinstance(value, str) and bool(re.fullmatch(r"(env|file|command):\s*\S.*", value))


def _is_header(name: str, value: Any) -> bool:
    plain = isinstance(value, str) and value.isprintable() and value.isascii()
    return plain and bool(re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name))


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_header(*item) for item in value.items())


def _is_quirks_of_models(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _list_of(quirks.is_known)(names) for names in value.values()
    )


def _is_query(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_text(item) for item in value.values())


def _is_origin(value: Any) -> bool:
    """As Ollama, which refuses to start over any other."""
    if not _is_filled(value) or value.count("*") > 1:
        return False
    return "*" in value or value.startswith(_WEB_SCHEMES + _EXTENSION_SCHEMES)


def _is_user(value: Any) -> bool:
    return _is_filled(value) or (_is_integer(value) and value >= 0)


def _is_parameters(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_scalar(item) or _list_of(_is_scalar)(item) for item in value.values()
    )


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("role")) and "content" in value


_TEXT = Kind("a text", _is_text)
_NAME = Kind("a text that is not empty", _is_filled)
_NAMES = Kind("a list of texts", _list_of(_is_filled))
_SECONDS = Kind("a number of seconds above 0", lambda value: _is_number(value) and value > 0)
_WHOLE = Kind("a whole number, 0 or more", lambda value: _is_integer(value) and value >= 0)
_TARGETS = Kind('"provider/model", or a list of such names', _is_targets)

ROOT: Mapping[str, Kind] = {
    "default_provider": _NAME,
    "hidden": Kind('a list of "provider/model" names', _list_of(_is_filled)),
}

SERVER: Mapping[str, Kind] = {
    "host": _NAME,
    "port": Kind(
        "a whole number from 0 to 65535", lambda value: _is_integer(value) and 0 <= value <= 65535
    ),
    "origins": Kind(
        'a list of origins like "https://chat.example.com" or "app://*", with one * at most',
        _list_of(_is_origin),
    ),
    "access_keys": _NAMES,
    "behind_balancer": Kind("true or false", lambda value: isinstance(value, bool)),
    "users": Kind(
        '"any", or a list of names or numbers of users of this machine, "me" among them',
        lambda value: value == "any" or (_list_of(_is_user)(value) and bool(value)),
    ),
}

PROVIDER: Mapping[str, Kind] = {
    "preset": _NAME,  # of a preset, or of a service in the public facts
    "base_url": _NAME,
    "exact": Kind("true or false", lambda value: isinstance(value, bool)),
    "key": Kind(
        f"{KEY_RULES}; the key itself belongs in the keyring: ollama-bridge keys set NAME",
        _is_key_rule,
        secret=True,
    ),
    "kind": Kind(f"one of {', '.join(KINDS)}", _one_of(KINDS)),
    "models": _NAMES,
    "include": _NAMES,
    "exclude": _NAMES,
    "headers": Kind("a table of header names and plain texts", _is_headers, secret=True),
    "query": Kind("a table of names and texts", _is_query, secret=True),
    "quirks": Kind(f"a list of {', '.join(quirks.NAMES)}", _list_of(quirks.is_known)),
    "model_quirks": Kind(
        "a table of lists of quirks by model ids or patterns of them, such as "
        '{ "*-pro" = ["responses_only"] }',
        _is_quirks_of_models,
    ),
    "connect_timeout": _SECONDS,
    "first_byte_timeout": _SECONDS,
    "idle_timeout": _SECONDS,
    "retries": Kind("a whole number from 0 to 10", lambda v: _is_integer(v) and 0 <= v <= 10),
    "concurrency": Kind("a whole number above 0", lambda v: _is_integer(v) and v > 0),
}

LIMITS: Mapping[str, Kind] = {
    "requests_per_day": _WHOLE,
    "tokens_per_day": _WHOLE,
    "usd_per_day": Kind("a number of US dollars, 0 or more", _is_amount),
    "fallback_price": Kind(
        "two numbers, the US dollars for a million tokens in and out, as in [0.5, 2.0]",
        lambda value: _list_of(_is_amount)(value) and len(value) == 2,
    ),
}

ALIAS: Mapping[str, Kind] = {
    "target": _TARGETS,
    "system": _TEXT,
    "template": _TEXT,
    "parameters": Kind("a table of numbers, texts, true or false", _is_parameters),
    "context_length": Kind(
        "a whole number of tokens above 0", lambda value: _is_integer(value) and value > 0
    ),
    "capabilities": Kind(f"a list of {', '.join(CAPABILITIES)}", _list_of(_one_of(CAPABILITIES))),
    "license": _TEXT,
    "messages": Kind("a list of tables with role and content", _list_of(_is_message)),
}

_SECTIONS = ("server", "providers", "aliases")
_LIMITS = "limits"


def check(document: Mapping[str, Any], file: str) -> None:
    """Refuse what the tables do not know; raises SettingsInvalid naming `file`."""
    own = {key: value for key, value in document.items() if key not in _SECTIONS}
    _check_table(own, ROOT, (), file, *_SECTIONS)
    _check_table(_section(document, "server", file), SERVER, ("server",), file)
    for name, value in _section(document, "providers", file).items():
        _check_provider(name, value, file)
    for name, value in _section(document, "aliases", file).items():
        _check_alias(name, value, file)


def refuse(file: str, path: Path, found: str, allowed: str) -> SettingsInvalid:
    """The one sentence for a value that cannot be used."""
    return SettingsInvalid(f"{file}: {dotted(path)}: found {found}; allowed: {allowed}")


def dotted(path: Path) -> str:
    """A key's path as TOML writes it."""
    return ".".join(
        part if _BARE_KEY.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in path
    )


def closest(name: str, known: Iterable[str]) -> str:
    """` (did you mean "…"?)`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f' (did you mean "{near[0]}"?)' if near else ""


def _section(document: Mapping[str, Any], name: str, file: str) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise refuse(file, (name,), _found(value), f"a table: [{name}]")
    return value


def _check_provider(name: str, value: Any, file: str) -> None:
    path = ("providers", name)
    if not _PROVIDER_NAME.fullmatch(name):
        raise refuse(file, path, "this name", "letters, digits and . _ - in a provider's name")
    if not isinstance(value, dict):
        raise refuse(file, path, _found(value), f"a table: [{dotted(path)}]")
    own = {key: item for key, item in value.items() if key != _LIMITS}
    _check_table(own, PROVIDER, path, file, _LIMITS)
    limits = value.get(_LIMITS, {})
    if not isinstance(limits, dict):
        table = f"a table: [{dotted((*path, _LIMITS))}]"
        raise refuse(file, (*path, _LIMITS), _found(limits), table)
    _check_table(limits, LIMITS, (*path, _LIMITS), file)


def _check_alias(name: str, value: Any, file: str) -> None:
    path = ("aliases", name)
    if not name.strip():
        raise refuse(file, path, "an empty name", "any name that is not empty")
    if not isinstance(value, dict):
        if not _is_targets(value):
            raise refuse(file, path, _found(value), f"{_TARGETS.words}, or a table with target")
        return
    _check_table(value, ALIAS, path, file)
    if "target" not in value:
        raise refuse(file, path, "no target", f"target = {_TARGETS.words}")


def _check_table(
    table: Mapping[str, Any],
    known: Mapping[str, Kind],
    path: Path,
    file: str,
    *tables: str,
) -> None:
    """`tables` may stand there too; they are checked by themselves."""
    for key, value in table.items():
        kind = known.get(key)
        if kind is None:
            raise _unknown(key, [*known, *tables], path, file)
        if not kind.fits(value):
            found = _kind_of(value) if kind.secret else _found(value)
            raise refuse(file, (*path, key), found, kind.words)


def _unknown(key: str, known: Iterable[str], path: Path, file: str) -> SettingsInvalid:
    names = sorted(known)
    hint = closest(key, names)
    return refuse(file, (*path, key), f"an unknown key{hint}", ", ".join(names))


def _found(value: Any) -> str:
    if isinstance(value, dict):
        return _kind_of(value)
    shown = json.dumps(value, ensure_ascii=False, default=str)
    short = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
    return f"{short} ({_kind_of(value)})"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a text", int: "a whole number", float: "a number", list: "a list"}
    return names.get(type(value), "a table" if isinstance(value, dict) else "a date or time")
