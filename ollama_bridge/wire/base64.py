"""Base64 as Go reads it, and where Go says that it goes wrong."""

import re

from ollama_bridge.errors import BadRequest

_PREFIX = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PIECE = 64 * 1024
_CONTENT = re.compile(rb"[^\r\n]")


def standard(text: str) -> str:
    """The text without `data:` prefix and line ends; raises BadRequest with Go's text.

    Ollama takes no prefix. We do, because clients written for OpenAI send one.
    """
    prefix = _PREFIX.match(text)
    plain = text[prefix.end() :] if prefix else text
    if "\n" in plain or "\r" in plain:
        plain = plain.replace("\n", "").replace("\r", "")
    if not _is_base64(plain):
        raise BadRequest(f"illegal base64 data at input byte {_wrong_byte(text)}")
    return plain


def _is_base64(text: str) -> bool:
    """Looked at, not decoded, and in pieces: images hold megabytes, and fresh memory is slow."""
    if len(text) % 4 or not text.isascii():
        return False
    end = len(text) - text.endswith("=") - text.endswith("==")
    pieces = (text[at : min(at + _PIECE, end)] for at in range(0, end, _PIECE))
    return not any(piece.encode().translate(None, _DIGITS) for piece in pieces)


def _wrong_byte(text: str) -> int:
    """Go's number for text that is not base64: it counts bytes of UTF-8, from zero."""
    data = text.encode()
    foreign = data.translate(None, _DIGITS + b"\r\n")[:1]
    end = data.index(foreign) if foreign else len(data)
    digits = end - data.count(b"\n", 0, end) - data.count(b"\r", 0, end)
    if not foreign:  # the last group of four is not full
        return end - digits % 4
    if foreign != b"=" or digits % 4 < 2:
        return end
    return _after_padding(data, end + 1, missing=digits % 4 == 2)


def _after_padding(data: bytes, at: int, *, missing: bool) -> int:
    """The same for text that is right up to its first `=`; `missing` when a second must follow."""
    rest = _CONTENT.search(data, at)
    if missing:
        if rest is None:
            return len(data)
        if rest[0] != b"=":
            return rest.start() - 1
        rest = _CONTENT.search(data, rest.end())
    return rest.start() if rest else at
