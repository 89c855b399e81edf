"""Event streams as servers really send them (upstream-quirks F1 to F4, F9, F10, F12)."""

import pytest

from ollama_bridge.errors import UpstreamBroke
from ollama_bridge.wire import sse


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b'data: {"a":1}\n\n', [b'{"a":1}']),
        (b'data:{"a":1}\n\n', [b'{"a":1}']),  # F3: no space
        (b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n', [b'{"a":1}', b"[DONE]"]),
        (b'data: {"a":1}\r\rdata: [DONE]\r\r', [b'{"a":1}', b"[DONE]"]),
        (b'\n\n\ndata: {"a":1}\n\n', [b'{"a":1}']),  # F2: blank lines first
        (b': OPENROUTER PROCESSING\n\ndata: {"a":1}\n\n', [b'{"a":1}']),  # F1
        (b'event: message\nid: 1\nretry: 5\ndata: {"a":1}\n\n', [b'{"a":1}']),
        (b'data: {\ndata: "a":1}\n\n', [b'{\n"a":1}']),  # F3: several lines
        (b'data: {\r\ndata: "a":1}\r\n\r\n', [b'{\n"a":1}']),
        (b'data: {"a":1}\ndata: {"b":2}\n', [b'{"a":1}', b'{"b":2}']),  # no blank lines
        (b"data: [DONE]\n", [b"[DONE]"]),  # a connection kept open behind it
        (b"data:\n\ndata: \n\n", []),
        (b"data: busy\n\n", [b"busy"]),
        (b"", []),
        (b'{"error":"not a stream"}\n', []),
        # F12: the event's name says that it is an error, its data may not
        (b'event: error\ndata: {"message":"x"}\n\n', [b'{"error":{"message":"x"}}']),
        (b'event:error\ndata: {"error":"x"}\n\n', [b'{"error":"x"}']),
        (b'event: error\ndata: {"m":1}\n\ndata: {"a":1}\n\n', [b'{"error":{"m":1}}', b'{"a":1}']),
    ],
)
def test_payloads(stream: bytes, payloads: list[bytes]):
    assert sse.EventCutter().feed(stream) == payloads
    cutter = sse.EventCutter()
    one_by_one = [
        payload for at in range(len(stream)) for payload in cutter.feed(stream[at : at + 1])
    ]
    assert one_by_one == payloads
    assert cutter.close() == []


@pytest.mark.parametrize(
    ("before", "payload"),
    [
        (b"data: {", b'{data: {"a":1}'),  # no line end yet: all one line
        (b": comment", b""),
        (b"data: {\n", b'{\n{"a":1}'),
        (b"event: error\n", b'{"error":{"a":1}}'),
        (b"data: {}\n", b'{"a":1}'),
        (b"data: {}\r", b'{"a":1}'),
        (b"\n", b'{"a":1}'),
    ],
)
def test_a_read_that_is_one_event_is_not_always_one(before: bytes, payload: bytes):
    cutter = sse.EventCutter()
    cutter.feed(before)
    assert cutter.feed(b'data: {"a":1}\n\n')[-1:] == ([payload] if payload else [])


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b'data: {"a":1}', [b'{"a":1}']),
        (b"data: {\ndata: }", [b"{\n}"]),
        (b"data: [DONE]", [b"[DONE]"]),
        (b"dat", []),
    ],
)
def test_the_end_of_the_stream_ends_the_last_event(stream: bytes, payloads: list[bytes]):
    cutter = sse.EventCutter()
    assert cutter.feed(stream) == []
    assert cutter.close() == payloads
    assert cutter.close() == []


def test_a_line_without_end_is_refused():
    cutter = sse.EventCutter()
    part = b"x" * (sse.LIMIT // 4)
    for _ in range(4):
        assert cutter.feed(part) == []
    with pytest.raises(UpstreamBroke, match="longer than"):
        cutter.feed(b"x")


def test_an_event_without_end_is_refused():
    cutter = sse.EventCutter()
    line = b"data: " + b"x" * (sse.LIMIT // 4) + b"\n"
    for _ in range(4):
        assert cutter.feed(line) == []
    with pytest.raises(UpstreamBroke, match="longer than"):
        cutter.feed(line)


def test_the_limit_is_for_each_line_and_event():
    cutter = sse.EventCutter()
    line = b"data: x" + b"x" * (sse.LIMIT // 2) + b"\n\n"
    for _ in range(3):
        assert cutter.feed(line[:9]) == []
        assert len(cutter.feed(line[9:])) == 1


def test_comments_come_along_where_they_are_wanted():
    stream = b': one\n\ndata: {"a":1}\n\n:two\nevent: error\ndata: {"b":2}\n\n'
    payloads = [b": one", b'{"a":1}', b":two", b'{"error":{"b":2}}']
    assert sse.EventCutter(comments=True).feed(stream) == payloads
    cutter = sse.EventCutter(comments=True)
    one_by_one = [cutter.feed(stream[at : at + 1]) for at in range(len(stream))]
    assert [payload for found in one_by_one for payload in found] == payloads
