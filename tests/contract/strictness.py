"""What a client refuses, as tables of rules that prove themselves.

Strategy: a checker is a good reply and rules about it. Each rule carries the changes of the good
reply that it must notice, so no rule can stand here that would never fail.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

Change = Callable[[Any], Any]
"""Makes a broken reply of a good one, which it may change."""

_GONE = object()


class Refused(AssertionError):
    """A client would not take this reply; the message says which client, and its rule."""


class Kind(NamedTuple):
    """A type as a client sees it, and values that it refuses."""

    says: str
    holds: Callable[[Any], bool]
    wrong: tuple[Any, ...]


class Rule(NamedTuple):
    """One thing a client insists on, and changes that go against it."""

    says: str
    holds: Callable[[Any], Any]
    breaks: tuple[Change, ...]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_OFFSET_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

TEXT = Kind("a string", lambda value: isinstance(value, str), (None, 7))
FILLED = Kind(
    "a string that is not empty", lambda value: isinstance(value, str) and value, ("", None)
)
WHOLE = Kind("an integer", _whole, (None, 1.5, "1"))
UNSIGNED = Kind("an integer of at least 0", lambda value: _whole(value) and value >= 0, (-1, None))
COUNT = Kind("an integer above 0", lambda value: _whole(value) and value > 0, (0, None, 1.5))
NUMBER = Kind(
    "a number",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    ("32768", None),
)
BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool), (None, "true"))
OBJECT = Kind("an object", lambda value: isinstance(value, dict), (None, "{}", []))
LIST = Kind("a list", lambda value: isinstance(value, list), (None, {}))
TEXTS = Kind(
    "a list of strings",
    lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    (None, [None], "tools"),
)
TEXTS_OR_NULL = Kind(
    "a list of strings, or null",
    lambda value: value is None or TEXTS.holds(value),
    ([None], "tools"),
)
DATE = Kind(
    "a date with an offset",
    lambda value: isinstance(value, str) and _OFFSET_DATE.fullmatch(value) is not None,
    ("", None, "2026-01-02T03:04:05", 1_750_000_000),
)


def one_of(*words: str) -> Kind:
    """A text from a short list."""
    return Kind(
        f"one of {', '.join(words)}", lambda value: value in words, ("something else", None)
    )


def field(path: str, kind: Kind) -> Rule:
    """The value is always there and of that kind; `*` in the path is every item of a list."""
    breaks = [put(path, wrong) for wrong in kind.wrong]
    if not path.endswith("*"):  # a shorter list is no fault
        breaks.insert(0, drop(path))
    return Rule(f"{path} must be {kind.says}", lambda reply: _all(reply, path, kind), tuple(breaks))


def maybe(path: str, kind: Kind) -> Rule:
    """The value may be missing; when it is there, it is of that kind."""
    breaks = tuple(put(path, wrong) for wrong in kind.wrong)
    return Rule(
        f"{path}, if it is there, must be {kind.says}",
        lambda reply: _all(reply, path, kind, missing_is_fine=True),
        breaks,
    )


def absent(path: str) -> Rule:
    """The key is not there at all, not even as null."""
    return Rule(
        f"{path} must not be there",
        lambda reply: all(value is _GONE for value in _found(reply, path)),
        (put(path, None), put(path, "")),
    )


def rule(says: str, holds: Callable[[Any], Any], *breaks: Change) -> Rule:
    """Anything else: what must hold, and at least one change that goes against it."""
    assert breaks, f"no change would break the rule: {says}"
    return Rule(says, holds, breaks)


class Checker:
    """A function that raises Refused where the client would not take the reply."""

    def __init__(self, client: str, good: Any, *rules: Rule) -> None:
        self.client = client
        self.good = good
        self.rules = rules

    def __call__(self, reply: Any) -> Any:
        for each in self.rules:
            if not _holds(each, reply):
                raise Refused(f"{self.client}: {each.says}")
        return reply


class Case(NamedTuple):
    """A broken reply, and the rule that must notice it."""

    checker: Checker
    rule: Rule
    change: Change

    def prove(self) -> None:
        """The good reply passes; the broken one is refused, for this reason and no other."""
        self.checker(copy.deepcopy(self.checker.good))
        broken = self.change(copy.deepcopy(self.checker.good))
        with pytest.raises(Refused) as caught:
            self.checker(broken)
        assert str(caught.value) == f"{self.checker.client}: {self.rule.says}"


def every_rule_of(*checkers: Checker) -> pytest.MarkDecorator:
    """Parametrizes a test by `case`: every broken reply of every rule."""
    cases = [
        pytest.param(Case(checker, each, change), id=f"{checker.client}-{each.says}-{number}")
        for checker in checkers
        for each in checker.rules
        for number, change in enumerate(each.breaks)
    ]
    return pytest.mark.parametrize("case", cases)


# changes


def put(path: str, value: Any) -> Change:
    """Set a value; `*` in the path is the first item of a list, `-1` the last."""

    def change(reply: Any) -> Any:
        holder, key = _holder(reply, path)
        holder[key] = value
        return reply

    return change


def drop(path: str) -> Change:
    """Take a key or an item away."""

    def change(reply: Any) -> Any:
        holder, key = _holder(reply, path)
        del holder[key]
        return reply

    return change


def _holder(reply: Any, path: str) -> tuple[Any, Any]:
    *way, last = path.split("/")
    for step in way:
        reply = reply[_step(reply, step)]
    return reply, _step(reply, last)


def _step(holder: Any, step: str) -> Any:
    if isinstance(holder, dict):
        return step
    return 0 if step == "*" else int(step)


# looking


def _holds(each: Rule, reply: Any) -> bool:
    """Where a client's own code would trip over the reply, the rule does not hold."""
    try:
        return bool(each.holds(reply))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, StopIteration):
        return False


def _all(reply: Any, path: str, kind: Kind, *, missing_is_fine: bool = False) -> bool:
    return all(
        missing_is_fine if value is _GONE else kind.holds(value) for value in _found(reply, path)
    )


def _found(reply: Any, path: str) -> Iterator[Any]:
    """Every value the path leads to; _GONE where it ends too early."""
    step, _, rest = path.partition("/")
    if step == "*":
        inner = list(reply) if isinstance(reply, list) else []
    elif isinstance(reply, list):
        inner = [reply[int(step)]] if -len(reply) <= int(step) < len(reply) else [_GONE]
    else:
        inner = [reply.get(step, _GONE) if isinstance(reply, dict) else _GONE]
    for value in inner:
        if rest and value is not _GONE:
            yield from _found(value, rest)
        else:
            yield value
