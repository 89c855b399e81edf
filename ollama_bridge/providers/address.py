"""Base URLs as people paste them, made into the one form the bridge uses."""

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Provider

_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")


def base_url(text: str) -> str:
    """The base URL in `text`; raises ValueError with the reason when there is none."""
    trimmed = text.strip().strip("\"'").strip()
    parts = urlsplit(trimmed)
    _refuse_unusable(parts, trimmed)
    path = _without_endpoint(parts.path.rstrip("/"))
    if path:
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    known = preset_at(trimmed)
    if known is not None and known.url.startswith(f"{parts.scheme}://{parts.netloc}"):
        return known.url
    return urlunsplit((parts.scheme, parts.netloc, "/v1", "", ""))


def preset_at(url: str) -> Provider | None:
    """The hosted service that answers at this address, also at a regional name of it."""
    host = urlsplit(url).hostname or ""
    for row in PRESETS.values():
        service = urlsplit(row.url).hostname or ""
        if row.url.startswith("https://") and f".{host}".endswith(f".{service}"):
            return row
    return None


def _refuse_unusable(parts: SplitResult, text: str) -> None:
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        hint = "" if "://" in text else f', as in "http://{text}"'
        raise ValueError(f"an address must begin with http:// or https://{hint}")
    if parts.username is not None:
        raise ValueError("a name or password in the address; a key belongs in the keyring")
    if parts.query or parts.fragment:
        raise ValueError("an address must end before ? and #")
    _ = parts.port  # raises ValueError itself


def _without_endpoint(path: str) -> str:
    for endpoint in _ENDPOINTS:
        if path.endswith(endpoint):
            return path.removesuffix(endpoint).rstrip("/")
    return path


def is_near(host: str) -> bool:
    """Whether a host is this machine or on its own network."""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    return found.is_loopback or found.is_private
