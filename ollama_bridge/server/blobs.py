"""/api/blobs/:digest: files that are uploaded for a create.

Strategy: no create can use a file, because there are no weights here. So an upload is checked and
counted while it streams by, and only its digest is remembered, for as long as the create that
follows may ask for it; that create then says why the file cannot be used.
"""

import hashlib
import re

from ollama_bridge.errors import BadRequest, ModelNotFound
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import TEXT, Exchange
from ollama_bridge.server.routes import Routes

LIMIT = 64 * 1024 * 1024
"""Most bytes of one file: above that it is a model's weights, which is best said at once."""

KEPT = 3600 * 1_000_000_000
"""Nanoseconds for which a digest is remembered."""

REMEMBERED = 1000
"""Most digests that are remembered; the oldest is forgotten first."""

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


class _TooLarge(BadRequest):
    """The file is larger than anything a create could use here."""

    status = 413


async def probe(bridge: Bridge, exchange: Exchange) -> None:
    """HEAD /api/blobs/:digest."""
    if _digest(exchange.tail) not in _fresh(bridge):
        raise ModelNotFound(f'blob "{exchange.tail}" not found')
    await exchange.answer(b"", kind=TEXT)


async def upload(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/blobs/:digest: 201, or 200 when it was uploaded before."""
    digest = _digest(exchange.tail)
    if digest in _fresh(bridge):
        await exchange.answer(b"", kind=TEXT)
        return
    found = await _sum(exchange)
    if found != digest:
        raise BadRequest(f'digest mismatch, expected "sha256:{digest}", got "sha256:{found}"')
    if len(bridge.blobs) >= REMEMBERED:
        del bridge.blobs[min(bridge.blobs, key=bridge.blobs.__getitem__)]
    bridge.blobs[digest] = bridge.monotonic()
    await bridge.siblings.ask("uploaded", digest)
    await exchange.answer(b"", kind=TEXT, status=201)


async def _sum(exchange: Exchange) -> str:
    """The digest of the body, which is not kept."""
    told = exchange.header(b"content-length")
    size = int(told) if told.isdecimal() else 0
    _check_size(size)
    size, digest = 0, hashlib.sha256()
    async for part in exchange.parts():
        size += len(part)
        _check_size(size)
        digest.update(part)
    return digest.hexdigest()


def _check_size(size: int) -> None:
    if size > LIMIT:
        raise _TooLarge(
            f"a file of more than {LIMIT // 2**20} MiB holds a model's weights, which cannot be "
            "used: Ollama Bridge answers with models that run elsewhere; create the model FROM a "
            "name that `ollama list` shows"
        )


def _digest(text: str) -> str:
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise BadRequest("invalid digest format")
    return match[1].lower()


def _fresh(bridge: Bridge) -> dict[str, int]:
    """The digests that are still remembered."""
    oldest = bridge.monotonic() - KEPT
    bridge.blobs = {digest: came for digest, came in bridge.blobs.items() if came > oldest}
    return bridge.blobs


ROUTES: Routes = {"/api/blobs/*": {"HEAD": probe, "POST": upload}}
