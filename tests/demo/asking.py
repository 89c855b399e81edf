"""Requests to the demo upstream, and what comes back."""

import base64
import json

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "note": {"type": "string"},
            },
            "required": ["city", "days", "unit"],
        },
    },
}
PLAY = {"type": "function", "function": {"name": "playMusic", "description": None}}
QUESTION = "What is the weather in New York for 3 days, in Fahrenheit?"


def ask(text=QUESTION, **more):
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


async def post(client, body, path="/v1/chat/completions"):
    return await client.post(path, json=body)


async def chat(client, body):
    reply = await post(client, body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def events(client, body, path="/v1/chat/completions"):
    """The stream's events, its frame checked on the way."""
    reply = await post(client, {**body, "stream": True}, path)
    assert reply.headers["content-type"] == "text/event-stream"
    *parts, done, rest = reply.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def joined(chunks, key):
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get(key) or "" for delta in deltas)


def spoken(reply):
    message = reply["choices"][0]["message"]
    return message.get("reasoning_content", "") + message["content"]
