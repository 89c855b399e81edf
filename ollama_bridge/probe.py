"""Whether a provider takes a key: one or two cheap calls, without the daemon.

Strategy: the model list costs nothing, so it is asked first. Where it is open to everybody it
proves nothing, and one token of chat does. The standard library is enough for that and is there at
once. Redirects are not followed: they could carry the key to another host.
"""

import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import IO, Any
from urllib.parse import urlencode

from ollama_bridge import __version__
from ollama_bridge.errors import BridgeError
from ollama_bridge.providers import facts
from ollama_bridge.providers.provider import Provider
from ollama_bridge.translate import failures, model_list

VALID, REFUSED, NO_QUOTA, UNREACHABLE = "valid", "refused", "no quota", "unreachable"

SECONDS = 20.0
"""Longest wait for one reply."""

_QUOTA = re.compile(
    r"(?i)insufficient|quota|credit|billing|balance|payment|funds|spending|arrears|past due"
)
_ABOUT_KEY = re.compile(r"(?i)api.?key|credential|authenticat|unauthori[sz]ed|token.*invalid")
_LARGEST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a key."""

    result: str
    """One of the words above."""
    detail: str = ""
    """What the provider said, without secrets; empty when all is well."""
    models: tuple[str, ...] = ()
    """What it lists and what can chat, as far as is known."""
    status: int = 0
    """Of the reply that decided; 0 when there was none."""
    date: str = ""
    """What its clock said, in HTTP's form."""


def ask(provider: Provider, key: str, seconds: float = SECONDS) -> Verdict:
    """Try the key (or none, where the provider wants none). Blocks; raises nothing."""
    listed = models(provider, key, seconds) if provider.listing else _NO_LIST
    verdict = _judged(provider, key, listed, seconds)
    return replace(verdict, models=_chatting(provider, listed), date=listed.date)


def models(provider: Provider, key: str, seconds: float = SECONDS) -> "Reply":
    """The provider's list of models, as it comes. Blocks; raises nothing."""
    reply = Reply(404, "")
    for url in provider.list_urls:
        reply = call(provider, key, url, None, seconds)
        if reply.status not in (404, 405):
            break
    return reply


def _judged(provider: Provider, key: str, listed: "Reply", seconds: float) -> Verdict:
    if listed.status not in (*range(200, 300), 404, 405, 501):
        return _verdict(listed)
    if key and listed.ok:
        open_to_all = models(provider, "", seconds)
        if open_to_all.status in (400, 401, 403):
            return Verdict(VALID)
    model = next(iter(_chatting(provider, listed)), "")
    if not model:
        return Verdict(VALID) if listed.ok else _verdict(listed)
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    url = provider.url + provider.route("/chat/completions", model)
    said = call(provider, key, url, body, seconds)
    if said.status in (400, 404, 422) and not _ABOUT_KEY.search(said.text):
        return Verdict(VALID)  # it was let in; what it asked for is another matter
    return _verdict(said)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, or why there is none (status 0)."""

    status: int
    text: str
    date: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


_NO_LIST = Reply(404, "it has no list of models; name one in its settings (models) to try the key")


def _verdict(reply: Reply) -> Verdict:
    result, detail = _result(reply)
    return Verdict(result, detail, status=reply.status)


def _result(reply: Reply) -> tuple[str, str]:
    if reply.ok:
        return VALID, ""
    if reply.status == 0:
        return UNREACHABLE, reply.text
    said = f"status {reply.status}: {failures.sentence(_json(reply.text))}"
    if reply.status == 402 or (reply.status in (400, 403, 429) and _QUOTA.search(reply.text)):
        return NO_QUOTA, said
    if reply.status in (401, 403) or (reply.status == 400 and _ABOUT_KEY.search(reply.text)):
        return REFUSED, said
    if reply.status == 429:
        return VALID, f"but it asks for patience ({said})"
    return UNREACHABLE, said


def _chatting(provider: Provider, listed: Reply) -> tuple[str, ...]:
    """Models that can chat: those of the settings first, then those it lists."""
    try:
        rows = model_list.read_list(listed.text.encode()) if listed.ok else ()
    except BridgeError:
        rows = ()
    able = [row.id for row in rows if "completion" in (row.capabilities or _abilities(row.id))]
    return tuple(dict.fromkeys([*provider.models, *able]))


def _abilities(model: str) -> frozenset[str]:
    known = facts.of(model)
    return known.capabilities if known else facts.guess(model)


def call(
    provider: Provider, key: str, url: str, body: Mapping[str, Any] | None, seconds: float
) -> Reply:
    """One request with the provider's credentials, headers and query; no redirect is followed."""
    headers = {
        "User-Agent": f"ollama-bridge/{__version__}",
        **provider.credentials(key),
        **({"Content-Type": "application/json"} if body else {}),
        **provider.headers,
    }
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(_whole(provider, url), data, headers)  # noqa: S310 - checked
    try:
        with _OPENER.open(request, timeout=seconds) as reply:
            return Reply(reply.status, _text(reply), reply.headers.get("Date", ""))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, _text(error), error.headers.get("Date", ""))
    except urllib.error.URLError as error:
        return Reply(0, _why(error.reason, provider))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Reply(0, _why(error, provider))


def _whole(provider: Provider, url: str) -> str:
    sign = "&" if "?" in url else "?"
    return f"{url}{sign}{urlencode(provider.query)}" if provider.query else url


class _StayThere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Not followed: the status says it."""


_OPENER = urllib.request.build_opener(_StayThere)


def _text(reply: IO[bytes]) -> str:
    return reply.read(_LARGEST).decode(errors="replace")


def _why(reason: object, provider: Provider) -> str:
    if isinstance(reason, TimeoutError):
        what = "it did not answer in time"
    elif isinstance(reason, ssl.SSLError):
        what = f"its certificate was not accepted ({reason.reason or 'TLS error'})"
    elif isinstance(reason, OSError) and reason.strerror:
        what = reason.strerror
    else:
        what = type(reason).__name__ if isinstance(reason, Exception) else str(reason)
    return f"{provider.url}: {what}"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
