"""The openai library with responses, the API that Codex speaks."""

import json
from typing import Any

import openai
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather

client = openai.OpenAI(base_url=f"{ASK.url}/v1", api_key="ollama", max_retries=0)

GET_WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def ask(content: Any, name: str = ASK.model, **options: Any) -> Any:
    return client.responses.create(model=name, input=content, **options)


def chat() -> Detail:
    reply = ask(ASK.say)
    assert (reply.status, reply.model) == ("completed", ASK.model)
    return {"text": reply.output_text, "tokens": _tokens(reply)}


def stream() -> Detail:
    """The library gathers the events; what it gathered is the same text."""
    pieces: list[str] = []
    with client.responses.stream(model=ASK.model, input=ASK.say) as events:
        deltas = (event for event in events if event.type == "response.output_text.delta")
        pieces.extend(event.delta for event in deltas)
        whole = events.get_final_response()
    assert whole.output_text == "".join(pieces)
    return {"pieces": pieces, "tokens": _tokens(whole)}


def _tokens(reply: Any) -> list[int]:
    return [reply.usage.input_tokens, reply.usage.output_tokens]


def tools() -> Detail:
    with client.responses.stream(model=ASK.model, input=ASK.weather, tools=[GET_WEATHER]) as events:
        gathered = events.get_final_response()
    return {**rounds(ASK.model, ASK.weather), "streamed": _called(gathered)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    items: list[Any] = [{"role": "user", "content": question}]
    reply = ask(items, name, tools=[GET_WEATHER])
    items += reply.output
    for call in _calls(reply):
        result = weather(**json.loads(call.arguments))
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    answer = ask(items, name, tools=[GET_WEATHER]).output_text
    return {"calls": _called(reply), "answer": answer}


def _calls(reply: Any) -> list[Any]:
    return [item for item in reply.output if item.type == "function_call"]


def _called(reply: Any) -> list[Any]:
    return [[call.name, json.loads(call.arguments)] for call in _calls(reply)]


def structured() -> Detail:
    value = client.responses.parse(
        model=ASK.model, input=ASK.country, text_format=Country
    ).output_parsed
    assert value
    return {"value": value.model_dump()}


def thinking() -> Detail:
    reply = ask(ASK.say, reasoning={"effort": "low", "summary": "auto"})
    off = ask(ASK.say, reasoning={"effort": "none"})
    return {"thinking": _thoughts(reply), "text": reply.output_text, "off": _thoughts(off)}


def _thoughts(reply: Any) -> str:
    items = [item for item in reply.output if item.type == "reasoning"]
    return "".join(part.text for item in items for part in item.summary)


def images() -> Detail:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{ASK.image}"}
    content = [{"type": "input_text", "text": ASK.say}, image]
    return {"text": ask([{"role": "user", "content": content}]).output_text}


def error() -> Detail:
    error: Any = caught(lambda: ask(ASK.say, ASK.unknown))
    return {"status": error.status_code, "text": error.body["message"]}


def error_in_stream() -> Detail:
    """An error is an event of its own here, `error` or `response.failed`."""
    pieces: list[str] = []
    errors: list[str] = []
    for event in ask(ASK.say, ASK.breaks, stream=True):
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
        elif event.type == "error":
            errors.append(event.message)
        elif event.type == "response.failed":
            errors.append(event.response.error.message)
        assert event.type != "response.completed"
    return {"text": " ".join(errors), "pieces": pieces}


report(
    {
        "list": "it has no call for this",
        "show": "it has no call for this",
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "two calls at once": lambda: rounds(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": "it has no call for this",
        "error": error,
        "error in stream": error_in_stream,
    }
)
