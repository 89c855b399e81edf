"""Fences round answers that were to be JSON (upstream-quirks E9)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.translate.fences import Unfenced
from ollama_bridge.translate.stops import StopCutter


def through(text: str, cuts: list[int], stops: tuple[str, ...] = ()) -> str:
    """What is said of a text that comes in these pieces."""
    cutter = Unfenced(StopCutter(stops))
    edges = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    said = ""
    for start, end in itertools.pairwise(edges):
        said += cutter.feed(text[start:end])
        if cutter.stopped:
            break
    return said + cutter.close()


CASES = {
    "fenced": ('```json\n{"a": 1}\n```', '{"a": 1}'),
    "no language, blanks round it": ('\n ```\r\n{"a": 1}\n``` \n', '{"a": 1}'),
    "never closed": ('```json\n{"a": 1}', '{"a": 1}'),
    "fences inside": ('```json\n{"a": "```x```"}\n```', '{"a": "```x```"}'),
    "text behind": ('```json\n{"a": 1}\n```\nThere.', '{"a": 1}\n```\nThere.'),
    "none": ('{"a": 1}\n', '{"a": 1}\n'),
    "other text first": ("See ```json\n{}\n```", "See ```json\n{}\n```"),
    "no line of its own": ('```{"a": 1}```', '```{"a": 1}```'),
    "two ticks": ("``", "``"),
    "blank": (" \n", " \n"),
    "nothing": ("", ""),
    "only the fence": ("```json\n```", ""),
}


@pytest.mark.parametrize(("text", "said"), CASES.values(), ids=CASES)
def test_however_it_is_cut(text: str, said: str) -> None:
    assert through(text, []) == said
    assert through(text, list(range(len(text)))) == said
    for cut in range(len(text)):
        assert through(text, [cut]) == said


@given(st.text(alphabet="`a\n {}", max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_cuts_change_nothing(text: str, cuts: list[int]) -> None:
    assert through(text, cuts) == through(text, [])


def test_stop_strings_behind_a_fence() -> None:
    text = '```json\n{"a": "STOP"}\n```'
    for cut in range(len(text)):
        assert through(text, [cut], ("STOP",)) == '{"a": "'
