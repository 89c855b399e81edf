"""Haystack: its chat generator and its embedder."""

import json
import os
from typing import Any

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack import Document
from haystack.dataclasses import ChatMessage, ImageContent
from haystack.tools import create_tool_from_function
from haystack_integrations.components.embedders.ollama import OllamaDocumentEmbedder
from haystack_integrations.components.generators.ollama import OllamaChatGenerator
from report import ASK, Detail, caught, report, weather

COUNTRY = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "population": {"type": "integer"},
        "languages": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "population", "languages"],
}


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return weather(city)


TOOL = create_tool_from_function(get_weather)
SAY = [ChatMessage.from_user(ASK.say)]


def ask(messages: list[ChatMessage], name: str = ASK.model, **options: Any) -> ChatMessage:
    [reply] = OllamaChatGenerator(model=name, url=ASK.url, **options).run(messages)["replies"]
    return reply


def chat() -> Detail:
    reply = ask(SAY)
    return {"text": reply.text, "tokens": _tokens(reply)}


def stream() -> Detail:
    pieces: list[str] = []
    reply = ask(SAY, streaming_callback=lambda chunk: pieces.append(chunk.content))
    assert reply.text == "".join(pieces)
    return {"pieces": pieces, "tokens": _tokens(reply)}


def _tokens(reply: ChatMessage) -> list[int]:
    return [reply.meta["usage"]["prompt_tokens"], reply.meta["usage"]["completion_tokens"]]


def tools() -> Detail:
    question = [ChatMessage.from_user(ASK.weather)]
    streamed = ask(question, tools=[TOOL], streaming_callback=lambda _: None)
    return {**rounds(ASK.model, ASK.weather), "streamed": _calls(streamed)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    messages = [ChatMessage.from_user(question)]
    reply = ask(messages, name, tools=[TOOL])
    messages.append(reply)
    messages += [
        ChatMessage.from_tool(TOOL.invoke(**call.arguments), origin=call)
        for call in reply.tool_calls
    ]
    return {"calls": _calls(reply), "answer": ask(messages, name, tools=[TOOL]).text}


def _calls(reply: ChatMessage) -> list[Any]:
    return [[call.tool_name, call.arguments] for call in reply.tool_calls]


def structured() -> Detail:
    text = ask([ChatMessage.from_user(ASK.country)], response_format=COUNTRY).text
    return {"value": json.loads(text or "")}


def thinking() -> Detail:
    reply = ask(SAY, think=True)
    assert reply.reasoning
    off = ask(SAY, think=False).reasoning
    return {"thinking": reply.reasoning.reasoning_text, "text": reply.text, "off": off and str(off)}


def images() -> Detail:
    image = ImageContent(base64_image=ASK.image, mime_type="image/png")
    return {"text": ask([ChatMessage.from_user(content_parts=[ASK.say, image])]).text}


def embeddings() -> Detail:
    embedder = OllamaDocumentEmbedder(model=ASK.embedder, url=ASK.url, progress_bar=False)
    documents = embedder.run([Document(content=text) for text in ASK.texts])["documents"]
    return {"rows": [document.embedding for document in documents]}


def error() -> Detail:
    error: Any = caught(lambda: ask(SAY, ASK.unknown))
    return {"status": error.status_code, "text": error.error}


def error_in_stream() -> Detail:
    pieces: list[str] = []
    collect = {"streaming_callback": lambda chunk: pieces.append(chunk.content)}
    error = caught(lambda: ask(SAY, ASK.breaks, **collect))
    return {"text": str(error), "pieces": pieces}


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
