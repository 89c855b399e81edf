"""LlamaIndex: its chat model and its embeddings."""

from typing import Any

from llama_index.core.base.llms.types import ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather


class Country(BaseModel):
    """What is known of a country."""

    name: str
    population: int
    languages: list[str]


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return weather(city)


TOOL = FunctionTool.from_defaults(get_weather)
SAY = [ChatMessage(role="user", content=ASK.say)]


def model(name: str = ASK.model, **options: Any) -> Ollama:
    return Ollama(name, base_url=ASK.url, **options)


def show() -> Detail:
    return {"context": model().metadata.context_window}


def chat() -> Detail:
    reply = model().chat(SAY)
    return {"text": reply.message.content, "tokens": _tokens(reply)}


def stream() -> Detail:
    parts = list(model().stream_chat(SAY))
    return {"pieces": [part.delta for part in parts], "tokens": _tokens(parts[-1])}


def _tokens(reply: Any) -> list[int]:
    return [reply.raw["usage"]["prompt_tokens"], reply.raw["usage"]["completion_tokens"]]


def tools() -> Detail:
    streamed: Any = list(model().stream_chat_with_tools([TOOL], user_msg=ASK.weather))[-1]
    return {**rounds(ASK.model, ASK.weather), "streamed": _calls(model(), streamed)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    llm = model(name)
    history = [ChatMessage(role="user", content=question)]
    reply = llm.chat_with_tools([TOOL], chat_history=history, allow_parallel_tool_calls=True)
    history.append(reply.message)
    calls = _calls(llm, reply)
    for called, arguments in calls:
        result = str(TOOL(**arguments))
        history.append(ChatMessage(role="tool", content=result, additional_kwargs={"name": called}))
    answer = llm.chat_with_tools([TOOL], chat_history=history)
    return {"calls": calls, "answer": answer.message.content}


def _calls(llm: Ollama, reply: Any) -> list[Any]:
    return [[c.tool_name, c.tool_kwargs] for c in llm.get_tool_calls_from_response(reply)]


def structured() -> Detail:
    value: Any = model().structured_predict(Country, PromptTemplate(ASK.country))
    return {"value": value.model_dump()}


def thinking() -> Detail:
    message = model(thinking=True).chat(SAY).message
    thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock)]
    off = model(thinking=False).chat(SAY).message.blocks
    return {
        "thinking": "".join(thoughts),
        "text": message.content,
        "off": any(isinstance(block, ThinkingBlock) for block in off),
    }


def images() -> Detail:
    blocks = [
        TextBlock(text=ASK.say),
        ImageBlock(image=ASK.image.encode(), image_mimetype="image/png"),
    ]
    return {"text": model().chat([ChatMessage(role="user", blocks=blocks)]).message.content}


def embeddings() -> Detail:
    embedder = OllamaEmbedding(ASK.embedder, base_url=ASK.url)
    return {"rows": embedder.get_text_embedding_batch(ASK.texts)}


def error() -> Detail:
    """Here the first request is that for the size of the context."""
    error: Any = caught(lambda: model(ASK.unknown).chat(SAY))
    return {"status": error.status_code, "text": error.error}


def error_in_stream() -> Detail:
    pieces: list[Any] = []
    error = caught(lambda: pieces.extend(part.delta for part in model(ASK.breaks).stream_chat(SAY)))
    return {"text": str(error), "pieces": pieces}


report(
    {
        "list": "it has no call for this",
        "show": show,
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
