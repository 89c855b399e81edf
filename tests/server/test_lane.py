"""The queue, the width and the breaker of one provider, on a clock that stands still."""

import asyncio

import pytest

from ollama_bridge.errors import ServerBusy, UpstreamFailed
from ollama_bridge.server.lane import BUSY, FAILURES, LONGEST_REST, REST, Lane


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(status: int | None, wait: float | None = None) -> UpstreamFailed:
    error = UpstreamFailed("acme: no", status=502, upstream_status=status)
    error.wait = wait
    return error


async def steps() -> None:
    """Let every task that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_one_who_waited_longest_is_next(clock: Clock) -> None:
    lane, order = Lane(1, clock), []
    await lane.enter()

    async def wait(name: str) -> None:
        await lane.enter()
        order.append(name)

    waiting = [asyncio.ensure_future(wait(name)) for name in "abc"]
    await steps()
    assert lane.condition().waiting == 3
    for seen in ("a", "ab", "abc"):
        lane.leave()
        await steps()
        assert "".join(order) == seen
    lane.leave()
    assert (lane.condition().running, lane.condition().waiting) == (0, 0)
    await asyncio.gather(*waiting)


async def test_one_too_many_is_told_that_the_server_is_busy(clock: Clock) -> None:
    lane = Lane(1, clock, queue=1)
    await lane.enter()
    second = asyncio.ensure_future(lane.enter())
    await steps()
    with pytest.raises(ServerBusy) as caught:
        await lane.enter()
    assert (caught.value.status, caught.value.message) == (503, BUSY)
    lane.leave()
    await second


@pytest.mark.parametrize("place_came", [False, True])
async def test_who_hangs_up_leaves_no_place_taken(clock: Clock, place_came: bool) -> None:
    lane = Lane(1, clock)
    await lane.enter()
    waiting = asyncio.ensure_future(lane.enter())
    await steps()
    if place_came:
        lane.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not place_came:
        lane.leave()
    assert (lane.condition().running, lane.condition().waiting) == (0, 0)


async def test_a_place_given_to_one_who_is_just_going(clock: Clock) -> None:
    lane = Lane(1, clock)
    await lane.enter()
    waiting = asyncio.ensure_future(lane.enter())
    await steps()
    waiting.cancel()
    lane.leave()  # before the one who waited could say that it is gone
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (lane.condition().running, lane.condition().waiting) == (0, 0)


async def test_too_many_requests_makes_it_narrower_and_good_answers_wider(clock: Clock) -> None:
    lane = Lane(100, clock)
    for _ in range(8):
        await lane.enter()
    lane.failed(refused(429))
    assert lane.condition().limit == 4
    lane.failed(refused(429))
    assert lane.condition().limit == 4, "refusals that came together count once"
    clock.now += 2
    lane.failed(refused(429))
    assert lane.condition().limit == 2
    for _ in range(2):
        lane.worked()
    assert lane.condition().limit == 3
    for _ in range(3):
        lane.worked()
    assert lane.condition().limit == 4


async def test_it_never_closes(clock: Clock) -> None:
    lane = Lane(2, clock)
    for _ in range(9):
        clock.now += 2
        lane.failed(refused(429))
    assert lane.condition().limit == 1
    await asyncio.wait_for(lane.enter(), 1)


async def test_the_breaker_opens_rests_and_lets_one_try(clock: Clock) -> None:
    lane = Lane(9, clock)
    for _ in range(FAILURES):
        assert not lane.is_open()
        lane.failed(refused(500))
    assert lane.is_open()
    assert lane.condition().state == "failing"
    assert lane.condition().resting == REST
    clock.now += REST
    assert not lane.is_open(), "one request may try"
    await lane.enter()
    assert lane.is_open(), "the others still go elsewhere"
    assert lane.condition().state == "trying"
    lane.failed(refused(500))
    lane.leave()
    assert lane.condition().resting == 2 * REST
    lane.worked()
    assert not lane.is_open()
    assert lane.condition().state == "ok"


async def test_rests_have_an_end(clock: Clock) -> None:
    lane = Lane(9, clock)
    for _ in range(40):
        lane.failed(refused(None))
    assert lane.condition().resting == LONGEST_REST
    lane.failed(refused(503, wait=1e9))
    assert lane.condition().resting == LONGEST_REST


async def test_a_request_that_is_wrong_says_nothing_against_the_provider(clock: Clock) -> None:
    lane = Lane(9, clock)
    for status in (400, 404, 413, 422) * FAILURES:
        lane.failed(refused(status))
    assert lane.condition().state == "ok"
