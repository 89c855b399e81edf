"""One value changed in JSON with comments, and every other character as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge import jsonc

COMMENTED = """\
// my settings
{
  /* the theme { "not": "this" } */
  "theme": "dark", // "api_url": "no"
  "language_models": {
    "other": {"api_url": "x"},
    "ollama": {
      "api_url": "http://old", // mine
    },
  },
}
"""


def test_a_value_is_replaced_and_comments_stay() -> None:
    changed = jsonc.put(COMMENTED, ("language_models", "ollama", "api_url"), "http://new")
    assert changed == COMMENTED.replace("http://old", "http://new")


def test_a_key_is_added_at_the_top() -> None:
    changed = jsonc.put(COMMENTED, ("a.b",), "http://new")
    assert changed == COMMENTED.replace("{\n  /*", '{\n  "a.b": "http://new",\n  /*', 1)


def test_objects_are_made_on_the_way() -> None:
    assert json.loads(jsonc.put("", ("env", "A"), "1")) == {"env": {"A": "1"}}
    assert json.loads(jsonc.put("{}", ("env", "A"), "1")) == {"env": {"A": "1"}}
    assert jsonc.put('{\n  "b": 1\n}\n', ("env", "A"), "1") == (
        '{\n  "env": {\n    "A": "1"\n  },\n  "b": 1\n}\n'
    )


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"a": }', "no", '{"env": 1}', '{"env": [1]}', '"text"', '{"a": 1} x']
)
def test_what_a_person_has_to_do(text: str) -> None:
    with pytest.raises(jsonc.Unchangeable):
        jsonc.put(text, ("env", "A"), "1")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4), st.lists(st.text(), min_size=1, max_size=3))
def test_any_document(document: dict[str, object], path: list[str]) -> None:
    text = json.dumps(document, indent=2)
    try:
        changed = jsonc.put(text, path, "new")
    except jsonc.Unchangeable:
        return
    value: object = json.loads(changed)
    for key in path:
        assert isinstance(value, dict)
        value = value[key]
    assert value == "new"
    assert jsonc.put(changed, path, "new") == changed
