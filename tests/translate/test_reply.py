"""Replies as servers really send them, beyond the golden cases (upstream-quirks D, F and G)."""

import json
from itertools import count
from typing import Any

import pytest
from recordings import rules

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate import lines, stats
from ollama_bridge.translate.reply import LONGEST_LINE, Reply
from ollama_bridge.translate.stats import Stopwatch

DONE = b"data: [DONE]\n\n"


def reply(*, whole: bool = False, **options: Any) -> Reply:
    ticks = count(1, 1_000)
    writer = (lines.Whole if whole else lines.Lines)(lines.CHAT, "m", lambda: "now")
    return Reply(writer, Stopwatch(lambda: next(ticks)), provider="lab", **options)


def event(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"choices": [choice]} | more).encode()


def text(content: str, finish: str | None = None) -> bytes:
    return event({"content": content}, finish)


def said(*events: bytes, **options: Any) -> list[dict[str, Any]]:
    answer = reply(**options)
    return rules.streamed(answer.feed(b"".join(events)) + answer.close())


def spoken(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What each line but the last says, as (kind, words)."""
    messages = [line["message"] for line in found if "message" in line and not line["done"]]
    return [
        ("thinking", m["thinking"]) if "thinking" in m else ("text", m["content"]) for m in messages
    ]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_in_every_spelling(field: str):
    found = said(event({field: "Hm."}), text("Yes."), event(finish="stop"))
    assert spoken(found) == [("thinking", "Hm."), ("text", "Yes.")]


def test_text_before_the_reasoning_keeps_its_place():
    found = said(text("\n<th"), event({"reasoning": "Hm."}), text("Yes.", "stop"))
    assert spoken(found) == [("text", "\n<th"), ("thinking", "Hm."), ("text", "Yes.")]


def test_tags_are_text_where_reasoning_has_a_field():
    found = said(event({"reasoning": "Hm."}), text("<think>x</think>", "stop"))
    assert spoken(found) == [("thinking", "Hm."), ("text", "<think>x</think>")]


def test_reasoning_that_used_up_all_tokens():  # D16
    found = said(event({"reasoning": "Hm."}), event(finish="length"))
    assert spoken(found) == [("thinking", "Hm.")]
    assert found[-1]["done_reason"] == "length"


@pytest.mark.parametrize("finish", sorted(stats.FAILED))
def test_finish_reasons_that_mean_failure(finish: str):  # G2, G3
    found = said(text("Half an"), event(finish=finish))
    assert found[-1] == {"error": f"lab: {stats.FAILED[finish]} (finish reason {finish})"}


def test_the_first_finish_reason_counts():  # F6b
    found = said(text("x"), event(finish="length"), event({"content": ""}, "stop"), event(), DONE)
    assert found[-1]["done_reason"] == "length"


def test_an_empty_finish_reason_is_none():  # Snowflake sends one with every chunk
    found = said(event({"content": "x"}, finish=""), event(finish="length"))
    assert found[-1]["done_reason"] == "length"
    assert "stopped before" in said(event({"content": "x"}, finish=""))[-1]["error"]


def test_a_message_in_a_stream_counts_only_if_nothing_was_said():  # F16
    message = b'data: {"choices":[{"message":{"content":"Up."},"finish_reason":"stop"}]}\n\n'
    assert spoken(said(message)) == [("text", "Up.")]
    assert spoken(said(text("Up."), message)) == [("text", "Up.")]


def test_a_whole_reply_counts_its_message():  # Perplexity has an empty delta beside it
    answer = reply(whole=True)
    choice = {"delta": {"content": ""}, "message": {"content": "Up."}, "finish_reason": "stop"}
    data = answer.whole(json.dumps({"choices": [choice]}).encode()) + answer.close()
    assert rules.whole(data)["message"]["content"] == "Up."


def test_the_last_usage_counts():  # F7
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    more = {"prompt_tokens": 5, "completion_tokens": 2}
    last = said(event({"content": "x"}, usage=usage), event(finish="stop", usage=more))[-1]
    assert (last["prompt_eval_count"], last["eval_count"]) == (5, 2)


@pytest.mark.parametrize(
    ("more", "counts", "estimated"),
    [
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 2}}, (5, 2), False),
        ({"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}}, (5, 2), False),
        ({"usage": {"prompt_tokens": 5}}, (5, 3), True),
        ({}, (10, 3), True),
    ],
)
def test_counts_are_estimated_only_where_none_is_told(
    more: dict[str, Any], counts: tuple[int, int], estimated: bool
):
    answer = reply(prompt_characters=40)
    data = answer.feed(text("twelve chars") + event(finish="stop", **more)) + answer.close()
    last = rules.streamed(data)[-1]
    assert (last["prompt_eval_count"], last["eval_count"]) == counts
    assert answer.estimated is estimated


@pytest.mark.parametrize(
    "event_bytes",
    [
        b'data: {"error":{"message":"the reason","code":500}}\n\n',
        b'data: {"error":"the reason","choices":[{"delta":{"content":"x"}}]}\n\n',
        b'data: {"object":"error","message":"the reason","code":40301}\n\n',  # F12
        b'data: {"type":"error","message":"the reason"}\n\n',
        b'event: error\ndata: {"message":"the reason"}\n\n',
        b'data: {"choices":[{"error":{"message":"the reason"},"delta":{"content":"x"}}]}\n\n',
        b"data: the reason\n\n",
    ],
)
def test_errors_inside_a_stream(event_bytes: bytes):  # F11
    found = said(text("One"), event_bytes, text(" two"), event(finish="stop"), DONE)
    assert spoken(found) == [("text", "One")]
    assert "the reason" in found[-1]["error"]
    assert found[-1]["error"].startswith("lab")


def test_nothing_is_said_after_an_error():
    answer = reply()
    assert b"error" in answer.feed(b'data: {"error":"x"}\n\n')
    assert answer.over
    assert answer.feed(text("more")) == b""
    assert answer.close() == b""
    assert answer.fail(UpstreamBroke("again")) == b""


def test_nothing_is_read_after_done():  # F10
    answer = reply()
    found = answer.feed(text("x", "stop") + DONE + text("y"))
    assert answer.over
    found += answer.feed(text("z")) + answer.close()
    assert spoken(rules.streamed(found)) == [("text", "x")]


def test_done_alone_completes_an_answer():  # Snowflake
    assert said(text("x"), DONE)[-1]["done_reason"] == "stop"


def test_an_empty_stream_is_an_error():  # G16
    assert "empty answer" in said(DONE)[-1]["error"]
    assert "stopped before" in said(b": nothing\n\n")[-1]["error"]


def test_the_connection_breaks_in_the_middle():
    answer = reply()
    found = answer.feed(text("Look <") + text(" up")) + answer.fail(UpstreamBroke("lab: gone"))
    assert answer.failure is not None
    assert spoken(rules.streamed(found)) == [("text", "Look <"), ("text", " up")]
    assert found.endswith(b'{"error":"lab: gone"}\n')


def test_the_connection_breaks_after_the_answer():
    answer = reply()
    found = answer.feed(text("Up", "stop")) + answer.fail(UpstreamBroke("lab: gone"))
    assert answer.failure is None
    assert rules.streamed(found)[-1]["done"] is True


def test_what_is_held_back_is_said_before_the_error():
    answer = reply()
    found = answer.feed(text("<th")) + answer.fail(UpstreamBroke("lab: gone"))
    assert spoken(rules.streamed(found)) == [("text", "<th")]


def test_the_last_event_needs_no_line_end():
    found = said(text("One"), text(" two", "stop").rstrip())
    assert spoken(found) == [("text", "One"), ("text", " two")]


def test_the_last_event_is_said_before_the_error():
    found = said(text("One"), text(" two").rstrip())
    assert spoken(found) == [("text", "One"), ("text", " two")]
    assert "stopped before" in found[-1]["error"]


def test_half_an_emoji_is_passed_on():
    half, other = (
        rb'{"choices":[{"delta":{"content":"\ud83d"}}]}',
        rb'{"choices":[{"delta":{"content":"\ude00"},"finish_reason":"stop"}]}',
    )
    assert spoken(said(b"data: %b\n\ndata: %b\n\n" % (half, other))) == [
        ("text", "\ud83d"),
        ("text", "\ude00"),
    ]
    whole = reply(whole=True)
    data = whole.feed(b"data: %b\n\ndata: %b\n\n" % (half, other)) + whole.close()
    assert json.loads(data)["message"]["content"] == "\U0001f600"


def test_arguments_no_c_library_likes():
    function = {
        "name": "f",
        "arguments": '{"n":123456789012345678901234567890,"t":"\\ud83d","x":1e999}',
    }
    found = said(event({"tool_calls": [{"index": 0, "id": "A", "function": function}]}, "stop"))
    arguments = found[0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert arguments == {"n": 123456789012345678901234567890, "t": "\ud83d", "x": None}


@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_long_pieces_are_cut_into_lines(field: str):  # trap 48
    words = "\U0001f600" * (2 * LONGEST_LINE + 1)
    found = said(event({field: words}), event(finish="stop"))
    assert [len(piece) for _, piece in spoken(found)] == [LONGEST_LINE, LONGEST_LINE, 1]
    assert "".join(piece for _, piece in spoken(found)) == words


def test_a_whole_reply_to_a_client_that_streams():  # F13
    answer = reply()
    message = {"content": "Yes.", "reasoning": "Hm.", "tool_calls": None}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}, indent=1)
    found = rules.streamed(answer.whole(f"\n\n {body}\n".encode()) + answer.close())
    assert spoken(found) == [("thinking", "Hm."), ("text", "Yes.")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<html><body>Bad Gateway</body></html>", "not JSON: Bad Gateway"),
        (b"[]", "not JSON"),
        (b"{}", "without an answer"),
        (b'{"choices":[]}', "without an answer"),
        (b'{"choices":[{}]}', "empty answer"),
        (b'{"choices":[{"message":null,"finish_reason":null}]}', "empty answer"),
        (b'{"error":{"message":"filtered"}}', "lab: filtered"),
        (b'{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}', "filter"),
        (
            b'{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}',
            "finish reason error",
        ),
    ],
)
def test_whole_replies_that_are_none(body: bytes, reason: str):
    answer = reply(whole=True)
    data = answer.whole(body) + answer.close()
    assert answer.failure is not None
    assert reason in answer.failure.message
    assert json.loads(data) == {"error": answer.failure.message}


def test_hidden_thinking_is_counted_all_the_same():
    answer = reply(show_thinking=False)
    data = answer.feed(event({"reasoning": "x" * 36}) + text("Yes.", "stop")) + answer.close()
    found = rules.streamed(data)
    assert spoken(found) == [("text", "Yes.")]
    assert found[-1]["eval_count"] == 10


def test_first_token_is_timed_once():
    answer = reply()
    answer.feed(event({"role": "assistant"}))
    assert answer._watch.first == 0
    answer.feed(text("a"))
    first = answer._watch.first
    answer.feed(text("b"))
    assert answer._watch.first == first > 0


@pytest.mark.parametrize(
    "odd",
    [
        {"content": [{"token": "x"}]},
        {"content": [{"token": "x", "logprob": None}]},
        {"content": [{"token": "x", "logprob": "-inf", "bytes": "x"}]},
        {"content": ["x", None]},
        {"content": None},
        {"tokens": ["x"], "token_logprobs": [None], "top_logprobs": 7},
        {"tokens": ["x"], "token_logprobs": None},
        {"tokens": ["x"], "token_logprobs": [-1], "top_logprobs": [{"x": "y"}]},
    ],
)
def test_odd_logprobs_break_nothing(odd: dict[str, Any]):
    choice = {"delta": {"content": "x"}, "logprobs": odd, "finish_reason": "stop"}
    found = said(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode(), top_logprobs=2)
    assert spoken(found) == [("text", "x")]
    for token in found[0].get("logprobs", []):
        assert isinstance(token["logprob"], int | float)
        assert isinstance(token["token"], str)
