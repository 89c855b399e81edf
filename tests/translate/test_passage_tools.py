"""Tools that pass through /v1: bytes where nothing is wrong, whole schemas where something was."""

import json
from typing import Any

import msgspec
import pytest

from ollama_bridge.translate import passage, passage_tools

WHOLE = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def mended(tools: str, **more: Any) -> Any:
    body = f'{{"tools":{tools},"more":{json.dumps(more)}}}'.encode()
    request = passage.read(body, passage.CHAT)
    passage_tools.mend(request)
    return request


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "strict": True, "function": {"name": "f", **function}}


@pytest.mark.parametrize(
    "tools",
    [
        [tool(parameters=WHOLE)],
        [tool()],
        [{"type": "web_search"}],
        [tool(parameters={"type": "object", "properties": {}})],
        [tool(parameters="text")],
        [7],
        {"a": 1},
        "text",
    ],
)
def test_what_needs_nothing_stays_the_bytes_it_was(tools: Any) -> None:
    sent = json.dumps(tools, indent=1)
    assert bytes(mended(sent).fields["tools"]) == sent.encode()


@pytest.mark.parametrize(
    ("parameters", "whole"),
    [
        ({}, {"type": "object", "properties": {}}),
        (None, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "properties": {}, "additionalProperties": False},
        ),
    ],
)
def test_half_a_schema_is_made_whole(parameters: Any, whole: Any) -> None:
    """And the rest of the tool, and its neighbours, are left alone."""
    tools = [tool(parameters=parameters, description="d"), tool(parameters=WHOLE), {"type": "x"}]
    assert mended(json.dumps(tools)).value("tools") == [
        tool(parameters=whole, description="d"),
        tools[1],
        tools[2],
    ]


def test_a_schema_of_another_type_is_the_upstreams_to_refuse() -> None:
    assert mended(json.dumps([tool(parameters={"type": "string"})])).value("tools") == [
        tool(parameters={"type": "string", "properties": {}})
    ]


@pytest.mark.parametrize("tools", ["[]", "[ ]", "null"])
def test_no_tools_at_all_are_not_sent(tools: str) -> None:
    body = f'{{"model":"m","tools":{tools},"tool_choice":"auto","parallel_tool_calls":true}}'
    request = passage.read(body.encode(), passage.CHAT)
    passage_tools.mend(request)
    assert set(request.fields) == {"model"}


def test_without_tools_nothing_is_touched() -> None:
    request = passage.read(b'{"model":"m","tool_choice":"none"}', passage.CHAT)
    passage_tools.mend(request)
    assert request.fields == {"model": msgspec.Raw(b'"m"'), "tool_choice": msgspec.Raw(b'"none"')}
