"""Thoughts on /v1/chat/completions: under Ollama's name, and under the one they came with."""

import json
from typing import Any

import pytest

from ollama_bridge.translate import passed
from ollama_bridge.translate.stats import Stopwatch

THOUGHT = 'He said "reasoning_content": \\ and \u2028 — hm'


def watch() -> Stopwatch:
    return Stopwatch(lambda: 0)


def streamed(delta: dict[str, Any]) -> dict[str, Any]:
    stream = passed.Stream("mine", watch(), provider="p")
    chunk = {"model": "theirs", "choices": [{"index": 0, "delta": delta}]}
    event = stream.feed(f"data: {json.dumps(chunk)}\n\n".encode())
    told: dict[str, Any] = json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"]
    return told


def whole(message: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = passed.Whole("mine", watch(), provider="p").whole(
        json.dumps({"model": "theirs", "choices": [choice]}).encode()
    )
    told: dict[str, Any] = json.loads(body)["choices"][0]["message"]
    return told


@pytest.mark.parametrize("passes", [streamed, whole])
@pytest.mark.parametrize("thought", [THOUGHT, "", "plain"])
def test_thoughts_are_under_both_names(passes: Any, thought: str) -> None:
    told = passes({"reasoning_content": thought})
    assert told == {"reasoning": thought, "reasoning_content": thought}


@pytest.mark.parametrize("passes", [streamed, whole])
@pytest.mark.parametrize(
    "message",
    [
        {"reasoning": "a", "reasoning_content": "b"},
        {"reasoning": "a"},
        {"reasoning_content": None, "content": "x"},
        {"content": '"reasoning_content":"no"'},
    ],
)
def test_nothing_else_changes(passes: Any, message: dict[str, Any]) -> None:
    assert passes(message) == message
