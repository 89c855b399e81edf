"""The official Python client."""

from typing import Any

import ollama
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather

client = ollama.Client(host=ASK.url)
SAY = [{"role": "user", "content": ASK.say}]


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
      city: The city's name
    """
    return weather(city)


def listing() -> Detail:
    return {"names": [model.model for model in client.list().models]}


def show() -> Detail:
    shown = client.show(ASK.model)
    info = shown.modelinfo or {}
    context = info[f"{info['general.architecture']}.context_length"]
    return {"capabilities": shown.capabilities, "context": context}


def chat() -> Detail:
    reply = client.chat(ASK.model, SAY)
    return {"text": reply.message.content, "tokens": [reply.prompt_eval_count, reply.eval_count]}


def stream() -> Detail:
    parts = list(client.chat(ASK.model, SAY, stream=True))
    used = [parts[-1].prompt_eval_count, parts[-1].eval_count]
    return {"pieces": [part.message.content or "" for part in parts], "tokens": used}


def tools() -> Detail:
    streamed = client.chat(ASK.model, _asked(ASK.weather), tools=[get_weather], stream=True)
    calls = [call for part in streamed for call in _calls(part)]
    return {**_round(ASK.model, ASK.weather), "streamed": calls}


def _round(model: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    messages: list[Any] = _asked(question)
    reply = client.chat(model, messages, tools=[get_weather])
    messages.append(reply.message)
    for call in reply.message.tool_calls or ():
        result = get_weather(**call.function.arguments)
        messages.append({"role": "tool", "content": result, "tool_name": call.function.name})
    answer = client.chat(model, messages, tools=[get_weather]).message.content
    return {"calls": _calls(reply), "answer": answer}


def _asked(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def _calls(reply: ollama.ChatResponse) -> list[Any]:
    return [[c.function.name, c.function.arguments] for c in reply.message.tool_calls or ()]


def structured() -> Detail:
    schema = Country.model_json_schema()
    reply = client.chat(ASK.model, _asked(ASK.country), format=schema)
    return {"value": Country.model_validate_json(reply.message.content or "").model_dump()}


def thinking() -> Detail:
    parts = list(client.chat(ASK.model, SAY, think=True, stream=True))
    return {
        "thinking": "".join(part.message.thinking or "" for part in parts),
        "text": "".join(part.message.content or "" for part in parts),
        "off": client.chat(ASK.model, SAY, think=False).message.thinking,
    }


def images() -> Detail:
    message = {"role": "user", "content": ASK.say, "images": [ASK.image]}
    return {"text": client.chat(ASK.model, [message]).message.content}


def embeddings() -> Detail:
    return {"rows": client.embed(ASK.embedder, ASK.texts).embeddings}


def error() -> Detail:
    error: Any = caught(lambda: client.chat(ASK.unknown, SAY))
    return {"status": error.status_code, "text": error.error}


def error_in_stream() -> Detail:
    pieces: list[str] = []
    error = caught(
        lambda: pieces.extend(
            part.message.content or "" for part in client.chat(ASK.breaks, SAY, stream=True)
        )
    )
    return {"text": str(error), "pieces": pieces}


report(
    {
        "list": listing,
        "show": show,
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "two calls at once": lambda: _round(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": embeddings,
        "error": error,
        "error in stream": error_in_stream,
    }
)
