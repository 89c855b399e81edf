"""Requests of /v1/responses as chat completions (ollama-api 8.6)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest
from ollama_bridge.providers.provider import EFFORTS, Alias
from ollama_bridge.translate import responses
from ollama_bridge.translate.responses_tools import Tool
from ollama_bridge.translate.tools import sent_name, short_id
from ollama_bridge.wire import responses as wire

PICTURE = "data:image/png;base64,iVBORw0KGgo="
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at":"x"}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "a heron"}


def request(**fields: Any) -> wire.Request:
    given = {"model": "m", "input": "hello", **fields}
    return wire.decode(json.dumps({k: v for k, v in given.items() if v is not ...}).encode())


def question(own: Alias | None = None, **fields: Any) -> responses.Question:
    return responses.to_openai(
        request(**fields),
        "up",
        own=own,
        extra={"top_k": "top_k"},
        efforts={**EFFORTS, "off": "none"},
    )


def body(own: Alias | None = None, **fields: Any) -> dict[str, Any]:
    return question(own, **fields).body


def messages(*items: Any, **fields: Any) -> list[dict[str, Any]]:
    return body(input=list(items), **fields)["messages"]


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_the_smallest_request_says_no_more_than_it_was_asked_to():
    assert body() == {"model": "up", "messages": [user("hello")], "stream": False}
    assert body(stream=True)["stream_options"] == {"include_usage": True}


def test_sampling():
    sent = body(temperature=0, top_p=0.5, max_output_tokens=9)
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0, 0.5, 9)


@pytest.mark.parametrize(
    ("effort", "sent"),
    [
        ("none", "none"),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "high"),
        ("ultra", "high"),
        ("max", "high"),
        ("", None),
        (None, None),
    ],
)
def test_effort(effort: str | None, sent: str | None):
    assert body(reasoning={"effort": effort, "summary": "auto"}).get("reasoning_effort") == sent


def test_another_effort_is_refused_in_ollamas_words():
    words = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
    with pytest.raises(BadRequest) as caught:
        body(reasoning={"effort": "some"})
    assert caught.value.message == f'invalid reasoning value: "some" (must be {words})'


@pytest.mark.parametrize(
    ("form", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
        ),
        (
            {"type": "json_schema", "schema": {}},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {}, "strict": False},
            },
        ),
    ],
)
def test_text_format(form: dict[str, Any], sent: Any):
    assert body(text={"format": form, "verbosity": "low"}).get("response_format") == sent


@pytest.mark.parametrize("form", ["json", {"type": "xml"}, {"type": "json_schema"}])
def test_another_text_format_is_refused(form: Any):
    with pytest.raises(BadRequest, match=r"text\.format must have the type"):
        body(text={"format": form})


# items


def test_shorthand_message_and_typed_message():
    typed = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "b"}]}
    assert messages({"role": "user", "content": "a"}, typed) == [user("a"), user("b")]


def test_instructions_and_leading_system_messages_become_one():
    leading = [{"role": "developer", "content": "one"}, {"role": "system", "content": "two"}]
    later = {"role": "developer", "content": "now in French"}
    assert messages(*leading, {"role": "user", "content": "a"}, later, instructions="zero") == [
        {"role": "system", "content": "zero\n\none\n\ntwo"},
        user("a"),
        {"role": "system", "content": "now in French"},
    ]


def test_text_and_pictures_keep_their_order():
    content = [
        {"type": "input_text", "text": "before"},
        {"type": "input_image", "image_url": PICTURE, "detail": "low"},
        {"type": "input_text", "text": ""},
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_text", "text": "after"},
    ]
    assert messages({"role": "user", "content": content}) == [
        user(
            [
                {"type": "text", "text": "before"},
                {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "text", "text": "after"},
            ]
        )
    ]


def test_a_round_trip_with_a_tool():
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]}
    thought = {"type": "reasoning", "summary": [], "encrypted_content": "hm"}
    call_id = short_id("call_1")
    function = {"name": "look", "arguments": '{"at":"x"}'}
    assert messages({"role": "user", "content": "a"}, thought, said, CALL, RESULT) == [
        user("a"),
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "a heron"},
    ]


def test_parallel_calls_are_one_turn_and_each_result_finds_its_call():
    second = CALL | {"call_id": "call_2", "name": "hear"}
    sent = messages(CALL, {"type": "reasoning"}, second, RESULT | {"call_id": "call_2"}, RESULT)
    assert [message["role"] for message in sent] == ["assistant", "tool", "tool"]
    assert [call["function"]["name"] for call in sent[0]["tool_calls"]] == ["look", "hear"]
    assert [message["tool_call_id"] for message in sent[1:]] == [
        short_id("call_2"),
        short_id("call_1"),
    ]


def test_a_call_without_a_result_gets_one():
    sent = messages(CALL, {"role": "user", "content": "go on"})
    assert [message["role"] for message in sent] == ["assistant", "tool", "user"]


def test_a_picture_in_a_result_follows_as_the_users():
    output = [{"type": "input_text", "text": "seen"}, {"type": "input_image", "image_url": PICTURE}]
    tool, shown = messages(CALL, RESULT | {"output": output})[1:]
    assert tool["content"] == "seen"
    assert shown["role"] == "user"
    assert shown["content"][-1] == {"type": "image_url", "image_url": {"url": PICTURE}}


@pytest.mark.parametrize(
    ("call", "name", "arguments"),
    [
        (
            {"type": "custom_tool_call", "name": "patch", "input": "*** Begin"},
            "patch",
            {"input": "*** Begin"},
        ),
        (
            {"type": "local_shell_call", "action": {"command": ["ls"]}},
            "local_shell",
            {"command": ["ls"]},
        ),
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, "shell", {"commands": ["ls"]}),
        ({"type": "apply_patch_call", "operation": {"path": "a"}}, "apply_patch", {"path": "a"}),
        (CALL | {"namespace": "mcp__files"}, "mcp__files__look", {"at": "x"}),
        (CALL | {"arguments": ""}, "look", {}),
    ],
)
def test_calls_of_other_kinds(call: dict[str, Any], name: str, arguments: Any):
    result = {"type": f"{call['type']}_output", "call_id": "c", "output": "fine"}
    sent, answer = messages(call | {"call_id": "c"}, result)
    function = sent["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == (name, arguments)
    assert answer == {
        "role": "tool",
        "tool_call_id": sent["tool_calls"][0]["id"],
        "content": "fine",
    }


def test_what_a_shell_put_out_is_told_as_json():
    output = [{"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    call = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
    answer = messages(call, {"type": "shell_call_output", "call_id": "c", "output": output})[1]
    assert json.loads(answer["content"]) == output


def test_items_about_what_a_server_did_are_passed_over():
    done = [
        {"type": "web_search_call", "id": "w"},
        {"type": "image_generation_call", "result": "AA=="},
    ]
    assert messages(*done, {"role": "user", "content": "a"}) == [user("a")]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "x"}, 'input[1]: unknown input item type: "x"'),
        ({"content": "x"}, "input[1]: input item missing required 'type' field"),
        ("x", "input[1]: an input item must be an object"),
        (
            {"type": "item_reference", "id": "msg_1"},
            "input[1]: nothing is stored here that an item_reference could mean: send the item",
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
            "input[1]: content[0]: file inputs are not currently supported",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "input[1]: content[0]: an image needs image_url: files are not stored here, so file_id means nothing",
        ),
        (
            {"role": "user", "content": [{"type": "y"}]},
            "input[1]: content[0]: unknown content type: y",
        ),
        ({"role": "user", "content": 7}, "input[1]: content must be a string or array"),
        (
            CALL | {"arguments": "[1]"},
            "input[1]: failed to parse function call arguments: not a JSON object",
        ),
    ],
)
def test_items_that_mean_nothing_are_named(item: Any, text: str):
    with pytest.raises(BadRequest) as caught:
        messages({"role": "user", "content": "a"}, item)
    assert caught.value.message == text


@pytest.mark.parametrize("given", [..., None, "", []])
def test_no_input(given: Any):
    with pytest.raises(BadRequest, match=r"^input is required"):
        body(input=given)


def test_another_type_of_input():
    with pytest.raises(BadRequest, match=r"^input must be a string or array$"):
        body(input=7)


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "prompt", "background"])
def test_what_needs_a_memory_is_refused(name: str):
    with pytest.raises(
        BadRequest, match=f"^{name} is not supported, because nothing is stored here"
    ):
        responses.check(request(**{name: True}))
    responses.check(request(**{name: None, "store": True, "include": ["x"], "user": "u"}))


# tools

FUNCTION = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {}},
}


def test_a_function():
    sent = question(tools=[FUNCTION | {"strict": False}])
    function = {key: FUNCTION[key] for key in ("name", "description", "parameters")}
    assert sent.body["tools"] == [{"type": "function", "function": function}]
    assert sent.tools == {"look": Tool("look")}
    assert "tool_choice" not in sent.body
    assert "parallel_tool_calls" not in sent.body


def test_strict_is_passed_on():
    assert body(tools=[FUNCTION | {"strict": True}])["tools"][0]["function"]["strict"] is True


def test_a_namespace_is_flattened_and_remembered():
    space = {
        "type": "namespace",
        "name": "crm",
        "tools": [FUNCTION, {"type": "custom", "name": "note"}],
    }
    sent = question(tools=[space, FUNCTION])
    assert sent.tools == {
        "crm__look": Tool("look", "crm"),
        "crm__note": Tool("note", "crm", custom=True),
        "look": Tool("look"),
    }
    assert [tool["function"]["name"] for tool in sent.body["tools"]] == list(sent.tools)


def test_a_name_no_upstream_takes_is_remembered_too():
    sent = question(tools=[FUNCTION | {"name": "a.b"}])
    assert sent.tools == {sent_name("a.b"): Tool("a.b")}


def test_a_custom_tool_is_a_function_of_one_text():
    form = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    custom = {"type": "custom", "name": "patch", "description": "Patches.", "format": form}
    function = body(tools=[custom])["tools"][0]["function"]
    assert function["description"].splitlines() == [
        "Patches.",
        "The input must follow this lark grammar:",
        "start: WORD",
    ]
    assert function["parameters"]["required"] == ["input"]
    assert function["parameters"]["properties"]["input"]["type"] == "string"


@pytest.mark.parametrize(
    "kind", ["web_search", "web_search_preview_2025_03_11", "image_generation", "tool_search"]
)
def test_offered_extras_are_left_out(kind: str):
    assert "tools" not in body(tools=[{"type": kind}], tool_choice="auto")


@pytest.mark.parametrize("kind", ["file_search", "code_interpreter", "mcp", "local_shell"])
def test_tools_a_service_must_run_are_refused(kind: str):
    with pytest.raises(
        BadRequest, match=f'^tools: "{kind}" is a tool that the service itself must run'
    ):
        body(tools=[{"type": kind}])


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
    ],
)
def test_tool_choice(choice: Any, sent: Any):
    tools = [FUNCTION, {"type": "custom", "name": "patch"}]
    assert body(tools=tools, tool_choice=choice).get("tool_choice") == sent


def test_allowed_tools_are_the_only_ones_sent():
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "look"}],
    }
    sent = body(tools=[FUNCTION, FUNCTION | {"name": "hear"}], tool_choice=choice)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["look"]
    assert sent["tool_choice"] == "required"


@pytest.mark.parametrize(
    "choice", [{"type": "web_search"}, {"type": "function", "name": "fly"}, "sometimes"]
)
def test_a_choice_that_is_not_offered_is_refused(choice: Any):
    with pytest.raises(
        BadRequest, match=r"^tool_choice: .* is not among the tools that can be used$"
    ):
        body(tools=[FUNCTION, {"type": "web_search"}], tool_choice=choice)


def test_one_call_at_a_time():
    assert body(tools=[FUNCTION], parallel_tool_calls=False)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in body(parallel_tool_calls=False)


# models of the user's own

OWN = Alias(
    targets=("x",),
    system="You are a poet.",
    parameters={"temperature": 0.1, "top_k": 5, "num_predict": 50},
    messages=({"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}),
)


def test_a_model_of_ones_own_adds_its_part():
    sent = body(OWN)
    assert sent["messages"] == [
        {"role": "system", "content": "You are a poet."},
        user("u"),
        {"role": "assistant", "content": "a"},
        user("hello"),
    ]
    assert (sent["temperature"], sent["top_k"], sent["max_tokens"]) == (0.1, 5, 50)


def test_the_clients_system_messages_stay_first():
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "a"}]
    sent = body(OWN, input=items)["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"] == "Be brief."


def test_the_clients_word_wins():
    sent = body(OWN, instructions="Be brief.", temperature=1)
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert sent["temperature"] == 1


# to a service that has the route itself


def passed(own: Alias | None = None, **fields: Any) -> dict[str, Any]:
    sent = json.dumps({"model": "m", "input": "hello", **fields}).encode()
    found = responses.passed_on(wire.fields(sent), wire.decode(sent), "up", own)
    return json.loads(wire.msgspec.json.encode(found))


def test_only_the_model_changes():
    fields = {"previous_response_id": "resp_1", "tools": [{"type": "mcp"}], "new_thing": [1.50]}
    assert passed(**fields) == {"model": "up", "input": "hello", **fields}


def test_a_limit_that_is_too_low_for_the_service_is_raised():
    assert passed(max_output_tokens=3)["max_output_tokens"] == 16
    assert passed(max_output_tokens=17)["max_output_tokens"] == 17


def test_a_model_of_ones_own_passed_on():
    assert passed(OWN, top_p=0.3) == {
        "model": "up",
        "input": [*OWN.messages, {"role": "user", "content": "hello"}],
        "instructions": "You are a poet.",
        "temperature": 0.1,
        "top_p": 0.3,
        "max_output_tokens": 50,
    }
    assert passed(OWN, instructions="mine")["instructions"] == "mine"


def test_a_body_only_go_would_take_is_passed_on_too():
    body = b' {"Model": "m", "input": "\\ud800", "x": 1} trailing'
    found = responses.passed_on(wire.fields(body), wire.decode(body), "up", None)
    assert (found["model"], found["x"], "Model" in found) == ("up", 1, False)


# whatever a client sends, it is read or refused

WORDS = [
    *("type", "role", "content", "output", "name", "namespace", "call_id", "arguments", "input"),
    *("action", "operation", "image_url", "url", "text", "tools", "format", "mode", "effort"),
    *("message", "function_call", "custom_tool_call", "shell_call_output", "function_call_output"),
    *("user", "assistant", "developer", "input_text", "input_image", "input_audio", "output_text"),
    *("function", "custom", "namespace", "allowed_tools", "grammar", "json_schema", "schema"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(WORDS) | st.just("{}"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(
    fields=st.fixed_dictionaries(
        {"input": st.lists(JSON, min_size=1, max_size=3)},
        optional=dict.fromkeys(("tools", "tool_choice", "text", "reasoning", "stream"), JSON),
    )
)
def test_any_json_is_read_or_refused(fields: dict[str, Any]):
    with contextlib.suppress(BadRequest):
        json.dumps(body(**fields))
