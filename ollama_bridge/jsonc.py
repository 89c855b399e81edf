"""One change in a JSON file with comments: nothing else in the text is touched.

Strategy: find the place in the text and put the new value there; then read the result as a program
would, and refuse it unless exactly that one value differs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|[{}\[\]:,]|[^\s{}\[\]:,"/]+', re.DOTALL)


class Unchangeable(Exception):
    """The text cannot be changed safely; a person has to do it."""


def read(text: str) -> Any:
    """The value of a text with comments and commas before a closing bracket."""
    parts: list[str] = []
    for token in _tokens(text):
        if token[0] in "}]" and parts and parts[-1] == ",":
            parts.pop()
        parts.append(token)
    try:
        return json.loads(" ".join(parts) or "{}")
    except ValueError as error:
        raise Unchangeable("it is not JSON") from error


def put(text: str, path: Sequence[str], value: Any) -> str:
    """The text with one value set; raises Unchangeable."""
    before = read(text)
    if not isinstance(before, dict):
        raise Unchangeable("it is not a JSON object")
    changed = _put(text if text.strip() else "{}\n", path, value)
    if read(changed) != _merged(before, path, value):
        raise Unchangeable("its form is unusual")
    return changed


def _tokens(text: str) -> list[str]:
    return [found[0] for found in _TOKEN.finditer(text) if not found[0].startswith(("//", "/*"))]


def _merged(value: Any, path: Sequence[str], new: Any) -> Any:
    if not path:
        return new
    if not isinstance(value, Mapping):
        raise Unchangeable(f'"{path[0]}" would have to go into a value that is no object')
    inner = value.get(path[0], {} if len(path) > 1 else None)
    return {**value, path[0]: _merged(inner, path[1:], new)}


def _put(text: str, path: Sequence[str], value: Any) -> str:
    found = [item for item in _TOKEN.finditer(text) if not item[0].startswith(("//", "/*"))]
    place = 0  # the token at which the object begins that holds the next key
    for depth, key in enumerate(path):
        at = _member(found, place, key)
        if at is None:
            return _inserted(text, found, place, path[depth:], value, depth)
        if depth == len(path) - 1:
            end = _end(found, at)
            return text[: found[at].start()] + _text(value, depth) + text[found[end].end() :]
        place = at
    return text


def _member(found: "list[re.Match[str]]", place: int, key: str) -> int | None:
    """The first token of that key's value in the object that begins at `place`."""
    if found[place][0] != "{":
        raise Unchangeable("a value on the way is no object")
    at = place + 1
    while found[at][0] != "}":
        name, value = found[at][0], at + 2
        if json.loads(name) == key:
            return value
        at = _end(found, value) + 1
        if found[at][0] == ",":
            at += 1
    return None


def _end(found: "list[re.Match[str]]", at: int) -> int:
    """The last token of the value that begins there."""
    depth = 0
    for number in range(at, len(found)):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[number][0], 0)
        if depth == 0:
            return number
    raise Unchangeable("a bracket is not closed")


def _inserted(
    text: str,
    found: "list[re.Match[str]]",
    place: int,
    path: Sequence[str],
    value: Any,
    depth: int,
) -> str:
    for key in reversed(path[1:]):
        value = {key: value}
    start = found[place].end()
    empty = found[place + 1][0] == "}"
    indent = "  " * (depth + 1)
    member = f"\n{indent}{json.dumps(path[0])}: {_text(value, depth)}"
    rest = text[start:]
    if not empty:
        return f"{text[:start]}{member},{rest}"
    closing = "" if rest.lstrip(" \t").startswith(("\n", "/")) else "\n" + "  " * depth
    return f"{text[:start]}{member}{closing}{rest.lstrip(' ') if closing else rest}"


def _text(value: Any, depth: int) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\n" + "  " * (depth + 1))
