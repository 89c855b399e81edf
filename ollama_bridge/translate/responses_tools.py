"""The tools of a response: functions on the way up, and what the client calls them.

Strategy: chat completions know functions only. A namespace becomes part of its tools' names, a tool
that takes any text a function of one argument; `Tool` remembers what each was.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ollama_bridge.errors import BadRequest
from ollama_bridge.translate import tools
from ollama_bridge.wire import responses
from ollama_bridge.wire.go_json import quoted
from ollama_bridge.wire.responses import word

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]


class Tool(NamedTuple):
    """A tool as the client knows it."""

    name: str
    namespace: str = ""
    custom: bool = False
    """It takes any text instead of an object of arguments."""


ARGUMENT = "input"
"""The one argument of a tool that takes any text."""

_LEFT_OUT = ("web_search", "image_generation", "tool_search")
"""Tools the client offers on top, as Codex does with every request: without them it works, too."""


def to_openai(request: responses.Request) -> tuple[Body, dict[str, Tool]]:
    """The fields about tools, and the client's tools by the names sent."""
    choice, offered = _allowed(request.tool_choice, list(_offered(request.tools or ())))
    chosen = _choice(choice, [tool for tool, _ in offered])
    if not offered:
        return {}, {}
    sent, names = tools.to_openai([{"function": function} for _, function in offered])
    fields: Body = {"tools": sent}
    if chosen is not None:
        fields["tool_choice"] = chosen
    if request.parallel_tool_calls is False:  # true is what every server does anyway
        fields["parallel_tool_calls"] = False
    by_name = {full_name(tool): tool for tool, _ in offered}
    sent_names = [item["function"]["name"] for item in sent]
    return fields, {name: by_name[names.get(name, name)] for name in sent_names}


def full_name(tool: Tool) -> str:
    """A tool's name with its namespace, for services that know no namespaces."""
    if not tool.namespace:
        return tool.name
    return f"{tool.namespace.rstrip('_')}__{tool.name}"


_Offer = tuple[Tool, Body]
"""A tool the client runs, and its definition as a function."""


def _allowed(choice: Json, offered: list[_Offer]) -> tuple[Json, list[_Offer]]:
    """`allowed_tools` is a choice that names some of the tools: only those are sent."""
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return choice, offered
    names = {word(tool, "name") for tool in _objects(choice.get("tools"), "tool_choice")}
    return choice.get("mode"), [offer for offer in offered if offer[0].name in names]


def _offered(given: Iterable[Object], namespace: str = "") -> Iterator[_Offer]:
    for item in given:
        kind, name = word(item, "type"), word(item, "name")
        if kind == "namespace" and not namespace:
            yield from _offered(_objects(item.get("tools"), name), name)
        elif kind in ("function", "custom"):
            tool = Tool(name, namespace, custom=kind == "custom")
            define = _custom if tool.custom else _function
            yield tool, define(item, full_name(tool))
        elif not kind.startswith(_LEFT_OUT):
            raise BadRequest(
                f"tools: {quoted(kind)} is a tool that the service itself must run, and this "
                "model's service cannot: leave it out, or offer a function instead"
            )


def _objects(given: Json, where: str) -> list[Object]:
    if isinstance(given, list) and all(isinstance(item, dict) for item in given):
        return given
    raise BadRequest(f"{where}: tools must be a list of objects")


def _function(item: Object, name: str) -> Body:
    function: Body = {"name": name, "description": item.get("description")}
    function["parameters"] = item.get("parameters")
    return function | ({"strict": True} if item.get("strict") else {})


def _custom(item: Object, name: str) -> Body:
    """Chat completions know functions only: the text becomes their one argument."""
    form = item.get("format")
    lines = [word(item, "description")]
    if isinstance(form, dict) and form.get("type") == "grammar":
        lines.append(f"The {ARGUMENT} must follow this {word(form, 'syntax')} grammar:")
        lines.append(word(form, "definition"))
    text = {"type": "string", "description": "The text the tool gets, as it is."}
    schema = {"type": "object", "properties": {ARGUMENT: text}, "required": [ARGUMENT]}
    return {"name": name, "description": "\n".join(filter(None, lines)), "parameters": schema}


def _choice(choice: Json, offered: Sequence[Tool]) -> str | Body | None:
    """`tool_choice` as chat completions have it; `auto` goes without saying."""
    if choice in (None, "", "auto"):
        return None
    if choice in ("none", "required"):
        return str(choice)
    wanted = choice if isinstance(choice, dict) else {}
    name, namespace = wanted.get("name"), wanted.get("namespace")
    found = [tool for tool in offered if tool.name == name and namespace in (None, tool.namespace)]
    if not found:
        shown = name or wanted.get("type") or choice
        raise BadRequest(
            f"tool_choice: {quoted(str(shown))} is not among the tools that can be used"
        )
    return {"type": "function", "function": {"name": tools.sent_name(full_name(found[0]))}}
