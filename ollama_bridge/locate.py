"""Find the base URL behind an address as people paste it, by asking there (quirk K1).

Strategy: a list of models proves a base URL. Where every list wants a key first, the most likely
path is taken, and looked at again when there is a key. Nothing but questions for lists, and empty
ones for a chat, is sent; only to the host that was named.
"""

import json
from dataclasses import replace
from typing import NamedTuple

from ollama_bridge import probe
from ollama_bridge.errors import BridgeError
from ollama_bridge.providers import address
from ollama_bridge.providers.provider import OLLAMA, OPENAI, Provider
from ollama_bridge.translate import model_list

SECONDS = 5.0
"""Longest wait for one reply."""

HEARTBEAT = "Ollama is running"

LISTS, WANTS_KEY, CHATS, SILENT = "lists", "wants a key", "chats", "silent"


class Found(NamedTuple):
    """The base URL an address means, and how that is known."""

    url: str
    kind: str
    """A real Ollama, or any other service: one of KINDS."""
    proof: str
    """`lists`: its models were read there. `wants a key`: it did not say more without one.
    `chats`: it has no list, but the route. `silent`: nothing like a service answered."""
    models: int = 0
    """How many it listed."""
    detail: str = ""
    """What was heard instead, where nothing is proved."""


def find(row: Provider, text: str, key: str, seconds: float = SECONDS) -> Found:
    """Ask at the address in `text`, as the provider `row` would; raises ValueError for no address.

    Blocks; what cannot be reached is no error.
    """
    tried: list[str] = []
    guarded = ""
    urls = address.candidates(text)
    for url in urls:
        reply = probe.models(replace(row, url=url), key, seconds)
        if (models := _listed(reply)) is not None:
            return Found(url, _kind(row, url, seconds), LISTS, models)
        if reply.status == 0:
            return Found(urls[0], OPENAI, SILENT, detail=reply.text)
        if reply.status in (401, 403) and not guarded:
            guarded = url
        tried.append(f"{url}: status {reply.status}")
    if guarded:
        return Found(guarded, _kind(row, guarded, seconds), WANTS_KEY)
    for url in urls:
        if _chats(replace(row, url=url), key, seconds):
            return Found(url, OPENAI, CHATS)
    return Found(urls[0], OPENAI, SILENT, detail="; ".join(tried))


def _listed(reply: probe.Reply) -> int | None:
    """How many models a reply lists; None when it is no list."""
    if not reply.ok:
        return None
    try:
        return len(model_list.read_list(reply.text.encode()))
    except BridgeError:
        return None


def _chats(row: Provider, key: str, seconds: float) -> bool:
    """Whether the route is there: it finds fault with a request that asks nothing."""
    reply = probe.call(row, key, f"{row.url}/chat/completions", {"messages": []}, seconds)
    return reply.status in (200, 400, 401, 403, 422, 429) and not _is_page(reply.text)


def _is_page(text: str) -> bool:
    return text.lstrip()[:1] == "<"


def _kind(row: Provider, url: str, seconds: float) -> str:
    """Whether a real Ollama is there, which speaks its own dialect beside OpenAI's."""
    root = url.removesuffix("/v1")
    if root == url:
        return OPENAI
    plain = replace(row, url=root, headers={}, query={})
    heartbeat = probe.call(plain, "", f"{root}/", None, seconds)
    if heartbeat.text.strip() != HEARTBEAT:
        return OPENAI
    version = probe.call(plain, "", f"{root}/api/version", None, seconds)
    try:
        told = json.loads(version.text)
    except ValueError:
        return OPENAI
    return OLLAMA if version.ok and isinstance(told, dict) and "version" in told else OPENAI
