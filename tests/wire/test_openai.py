"""Chunks and completions with fields of odd types (upstream-quirks, golden rule 4)."""

import json
from typing import Any

import pytest

from ollama_bridge.wire import openai
from ollama_bridge.wire.openai import Choice, Chunk, Delta, Extra, Function, ToolCall, Usage


def _choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [fields]}


@pytest.mark.parametrize(
    ("sent", "chunk"),
    [
        ({}, Chunk()),
        ({"choices": []}, Chunk(choices=[])),
        ({"choices": None, "usage": None}, Chunk()),
        ({"choices": "none", "usage": "none", "timings": 3}, Chunk()),
        (_choice(index=None), Chunk(choices=[Choice()])),
        (_choice(index="1"), Chunk(choices=[Choice(index=1)])),
        (_choice(index=1.0), Chunk(choices=[Choice(index=1)])),
        (_choice(index="first"), Chunk(choices=[Choice()])),
        ({"choices": ["a"]}, Chunk(choices=[Choice()])),
        (_choice(delta="a"), Chunk(choices=[Choice()])),
        (_choice(delta={"content": 5}), Chunk(choices=[Choice(delta=Delta(content="5"))])),
        (_choice(delta={"content": True}), Chunk(choices=[Choice(delta=Delta())])),
        (_choice(delta={"content": {"a": 1}}), Chunk(choices=[Choice(delta=Delta())])),
        (_choice(delta={"reasoning": ["a"]}), Chunk(choices=[Choice(delta=Delta())])),
        (_choice(delta={"tool_calls": {}}), Chunk(choices=[Choice(delta=Delta())])),
        (
            _choice(delta={"tool_calls": [None]}),
            Chunk(choices=[Choice(delta=Delta(tool_calls=[ToolCall()]))]),
        ),
        (
            _choice(delta={"tool_calls": [{"id": 7, "index": "0", "function": {"name": 3}}]}),
            Chunk(choices=[Choice(delta=Delta(tool_calls=[ToolCall(0, "7", Function(name="3"))]))]),
        ),
        (
            _choice(message={"function_call": {"name": "f", "arguments": [1]}}),
            Chunk(choices=[Choice(message=Delta(function_call=Function("f", arguments="[1]")))]),
        ),
        (_choice(finish_reason=3), Chunk(choices=[Choice(finish_reason="3")])),
        (_choice(logprobs=[1]), Chunk(choices=[Choice()])),
        (
            {"usage": {"prompt_tokens": "12", "completion_tokens": 3.0}},
            Chunk(usage=Usage(prompt_tokens=12, completion_tokens=3)),
        ),
        ({"usage": {"prompt_tokens": "many", "completion_tokens": True}}, Chunk(usage=Usage())),
        ({"x_groq": {"id": "r", "usage": {"prompt_tokens": 1}}}, Chunk(x_groq=Extra(Usage(1)))),
        ({"x_groq": {"usage": {"prompt_tokens": "1"}}}, Chunk(x_groq=Extra(Usage(1)))),
        ({"x_groq": "r"}, Chunk()),
        ({"error": "x", "object": 1, "type": None}, Chunk(error="x", object="1")),
    ],
)
def test_chunks_of_any_types(sent: dict[str, Any], chunk: Chunk):
    assert openai.chunk(json.dumps(sent).encode()) == chunk


@pytest.mark.parametrize(
    ("payload", "content"),
    [
        (rb'"\ud83d"', "\ud83d"),  # half an emoji, cut between two chunks
        (b'"a\nb"', "a\nb"),  # a raw line end
        (b'"a\xffb"', "a\ufffdb"),  # no UTF-8
    ],
)
def test_text_that_strict_json_refuses(payload: bytes, content: str):
    chunk = openai.chunk(b'{"choices":[{"delta":{"content":%b}}]}' % payload)
    assert chunk.choices
    assert chunk.choices[0].delta == Delta(content=content)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e400"])
def test_numbers_that_are_none(number: bytes):
    chunk = openai.chunk(b'{"usage":{"prompt_tokens":%b,"completion_tokens":2}}' % number)
    assert chunk.usage == Usage(None, 2)


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b'"x"', b"null", b"{", b"busy", b"{}{}"])
def test_what_is_no_chunk(payload: bytes):
    with pytest.raises(ValueError, match=r"."):
        openai.chunk(payload)
