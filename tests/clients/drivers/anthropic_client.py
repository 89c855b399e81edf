"""The anthropic library with messages, the API that Claude Code speaks."""

from typing import Any

import anthropic
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather

client = anthropic.Anthropic(base_url=ASK.url, api_key="ollama", max_retries=0)

GET_WEATHER: Any = {
    "name": "get_weather",
    "description": "Tell the weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}

BUDGET = {"type": "enabled", "budget_tokens": 1024}


class Country(BaseModel):
    name: str
    population: int
    languages: list[str]


def request(content: Any, name: str = ASK.model, **options: Any) -> Any:
    messages = content
    if isinstance(content, str):
        messages = [{"role": "user", "content": content}]
    return {"model": name, "messages": messages, "max_tokens": 4096, **options}


def ask(content: Any, name: str = ASK.model, **options: Any) -> Any:
    return client.messages.create(**request(content, name, **options))


def listing() -> Detail:
    """The list is in OpenAI's form, as Ollama's; the library reads the names from it."""
    return {"names": [model.id for model in client.models.list()]}


def chat() -> Detail:
    reply = ask(ASK.say)
    assert (reply.role, reply.stop_reason, reply.model) == ("assistant", "end_turn", ASK.model)
    return {"text": _text(reply), "tokens": _tokens(reply)}


def stream() -> Detail:
    """The library gathers the events; what it gathered is the same text."""
    with client.messages.stream(**request(ASK.say)) as events:
        pieces = list(events.text_stream)
        whole = events.get_final_message()
    assert _text(whole) == "".join(pieces)
    return {"pieces": pieces, "tokens": _tokens(whole)}


def _text(reply: Any) -> str:
    return "".join(block.text for block in reply.content if block.type == "text")


def _tokens(reply: Any) -> list[int]:
    return [reply.usage.input_tokens, reply.usage.output_tokens]


def tools() -> Detail:
    with client.messages.stream(**request(ASK.weather, tools=[GET_WEATHER])) as events:
        gathered = events.get_final_message()
    return {**rounds(ASK.model, ASK.weather), "streamed": _called(gathered)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    messages: list[Any] = [{"role": "user", "content": question}]
    reply = ask(messages, name, tools=[GET_WEATHER])
    assert reply.stop_reason == "tool_use"
    messages.append({"role": "assistant", "content": reply.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
        for block in reply.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    answer = _text(ask(messages, name, tools=[GET_WEATHER]))
    return {"calls": _called(reply), "answer": answer}


def _called(reply: Any) -> list[Any]:
    return [[block.name, block.input] for block in reply.content if block.type == "tool_use"]


def structured() -> Detail:
    value = client.messages.parse(**request(ASK.country, output_format=Country)).parsed_output
    assert value
    return {"value": value.model_dump()}


def thinking() -> Detail:
    with client.messages.stream(**request(ASK.say, thinking=BUDGET)) as events:
        reply = events.get_final_message()
    off = ask(ASK.say, thinking={"type": "disabled"})
    return {"thinking": _thoughts(reply), "text": _text(reply), "off": _thoughts(off)}


def _thoughts(reply: Any) -> str:
    return "".join(block.thinking for block in reply.content if block.type == "thinking")


def images() -> Detail:
    source = {"type": "base64", "media_type": "image/png", "data": ASK.image}
    content = [{"type": "text", "text": ASK.say}, {"type": "image", "source": source}]
    return {"text": _text(ask([{"role": "user", "content": content}]))}


def error() -> Detail:
    error: Any = caught(lambda: ask(ASK.say, ASK.unknown))
    return {"status": error.status_code, "text": error.body["error"]["message"]}


def error_in_stream() -> Detail:
    pieces: list[str] = []

    def read() -> None:
        with client.messages.stream(**request(ASK.say, ASK.breaks)) as events:
            pieces.extend(events.text_stream)

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
        "embeddings": "it has no call for this",
        "error": error,
        "error in stream": error_in_stream,
    }
)
