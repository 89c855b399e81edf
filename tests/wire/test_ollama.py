"""Requests: both roads give the same Struct, and what is refused is refused in Go 1.26's words."""

import base64
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import go_json, ollama

KINDS = list(ollama._FORMS)
UNMARSHAL = "json: cannot unmarshal"
THINK = '"high", "medium", "low", "max", true, or false'
CALL = "ChatRequest.messages.tool_calls"
PARAMETERS = "ToolFunction.tools.function.parameters"


def chat(**fields):
    return ollama.decode(json.dumps(fields).encode(), ollama.ChatRequest)


def refusal(body, kind):
    with pytest.raises(BadRequest) as refused:
        ollama.decode(body if isinstance(body, bytes) else body.encode(), kind)
    return refused.value.message


def quickly(body, kind):
    """The request as the typed decode alone gives it; fails where that is not enough."""
    form = ollama._FORMS[kind]
    request = form.decoder.decode(body)
    for settle in form.settle:
        settle(request)
    return request


def slowly(body, kind):
    """The request as the slow road gives it."""
    return go_json.read(body, ollama._FORMS[kind].fits)


FULL = {
    ollama.ChatRequest: {
        "model": "m",
        "messages": [
            {"role": "USER", "content": "see", "images": ["aGk=", "data:image/png;base64,aG\nk="]},
            {
                "role": "assistant",
                "thinking": "hm",
                "tool_calls": [
                    {
                        "id": "1",
                        "function": {"index": 2, "name": "f", "arguments": {"b": 1, "a": []}},
                    }
                ],
            },
            {"role": "tool", "content": "4", "tool_name": "f", "tool_call_id": "1", "name": "f"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"x": 1}},
            }
        ],
        "stream": False,
        "format": {"type": "object"},
        "keep_alive": "1h30m",
        "options": {"temperature": 0.5, "seed": None, "stop": ["a"]},
        "think": "max",
        "truncate": True,
        "shift": False,
        "logprobs": True,
        "top_logprobs": 3,
        "_debug_render_only": True,
    },
    ollama.GenerateRequest: {
        "model": "m",
        "prompt": "p",
        "suffix": "s",
        "system": "y",
        "template": "t",
        "context": [1, 2],
        "images": ["aGk="],
        "raw": True,
        "stream": True,
        "format": "json",
        "keep_alive": -5,
        "options": {},
        "think": False,
        "truncate": False,
        "shift": True,
        "logprobs": False,
        "top_logprobs": 0,
        "_debug_render_only": False,
    },
    ollama.EmbedRequest: {
        "model": "m",
        "input": ["a", 1],
        "truncate": True,
        "dimensions": 256,
        "keep_alive": 0,
        "options": {"num_ctx": None},
    },
    ollama.EmbeddingsRequest: {"model": "m", "prompt": "p", "keep_alive": 1.5, "options": {"a": 1}},
    ollama.ShowRequest: {
        "model": "m",
        "name": "n",
        "verbose": True,
        "system": "s",
        "template": "t",
        "options": {"a": 1},
    },
    ollama.PullRequest: {
        "model": "m",
        "name": "n",
        "insecure": True,
        "username": "u",
        "password": "p",
        "stream": False,
    },
    ollama.PushRequest: {
        "model": "m",
        "name": "n",
        "insecure": False,
        "username": "u",
        "password": "p",
        "stream": True,
    },
    ollama.CopyRequest: {"source": "a", "destination": "b"},
    ollama.DeleteRequest: {"model": "m", "name": "n"},
    ollama.CreateRequest: {
        "model": "m",
        "name": "n",
        "from": "f",
        "remote_host": "h",
        "files": {"a": "sha256:1"},
        "adapters": {"b": "sha256:2"},
        "draft_files": {},
        "template": "t",
        "system": "s",
        "license": ["x"],
        "parameters": {"top_k": 1},
        "messages": [{"role": "User", "content": "c"}],
        "renderer": "r",
        "parser": "p",
        "requires": "1",
        "quantize": "q",
        "quantization": "q",
        "draft_quantize": "q",
        "info": {"capabilities": ["tools"]},
        "stream": False,
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_with_everything_takes_the_quick_road(kind):
    body = json.dumps(FULL[kind]).encode()
    fields = [field.encode_name for field in ollama.msgspec.structs.fields(kind)]
    assert sorted(FULL[kind]) == sorted(fields)
    assert quickly(body, kind) == slowly(body, kind) == ollama.decode(body, kind)


def test_what_a_chat_request_becomes():
    request = chat(**FULL[ollama.ChatRequest])
    assert [message.role for message in request.messages] == ["user", "assistant", "tool"]
    assert request.messages[0].images == ["aGk=", "aGk="]
    assert request.messages[1].content == ""
    call = request.messages[1].tool_calls[0]
    assert (call.id, call.function.index, call.function.name) == ("1", 2, "f")
    assert list(call.function.arguments.items()) == [("b", 1), ("a", [])]
    assert (request.messages[2].tool_name, request.messages[2].tool_call_id) == ("f", "1")
    assert request.tools == FULL[ollama.ChatRequest]["tools"]
    assert (request.stream, request.think, request.keep_alive) == (False, "max", 5400.0)
    assert request.options == {"temperature": 0.5, "stop": ["a"]}
    assert request.debug_render_only


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"null", b"{}", b" {} junk", b'{"x":[1]}'])
def test_bodies_that_say_nothing(kind, body):
    assert ollama.decode(body, kind) == kind()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"", b" \n"])
def test_bodies_without_a_value(kind, body):
    assert refusal(body, kind) == "missing request body"


@pytest.mark.parametrize("kind", KINDS)
def test_null_is_the_same_as_absent(kind):
    body = json.dumps(dict.fromkeys(FULL[kind])).encode()
    assert ollama.decode(body, kind) == kind()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", f"{UNMARSHAL} array into Go value of type api.ChatRequest"),
        ('"x" y', f"{UNMARSHAL} string into Go value of type api.ChatRequest"),
        ('{"model":"x",', "unexpected EOF"),
        ('{"model":1,', "unexpected EOF"),
        (
            '{"model":1}',
            f"{UNMARSHAL} number into Go struct field ChatRequest.model of type string",
        ),
        (
            '{"MODEL":true}',
            f"{UNMARSHAL} bool into Go struct field ChatRequest.model of type string",
        ),
        (
            '{"stream":"false"}',
            f"{UNMARSHAL} string into Go struct field ChatRequest.stream of type bool",
        ),
        (
            '{"stream":1,"model":1}',
            f"{UNMARSHAL} number into Go struct field ChatRequest.stream of type bool",
        ),
        (
            '{"options":"x"}',
            f"{UNMARSHAL} string into Go struct field ChatRequest.options of type map[string]interface {{}}",
        ),
        (
            '{"options":{"a":[1e999]}}',
            f"{UNMARSHAL} number 1e999 into Go struct field ChatRequest.options of type float64",
        ),
        (
            '{"top_logprobs":1.50}',
            f"{UNMARSHAL} number 1.50 into Go struct field ChatRequest.top_logprobs of type int",
        ),
        (
            '{"top_logprobs":9223372036854775808}',
            f"{UNMARSHAL} number 9223372036854775808 into Go struct field ChatRequest.top_logprobs of type int",
        ),
        (
            '{"messages":{}}',
            f"{UNMARSHAL} object into Go struct field ChatRequest.messages of type []api.Message",
        ),
        (
            '{"messages":["x"]}',
            f"{UNMARSHAL} string into Go struct field ChatRequest.messages of type api.Alias",
        ),
        (
            '{"messages":[{"content":[{"type":"text","text":"x"}]}]}',
            f"{UNMARSHAL} array into Go struct field ChatRequest.messages.content of type string",
        ),
        (
            '{"model":1,"messages":[{"content":1,"role":[]}]}',  # a message's error ends the reading
            f"{UNMARSHAL} number into Go struct field ChatRequest.messages.content of type string",
        ),
        (
            '{"messages":[{"tool_calls":[1]}]}',
            f"{UNMARSHAL} number into Go struct field {CALL} of type api.ToolCall",
        ),
        (
            '{"messages":[{"tool_calls":[{"function":1}]}]}',
            f"{UNMARSHAL} number into Go struct field {CALL}.function of type api.ToolCallFunction",
        ),
        (
            '{"messages":[{"tool_calls":[{"function":{"index":1.0}}]}]}',
            f"{UNMARSHAL} number 1.0 into Go struct field {CALL}.function.index of type int",
        ),
        (
            '{"messages":[{"images":"x"}]}',
            f"{UNMARSHAL} string into Go struct field ChatRequest.messages.images of type []api.ImageData",
        ),
        (
            '{"messages":[{"images":[1]}]}',
            f"{UNMARSHAL} number into Go struct field ChatRequest.messages.images of type api.ImageData",
        ),
        ('{"messages":[{"images":["aGk"]}]}', "illegal base64 data at input byte 0"),
        (
            '{"tools":1}',
            f"{UNMARSHAL} number into Go struct field ChatRequest.tools of type api.Tools",
        ),
        (
            '{"tools":[1]}',
            f"{UNMARSHAL} number into Go struct field ChatRequest.tools of type api.Tool",
        ),
        (
            '{"tools":[{"type":[]}]}',
            f"{UNMARSHAL} array into Go struct field Tool.tools.type of type string",
        ),
        (
            '{"tools":[{"function":[]}]}',
            f"{UNMARSHAL} array into Go struct field Tool.tools.function of type api.ToolFunction",
        ),
        (
            '{"tools":[{"function":{"name":1}}]}',
            f"{UNMARSHAL} number into Go struct field ToolFunction.tools.function.name of type string",
        ),
        (
            '{"tools":[{"function":{"parameters":""}}]}',
            f"{UNMARSHAL} string into Go struct field {PARAMETERS} of type api.ToolFunctionParameters",
        ),
        ('{"think":"x\\"\\n"}', rf'invalid think value: "x\"\n" (must be {THINK})'),
        ('{"think":1}', f"think must be a boolean or string ({THINK})"),
        ('{"model":1,"think":{}}', f"think must be a boolean or string ({THINK})"),
        ('{"keep_alive":"-1"}', 'time: missing unit in duration "-1"'),
        ('{"keep_alive":""}', 'time: invalid duration ""'),
        ('{"model":1,"keep_alive":true}', "Unsupported type: 'bool'"),
        (
            '{"keep_alive":[1e999]}',
            f"{UNMARSHAL} number 1e999 into Go struct field ChatRequest.keep_alive of type float64",
        ),
        ('{"think":5,"x":}', "invalid character '}' looking for beginning of value"),
    ],
)
def test_what_go_refuses(body, message):
    assert refusal(body, ollama.ChatRequest) == message


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            ollama.EmbeddingsRequest,
            "1",
            f"{UNMARSHAL} number into Go value of type api.EmbeddingRequest",
        ),
        (
            ollama.GenerateRequest,
            '{"context":[1,2.5]}',
            f"{UNMARSHAL} number 2.5 into Go struct field GenerateRequest.context of type int",
        ),
        (
            ollama.GenerateRequest,
            '{"model":1,"images":["!"]}',  # the first of the two counts
            f"{UNMARSHAL} number into Go struct field GenerateRequest.model of type string",
        ),
        (
            ollama.GenerateRequest,
            '{"images":["!"],"model":1}',
            "illegal base64 data at input byte 0",
        ),
        (
            ollama.CreateRequest,
            '{"files":{"a":1}}',
            f"{UNMARSHAL} number into Go struct field CreateRequest.files of type string",
        ),
        (
            ollama.CreateRequest,
            '{"from":[]}',
            f"{UNMARSHAL} array into Go struct field CreateRequest.from of type string",
        ),
        (
            ollama.CreateRequest,
            '{"messages":[{"role":1}]}',
            f"{UNMARSHAL} number into Go struct field CreateRequest.messages.role of type string",
        ),
    ],
)
def test_what_go_refuses_elsewhere(kind, body, message):
    assert refusal(body, kind) == message


def test_keys_in_any_case_and_unknown_ones():
    body = '{"Model":"m","\u212aEEP_ALIVE":5,"metadata":{},"me\u017f\u017fages":[{"ROLE":"User","x":1}]}'
    request = ollama.decode(body.encode(), ollama.ChatRequest)
    assert (request.model, request.keep_alive) == ("m", 5.0)
    assert request.messages == [ollama.Message(role="user")]


def test_the_last_of_equal_keys_wins():
    request = ollama.decode(b'{"model":"a","Model":"b","MODEL":"c"}', ollama.ChatRequest)
    assert request.model == "c"


def test_bytes_that_are_no_characters_are_replaced():
    request = ollama.decode(b'{"model":"a\xff","x":"\\ud800"}', ollama.ChatRequest)
    assert request.model == "a\ufffd"


def test_null_inside_lists_is_a_zero_value():
    request = chat(messages=[None, {"images": [None], "tool_calls": [None]}], tools=[None])
    empty = ollama.Message()
    holder = ollama.Message(images=[""], tool_calls=[ollama.ToolCall()])
    assert (request.messages, request.tools) == ([empty, holder], [{}])


@pytest.mark.parametrize("content", [None, []])
def test_content_that_is_nothing(content):
    request = chat(messages=[{"role": "user", "content": content}])
    assert request.messages[0].content == ""


def test_a_name_ollama_does_not_know_is_never_wrong():
    assert chat(messages=[{"name": 5}]).messages[0].name == ""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [({}, {}), (None, {}), ('{"b":1,"a":2.5}', {"b": 1, "a": 2.5}), (" {} ", {})],
)
def test_tool_arguments(arguments, found):
    calls = [{"function": {"name": "f", "arguments": arguments}}]
    request = chat(messages=[{"role": "assistant", "tool_calls": calls}])
    assert request.messages[0].tool_calls[0].function.arguments == found


@pytest.mark.parametrize("arguments", ["x", "[1]", '"{}"', 1, [], True])
def test_tool_arguments_that_are_no_object(arguments):
    body = json.dumps({"messages": [{"tool_calls": [{"function": {"arguments": arguments}}]}]})
    assert refusal(body, ollama.ChatRequest) == (
        "messages.tool_calls.function.arguments must be a JSON object, or a string that holds one"
    )


def test_tools_keep_what_ollama_would_drop():
    tool = {
        "x": None,
        "function": {"parameters": {"oneOf": [{"default": None}]}, "strict": 1, "name": "f"},
        "type": "function",
    }
    assert chat(tools=[tool]).tools == [
        {
            "function": {"parameters": {"oneOf": [{"default": None}]}, "strict": 1, "name": "f"},
            "type": "function",
        }
    ]
    assert list(chat(tools=[tool]).tools[0]["function"]) == ["parameters", "strict", "name"]


def test_tools_get_their_keys_as_everyone_reads_them():
    assert chat(tools=[{"Function": {"NAME": "f"}}]).tools == [{"function": {"name": "f"}}]


@pytest.mark.parametrize("digits", [1, 20, 300, 400, 5000])
def test_numbers_of_any_size(digits):
    body = b'{"options":{"a":%s},"x":%s}' % (b"9" * digits, b"9" * digits)
    if digits < 309:
        assert ollama.decode(body, ollama.ShowRequest).options == {"a": int("9" * digits)}
    else:
        assert refusal(body, ollama.ShowRequest) == (
            f"{UNMARSHAL} number {'9' * digits} into Go struct field ShowRequest.options of type float64"
        )


@pytest.mark.parametrize("depth", [100, 900, 1100, 5000, 9990, 20_000])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (b'{"x":', b"}"),
        (b'{"format":', b"}"),
        (b'{"options":{"a":', b"}}"),
        (b'{"tools":[{"items":', b"}]}"),
        (b'{"messages":[{"tool_calls":[{"function":{"arguments":{"a":', b"}}}]}]}"),
    ],
)
def test_depth_never_breaks_us(depth, start, end):
    try:
        ollama.decode(start + b"[" * depth + b"]" * depth + end, ollama.ChatRequest)
    except BadRequest as refused:
        assert refused.message.endswith("exceeded max depth")  # noqa: PT017
        assert depth > 100
    else:
        assert depth < 10_000


@pytest.mark.parametrize("depth", [10, 9_999])
def test_unknown_keys_may_be_as_deep_as_go_takes(depth):
    body = b'{"model":"m","x":' + b"[" * depth + b"]" * depth + b"}"
    assert ollama.decode(body, ollama.ChatRequest).model == "m"


def test_a_large_image_costs_little():
    image = base64.b64encode(bytes(range(256)) * 30_000).decode()
    body = json.dumps({"model": "m", "messages": [{"images": [image]}]}).encode()
    begun = time.process_time()
    request = ollama.decode(body, ollama.ChatRequest)
    assert time.process_time() - begun < 0.3
    assert request.messages[0].images == [image]


# Properties: any request, any damage.

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
number = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
anything = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
table = st.dictionaries(text, anything, max_size=3)
images = st.lists(st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()), max_size=2)
call = st.fixed_dictionaries(
    {},
    optional={
        "id": text,
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {}, optional={"index": st.integers(0, 9), "name": text, "arguments": table}
        ),
    },
)
message = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "System", "TOOL", ""]),
        "content": text | st.none(),
        "thinking": text,
        "images": images,
        "tool_calls": st.lists(call, max_size=2),
        "tool_name": text,
        "tool_call_id": text,
    },
)
tool = st.fixed_dictionaries(
    {"type": st.just("function")},
    optional={
        "function": st.fixed_dictionaries(
            {"name": text},
            optional={"description": text, "parameters": table, "strict": st.booleans()},
        )
    },
)
GOOD = {
    "messages": st.lists(message, max_size=3),
    "tools": st.lists(tool, max_size=2),
    "format": anything,
    "input": anything,
    "license": anything,
    "keep_alive": st.sampled_from([0, -1, 5, 1.5, "5m", "0", "-1s", None]),
    "think": st.sampled_from([True, False, "low", "medium", "high", "max", None]),
    "images": images,
    "context": st.lists(st.integers(-5, 5), max_size=3),
    **dict.fromkeys(("options", "parameters", "info"), table | st.none()),
    **dict.fromkeys(("files", "adapters", "draft_files"), st.dictionaries(text, text, max_size=2)),
    **dict.fromkeys(("top_logprobs", "dimensions"), st.integers(-(2**63), 2**63 - 1)),
    **dict.fromkeys(
        (
            "stream",
            "raw",
            "truncate",
            "shift",
            "logprobs",
            "_debug_render_only",
            "verbose",
            "insecure",
        ),
        st.booleans(),
    ),
}


def valid(kind):
    optional = {name: GOOD.get(name, text) for name in FULL[kind]}
    return st.fixed_dictionaries({}, optional=optional)


requests = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), valid(kind)))


@given(requests, st.booleans())
def test_both_roads_agree(case, ascii_only):
    kind, fields = case
    body = json.dumps(fields, ensure_ascii=ascii_only).encode()
    request = ollama.decode(body, kind)
    assert request == slowly(body, kind)
    assert request == go_json._fitted(go_json.parse(body), ollama._FORMS[kind].fits)


@given(requests, st.dictionaries(text, anything, max_size=2), st.binary(max_size=5))
def test_case_unknown_keys_and_trailing_bytes_change_nothing(case, more, rest):
    kind, fields = case
    known = {go_json.fold(name) for name in FULL[kind]}
    unknown = {
        f"{key}?": value for key, value in more.items() if go_json.fold(f"{key}?") not in known
    }
    body = json.dumps({name.upper(): value for name, value in fields.items()} | unknown).encode()
    assert ollama.decode(body + rest, kind) == ollama.decode(json.dumps(fields).encode(), kind)


def read_or_refused(body, kind):
    try:
        assert isinstance(ollama.decode(body, kind), kind)
    except BadRequest as refused:
        assert refused.message  # noqa: PT017
        assert len(refused.message.splitlines()) == 1  # noqa: PT017


@given(st.binary(), st.sampled_from(KINDS))
def test_any_bytes(body, kind):
    read_or_refused(body, kind)


@given(st.data(), st.sampled_from(KINDS))
def test_any_json(data, kind):
    keys = st.sampled_from(sorted(FULL[kind])) | text
    fields = data.draw(st.dictionaries(keys, anything, max_size=5))
    read_or_refused(json.dumps(fields).encode(), kind)


@settings(max_examples=200)
@given(requests, st.data())
def test_any_damage(case, data):
    kind, fields = case
    body = bytearray(json.dumps(fields, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        end = data.draw(st.integers(start, min(start + 4, len(body))))
        body[start:end] = data.draw(
            st.sampled_from(b'{}[]",:\\0-.e\xff').map(lambda byte: bytes([byte]))
        )
    read_or_refused(bytes(body), kind)
