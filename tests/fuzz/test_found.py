"""What fuzzing has found, each as a test of its own."""

import json
from typing import Any

import pytest

from fuzz.targets import Answer, answers_well
from ollama_bridge.providers.edits import schemas
from ollama_bridge.translate import failures, tools
from ollama_bridge.wire import openai

HALF_EMOJI = '{"a": "\\ud83d"}'


def gathered(*texts: str, calls: int = 1) -> list[tools.Call]:
    gatherer = tools.Gatherer()
    for number in range(calls):
        for text in texts:
            function = openai.Function(name="look", arguments=text)
            gatherer.feed([openai.ToolCall(index=number, id=f"c{number}", function=function)])
    return gatherer.close({}, "seed")


def test_arguments_with_half_an_emoji_are_text() -> None:
    (call,) = gathered(HALF_EMOJI)
    assert json.loads(tools.text_of(call.arguments)) == {"a": "\ud83d"}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/messages", "/v1/responses"])
def test_half_an_emoji_in_a_call_beside_thoughts_does_not_end_the_stream(path: str) -> None:
    function = {"name": "look", "arguments": HALF_EMOJI}
    call = {"index": 0, "id": "c", "type": "function", "function": function}
    delta = {"reasoning_content": "hm", "tool_calls": [call]}
    choice = {"index": 0, "delta": delta, "finish_reason": "tool_calls"}
    stream = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n".encode()
    answers_well(Answer(path, True, "text/event-stream", [stream]))


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat", "/v1/messages"])
def test_bytes_that_are_no_characters_are_shown_as_such(path: str, streamed: bool) -> None:
    message = {"role": "assistant", "content": "a?b"}
    choice = {"index": 0, "message": message, "delta": message, "finish_reason": "stop"}
    reply = json.dumps({"id": "?1", "choices": [choice]}).encode().replace(b"?", b"\x80")
    answers_well(Answer(path, streamed, "application/json", [reply]))
    stream = b"data: %b\n\ndata: [DONE]\n\n" % reply
    answers_well(Answer(path, streamed, "text/event-stream", [stream]))


SLOW = {
    "escapes": '"' + '\\"' * 300_000,
    "blanks": '{"a": 1,' + " " * 300_000 + "x",
    "fences": " " * 300_000 + "```x",
    "commas": '{"a": 1' + ", " * 300_000,
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_spoiled_arguments_are_looked_through_once(text: str) -> None:
    """Looked through again from every place, they would take hours and stop all other answers."""
    with pytest.raises(tools.Unusable):
        gathered(text)


@pytest.mark.parametrize("sign", ["<", "<script ", "<style>", "<b"])
def test_pages_that_close_nothing_are_looked_through_once(sign: str) -> None:
    assert failures.sentence("<html>" + sign * 200_000)


def test_calls_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1024 tool calls"):
        gathered("", calls=1025)
    assert len(gathered("", calls=1024)) == 1024


def test_names_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "LIMIT", 100)
    with pytest.raises(ValueError, match="without end"):
        gathered("", calls=20)


@pytest.mark.parametrize("required", [[["a"]], [{}], [None, "a"]])
def test_required_names_that_are_none(required: list[Any]) -> None:
    schema = {"type": "object", "properties": {"a": {}}, "required": required}
    body = {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    schemas.filled_schemas(body)
    kept = body["tools"][0]["function"]["parameters"]["required"]  # type: ignore[index]
    assert kept == [name for name in required if name == "a"]
