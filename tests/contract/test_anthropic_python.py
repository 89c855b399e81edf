"""Anthropic's official Python client, unmodified, against a live bridge."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, MessageParam
from fake_upstream import Call, FakeUpstream
from pydantic import BaseModel

Bridged = Callable[..., tuple[str, FakeUpstream]]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
BLUE: list[MessageParam] = [{"role": "user", "content": "Say blue, then 😀 and \u2028."}]
QUESTION: list[MessageParam] = [
    {"role": "user", "content": "What is the weather in Paris? Use the tool."}
]
TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "Tell the weather in a city",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
        "cache_control": {"type": "ephemeral"},
    }
]


@pytest.fixture
def client(demo_bridge: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=demo_bridge, api_key="anything", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(demo_bridge: str) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=demo_bridge, auth_token="anything", max_retries=0) as client:
        yield client


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def check(message: Message, stop_reason: str = "end_turn") -> None:
    """What holds for every message."""
    assert (message.type, message.role, message.model) == ("message", "assistant", "demo")
    assert message.id.startswith("msg_")
    assert message.stop_reason == stop_reason
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_text(client: Anthropic) -> None:
    message = client.messages.create(model="demo", max_tokens=300, messages=BLUE)
    check(message)
    assert "Say blue" in text_of(message)
    assert message._request_id


def test_streamed_text_is_the_same(client: Anthropic) -> None:
    whole = client.messages.create(model="demo", max_tokens=300, messages=BLUE)
    with client.messages.stream(model="demo", max_tokens=300, messages=BLUE) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 5
    assert "".join(pieces) == text_of(final) == text_of(whole)
    check(final)
    assert final.usage == whole.usage


def test_raw_events_come_in_order(client: Anthropic) -> None:
    stream = client.messages.create(model="demo", max_tokens=300, messages=BLUE, stream=True)
    kinds = [event.type for event in stream]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_system_as_text_and_as_blocks(client: Anthropic) -> None:
    for system in (
        "Be kind.",
        [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
    ):
        message = client.messages.create(model="demo", max_tokens=300, system=system, messages=BLUE)
        assert "Be kind." in text_of(message)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_round_trip_with_a_tool(client: Anthropic, streamed: bool) -> None:
    def ask(messages: list[MessageParam]) -> Message:
        if not streamed:
            return client.messages.create(
                model="demo", max_tokens=300, tools=TOOLS, messages=messages
            )
        with client.messages.stream(
            model="demo", max_tokens=300, tools=TOOLS, messages=messages
        ) as stream:
            return stream.get_final_message()

    first = ask(QUESTION)
    check(first, "tool_use")
    (use,) = [block for block in first.content if block.type == "tool_use"]
    assert (use.name, use.input) == ("get_weather", {"city": "Paris"})
    result: Any = {
        "type": "tool_result",
        "tool_use_id": use.id,
        "content": [{"type": "text", "text": "It is sunny in Paris."}],
    }
    last = ask([*QUESTION, first.to_param(), {"role": "user", "content": [result]}])
    check(last)
    assert "sunny in Paris" in text_of(last)


def test_a_tool_can_be_demanded_or_forbidden(client: Anthropic) -> None:
    demanded = client.messages.create(
        model="demo",
        max_tokens=300,
        tools=TOOLS,
        tool_choice={"type": "tool", "name": "get_weather"},
        messages=BLUE,
    )
    assert demanded.stop_reason == "tool_use"
    forbidden = client.messages.create(
        model="demo", max_tokens=300, tools=TOOLS, tool_choice={"type": "none"}, messages=QUESTION
    )
    assert forbidden.stop_reason == "end_turn"


@pytest.mark.parametrize("source", ["base64", "url"])
def test_images(bridged: Bridged, client: Anthropic, source: str) -> None:
    images: dict[str, Any] = {
        "base64": {"type": "base64", "media_type": "image/png", "data": PNG},
        "url": {"type": "url", "url": "https://example.org/cat.png"},
    }
    content: Any = [
        {"type": "image", "source": images[source]},
        {"type": "text", "text": "What is it?"},
    ]
    url, upstream = bridged(said("A cat."))
    with Anthropic(base_url=url, api_key="x", max_retries=0) as other:
        message = other.messages.create(
            model="m", max_tokens=300, messages=[{"role": "user", "content": content}]
        )
    assert text_of(message) == "A cat."
    parts = upstream.calls[0].body["messages"][0]["content"]
    shown = {"base64": f"data:image/png;base64,{PNG}", "url": "https://example.org/cat.png"}
    assert parts == [
        {"type": "image_url", "image_url": {"url": shown[source]}},
        {"type": "text", "text": "What is it?"},
    ]
    if source == "base64":
        seen = client.messages.create(
            model="demo", max_tokens=300, messages=[{"role": "user", "content": content}]
        )
        assert "image/png" in text_of(seen)


def said(text: str) -> Callable[[Call], Any]:
    async def act(call: Call) -> None:
        await call.json(
            {
                "choices": [
                    {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                ]
            }
        )

    return act


def test_documents(client: Anthropic) -> None:
    plain: Any = {
        "type": "document",
        "title": "Poem",
        "source": {"type": "text", "media_type": "text/plain", "data": "Roses are red."},
    }
    message = client.messages.create(
        model="demo", max_tokens=300, messages=[{"role": "user", "content": [plain]}]
    )
    assert "Roses are red." in text_of(message)
    pdf: Any = {
        "type": "document",
        "source": {
            "type": "base64",
            "media_type": "application/pdf",
            "data": base64.b64encode(b"%PDF").decode(),
        },
    }
    with pytest.raises(anthropic.BadRequestError, match="application/pdf are not supported"):
        client.messages.create(
            model="demo", max_tokens=300, messages=[{"role": "user", "content": [pdf]}]
        )


def test_thinking_comes_first_and_can_be_sent_back(client: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model="demo", max_tokens=2000, thinking=thinking, messages=BLUE
    ) as stream:
        kinds = [event.type for event in stream if event.type in ("thinking", "signature", "text")]
        message = stream.get_final_message()
    assert kinds == sorted(kinds, key=["thinking", "signature", "text"].index)
    assert [block.type for block in message.content] == ["thinking", "text"]
    thought = message.content[0]
    assert thought.type == "thinking"
    assert thought.thinking
    assert thought.signature
    again: list[MessageParam] = [*BLUE, message.to_param(), {"role": "user", "content": "And red."}]
    check(client.messages.create(model="demo", max_tokens=2000, thinking=thinking, messages=again))


def test_no_thinking_when_told_not_to(client: Anthropic) -> None:
    message = client.messages.create(
        model="demo", max_tokens=300, thinking={"type": "disabled"}, messages=BLUE
    )
    assert [block.type for block in message.content] == ["text"]


class Country(BaseModel):
    name: str
    capital: str


def test_structured_output(client: Anthropic) -> None:
    message = client.messages.parse(
        model="demo",
        max_tokens=300,
        output_format=Country,
        messages=[{"role": "user", "content": "Tell me about Canada."}],
    )
    assert isinstance(message.parsed_output, Country)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_limit(client: Anthropic, streamed: bool) -> None:
    if streamed:
        with client.messages.stream(model="demo", max_tokens=3, messages=BLUE) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(model="demo", max_tokens=3, messages=BLUE)
    check(message, "max_tokens")
    assert message.usage.output_tokens == 3


def test_a_stop_sequence_that_the_upstream_names(bridged: Bridged) -> None:
    async def act(call: Call) -> None:
        choice = {"message": {"content": "one "}, "finish_reason": "stop", "stop_reason": "END"}
        await call.json(
            {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
        )

    url, _ = bridged(act)
    with Anthropic(base_url=url, api_key="x", max_retries=0) as client:
        message = client.messages.create(
            model="m", max_tokens=9, stop_sequences=["END"], messages=BLUE
        )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 2)


def test_count_tokens(client: Anthropic) -> None:
    few = client.messages.count_tokens(model="demo", messages=BLUE).input_tokens
    more = client.messages.count_tokens(
        model="demo", messages=BLUE, system="x" * 400, tools=TOOLS
    ).input_tokens
    assert few > 0
    assert more > few + 100


def test_the_beta_client(client: Anthropic) -> None:
    message = client.beta.messages.create(
        model="demo", max_tokens=300, messages=BLUE, betas=["context-1m-2025-08-07"]
    )
    assert message.stop_reason == "end_turn"
    assert client.beta.messages.count_tokens(model="demo", messages=BLUE).input_tokens > 0


@pytest.mark.parametrize(
    ("fields", "kind", "status", "text"),
    [
        (
            {"model": "claude-sonnet-4"},
            anthropic.NotFoundError,
            404,
            "ollama-bridge models alias claude-sonnet-4",
        ),
        (
            {"max_tokens": 0},
            anthropic.BadRequestError,
            400,
            "max_tokens is required and must be positive",
        ),
        ({"messages": []}, anthropic.BadRequestError, 400, "messages is required"),
        (
            {"model": "demo-embed"},
            anthropic.BadRequestError,
            400,
            '"demo-embed" does not support chat',
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: Anthropic,
    fields: dict[str, Any],
    kind: type[anthropic.APIStatusError],
    status: int,
    text: str,
    stream: bool,
) -> None:
    with pytest.raises(kind) as caught:
        client.messages.create(
            **{"model": "demo", "max_tokens": 9, "messages": BLUE, **fields}, stream=stream
        )
    assert caught.value.status_code == status
    body = caught.value.body
    assert isinstance(body, dict)
    assert text in body["error"]["message"]
    assert body["request_id"] == caught.value.request_id


async def refuse_key(call: Call) -> None:
    await call.json({"error": {"message": "bad key"}}, 401)


def test_a_refused_key_is_not_the_clients_and_is_not_tried_again(bridged: Bridged) -> None:
    url, upstream = bridged(refuse_key)
    with (
        Anthropic(base_url=url, api_key="x", max_retries=3) as client,
        pytest.raises(anthropic.InternalServerError) as caught,
    ):
        client.messages.create(model="m", max_tokens=9, messages=BLUE)
    assert caught.value.status_code == 502
    assert "ollama-bridge keys set fake" in caught.value.message
    assert len(upstream.calls) == 1


def test_an_error_in_mid_stream_is_raised(bridged: Bridged) -> None:
    heard = threading.Event()

    async def act(call: Call) -> None:
        await call.start()
        await call.text("Hel")
        assert await asyncio.to_thread(heard.wait, 5)
        await call.event({"error": {"message": "too many", "code": 429}})
        await call.write("", more=False)

    url, _ = bridged(act)
    got: list[str] = []

    def listen(client: Anthropic) -> None:
        with client.messages.stream(model="m", max_tokens=9, messages=BLUE) as stream:
            for text in stream.text_stream:
                got.append(text)
                heard.set()

    with (
        Anthropic(base_url=url, api_key="x", max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError, match="too many"),
    ):
        listen(client)
    assert got == ["Hel"]


async def test_async_text_tools_and_count(async_client: AsyncAnthropic) -> None:
    whole = await async_client.messages.create(model="demo", max_tokens=300, messages=BLUE)
    check(whole)
    async with async_client.messages.stream(model="demo", max_tokens=300, messages=BLUE) as stream:
        pieces = [text async for text in stream.text_stream]
        check(await stream.get_final_message())
    assert "".join(pieces) == text_of(whole)
    called = await async_client.messages.create(
        model="demo", max_tokens=300, tools=TOOLS, messages=QUESTION
    )
    assert called.stop_reason == "tool_use"
    assert (await async_client.messages.count_tokens(model="demo", messages=BLUE)).input_tokens > 0


async def test_async_errors(async_client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await async_client.messages.create(model="nope", max_tokens=9, messages=BLUE)
    assert json.loads(caught.value.response.text)["type"] == "error"
