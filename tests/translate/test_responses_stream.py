"""Responses and their events: exact order, exact shape (ollama-api 8.6), any cut of the bytes."""

import json
import re
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.responses_passage import Passage
from ollama_bridge.translate.responses_stream import Writer, error_code
from ollama_bridge.translate.responses_tools import Tool
from ollama_bridge.translate.stats import Ending, Stopwatch
from ollama_bridge.wire import responses as wire

Event = dict[str, Any]
TOOLS = {
    "look": Tool("look"),
    "crm__look": Tool("look", "crm"),
    "patch": Tool("patch", custom=True),
}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n".encode()


def call(index: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": f"call_{index}",
        "function": {"name": name, "arguments": arguments},
    }


USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 4})
DONE = b"data: [DONE]\n\n"
THOUGHT = [chunk({"reasoning_content": "Hm"}), chunk({"reasoning_content": "."})]
TEXT = [chunk({"content": "Blu"}), chunk({"content": "e \u2028"}, "stop")]
CALLS = [chunk({"tool_calls": [call(0, "look", '{"a"')]}),
         chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
         chunk({"tool_calls": [call(1, "crm__look", "{}"), call(2, "patch", '{"input": "*** x"}')]}, "tool_calls")]  # fmt: skip


def reply(stream: bool, **fields: Any) -> Reply:
    request = wire.decode(
        json.dumps({"model": "m", "input": "x", "stream": stream, **fields}).encode()
    )
    seconds, ticks, ending = count(1000), count(1), Ending()
    writer = Writer(request, TOOLS, ending, seed="s", now=lambda: next(seconds))
    watch = Stopwatch(lambda: next(ticks))
    return Reply(writer, watch, provider="acme", seed="s", ending=ending)


def said(parts: list[bytes], stream: bool = True, **fields: Any) -> bytes:
    reading = reply(stream, **fields)
    return b"".join([reading.feed(part) for part in parts]) + reading.close()


def events(text: bytes) -> list[Event]:
    """Every event, read by the rules of server-sent events alone."""
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def kinds(text: bytes) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events(text)]


BEGIN = ["created", "in_progress"]
THINKING = ["output_item.added", "reasoning_summary_text.delta", "reasoning_summary_text.delta",
            "reasoning_summary_text.done", "output_item.done"]  # fmt: skip
MESSAGE = ["output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
           "output_text.done", "content_part.done", "output_item.done"]  # fmt: skip
CALL = [
    "output_item.added",
    "function_call_arguments.delta",
    "function_call_arguments.done",
    "output_item.done",
]
CUSTOM = [kind.replace("function_call_arguments", "custom_tool_call_input") for kind in CALL]


@pytest.mark.parametrize(
    ("parts", "order"),
    [
        (TEXT, [*BEGIN, *MESSAGE, "completed"]),
        ([*THOUGHT, *TEXT], [*BEGIN, *THINKING, *MESSAGE, "completed"]),
        (CALLS, [*BEGIN, *CALL, *CALL, *CUSTOM, "completed"]),
        ([*THOUGHT, *CALLS], [*BEGIN, *THINKING, *CALL, *CALL, *CUSTOM, "completed"]),
        ([*TEXT, *CALLS], [*BEGIN, *MESSAGE, *CALL, *CALL, *CUSTOM, "completed"]),
        ([*TEXT, *THOUGHT, DONE], [*BEGIN, *MESSAGE, *THINKING, "completed"]),
        ([chunk({"content": "x"}, "length")], [*BEGIN, *MESSAGE[:3], *MESSAGE[4:], "incomplete"]),
        ([chunk({}, "stop"), DONE], None),
    ],
    ids=[
        "text",
        "thinking",
        "calls",
        "thinking and calls",
        "text and calls",
        "thinking after text",
        "length",
        "empty",
    ],
)
def test_order_of_events(parts: list[bytes], order: list[str] | None):
    if order is None:  # an empty answer is a message, too
        order = [*BEGIN, *MESSAGE[:2], *MESSAGE[4:], "completed"]
    assert kinds(said([*parts, USAGE, DONE])) == order


@pytest.mark.parametrize("parts", [TEXT, [*THOUGHT, *TEXT], CALLS, [*THOUGHT, *TEXT, *CALLS]])
def test_deltas_items_and_the_last_response_agree(parts: list[bytes]):
    found = events(said([*parts, USAGE, DONE]))
    done = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    added = [event["item"] for event in found if event["type"] == "response.output_item.added"]
    assert found[-1]["response"]["output"] == done
    assert [item["id"] for item in added] == [item["id"] for item in done]
    assert len({item["id"] for item in done}) == len(done)
    for place, item in enumerate(done):
        deltas = [e for e in found if e["type"].endswith(".delta") and e["item_id"] == item["id"]]
        assert {event["output_index"] for event in deltas} == {place}
        assert "".join(event["delta"] for event in deltas) == _text(item)


def _text(item: dict[str, Any]) -> str:
    if item["type"] == "message":
        return item["content"][0]["text"]
    return (
        item["summary"][0]["text"]
        if item["type"] == "reasoning"
        else item.get("arguments", item.get("input"))
    )


def test_the_response_object():
    tools = [{"type": "function", "name": "look", "parameters": {}}]
    whole = json.loads(said([*THOUGHT, *TEXT, USAGE, DONE], stream=False, instructions="Be brief.",
                            tools=tools, temperature=0.5, reasoning={"effort": "low"}, metadata={"a": "b"}))  # fmt: skip
    assert whole.pop("id").startswith("resp_")
    thought, message = whole.pop("output")
    assert thought.pop("id").startswith("rs_")
    assert message.pop("id").startswith("msg_")
    assert thought == {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "Hm.",
    }
    part = {"type": "output_text", "text": "Blue \u2028", "annotations": [], "logprobs": []}
    assert message == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    assert whole == {
        "object": "response", "created_at": 1000, "completed_at": 1001, "status": "completed",
        "incomplete_details": None, "model": "m", "previous_response_id": None,
        "instructions": "Be brief.", "error": None, "tools": tools, "tool_choice": "auto",
        "truncation": "disabled", "parallel_tool_calls": True, "text": {"format": {"type": "text"}},
        "top_p": 1.0, "presence_penalty": 0, "frequency_penalty": 0, "top_logprobs": 0,
        "temperature": 0.5, "reasoning": {"effort": "low", "summary": None},
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7,
                  "input_tokens_details": {"cached_tokens": 0},
                  "output_tokens_details": {"reasoning_tokens": 0}},
        "max_output_tokens": None, "max_tool_calls": None, "store": False, "background": False,
        "service_tier": "default", "metadata": {"a": "b"}, "safety_identifier": None,
        "prompt_cache_key": None,
    }  # fmt: skip


def test_whole_and_streamed_say_the_same():
    parts = [*THOUGHT, *TEXT, *CALLS, USAGE, DONE]
    streamed = events(said(parts))[-1]["response"]
    assert json.loads(said(parts, stream=False)) == streamed


def test_every_call_by_the_name_the_client_knows():
    look, space, patch = events(said([*CALLS, DONE]))[-1]["response"]["output"]
    assert (look["name"], json.loads(look["arguments"]), look["call_id"]) == (
        "look",
        {"a": 1},
        "call_0",
    )
    assert "namespace" not in look
    assert (space["name"], space["namespace"], space["arguments"]) == ("look", "crm", "{}")
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", "*** x")
    assert {item["status"] for item in (look, space, patch)} == {"completed"}


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_says_so(finish: str, reason: str):
    parts = [*THOUGHT, chunk({"content": "Bl"}, finish), DONE]
    last = events(said(parts))[-1]
    assert last["type"] == "response.incomplete"
    response = last["response"]
    assert (response["status"], response["incomplete_details"]) == (
        "incomplete",
        {"reason": reason},
    )
    assert response["completed_at"] is None
    assert response["output"][-1]["status"] == "incomplete"
    assert json.loads(said(parts, stream=False))["status"] == "incomplete"


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (b"", "acme stopped before its answer was complete"),
        (chunk(None, error={"message": "fell over", "code": 500}), "acme: fell over"),
        (b"data: {oops\n\n", "acme sent something that is not JSON: {oops"),
    ],
)
def test_an_error_ends_the_stream_twice(last: bytes, text: str):
    reading = reply(stream=True)
    found = events(reading.feed(TEXT[0]) + reading.feed(last) + reading.close())
    assert [event["type"] for event in found[-2:]] == ["error", "response.failed"]
    assert (found[-2]["message"], found[-2]["code"], found[-2]["param"]) == (
        text,
        "server_error",
        None,
    )
    response = found[-1]["response"]
    assert (response["status"], response["error"]) == (
        "failed",
        {"code": "server_error", "message": text},
    )
    assert reading.failure is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamBroke("acme: slow down", status=429), "rate_limit_exceeded"),
        (
            UpstreamBroke("acme: this model's maximum context length is 9 tokens"),
            "context_length_exceeded",
        ),
        (UpstreamBroke("acme: the prompt exceeds the context window"), "context_length_exceeded"),
        (UpstreamBroke("acme: in this context I fail"), "server_error"),
    ],
)
def test_error_codes(error: UpstreamBroke, code: str):
    assert error_code(error) == code


@settings(max_examples=60)
@given(places=st.sets(st.integers(0, 900), max_size=8), stream=st.booleans())
def test_any_cut_says_the_same(places: set[int], stream: bool):
    parts = [*THOUGHT, *TEXT, *CALLS, USAGE, DONE]
    assert said(_cut(b"".join(parts), places), stream) == said(parts, stream)


def _cut(data: bytes, places: set[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


# events of a service that has the route itself

RESPONSE = {
    "id": "resp_up",
    "model": "up-2025",
    "tools": [{"type": "image_generation", "model": "pic-1"}],
    "usage": None,
}
ENDED = RESPONSE | {"usage": {"input_tokens": 5, "output_tokens": 6}, "status": "completed"}


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


DELTA = event(
    "response.output_text.delta",
    delta='"model":"up-2025" \u2028 "type":"response.failed"',
    odd=1.50,
)
STREAM = [
    event("response.created", response=RESPONSE),
    b": ping\n\n",
    DELTA,
    event("response.completed", response=ENDED),
]


def passage(streamed: bool = True) -> Passage:
    ticks = count(1)
    return Passage("mine", Stopwatch(lambda: next(ticks)), provider="acme", streamed=streamed)


def through(parts: list[bytes]) -> tuple[bytes, Passage]:
    passing = passage()
    return b"".join([passing.feed(part) for part in parts]) + passing.close(), passing


class _Counting(bytes):
    """One read; counts the bytes that were copied to put it behind earlier ones."""

    copied = 0

    def __radd__(self, before: bytes) -> bytes:
        _Counting.copied += len(before) + len(self)
        return before + bytes(self)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_long_event_in_many_reads_is_copied_once(size: int):
    """Counted, not timed: what every read copies does not grow with what is held already."""
    text = b'data: {"type":"response.output_text.done","text":"%b"}\n\n' % (b"x" * 60_000)
    passing = passage()
    _Counting.copied = 0
    reads = [_Counting(text[at : at + size]) for at in range(0, len(text), size)]
    assert b"".join([passing.feed(read) for read in reads]) == text
    assert _Counting.copied <= len(text) + 4 * len(reads)
    # what is handed out is put together once more
    assert _Counting.copied >= len(text), "nothing was counted"


PAGE = b"<!DOCTYPE html>\n\n<html><body>Log in</body></html>\n"


@pytest.mark.parametrize("size", [1, len(PAGE)])
def test_a_page_in_place_of_events_never_reaches_the_client(size: int):
    passed, passing = through([PAGE[at : at + size] for at in range(0, len(PAGE), size)])
    assert passing.failure is not None
    assert not passing.failure.passing
    assert "a web page" in passing.failure.message
    assert b"html" not in passed


def test_only_the_name_of_the_model_changes():
    passed, passing = through(STREAM)
    created, ping, delta, completed = re.findall(rb".+?\n\n", passed, re.DOTALL)
    assert json.loads(created.partition(b"data: ")[2])["response"] == RESPONSE | {"model": "mine"}
    assert (ping, delta) == (b": ping\n\n", DELTA)
    assert json.loads(completed.partition(b"data: ")[2])["response"] == ENDED | {"model": "mine"}
    assert passing.counts() == (5, 6)
    assert passing.over
    assert passing.failure is None


@settings(max_examples=60)
@given(places=st.sets(st.integers(0, 900), max_size=8), ends=st.sampled_from([b"\n", b"\r\n"]))
def test_any_cut_passes_the_same(places: set[int], ends: bytes):
    stream = b"".join(STREAM).replace(b"\n", ends)
    passed = through(_cut(stream, places))[0].replace(b"\r\n", b"\n")
    assert passed == through(STREAM)[0]


def test_a_stream_without_its_last_event_gets_an_error():
    passed, passing = through([*STREAM[:3], STREAM[3][:40]])
    last = json.loads(passed.rpartition(b"data: ")[2])
    assert (last["type"], last["message"]) == (
        "error",
        "acme stopped before its answer was complete",
    )
    assert passing.failure is not None


@pytest.mark.parametrize(
    "last",
    [
        [event("response.failed", response=RESPONSE | {"error": {"code": "server_error", "message": "oh"}})],
        [event("error", code="server_error", message="oh", param=None)],
        [event("error", error={"message": "oh"}),
         event("response.failed", response=RESPONSE | {"error": {"message": "oh"}})],
    ],
)  # fmt: skip
def test_the_services_own_error_is_passed_and_noted(last: list[bytes]):
    passed, passing = through([STREAM[0], *last])
    assert passed.count(b"event: ") == 1 + len(last)
    assert passing.failure is not None
    assert passing.failure.message == "acme: oh"


def test_a_network_error_after_the_last_event_is_none():
    passing = passage()
    passing.feed(b"".join(STREAM))
    assert passing.fail(UpstreamBroke("reset")) == b""
    assert passing.failure is None


def test_a_whole_response_passed_on():
    passing = passage(streamed=False)
    assert json.loads(passing.whole(json.dumps(ENDED).encode())) == ENDED | {"model": "mine"}
    assert passing.counts() == (5, 6)
    assert passing.close() == b""


@pytest.mark.parametrize(
    ("streamed", "sent", "text"),
    [
        (True, b"{}", "acme sent a whole response instead of a stream"),
        (
            False,
            b"<html>busy</html>",
            "acme sent something that is not JSON: busy (a web page: check the base URL of provider acme)",
        ),
        (False, b"[1]", "acme sent something that is not JSON: [1]"),
    ],
)
def test_a_whole_response_that_is_none(streamed: bool, sent: bytes, text: str):
    passing = passage(streamed)
    passing.whole(sent)
    assert passing.failure is not None
    assert passing.failure.message == text
