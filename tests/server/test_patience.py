"""What is tried again, when, and what the client is told meanwhile: real servers, no real pauses."""

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from fake_upstream import Act, Call

from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.server import patience

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LIMIT = {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}}
QUOTA = {
    "error": {"message": "You exceeded your current quota", "code": "insufficient_quota"},
}


class Pauses:
    """A sleep that takes no time and notes how long it would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def after(times: int, first: Act) -> Act:
    """Behaves like `first` so many times, then answers."""
    left = [times]

    async def act(call: Call) -> None:
        if left[0]:
            left[0] -= 1
            await first(call)
            return
        await call.start()
        await call.text("at last", "stop")
        await call.write("data: [DONE]\n\n", more=False)

    return act


def refuse(status: int, body: Any = LIMIT, **headers: str) -> Act:
    async def act(call: Call) -> None:
        await call.json(body, status, **headers)

    return act


def post(url: str) -> httpx.Response:
    return httpx.post(f"{url}/api/chat", json=ASK, timeout=10)


Bridged = Callable[..., Any]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(bridged: Bridged, pauses: Pauses, status: int) -> None:
    url, upstream = bridged(after(2, refuse(status)), retries=2, sleep=pauses)
    reply = post(url)
    assert reply.status_code == 200
    assert "at last" in reply.text
    assert len(upstream.calls) == 3
    first, second = pauses.seconds
    assert 0.375 <= first <= 0.625
    assert 0.75 <= second <= 1.25


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_waiting_cannot_mend_is_not(bridged: Bridged, pauses: Pauses, status: int) -> None:
    url, upstream = bridged(refuse(status, {"error": {"message": "no"}}), retries=2, sleep=pauses)
    assert post(url).status_code >= 400
    assert (len(upstream.calls), pauses.seconds) == (1, [])


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after": "Tue, 01 Jan 2030 00:00:00 GMT"}, None),
        ({"retry_after": "3600"}, None),
        ({}, 0.375),
    ],
)
def test_too_many_requests(
    bridged: Bridged, pauses: Pauses, headers: dict[str, str], least: float | None
) -> None:
    """Checklist line 17; one that asks for more than we wait is passed on with its header."""
    url, upstream = bridged(after(1, refuse(429, LIMIT, **headers)), retries=2, sleep=pauses)
    reply = post(url)
    if least is None:
        assert (reply.status_code, len(upstream.calls), pauses.seconds) == (429, 1, [])
        assert reply.headers["retry-after"] == headers["retry_after"]
    else:
        assert reply.status_code == 200
        assert pauses.seconds[0] >= least


def test_a_date_soon(bridged: Bridged, pauses: Pauses) -> None:
    date = formatdate(time.time() + 20, usegmt=True)
    url, _ = bridged(after(1, refuse(429, LIMIT, retry_after=date)), retries=2, sleep=pauses)
    assert post(url).status_code == 200
    assert 15 < pauses.seconds[0] <= 20


def test_no_credit_is_said_at_once(bridged: Bridged, pauses: Pauses) -> None:
    """Quirk G10."""
    url, upstream = bridged(refuse(429, QUOTA, retry_after="1"), retries=2, sleep=pauses)
    reply = post(url)
    assert reply.status_code == 429
    assert "quota" in reply.json()["error"]
    assert (len(upstream.calls), pauses.seconds) == (1, [])


def test_a_reset_inside_the_body(bridged: Bridged, pauses: Pauses) -> None:
    """Quirk G12: a router repeats its upstream's headers in the error's metadata."""
    body = {"error": {"message": "slow down", "metadata": {"headers": {"Retry-After": "7"}}}}
    url, _ = bridged(after(1, refuse(429, body)), retries=2, sleep=pauses)
    assert post(url).status_code == 200
    assert pauses.seconds == [7.0]


def test_a_model_that_is_being_loaded_is_waited_for(bridged: Bridged, pauses: Pauses) -> None:
    """Quirk G14: as long as it takes, not only as often as other troubles are tried again."""
    body = {"error": {"message": "Loading model", "code": 503, "type": "unavailable_error"}}
    url, upstream = bridged(after(9, refuse(503, body)), retries=1, sleep=pauses)
    assert post(url).status_code == 200
    assert len(upstream.calls) == 10
    assert pauses.seconds == [patience.LOADING_PAUSE] * 9


def test_the_last_error_stands(bridged: Bridged, pauses: Pauses) -> None:
    url, upstream = bridged(
        refuse(503, {"error": {"message": "no capacity"}}), retries=2, sleep=pauses
    )
    reply = post(url)
    assert (reply.status_code, reply.json()) == (503, {"error": "fake: no capacity"})
    assert len(upstream.calls) == 3


def test_nothing_is_tried_again_once_the_client_was_told_something(
    bridged: Bridged, pauses: Pauses
) -> None:
    async def breaks(call: Call) -> None:
        await call.start()
        await call.text("half a")

    url, upstream = bridged(breaks, retries=2, sleep=pauses)
    lines = [json.loads(line) for line in post(url).text.splitlines()]
    assert "error" in lines[-1]
    assert (len(upstream.calls), pauses.seconds) == (1, [])


PAGE = "<!DOCTYPE html>\n<html><body><h1>Please log in</h1></body></html>\n"
ASKED = {
    "/api/chat": ASK,
    "/api/generate": {"model": "m", "prompt": "hi"},
    "/api/embed": {"model": "m", "input": "hi"},
    "/v1/chat/completions": ASK,
    "/v1/messages": ASK | {"max_tokens": 9},
    "/v1/responses": {"model": "m", "input": "hi"},
}


@pytest.mark.parametrize("kind", ["text/html", "text/event-stream", "application/json"])
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("responses", [True, False])
def test_what_is_no_answer_at_all_is_not_asked_for_again(
    bridged: Bridged, pauses: Pauses, kind: str, path: str, streamed: bool, responses: bool
) -> None:
    """A page with status 200: a portal, or a wrong address; to ask again would change nothing."""

    async def page(call: Call) -> None:
        await call.start(200, kind)
        await call.write(PAGE, more=False)

    url, upstream = bridged(page, retries=2, sleep=pauses, responses=responses)
    reply = httpx.post(f"{url}{path}", json=ASKED[path] | {"stream": streamed}, timeout=10)
    assert reply.status_code == 502
    assert "Please log in" in reply.text
    if path != "/api/embed":
        assert "check the base URL of provider fake" in reply.text
    assert (len(upstream.calls), pauses.seconds) == (1, [])


def test_an_empty_stream_may_be_an_accident(bridged: Bridged, pauses: Pauses) -> None:
    async def nothing(call: Call) -> None:
        await call.start()
        await call.write(": hello\n\n", more=False)

    url, upstream = bridged(after(1, nothing), retries=2, sleep=pauses)
    assert "at last" in post(url).text
    assert len(upstream.calls) == 2


def test_who_hangs_up_in_a_pause_is_not_asked_for_again(bridged: Bridged) -> None:
    paused = asyncio.Event()

    async def forever(_seconds: float) -> None:
        paused.set()
        await asyncio.Event().wait()

    url, upstream = bridged(refuse(503, LIMIT), retries=2, sleep=forever)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/api/chat", json=ASK, timeout=0.5)
    assert paused.is_set()
    assert len(upstream.calls) == 1
    assert httpx.get(f"{url}/api/version", timeout=5).status_code == 200


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_pauses_double_up_to_a_limit(chance: float) -> None:
    error = UpstreamFailed("acme: no", status=503, upstream_status=503)
    found = [patience.pause(error, tries, 9, chance) or 0 for tries in range(9)]
    assert found == sorted(found)
    assert found[-1] == 8 * (0.75 + chance / 2)
    assert patience.pause(error, 9, 9, chance) is None
