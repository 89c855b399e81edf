"""Thoughts that a provider wants to see again, kept for a while (upstream-quirks D6 to D8).

Strategy: in memory only, by the ids of the tool calls they led to, and by what was called, because
many clients drop the ids. Where they are lost (a restart, another copy of the daemon) the request
goes up without them, or with what the provider takes in their place (`signed_calls`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from ollama_bridge.translate import tools
from ollama_bridge.translate.thoughts import Thoughts

MOST, LARGEST, TOTAL = 2000, 1024 * 1024, 32 * 1024 * 1024
"""Most turns, bytes of one turn, and bytes of all."""

AGE = 6 * 3600.0
"""Seconds; who comes back later begins anew."""

Key = tuple[str, str]


class Recollection:
    """The thoughts of every provider's turns; the oldest go first. `now` in monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._turns: OrderedDict[int, tuple[float, int, Thoughts, tuple[Key, ...]]] = OrderedDict()
        self._places: dict[Key, int] = {}
        self._next = 0
        self.size = 0
        """Bytes."""

    def __len__(self) -> int:
        return len(self._turns)

    def keep(self, provider: str, calls: Sequence[tools.Call], thoughts: Thoughts) -> bool:
        """One more turn; False for what is too large, which is not kept at all."""
        try:
            size = len(msgspec.json.encode(thoughts))
        except (TypeError, ValueError, RecursionError):
            return False
        if size > LARGEST:
            return False
        keys = tuple(
            key
            for call in calls
            for key in _keys(provider, call.id, call.name, tools.text_of(call.arguments))
        )
        keys += tuple((provider, f"id {tools.short_id(call.id)}") for call in calls)
        self._turns[self._next] = self._now(), size, thoughts, keys
        self._places |= dict.fromkeys(keys, self._next)
        self._next += 1
        self.size += size
        while len(self._turns) > MOST or self.size > TOTAL:
            self._drop(next(iter(self._turns)))
        return True

    def find(self, provider: str, call_id: str, name: str, arguments: str) -> Thoughts | None:
        """What came with that call."""
        self._forget_old()
        places = map(self._places.get, _keys(provider, call_id, name, arguments))
        place = next((place for place in places if place is not None), None)
        return None if place is None else self._turns[place][2]

    def _forget_old(self) -> None:
        while self._turns:
            place, (since, *_) = next(iter(self._turns.items()))
            if self._now() - since <= AGE:
                return
            self._drop(place)

    def _drop(self, place: int) -> None:
        _, size, _, keys = self._turns.pop(place)
        self.size -= size
        for key in keys:
            if self._places.get(key) == place:
                del self._places[key]


def _keys(provider: str, call_id: str, name: str, arguments: str) -> tuple[Key, Key]:
    """By id first; the same call made twice is the later one."""
    try:
        plain = msgspec.json.encode(msgspec.json.decode(arguments), order="sorted")
    except (ValueError, RecursionError):
        plain = arguments.encode(errors="replace")
    digest = hashlib.sha256(name.encode(errors="replace") + b"\0" + plain).hexdigest()
    return (provider, f"id {call_id}"), (provider, f"call {digest}")
