"""Request bodies that were packed with zstd: some clients of the /v1 routes send them."""

import sys
from types import ModuleType

from ollama_bridge.errors import BadRequest
from ollama_bridge.server.exchange import Exchange, native

LIMIT = 20 * 1024 * 1024
"""Most bytes of a body once it is unpacked; Ollama's own limit, and so is the next one."""

WINDOW = 23
"""Largest window that is unpacked, as a power of two: 8 MiB."""


async def body(exchange: Exchange) -> bytes:
    """The request's body, unpacked; what fails here is told in the native form (8.1)."""
    sent = await exchange.body()
    if exchange.header(b"content-encoding").strip().lower() != "zstd":
        return sent
    envelope, exchange.envelope = exchange.envelope, native
    unpacked = unpack(sent)
    exchange.envelope = envelope
    return unpacked


def unpack(packed: bytes) -> bytes:
    """One zstd frame or several; raises BadRequest for what is none or grows past LIMIT."""
    zstd = _library()
    parts: list[bytes] = []
    room = LIMIT + 1
    while packed and room:
        frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW})
        try:
            parts.append(frame.decompress(packed, room))
        except zstd.ZstdError as error:
            raise BadRequest(f"the body is not the zstd it is said to be: {error}") from error
        room -= len(parts[-1])
        if not frame.eof and room:
            raise BadRequest("unexpected EOF")
        packed = frame.unused_data
    if not room:
        raise BadRequest("http: request body too large")
    return b"".join(parts)


def _library() -> ModuleType:
    """Part of Python from 3.14 on, a package before; imported when a packed body comes."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
