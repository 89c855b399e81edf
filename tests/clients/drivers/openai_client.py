"""The openai library with chat completions."""

import json
from typing import Any

import openai
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather

client = openai.OpenAI(base_url=f"{ASK.url}/v1", api_key="ollama", max_retries=0)

GET_WEATHER: Any = {
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


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def ask(content: Any, name: str = ASK.model, **options: Any) -> Any:
    messages: Any = content
    if isinstance(content, str):
        messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(model=name, messages=messages, **options)


def listing() -> Detail:
    names = [model.id for model in client.models.list()]
    assert [client.models.retrieve(name).id for name in names] == names
    return {"names": names}


def chat() -> Detail:
    reply = ask(ASK.say)
    assert reply.model == ASK.model
    return {"text": reply.choices[0].message.content, "tokens": _tokens(reply)}


def stream() -> Detail:
    parts = list(ask(ASK.say, stream=True, stream_options={"include_usage": True}))
    pieces = [choice.delta.content or "" for part in parts for choice in part.choices]
    return {"pieces": pieces, "tokens": _tokens(parts[-1])}


def _tokens(reply: Any) -> list[int]:
    return [reply.usage.prompt_tokens, reply.usage.completion_tokens]


def tools() -> Detail:
    """Streamed with the library's own gathering of the pieces."""
    with client.chat.completions.stream(
        model=ASK.model, messages=[{"role": "user", "content": ASK.weather}], tools=[GET_WEATHER]
    ) as parts:
        gathered = parts.get_final_completion()
    return {**rounds(ASK.model, ASK.weather), "streamed": _calls(gathered)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    messages: list[Any] = [{"role": "user", "content": question}]
    reply = ask(messages, name, tools=[GET_WEATHER])
    messages.append(reply.choices[0].message)
    for call in reply.choices[0].message.tool_calls:
        result = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    answer = ask(messages, name, tools=[GET_WEATHER]).choices[0].message.content
    return {"calls": _calls(reply), "answer": answer}


def _calls(reply: Any) -> list[Any]:
    calls = reply.choices[0].message.tool_calls
    return [[call.function.name, json.loads(call.function.arguments)] for call in calls]


def structured() -> Detail:
    reply = client.chat.completions.parse(
        model=ASK.model,
        messages=[{"role": "user", "content": ASK.country}],
        response_format=Country,
    )
    value = reply.choices[0].message.parsed
    assert value
    return {"value": value.model_dump()}


def thinking() -> Detail:
    """The library has no field for thoughts: Ollama's own is read beside those it knows."""
    message = ask(ASK.say, reasoning_effort="low").choices[0].message
    off = ask(ASK.say, reasoning_effort="none").choices[0].message
    return {
        "thinking": message.reasoning,
        "text": message.content,
        "off": getattr(off, "reasoning", None),
    }


def images() -> Detail:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ASK.image}"}}
    content = [{"type": "text", "text": ASK.say}, image]
    return {"text": ask([{"role": "user", "content": content}]).choices[0].message.content}


def embeddings() -> Detail:
    reply = client.embeddings.create(model=ASK.embedder, input=ASK.texts)
    return {"rows": [item.embedding for item in reply.data]}


def error() -> Detail:
    error: Any = caught(lambda: ask(ASK.say, ASK.unknown))
    return {"status": error.status_code, "text": error.body["message"]}


def error_in_stream() -> Detail:
    pieces: list[str] = []

    def read() -> None:
        for part in ask(ASK.say, ASK.breaks, stream=True):
            pieces.extend(choice.delta.content or "" for choice in part.choices)

    return {"text": str(caught(read)), "pieces": pieces}


report(
    {
        "list": listing,
        "show": "it has no call for this",
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "two calls at once": lambda: rounds(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": embeddings,
        "error": error,
        "error in stream": error_in_stream,
    }
)
