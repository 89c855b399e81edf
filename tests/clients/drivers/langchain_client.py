"""LangChain for Python: it streams even when it is asked for a whole answer."""

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather


class Country(BaseModel):
    """What is known of a country."""

    name: str
    population: int
    languages: list[str]


@tool
def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return weather(city)


def model(name: str = ASK.model, **options: Any) -> ChatOllama:
    return ChatOllama(model=name, base_url=ASK.url, **options)


def listing() -> Detail:
    """It reads the list to see whether a model is there."""
    names = (ASK.model, f"{ASK.model}:latest", ASK.embedder, ASK.two_calls, ASK.unknown)
    return {"names": [name for name in names if _is_listed(name)]}


def _is_listed(name: str) -> bool:
    try:
        model(name, validate_model_on_init=True)
    except ValueError:
        return False
    return True


def chat() -> Detail:
    reply = model().invoke(ASK.say)
    return {"text": reply.content, "tokens": _tokens(reply)}


def stream() -> Detail:
    parts = list(model().stream(ASK.say))
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    return {"pieces": [part.content for part in parts], "tokens": _tokens(whole)}


def _tokens(reply: Any) -> list[int]:
    used = reply.usage_metadata
    return [used["input_tokens"], used["output_tokens"]]


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    offered = model(name).bind_tools([get_weather])
    messages: list[Any] = [HumanMessage(question)]
    reply = offered.invoke(messages)
    messages.append(reply)
    messages += [
        ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
        for call in reply.tool_calls
    ]
    calls = [[call["name"], call["args"]] for call in reply.tool_calls]
    return {"calls": calls, "answer": offered.invoke(messages).content}


def structured() -> Detail:
    value: Any = model().with_structured_output(Country).invoke(ASK.country)
    return {"value": value.model_dump()}


def thinking() -> Detail:
    reply = model(reasoning=True).invoke(ASK.say)
    off = model(reasoning=False).invoke(ASK.say)
    return {
        "thinking": reply.additional_kwargs["reasoning_content"],
        "text": reply.content,
        "off": off.additional_kwargs.get("reasoning_content"),
    }


def images() -> Detail:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ASK.image}"}}
    message = HumanMessage([{"type": "text", "text": ASK.say}, image])
    return {"text": model().invoke([message]).content}


def embeddings() -> Detail:
    return {
        "rows": OllamaEmbeddings(model=ASK.embedder, base_url=ASK.url).embed_documents(ASK.texts)
    }


def error() -> Detail:
    error: Any = caught(lambda: model(ASK.unknown).invoke(ASK.say))
    return {"status": error.status_code, "text": error.error}


def error_in_stream() -> Detail:
    pieces: list[Any] = []
    error = caught(
        lambda: pieces.extend(part.content for part in model(ASK.breaks).stream(ASK.say))
    )
    return {"text": str(error), "pieces": pieces}


report(
    {
        "list": listing,
        "show": "it has no call for this",
        "chat": chat,
        "stream": stream,
        "tools": lambda: rounds(ASK.model, ASK.weather),
        "two calls at once": lambda: rounds(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": embeddings,
        "error": error,
        "error in stream": error_in_stream,
    }
)
