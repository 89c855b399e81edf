"""A fence round an answer that was to be JSON, taken off (upstream-quirks E9).

Ollama enforces a format, so its answers have none; services that are only asked for one add it.
"""

import re

from ollama_bridge.translate.stops import StopCutter

_OPENING = re.compile(r"\s*```[A-Za-z]*[ \t]*\r?\n")
_MAY_OPEN = re.compile(r"\s*(?:`{0,2}|```[A-Za-z]*[ \t]*\r?)$")
_CLOSING = re.compile(r"\s*```\s*$")


class Unfenced:
    """Text pieces in, text without its fence out; a `StopCutter` may watch what comes out.

    A text that does not begin with a fence goes through unchanged, white space at its end included.
    What stands behind a closing fence is said, with the fence, because nothing is left out.
    """

    def __init__(self, behind: StopCutter | None) -> None:
        self._behind = behind or StopCutter(())
        self._held = ""
        self._begun = self._inside = False

    @property
    def stopped(self) -> bool:
        """A stop string was met."""
        return self._behind.stopped

    @property
    def found(self) -> str:
        """The stop string that was met."""
        return self._behind.found

    def feed(self, piece: str) -> str:
        """What may be said by now; what could be part of a fence waits."""
        return self._behind.feed(self._without(piece))

    def close(self) -> str:
        """What waited when the answer ended."""
        rest, self._held = self._held, ""
        if self.stopped or (self._inside and _CLOSING.match(rest)):
            rest = ""
        said = self._behind.feed(rest)
        return said if self.stopped else said + self._behind.close()

    def _without(self, piece: str) -> str:
        if self._begun and not self._inside:
            return piece
        text = self._held + piece
        self._held = ""
        if not self._begun:
            opening = _OPENING.match(text)
            if opening is None and _MAY_OPEN.match(text):
                self._held = text
                return ""
            self._begun, self._inside = True, opening is not None
            text = text[opening.end() :] if opening else text
        if self._inside:
            end = _end(text)
            self._held, text = text[end:], text[:end]
        return text


def _end(text: str) -> int:
    """Where that begins which could be the closing fence."""
    end = len(text.rstrip())
    while end and text[end - 1] == "`" and len(text.rstrip()) - end < 3:
        end -= 1
    return len(text[:end].rstrip())
