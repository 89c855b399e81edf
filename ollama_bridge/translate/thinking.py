"""`think` as reasoning effort, and `<think>` tags inside ordinary text as thinking.

Strategy: a tag counts only at the very start of an answer (after white space). Text that could
still become a tag is held back, so the tags may be cut anywhere between two chunks.
"""

from collections.abc import Mapping

OPEN, CLOSE = "<think>", "</think>"


def effort(think: bool | str | None, efforts: Mapping[str, str]) -> str | None:  # noqa: FBT001
    """The word to send for `think`, by the provider's table; None sends nothing."""
    if think is None:
        return None
    word = think if isinstance(think, str) else ("on" if think else "off")
    return efforts.get(word)


class TagSplitter:
    """Text pieces in, (thinking, text) pieces out."""

    def __init__(self) -> None:
        self._held = ""
        self._state = TagSplitter._start  # no bound method: it would keep its object alive
        self.passing = False
        """True once no tag can come any more: pieces may bypass the splitter."""

    def feed(self, piece: str) -> tuple[str, str]:
        """The thinking and the text that this piece completes."""
        self._held += piece
        return self._state(self)

    def close(self) -> tuple[str, str]:
        """What was held back when the answer ended."""
        rest, self._held = self._held, ""
        if self._state is TagSplitter._text_start:
            return "", ""  # the white space after the closing tag belongs to the tag
        return (rest, "") if self._state is TagSplitter._thinking else ("", rest)

    def switch_off(self) -> str:
        """The text held back so far, because this server has another way to mark its thinking."""
        return self._pass(self._held) if self._state is TagSplitter._start else ""

    def _start(self) -> tuple[str, str]:
        text = self._held.lstrip()
        if text != OPEN and OPEN.startswith(text):
            return "", ""
        if not text.startswith(OPEN):
            return "", self._pass(self._held)
        self._held = text[len(OPEN) :]
        self._state = TagSplitter._thinking_start
        return self._thinking_start()

    def _thinking_start(self) -> tuple[str, str]:
        self._held = self._held.lstrip()
        if not self._held:
            return "", ""
        self._state = TagSplitter._thinking
        return self._thinking()

    def _thinking(self) -> tuple[str, str]:
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            self._held, self._state = rest, TagSplitter._text_start
            return thought.rstrip(), self._text_start()[1]
        keep = _possible_tag(self._held)
        cut = len(self._held[: len(self._held) - keep].rstrip())
        thought, self._held = self._held[:cut], self._held[cut:]
        return thought, ""

    def _text_start(self) -> tuple[str, str]:
        text = self._held.lstrip()
        return "", self._pass(text) if text else ""

    def _pass(self, text: str) -> str:
        self._held, self.passing, self._state = "", True, TagSplitter._all
        return text

    def _all(self) -> tuple[str, str]:
        text, self._held = self._held, ""
        return "", text


def _possible_tag(text: str) -> int:
    """Length of the longest end of `text` that could begin the closing tag."""
    return next((n for n in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:n])), 0)
