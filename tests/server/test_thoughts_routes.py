"""Thoughts behind calls on every route: put back for whoever thought them, and for nobody else."""

import abc
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Act, Call, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Alias, Provider

Body = dict[str, Any]

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
DETAILS = [{"type": "reasoning.encrypted", "data": "gAAAA", "format": "acme-v1", "index": 0}]
THOUGHTS: dict[str, Body] = {
    "thoughts (D6)": {"reasoning_content": "I add."},
    "reasoning parts (D7)": {"reasoning_details": DETAILS},
    "a signature (D8)": {"extra_content": SIGNED},
}
"""Beside the message, but for the signature, which stands beside the call."""


def answering(said: Body, name: str = "add") -> Act:
    """Thinks and calls; once there is a result it says so."""
    delta = {key: value for key, value in said.items() if key != "extra_content"}
    signature = {key: value for key, value in said.items() if key == "extra_content"}
    count = 0

    async def act(call: Call) -> None:
        nonlocal count
        if call.body["messages"][-1]["role"] == "tool":
            message: Body = {"content": "two"}
            finish = "stop"
        else:
            count += 1
            function = {"name": name, "arguments": '{"a": 1}'}
            head = {"index": 0, "id": f"call_{count}", "type": "function", "function": function}
            message = {"tool_calls": [head | signature]} | delta
            finish = "tool_calls"
        if not call.body.get("stream"):
            whole = {"role": "assistant", "content": None} | message
            await call.json({"choices": [{"index": 0, "message": whole, "finish_reason": finish}]})
            return
        await call.start()
        for key, value in message.items():
            await call.event({"choices": [{"index": 0, "delta": {key: value}}]})
        await call.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        await call.write("data: [DONE]\n\n", more=False)

    return act


class Talk(abc.ABC):
    """A client of one route that drops whatever it need not send back."""

    def __init__(self, url: str, stream: bool) -> None:
        self.url, self.stream, self.turns = url, stream, [self.says("1 + 1?")]

    def says(self, text: str) -> Body:
        return {"role": "user", "content": text}

    def post(self, path: str, **body: Any) -> list[Body]:
        body |= {"model": "m", "stream": self.stream}
        reply = httpx.post(f"{self.url}{path}", json=body, timeout=10)
        assert reply.status_code == 200, reply.text
        lines = [line.removeprefix("data: ") for line in reply.text.splitlines()]
        return [json.loads(line) for line in lines if line[:1] == "{"]

    @abc.abstractmethod
    def ask(self) -> None:
        """Ask, and add the call and its result to the talk."""


class Ollama(Talk):
    def ask(self) -> None:
        tool = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
        lines = self.post("/api/chat", messages=self.turns, tools=[tool])
        calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
        if calls:
            self.turns += [{"role": "assistant", "tool_calls": calls}]
            self.turns += [{"role": "tool", "tool_name": "add", "content": "2"}]


class OpenAI(Talk):
    def ask(self) -> None:
        tool = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
        lines = self.post("/v1/chat/completions", messages=self.turns, tools=[tool])
        said = [
            line["choices"][0].get("delta") or line["choices"][0].get("message") for line in lines
        ]
        calls = [call for part in said for call in (part or {}).get("tool_calls", ())]
        if calls:
            plain = [{key: call[key] for key in ("id", "type", "function")} for call in calls]
            self.turns += [{"role": "assistant", "content": None, "tool_calls": plain}]
            self.turns += [{"role": "tool", "tool_call_id": plain[0]["id"], "content": "2"}]


class Anthropic(Talk):
    def ask(self) -> None:
        tool = {"name": "add", "input_schema": SCHEMA}
        lines = self.post("/v1/messages", messages=self.turns, tools=[tool], max_tokens=99)
        blocks = [block for line in lines for block in line.get("content", ())]
        blocks += [line["content_block"] for line in lines if "content_block" in line]
        for block in blocks:
            if block["type"] == "tool_use":
                result = {"type": "tool_result", "tool_use_id": block["id"], "content": "2"}
                used = block | {"input": {"a": 1}}
                self.turns += [
                    {"role": "assistant", "content": [used]},
                    {"role": "user", "content": [result]},
                ]


class Responses(Talk):
    def ask(self) -> None:
        tool = {"type": "function", "name": "add", "parameters": SCHEMA}
        lines = self.post("/v1/responses", input=self.turns, tools=[tool])
        items = [item for line in lines for item in line.get("output", ())]
        items += [line["item"] for line in lines if line.get("type") == "response.output_item.done"]
        for item in items:
            if item["type"] == "function_call":
                output = {"type": "function_call_output", "call_id": item["call_id"], "output": "2"}
                self.turns += [item, output]


ROUTES = [Ollama, OpenAI, Anthropic, Responses]
Make = Callable[..., tuple[str, FakeUpstream, FakeUpstream]]


@pytest.fixture
def make() -> Iterator[Make]:
    """A bridge with two services behind the one name `m`."""
    with ExitStack() as stack:

        def make(one: Act, two: Act) -> tuple[str, FakeUpstream, FakeUpstream]:
            first, second = FakeUpstream(one), FakeUpstream(two)
            rows = [
                Provider(
                    name=name,
                    url=f"{stack.enter_context(served(upstream))}/v1",
                    key="none",
                    quirks=("thoughts_back",),
                    retries=0,
                )
                for name, upstream in (("one", first), ("two", second))
            ]
            alias = Alias(targets=("one/m", "two/m"))
            app = bridge_app(*rows, aliases={"m": alias})
            return stack.enter_context(served(app)), first, second

        yield make


def calling(upstream: FakeUpstream) -> list[Body]:
    """The turns with calls of the last request; what stood beside their calls moves beside them."""
    turns = [turn for turn in upstream.calls[-1].body["messages"] if turn.get("tool_calls")]
    return [turn | turn["tool_calls"][0] for turn in turns]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", THOUGHTS)
@pytest.mark.parametrize("route", ROUTES)
def test_they_come_back(make: Make, route: type[Talk], kind: str, stream: bool) -> None:
    url, one, two = make(answering(THOUGHTS[kind]), answering({}))
    talk = route(url, stream)
    talk.ask()
    talk.ask()
    (turn,) = calling(one)
    assert turn | THOUGHTS[kind] == turn
    assert two.calls == []


@pytest.mark.parametrize("kind", THOUGHTS)
@pytest.mark.parametrize("route", ROUTES)
def test_another_service_never_sees_them(make: Make, route: type[Talk], kind: str) -> None:
    """The one that thought fails; the other gets the talk without; then the first is back."""
    usual, down = answering(THOUGHTS[kind]), False

    async def act(call: Call) -> None:
        if down:
            await call.json({"error": {"message": "out of order"}}, 503)
        else:
            await usual(call)

    url, one, two = make(act, answering({}))
    talk = route(url, stream=True)
    talk.ask()
    down = True
    talk.ask()
    (turn,) = calling(two)
    for secret in ("I add.", "gAAAA", "c2lnbmVk"):
        assert secret not in json.dumps(two.calls[-1].body)
    assert turn.get("reasoning_content", "") == ""  # what is put in place of lost ones
    down = False
    talk.turns += [talk.says("And now?")]
    talk.ask()
    (turn, *_) = calling(one)
    assert turn | THOUGHTS[kind] == turn


@pytest.mark.parametrize("route", ROUTES)
def test_the_same_call_twice_has_its_own_thoughts_each_time(make: Make, route: type[Talk]) -> None:
    thoughts = iter(["First.", "Second."])

    async def act(call: Call) -> None:
        asked = call.body["messages"][-1]["role"] == "user"
        said = {"reasoning_content": next(thoughts)} if asked else {}
        await answering(said)(call)

    async def with_ids(call: Call) -> None:
        real = call.event
        number = sum(1 for turn in call.body["messages"] if turn["role"] == "user")

        async def event(value: Any) -> None:
            text = json.dumps(value).replace('"call_1"', f'"call_{number}"')
            await real(json.loads(text))

        call.event = event  # type: ignore[method-assign]
        await act(call)

    url, one, _ = make(with_ids, answering({}))
    talk = route(url, stream=True)
    talk.ask()
    talk.ask()
    talk.turns += [talk.says("Again: 1 + 1?")]
    talk.ask()
    talk.ask()
    assert [turn["reasoning_content"] for turn in calling(one)] == ["First.", "Second."]
