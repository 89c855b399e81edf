"""The `llm` tool with its plugin for Ollama, which finds the server in OLLAMA_HOST."""

import base64
import json
from typing import Any

import llm
from click.testing import CliRunner
from llm.cli import cli
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return weather(city)


def model(name: str = ASK.model) -> Any:
    return llm.get_model(f"ollama/{name}:latest")


def listing() -> Detail:
    """Chat models and embedders are registered apart, by their capabilities."""
    models = [*llm.get_models(), *(each.model for each in llm.get_embedding_models_with_aliases())]
    names = [each.model_id for each in models]
    return {"names": [name.removeprefix("ollama/") for name in names if name.startswith("ollama/")]}


def show() -> Detail:
    table = CliRunner().invoke(cli, ["ollama", "models"], catch_exceptions=False).output
    row = next(line for line in table.splitlines() if line.startswith(f"{ASK.model}:latest "))
    return {"capabilities": [word.strip(",") for word in row.split()[2:]]}


def chat() -> Detail:
    reply = model().prompt(ASK.say, stream=False)
    text = reply.text()
    return {"text": text, "tokens": [reply.usage().input, reply.usage().output]}


def stream() -> Detail:
    reply = model().prompt(ASK.say)
    pieces = list(reply)
    return {"pieces": pieces, "tokens": [reply.usage().input, reply.usage().output]}


def rounds(name: str, question: str) -> Detail:
    """A chain asks, runs the tools and tells their results."""
    chain = model(name).chain(question, tools=[get_weather])
    first, last = list(chain.responses())
    calls = [[call.name, call.arguments] for call in first.tool_calls()]
    return {"calls": calls, "answer": last.text()}


def structured() -> Detail:
    return {"value": json.loads(model().prompt(ASK.country, schema=Country).text())}


def thinking() -> Detail:
    reply = model().prompt(ASK.say, think=True)
    text = reply.text()
    off = model().prompt(ASK.say, think=False)
    return {"thinking": _thoughts(reply), "text": text, "off": _thoughts(off)}


def _thoughts(reply: Any) -> str:
    return "".join(e.chunk for e in reply.stream_events() if e.type == "reasoning")


def images() -> Detail:
    image = llm.Attachment(content=base64.b64decode(ASK.image), type="image/png")
    return {"text": model().prompt(ASK.say, attachments=[image]).text()}


def embeddings() -> Detail:
    embedder = llm.get_embedding_model(f"ollama/{ASK.embedder}:latest")
    return {"rows": list(embedder.embed_multi(ASK.texts))}


def error_in_stream() -> Detail:
    pieces: list[str] = []
    error = caught(lambda: pieces.extend(model(ASK.breaks).prompt(ASK.say)))
    return {"text": str(error), "pieces": pieces}


report(
    {
        "list": listing,
        "show": show,
        "chat": chat,
        "stream": stream,
        "tools": lambda: rounds(ASK.model, ASK.weather),
        "two calls at once": lambda: rounds(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": embeddings,
        "error": "it asks only for models that are listed",
        "error in stream": error_in_stream,
    }
)
