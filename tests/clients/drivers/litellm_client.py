"""LiteLLM through its route `ollama_chat`, which aider and OpenHands use."""

import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["OLLAMA_API_BASE"] = os.environ["OLLAMA_HOST"]

import litellm
from pydantic import BaseModel
from report import ASK, Detail, caught, report, weather

litellm.suppress_debug_info = True

GET_WEATHER = {
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
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return litellm.completion(f"ollama_chat/{name}", messages, api_base=ASK.url, **options)


def listing() -> Detail:
    names = litellm.get_valid_models(check_provider_endpoint=True, custom_llm_provider="ollama")
    return {"names": [name.removeprefix("ollama/") for name in names]}


def show() -> Detail:
    info = litellm.get_model_info(f"ollama_chat/{ASK.model}", api_base=ASK.url)
    tools = ["tools"] if info["supports_function_calling"] else []
    return {"context": info["max_input_tokens"], "capabilities": tools}


def chat() -> Detail:
    reply = ask(ASK.say)
    generated = litellm.completion(
        f"ollama/{ASK.model}", [{"role": "user", "content": "Say green."}], api_base=ASK.url
    )
    assert "Say green." in generated.choices[0].message.content, "the route over /api/generate"
    used = [reply.usage.prompt_tokens, reply.usage.completion_tokens]
    return {"text": reply.choices[0].message.content, "tokens": used}


def stream() -> Detail:
    parts = list(ask(ASK.say, stream=True))
    return {"pieces": [part.choices[0].delta.content or "" for part in parts]}


def tools() -> Detail:
    parts = list(ask(ASK.weather, tools=[GET_WEATHER], stream=True))
    whole = litellm.stream_chunk_builder(parts)
    return {**rounds(ASK.model, ASK.weather), "streamed": _calls(whole)}


def rounds(name: str, question: str) -> Detail:
    """Ask, run the tools, tell their results."""
    messages: list[Any] = [{"role": "user", "content": question}]
    reply = ask(messages, name, tools=[GET_WEATHER])
    calls = _calls(reply)  # now, as sending the message back changes it
    messages.append(reply.choices[0].message)
    for call in reply.choices[0].message.tool_calls:
        result = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    answer = ask(messages, name, tools=[GET_WEATHER]).choices[0].message.content
    return {"calls": calls, "answer": answer}


def _calls(reply: Any) -> list[Any]:
    calls = reply.choices[0].message.tool_calls
    return [[call.function.name, json.loads(call.function.arguments)] for call in calls]


def structured() -> Detail:
    reply = ask(ASK.country, response_format=Country)
    return {"value": json.loads(reply.choices[0].message.content)}


def thinking() -> Detail:
    message = ask(ASK.say, reasoning_effort="low").choices[0].message
    off = ask(ASK.say, think=False).choices[0].message
    return {
        "thinking": message.reasoning_content,
        "text": message.content,
        "off": getattr(off, "reasoning_content", None),
    }


def images() -> Detail:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{ASK.image}"}}
    reply = ask([{"role": "user", "content": [{"type": "text", "text": ASK.say}, image]}])
    return {"text": reply.choices[0].message.content}


def embeddings() -> Detail:
    reply = litellm.embedding(f"ollama/{ASK.embedder}", ASK.texts, api_base=ASK.url)
    return {"rows": [item["embedding"] for item in reply.data]}


def error() -> Detail:
    error: Any = caught(lambda: ask(ASK.say, ASK.unknown))
    return {"status": error.status_code, "text": str(error)}


def error_in_stream() -> Detail:
    pieces: list[str] = []
    error = caught(
        lambda: pieces.extend(
            part.choices[0].delta.content or "" for part in ask(ASK.say, ASK.breaks, stream=True)
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
        "two calls at once": lambda: rounds(ASK.two_calls, ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": embeddings,
        "error": error,
        "error in stream": error_in_stream,
    }
)
