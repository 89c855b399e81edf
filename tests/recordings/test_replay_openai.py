"""Every recorded reply of an OpenAI-compatible server, through the code a client's answer comes from.

What it should have become is told by `reader`, which shares no code with the package.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import pytest
from recordings import likeness, reader, rules

from ollama_bridge.providers import lessons, quirks
from ollama_bridge.translate import embed, failures, lines
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Stopwatch

CASES = reader.cases("openai-compatible")
STAMP = "2026-01-02T03:04:05.000000006Z"

REPLIES = ("chat", "completions")
OTHER = {
    "model": "one model's facts: translate.models reads lists",
    "models": "lists of models: tests/translate/test_models.py",
    "props": "llama.cpp's own route",
}
"""Kinds that hold no reply to translate here."""


def _is_stream(case: dict[str, Any]) -> bool:
    return case["kind"] in REPLIES and case["stream"]


def _is_whole(case: dict[str, Any]) -> bool:
    return case["kind"] in REPLIES and not case["stream"] and case["status"] == 200


def _is_refusal(case: dict[str, Any]) -> bool:
    return case["kind"] not in OTHER and case["status"] != 200


def _is_embedding(case: dict[str, Any]) -> bool:
    return case["kind"] == "embeddings" and case["status"] == 200


def _is_other(case: dict[str, Any]) -> bool:
    return case["kind"] in OTHER


SORTS = (_is_stream, _is_whole, _is_refusal, _is_embedding, _is_other)


def _each(wanted: Callable[[dict[str, Any]], bool]) -> pytest.MarkDecorator:
    found = [pytest.param(case, id=case["id"]) for case in CASES if wanted(case)]
    return pytest.mark.parametrize("case", found)


def test_the_recordings_are_there():
    if CASES:
        return
    reason = f"no recordings in {reader.FOLDER.parent.name}/{reader.FOLDER.name} beside the project"
    assert not os.environ.get("CI"), reason
    pytest.skip(reason)


def test_every_recording_is_of_one_sort():
    """Together with one test a case this leaves no recording out."""
    assert [case["id"] for case in CASES if sum(sort(case) for sort in SORTS) != 1] == []


@_each(_is_stream)
def test_stream(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", f"{case['kind']} stream")
    recording = reader.load(case)
    expected = reader.stream(recording["sse"])
    form = lines.CHAT if case["kind"] == "chat" else lines.GENERATE
    data = reader.body(recording)

    at_once = _lines([data], form)

    likeness.compare(rules.streamed(at_once), expected)
    assert _lines(reader.reads(recording), form) == at_once
    assert _lines([data[at : at + 1] for at in range(len(data))], form) == at_once
    _compare_whole(_collected(data, form), expected)


@_each(_is_whole)
def test_whole(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", f"{case['kind']} json")
    recording = reader.load(case)
    expected = reader.whole(recording["response"])
    form = lines.CHAT if case["kind"] == "chat" else lines.GENERATE
    data = reader.body(recording)

    _compare_whole(_whole(data, lines.Whole(form, "m", _stamp)), expected)
    reply, streamed = _whole(b"\n\n  " + data, lines.Lines(form, "m", _stamp))  # F2, F13
    assert bool(reply.failure) == bool(expected.error)
    likeness.compare(rules.streamed(streamed), expected)


@_each(_is_refusal)
def test_refusal(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", f"{case['kind']} error")
    recording = reader.load(case)
    expected = " ".join(reader.message(recording["response"]).split())
    expected = re.sub(r"\bsk-[\w*-]+", "[hidden]", expected)  # keys, even half hidden ones

    error = failures.refused(
        case["status"], reader.body(recording), provider="lab", model="some-model"
    )

    assert 400 <= error.status <= 599
    assert error.status != 401
    assert (error.status < 500) == _is_the_clients(case["status"], expected)
    assert expected[:1000] in error.message
    assert "\n" not in error.message


def _is_the_clients(status: int, said: str) -> bool:
    """Whether the request is at fault: not when our key is (trap 11), but when a model lacks tools
    whatever the status (C17, C18)."""
    return (status < 500 and status != 401) or said == "Cannot use tools with stream"


@_each(_is_embedding)
def test_embedding(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", "embeddings json")
    recording = reader.load(case)
    usage = recording["response"].get("usage") or {}

    found, tokens = embed.vectors(reader.body(recording))

    expected = reader.vectors(recording)
    assert len(found) == len(expected)
    for vector, numbers in zip(found, expected, strict=True):
        assert list(vector.numbers) == pytest.approx(numbers, rel=1e-6)
    assert tokens == usage.get("prompt_tokens")


@_each(_is_other)
def test_other_kinds_are_counted(
    case: dict[str, Any], record_property: Callable[[str, object], None]
):
    record_property("recording", "of other kinds")
    assert OTHER[case["kind"]]
    assert reader.load(case)["status"] == case["status"]


RICH = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "response_format": {"type": "json_object"},
    "max_tokens": 10,
    "stop": ["a"],
    "logprobs": True,
    "dimensions": 3,
    "stream": True,
}
"""A request with everything that somebody refuses."""


def test_the_edits_said_to_be_observed_are_what_recorded_refusals_teach() -> None:
    refusals = [reader.load(case) for case in CASES if _is_refusal(case)]
    if not refusals:
        pytest.skip("no recordings beside the project")
    taught = set()
    for recording in refusals:
        refusal = failures.refusal(recording["status"], recording["response"])
        for more in ({}, {"temperature": 1, "reasoning_effort": "none"}):
            body = RICH | more
            if lesson := lessons.lesson(refusal, body):
                taught.add(lesson.quirk.partition(":")[0])
            if lessons.unable(refusal, body):
                taught.add("lacks")
    assert taught == quirks.OBSERVED


def _stamp() -> str:
    return STAMP


def _reply(writer: lines.Lines | lines.Whole) -> Reply:
    ticks = count(1_000_000, 1_000)
    return Reply(writer, Stopwatch(lambda: next(ticks)), prompt_characters=9, seed="seed")


def _lines(reads: Iterable[bytes], form: lines.Form) -> bytes:
    reply = _reply(lines.Lines(form, "m", _stamp))
    said = b"".join([reply.feed(data) for data in reads])
    return said + reply.close()


def _collected(data: bytes, form: lines.Form) -> tuple[Reply, bytes]:
    reply = _reply(lines.Whole(form, "m", _stamp))
    return reply, reply.feed(data) + reply.close()


def _whole(data: bytes, writer: lines.Lines | lines.Whole) -> tuple[Reply, bytes]:
    reply = _reply(writer)
    return reply, reply.whole(data) + reply.close()


def _compare_whole(outcome: tuple[Reply, bytes], expected: reader.Said) -> None:
    reply, data = outcome
    if expected.error:
        assert reply.failure is not None
        assert expected.error in reply.failure.message
        assert json.loads(data) == {"error": reply.failure.message}
        return
    assert reply.failure is None
    assert reply.estimated == (None in expected.usage)
    likeness.compare([rules.whole(data)], expected)
