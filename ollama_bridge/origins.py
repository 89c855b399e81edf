"""Which web pages and extensions may call: Ollama's list of origins, and the user's own.

Strategy: patterns are compared as Ollama's CORS library does it, one `*` in each at most.
"""

from collections.abc import Iterable, Sequence

from ollama_bridge.errors import SettingsInvalid

BUILT_IN = (
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
)
"""Always allowed, as in Ollama; extensions, `null` and [::1] are not among them."""

SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
"""What an origin without `*` must begin with."""


def check(origins: Iterable[str]) -> None:
    """Refuse the entries at which Ollama would not start."""
    for origin in map(str.strip, origins):
        if origin.count("*") > 1:
            raise SettingsInvalid(
                f'origin "{origin}" (server.origins or OLLAMA_ORIGINS) has more than one *: '
                "write one entry for each part that varies"
            )
        if "*" not in origin and not origin.startswith(SCHEMES):
            raise SettingsInvalid(
                f'origin "{origin}" (server.origins or OLLAMA_ORIGINS) has no *: '
                f"it must then begin with {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}"
            )


class Origins:
    """The allowed ones, sorted by the way they are compared; raises SettingsInvalid."""

    def __init__(self, own: Sequence[str]) -> None:
        patterns = [origin.strip() for origin in (*own, *BUILT_IN)]
        check(patterns)
        self.all = "*" in patterns
        """Whether any page may call."""
        self._exact = frozenset(pattern.lower().encode() for pattern in patterns)
        halves = [pattern.encode().split(b"*") for pattern in patterns if "*" in pattern]
        self._begins = tuple(before for before, after in halves if not after)
        self._ends = tuple(after for before, after in halves if not before)
        self._both = tuple((before, after) for before, after in halves if before and after)

    def allow(self, origin: bytes) -> bool:
        """Whether a page of that origin may call."""
        return (
            self.all
            or origin in self._exact
            or origin.startswith(self._begins)
            or origin.endswith(self._ends)
            or any(origin.startswith(one) and origin.endswith(two) for one, two in self._both)
        )
