"""However the network cuts an upstream's bytes, the client gets the same lines."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_golden import CASES, streamed, timeless, upward

STREAMS = [path for path in CASES if (path / "upstream.sse").exists()]

LINE_ENDS = (b"\n", b"\r\n", b"\r")
BETWEEN = (b": a comment{end}", b"{end}", b"id: 7{end}retry: 10{end}", b":{end}{end}")
"""What may stand between two events and mean nothing; {end} is the end of a line."""


@pytest.mark.parametrize("case", STREAMS, ids=lambda path: f"{path.parent.name}/{path.name}")
@settings(max_examples=40)
@given(data=st.data())
def test_any_cutting_gives_the_same_lines(case: Any, data: st.DataObject):
    upstream = (case / "upstream.sse").read_bytes()
    sent = upward(case)
    varied = _varied(upstream, data)
    places = data.draw(st.sets(st.integers(0, len(varied)), max_size=12), label="cuts")

    said = streamed(sent, _cut(varied, places))

    assert timeless(said) == timeless((case / "ollama_reply.ndjson").read_bytes())


@pytest.mark.parametrize("case", STREAMS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_cut_once_at_every_byte(case: Any):
    """Few enough to try them all; a random cut seldom falls between CR and LF."""
    upstream = (case / "upstream.sse").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    sent = upward(case)
    expected = timeless((case / "ollama_reply.ndjson").read_bytes())
    for place in range(len(upstream)):
        assert timeless(streamed(sent, [upstream[:place], upstream[place:]])) == expected


def _varied(upstream: bytes, data: st.DataObject) -> bytes:
    """The same events with other line ends, and with comments between them."""
    end = data.draw(st.sampled_from(LINE_ENDS), label="line end")
    events = re.split(rb"\r?\n\r?\n", upstream)
    noise = st.sampled_from((b"", *BETWEEN))
    between = [data.draw(noise, label="between").replace(b"{end}", end) for _ in events[:-1]]
    parts = [re.sub(rb"\r?\n", end, event) + end + end for event in events[:-1]]
    joined = [piece for pair in zip(between, parts, strict=True) for piece in pair]
    return b"".join(joined) + events[-1]


def _cut(data: bytes, places: set[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]
