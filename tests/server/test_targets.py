"""An alias with several targets: who is asked, and what the client is told."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Act, Call, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Alias, Provider

ASK = {"model": "both", "messages": [{"role": "user", "content": "hi"}]}


async def answers(call: Call) -> None:
    if call.path.endswith("/embeddings"):
        await call.json({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}})
        return
    await call.start()
    await call.text(f"from {call.body['model']}", "stop")
    await call.write("data: [DONE]\n\n", more=False)


def refuses(status: int, message: str = "no") -> Act:
    async def act(call: Call) -> None:
        await call.json({"error": {"message": message}}, status)

    return act


async def breaks_first(call: Call) -> None:
    await call.start()
    await call.event({"error": {"message": "overloaded"}})


async def breaks_later(call: Call) -> None:
    await call.start()
    await call.text("half a")


class Pair:
    """A bridge whose model `both` stands for `first/one`, then `second/two`."""

    def __init__(self, stack: ExitStack, first: Act, second: Act) -> None:
        self.first = FakeUpstream(first, models=("one",))
        self.second = FakeUpstream(second, models=("two",))
        urls = [stack.enter_context(served(each)) for each in (self.first, self.second)]
        rows = [
            Provider(name=name, url=f"{url}/v1", key="none")
            for name, url in zip(("first", "second"), urls, strict=True)
        ]
        both = Alias(targets=("first/one", "second/two"))
        self.url = stack.enter_context(served(bridge_app(*rows, aliases={"both": both})))

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=10)

    @property
    def asked(self) -> tuple[int, int]:
        return len(self.first.calls), len(self.second.calls)


@pytest.fixture
def pair() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda first, second=answers: Pair(stack, first, second)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 502, 503])
def test_the_second_answers_where_the_first_does_not(pair: Any, status: int) -> None:
    both = pair(refuses(status))
    reply = both.post("/api/chat", ASK)
    assert reply.status_code == 200
    assert "from two" in reply.text
    assert reply.headers["x-ollama-bridge-model"] == "second/two"
    assert both.asked[1] == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {**ASK, "stream": False}),
        ("/api/generate", {"model": "both", "prompt": "hi"}),
        ("/api/embed", {"model": "both", "input": "hi"}),
        ("/api/embeddings", {"model": "both", "prompt": "hi"}),
        ("/v1/chat/completions", ASK),
        ("/v1/completions", {"model": "both", "prompt": "hi"}),
        ("/v1/embeddings", {"model": "both", "input": "hi"}),
        ("/v1/responses", {"model": "both", "input": "hi", "stream": True}),
        ("/v1/messages", {**ASK, "max_tokens": 9, "stream": True}),
    ],
)
def test_on_every_route(pair: Any, path: str, body: Any) -> None:
    both = pair(refuses(403))
    reply = both.post(path, body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-ollama-bridge-model"] == "second/two"
    assert both.second.calls[0].body["model"] == "two"


def test_a_request_that_is_wrong_is_wrong_everywhere(pair: Any) -> None:
    both = pair(refuses(400, "max_tokens is too large"))
    reply = both.post("/api/chat", ASK)
    assert reply.status_code == 400
    assert "max_tokens is too large" in reply.json()["error"]
    assert both.asked[1] == 0


def test_an_error_in_the_first_event_is_before_the_first_byte(pair: Any) -> None:
    both = pair(breaks_first)
    assert "from two" in both.post("/api/chat", ASK).text


def test_after_the_first_byte_there_is_no_second_attempt(pair: Any) -> None:
    both = pair(breaks_later)
    lines = [json.loads(line) for line in both.post("/api/chat", ASK).text.splitlines()]
    assert lines[0]["message"]["content"] == "half a"
    assert lines[-1]["error"].startswith("first ")
    assert both.asked == (1, 0)


def test_when_nobody_answers_the_last_one_tells_why(pair: Any) -> None:
    both = pair(refuses(503, "busy"), refuses(402, "no credit"))
    reply = both.post("/api/chat", ASK)
    assert reply.status_code == 402
    assert "second: no credit" in reply.json()["error"]


def test_a_model_of_ones_own_is_made_for_each_target(pair: Any) -> None:
    both = pair(refuses(503))
    reply = both.post("/v1/chat/completions", ASK)
    assert reply.status_code == 200
    assert both.second.calls[0].body["messages"] == ASK["messages"]
