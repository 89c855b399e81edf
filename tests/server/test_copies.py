"""Copies of the daemon behind a load balancer: which one answers must not be seen."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridges import NoKeys
from fake_upstream import Act, Call, FakeUpstream
from servers import served

from ollama_bridge.config import Config, Server
from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.server.app import build

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
ASK = {
    "model": "m",
    "messages": [{"role": "user", "content": "1 + 1?"}],
    "tools": TOOLS,
    "stream": False,
}
LISTS: list[tuple[str, str, Any]] = [
    ("GET", "/", None),
    ("GET", "/api/version", None),
    ("GET", "/api/tags", None),
    ("GET", "/api/ps", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/m", None),
    ("POST", "/api/show", {"model": "m"}),
    ("POST", "/api/show", {"model": "mine"}),
    ("POST", "/api/show", {"model": "nobody"}),
    ("POST", "/v1/messages/count_tokens", {"model": "m", "messages": ASK["messages"]}),
]


class Copies:
    """Two daemons with the same settings, started at different times."""

    def __init__(self, stack: ExitStack, act: Act, *, behind: bool, **options: Any) -> None:
        self.upstream = FakeUpstream(act, models=("m", "n", "gemini-3"))
        url = stack.enter_context(served(self.upstream))
        row = replace(Provider(name="fake", url=f"{url}/v1", key="none", retries=0), **options)
        config = Config(
            path=Path("config.toml"),
            server=Server(behind_balancer=behind),
            providers={"fake": row},
            aliases={"mine": Alias(("m",), system="Be brief.", parameters={"temperature": 0.5})},
            default_provider="fake",
        )
        clocks = (1_700_000_000_000_000_000, 1_800_000_000_000_000_000)
        apps = [
            build(config, keys=NoKeys(), token="t", clock=lambda now=now: now) for now in clocks
        ]
        self.urls = [stack.enter_context(served(app)) for app in apps]
        for each in self.urls:
            while len(httpx.get(f"{each}/api/tags", timeout=60).json()["models"]) < 4:
                pass  # a listing waits for a list, but not for ever

    def told(self, method: str, path: str, body: Any) -> list[tuple[Any, ...]]:
        """Status, kind and body of each copy's answer."""
        return [
            (reply.status_code, reply.headers["content-type"], reply.content)
            for reply in (
                httpx.request(method, f"{url}{path}", json=body, timeout=60) for url in self.urls
            )
        ]


@pytest.fixture
def copies() -> Iterator[Callable[..., Copies]]:
    with ExitStack() as stack:
        yield lambda act, behind=True, **options: Copies(stack, act, behind=behind, **options)


async def answers(call: Call) -> None:
    choice = {"index": 0, "message": {"content": "two"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    await call.json({"id": "c1", "created": 5, "choices": [choice], "usage": usage})


async def has_no_tools(call: Call) -> None:
    if "tools" in call.body:
        await call.json({"error": {"message": "this model does not support tools"}}, 400)
    else:
        await answers(call)


@pytest.mark.parametrize(("method", "path", "body"), LISTS)
def test_listings_are_the_same_bytes(
    copies: Callable[..., Copies], method: str, path: str, body: Any
) -> None:
    both = copies(has_no_tools)
    # only the first copy is used, and learns something
    first = both.urls[0]
    httpx.post(f"{first}/api/chat", json={**ASK, "tools": [], "keep_alive": "9h"}, timeout=60)
    assert httpx.post(f"{first}/api/chat", json=ASK, timeout=60).status_code == 400
    one, other = both.told(method, path, body)
    assert one == other


def test_a_daemon_that_is_alone_tells_what_it_has_noticed(copies: Callable[..., Copies]) -> None:
    both = copies(has_no_tools, behind=False)
    first = both.urls[0]
    httpx.post(f"{first}/api/chat", json={**ASK, "tools": []}, timeout=60)
    assert httpx.post(f"{first}/api/chat", json=ASK, timeout=60).status_code == 400
    one, other = both.told("GET", "/api/tags", None)
    assert one != other
    one, other = both.told("GET", "/api/ps", None)
    assert one != other


TIMES = ("created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def _without_times(body: bytes) -> Any:
    said = json.loads(body)
    return {key: value for key, value in said.items() if key not in (*TIMES, "id", "created")}


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/api/chat", {}),
        ("/api/generate", {"prompt": "1 + 1?"}),
        ("/v1/chat/completions", {}),
        ("/v1/messages", {"max_tokens": 5}),
    ],
)
def test_answers_differ_in_times_and_ids_alone(
    copies: Callable[..., Copies], path: str, more: dict[str, Any]
) -> None:
    body = {"model": "m", "messages": ASK["messages"], "stream": False, **more}
    one, other = copies(answers).told("POST", path, body)
    assert one[:2] == other[:2] == (200, one[1])
    assert _without_times(one[2]) == _without_times(other[2])


# thoughts behind a call, when its result comes to another copy


def wants(accepts: Callable[[dict[str, Any]], bool], refusal: str) -> Act:
    """Calls a tool; takes its result only with what `accepts` finds in the turn of the call."""

    async def act(call: Call) -> None:
        turn = next((each for each in call.body["messages"] if each.get("tool_calls")), None)
        if turn is None:
            function = {"name": "add", "arguments": "{}"}
            signed = {"google": {"thought_signature": "c2ln"}}
            called = {"id": "call_1", "type": "function", "function": function}
            called["extra_content"] = signed
            message = {"content": "", "reasoning_content": "I add.", "tool_calls": [called]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            await call.json({"choices": [choice], "usage": {"prompt_tokens": 1}})
        elif accepts(turn):
            await answers(call)
        else:
            await call.json({"error": {"message": refusal}}, 400)

    return act


def _signature(turn: dict[str, Any]) -> Any:
    extra = turn["tool_calls"][0].get("extra_content") or {}
    return extra.get("google", {}).get("thought_signature")


MISSING = "The `reasoning_content` in the thinking mode must be passed back to the API."
UNSIGNED = (
    "Function call is missing a thought_signature in functionCall parts. This is required for "
    "tools to work correctly."
)


@pytest.mark.parametrize(
    ("needs", "status"),
    [
        (wants(lambda turn: "reasoning_content" in turn, MISSING), 200),
        (wants(lambda turn: _signature(turn) is not None, UNSIGNED), 200),
        (wants(lambda turn: turn.get("reasoning_content") == "I add.", MISSING), 400),
    ],
    ids=["a text, even an empty one", "a signature, or the placeholder", "the very text"],
)
def test_a_result_at_another_copy(copies: Callable[..., Copies], needs: Act, status: int) -> None:
    both = copies(needs)
    first, second = both.urls
    asked = ASK | {"model": "gemini-3"}  # the one known to sign its calls
    reply = httpx.post(f"{first}/api/chat", json=asked, timeout=60).json()
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": "", "tool_calls": reply["message"]["tool_calls"]},
        {"role": "tool", "content": "2", "tool_name": "add"},
    ]
    same = httpx.post(f"{first}/api/chat", json={**asked, "messages": turns}, timeout=60)
    assert same.status_code == 200, "the copy that knows always has an answer"
    other = httpx.post(f"{second}/api/chat", json={**asked, "messages": turns}, timeout=60)
    assert other.status_code == status
    if status == 200:
        assert other.json()["message"]["content"] == "two"
    else:
        assert "reasoning_content" in other.json()["error"], "it says what is missing"


def test_clients_that_keep_thoughts_have_an_answer_from_every_copy(
    copies: Callable[..., Copies],
) -> None:
    needs = wants(lambda turn: turn.get("reasoning_content") == "I add.", MISSING)
    first, second = copies(needs).urls
    reply = httpx.post(f"{first}/v1/chat/completions", json=ASK, timeout=60).json()
    turns = [
        *ASK["messages"],
        reply["choices"][0]["message"],
        {"role": "tool", "content": "2", "tool_call_id": "call_1"},
    ]
    for path in ("/v1/chat/completions",):
        other = httpx.post(f"{second}{path}", json={**ASK, "messages": turns}, timeout=60)
        assert other.status_code == 200
    native = httpx.post(f"{first}/api/chat", json={**ASK, "think": True}, timeout=60).json()
    turns = [*ASK["messages"], native["message"], {"role": "tool", "content": "2"}]
    other = httpx.post(
        f"{second}/api/chat", json={**ASK, "think": True, "messages": turns}, timeout=10
    )
    assert other.status_code == 200, "Ollama's clients that send `thinking` back"


def test_presets_that_want_signatures_name_the_placeholder() -> None:
    assert any("signed_calls" in row.quirks for row in PRESETS.values())
