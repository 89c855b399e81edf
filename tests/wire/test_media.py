"""The kind of a file, told from its first bytes (upstream-quirks H1, H2)."""

import base64

import pytest

from ollama_bridge.wire import media


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"\xff\xd8\xff\xdb", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftypmif1", "image/heif"),
        (b"BM\x36\0", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"", "image/png"),  # unknown: the upstream will say what is wrong
        (b"hello", "image/png"),
    ],
)
def test_images(head: bytes, kind: str):
    data = base64.b64encode(head + b"\0" * 40).decode() if head else ""
    url = f"data:{kind};base64,{data}"
    assert media.part(data) == {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90", "mp3"),
        (b"\xff\xf3\x40", "mp3"),
    ],
)
def test_sounds(head: bytes, kind: str):
    data = base64.b64encode(head + b"\0" * 40).decode()
    sound = {"data": data, "format": kind}
    assert media.part(data) == {"type": "input_audio", "input_audio": sound}


def test_only_the_head_is_decoded():
    data = base64.b64encode(b"GIF89a" + b"\0" * 40).decode() + "*not base64*"
    assert media.part(data)["image_url"]["url"].startswith("data:image/gif;")
