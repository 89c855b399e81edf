"""Which tool to call, and with which arguments."""

import re

import msgspec

from ollama_bridge.demo import schema
from ollama_bridge.demo.request import Body, Json, items, part
from ollama_bridge.demo.words import digest, telling
from ollama_bridge.errors import BadRequest

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def chosen(body: Body, question: str, *, asked: bool) -> Body | None:
    """The function to call: a forced one, or the one that the user seems to have asked for."""
    functions = [part(tool, "function") for tool in items(body.get("tools"))]
    functions = [function for function in functions if isinstance(function.get("name"), str)]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return _named(part(choice, "function").get("name"), functions)
    if choice == "none" or not (asked or choice == "required"):
        return None
    fitting = [function for function in functions if _topic(question) & _about(function)]
    return next(iter(fitting or (functions if choice == "required" else [])), None)


def _named(name: Json, functions: list[Body]) -> Body:
    for function in functions:
        if function["name"] == name:
            return function
    raise BadRequest(f"'tool_choice' names the function {name!r}, which is not among 'tools'")


def _about(function: Body) -> set[str]:
    name = _CAMEL.sub(" ", function["name"])
    return _topic(f"{name} {function.get('description') or ''}")


def _topic(text: str) -> set[str]:
    """What a text is about, in the singular."""
    return {word.removesuffix("s") for word in telling(text) if len(word) > 2}


def call(function: Body, question: str, turn: int) -> dict[str, Json]:
    """A call of the function, with arguments that its schema allows."""
    name, arguments = function["name"], schema.fill(function.get("parameters"), question)
    text = msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()
    id_ = f"call_{digest(f'{turn} {name} {text}')}"
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": text}}
