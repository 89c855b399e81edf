"""Cut a byte stream into the payloads of server-sent events (WHATWG HTML, section 9.2).

Strategy: one split per network read; the unfinished last line waits in a list of parts, so a
huge line costs linear time. An event whose first `data:` line already looks like a whole JSON
object is handed out at once, because some gateways forget the blank line that should end it.
Comments, `id:` and `retry:` lines carry nothing we use; of `event:` only the name `error` does.
"""

from ollama_bridge.errors import UpstreamBroke

LIMIT = 32 * 1024 * 1024
"""Most bytes an unfinished line or event may hold."""

DONE = b"[DONE]"
"""The payload that ends OpenAI's streams."""

_NAMES = frozenset({b"event", b"id", b"retry", b"data", b""})
"""The fields of an event, and the one that makes a comment; a line may also be a name alone."""

_MOST_STRAY = 400
"""Bytes of stray lines that are enough to tell what they are."""

(_CR,) = b"\r"
"""As a number: `13 in data` takes a tenth of what `b"\\r" in data` takes."""


class EventCutter:
    """Bytes in, event payloads out; a payload may be cut anywhere between two reads.

    With `comments`, they come among the payloads, each with the colon it begins with.
    """

    __slots__ = (
        *("_is_clear", "_comments", "_parts", "_held", "_event", "_gathered", "_failed"),
        *("_returned", "stray"),
    )

    def __init__(self, *, comments: bool = False) -> None:
        self._comments = comments
        self._parts: list[bytes] = []
        self._held = 0
        self._event: list[bytes] = []
        self._gathered = 0
        self._failed = False
        self._returned = False
        self._is_clear = True
        """Nothing is held that belongs to what comes next."""
        self.stray = b""
        """The first lines that belong to no event, as a web page is made of."""

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads completed by `data`; raises UpstreamBroke when one grows past LIMIT."""
        if self._is_clear and _CR not in data:
            # nearly all reads are whole events of one line each, and most of them only one
            line, _, rest = data.partition(b"\n")
            if rest == b"\n" and line[:7] == b"data: {" and line[-1:] == b"}":
                return [line[6:]]
            if line[:6] == b"data: " and rest[-2:] == b"\n\n":
                payloads = data[6:-2].split(b"\n\ndata: ")
                if data.count(b"\n") == 2 * len(payloads):
                    return [payload for part in payloads if (payload := part.strip(b" \t"))]
        if self._returned or _CR in data:
            data = self._with_line_feeds(data)
        lines = data.split(b"\n")
        last = lines.pop()
        if self._parts and lines:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        if last:
            self._hold(last)
        payloads = self._payloads(lines)
        self._is_clear = not (self._parts or self._event or self._failed or self._returned)
        return payloads

    def close(self) -> list[bytes]:
        """What the stream held back when it ended without a last line end or blank line."""
        line = b"".join(self._parts)
        self._parts.clear()
        return self._payloads([line, b""])

    def _with_line_feeds(self, data: bytes) -> bytes:
        """A line may end with CR, LF or both, and a read may end between the two."""
        if self._returned and data.startswith(b"\n"):
            data = data[1:]
        self._returned = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, part: bytes) -> None:
        self._parts.append(part)
        self._held += len(part)
        if self._held > LIMIT:
            raise UpstreamBroke(f"the upstream sent a line longer than {LIMIT} bytes")

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        payloads = []
        event = self._event
        for line in lines:
            if line[:5] == b"data:":
                payload = line[5:].strip(b" \t")
                if event:
                    self._gather(payload)
                elif payload[:1] == b"{" and payload[-1:] == b"}":
                    payloads.append(_marked(payload) if self._failed else payload)
                elif payload == DONE:
                    payloads.append(payload)
                elif payload:
                    self._gather(payload)
            elif not line:
                if event:
                    payloads.append(b"\n".join(event))
                    event.clear()
                self._failed = False
            elif self._comments and line[:1] == b":":
                payloads.append(line)
            else:
                self._note(line)
        return payloads

    def _note(self, line: bytes) -> None:
        if line[:6] == b"event:":
            self._failed = line[6:].strip() == b"error"
        elif len(self.stray) < _MOST_STRAY and line.partition(b":")[0] not in _NAMES:
            self.stray += line[:_MOST_STRAY] + b"\n"

    def _gather(self, payload: bytes) -> None:
        self._gathered = self._gathered + len(payload) if self._event else len(payload)
        self._event.append(payload)
        if self._gathered > LIMIT:
            raise UpstreamBroke(f"the upstream sent an event longer than {LIMIT} bytes")


def _marked(payload: bytes) -> bytes:
    """What an event named `error` says, told apart from an answer even without an `error` key."""
    return payload if b'"error"' in payload else b'{"error":%b}' % payload
