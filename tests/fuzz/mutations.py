"""Strategies that spoil a good seed: in its bytes, in its JSON, and where reads cut it."""

import copy
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]

WORDS = (
    *(b"\n\n", b"\r\n", b"\r", b"data: ", b"data:", b"event: error\n", b": comment\n\n", b"[DONE]"),
    *(b"data: [DONE]\n\n", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"\\ud800", b"null", b","),
    *(b'"error":{"message":"x"}', b'"choices":[]', b'"finish_reason":"stop"', b"\xff", b"\0"),
    *(b"<think>", b"</think>", b'{"object":"error","message":"x"}', b"1e999", b"NaN", b"-0"),
    *(b'"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]', b"\xf0\x9f\x98", b" "),
)
ODD = (
    *(None, True, False, 0, -1, 1, 2**63, -(2**70), 1.5, 1e308, "", "x", "stop", "error"),
    *([], {}, [None], [[]], [{}], {"": None}, "\ud800", "\0", "é" * 50, "[DONE]", "data: x"),
    *({"$ref": "#/$defs/a"}, {"type": ["null", "string"]}, {"type": "object"}, "#/$defs/a"),
)
"""Values that stand where others are expected."""

NAMES = (
    *("model", "messages", "content", "role", "tools", "function", "arguments", "name", "id"),
    *("choices", "delta", "index", "finish_reason", "usage", "error", "message", "tool_calls"),
    *("$ref", "$defs", "properties", "items", "anyOf", "required", "type", "enum", "stream"),
    *("options", "format", "images", "think", "input", "prompt", "embedding", "data", "text"),
)


@st.composite
def spoiled(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """A seed with up to four changes in its bytes."""
    data: bytes = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        data = draw(st.sampled_from(_CHANGES))(draw, data, seeds)
    return data


def _delete(draw: Draw, data: bytes, _: Any) -> bytes:
    start, stop = _range(draw, data)
    return data[:start] + data[stop:]


def _repeat(draw: Draw, data: bytes, _: Any) -> bytes:
    start, stop = _range(draw, data)
    return data[:stop] + data[start:stop] * draw(st.integers(1, 3)) + data[stop:]


def _insert(draw: Draw, data: bytes, _: Any) -> bytes:
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(st.sampled_from(WORDS) | st.binary(max_size=4)) + data[place:]


def _cut(draw: Draw, data: bytes, _: Any) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def _cross(draw: Draw, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other: bytes = draw(st.sampled_from(seeds))
    return data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]


def _range(draw: Draw, data: bytes) -> tuple[int, int]:
    start = draw(st.integers(0, len(data)))
    return start, min(len(data), start + draw(st.integers(0, 200)))


_CHANGES = (_delete, _repeat, _insert, _cut, _cross)


@st.composite
def twisted(draw: Draw, seeds: Sequence[Any]) -> Any:
    """A JSON seed with up to four values replaced, removed, doubled, moved or renamed."""
    value = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        holders = _holders(value)
        if not holders:
            break
        holder = holders[draw(st.integers(0, len(holders) - 1))]
        _twist(draw, holder, [*ODD, value])
        if len(json.dumps(value)) > 50_000:
            break
    return value


def _twist(draw: Draw, holder: Any, odd: list[Any]) -> None:
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    key = draw(st.sampled_from(keys))
    change = draw(st.sampled_from(("replace", "remove", "add", "rename", "wrap", "lose type")))
    fresh = copy.deepcopy(draw(st.sampled_from(odd)))
    if change == "replace":
        holder[key] = fresh
    elif change == "remove":
        del holder[key]
    elif change == "add" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif change == "add":
        holder[draw(st.sampled_from(NAMES))] = fresh
    elif change == "rename" and isinstance(holder, dict):
        name = draw(st.sampled_from([*NAMES, str(key).upper(), f"{key} "]))
        holder[name] = holder.pop(key)
    elif change == "wrap":
        holder[key] = draw(st.sampled_from(([holder[key]], {str(key): holder[key]})))
    else:
        holder[key] = json.dumps(holder[key])


def _holders(value: Any) -> list[Any]:
    """Every list and object in it that is not empty."""
    if not isinstance(value, dict | list) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for item in inner for found in _holders(item))]


@st.composite
def reads(draw: Draw, bodies: st.SearchStrategy[bytes]) -> list[bytes]:
    """A body in the pieces in which it may arrive."""
    data = draw(bodies)
    places = draw(st.sets(st.integers(0, len(data)), max_size=8))
    return [data[start:stop] for start, stop in pairwise([0, *sorted(places), len(data)])]
