"""Pictures that a message names by their paths, as dragging a file into a terminal does."""

import base64
import re
from pathlib import Path

from ollama_bridge.errors import BridgeError

LARGEST = 100 * 2**20

# A path begins with / ~ . or a drive and ends in a picture's ending; its spaces have a backslash
# before them or quotes around the whole.
_PATH = re.compile(
    r"""(?<!\S)(?:
        (?P<quote>['"])(?P<quoted>(?:~|\.{0,2}[/\\]|[A-Za-z]:[/\\])[^'"\n]*?\.(?:jpe?g|png|webp))(?P=quote)
        | (?P<plain>(?:~/|\.{0,2}[/\\]|[A-Za-z]:[/\\])(?:\\\ |[^\s])*?\.(?:jpe?g|png|webp))
    )(?=$|[\s,.;:!?)])""",
    re.IGNORECASE | re.VERBOSE,
)
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")


def taken_out(text: str) -> tuple[str, list[str], list[Path]]:
    """The text without its pictures, them as base64, and their paths; raises BridgeError.

    What names no file stays in the text: people also write about paths.
    """
    images: list[str] = []
    paths: list[Path] = []

    def take(found: "re.Match[str]") -> str:
        named = found["quoted"] or found["plain"].replace("\\ ", " ")
        path = Path(named).expanduser()
        if not path.is_file():
            return found[0]
        images.append(base64.b64encode(_read(path)).decode())
        paths.append(path)
        return ""

    rest = _PATH.sub(take, text)
    return (re.sub(r"  +", " ", rest).strip() if paths else text), images, paths


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise BridgeError(f"{path} is larger than {LARGEST // 2**20} MiB; send a smaller one")
        data = path.read_bytes()
    except OSError as error:
        raise BridgeError(f"{path} cannot be read: {error.strerror}") from error
    if not data.startswith(_BEGINNINGS):
        raise BridgeError(f"{path} is no PNG, JPEG or WebP picture")
    return data
