"""Environment variables: Ollama's own, read by Ollama's own rules, and the names of ours."""

import ipaddress
import re
from collections.abc import Mapping
from typing import NamedTuple

PORT = 11434

FOREVER = -1.0

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # micro sign
    "μs": 1e-6,  # Greek letter mu, which Go takes too
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:{_PART.pattern})+|[+-]?0")
_SCHEME_PORTS = {"http": 80, "https": 443}


class Address(NamedTuple):
    """Where to listen; an empty host means every interface."""

    host: str
    port: int


def variable(environ: Mapping[str, str], name: str) -> str:
    """A variable without the spaces and quotes that Ollama ignores around it."""
    return environ.get(name, "").strip().strip("\"'")


def address(text: str) -> Address:
    """`OLLAMA_HOST` as Ollama reads it (ollama-api 10.5)."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "http", text.strip()
    port = _SCHEME_PORTS.get(scheme, PORT) if found else PORT
    if not found and rest == "ollama.com":
        port = 443
    return _host_and_port(rest.partition("/")[0], port)


def names(text: str) -> tuple[str, ...]:
    """`OLLAMA_ORIGINS` and `OLLAMA_BRIDGE_USERS`: a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def keep_alive(text: str, default: float) -> float:
    """`OLLAMA_KEEP_ALIVE` in seconds; anything Ollama cannot read means the default."""
    seconds = duration(text)
    if seconds is None and re.fullmatch(r"[+-]?\d+", text):
        seconds = float(text)
    if seconds is None:
        return default
    return seconds if seconds >= 0 else FOREVER


def duration(text: str) -> float | None:
    """Seconds of a Go duration like `1h30m`; None when it is none."""
    if not _DURATION.fullmatch(text):
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return -total if text.startswith("-") else total


def key_variable(name: str) -> str:
    """The variable that holds a provider's key for the bridge alone; it wins over all others."""
    return f"OLLAMA_BRIDGE_KEY_{re.sub('[^A-Z0-9]', '_', name.upper())}"


def _host_and_port(text: str, default: int) -> Address:
    host, port = _split(text)
    if port is None:
        return Address(_bare(text) if text else "127.0.0.1", default)
    number = int(port) if re.fullmatch(r"[+]?[0-9]+", port) else -1
    return Address(host, number if 0 <= number <= 65535 else default)


def _split(text: str) -> tuple[str, str | None]:
    """Host and port, or no port where Go's `SplitHostPort` would fail."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        return (host, rest[1:]) if closed and rest.startswith(":") else (text, None)
    if text.count(":") != 1:
        return text, None
    host, _, port = text.partition(":")
    return host, port


def _bare(text: str) -> str:
    inner = text.strip("[]")
    try:
        return str(ipaddress.ip_address(inner))
    except ValueError:
        return text
