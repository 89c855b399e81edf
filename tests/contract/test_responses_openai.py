"""The official openai client asks /v1/responses; the demo model answers."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
def client(demo_bridge: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{demo_bridge}/v1", api_key="ollama", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(demo_bridge: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{demo_bridge}/v1", api_key="ollama", max_retries=0
    ) as client:
        yield client


def test_a_response(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input="Say blue.", instructions="Be brief.")
    assert "blue" in response.output_text
    assert (response.status, response.model, response.instructions) == (
        "completed",
        "demo",
        "Be brief.",
    )
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_a_stream_is_the_same_in_many_pieces(client: openai.OpenAI) -> None:
    said = "Say blue, then \u2028 and \u0085 and 😀."
    whole = client.responses.create(model="demo", input=said)
    events = list(client.responses.create(model="demo", input=said, stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 5
    assert "".join(deltas) == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text


def test_the_clients_own_gathering_of_a_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model="demo", input="What is the weather in Paris?", tools=[WEATHER]
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[-1] == "response.completed"
    assert [item.type for item in final.output] == ["function_call"]


def test_thinking(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input="Say red.", reasoning={"effort": "high"})
    thought, message = response.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text == thought.encrypted_content
    assert message.type == "message"
    quiet = client.responses.create(model="demo", input="Say red.", reasoning={"effort": "none"})
    assert [item.type for item in quiet.output] == ["message"]


def test_a_round_trip_with_a_tool(client: openai.OpenAI) -> None:
    question: Any = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
    first = client.responses.create(model="demo", input=question, tools=[WEATHER], store=False)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    result: Any = {
        "type": "function_call_output",
        "call_id": call.call_id,
        "output": "sunny in Paris",
    }
    history = [*question, *[item.model_dump(exclude_none=True) for item in first.output], result]
    last = client.responses.create(model="demo", input=history, tools=[WEATHER])
    assert "sunny in Paris" in last.output_text


class Country(BaseModel):
    name: str
    capital: str


def test_structured_output(client: openai.OpenAI) -> None:
    response = client.responses.parse(
        model="demo", input="Tell me about Canada.", text_format=Country
    )
    assert isinstance(response.output_parsed, Country)


def test_a_picture(client: openai.OpenAI) -> None:
    url = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    content: Any = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    response = client.responses.create(model="demo", input=[{"role": "user", "content": content}])
    assert "image/png" in response.output_text


def test_a_limit(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="demo", input="Say a great many words.", max_output_tokens=3
    )
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert response.usage.output_tokens == 3


def test_a_model_of_ones_own(client: openai.OpenAI) -> None:
    assert client.responses.create(model="poet", input="Say blue.").model == "poet"


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"model": "nope"}, openai.NotFoundError, "model 'nope' not found"),
        (
            {"input": [{"type": "x"}]},
            openai.BadRequestError,
            'input[0]: unknown input item type: "x"',
        ),
        ({"previous_response_id": "resp_1"}, openai.BadRequestError, "nothing is stored here"),
        ({"model": "demo-embed"}, openai.BadRequestError, '"demo-embed" does not support chat'),
    ],
)
def test_errors(
    client: openai.OpenAI, fields: Any, error: type[openai.APIStatusError], text: str
) -> None:
    with pytest.raises(error) as caught:
        client.responses.create(**({"model": "demo", "input": "x"} | fields))
    assert text in caught.value.message


async def test_async(async_client: openai.AsyncOpenAI) -> None:
    whole = await async_client.responses.create(model="demo", input="Say blue.")
    stream = await async_client.responses.create(model="demo", input="Say blue.", stream=True)
    deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text
