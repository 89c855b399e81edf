"""`think` as reasoning effort, and `<think>` tags cut anywhere (upstream-quirks D5, D9)."""

from itertools import pairwise

import pytest

from ollama_bridge.providers.provider import EFFORTS
from ollama_bridge.translate import thinking


def split(*pieces: str) -> tuple[str, str]:
    splitter = thinking.TagSplitter()
    found = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(thought for thought, _ in found), "".join(text for _, text in found)


TEXTS = [
    ("Hello.", "", "Hello."),
    ("", "", ""),
    ("  \n", "", "  \n"),
    ("<think>Hm.</think>Hello.", "Hm.", "Hello."),
    ("<think>\nHm.\n</think>\n\nHello.", "Hm.", "Hello."),
    ("\n\n <think>Hm.</think>Hello.", "Hm.", "Hello."),
    ("<think></think>Hello.", "", "Hello."),
    ("<think>\n\n</think>\n\nHello.", "", "Hello."),
    ("<think>Hm.\n\nSo.</think>", "Hm.\n\nSo.", ""),
    ("<think>Hm.</think>\n\n", "Hm.", ""),
    ("<think>Hm. ", "Hm. ", ""),
    ("<think>Hm.</thi", "Hm.</thi", ""),
    ("<think>", "", ""),
    ("<thi", "", "<thi"),
    ("<thinking>Hm.</thinking>", "", "<thinking>Hm.</thinking>"),
    ("Hm.</think>Hello.", "", "Hm.</think>Hello."),  # only for models flagged so
    ("Write <think>Hm.</think>", "", "Write <think>Hm.</think>"),
    ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
    ("<think>a < b </ think></think>c", "a < b </ think>", "c"),
    ("<think>a</think> b </think>", "a", "b </think>"),
]


@pytest.mark.parametrize(("text", "thought", "rest"), TEXTS)
def test_tags_cut_anywhere(text: str, thought: str, rest: str):
    assert split(text) == (thought, rest)
    assert split(*text) == (thought, rest)
    for cut in range(len(text) + 1):
        assert split(text[:cut], text[cut:]) == (thought, rest)


def test_text_is_held_back_no_longer_than_needed():
    splitter = thinking.TagSplitter()
    assert splitter.feed("<th") == ("", "")
    assert splitter.feed("e end") == ("", "<the end")
    assert splitter.passing


def test_thinking_is_said_as_it_comes():
    splitter = thinking.TagSplitter()
    said = [splitter.feed(piece)[0] for piece in ("<think>", "One", " two", " three</", "b>")]
    assert said == ["", "One", " two", " three", "</b>"]
    assert not splitter.passing


def test_a_server_with_its_own_mark_has_no_tags():
    splitter = thinking.TagSplitter()
    assert splitter.feed(" <th") == ("", "")
    assert splitter.switch_off() == " <th"
    assert splitter.passing
    assert splitter.close() == ("", "")


def test_inside_tags_it_is_too_late_to_switch_off():
    splitter = thinking.TagSplitter()
    splitter.feed("<think>Hm.")
    assert splitter.switch_off() == ""
    assert splitter.feed("</think>So.") == ("", "So.")


def test_long_thinking_takes_linear_time():
    """What is held back never grows: every piece is looked at once."""
    splitter = thinking.TagSplitter()
    splitter.feed("<think>")
    held = []
    for _ in range(1000):
        splitter.feed("<" * 100)
        held.append(len(splitter._held))
    assert all(later <= earlier for earlier, later in pairwise(held))


@pytest.mark.parametrize(
    ("think", "word"),
    [
        (None, None),
        (True, "medium"),
        (False, None),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("max", "high"),
    ],
)
def test_effort_by_the_common_table(think: bool | str | None, word: str | None):
    assert thinking.effort(think, EFFORTS) == word


def test_effort_by_a_table_of_its_own():
    assert thinking.effort(think=False, efforts={"off": "none"}) == "none"
    assert thinking.effort(think=True, efforts={"off": "none"}) is None
