"""Events that are a piece of text and nothing else are read in a shorter way: with the same end."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.translate import lines, reply
from ollama_bridge.translate.reply import LONGEST_LINE, Reply
from ollama_bridge.translate.stats import Ending, Stopwatch
from ollama_bridge.wire import openai

ODD: list[Any] = [
    *(None, "", "x", "stop", "error", 0, 1, 1.5, True, [], ["x"], [{}], {}, {"a": 1}),
    {"prompt_tokens": 7, "completion_tokens": 9},
    {"usage": {"prompt_tokens": 7, "completion_tokens": 9}},
    {"prompt_ms": 5, "predicted_ms": 6},
    {"content": [{"token": "x", "logprob": -1}]},
    {"name": "f", "arguments": "{}"},
    [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}],
    [{"type": "reasoning.text", "text": "Hm."}],
]


@pytest.mark.parametrize(
    ("plain", "full"),
    [
        (openai.PlainChunk, openai.Chunk),
        (openai.PlainChoice, openai.Choice),
        (openai.PlainDelta, openai.Delta),
    ],
)
def test_no_field_is_overlooked(plain: type[msgspec.Struct], full: type[msgspec.Struct]):
    assert set(plain.__struct_fields__) == set(full.__struct_fields__)


def test_a_plain_piece_fits_into_a_line():
    assert openai.PIECE <= LONGEST_LINE


def events() -> Iterator[Any]:
    """A plain event in which one field after the other holds one odd value after the other."""
    places = [
        (openai.Chunk, lambda event: event),
        (openai.Choice, lambda event: event["choices"][0]),
        (openai.Delta, lambda event: event["choices"][0]["delta"]),
    ]
    for kind, place in places:
        for field in (*kind.__struct_fields__, "unknown"):
            for value in ODD:
                event = {"choices": [{"index": 0, "delta": {"content": "odd"}}]}
                place(event)[field] = value
                yield event
    two = [{"index": index, "delta": {"content": str(index)}} for index in (0, 1)]
    yield {"choices": two}
    yield {"choices": two[1:]}
    yield {"choices": [{"delta": {"content": "y" * (openai.PIECE + 1)}}]}
    yield {"choices": [{"delta": {"content": "y" * (2 * LONGEST_LINE + 1)}}]}
    yield {"choices": [{"delta": {"content": "\ud83d"}}]}
    yield []
    yield "text"


def said(data: list[bytes], writer: Any) -> tuple[Any, ...]:
    kept: list[Any] = []
    read = Reply(
        writer(lines.CHAT, "m", lambda: "now"),
        Stopwatch(lambda: 1),
        provider="lab",
        ending=Ending(["x"]),
        keep=lambda *found: kept.append(found),
    )
    told = [read.feed(part) for part in data]
    told.append(read.close())
    marks = (read.finished, read.over, str(read.failure), kept)
    return b"".join(told), read.counts(), read._timings, read._ending.stop, marks


@pytest.mark.parametrize("writer", [lines.Lines, lines.Whole])
@pytest.mark.parametrize("event", list(events()), ids=lambda event: json.dumps(event)[:90])
def test_the_shorter_way_says_the_same(
    event: Any, writer: type[lines.Lines | lines.Whole], monkeypatch: pytest.MonkeyPatch
):
    text = b'data: {"choices":[{"index":0,"delta":{"content":"text"}}]}\n\n'
    odd = b"data: " + json.dumps(event).encode() + b"\n\n"
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    data = [text, text, odd, text, odd, odd, odd, text, end]
    at_once = [data[0], b"".join(data[1:])]
    short = said(data, writer), said(at_once, writer)
    monkeypatch.setattr(reply, "MISTAKES", 0)
    assert short == (said(data, writer), said(at_once, writer))
    assert short[0] == short[1]


def test_the_shorter_way_is_taken(monkeypatch: pytest.MonkeyPatch):
    text = b'data: {"choices":[{"index":0,"delta":{"content":"text"}}]}\n\n'
    taken = []

    def plain(payload: bytes) -> openai.PlainChunk:
        taken.append(payload)
        return msgspec.json.decode(payload, type=openai.PlainChunk)

    monkeypatch.setattr(openai, "plain", plain)
    one_by_one = said([text] * 5, lines.Lines)
    assert len(taken) == 4
    assert said([text, text * 4], lines.Lines) == one_by_one
    assert len(taken) == 8


def test_a_server_whose_events_always_tell_more_is_soon_left_alone(monkeypatch: pytest.MonkeyPatch):
    chatty = b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}\n\n'
    tries = []

    def plain(payload: bytes) -> openai.PlainChunk:
        tries.append(payload)
        raise ValueError

    monkeypatch.setattr(openai, "plain", plain)
    said([chatty] * 50, lines.Lines)
    assert len(tries) == reply.MISTAKES
    tries.clear()
    said([chatty, *[chatty * 9] * 50], lines.Lines)
    assert len(tries) == reply.MISTAKES


class Full:
    """A writer of single pieces that has had enough after three; whatever else it is told, it says."""

    def __init__(self, *_: Any) -> None:
        self._left = 3

    def text(self, text: str, logprobs: Any = None) -> bytes:
        if not self._left:
            raise UpstreamBroke("no more")
        self._left -= 1
        return text.encode()

    def failed(self, error: UpstreamBroke) -> bytes:
        return error.message.encode()


def test_what_was_said_before_a_writer_had_enough_is_not_lost():
    text = b'data: {"choices":[{"index":0,"delta":{"content":"text "}}]}\n\n'
    assert said([text, text * 9], Full)[0] == b"text text text no more"
