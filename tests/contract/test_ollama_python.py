"""The official Python client, unmodified, against a live bridge in front of the demo provider."""

import base64
from collections.abc import AsyncIterator, Iterator

import ollama
import pytest
from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
QUESTION = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]


def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
      city: The city's name
    """
    return f"It is sunny in {city}."


@pytest.fixture
def client(demo_bridge: str) -> Iterator[Client]:
    client = Client(host=demo_bridge)
    yield client
    client._client.close()


@pytest.fixture
async def async_client(demo_bridge: str) -> AsyncIterator[AsyncClient]:
    client = AsyncClient(host=demo_bridge)
    yield client
    await client._client.aclose()


def counters(reply: ollama.ChatResponse | ollama.GenerateResponse) -> list[int | None]:
    return [
        reply.total_duration,
        reply.load_duration,
        reply.prompt_eval_count,
        reply.prompt_eval_duration,
        reply.eval_count,
        reply.eval_duration,
    ]


def complete(reply: ollama.ChatResponse | ollama.GenerateResponse) -> bool:
    return (
        reply.done is True
        and reply.done_reason == "stop"
        and all(n and n > 0 for n in counters(reply))
    )


def test_list_names_the_models_with_tags_and_distinct_digests(client: Client) -> None:
    models = client.list().models
    assert {"demo:latest", "demo-embed:latest", "poet:latest"} <= {model.model for model in models}
    assert len({model.digest for model in models}) == len(models)
    assert all(model.size and model.modified_at and model.details for model in models)


def test_show_tells_capabilities_and_context(client: Client) -> None:
    shown = client.show("demo")
    assert {"completion", "tools", "vision", "thinking"} <= set(shown.capabilities or ())
    architecture = (shown.modelinfo or {})["general.architecture"]
    assert (shown.modelinfo or {})[f"{architecture}.context_length"] == 32768


def test_show_of_an_alias_has_its_system_prompt(client: Client) -> None:
    assert "Answer in verse." in (client.show("poet").modelfile or "")


def test_ps_lists_what_was_used(client: Client) -> None:
    client.chat("demo", [{"role": "user", "content": "hello"}])
    running = client.ps().models
    assert "demo:latest" in [model.model for model in running]
    assert all(model.expires_at and model.digest for model in running)


def test_chat(client: Client) -> None:
    reply = client.chat("demo", [{"role": "user", "content": "Say blue."}])
    assert reply.message.role == "assistant"
    assert "blue" in (reply.message.content or "")
    assert reply.model == "demo"
    assert complete(reply)


def test_chat_streamed_is_the_same_in_many_pieces(client: Client) -> None:
    messages = [{"role": "user", "content": "Say blue, then \u2028 and \u0085 and 😀."}]
    whole = client.chat("demo", messages)
    pieces = list(client.chat("demo", messages, stream=True))
    assert len(pieces) > 5
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert complete(pieces[-1])
    assert not any(piece.done for piece in pieces[:-1])


def test_generate(client: Client) -> None:
    reply = client.generate("demo:latest", "Say green.", system="Be brief.")
    assert "green" in reply.response
    assert complete(reply)


def test_generate_streamed(client: Client) -> None:
    pieces = list(client.generate("demo", "Say green.", stream=True))
    assert "green" in "".join(piece.response for piece in pieces)
    assert complete(pieces[-1])


def test_generate_raw_and_suffix(client: Client) -> None:
    assert client.generate("demo", "once upon", raw=True).response
    assert client.generate("demo", "def add(", suffix="return a + b").response


@pytest.mark.parametrize("stream", [False, True])
def test_a_round_trip_with_a_tool(client: Client, stream: bool) -> None:
    first = client.chat("demo", QUESTION, tools=[get_weather], stream=stream)
    replies = list(first) if stream else [first]
    calls = [call for reply in replies for call in reply.message.tool_calls or ()]
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("get_weather", {"city": "Paris"})
    ]
    assert complete(replies[-1])
    asked = next(reply.message for reply in replies if reply.message.tool_calls)
    result = get_weather(**calls[0].function.arguments)
    history = [*QUESTION, asked, {"role": "tool", "content": result, "tool_name": "get_weather"}]
    last = client.chat("demo", history, tools=[get_weather])
    assert "sunny in Paris" in (last.message.content or "")


class Country(BaseModel):
    name: str
    capital: str
    languages: list[str]


def test_structured_output(client: Client) -> None:
    reply = client.chat(
        "demo",
        [{"role": "user", "content": "Tell me about Canada."}],
        format=Country.model_json_schema(),
    )
    assert Country.model_validate_json(reply.message.content or "")


def test_json_mode(client: Client) -> None:
    reply = client.generate("demo", "Tell me about Canada in JSON.", format="json")
    assert reply.response.lstrip().startswith("{")


def test_images(client: Client) -> None:
    reply = client.chat("demo", [{"role": "user", "content": "What is it?", "images": [PNG]}])
    assert "image/png" in (reply.message.content or "")
    assert "image/png" in client.generate("demo", "What is it?", images=[PNG]).response


@pytest.mark.parametrize("think", [True, "low", "high"])
def test_thinking_comes_before_text_and_apart_from_it(client: Client, think: bool | str) -> None:
    messages = [{"role": "user", "content": "Say red."}]
    pieces = list(client.chat("demo", messages, think=think, stream=True))
    thoughts = [
        bool(piece.message.thinking)
        for piece in pieces
        if piece.message.thinking or piece.message.content
    ]
    assert thoughts[0] is True
    assert thoughts == sorted(thoughts, reverse=True)
    assert not any(piece.message.thinking and piece.message.content for piece in pieces)


def test_no_thinking_when_told_not_to(client: Client) -> None:
    assert not client.chat(
        "demo", [{"role": "user", "content": "Say red."}], think=False
    ).message.thinking


def test_options(client: Client) -> None:
    reply = client.generate(
        "demo",
        "Say a great many words.",
        options={"num_predict": 3, "num_ctx": 8192, "mirostat": 1},
    )
    assert reply.done_reason == "length"
    assert reply.eval_count == 3


def test_logprobs(client: Client) -> None:
    reply = client.chat(
        "demo", [{"role": "user", "content": "Say red."}], logprobs=True, top_logprobs=2
    )
    assert reply.logprobs
    assert all(len(token.top_logprobs or ()) == 2 for token in reply.logprobs)


def test_embed(client: Client) -> None:
    reply = client.embed("demo-embed", ["one", "two", "three"])
    assert len(reply.embeddings) == 3
    assert all(abs(sum(x * x for x in row) - 1) < 1e-5 for row in reply.embeddings)
    assert reply.prompt_eval_count
    assert reply.total_duration
    assert reply.load_duration


def test_embed_with_fewer_dimensions(client: Client) -> None:
    rows = client.embed("demo-embed", "one", dimensions=64).embeddings
    assert [len(row) for row in rows] == [64]
    assert abs(sum(x * x for x in rows[0]) - 1) < 1e-5


def test_embeddings(client: Client) -> None:
    assert len(client.embeddings("demo-embed", "one").embedding) == 384


def test_load_and_unload(client: Client) -> None:
    assert client.generate("demo", "").done_reason == "load"
    assert client.chat("demo", []).done_reason == "load"
    assert client.generate("demo", "", keep_alive=0).done_reason == "unload"
    assert "demo:latest" not in [model.model for model in client.ps().models]


@pytest.mark.parametrize(
    ("ask", "status", "text"),
    [
        (
            lambda c: c.chat("nope", [{"role": "user", "content": "x"}]),
            404,
            "model 'nope' not found",
        ),
        (lambda c: c.generate("nope", "x"), 404, "model 'nope' not found"),
        (lambda c: c.show("nope"), 404, "model 'nope:latest' not found"),
        (lambda c: c.embed("nope", "x"), 404, 'model "nope" not found, try pulling it first'),
        (lambda c: c.embeddings("nope", "x"), 404, 'model "nope" not found, try pulling it first'),
        (lambda c: c.chat("a b", [{"role": "user", "content": "x"}]), 400, "invalid model name"),
        (
            lambda c: c.chat("demo", [{"role": "user", "content": "x"}], keep_alive="-1"),
            400,
            'time: missing unit in duration "-1"',
        ),
        (
            lambda c: c.chat("demo-embed", [{"role": "user", "content": "x"}]),
            400,
            '"demo-embed" does not support chat',
        ),
        (lambda c: c.generate("demo-embed", "x"), 400, '"demo-embed" does not support generate'),
    ],
)
def test_errors_have_ollamas_status_and_text(client: Client, ask, status: int, text: str) -> None:
    with pytest.raises(ResponseError) as caught:
        ask(client)
    assert (caught.value.status_code, caught.value.error) == (status, text)


async def test_async_chat_and_generate(async_client: AsyncClient) -> None:
    messages = [{"role": "user", "content": "Say blue."}]
    whole = await async_client.chat("demo", messages)
    pieces = [piece async for piece in await async_client.chat("demo", messages, stream=True)]
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert complete(pieces[-1])
    pieces = [
        piece async for piece in await async_client.generate("demo", "Say green.", stream=True)
    ]
    assert "green" in "".join(piece.response for piece in pieces)


async def test_async_lists_show_embed_and_errors(async_client: AsyncClient) -> None:
    assert (await async_client.list()).models
    assert (await async_client.show("demo")).capabilities
    assert len((await async_client.embed("demo-embed", "x")).embeddings) == 1
    assert (await async_client.ps()).models is not None
    with pytest.raises(ResponseError, match="not found"):
        await async_client.chat("nope", [{"role": "user", "content": "x"}])
