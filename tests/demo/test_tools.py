"""Which tool is called, with what, and what is said of its result."""

import json

import pytest
from demo.asking import PLAY, WEATHER, ask, chat, events


async def test_tool_call_takes_its_arguments_from_the_question(client):
    (choice,) = (await chat(client, ask(tools=[PLAY, WEATHER])))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {
        "city": "New York",
        "days": 3,
        "unit": "fahrenheit",
    }


@pytest.mark.parametrize(
    ("question", "city"),
    [
        ("Weather in Paris?", "Paris"),
        ("Please look. Weather of Rome!", "Rome"),
        ("Paris weather", "Paris"),
        ("New York weather", "New York"),
        ("Is the weather in São Paulo or Oslo better?", "São Paulo"),
        ("Show me the weather in Łódź", "Łódź"),
        ("how is the weather here", "how is the weather here"),
    ],
)
async def test_names_in_the_question(client, question, city):
    (choice,) = (await chat(client, ask(question, tools=[WEATHER])))["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["city"] == city


async def test_tool_call_is_streamed_in_fragments(client):
    (call,) = (await chat(client, ask(tools=[WEATHER])))["choices"][0]["message"]["tool_calls"]
    chunks = await events(client, ask(tools=[WEATHER]))
    deltas = [c["choices"][0]["delta"] for c in chunks]
    pieces = [piece for delta in deltas for piece in delta.get("tool_calls", ())]
    assert len(pieces) > 5
    assert {piece["index"] for piece in pieces} == {0}
    assert pieces[0] == {
        "index": 0,
        "id": call["id"],
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert all(piece.keys() == {"index", "function"} for piece in pieces[1:])
    arguments = "".join(piece["function"]["arguments"] for piece in pieces)
    assert arguments == call["function"]["arguments"]


@pytest.mark.parametrize(
    ("question", "tools", "choice", "called"),
    [
        ("Play something", [WEATHER, PLAY], None, "playMusic"),
        ("Music, please", [WEATHER, PLAY], "auto", "playMusic"),
        ("What is the weather like?", [WEATHER], "auto", "get_weather"),
        ("Which cities are big?", [WEATHER], None, None),
        ("Hello, who are you?", [WEATHER, PLAY], None, None),
        ("What is the weather like?", [WEATHER], "none", None),
        ("Hello", [WEATHER, PLAY], "required", "get_weather"),
        ("Play music", [WEATHER, PLAY], "required", "playMusic"),
        (
            "Play",
            [WEATHER, PLAY],
            {"type": "function", "function": {"name": "get_weather"}},
            "get_weather",
        ),
        ("Weather", [], "auto", None),
        ("Weather", [], "required", None),
    ],
)
async def test_which_tool(client, question, tools, choice, called):
    (answer,) = (await chat(client, ask(question, tools=tools, tool_choice=choice)))["choices"]
    calls = answer["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([called] if called else [])
    assert answer["finish_reason"] == ("tool_calls" if called else "stop")


async def test_tool_results_are_quoted_in_order(client):
    calls = [
        {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "playMusic", "arguments": "{}"}},
    ]
    body = ask(tools=[WEATHER, PLAY])
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": "7 degrees"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "la la"}]},
    ]
    (choice,) = (await chat(client, body))["choices"]
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "stop"
    assert text.startswith("The tool get_weather answered: “7 degrees”")
    assert "The tool playMusic answered: “la la”" in text
    assert "built-in demo model" in text


async def test_ids_of_calls_differ_from_turn_to_turn(client):
    body = ask(tools=[WEATHER])
    first = await chat(client, body)
    body["messages"] = [*body["messages"], {"role": "assistant", "content": ""}, *body["messages"]]
    second = await chat(client, body)
    ids = {reply["choices"][0]["message"]["tool_calls"][0]["id"] for reply in (first, second)}
    assert len(ids) == 2
