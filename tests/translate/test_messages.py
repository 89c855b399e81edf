"""Conversations as clients keep them, made fit for every upstream (quirks B9, B11, C13, H5, H9)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.translate import messages, tools
from ollama_bridge.wire import ollama

RESULT_NEXT = "The result is in the next message."
NO_RESULT = "No result was given."
GIF = "R0lGODlhAAAAAAAAAAAAAAAA"
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{GIF}"}}


def sent(*turns: dict[str, Any]) -> list[dict[str, Any]]:
    request = msgspec.json.encode({"model": "m", "messages": turns})
    return messages.to_openai(ollama.decode(request, ollama.ChatRequest).messages or [])


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content} | more


def assistant(*calls: tuple[str, str], content: str = "") -> dict[str, Any]:
    """A turn with calls of (id, name)."""
    listed = [
        {"id": call_id, "function": {"name": name, "arguments": {"of": name}}}
        for call_id, name in calls
    ]
    return {"role": "assistant", "content": content, "tool_calls": listed}


def result(content: str, **how: str) -> dict[str, Any]:
    return {"role": "tool", "content": content} | how


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], []),
        ([user("hi")], [user("hi")]),
        ([user("")], [user("")]),
        ([{"role": "user"}], [user("")]),
        ([{"role": "USER", "content": "hi"}], [user("hi")]),
        ([{"content": "hi"}], [user("hi")]),
        ([{"role": "critic", "content": "hi"}], [user("hi")]),
        ([{"role": "human", "content": "hi"}], [user("hi")]),
        (
            [{"role": "developer", "content": "be brief"}],
            [{"role": "system", "content": "be brief"}],
        ),
        (
            [{"role": "system", "content": "be brief"}, user("hi")],
            [{"role": "system", "content": "be brief"}, user("hi")],
        ),
        (
            [{"role": "model", "content": "hello", "thinking": "a guest"}],
            [{"role": "assistant", "content": "hello"}],  # B10: reasoning is not sent back
        ),
        ([{"role": "assistant", "thinking": "a guest"}, user("hi")], [user("hi")]),
        ([{"role": "assistant", "content": ""}, user("hi")], [user("hi")]),
        ([user("hi", images=[], tool_calls=[], tool_name="", name="Eve")], [user("hi")]),
        ([user("hi", images=[GIF])], [user([{"type": "text", "text": "hi"}, PICTURE])]),
        ([user("", images=[GIF])], [user([PICTURE])]),
    ],
)
def test_plain_turns(turns: list[dict[str, Any]], expected: list[dict[str, Any]]):
    assert sent(*turns) == expected


def _results(*turns: dict[str, Any]) -> dict[str, str]:
    """What each call was answered with, by the call's name and its place in the turn."""
    found = sent(*turns)
    _check(found)
    names = {
        call["id"]: f"{call['function']['name']}{place}"
        for turn in found
        for place, call in enumerate(turn.get("tool_calls", []))
    }
    return {
        names[turn["tool_call_id"]]: turn["content"] for turn in found if turn["role"] == "tool"
    }


def _check(found: list[dict[str, Any]]) -> None:
    """B11: every call is followed by exactly one result, and no result is without its call."""
    waiting: list[str] = []
    used: set[str] = set()
    for turn in found:
        if turn["role"] == "tool":
            waiting.remove(turn["tool_call_id"])
            continue
        assert waiting == []
        waiting = [call["id"] for call in turn.get("tool_calls", [])]
        assert all(tools.suits_every_upstream(call_id) for call_id in waiting)
        assert not used & set(waiting)
        assert len(set(waiting)) == len(waiting)
        used |= set(waiting)
        if turn["role"] == "assistant":
            assert turn["content"] or waiting
    assert waiting == []


@pytest.mark.parametrize(
    ("turns", "results"),
    [
        pytest.param(
            [
                assistant(("one", "f"), ("two", "f")),
                result("second", tool_call_id="two"),
                result("first", tool_call_id="one"),
            ],
            {"f0": "first", "f1": "second"},
            id="by id",
        ),
        pytest.param(
            [
                assistant(("", "f"), ("", "g")),
                result("of g", tool_name="g"),
                result("of f", name="f"),
            ],
            {"f0": "of f", "g1": "of g"},
            id="by name",
        ),
        pytest.param(
            [
                assistant(("", "f"), ("", "f"), ("", "g")),
                result("first", tool_name="f"),
                result("of g", tool_name="g"),
                result("second", tool_name="f"),
            ],
            {"f0": "first", "f1": "second", "g2": "of g"},
            id="by name, in order",
        ),
        pytest.param(
            [assistant(("", "f"), ("", "g")), result("first"), result("second")],
            {"f0": "first", "g1": "second"},
            id="by order",
        ),
        pytest.param(
            [assistant(("", "f"), ("", "g")), result("of g", tool_name="g"), result("rest")],
            {"f0": "rest", "g1": "of g"},
            id="by name, then order",
        ),
        pytest.param(
            [assistant(("one", "f"), ("two", "g")), result("x", tool_call_id="who", tool_name="g")],
            {"f0": NO_RESULT, "g1": "x"},
            id="an id nobody knows",
        ),
        pytest.param(
            [assistant(("a" * 9, "f")), result("x", tool_call_id="a" * 9)],
            {"f0": "x"},
            id="good id",
        ),
        pytest.param(
            [
                assistant(("same", "f"), ("same", "f")),
                result("x", tool_call_id="same"),
                result("y"),
            ],
            {"f0": "x", "f1": "y"},
            id="one id for two",
        ),
        pytest.param([assistant(("", "f"))], {"f0": NO_RESULT}, id="none"),
        pytest.param(
            [assistant(("", "f")), assistant(content="well")], {"f0": NO_RESULT}, id="none, and on"
        ),
        pytest.param([assistant(("", "f")), user("x")], {"f0": RESULT_NEXT}, id="as a user's turn"),
        pytest.param(
            [assistant(("", "f"), ("", "g")), result("x", tool_name="g"), user("y")],
            {"f0": RESULT_NEXT, "g1": "x"},
            id="half of them",
        ),
        pytest.param(
            [assistant(("", "home/lamp.on")), result("x", tool_name="home/lamp.on")],
            {f"{tools.sent_name('home/lamp.on')}0": "x"},
            id="a name that had to change",
        ),
        pytest.param(
            [assistant(("", "f")), result("x"), assistant(("", "f")), result("y")],
            {"f0": "y"},
            id="the same again",
        ),
    ],
)
def test_results_find_their_calls(turns: list[dict[str, Any]], results: dict[str, str]):
    assert _results(*turns) == results


def test_good_ids_are_kept_and_others_always_become_the_same():
    turns = [assistant(("abcDEF123", "f"), ("call_x", "f")), result("1"), result("2")]
    before = [call["id"] for call in sent(*turns)[0]["tool_calls"]]
    after = [call["id"] for call in sent(*turns, user("go on"))[0]["tool_calls"]]
    assert before[0] == "abcDEF123"
    assert before == after


def test_results_nobody_asked_for_are_not_lost():
    assert sent(result("42", tool_name="oracle"), result("43")) == [
        user("Result of oracle: 42"),
        user("43"),
    ]


def test_images_of_results_follow_as_the_users():
    turns = [assistant(("", "f"), ("", "f")), result("x", images=[GIF]), result("y"), user("so?")]  # type: ignore[arg-type]
    roles = [(turn["role"], turn["content"]) for turn in sent(*turns)]
    shown = [{"type": "text", "text": "Images from the tool results."}, PICTURE]
    assert roles == [
        ("assistant", ""),
        ("tool", "x"),
        ("tool", "y"),
        ("user", shown),
        ("user", "so?"),
    ]


def test_arguments_are_text():
    turn = sent(assistant(("", "f")))[0]
    assert turn["tool_calls"][0]["function"]["arguments"] == '{"of":"f"}'


_texts = st.sampled_from(["", "x"])
_calls = st.lists(
    st.tuples(st.sampled_from(["", "one", "two", "a" * 9]), st.sampled_from(["f", "g", "h i"])),
    max_size=3,
)
_turns = st.one_of(
    st.builds(user, _texts),
    st.builds(lambda calls, content: assistant(*calls, content=content), _calls, _texts),
    st.builds(
        lambda content, call_id, name: result(content, tool_call_id=call_id, tool_name=name),
        _texts,
        st.sampled_from(["", "one", "two", "three"]),
        st.sampled_from(["", "f", "g", "h i", "j"]),
    ),
    st.just({"role": "system", "content": "be brief"}),
)


@given(st.lists(_turns, max_size=8))
def test_any_history_is_sound(turns: list[dict[str, Any]]):
    found = sent(*turns)
    _check(found)
    said = [turn["content"] for turn in turns if turn["role"] == "tool" and turn["content"]]
    heard = [turn["content"] for turn in found if turn["role"] in ("tool", "user")]
    assert sum(content.endswith("x") for content in heard) >= len(said), "no result is lost"
