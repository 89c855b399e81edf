"""One provider as the requests to it see it: how many may be under way, and how it has been doing.

Strategy: a request enters the lane, in the order of arrival, and leaves it when it is answered.
After "too many requests" the lane gets narrower, so that the others wait here and do not storm on;
every answer that is good makes it wider again. The breaker only steers: an alias with another
target goes there while a provider fails. Nobody is refused because of it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ollama_bridge.errors import BridgeError, ServerBusy, UpstreamFailed
from ollama_bridge.server import patience

QUEUE = 512
"""Most requests that wait for one provider: Ollama's own OLLAMA_MAX_QUEUE."""

BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""Ollama's own words, two blanks included (ollama-api 1.4)."""

FAILURES = 3
"""So many in a row open the breaker."""

REST, LONGEST_REST = 5.0, 60.0
"""Seconds until a failing provider is tried again; they double with each failure after that."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the status shows of a lane."""

    state: str
    """`ok`, `failing` (not asked while there is another target) or `trying` (one request is)."""
    failures: int
    """In a row."""
    running: int
    waiting: int
    limit: int
    """Requests it is given at the same time."""
    resting: float
    """Seconds until it is asked again; 0 when it may be asked."""


class Lane:
    """Lives in one event loop. `now` is a monotonic clock in seconds."""

    def __init__(self, limit: int, now: Callable[[], float], queue: int = QUEUE) -> None:
        self._limit = limit
        self._room = limit
        self._now = now
        self._queue = queue
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._good = 0
        self._narrowed = float("-inf")
        self._failures = 0
        self._open_until = 0.0
        self._trying = False

    async def enter(self) -> None:
        """Wait for a place; raises ServerBusy when too many wait already."""
        self._trying = self._failures >= FAILURES
        if self._running < self._room and not self._waiting:
            self._running += 1
            return
        if len(self._waiting) >= self._queue:
            raise ServerBusy(BUSY)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place came in the same moment as the end
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give the place to the one who has waited longest."""
        self._trying = False
        self._running -= 1
        self._let_in()

    def is_open(self) -> bool:
        """Whether the breaker says to ask somebody else first.

        When the rest is over one request tries; while it does the others still go elsewhere.
        """
        return self._failures >= FAILURES and (self._trying or self._now() < self._open_until)

    def worked(self) -> None:
        """A request was answered."""
        self._failures = 0
        if self._room < self._limit:
            self._good += 1
            if self._good >= self._room:  # one more place for each round of good answers
                self._good = 0
                self._room += 1
                self._let_in()

    def failed(self, error: BridgeError) -> None:
        """A request was not answered."""
        if isinstance(error, UpstreamFailed) and error.upstream_status == 429:
            self._narrow()
        if not patience.is_its_fault(error):
            self._failures = 0
            return
        self._failures += 1
        rest = min(LONGEST_REST, REST * 2.0 ** max(0, self._failures - FAILURES))
        asked_for = getattr(error, "wait", None) or 0.0
        self._open_until = self._now() + min(LONGEST_REST, max(rest, asked_for))

    def condition(self) -> Condition:
        """How things stand."""
        failing = self._failures >= FAILURES
        left = max(0.0, self._open_until - self._now()) if failing else 0.0
        state = "trying" if self._trying else "failing" if failing else "ok"
        waiting = len(self._waiting)
        return Condition(state, self._failures, self._running, waiting, self._room, left)

    def _narrow(self) -> None:
        """Half as many at once; refusals of requests that went out together count as one."""
        now = self._now()
        if now - self._narrowed < 1:
            return
        self._narrowed = now
        self._good = 0
        self._room = max(1, min(self._room, self._running) // 2)

    def _let_in(self) -> None:
        while self._waiting and self._running < self._room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
