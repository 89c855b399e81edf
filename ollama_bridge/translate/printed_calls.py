"""Tool calls that a model wrote down as text, read only where the tools were offered.

Sources: upstream-quirks C19 (a service that could not read them hands them out) and C22.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from ollama_bridge.translate import tools
from ollama_bridge.wire import openai

LONGEST = 256 * 1024
"""Most characters that are searched."""

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)
_NAMED = re.compile(r"<function[=(]([\w.-]+)\)?>?\s*(\{.*?\})\s*(?:</function>|$)", re.DOTALL)
_MARKED = re.compile(r"\[TOOL_CALLS\]\s*(\[.*\]|\{.*\})", re.DOTALL)
_FENCED = re.compile(r"^```(?:json|tool_call)?\s*(.*?)\s*```$", re.DOTALL)


def read(text: str, offered: Collection[str]) -> list[tuple[str, tools.Arguments]]:
    """The calls in a text that is nothing else; none when one of them was not offered."""
    text = text.strip()
    if not text or len(text) > LONGEST:
        return []
    found = [_call(value) for value in _values(text)]
    known = [call for call in found if call is not None and call[0] in offered]
    return known if len(known) == len(found) else []


def reply(text: str, body: dict[str, Any]) -> bytes:
    """The whole chat completion that holds these calls; b"" when there are none."""
    found = read(text, offered(body))
    if not found:
        return b""
    calls = [
        {
            "id": tools.short_id(text, place, name),
            "type": "function",
            "function": {"name": name, "arguments": tools.text_of(arguments)},
        }
        for place, (name, arguments) in enumerate(found)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return msgspec.json.encode(
        {
            "id": f"chatcmpl-{tools.short_id(text)}",
            "object": "chat.completion",
            "created": 0,
            "model": body.get("model"),
            "choices": [choice],
        }
    )


def offered(body: dict[str, Any]) -> frozenset[str]:
    """Names of the tools in a request."""
    given = body.get("tools")
    functions = [
        tool.get("function")
        for tool in (given if isinstance(given, list) else ())
        if isinstance(tool, dict)
    ]
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return frozenset(name for name in names if isinstance(name, str))


def _values(text: str) -> Iterator[Any]:
    """Every call that is written there, in whatever wrapping."""
    if named := _NAMED.findall(text):
        yield from ({"name": name, "arguments": inner} for name, inner in named)
        return
    marked = _MARKED.fullmatch(text)
    fenced = _FENCED.match(text)
    inner = [marked[1]] if marked else [fenced[1]] if fenced else _TAGGED.findall(text) or [text]
    for part in inner:
        value = _json(part)
        yield from value if isinstance(value, list) else [value]


def _call(value: Any) -> tuple[str, tools.Arguments] | None:
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    value = function if isinstance(function, dict) else value
    name = value.get("name")
    given = [value[key] for key in ("arguments", "parameters", "args") if key in value]
    arguments: Any = given[0] if given else {}
    if isinstance(arguments, str):
        arguments = _json(arguments)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    return name, arguments


def _json(text: str) -> Any:
    try:
        return openai.loose(text)
    except (ValueError, RecursionError):
        return None
