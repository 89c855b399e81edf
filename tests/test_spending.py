"""Counting by the local day, limits, and what is kept over a restart."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollama_bridge import spending
from ollama_bridge.errors import LimitReached
from ollama_bridge.ledger import NAME, Ledger
from ollama_bridge.providers.provider import Limits, Provider
from ollama_bridge.spending import Daybook, Spent, cost

SECOND = 1_000_000_000
HOUR = 3600


class Clock:
    """Nanoseconds, set in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> int:
        return int(self.seconds * SECOND)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, two hours ahead of UTC on that day."""
    if not hasattr(time, "tzset"):
        yield
        return
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    monkeypatch.undo()
    time.tzset()


MIDNIGHT = 1_784_498_400.0  # 2026-07-20 00:00 in Berlin
PAST = pytest.mark.skipif(not hasattr(time, "tzset"), reason="zones of POSIX")


def provider(**limits: object) -> Provider:
    return Provider(name="lab", url="http://x/v1", limits=Limits(**limits))  # type: ignore[arg-type]


@PAST
def test_the_day_is_the_local_one() -> None:
    clock = Clock(MIDNIGHT - 1)
    book = Daybook(clock)
    assert book.day() == "2026-07-19"
    assert book.rest_of_day() == 1
    clock.seconds = MIDNIGHT
    assert book.day() == "2026-07-20"
    assert book.rest_of_day() == 24 * HOUR


@PAST
def test_a_day_on_which_the_clock_is_put_forward_is_an_hour_shorter() -> None:
    clock = Clock(1_774_738_800.0)  # 2026-03-29 00:00 in Berlin
    book = Daybook(clock)
    assert (book.day(), book.rest_of_day()) == ("2026-03-29", 23 * HOUR)


def test_a_new_day_begins_from_zero_and_the_old_one_can_come_back() -> None:
    clock = Clock(MIDNIGHT + HOUR)
    book = Daybook(clock)
    lab = provider(requests_per_day=1)
    book.sent("lab")
    assert book.is_reached(lab)
    clock.seconds += 24 * HOUR
    assert not book.is_reached(lab)
    clock.seconds -= 24 * HOUR  # the clock was wrong, and is set right
    assert book.is_reached(lab)


@pytest.mark.parametrize("jump", [-60 * 365 * 24 * HOUR, 1e6, 1e9, 1e12, -1e12])
def test_a_clock_that_jumps_forgets_nothing_of_today(jump: float) -> None:
    clock = Clock(MIDNIGHT + HOUR)
    book = Daybook(clock)
    book.sent("lab")
    clock.seconds += jump
    book.sent("lab")
    assert book.today("lab").requests == 1, "another day"
    assert book.rest_of_day() >= 1
    clock.seconds -= jump
    assert book.today("lab").requests == 1


def test_old_days_go_and_the_day_in_use_stays() -> None:
    clock = Clock(MIDNIGHT + HOUR)
    book = Daybook(clock)
    for _ in range(30):
        book.sent("lab")
        clock.seconds += 24 * HOUR
    assert len(book.document()["days"]) == spending.DAYS


def test_many_providers_are_bounded() -> None:
    book = Daybook(Clock(MIDNIGHT))
    for number in range(spending.PROVIDERS + 5):
        book.sent(f"p{number}")
    ((_, rows),) = book.document()["days"].items()
    assert len(rows) == spending.PROVIDERS


@pytest.mark.parametrize(
    ("limits", "spent", "says"),
    [
        ({"requests_per_day": 2}, Spent(requests=2), "its limit of 2 requests a day"),
        ({"requests_per_day": 1}, Spent(requests=1), "its limit of 1 request a day"),
        ({"tokens_per_day": 5000}, Spent(0, 4000, 1000), "its limit of 5,000 tokens a day"),
        ({"usd_per_day": 1.5}, Spent(usd=1.51), "its limit of $1.50 a day"),
        ({"requests_per_day": 0}, Spent(), "its limit of 0 requests a day"),
    ],
)
def test_a_limit_that_is_reached_says_which_and_what_to_do(
    limits: dict[str, object], spent: Spent, says: str
) -> None:
    book = Daybook(Clock(MIDNIGHT))
    book.answered("lab", spent)
    with pytest.raises(LimitReached, match=says.replace("$", r"\$")) as caught:
        book.check(provider(**limits))
    (name,) = limits
    assert f"config set providers.lab.limits.{name} NUMBER" in caught.value.message
    assert caught.value.status == 429
    assert int(caught.value.retry_after) >= 1


def test_below_a_limit_nothing_is_said() -> None:
    book = Daybook(Clock(MIDNIGHT))
    book.answered("lab", Spent(1, 10, 10, 0.1))
    book.answered("other", Spent(100, 1000, 1000, 100))
    book.check(provider(requests_per_day=2, tokens_per_day=21, usd_per_day=0.11))
    book.check(provider())


def test_what_it_costs() -> None:
    assert cost(1_000_000, 500_000, 2.0, 8.0, Limits()) == 6.0
    assert cost(1, 1, None, 8.0, Limits()) is None
    assert cost(1_000_000, 1_000_000, None, None, Limits(fallback_price=(1.0, 2.0))) == 3.0
    assert cost(1_000_000, 0, 5.0, 5.0, Limits(fallback_price=(1.0, 2.0))) == 5.0


# the file


async def _settled() -> None:
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_the_counts_outlive_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ollama_bridge.ledger.SOON", 0.0)
    clock = Clock(MIDNIGHT)
    first = _ledger(tmp_path, clock)
    first.book.sent("lab")
    first.book.answered("lab", Spent(0, 7, 5, 0.25, 1, 1))
    await asyncio.sleep(0.01)  # the timer of zero seconds
    await _settled()
    assert _ledger(tmp_path, clock).book.today("lab") == Spent(1, 7, 5, 0.25, 1, 1)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0 or os.name == "nt"


async def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    first = _ledger(tmp_path, Clock(MIDNIGHT))
    first.book.sent("lab")
    assert not (tmp_path / NAME).exists(), "not on the way of a request"
    first.close()
    assert _ledger(tmp_path, Clock(MIDNIGHT)).book.today("lab").requests == 1


def _ledger(state: Path, clock: Clock) -> Ledger:
    book = Daybook(clock)
    ledger = Ledger(state, book)
    book.tell = lambda *_: ledger.changed()
    return ledger


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"days": 3}',
        '{"days": {"d": {"lab": {}}}}',
        json.dumps({"days": {"d": {"lab": dict.fromkeys(Spent.__slots__, -1)}}}),
        json.dumps({"days": {"d": {"lab": dict.fromkeys(Spent.__slots__, "x")}}}),
        '{"days": {"d": {"lab": {"requests": NaN}}}}',
        "\0\xff",
    ],
)
def test_a_file_that_is_spoiled_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    ledger = _ledger(tmp_path, Clock(MIDNIGHT))
    assert ledger.book.today("lab") == Spent()
    assert "counted from zero" in caplog.text
    assert (tmp_path / "spending.unreadable").read_bytes() == text.encode("latin-1")


async def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = _ledger(tmp_path, Clock(MIDNIGHT))
    (tmp_path / NAME).mkdir()
    for _ in range(3):
        ledger.book.sent("lab")
        ledger.close()
    assert caplog.text.count("cannot be kept over a restart") == 1
    assert ledger.book.today("lab").requests == 3
