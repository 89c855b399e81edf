"""Base URLs as people paste them, made into the one form the bridge uses."""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Blank, Provider

_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")


def base_url(text: str) -> str:
    """The base URL in `text`; raises ValueError with the reason when there is none."""
    trimmed = plain(text)
    parts = urlsplit(trimmed)
    if parts.path:
        return trimmed
    known = preset_at(trimmed)
    if known is None:
        return urlunsplit((parts.scheme, parts.netloc, "/v1", "", ""))
    row = urlsplit(known.url)
    if "{" in row.path or (parts.port or 443) != (row.port or 443):
        return urlunsplit((parts.scheme, parts.netloc, "/v1", "", ""))
    return urlunsplit((parts.scheme, parts.netloc, row.path, "", ""))


def plain(text: str) -> str:
    """The address in `text` without what is pasted around it and without a route at its end.

    Raises ValueError with the reason when it cannot be one.
    """
    trimmed = text.strip().strip("\"'").strip()
    parts = urlsplit(trimmed)
    _refuse_unusable(parts, trimmed)
    path = _without_endpoint(parts.path.rstrip("/"))
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def candidates(text: str) -> tuple[str, ...]:
    """Base URLs that `text` may mean, the most likely first (quirk K1); raises ValueError."""
    first, trimmed = base_url(text), plain(text)
    parts = urlsplit(trimmed)
    root = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    if preset_at(trimmed):
        more: list[str] = []  # of a service in the table nothing has to be guessed
    elif not _VERSION.sub("", parts.path):
        more = [root + path for path in _USUAL_PATHS]
    elif _VERSION.search(parts.path):
        more = [_VERSION.sub("", trimmed)]
    else:
        more = [f"{trimmed}/v1"]
    if "/api" in parts.path:  # a route of Ollama's own
        more.append(f"{trimmed.partition('/api')[0]}/v1")
    return tuple(dict.fromkeys([first, *more]))


_USUAL_PATHS = ("/v1", "", "/api/v1", "/openai/v1", "/api")
_VERSION = re.compile(r"/v\d+(?:beta|alpha)?$")


def preset_at(url: str) -> Provider | None:
    """The hosted service that answers at this address, also at a regional name of it.

    Of several at one host the one whose path fits counts, else the first.
    """
    parts = urlsplit(url)
    found = [row for row in PRESETS.values() if _answers_at(row, parts.hostname or "")]
    fitting = [row for row in found if f"{parts.path}/".startswith(f"{urlsplit(row.url).path}/")]
    most = max(fitting, key=lambda row: len(row.url), default=None)
    return most or next(iter(found), None)


def fill(row: Provider, values: Mapping[str, str]) -> str:
    """The row's URL with its blanks filled in; raises ValueError with what is missing or wrong.

    A value may also be pasted as a whole address: the part that is meant is taken out of it.
    """
    parts = {}
    for blank in row.blanks:
        given = values.get(blank.name, "").strip()
        value = _meant(row, blank, given)
        if not _PART.fullmatch(value):
            what = (
                f'"{given}" is no {blank.meaning}' if given else f"the {blank.meaning} is missing"
            )
            raise ValueError(what)
        parts[blank.name] = value
    return row.url.format(**parts) if parts else row.url


_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def _meant(row: Provider, blank: Blank, given: str) -> str:
    host = urlsplit(given).hostname or "" if "://" in given else given.rstrip("/")
    _, here, after = (urlsplit(row.url).netloc).partition(f"{{{blank.name}}}")
    return host.removesuffix(after) if here else host


def _answers_at(row: Provider, host: str) -> bool:
    if not row.url.startswith("https://"):
        return False
    own = (urlsplit(row.url).hostname or "").rpartition("}")[2].removeprefix(".")
    return any(service and f".{host}".endswith(f".{service}") for service in (own, *row.hosts))


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
