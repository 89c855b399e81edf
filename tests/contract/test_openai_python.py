"""The official openai client, unmodified, against a live bridge in front of the demo provider."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from fake_upstream import Call
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

SAY = [{"role": "user", "content": "Say red."}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PNG = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()


class Country(BaseModel):
    name: str
    capital: str
    languages: list[str]


@pytest.fixture
def client(demo_bridge: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{demo_bridge}/v1", api_key="ollama", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(demo_bridge: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{demo_bridge}/v1", api_key="ollama", max_retries=0) as client:
        yield client


def test_models(client: OpenAI) -> None:
    models = list(client.models.list())
    assert {"poet:latest", "demo:latest", "demo-embed:latest"} <= {model.id for model in models}
    assert all(model.object == "model" and model.created and model.owned_by for model in models)


@pytest.mark.parametrize("name", ["demo", "demo:latest", "demo/demo", "poet"])
def test_retrieving_a_model(client: OpenAI, name: str) -> None:
    assert client.models.retrieve(name).id == name


@pytest.mark.parametrize("name", ["demo", "demo/demo:latest", "poet"])
def test_chat(client: OpenAI, name: str) -> None:
    reply = client.chat.completions.create(model=name, messages=SAY)
    assert reply.model == name
    assert "Say red." in (reply.choices[0].message.content or "")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage
    assert reply.usage.completion_tokens


def test_a_stream_says_the_same_and_ends_with_usage(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="demo", messages=SAY)
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=SAY, stream=True, stream_options={"include_usage": True}
        )
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert {chunk.model for chunk in chunks} == {"demo"}
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_the_streaming_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model="demo", messages=SAY) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert "Say red." in (final.choices[0].message.content or "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_two_step_tool_task(client: OpenAI, stream: bool) -> None:
    messages: list[Any] = list(WEATHER)
    if stream:
        with client.chat.completions.stream(
            model="demo", messages=messages, tools=[TOOL]
        ) as events:
            first = events.get_final_completion()
    else:
        first = client.chat.completions.create(model="demo", messages=messages, tools=[TOOL])
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = (choice.message.tool_calls or [])[0]
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    messages += [
        choice.message.to_dict(),
        {"role": "tool", "tool_call_id": call.id, "content": "It is sunny in Paris."},
    ]
    last = client.chat.completions.create(model="demo", messages=messages, tools=[TOOL])
    assert "sunny in Paris" in (last.choices[0].message.content or "")


def test_structured_output(client: OpenAI) -> None:
    question = [{"role": "user", "content": "Tell me about Canada."}]
    reply = client.chat.completions.parse(model="demo", messages=question, response_format=Country)
    assert isinstance(reply.choices[0].message.parsed, Country)


def test_json_mode(client: OpenAI) -> None:
    question = [{"role": "user", "content": "Tell me about Canada in JSON."}]
    reply = client.chat.completions.create(
        model="demo", messages=question, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(reply.choices[0].message.content or ""), dict)


def test_thinking_and_limits(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="demo", messages=SAY, reasoning_effort="high")
    assert reply.choices[0].message.reasoning_content  # type: ignore[attr-defined]
    reply = client.chat.completions.create(model="demo", messages=SAY, max_completion_tokens=3)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage
    assert reply.usage.completion_tokens == 3


def test_images(client: OpenAI) -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    reply = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": parts}]
    )
    assert "image/png" in (reply.choices[0].message.content or "")


def test_logprobs(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="demo", messages=SAY, logprobs=True, top_logprobs=2
    )
    tokens = reply.choices[0].logprobs
    assert tokens
    assert all(len(token.top_logprobs) == 2 for token in tokens.content or ())


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_embeddings(client: OpenAI, encoding: Any) -> None:
    """Without a wish of the user's the client asks for base64 and decodes it itself."""
    more = {} if encoding is None else {"encoding_format": encoding}
    reply = client.embeddings.create(model="demo-embed", input=["one", "two"], dimensions=8, **more)
    assert reply.model == "demo-embed"
    assert [row.index for row in reply.data] == [0, 1]
    assert reply.usage.prompt_tokens
    for row in reply.data:
        vector = row.embedding
        if isinstance(vector, str):
            assert len(base64.b64decode(vector)) == 8 * 4
        else:
            assert len(vector) == 8


@pytest.mark.parametrize("name", ["demo", "poet"])
def test_text_completions(client: OpenAI, name: str) -> None:
    whole = client.completions.create(model=name, prompt="Roses are", max_tokens=8)
    chunks = list(
        client.completions.create(model=name, prompt="Roses are", max_tokens=8, stream=True)
    )
    assert whole.model == name
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text != ""
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert client.completions.create(model=name, prompt="").choices[0].finish_reason == "load"


ERRORS = [
    (
        lambda c: c.chat.completions.create(model="nope", messages=SAY),
        openai.NotFoundError,
        "model 'nope' not found",
        "not_found_error",
    ),
    (
        lambda c: c.chat.completions.create(model="nope", messages=SAY, stream=True),
        openai.NotFoundError,
        "model 'nope' not found",
        "not_found_error",
    ),
    (
        lambda c: c.chat.completions.create(model="demo", messages=[]),
        openai.BadRequestError,
        "[] is too short - 'messages'",
        "invalid_request_error",
    ),
    (
        lambda c: c.chat.completions.create(model="demo-embed", messages=SAY),
        openai.BadRequestError,
        '"demo-embed" does not support chat',
        "invalid_request_error",
    ),
    (
        lambda c: c.completions.create(model="nope", prompt="x"),
        openai.NotFoundError,
        "model 'nope' not found",
        "not_found_error",
    ),
    (
        lambda c: c.embeddings.create(model="nope", input="x"),
        openai.NotFoundError,
        'model "nope" not found, try pulling it first',
        "not_found_error",
    ),
    (
        lambda c: c.embeddings.create(model="demo-embed", input=[]),
        openai.BadRequestError,
        "invalid input",
        "invalid_request_error",
    ),
    (
        lambda c: c.models.retrieve("no/such/model"),
        openai.NotFoundError,
        "model 'no/such/model:latest' not found",
        "not_found_error",
    ),
    (
        lambda c: c.audio.transcriptions.create(model="nope", file=b"sound"),
        openai.NotFoundError,
        "model 'nope' not found",
        "not_found_error",
    ),
    (
        lambda c: c.audio.transcriptions.create(model="demo", file=b"sound"),
        openai.InternalServerError,
        None,
        "api_error",
    ),
    (
        lambda c: c.images.generate(model="demo", prompt="a cat"),
        openai.InternalServerError,
        None,
        "api_error",
    ),
]


@pytest.mark.parametrize(("ask", "kind", "text", "word"), ERRORS)
def test_errors(
    client: OpenAI, ask: Any, kind: type[openai.APIStatusError], text: str | None, word: str
) -> None:
    with pytest.raises(kind) as caught:
        ask(client)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["type"] == word
    if text is None:
        assert caught.value.status_code == 501
        assert "demo offers no" in caught.value.body["message"]
    else:
        assert caught.value.body["message"] == text


async def _breaks(call: Call) -> None:
    await call.start()
    await call.write(": wait\n\n")
    await call.text("Hel")
    await call.event({"error": {"message": "overloaded", "code": 503}})
    await call.write("", more=False)


async def _stops(call: Call) -> None:
    await call.start()
    await call.write(": wait\n\n")
    await call.text("Hel")
    await call.write("", more=False)


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (_breaks, "fake: overloaded"),
        (_stops, "fake stopped before its answer was complete"),
    ],
)
def test_an_error_in_mid_stream_is_raised(bridged: Any, act: Any, text: str) -> None:
    url, _ = bridged(act)
    with (
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIError, match=text),
    ):
        list(client.chat.completions.create(model="m", messages=SAY, stream=True))


async def test_async(async_client: AsyncOpenAI) -> None:
    assert [model.id async for model in async_client.models.list()]
    assert (await async_client.models.retrieve("demo/demo")).id == "demo/demo"
    whole = await async_client.chat.completions.create(model="demo", messages=SAY)
    stream = await async_client.chat.completions.create(model="demo", messages=SAY, stream=True)
    said = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(said) == whole.choices[0].message.content
    assert len((await async_client.embeddings.create(model="demo-embed", input="x")).data) == 1
    text = await async_client.completions.create(model="demo", prompt="Roses are")
    assert text.choices[0].text
    parsed = await async_client.chat.completions.parse(
        model="demo", messages=SAY, response_format=Country
    )
    assert parsed.choices[0].message.parsed
    called = await async_client.chat.completions.create(
        model="demo", messages=WEATHER, tools=[TOOL]
    )
    assert called.choices[0].finish_reason == "tool_calls"
    with pytest.raises(openai.NotFoundError):
        await async_client.chat.completions.create(model="nope", messages=SAY, stream=True)
