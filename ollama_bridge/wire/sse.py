"""Cut a byte stream into the payloads of server-sent events (WHATWG HTML, section 9.2).

Strategy: one split per network read; the unfinished last line waits in a list of parts, so a
huge line costs linear time. An event whose first `data:` line already looks like a whole JSON
object is handed out at once, because some gateways forget the blank line that should end it.
Comments, `event:`, `id:` and `retry:` lines carry nothing we use.
"""

from ollama_bridge.errors import UpstreamBroke

LIMIT = 32 * 1024 * 1024
"""Most bytes an unfinished line or event may hold."""


class EventCutter:
    """Bytes in, event payloads out; a payload may be cut anywhere between two reads."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._event: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads completed by `data`; raises UpstreamBroke when one grows past LIMIT."""
        lines = data.split(b"\n")
        last = lines.pop()
        if self._parts and lines:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        if last:
            self._hold(last)
        return self._payloads(lines)

    def close(self) -> list[bytes]:
        """What the stream held back when it ended without a last line end or blank line."""
        line = b"".join(self._parts)
        self._parts.clear()
        return self._payloads([line, b""])

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
                payload = line[5:].strip(b" \r\t")
                if event:
                    event.append(payload)
                    self._bound()
                elif payload[:1] == b"{" and payload[-1:] == b"}":
                    payloads.append(payload)
                elif payload:
                    event.append(payload)
            elif event and line in (b"", b"\r"):
                payloads.append(b"\n".join(event))
                event.clear()
        return payloads

    def _bound(self) -> None:
        if sum(map(len, self._event)) > LIMIT:
            raise UpstreamBroke(f"the upstream sent an event longer than {LIMIT} bytes")
