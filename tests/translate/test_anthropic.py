"""/v1/messages in pure form: what is asked of an upstream, and how its answer is said."""

import json
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest, BridgeError, NotSupported, UpstreamBroke
from ollama_bridge.providers.provider import EFFORTS, Alias
from ollama_bridge.translate import anthropic
from ollama_bridge.translate.anthropic_stream import PING, Events, Head, Whole
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Ending, Stopwatch
from ollama_bridge.translate.tools import short_id
from ollama_bridge.wire import anthropic as wire

HI = [{"role": "user", "content": "hi"}]
PNG = "iVBORw0KGgoAAAANSUhEUg=="
PNG_URL = f"data:image/png;base64,{PNG}"
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
SHOWN = {"type": "image_url", "image_url": {"url": PNG_URL}}
WEATHER = {
    "name": "get_weather",
    "description": "Tell the weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def sent(
    own: Alias | None = None, extra: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    """The body for a request with these fields."""
    request = wire.decode(
        json.dumps({"model": "m", "max_tokens": 9, "messages": HI, **fields}).encode()
    )
    anthropic.check(request)
    return anthropic.to_openai(request, "up", extra=extra or {}, efforts=EFFORTS, own=own)[0]


def told(*turns: tuple[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The messages sent for these turns."""
    return sent(messages=[{"role": role, "content": content} for role, content in turns], **fields)[
        "messages"
    ]


def use(call_id: str, name: str = "get_weather", **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": given}


def result(call_id: str, content: Any = "sunny", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **more}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


# Requests


def test_the_least_request_asks_for_nothing_more():
    assert sent() == {"model": "up", "messages": HI, "stream": False, "max_tokens": 9}


def test_a_stream_asks_for_its_counters():
    assert sent(stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"temperature": 1}, {"temperature": 1}),
        ({"temperature": 0.0, "top_p": 0.5}, {"temperature": 0.0, "top_p": 0.5}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"top_k": 5}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9999}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "high"}}, {}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "endless"}}, {}),
        ({"metadata": {"user_id": "u"}, "service_tier": "auto", "container": None, "betas": ["x"]}, {}),
        ({"temperature": None, "top_p": None, "top_k": None, "stop_sequences": None, "tools": None, "tool_choice": None, "thinking": None, "system": None, "stream": None}, {}),
    ],
)  # fmt: skip
def test_options(fields: dict[str, Any], found: dict[str, Any]):
    assert sent(**fields) == {
        "model": "up",
        "messages": HI,
        "stream": False,
        "max_tokens": 9,
        **found,
    }


def test_top_k_goes_where_it_is_known():
    assert sent(top_k=5, extra={"top_k": "top_k"})["top_k"] == 5


def test_a_model_known_not_to_think_is_not_asked_to():
    request = wire.MessagesRequest("m", 9, [wire.Turn("user", "hi")], thinking={"type": "enabled"})
    body, _ = anthropic.to_openai(request, "up", extra={}, efforts=EFFORTS, thinks=False)
    assert "reasoning_effort" not in body


def test_an_output_schema():
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    form = sent(output_config={"format": {"type": "json_schema", "schema": schema}})[
        "response_format"
    ]
    assert form["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("system", "found"),
    [
        ("Be brief.", "Be brief."),
        (
            [text("Be brief.", cache_control={"type": "ephemeral"}), text("Be kind.")],
            "Be brief.\n\nBe kind.",
        ),
        ("", None),
        ([], None),
    ],
)
def test_the_system_prompt(system: Any, found: str | None):
    messages = sent(system=system)["messages"]
    assert messages == ([{"role": "system", "content": found}] if found else []) + HI


def test_a_system_turn_keeps_its_place():
    assert told(("user", "a"), ("system", "now briefly"), ("user", "b"))[1] == {
        "role": "system",
        "content": "now briefly",
    }


def test_a_model_of_ones_own():
    own = Alias(
        ("x",),
        system="In verse.",
        parameters={"temperature": 0.1, "top_p": 0.3},
        messages=({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}),
    )
    body = sent(own, temperature=0.9)
    assert [turn["content"] for turn in body["messages"]] == ["In verse.", "a", "b", "hi"]
    assert (body["temperature"], body["top_p"]) == (0.9, 0.3)
    assert sent(own, system="Mine.")["messages"][0]["content"] == "Mine."


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("hi", "hi"),
        ([text("one"), text("two", cache_control={"type": "ephemeral"})], "one\n\ntwo"),
        ([text(""), text("two")], "two"),
        ([text("See:"), PICTURE, text("What is it?")], [text("See:"), SHOWN, text("What is it?")]),
        ([{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}], [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}], [SHOWN]),
        ([{"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}}], [{"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}]),
        ([{"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "D"}}], "T\n\nD"),
        ([{"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "aGVsbG8="}}], "hello"),
        ([{"type": "document", "context": "C", "source": {"type": "content", "content": [text("D"), PICTURE]}}], [text("C"), text("D"), SHOWN]),
        ([{"type": "document", "source": {"type": "content", "content": "D"}}], "D"),
        ([{"type": "search_result", "title": "T", "source": "https://x", "content": [text("D")]}], "T\n\nhttps://x\n\nD"),
        ([{"type": "container_upload", "file_id": "f"}, text("hi"), {"type": "of tomorrow"}, {}, None], "hi"),
    ],
)  # fmt: skip
def test_what_a_user_says(content: Any, found: Any):
    assert told(("user", content)) == [{"role": "user", "content": found}]


def test_a_turn_of_unknown_blocks_only_is_left_out():
    assert told(("user", "hi"), ("user", [{"type": "of tomorrow"}])) == HI


def test_a_document_of_odd_bytes_that_is_not_base64():
    document = {
        "type": "document",
        "source": {"type": "base64", "media_type": "text/plain", "data": "?"},
    }
    with pytest.raises(BadRequest, match="not base64"):
        told(("user", [document]))


def test_a_round_trip_of_tools():
    found = told(
        ("user", "Weather?"),
        ("assistant", [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            text("Let me see."),
            use("toolu_1", city="Paris"),
            use("toolu_2", city="Rome"),
        ]),
        ("user", [text("And quickly."), result("toolu_2", "rain"), result("toolu_1", [text("sun"), text("wind")])]),
    )  # fmt: skip
    assert [turn["role"] for turn in found] == ["user", "assistant", "tool", "tool", "user"]
    assert found[1]["content"] == "Let me see."
    calls = found[1]["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    assert [call["id"] for call in calls] == [short_id("toolu_1"), short_id("toolu_2")]
    assert {turn["tool_call_id"]: turn["content"] for turn in found[2:4]} == {
        calls[0]["id"]: "sun\n\nwind",
        calls[1]["id"]: "rain",
    }
    assert found[4]["content"] == "And quickly."


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (result("t", "no such file", is_error=True), "Error: no such file"),
        (result("t", None, is_error=True), "Error"),
        (result("t", None), ""),
        (result("t", []), ""),
        (result("t", [{"type": "document", "source": {"type": "text", "data": "D"}}]), "D"),
    ],
)
def test_results(block: dict[str, Any], said: str):
    assert told(("assistant", [use("t")]), ("user", [block]))[1]["content"] == said


def test_pictures_of_a_result_follow_it():
    found = told(
        ("assistant", [use("t")]), ("user", [result("t", [text("Here:"), PICTURE]), text("See?")])
    )
    assert [turn["role"] for turn in found] == ["assistant", "tool", "user", "user"]
    assert found[1]["content"] == "Here:"
    assert SHOWN in found[2]["content"]


def test_a_call_without_result_gets_one():
    found = told(("assistant", [use("t")]), ("user", "Never mind."))
    assert [turn["role"] for turn in found] == ["assistant", "tool", "user"]


def test_work_of_anthropics_servers_in_the_history_is_skipped():
    blocks = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        text("Found."),
    ]
    assert told(("user", "a"), ("assistant", blocks))[1] == {
        "role": "assistant",
        "content": "Found.",
    }


# Tools


def test_tools_and_their_names():
    name = "mcp.files/read"
    request = wire.MessagesRequest(
        "m",
        9,
        [wire.Turn("user", "hi")],
        tools=[WEATHER, {**WEATHER, "name": name, "type": "custom", "cache_control": {}}],
    )
    body, names = anthropic.to_openai(request, "up", extra={}, efforts=EFFORTS)
    first, second = (tool["function"] for tool in body["tools"])
    assert first == {
        "name": "get_weather",
        "description": "Tell the weather",
        "parameters": WEATHER["input_schema"],
    }
    assert names == {second["name"]: name}


def test_tools_of_anthropics_servers_are_left_out():
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert [tool["function"]["name"] for tool in sent(tools=[search, WEATHER])["tools"]] == [
        "get_weather"
    ]
    assert sent(tools=[search], tool_choice={"type": "auto"}) == sent()


@pytest.mark.parametrize(
    ("kind", "name", "needs"),
    [
        ("bash_20250124", "bash", "command"),
        ("text_editor_20250728", "str_replace_based_edit_tool", "path"),
    ],
)
def test_tools_that_the_client_runs_but_does_not_describe(kind: str, name: str, needs: str):
    function = sent(tools=[{"type": kind, "name": name}])["tools"][0]["function"]
    assert function["name"] == name
    assert function["description"]
    assert needs in function["parameters"]["properties"]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "get_weather"},
            {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        ),
        (
            {"type": "auto", "disable_parallel_tool_use": True},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        ({"type": "any", "disable_parallel_tool_use": False}, {"tool_choice": "required"}),
        (None, {}),
    ],
)
def test_tool_choice(choice: Any, found: dict[str, Any]):
    body = sent(tools=[WEATHER], tool_choice=choice)
    assert {
        key: body[key] for key in ("tool_choice", "parallel_tool_calls") if key in body
    } == found


# Refusals

BAD: list[tuple[dict[str, Any], type[BridgeError], str]] = [
    ({"model": ""}, BadRequest, "model is required"),
    ({"model": None}, BadRequest, "model is required"),
    ({"max_tokens": 0}, BadRequest, "max_tokens is required and must be positive"),
    ({"max_tokens": None}, BadRequest, "max_tokens is required and must be positive"),
    ({"max_tokens": -1}, BadRequest, "max_tokens is required and must be positive"),
    ({"messages": []}, BadRequest, "messages is required"),
    ({"messages": None}, BadRequest, "messages is required"),
    ({"model": 1}, BadRequest, "json: cannot unmarshal number into Go struct field MessagesRequest.model of type string"),
    ({"temperature": "hot"}, BadRequest, "json: cannot unmarshal string into Go struct field MessagesRequest.temperature of type float64"),
    ({"messages": [{"role": "user", "content": 1}]}, BadRequest, "messages.content must be a string or a list of content blocks"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, BadRequest, "messages.content must be a string or a list of content blocks"),
    ({"messages": [{"role": "assistant", "content": [text("x"), {"type": "tool_use", "id": "", "name": "f"}]}]}, BadRequest, "messages[0].content[1]: tool_use needs an id and a name"),
    ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "i", "name": "f", "input": [1]}]}]}, BadRequest, "messages[0].content[0]: the input of tool_use must be an object"),
    ({"messages": [{"role": "user", "content": [result("i", 7)]}]}, BadRequest, "messages[0].content[0]: the content of tool_result must be a string or blocks"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]}, NotSupported, "messages[0].content[0]: invalid image source type: file. Send the image as base64, or its web address"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}]}]}, NotSupported, "messages[0].content[0]: invalid image source type: url. Send the image as base64, or its web address"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}]}]}, NotSupported, "messages[0].content[0]: documents of type application/pdf are not supported: send their text, or their pages as images"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}]}]}, NotSupported, "messages[0].content[0]: documents of type url are not supported: send their text, or their pages as images"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "ü"}}]}]}, BadRequest, "messages[0].content[0]: the document's data is not base64"),
    ({"tools": [{"input_schema": {}}]}, BadRequest, "a tool needs a name"),
    ({"tools": [{"name": "f", "input_schema": "x"}]}, BadRequest, "the input_schema of tool f must be an object"),
    ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, NotSupported, "tools of type computer_20250124 are not supported: describe the tool with an input_schema"),
    ({"tools": [WEATHER], "tool_choice": {"type": "most"}}, BadRequest, "tool_choice.type must be auto, any, tool or none, not 'most'"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "f"}}, NotSupported, 'tool_choice names "f", which is not among the tools the client carries out'),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}], "tool_choice": {"type": "tool", "name": "web_search"}}, NotSupported, 'tool_choice names "web_search", which is not among the tools the client carries out'),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kind", "message"), BAD)
def test_what_is_refused_and_why(fields: dict[str, Any], kind: type[BridgeError], message: str):
    with pytest.raises(kind) as caught:
        sent(**fields)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "EOF"),
        (b" \n", "EOF"),
        (b'{"model":"x",', "unexpected EOF"),
        (b"abc", "invalid character 'a' looking for beginning of value"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.MessagesRequest"),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, message: str):
    with pytest.raises(BadRequest) as caught:
        wire.decode(body)
    assert caught.value.message == message


def test_a_body_is_read_as_go_reads_it():
    request = wire.decode(
        b'{"MODEL":"m","Max_Tokens":1,"messages":[{"Role":"user","content":"\\ud83d"}],"x":1} junk'
    )
    assert (request.model, request.max_tokens) == ("m", 1)
    assert request.messages == [wire.Turn("user", "\ufffd")]
    assert wire.decode(b"null") == wire.MessagesRequest()


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
WORDS = st.sampled_from(
    [
        "text",
        "image",
        "tool_use",
        "tool_result",
        "document",
        "search_result",
        "base64",
        "url",
        "content",
        "enabled",
        "tool",
        "any",
        "custom",
        "bash_1",
    ]
)
KEYS = st.sampled_from(
    [
        "type",
        "text",
        "source",
        "data",
        "media_type",
        "content",
        "id",
        "name",
        "input",
        "tool_use_id",
        "is_error",
        "title",
        "input_schema",
        "effort",
        "format",
        "schema",
        "role",
    ]
)
JUNK = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
BLOCKS = st.lists(st.dictionaries(KEYS, WORDS | JUNK, max_size=6), max_size=4)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "x"]), "content": BLOCKS}
    ),
    min_size=1,
    max_size=4,
)
FIELDS = st.fixed_dictionaries(
    {"messages": TURNS},
    optional=dict.fromkeys(
        (
            "system",
            "tools",
            "tool_choice",
            "thinking",
            "output_config",
            "stop_sequences",
            "temperature",
            "top_k",
        ),
        JUNK | BLOCKS,
    ),
)


@given(FIELDS)
@settings(max_examples=300, deadline=None)
def test_whatever_is_sent_is_translated_or_refused(fields: dict[str, Any]):
    try:
        body = sent(**fields)
    except BridgeError:
        return
    assert msgspec.json.encode(body)
    assert anthropic.characters(body) >= 0


# Estimates


def test_everything_a_model_reads_is_counted():
    plain = anthropic.characters(sent())
    assert plain == 2
    assert anthropic.characters(sent(system="1234")) == plain + 4
    assert anthropic.characters(sent(tools=[WEATHER])) > plain + 100
    assert (
        anthropic.characters(
            {"messages": told(("assistant", [use("t", x="1234")]), ("user", [result("t", "12")]))}
        )
        == len('get_weather{"x":"1234"}') + 2
    )
    shown = anthropic.characters({"messages": told(("user", [text("1"), PICTURE]))})
    assert shown == anthropic.IMAGE_CHARACTERS + 1


# Replies

HEAD = Head("m", "seed", 7, "req_1")
MESSAGE_ID = anthropic.long_id("msg_", "seed")


def answer(
    *, whole: bool = False, stops: tuple[str, ...] = (), **options: Any
) -> tuple[Reply, Events | Whole]:
    ending = Ending(stops)
    writer = (Whole if whole else Events)(HEAD, ending)
    ticks = count(1, 1_000)
    return Reply(
        writer,
        Stopwatch(lambda: next(ticks)),
        provider="lab",
        ending=ending,
        drop_cut_calls=True,
        **options,
    ), writer


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **more.pop("choice", {})}
    return b"data: %b\n\n" % json.dumps({"choices": [choice]} | more).encode()


def events(data: bytes) -> list[dict[str, Any]]:
    """What an event stream holds, checked: each name is that of its object."""
    found = []
    for event in data.decode().split("\n\n")[:-1]:
        name, payload = event.split("\n")
        found.append(json.loads(payload.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def streamed(*chunks: bytes, **options: Any) -> list[dict[str, Any]]:
    reply, _ = answer(**options)
    return events(reply.feed(b"".join(chunks)) + reply.close())


USAGE = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5}}
COUNTED = b"data: %b\n\n" % json.dumps(USAGE).encode()
COUNTERS = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
CALL = {
    "index": 0,
    "id": "call_1",
    "function": {"name": "get_weather", "arguments": '{"city":"Par'},
}
REST = {"index": 0, "function": {"arguments": 'is"}'}}
OTHER = {"index": 1, "id": "call_2", "function": {"name": "get_weather", "arguments": ""}}


def test_the_events_of_a_text():
    assert streamed(chunk({"content": "Hel"}), chunk({"content": "lo"}, "stop"), COUNTED) == [
        {"type": "message_start", "message": {"id": MESSAGE_ID, "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 7, **COUNTERS, "output_tokens": 0}}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": text("")},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"input_tokens": 11, **COUNTERS, "output_tokens": 5}},
        {"type": "message_stop"},
    ]  # fmt: skip


def test_the_events_of_thinking_text_and_calls():
    found = streamed(
        chunk({"reasoning": "Hm"}), chunk({"reasoning": "."}), chunk({"content": "So:"}),
        chunk({"tool_calls": [CALL]}), chunk({"tool_calls": [REST, OTHER]}), chunk(finish="tool_calls"),
    )  # fmt: skip
    starts = [event["content_block"] for event in found if event["type"] == "content_block_start"]
    assert [block["type"] for block in starts] == ["thinking", "text", "tool_use", "tool_use"]
    assert starts[0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert [block["input"] for block in starts[2:]] == [{}, {}]
    assert starts[2]["id"] != starts[3]["id"]
    assert all(block["id"].startswith("toolu_") for block in starts[2:])
    deltas = [event["delta"] for event in found if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == ["thinking_delta"] * 2 + [
        "signature_delta",
        "text_delta",
    ] + ["input_json_delta"] * 2
    assert deltas[2]["signature"]
    assert [json.loads(delta["partial_json"]) for delta in deltas[4:]] == [{"city": "Paris"}, {}]
    order = [event["index"] for event in found if "index" in event]
    assert order == sorted(order)
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_whole_message_says_what_a_stream_says():
    body = {
        "choices": [
            {
                "message": {
                    "reasoning": "Hm.",
                    "content": "So:",
                    "tool_calls": [CALL | {"function": {"name": "f", "arguments": '{"a":1}'}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": USAGE["usage"],
    }
    reply, _ = answer(whole=True)
    message = json.loads(reply.whole(json.dumps(body).encode()) + reply.close())
    signature = message["content"][0].pop("signature")
    assert message == {
        "id": MESSAGE_ID, "type": "message", "role": "assistant", "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Hm."},
            text("So:"),
            {"type": "tool_use", "id": anthropic.long_id("toolu_", "seed", 0, "call_1"), "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use", "stop_sequence": None,
        "usage": {"input_tokens": 11, **COUNTERS, "output_tokens": 5},
    }  # fmt: skip
    live = streamed(chunk({"reasoning": "Hm."}), chunk({"content": "x"}, "stop"))
    assert [
        e["delta"]["signature"] for e in live if e.get("delta", {}).get("type") == "signature_delta"
    ] == [signature]


@pytest.mark.parametrize(
    ("finish", "more", "reason", "stop"),
    [
        ("stop", {}, "end_turn", None),
        ("eos", {"stop_reason": 42}, "end_turn", None),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END"),
        ("stop", {"matched_stop": "END"}, "stop_sequence", "END"),
        ("stop", {"matched_stop": "</s>"}, "end_turn", None),
        ("length", {}, "max_tokens", None),
        ("max_tokens", {}, "max_tokens", None),
        ("content_filter", {}, "refusal", None),
    ],
)
def test_why_an_answer_ended(finish: str, more: dict[str, Any], reason: str, stop: str | None):
    said = chunk({"content": "x"}) + chunk(finish=finish, choice=more)
    assert streamed(said, stops=("END",))[-2]["delta"] == {
        "stop_reason": reason,
        "stop_sequence": stop,
    }
    reply, _ = answer(whole=True, stops=("END",))
    message = json.loads(reply.feed(said) + reply.close())
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, stop)


def test_a_stop_sequence_that_is_watched_for_here():
    reply, _ = answer(stops=("5", "END"))
    reply.stop_at(["END"])
    found = events(
        reply.feed(chunk({"content": "a E"}) + chunk({"content": "ND b"})) + reply.close()
    )
    assert "".join(e["delta"]["text"] for e in found if e["type"] == "content_block_delta") == "a "
    assert found[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_a_call_that_the_limit_cut_off_is_the_limits_end():
    found = streamed(
        chunk({"content": "So:"}), chunk({"tool_calls": [CALL]}), chunk(finish="length")
    )
    assert [e["content_block"]["type"] for e in found if e["type"] == "content_block_start"] == [
        "text"
    ]
    assert found[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_call_cut_off_for_no_reason_is_an_error():
    assert (
        streamed(chunk({"tool_calls": [CALL]}), chunk(finish="tool_calls"))[-1]["type"] == "error"
    )


def test_an_empty_answer_is_a_message_without_blocks():
    names = [event["type"] for event in streamed(chunk(finish="stop"))]
    assert names == ["message_start", "ping", "message_delta", "message_stop"]
    reply, _ = answer(whole=True)
    assert json.loads(reply.feed(chunk(finish="stop")) + reply.close())["content"] == []


def test_thinking_the_client_does_not_want():
    found = streamed(
        chunk({"reasoning": "Hm."}), chunk({"content": "x"}, "stop"), show_thinking=False
    )
    assert [e["content_block"]["type"] for e in found if e["type"] == "content_block_start"] == [
        "text"
    ]


@pytest.mark.parametrize(
    ("thinking", "shown"),
    [
        (None, True),
        ({"type": "enabled"}, True),
        ({"type": "disabled"}, False),
        ({"type": "adaptive", "display": "omitted"}, False),
        ({"type": "adaptive", "display": "summarized"}, True),
    ],
)
def test_when_thinking_is_shown(thinking: Any, shown: bool):
    assert anthropic.shows_thinking(wire.MessagesRequest(thinking=thinking)) is shown


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (429, "rate_limit_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
        (502, "api_error"),
        (504, "api_error"),
    ],
)
def test_an_error_event_after_the_beginning(status: int, kind: str):
    reply, _ = answer()
    found = events(
        reply.feed(chunk({"content": "x"}))
        + reply.fail(UpstreamBroke("lab broke off", status=status))
    )
    assert found[-1] == {
        "type": "error",
        "error": {"type": kind, "message": "lab broke off"},
        "request_id": "req_1",
    }
    assert reply.close() == b""


def test_a_stream_that_stops_early_does_not_look_complete():
    assert streamed(chunk({"content": "x"}))[-1]["type"] == "error"


def test_a_ping_begins_a_message_and_then_only_says_that_it_lives():
    reply, writer = answer()
    assert isinstance(writer, Events)
    assert [event["type"] for event in events(writer.ping())] == ["message_start", "ping"]
    assert writer.ping() == PING
    assert [event["type"] for event in events(reply.feed(chunk({"content": "x"}, "stop")))] == [
        "content_block_start",
        "content_block_delta",
    ]


ALL = (
    chunk({"reasoning_content": "Hm… 😀"}) + chunk({"content": "Grüße"}) + chunk({"content": " — \u2028"})
    + chunk({"tool_calls": [CALL]}) + chunk({"tool_calls": [REST]}) + chunk(finish="tool_calls") + COUNTED + b"data: [DONE]\n\n"
)  # fmt: skip


@given(st.lists(st.integers(0, len(ALL)), max_size=12).map(sorted))
@settings(max_examples=60, deadline=None)
def test_any_cutting_gives_the_same_events(cuts: list[int]):
    reply, _ = answer()
    pieces = [ALL[a:b] for a, b in zip([0, *cuts], [*cuts, len(ALL)], strict=True)]
    said = b"".join([reply.feed(piece) for piece in pieces if piece]) + reply.close()
    assert events(said) == streamed(ALL)
    assert said.isascii()
