"""What was spent today at each provider, and whether a limit for the day is reached.

Strategy: counts are kept by local day and provider. A clock that jumps only changes which day is
counted: the days used last stay, so that a clock set right again finds its day as it was. Requests
are counted when they are sent, tokens and money when an answer tells them. Pure: the clock is an
argument, and whoever wants to keep the counts, or share them, is told of each `Sum`.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ollama_bridge.errors import LimitReached
from ollama_bridge.providers.provider import NO_LIMITS, Limits, Provider

DAYS = 8
"""Most days that are remembered; the one used longest ago goes first."""

PROVIDERS = 1000
"""Most providers of a day."""

_SECOND = 1_000_000_000
_SETTING = "providers.{name}.limits.{limit}"


@dataclass(slots=True)
class Spent:
    """Sums, of one provider and day or of one request."""

    requests: int = 0
    """Sent to the provider; a request that is made again counts again."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    """US dollars by list prices, for the models whose price is known."""
    estimated: int = 0
    """Requests whose tokens the provider did not tell; they are estimated from the texts."""
    unpriced: int = 0
    """Requests to models whose price nobody tells; they are not in `usd`."""

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.tokens_in + self.tokens_out

    def add(self, more: "Spent") -> None:
        """One more request, or its end."""
        self.requests += more.requests
        self.tokens_in += more.tokens_in
        self.tokens_out += more.tokens_out
        self.usd += more.usd
        self.estimated += more.estimated
        self.unpriced += more.unpriced


_NAMES = tuple(field.name for field in fields(Spent))
_ONE_REQUEST = Spent(requests=1)

Tell = Callable[[str, str, Spent], None]
"""Told of each sum that is added: day, provider, what."""


def _tell_nobody(_day: str, _provider: str, _more: Spent) -> None:
    """For counts that live in memory only."""


class Daybook:
    """The counts; `clock` in nanoseconds since the epoch. Days are written as 2026-11-27."""

    def __init__(self, clock: Callable[[], int], tell: Tell = _tell_nobody) -> None:
        self.tell = tell
        self._clock = clock
        self._days: dict[str, dict[str, Spent]] = {}
        self._day = ""
        self._begin = self._end = 0.0
        """Of the day used last, in seconds since the epoch."""

    def check(self, provider: Provider) -> None:
        """Raise LimitReached where one more request of today would be one too many."""
        limits = provider.limits
        if limits is NO_LIMITS:
            return
        spent = self.today(provider.name)
        for limit, used in _used(spent).items():
            most = getattr(limits, limit)
            if most is not None and used >= most:
                raise self._reached(provider.name, limit, most)

    def is_reached(self, provider: Provider) -> bool:
        """Whether a limit of today is reached."""
        try:
            self.check(provider)
        except LimitReached:
            return True
        return False

    def sent(self, provider: str) -> None:
        """A request goes out."""
        self._add(provider, _ONE_REQUEST)

    def answered(self, provider: str, more: Spent) -> None:
        """An answer has told what it cost."""
        self._add(provider, more)

    def take(self, day: str, provider: str, more: Spent) -> None:
        """What another process has counted."""
        self._of(day, provider).add(more)

    def today(self, provider: str) -> Spent:
        """The sums of today; not to be changed."""
        return self._of(self.day(), provider)

    def day(self) -> str:
        """Today, by the local calendar."""
        now = self._clock() / _SECOND
        if not self._begin <= now < self._end:
            self._day, self._begin, self._end = _day_of(now)
        return self._day

    def rest_of_day(self) -> int:
        """Whole seconds until the next day begins, at least one."""
        self.day()
        return max(1, math.ceil(self._end - self._clock() / _SECOND))

    def document(self) -> dict[str, Any]:
        """All counts, as JSON can hold them."""
        return {
            "schema": 1,
            "days": {
                day: {name: asdict(spent) for name, spent in rows.items()}
                for day, rows in self._days.items()
            },
        }

    def restore(self, document: Any) -> None:
        """Begin with the counts of a `document`; raises ValueError for anything else."""
        try:
            days = [
                (day, name, Spent(**{key: _count(row[key]) for key in _NAMES}))
                for day, rows in document["days"].items()
                for name, row in rows.items()
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no counts of spending") from error
        for day, name, spent in days:
            self.take(day, name, spent)

    def _add(self, provider: str, more: Spent) -> None:
        day = self.day()
        self._of(day, provider).add(more)
        self.tell(day, provider, more)

    def _of(self, day: str, provider: str) -> Spent:
        rows = self._days.get(day)
        if rows is None:
            while len(self._days) >= DAYS:
                del self._days[next(iter(self._days))]
            rows = self._days[day] = {}
        elif next(reversed(self._days)) != day:
            self._days[day] = self._days.pop(day)  # the one used last stands last
        spent = rows.get(provider)
        if spent is None:
            if len(rows) >= PROVIDERS:
                del rows[next(iter(rows))]
            spent = rows[provider] = Spent()
        return spent

    def _reached(self, provider: str, limit: str, most: float) -> LimitReached:
        setting = _SETTING.format(name=provider, limit=limit)
        return LimitReached(
            f"{provider} has reached its limit of {amount(limit, most)} a day; the day ends at "
            f"midnight. To raise it: ollama-bridge config set {setting} NUMBER (now {most:g}), or "
            f"ollama-bridge config unset {setting}",
            retry_after=str(self.rest_of_day()),
        )


def told(day: str, provider: str, more: Spent) -> list[Any]:
    """A sum as JSON can carry it to another process; `heard` reads it."""
    return [day, provider, [getattr(more, name) for name in _NAMES]]


def heard(message: list[Any]) -> tuple[str, str, Spent]:
    """What another process has `told`."""
    day, provider, counts = message
    return day, provider, Spent(*counts)


def cost(
    tokens_in: int,
    tokens_out: int,
    price_in: float | None,
    price_out: float | None,
    limits: Limits,
) -> float | None:
    """US dollars, from prices for a million tokens; None where nobody tells the price."""
    if price_in is None or price_out is None:
        if limits.fallback_price is None:
            return None
        price_in, price_out = limits.fallback_price
    return (tokens_in * price_in + tokens_out * price_out) / 1e6


def amount(limit: str, number: float) -> str:
    """A number of what that limit counts, for people: `$5.00`, `1,000 tokens`."""
    if limit == "usd_per_day":
        return f"${number:,.2f}" if number >= 0.01 or not number else f"${number:.2g}"
    what = limit.partition("_")[0]
    return f"{number:,.0f} {what[:-1] if number == 1 else what}"


def _used(spent: Spent) -> Mapping[str, float]:
    """By the limit's name."""
    return {
        "requests_per_day": spent.requests,
        "tokens_per_day": spent.tokens,
        "usd_per_day": spent.usd,
    }


LIMITS = tuple(_used(Spent()))
"""The limits by name, in the order in which they are looked at."""


def used(limit: str, spent: Spent) -> float:
    """What counts for that limit."""
    return _used(spent)[limit]


def _day_of(now: float) -> tuple[str, float, float]:
    """The local day of a moment, and when it begins and ends; all in seconds since the epoch."""
    try:
        date = dt.datetime.fromtimestamp(now).date()  # noqa: DTZ006 - the local day is meant
        begin, end = _midnight(date), _midnight(date + dt.timedelta(days=1))
    except (OSError, OverflowError, ValueError):  # a clock beyond what calendars know
        return "0001-01-01", now - 43_200, now + 43_200
    if not begin <= now < end:  # a day without a midnight, or with two: the clock is put forward
        begin, end = now, min(max(end, now + 1), now + 3600)
    return date.isoformat(), begin, end


def _midnight(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time.min).timestamp()


def _count(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise TypeError
    return value
