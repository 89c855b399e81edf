"""Which kind of file a base64 text holds, told from its first bytes.

Ollama's clients send images, and sound in the same list, without a type (ollama-api 2.9);
OpenAI's API wants a data URL with the right one, and some upstreams check it (upstream-quirks H1).
"""

import base64
import binascii
from typing import Any

_IMAGES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
)
_SOUNDS: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "wav"),
    (0, b"ID3", "mp3"),
    (0, b"\xff\xfb", "mp3"),
    (0, b"\xff\xf3", "mp3"),
    (0, b"\xff\xf2", "mp3"),
)
_UNKNOWN = "image/png"
"""What unknown bytes are called: the upstream then says what is wrong with them."""

_URLS = ("data:", "http://", "https://")


def part(data: str) -> dict[str, Any]:
    """A content part of an OpenAI message for one entry of `images`, which may be a URL too."""
    if data.startswith(_URLS):
        return {"type": "image_url", "image_url": {"url": data}}
    head = _head(data)
    sound = _kind(head, _SOUNDS)
    if sound:
        return {"type": "input_audio", "input_audio": {"data": data, "format": sound}}
    return {"type": "image_url", "image_url": {"url": image_url(data, _UNKNOWN)}}


def image_url(data: str, declared: str) -> str:
    """A data URL for base64 text; its first bytes are believed before what was declared."""
    return f"data:{_kind(_head(data), _IMAGES) or declared};base64,{data}"


def _head(data: str) -> bytes:
    """The first bytes of the file; only these are decoded, an image may hold megabytes."""
    try:
        return base64.b64decode(data[:32])
    except (binascii.Error, ValueError):
        return b""


def _kind(head: bytes, table: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((kind for at, magic, kind in table if head[at : at + len(magic)] == magic), "")
