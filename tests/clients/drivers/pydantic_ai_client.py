"""Pydantic AI with its provider for Ollama, which speaks chat completions."""

import base64
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, Embedder, NativeOutput
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.messages import ThinkingPart, ToolCallPart
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.providers.ollama import OllamaProvider
from report import ASK, Detail, caught, report, weather

PROVIDER = OllamaProvider(base_url=f"{ASK.url}/v1")


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return weather(city)


def agent(name: str = ASK.model, **options: Any) -> Agent[None, Any]:
    return Agent(OllamaModel(name, provider=PROVIDER), **options)


def chat() -> Detail:
    result = agent().run_sync(ASK.say)
    return {"text": result.output, "tokens": _tokens(result)}


def stream() -> Detail:
    result = agent().run_stream_sync(ASK.say)
    pieces = list(result.stream_text(delta=True, debounce_by=None))
    return {"pieces": pieces, "tokens": _tokens(result)}


def _tokens(result: Any) -> list[int]:
    used = result.usage
    return [used.input_tokens, used.output_tokens]


def tools() -> Detail:
    result = agent(tools=[get_weather]).run_stream_sync(ASK.weather)
    list(result.stream_text())
    return {**rounds(ASK.model, ASK.weather), "streamed": _parts(result, ToolCallPart, _call)}


def rounds(name: str, question: str) -> Detail:
    """The agent asks, runs the tools and tells their results."""
    result = agent(name, tools=[get_weather]).run_sync(question)
    return {"calls": _parts(result, ToolCallPart, _call), "answer": result.output}


def _call(part: ToolCallPart) -> Any:
    return [part.tool_name, part.args_as_dict()]


def _parts(result: Any, kind: type, read: Any) -> list[Any]:
    messages = result.all_messages()
    return [read(part) for message in messages for part in message.parts if isinstance(part, kind)]


def structured() -> Detail:
    result = agent(output_type=NativeOutput(Country)).run_sync(ASK.country)
    return {"value": result.output.model_dump()}


def thinking() -> Detail:
    result = agent().run_sync(ASK.say, model_settings={"openai_reasoning_effort": "low"})
    off = agent().run_sync(ASK.say, model_settings={"openai_reasoning_effort": "none"})
    return {
        "thinking": "".join(_parts(result, ThinkingPart, lambda part: part.content)),
        "text": result.output,
        "off": _parts(off, ThinkingPart, lambda part: part.content),
    }


def images() -> Detail:
    image = BinaryContent(base64.b64decode(ASK.image), media_type="image/png")
    return {"text": agent().run_sync([ASK.say, image]).output}


def embeddings() -> Detail:
    embedder = Embedder(OpenAIEmbeddingModel(ASK.embedder, provider=PROVIDER))
    return {"rows": [list(row) for row in embedder.embed_documents_sync(ASK.texts).embeddings]}


def error() -> Detail:
    error: Any = caught(lambda: agent(ASK.unknown).run_sync(ASK.say))
    return {"status": error.status_code, "text": str(error)}


def error_in_stream() -> Detail:
    pieces: list[str] = []

    def read() -> None:
        result = agent(ASK.breaks).run_stream_sync(ASK.say)
        pieces.extend(result.stream_text(delta=True, debounce_by=None))

    return {"text": str(caught(read)), "pieces": pieces}


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
        "embeddings": embeddings,
        "error": error,
        "error in stream": error_in_stream,
    }
)
