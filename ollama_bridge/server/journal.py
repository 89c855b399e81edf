"""What is told of requests: the ones being answered and the last ones, in memory and bounded.

Never what was said and never a key; the same fields make the line in the log.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from ollama_bridge.server.exchange import Exchange

Fields = dict[str, Any]

RECENT = 200
"""How many finished requests are remembered."""

FAILURES = 10
"""How many failed ones are remembered besides, for the status."""


class Journal:
    """Remembers requests for as long as the daemon lives, or as there is room."""

    def __init__(
        self,
        instance: str,
        stamp: Callable[[], str],
        monotonic: Callable[[], int],
        worker: int = 0,
    ) -> None:
        """`worker` is the number of this process among the daemon's, 0 for the only one."""
        self.failures: deque[Fields] = deque(maxlen=FAILURES)
        """The last failed ones: number, time, model, error."""
        self.errors = 0
        self._prefix = f"{instance[:4]}.{worker}" if worker else instance[:4]
        self._stamp = stamp
        self._monotonic = monotonic
        self._number = 0
        self._running: dict[Exchange, _Begun] = {}
        self._recent: deque[tuple[str, Fields]] = deque(maxlen=RECENT)

    @property
    def exchanges(self) -> list[Exchange]:
        """Everything that is being answered."""
        return list(self._running)

    @property
    def recent(self) -> list[Fields]:
        """Finished requests, oldest first."""
        return [{"time": time, **fields} for time, fields in list(self._recent)]

    def begin(self, exchange: Exchange) -> None:
        """A request has come."""
        self._number += 1
        self._running[exchange] = self._number, self._stamp(), self._monotonic()

    def end(self, exchange: Exchange) -> Fields | None:
        """A request is over: its fields, or None when it asked no model and did not fail."""
        number, time, begun = self._running.pop(exchange)
        log = exchange.log
        if "error" in log:
            self._remember_failure(log)
        elif "model" not in log:
            return None
        fields = self._fields(exchange, number, self._monotonic() - begun)
        self._recent.append((time, fields))
        return fields

    def running(self) -> list[Fields]:
        """The requests that wait for an answer of a model, oldest first."""
        now = self._monotonic()
        return [
            {"time": time, **self._fields(exchange, number, now - begun)}
            for exchange, (number, time, begun) in list(self._running.items())
            if "model" in exchange.log
        ]

    def _remember_failure(self, log: Fields) -> None:
        self.errors += 1
        self.failures.append(
            {
                "number": self.errors,
                "time": self._stamp(),
                "model": log.get("model", ""),
                "error": log["error"],
            }
        )

    def _fields(self, exchange: Exchange, number: int, total: int) -> Fields:
        log = exchange.log
        client = exchange.scope.get("client") or ("-",)
        tokens_in, tokens_out = log.get("tokens", (0, 0))
        fields = {
            "id": f"{self._prefix}-{number}",
            "client": client[0],
            "route": f"{exchange.method} {exchange.path}",
            "status": exchange.status or 499,
            "model": log.get("model", "-"),
            "provider": log.get("provider", "-"),
            "upstream": log.get("upstream", "-"),
            "first_ms": _milliseconds(log.get("first", 0)),
            "total_ms": _milliseconds(total),
            "tokens_in": tokens_in,
            "tokens_out": tokens_out,
        }
        for key in _SOMETIMES:
            if value := log.get(key):
                fields[key] = value
        return fields


_SOMETIMES = ("tries", "estimated", "gone", "error")

_Begun = tuple[int, str, int]
"""Number, time, and the same on the clock that never jumps."""


def _milliseconds(nanoseconds: int) -> float:
    return nanoseconds // 100_000 / 10
