"""Stop strings the upstream was not told of, enforced here (upstream-quirks A5, A6, F14)."""

from collections.abc import Sequence


class StopCutter:
    """Text pieces in, text up to the first stop string out."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False
        self.found = ""
        """The stop string that was met."""

    def feed(self, piece: str) -> str:
        """What may be said by now; an end that could begin a stop string waits."""
        text = self._held + piece
        found = [(at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            end, self.found = min(found)
            self.stopped = True
            self._held = ""
            return text[:end]
        keep = self._possible(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def close(self) -> str:
        """What waited when the answer ended without a stop string."""
        rest, self._held = self._held, ""
        return rest

    def _possible(self, text: str) -> int:
        """Length of the longest end of `text` that begins one of the stop strings."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-size:]
            if any(stop.startswith(end) for stop in self._stops):
                return size
        return 0
