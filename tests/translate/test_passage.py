"""OpenAI requests and replies that go through: what is changed, and that nothing else is."""

import itertools
import json
import struct
from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ollama_bridge.errors import (
    BadRequest,
    BridgeError,
    ModelNotFound,
    NotSupported,
    UpstreamBroke,
    UpstreamFailed,
)
from ollama_bridge.providers.provider import Alias
from ollama_bridge.translate import passage, passed
from ollama_bridge.translate.stats import Stopwatch

USER = [{"role": "user", "content": "hi"}]


def request(kind: str = passage.CHAT, **fields: Any) -> passage.Request:
    return passage.read(json.dumps(fields).encode(), kind)


def sent(asked: passage.Request, *, decoded: bool = False) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(asked.body("theirs", decoded=decoded)))


# requests


def test_everything_but_the_model_goes_on_byte_for_byte():
    body = b'{ "model" : "mine", "temperature": 1.00, "seed":12345678901234567890123, "new":{"a" : [ 1,\t2 ]}, "messages":[{"role":"user","content":"\\u00e9\xc3\xa9"}] }'
    asked = passage.read(body, passage.CHAT)
    assert asked.model == "mine"
    assert msgspec.json.encode(asked.body("theirs", decoded=False)) == (
        b'{"model":"theirs","temperature":1.00,"seed":12345678901234567890123,"new":{"a" : [ 1,\t2 ]},"messages":[{"role":"user","content":"\\u00e9\xc3\xa9"}]}'
    )


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")).filter(
            lambda key: key.lower() not in passage.READ | passage.OLLAMA_ONLY.keys()
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.text(st.characters(codec="utf-8")),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
            ),
        ),
    ),
    st.booleans(),
)
def test_unknown_fields_survive(fields: dict[str, Any], decoded: bool):
    asked = request(
        model="mine", messages=USER, **{f"x{key}": value for key, value in fields.items()}
    )
    assert sent(asked, decoded=decoded) == {
        "model": "theirs",
        "messages": USER,
        **{f"x{key}": value for key, value in fields.items()},
    }


def test_keys_of_any_case_and_what_only_ollama_knows():
    asked = request(
        MODEL="mine", Messages=USER, sTream=True, options={"num_ctx": 8192}, Keep_Alive=3, Custom=1
    )
    assert (asked.model, asked.stream) == ("mine", True)
    assert sent(asked) == {"model": "theirs", "messages": USER, "stream": True, "Custom": 1}


def test_bodies_only_go_reads():
    body = b'{"model":"mine","messages":[{"role":"user","content":"half \\ud83d emoji"}],"stream":null} and more'
    asked = passage.read(body, passage.CHAT)
    assert (asked.model, asked.stream) == ("mine", False)
    assert sent(asked)["messages"] == [{"role": "user", "content": "half \ufffd emoji"}]
    assert sent(asked, decoded=True)["messages"] == [
        {"role": "user", "content": "half \ufffd emoji"}
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "EOF"),
        (b" \r\n", "EOF"),
        (b"[]", "json: cannot unmarshal array into Go value of type openai.ChatCompletionRequest"),
        (
            b'"x"',
            "json: cannot unmarshal string into Go value of type openai.ChatCompletionRequest",
        ),
        (b'{"model":"x",', "unexpected EOF"),
        (b"abc", "invalid character 'a' looking for beginning of value"),
        (b'{"a":' * 20_000, "invalid character '{' exceeded max depth"),
        (b'{"a":1e999}x', "json: cannot unmarshal number 1e999 into Go value of type float64"),
    ],
)
def test_what_cannot_be_read(body: bytes, text: str):
    with pytest.raises(BadRequest) as caught:
        passage.read(body, passage.CHAT)
    assert caught.value.message == text


def test_null_is_an_empty_request():
    asked = passage.read(b"null", passage.CHAT)
    assert (asked.model, asked.stream, asked.fields) == ("", False, {})


@pytest.mark.parametrize(
    ("fields", "look", "text"),
    [
        (
            {"model": 1},
            lambda asked: asked.model,
            "json: cannot unmarshal number into Go struct field ChatCompletionRequest.model of type string",
        ),
        (
            {"model": {}},
            lambda asked: asked.model,
            "json: cannot unmarshal object into Go struct field ChatCompletionRequest.model of type string",
        ),
        (
            {"stream": "yes"},
            lambda asked: asked.stream,
            "json: cannot unmarshal string into Go struct field ChatCompletionRequest.stream of type bool",
        ),
        (
            {"messages": "x"},
            passage.check_messages,
            "json: cannot unmarshal string into Go struct field ChatCompletionRequest.messages of type []openai.Message",
        ),
        ({"messages": []}, passage.check_messages, "[] is too short - 'messages'"),
        ({"messages": None}, passage.check_messages, "[] is too short - 'messages'"),
        ({}, passage.check_messages, "[] is too short - 'messages'"),
        ({}, passage.check_input, "invalid input"),
        ({"input": []}, passage.check_input, "invalid input"),
        (
            {"input": "x", "encoding_format": "hex"},
            passage.check_input,
            "Invalid value for 'encoding_format' = hex. Supported values: ['float', 'base64'].",
        ),
    ],
)
def test_wrong_types_and_missing_things(fields: Any, look: Any, text: str):
    with pytest.raises(BadRequest) as caught:
        look(request(**fields))
    assert caught.value.message == text


@pytest.mark.parametrize("value", ["", "x", [""], ["a", "b"], [1, 2], [[1], [2]]])
def test_inputs_that_go_on(value: Any):
    asked = request(passage.EMBEDDING, model="m", input=value, encoding_format="base64")
    passage.check_input(asked)
    assert sent(asked)["input"] == value


POET = Alias(
    targets=("m",),
    system="Answer in verse.",
    parameters={"temperature": 0.1, "num_predict": 9, "stop": ["X"], "top_k": 3, "num_ctx": 4096},
)


def test_a_model_of_ones_own_adds_system_and_parameters():
    asked = request(model="poet", messages=USER)
    passage.add_to_chat(asked, POET, {"top_k": "top_k"})
    assert sent(asked) == {
        "model": "theirs",
        "messages": [{"role": "system", "content": "Answer in verse."}, *USER],
        "temperature": 0.1,
        "max_tokens": 9,
        "stop": ["X"],
        "top_k": 3,
    }


@pytest.mark.parametrize("role", ["system", "developer"])
def test_what_the_client_says_wins(role: str):
    turns = [{"role": role, "content": "Be brief."}, *USER]
    asked = request(
        model="poet", messages=turns, temperature=None, max_completion_tokens=5, stop="Y"
    )
    passage.add_to_chat(asked, POET, {})
    assert sent(asked) == {
        "model": "theirs",
        "messages": turns,
        "temperature": 0.1,
        "max_completion_tokens": 5,
        "stop": "Y",
    }


def test_turns_of_ones_own_come_first():
    own = Alias(
        targets=("m",),
        messages=({"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}),
        system="Count.",
    )
    asked = request(model="adder", messages=USER)
    passage.add_to_chat(asked, own, {})
    assert sent(asked)["messages"] == [
        {"role": "system", "content": "Count."},
        {"role": "user", "content": "1+1"},
        {"role": "assistant", "content": "2"},
        *USER,
    ]


@pytest.mark.parametrize("messages", [["x"], [{"role": 3}], [None]])
def test_odd_messages_are_the_upstreams_to_refuse(messages: Any):
    asked = request(model="poet", messages=messages)
    passage.add_to_chat(asked, POET, {})
    assert sent(asked)["messages"][1:] == messages


def test_a_text_completion_begins_with_the_system_prompt():
    asked = request(passage.COMPLETION, model="poet", prompt="Roses are")
    passage.add_to_completion(asked, POET, {})
    assert sent(asked)["prompt"] == "Answer in verse.\n\nRoses are"
    with pytest.raises(NotSupported, match="use /v1/chat/completions"):
        passage.add_to_completion(
            request(passage.COMPLETION, model="poet", prompt=[1, 2]), POET, {}
        )


@pytest.mark.parametrize(
    ("prompt", "nothing"),
    [("", True), (None, True), ([], True), ("x", False), (["x"], False), ([1], False)],
)
def test_an_empty_prompt_asks_nothing(prompt: Any, nothing: bool):
    assert passage.says_nothing(request(passage.COMPLETION, model="m", prompt=prompt)) is nothing


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadRequest("x"), "invalid_request_error"),
        (ModelNotFound("x"), "not_found_error"),
        (UpstreamFailed("x", status=429), "api_error"),
        (UpstreamFailed("x", status=403), "api_error"),
        (BridgeError('quote " and line\n end'), "api_error"),
    ],
)
def test_the_envelope(error: BridgeError, kind: str):
    said = passage.envelope(error)
    assert said.count(b"\n") == 1
    assert json.loads(said) == {
        "error": {"message": error.message, "type": kind, "param": None, "code": None}
    }


# forms

FORM = b"multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes], boundary: str = "XX") -> bytes:
    said = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
        % (boundary.encode(), name.encode(), content)
        for name, content in parts
    )
    return said + b"--%b--\r\n" % boundary.encode()


def test_only_the_model_of_a_form_changes():
    sound = bytes(range(256)) + b"\r\n--X\r\n\r\n"
    body = form(("file", sound), ("model", b"mine"), ("language", b"de"))
    upload = passage.read_upload(body, FORM.decode())
    assert upload.text("model") == "mine"
    assert upload.with_model("a/longer-one") == form(
        ("file", sound), ("model", b"a/longer-one"), ("language", b"de")
    )


def test_forms_as_clients_write_them():
    body = b'preamble\r\n--a b\r\ncontent-type: audio/wav\r\ncontent-disposition: form-data; filename="name=x"; name="file"\r\n\r\nRIFF\r\n--a b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--a b--'
    upload = passage.read_upload(body, 'Multipart/Form-Data; Boundary="a b"; x=y')
    assert upload.text("file") == "RIFF"
    assert upload.text("model") == "m"


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (
            form(("model", b"m"), ("file", b"x")),
            "application/json",
            "failed to parse multipart form: request Content-Type isn't multipart/form-data",
        ),
        (
            form(("model", b"m"), ("file", b"x")),
            "multipart/form-data",
            "failed to parse multipart form: no multipart boundary param in Content-Type",
        ),
        (
            b"",
            "multipart/form-data; boundary=XX",
            "failed to parse multipart form: multipart: NextPart: EOF",
        ),
        (
            form(("model", b"m"), ("file", b"x"))[:-10],
            "multipart/form-data; boundary=XX",
            "failed to parse multipart form: multipart: NextPart: EOF",
        ),
        (
            form(("model", b"m"), ("file", b"x"))[:-6],
            "multipart/form-data; boundary=XX",
            "failed to parse multipart form: multipart: NextPart: EOF",
        ),
        (form(("file", b"x")), "multipart/form-data; boundary=XX", "model is required"),
        (
            form(("model", b" "), ("file", b"x")),
            "multipart/form-data; boundary=XX",
            "model is required",
        ),
        (
            form(("model", b"m")),
            "multipart/form-data; boundary=XX",
            "file is required: http: no such file",
        ),
        (
            form(("model", b"m"), ("file", b"")),
            "multipart/form-data; boundary=XX",
            "audio file is empty",
        ),
    ],
)
def test_forms_that_cannot_be_used(body: bytes, kind: str, text: str):
    with pytest.raises(BadRequest) as caught:
        passage.read_upload(body, kind)
    assert caught.value.message == text


@given(
    st.binary(max_size=80)
    | st.lists(
        st.sampled_from(
            [
                b"--XX",
                b"--",
                b"\r\n",
                b"\r\n\r\n",
                b'Content-Disposition: form-data; name="model"',
                b"x",
            ]
        )
    ).map(b"".join)
)
def test_no_form_breaks_anything(body: bytes):
    with pytest.raises(BadRequest):
        passage.read_upload(body, "multipart/form-data; boundary=XX")


# replies


def chunk(
    text: str = "", finish: str | None = None, model: str = "gpt-x", **more: Any
) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": model,
        "choices": [choice],
        **more,
    }


def events(*items: Any, spaced: bool = False) -> bytes:
    separators = None if spaced else (",", ":")
    said = [
        item
        if isinstance(item, bytes)
        else b"data: %b\n\n" % json.dumps(item, separators=separators, ensure_ascii=False).encode()
        for item in items
    ]
    return b"".join(said)


DONE = b"data: [DONE]\n\n"


def stream(model: str = "mine", *, wants_usage: bool = False) -> passed.Stream:
    clock = itertools.count(1)
    return passed.Stream(
        model, Stopwatch(lambda: next(clock)), provider="acme", wants_usage=wants_usage
    )


def through(
    data: bytes, cuts: list[int] | None = None, model: str = "mine"
) -> tuple[bytes, passed.Stream]:
    passing = stream(model)
    said = b""
    edges = sorted({min(cut, len(data)) for cut in cuts or ()} | {len(data)})
    for start, end in itertools.pairwise([0, *edges]):
        said += passing.feed(data[start:end])
    return said + passing.close(), passing


def payloads(said: bytes) -> list[Any]:
    return [
        json.loads(line[6:]) for line in said.decode().splitlines() if line.startswith("data: {")
    ]


@pytest.mark.parametrize("spaced", [False, True])
def test_only_the_model_changes(spaced: bool):
    data = (
        events(
            chunk("Hel"), chunk("lo é", system_fingerprint="fp"), chunk("", "stop"), spaced=spaced
        )
        + DONE
    )
    said, passing = through(data)
    assert said == data.replace(b"gpt-x", b"mine")
    assert passing.failure is None


def test_nothing_changes_when_the_name_is_the_same():
    data = events(chunk("Hi", model="mine"), chunk("", "stop", model="mine")) + DONE
    assert through(data)[0] == data


TRICKY = '"model":"gpt-x" and "error" and "finish_reason":"stop"'
"""What looks like a mark inside a text has a backslash before each quote."""


def test_texts_that_look_like_marks_stay_as_they_are():
    data = (
        events(
            chunk(TRICKY),
            chunk("model"),
            chunk("error"),
            chunk(f'{{"model":"gpt-x"}}{TRICKY}'),
            chunk("", "stop"),
        )
        + DONE
    )
    said, _ = through(data)
    assert [item["choices"][0]["delta"]["content"] for item in payloads(said)] == [
        TRICKY,
        "model",
        "error",
        f'{{"model":"gpt-x"}}{TRICKY}',
        "",
    ]
    assert {item["model"] for item in payloads(said)} == {"mine"}
    assert through(events(chunk(TRICKY)))[1].failure is not None, "nothing said that it was over"


@pytest.mark.parametrize(
    "items",
    [
        [
            {"choices": [], "model": "", "prompt_filter_results": []},
            chunk("a", model="gpt-x-2026"),
        ],  # Azure (F5)
        [chunk("a", model="one"), chunk("b", model="two"), chunk("c", model="one")],
        [
            {
                "choices": [
                    {
                        "index": 0,
                        "delta": {
                            "tool_calls": [
                                {
                                    "index": 0,
                                    "function": {"name": "f", "arguments": {"model": "gpt-x"}},
                                }
                            ]
                        },
                    }
                ],
                "model": "gpt-x",
            }
        ],
        [{"model": "gpt-x", "x": {"model": "gpt-x"}}, chunk("a")],
        [chunk("a", model="back\\slash é \u2028")],
    ],
)
def test_odd_places_of_the_model(items: list[Any]):
    said, _ = through(events(*items, chunk("", "stop")) + DONE, model="my/é:latest")
    wanted = [item | {"model": "my/é:latest"} for item in [*items, chunk("", "stop")]]
    assert payloads(said) == wanted


def test_chunks_without_a_model_get_none():
    items = [{"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}]
    assert through(events(*items) + DONE)[0] == events(*items) + DONE


@given(st.lists(st.integers(0, 900)), st.booleans(), st.sampled_from([b"\n", b"\r\n"]))
@example([], False, b"\n")
def test_cuts_anywhere_change_nothing(cuts: list[int], spaced: bool, line_end: bytes):
    data = (
        b": busy\n\n"
        + events(
            chunk("Hé"),
            chunk(TRICKY),
            chunk("", "stop"),
            chunk(model="gpt-x", usage={"prompt_tokens": 7, "completion_tokens": 2}),
            spaced=spaced,
        )
        + DONE
    )
    whole, _ = through(data)
    pieces, passing = through(data.replace(b"\n", line_end), cuts)
    assert pieces == whole
    assert whole == data.replace(b'"model":"gpt-x","choices"', b'"model":"mine","choices"').replace(
        b'"model": "gpt-x", "choices"', b'"model": "mine", "choices"'
    )
    assert passing.counts() == (7, 2)


def test_thoughts_stand_under_ollamas_name_too():
    item = {
        "model": "mine",
        "choices": [{"index": 0, "delta": {"reasoning_content": 'a "b"\n'}, "finish_reason": None}],
    }
    said = payloads(stream().feed(events(item)))[0]["choices"][0]["delta"]
    assert said == {"reasoning": 'a "b"\n', "reasoning_content": 'a "b"\n'}


def test_comments_keep_the_client_waiting():
    passing = stream()
    assert passing.feed(b": OPENROUTER PROCESSING\n\n") == b": OPENROUTER PROCESSING\n\n"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'data:{"choices":[]}\r\n\r\n', b'data: {"choices":[]}\n\n'),
        (b'id: 3\nevent: message\ndata: {"choices":[]}\n\n', b'data: {"choices":[]}\n\n'),
        (b'data: {"choices":[]}\ndata: {"choices":[]}\n', b'data: {"choices":[]}\n\n' * 2),
        (b'data: {\ndata: "choices":[]}\n\n', b'data: { "choices":[]}\n\n'),
    ],
)
def test_events_in_odd_forms_go_on_in_the_usual_one(data: bytes, said: bytes):
    assert stream().feed(data) == said


ENDS = [
    ([chunk("a"), chunk("", "stop"), DONE], None),
    ([chunk("a"), chunk("", "stop")], None),  # no [DONE] (F9)
    ([chunk("a"), DONE], None),  # no finish reason
    ([chunk("a"), chunk("", "content_filter"), DONE], None),
    ([chunk("a", "stop"), DONE, b"data: busy\n\n"], None),  # F10
    ([chunk("a")], "acme stopped before its answer was complete"),
    ([chunk("a", ""), chunk("b", "")], "acme stopped before its answer was complete"),
    (
        [chunk("a"), b'data: {"id":"c1","choices":[{"delta":{}'],
        "acme stopped before its answer was complete",
    ),
    ([], "acme stopped before its answer was complete"),
    (
        [DONE],
        "acme sent an empty answer and no reason for its end; the prompt may be longer than the model's context",
    ),
    ([chunk("a"), {"error": {"message": "overloaded", "code": 503}}], "acme: overloaded"),
    ([chunk("a"), chunk(error={"message": "cut"}), DONE], "acme: cut"),
    ([chunk("a"), {"object": "error", "message": "out of memory"}], "acme: out of memory"),
    (
        [chunk("a"), {"choices": [{"index": 0, "error": {"message": "moderated"}}]}],
        "acme: moderated",
    ),
    ([chunk("a"), b'event: error\ndata: {"message":"x"}\n\n'], "acme: x"),
    ([chunk("a"), b"data: busy\n\n"], "acme sent something that is not JSON: busy"),
    (
        [chunk("a"), chunk("", "network_error"), DONE],
        "acme: the upstream had a network error and stopped (finish reason network_error)",
    ),
]


@pytest.mark.parametrize(("items", "failure"), ENDS)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_no_silent_end(items: list[Any], failure: str | None, step: int):
    data = events(*items)
    said, passing = through(data, list(range(0, len(data), step)))
    if failure is None:
        assert passing.failure is None
        assert said.endswith(DONE)
        assert said.count(DONE) == 1
        return
    assert passing.failure is not None
    assert passing.failure.message == failure
    assert b"[DONE]" not in said
    assert payloads(said)[-1] == {
        "error": {"message": failure, "type": "api_error", "param": None, "code": None}
    }
    assert said.endswith(b"}\n\n")


def test_a_break_before_and_after_the_finish():
    broke = UpstreamBroke("acme broke off: reset")
    passing = stream()
    passing.feed(events(chunk("a")))
    assert payloads(passing.fail(broke)) == [
        {
            "error": {
                "message": "acme broke off: reset",
                "type": "api_error",
                "param": None,
                "code": None,
            }
        }
    ]
    assert passing.close() == passing.fail(broke) == passing.feed(events(chunk("b"))) == b""
    passing = stream()
    passing.feed(events(chunk("a", "stop")))
    assert passing.fail(broke) == DONE
    assert passing.failure is None


def test_an_endless_event_is_not_held():
    passing = stream()
    for _ in range(40):
        passing.feed(b"x" * 2**20)
    assert passing.failure is not None
    assert passing.over


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
COMPLETE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 5,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "reasoning": "hm",
                "tool_calls": [CALL],
            },
            "finish_reason": "tool_calls",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_whole_reply_becomes_a_stream(wants_usage: bool):
    passing = stream(wants_usage=wants_usage)
    said = passing.whole(json.dumps(COMPLETE).encode()) + passing.close()
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "mine"}
    delta = {
        "role": "assistant",
        "content": "Hi",
        "reasoning": "hm",
        "tool_calls": [{"index": 0, **CALL}],
    }
    wanted = [
        frame
        | {"choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}]},
        frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        frame | {"choices": [], "usage": COMPLETE["usage"]},
    ]
    assert payloads(said) == wanted[: 3 if wants_usage else 2]
    assert said.endswith(DONE)


def test_a_whole_text_completion_becomes_a_stream():
    passing = stream()
    value = {
        "object": "text_completion",
        "model": "gpt-x",
        "choices": [{"index": 0, "text": "Hi", "finish_reason": "length"}],
    }
    said = passing.whole(json.dumps(value).encode()) + passing.close()
    assert payloads(said) == [value | {"model": "mine"}]


def whole() -> passed.Whole:
    clock = itertools.count(1)
    return passed.Whole("mine", Stopwatch(lambda: next(clock)), provider="acme")


@pytest.mark.parametrize("spaced", [None, (",", ":")])
def test_only_the_model_of_a_whole_reply_changes(spaced: Any):
    body = json.dumps(COMPLETE | {"x": 1.00}, separators=spaced).encode()
    passing = whole()
    assert passing.whole(b"\n\n" + body) + passing.close() == body.replace(b"gpt-x", b"mine")
    assert passing.counts() == (3, 2)
    assert passing.failure is None


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'{"error":{"message":"filtered","code":"content_filter"}}', "acme: filtered"),
        (b'{"choices":[],"model":"m"}', "acme sent a reply without an answer in it"),
        (b'{"model":"m"}', "acme sent a reply without an answer in it"),
        (b"[]", "acme sent something that is not JSON: []"),
        (
            b"<html>busy</html>",
            "acme sent something that is not JSON: busy (a web page: check the base URL of provider acme)",
        ),
        (b"", "acme sent something that is not JSON: no reason given"),
        (
            b'{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":null}]}',
            "acme sent an empty answer and no reason for its end; the prompt may be longer than the model's context",
        ),
        (
            b'{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"insufficient_system_resource"}]}',
            "acme: the upstream ran out of resources and stopped (finish reason insufficient_system_resource)",
        ),
    ],
)
def test_whole_replies_that_are_none(body: bytes, failure: str):
    passing = whole()
    assert passing.whole(body) + passing.close() == b""
    assert passing.failure is not None
    assert passing.failure.message == failure
    as_stream = stream()
    as_stream.whole(body)
    assert as_stream.failure is not None
    assert as_stream.failure.message == failure


def test_a_reply_with_half_an_emoji_goes_through():
    body = b'{"model":"gpt-x","choices":[{"index":0,"message":{"content":"\\ud83d"},"finish_reason":"stop"}]}'
    passing = whole()
    said = passing.whole(body)
    assert json.loads(said)["model"] == "mine"
    assert b"\\ud83d" in said


GATHERED = [
    chunk(model="gpt-x")
    | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    chunk("Hel"),
    chunk("lo")
    | {
        "choices": [
            {"index": 0, "delta": {"content": "lo", "reasoning": "h"}, "finish_reason": None}
        ]
    },
    chunk()
    | {
        "choices": [
            {
                "index": 0,
                "delta": {
                    "reasoning": "m",
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a"'},
                        }
                    ],
                },
            }
        ]
    },
    chunk()
    | {
        "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}
        ]
    },
    chunk()
    | {
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [{"id": "call_2", "function": {"name": "g", "arguments": "{}"}}]
                },
            }
        ]
    },
    chunk() | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    chunk() | {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]


@pytest.mark.parametrize("step", [1, 11, 100_000])
def test_a_stream_nobody_asked_for_becomes_whole(step: int):
    data = events(*GATHERED) + DONE
    passing = whole()
    assert all(passing.feed(data[at : at + step]) == b"" for at in range(0, len(data), step))
    said = json.loads(passing.close())
    message = {"role": "assistant", "content": "Hello", "reasoning": "hm"}
    calls = [
        CALL,
        {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert said["choices"] == [
        {"index": 0, "message": message | {"tool_calls": calls}, "finish_reason": "tool_calls"}
    ]
    assert (said["object"], said["model"], said["usage"]["prompt_tokens"]) == (
        "chat.completion",
        "mine",
        3,
    )
    assert passing.counts() == (3, 2)


def test_a_gathered_text_completion():
    passing = whole()
    passing.feed(
        events(
            *(
                {"object": "text_completion", "model": "x", "choices": [{"index": 0, "text": text}]}
                for text in "ab"
            )
        )
        + DONE
    )
    assert json.loads(passing.close()) == {
        "object": "text_completion",
        "model": "mine",
        "choices": [{"index": 0, "text": "ab", "finish_reason": "stop"}],
    }


def gathered(*deltas: dict[str, Any]) -> Any:
    """The message that these deltas make."""
    passing = whole()
    items = [chunk() | {"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    passing.feed(events(*items) + DONE)
    return json.loads(passing.close())["choices"][0]["message"]


def call_of(name: str | None, arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{**more, "function": {"name": name, "arguments": arguments}}]}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([call_of("f", "", index=0, id="a"), call_of("", "{}", index=0)], [("a", "f", "{}")]),
        (
            [call_of("f", "", index=0, id="a"), call_of("f", "{}", index=0, id="")],
            [("a", "f", "{}")],
        ),
        (
            [call_of("f", "{}", index=0, id="a"), call_of("f", "{}", index=0, id="b")],
            [("a", "f", "{}"), ("b", "f", "{}")],
        ),
        ([call_of("f", "{}"), call_of("f", "{}")], [(None, "f", "{}"), (None, "f", "{}")]),
        ([call_of("f", "{"), call_of(None, "}")], [(None, "f", "{}")]),
    ],
    ids=["C6 no name later", "C5 C11 name again", "C2 one index", "C1 no index", "C1 no id"],
)
def test_gathering_calls(deltas: list[dict[str, Any]], calls: list[tuple[str | None, str, str]]):
    told = gathered(*deltas)["tool_calls"]
    assert [
        (call.get("id"), call["function"]["name"], call["function"]["arguments"]) for call in told
    ] == calls


def test_gathering_a_list_of_parts():
    """Quirk D4: the thoughts come as a list, what follows as plain text."""
    part = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    told = gathered(
        {"content": ""}, {"content": [part, {"type": "text", "text": "1"}]}, {"content": "44"}
    )
    texts = [{"type": "text", "text": text} for text in ("1", "44")]
    assert told["content"] == [part, *texts]


@pytest.mark.parametrize("beside", [True, False])
def test_gathering_what_is_told_twice(beside: bool):
    """Quirk F16: `message` repeats all that was said; it counts where there is no `delta`."""
    items = []
    for text, so_far in (("a", "a"), ("b", "ab")):
        said = {"delta": {"content": text}} if beside else {}
        items.append(chunk() | {"choices": [{"index": 0, **said, "message": {"content": so_far}}]})
    passing = whole()
    passing.feed(events(*(items if beside else items[1:])) + DONE)
    (choice,) = json.loads(passing.close())["choices"]
    assert choice["message"]["content"] == "ab"


@pytest.mark.parametrize(
    ("items", "failure"),
    [
        ([chunk("a")], "acme stopped before its answer was complete"),
        ([], "acme stopped before its answer was complete"),
        (
            [DONE],
            "acme sent an empty answer and no reason for its end; the prompt may be longer than the model's context",
        ),
        ([chunk("a"), {"error": "x"}], "acme: x"),
        ([chunk("a"), b"data: busy\n\n"], "acme sent something that is not JSON: busy"),
    ],
)
def test_gathering_what_is_not_complete(items: list[Any], failure: str):
    passing = whole()
    passing.feed(events(*items))
    assert passing.close() == b""
    assert passing.failure is not None
    assert passing.failure.message == failure


def test_a_break_after_the_finish_costs_nothing():
    broke = UpstreamBroke("acme broke off: reset")
    passing = whole()
    passing.feed(events(chunk("a", "stop")))
    passing.fail(broke)
    assert json.loads(passing.close())["choices"][0]["message"]["content"] == "a"
    passing = whole()
    passing.feed(events(chunk("a")))
    passing.fail(broke)
    assert (passing.close(), passing.failure) == (b"", broke)


ODD = [
    {
        "choices": [
            3,
            {
                "index": "x",
                "delta": {"tool_calls": [None, {"index": 10**12, "function": 3}, {"index": []}]},
            },
            {"delta": 7, "finish_reason": "stop"},
        ]
    }
]


def test_pieces_of_any_shape_do_no_harm():
    passing = whole()
    passing.feed(events(*ODD) + DONE)
    assert len(json.loads(passing.close())["choices"][0]["message"]["tool_calls"]) == 2
    as_stream = stream()
    body = {"choices": [3, {"message": 4}, {"message": {"tool_calls": [None, {"id": "x"}]}}]}
    said = as_stream.whole(json.dumps(body).encode()) + as_stream.close()
    assert payloads(said)[1]["choices"][0]["delta"]["tool_calls"] == [{"index": 0, "id": "x"}]


VECTORS = [[1.0, 0.0], [0.5, -0.25]]
LISTS = {
    "object": "list",
    "data": [
        {"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(VECTORS)
    ],
    "model": "e-x",
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


def test_embeddings_go_through_as_they_are():
    body = json.dumps(LISTS).encode()
    assert passed.embeddings(body, "mine", "float", "acme") == (body.replace(b"e-x", b"mine"), 4)


def test_embeddings_in_another_form_than_asked_for():
    said, _ = passed.embeddings(json.dumps(LISTS).encode(), "mine", "base64", "acme")
    packed = json.loads(said)
    rows = [list(struct.unpack("<2f", b64decode(item["embedding"]))) for item in packed["data"]]
    assert rows == VECTORS
    again, tokens = passed.embeddings(said, "mine", "float", "acme")
    assert json.loads(again) == LISTS | {"model": "mine"}
    assert tokens == 4


def test_signed_bytes_become_what_base64_means_elsewhere():
    """Quirk I3: one vendor's base64 holds one byte a number."""
    row = b64encode(struct.pack("<4b", 1, -2, 3, -4)).decode()
    body = json.dumps({"data": [{"index": 0, "embedding": row}]}).encode()
    said, _ = passed.embeddings(body, "mine", "base64", "acme")
    told = b64decode(json.loads(said)["data"][0]["embedding"])
    assert struct.unpack("<4f", told) == (1.0, -2.0, 3.0, -4.0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":{"message":"no"}}', "acme: no"),
        (b"busy", "acme sent something that is not JSON: busy"),
        (b'{"data":[]}', "acme sent no embeddings"),
        (b"[]", ""),
    ],
)
def test_embeddings_that_are_none(body: bytes, text: str):
    with pytest.raises(UpstreamFailed) as caught:
        passed.embeddings(body, "mine", "float", "acme")
    assert text in caught.value.message
    assert caught.value.message.startswith("acme")
