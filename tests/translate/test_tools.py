"""Tool calls in all the forms servers send them (upstream-quirks C1 to C16)."""

import json
from typing import Any

import pytest

from ollama_bridge.translate import tools
from ollama_bridge.wire import openai

Expected = list[tuple[str, dict[str, Any]]]


def piece(
    index: int | None = None, call_id: str | None = None, name: str | None = None, text: Any = None
) -> openai.ToolCall:
    return openai.ToolCall(index, call_id, openai.Function(name, text))


def gathered(*pieces: openai.ToolCall) -> list[tools.Call]:
    gatherer = tools.Gatherer()
    for one in pieces:
        gatherer.feed([one])
    return gatherer.close({}, "seed")


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [piece(0, "A", "f", '{"a"'), piece(0, text=":1"), piece(0, text="}")],
            [("f", {"a": 1})],
            id="pieces",
        ),
        pytest.param(
            [piece(0, "A", "f", "{}"), piece(1, "B", "g", '{"b"'), piece(1, text=":2}")],
            [("f", {}), ("g", {"b": 2})],
            id="two calls",
        ),
        pytest.param(
            [
                piece(0, "A", "f", '{"a"'),
                piece(1, "B", "g", '{"b"'),
                piece(0, text=":1}"),
                piece(1, text=":2}"),
            ],
            [("f", {"a": 1}), ("g", {"b": 2})],
            id="two calls in turn",
        ),
        pytest.param(
            [piece(None, "A", "f", '{"a":1}'), piece(None, "B", "g", '{"b":2}')],
            [("f", {"a": 1}), ("g", {"b": 2})],
            id="C1: no index",
        ),
        pytest.param(
            [piece(None, "A", "f", '{"a"'), piece(None, None, None, ":1}")],
            [("f", {"a": 1})],
            id="C1: no index, in pieces",
        ),
        pytest.param(
            [piece(None, "", "f", '{"a":1}'), piece(None, "", "f", '{"a":2}')],
            [("f", {"a": 1}), ("f", {"a": 2})],
            id="C1: no index, no id",
        ),
        pytest.param(
            [
                piece(0, "A", "f", '{"a":1}'),
                piece(0, "B", "f", '{"a":2}'),
                piece(0, None, None, ""),
            ],
            [("f", {"a": 1}), ("f", {"a": 2})],
            id="C2: all with index 0",
        ),
        pytest.param(
            [piece(0, "A", "f", ""), piece(0, "B", "f", '{"a":2}'), piece(0, "A", None, None)],
            [("f", {}), ("f", {"a": 2})],
            id="C2: the first without arguments",
        ),
        pytest.param(
            [piece(0, "", "f", '{"a":1}'), piece(0, "", "g", '{"b":2}')],
            [("f", {"a": 1}), ("g", {"b": 2})],
            id="C2: all with index 0, no ids",
        ),
        pytest.param(
            [piece(0, "A", "f", '{"a"'), piece(0, "A", "f", ":1"), piece(0, "A", "f", "}")],
            [("f", {"a": 1})],
            id="C5: id and name in every piece",
        ),
        pytest.param(
            [piece(0, "A", "f", '{"a"'), piece(0, "", "", ":1"), piece(0, None, None, "}")],
            [("f", {"a": 1})],
            id="C6, C11: empty names and ids later",
        ),
        pytest.param(
            [piece(0, "", "f", ""), piece(0, "A", "", '{"a":1}')],
            [("f", {"a": 1})],
            id="the id later",
        ),
        pytest.param(
            [piece(0, "A", None, None), piece(0, None, "f", None), piece(0, None, None, '{"a":1}')],
            [("f", {"a": 1})],
            id="the name later",
        ),
        pytest.param([piece(0, "A", "f", '{}{"a":1}')], [("f", {"a": 1})], id="C7: {} first"),
        pytest.param(
            [piece(0, "A", "f", '{"a":1}{"a":2}')],
            [("f", {"a": 1}), ("f", {"a": 2})],
            id="C7: two objects",
        ),
        pytest.param([piece(0, "A", "f", "{}{}")], [("f", {})], id="C7: twice nothing"),
        pytest.param(
            [piece(0, "A", "f", '{"a'), piece(0, text='{"a":'), piece(0, text='{"a":1}')],
            [("f", {"a": 1})],
            id="C8: each repeats all",
        ),
        pytest.param(
            [piece(0, "A", "f", '{"a":1}'), piece(0, text='{"a":1}')],
            [("f", {"a": 1})],
            id="C8: said twice",
        ),
        pytest.param(
            [piece(0, "A", "f", '{"a":'), piece(0, text='{"a":1}}')],
            [("f", {"a": {"a": 1}})],
            id="looks like C8, is not",
        ),
        pytest.param([piece(0, "A", "f", "")], [("f", {})], id="C9: blank"),
        pytest.param([piece(0, "A", "f", None)], [("f", {})], id="C9: null"),
        pytest.param([piece(0, "A", "f", "null")], [("f", {})], id="C9: the text null"),
        pytest.param([piece(0, "A", "f", " {} ")], [("f", {})], id="C9: empty"),
        pytest.param([piece(0, "A", "f", "[]")], [("f", {})], id="C9: PHP's empty object"),
        pytest.param([piece(0, "A", "f", {"a": [1]})], [("f", {"a": [1]})], id="C9: an object"),
        pytest.param([piece(0, "A", "f", {})], [("f", {})], id="C9: an empty object"),
        pytest.param([piece(0, "A", "f", '"{\\"a\\":1}"')], [("f", {"a": 1})], id="encoded twice"),
        pytest.param([piece(0, "A", "f", "{'a': 'b'}")], [("f", {"a": "b"})], id="C10: quotes"),
        pytest.param([piece(0, "A", "f", '{"a":[1,],}')], [("f", {"a": [1]})], id="C10: commas"),
        pytest.param([piece(0, "A", "f", '{"a":"1\n2"}')], [("f", {"a": "1\n2"})], id="C10: line"),
        pytest.param(
            [piece(0, "A", "f", '```json\n{"a":1}\n```')], [("f", {"a": 1})], id="C10: fence"
        ),
        pytest.param(
            [piece(0, "A", "f", '{"a":True,"b":None,"c":"None, True,]",}')],
            [("f", {"a": True, "b": None, "c": "None, True,]"})],
            id="C10: Python's words, but not inside text",
        ),
        pytest.param([piece(0, "A", "f", '{"a":NaN}')], [("f", {"a": None})], id="not a number"),
        pytest.param(
            [piece(0, "A", "f", '{"n":123456789012345678901234567890}')],
            [("f", {"n": 123456789012345678901234567890})],
            id="a number past 64 bits",
        ),
        pytest.param([piece(0, "", "", ""), piece(0, None, None, None)], [], id="nothing at all"),
    ],
)
def test_gathering(pieces: list[openai.ToolCall], calls: Expected):
    found = gathered(*pieces)
    assert [(call.name, call.arguments) for call in found] == calls
    assert len({call.id for call in found}) == len(found)
    assert all(call.id for call in found)


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([piece(0, "A", "f", '{"a":"b')], "tool f are not complete JSON"),
        ([piece(0, "A", "f", "{}"), piece(1, "B", "g", '{"a":')], "tool g are not complete"),
        ([piece(0, "A", "f", "[1]")], "tool f are not complete"),
        ([piece(0, "A", "f", '{"a":1}x')], "tool f are not complete"),
        ([piece(0, "A", "f", '{"a": what?}')], "tool f are not complete"),
        ([piece(0, "A", "", "{}")], "no name"),
        ([piece(0, None, None, '{"a":1}')], "no name"),
    ],
)
def test_calls_nobody_can_carry_out(pieces: list[openai.ToolCall], reason: str):
    with pytest.raises(tools.Unusable, match=reason):
        gathered(*pieces)


def test_whole_calls_are_never_joined():
    gatherer = tools.Gatherer()
    gatherer.whole(
        [piece(0, "", "f", '{"a":1}'), piece(0, "", "f", {"a": 2}), piece(None, "", "g")]
    )
    calls = gatherer.close({}, "seed")
    assert [(call.name, call.arguments) for call in calls] == [
        ("f", {"a": 1}),
        ("f", {"a": 2}),
        ("g", {}),
    ]


def test_ids_are_kept_or_made():
    gatherer = tools.Gatherer()
    gatherer.whole([piece(0, "call_1", "f"), piece(1, "call_1", "f"), piece(2, "", "f")])
    ids = [call.id for call in gatherer.close({}, "seed")]
    assert ids[0] == "call_1"
    assert all(tools.suits_every_upstream(call_id) for call_id in ids[1:])
    assert len(set(ids)) == 3


def test_made_ids_differ_between_answers():
    gatherer = tools.Gatherer()
    gatherer.whole([piece(0, "", "f")])
    assert gatherer.close({}, "one")[0].id != gatherer.close({}, "two")[0].id


def test_arguments_without_end_are_refused():
    gatherer = tools.Gatherer()
    half = "x" * (tools.LIMIT // 2 - 1)  # name and id count too
    gatherer.feed([piece(0, "A", "f", half), piece(0, text=half)])
    with pytest.raises(ValueError, match="without end"):
        gatherer.feed([piece(0, text="x")])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("get_weather", True),
        ("a-b_C9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("home/weather.now", False),
        ("Wetter für alle", False),
        ("", False),
    ],
)
def test_names_suit_every_upstream_and_come_back(name: str, kept: bool):
    sent, names = tools.to_openai([{"type": "function", "function": {"name": name}}])
    as_sent = sent[0]["function"]["name"]
    assert (as_sent == name) is kept
    assert 1 <= len(as_sent) <= 64
    assert all(char.isascii() and (char.isalnum() or char in "_-") for char in as_sent)

    gatherer = tools.Gatherer()
    gatherer.whole([piece(0, "A", as_sent)])
    assert gatherer.close(names, "seed")[0].name == name


def test_names_that_look_alike_stay_apart():
    listed = [{"function": {"name": name}} for name in ("a.b", "a/b", "a b", "a_b")]
    sent, names = tools.to_openai(listed)
    assert len({tool["function"]["name"] for tool in sent}) == 4
    assert sorted(names.values()) == ["a b", "a.b", "a/b"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"name": "f"}, {"name": "f", "parameters": {"type": "object", "properties": {}}}),
        (
            {"name": "f", "description": "", "parameters": None, "strict": None},
            {"name": "f", "parameters": {"type": "object", "properties": {}}},
        ),
        (
            {"name": "f", "parameters": {"type": "object", "required": None, "properties": None}},
            {"name": "f", "parameters": {"type": "object", "properties": {}}},
        ),
        (
            {
                "name": "f",
                "description": "Does it",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": ["string", "null"], "default": None}},
                    "$defs": {"x": {"oneOf": []}},
                    "additionalProperties": False,
                },
            },
            {
                "name": "f",
                "description": "Does it",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": ["string", "null"], "default": None}},
                    "$defs": {"x": {"oneOf": []}},
                    "additionalProperties": False,
                },
            },
        ),
    ],
)
def test_definitions(given: dict[str, Any], sent: dict[str, Any]):
    tool = {"type": "function", "function": given}
    before = json.dumps(tool)
    assert tools.to_openai([tool]) == ([{"type": "function", "function": sent}], {})
    assert json.dumps(tool) == before, "the client's request is not ours to change"
