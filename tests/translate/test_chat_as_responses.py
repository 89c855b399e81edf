"""Chats as responses and back: what clients and servers write may have any type."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.errors import BridgeError, UpstreamBroke
from ollama_bridge.translate import chat_as_responses, responses_as_chat
from ollama_bridge.translate.responses_as_chat import Chunks
from ollama_bridge.wire import sse

_KEYS = [
    "type",
    "role",
    "content",
    "text",
    "function",
    "custom",
    "name",
    "arguments",
    "id",
    "tool_calls",
    "format",
    "grammar",
    "json_schema",
    "image_url",
    "file",
    "effort",
    "output",
    "item",
    "response",
    "delta",
    "error",
    "status",
    "usage",
    "summary",
    "output_index",
    "content_index",
    "encrypted_content",
]
_WORDS = [
    "message",
    "function",
    "custom",
    "allowed_tools",
    "text",
    "assistant",
    "tool",
    "function_call",
    "custom_tool_call",
    "reasoning",
    "output_text",
    "refusal",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_KEYS),
            inner | st.sampled_from(_WORDS),
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FIELDS = sorted(chat_as_responses._FIELDS.keys() | chat_as_responses.LEFT_OUT.keys())
_KINDS = sorted(
    {"response.output_item.added", "response.output_item.done", "error", "response.created"}
    | responses_as_chat._LAST
    | {f"response.{kind}.delta" for kind in ("output_text", "refusal", "reasoning_text")}
    | {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)


ODD: list[Any] = [None, True, 3, -1.5, "x", [], {}, [None, 3, "x", [], {}], {"type": 3}]
ODD += [
    {"type": kind, kind: odd} for kind in ("function", "custom", "allowed_tools") for odd in ODD
]
ODD += [[item] for item in ODD]
ODD += [
    {"type": "allowed_tools", "allowed_tools": {"tools": 5}},
    {"type": "custom", "custom": {"format": {"type": "grammar", "grammar": 3}}},
    [{"role": "assistant", "tool_calls": odd, "content": odd, "function_call": odd} for odd in ODD],
    [{"role": "user", "content": odd} for odd in ODD],
    [{"role": "assistant", "reasoning_details": odd} for odd in ODD],
]


@pytest.mark.parametrize("field", _FIELDS)
def test_no_value_makes_it_stumble(field: str) -> None:
    for odd in ODD:
        try:
            json.dumps(chat_as_responses.to_responses({field: odd}, ["include", "a.b.c"]))
        except BridgeError:
            continue


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=5))
def test_no_request_makes_it_stumble(body: dict[str, Any]) -> None:
    try:
        sent = chat_as_responses.to_responses(body, ["include", "reasoning.summary", "a.b.c"])
    except BridgeError:
        return
    json.dumps(sent)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(_KINDS), _JSON), max_size=5))
def test_no_event_makes_it_stumble(events: list[tuple[str, Any]]) -> None:
    chunks = Chunks("m", stops=["x"])
    said = b""
    for kind, fields in events:
        event = (fields if isinstance(fields, dict) else {"item": fields}) | {"type": kind}
        said += chunks.feed(f"data: {json.dumps(event)}\n\n".encode())
    for line in (said + chunks.close()).splitlines():
        if line not in (b"", b"data: [DONE]"):
            json.loads(line.removeprefix(b"data: "))


@settings(max_examples=300)
@given(_JSON)
def test_no_response_makes_it_stumble(response: Any) -> None:
    json.loads(Chunks("m").whole(json.dumps(response).encode()))


def test_a_whole_response_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses_as_chat, "LIMIT", 100)
    assert sse.LIMIT > 100
    chunks = Chunks("m")
    chunks.feed(b'{"output": [')
    with pytest.raises(UpstreamBroke, match="longer than 100 bytes"):
        chunks.feed(b" " * 100)
