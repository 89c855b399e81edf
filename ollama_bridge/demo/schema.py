"""Values for a JSON schema, of the question's names and numbers where they fit."""

import math
import re
from collections.abc import Callable, Iterator, Mapping

from ollama_bridge.demo.models import CHAT
from ollama_bridge.demo.request import Body, Json, is_whole, items, listed, part
from ollama_bridge.demo.words import QUOTED, names, said
from ollama_bridge.errors import BadRequest

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

_HINTS = {"properties": "object", "required": "object", "items": "array", "minimum": "number"}
"""Keys that tell the type of a schema that does not."""

_SAMPLES = {
    "date": "2025-01-31",
    "date-time": "2025-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""A text for each format."""

_LIMITS: Mapping[str, Callable[[float, float], bool]] = {
    "minimum": float.__ge__,
    "maximum": float.__le__,
    "exclusiveMinimum": float.__gt__,
    "exclusiveMaximum": float.__lt__,
}

_TINY, _HUGE = 1e-9, 1e15
"""Beyond these, steps and bounds could not be calculated with exactly."""

_SHALLOW, _DEEPEST, _MOST, _LONGEST = 4, 32, 2000, 1 << 14
"""Levels with optional parts, levels at all, values, characters: a schema may contain itself."""


def fill(schema: Json, question: str) -> Json:
    """A value that the schema allows."""
    return _Filler(schema, question).value(schema)


class _Filler:
    """Makes a value for a schema; holds what of the question is not used yet."""

    def __init__(self, root: Json, question: str) -> None:
        self._root = root
        self._question = question[:QUOTED] or CHAT
        self._said = said(self._question)
        self._names = names(question)
        numbers = map(float, _NUMBER.findall(question))
        self._numbers = [number for number in numbers if abs(number) < _HUGE]
        self._made = 0

    def value(self, schema: Json, depth: int = 0) -> Json:
        """The value of one part of the schema."""
        self._made += 1
        if depth > _DEEPEST or self._made > _MOST:
            raise BadRequest("the JSON schema has no end, or wants more than the demo model makes")
        schema = self._resolved(schema, depth)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if choices := listed(schema.get("enum")):
            return self._choice(choices)
        makers = {
            "object": self._object,
            "array": self._array,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda *_: True,
            "null": lambda *_: None,
        }
        return makers.get(_kind(schema), self._string)(schema, depth)

    def _resolved(self, schema: Json, depth: int) -> dict[str, Json]:
        """Follow references, merge parts and choose one of the alternatives."""
        found: dict[str, Json] = dict(schema) if isinstance(schema, dict) else {}
        null = depth > _SHALLOW
        for _ in range(_DEEPEST):
            if "$ref" in found:
                found = _merged(self._at(found.pop("$ref")), found)
            elif parts := items(found.pop("allOf", None)):
                for each in parts:
                    found = _merged(found, self._resolved(each, depth))
            elif branches := items(found.pop("anyOf", None) or found.pop("oneOf", None)):
                best = min(branches, key=lambda branch: (branch.get("type") == "null") != null)
                found = _merged(found, best)
            else:
                break
        return found

    def _at(self, reference: Json) -> Body:
        """Find what a reference like `#/$defs/City` points to; nothing if it leads elsewhere."""
        found: Body = {"": self._root}
        for step in str(reference).removeprefix("#").split("/"):
            found = part(found, step.replace("~1", "/").replace("~0", "~"))
        return found

    def _choice(self, choices: list[Json]) -> Json:
        named = (item for item in choices if isinstance(item, str) and item.lower() in self._said)
        return next(named, choices[0])

    def _object(self, schema: Body, depth: int) -> Json:
        properties = part(schema, "properties")
        wanted = schema.get("required")
        if wanted is None:
            wanted = list(properties) if depth <= _SHALLOW else []
        names = dict.fromkeys(name for name in listed(wanted) if isinstance(name, str))
        return {name: self.value(properties.get(name), depth + 1) for name in names}

    def _array(self, schema: Body, depth: int) -> Json:
        most = min(_MOST, _size(schema, "maxItems", _MOST))
        least = min(most, max(int(depth <= _SHALLOW), _size(schema, "minItems", 0)))
        kinds = listed(schema.get("prefixItems"))[:most]
        kinds += [schema.get("items")] * (least - len(kinds))
        values: list[Json] = []
        for kind in kinds:
            value = self.value(kind, depth + 1)
            values.append(self._other(value, kind, values) if schema.get("uniqueItems") else value)
        return values

    def _other(self, value: Json, schema: Json, taken: list[Json]) -> Json:
        """A value that is not taken yet."""
        choices = listed(self._resolved(schema, 0).get("enum"))
        others = choices or _variants(value, len(taken))
        return next((other for other in [value, *others] if other not in taken), value)

    def _string(self, schema: Body, _: int) -> Json:
        if sample := _SAMPLES.get(str(schema.get("format"))):
            return sample
        text = self._names.pop(0) if self._names else self._question
        shortest = min(_size(schema, "minLength", 0), _LONGEST)
        return text[: _size(schema, "maxLength", _LONGEST)].ljust(shortest, ".")

    def _integer(self, schema: Body, depth: int) -> Json:
        return self._number({**schema, "multipleOf": _bound(schema, "multipleOf") or 1}, depth)

    def _number(self, schema: Body, _: int) -> Json:
        guesses = [*self._numbers, *_guesses(schema)]
        number = next((guess for guess in guesses if _fits(guess, schema)), 1.0)
        if number in self._numbers:
            self._numbers.remove(number)
        return int(number) if number.is_integer() else number


def _kind(schema: Body) -> str:
    kind = schema.get("type")
    kinds = [kind for kind in (listed(kind) or [kind]) if isinstance(kind, str)]
    hinted = next((hint for key, hint in _HINTS.items() if key in schema), "string")
    return next((kind for kind in kinds if kind != "null"), kinds[0] if kinds else hinted)


def _merged(first: Body, second: Body) -> dict[str, Json]:
    """Join two schemas that both hold."""
    merged = {**first, **second}
    if properties := {**part(first, "properties"), **part(second, "properties")}:
        merged["properties"] = properties
    if required := [*listed(first.get("required")), *listed(second.get("required"))]:
        merged["required"] = required
    return merged


def _fits(number: float, schema: Body) -> bool:
    step = _bound(schema, "multipleOf")
    if step and not math.isclose(number / step, round(number / step), abs_tol=1e-9):
        return False
    bounds = ((obeys, _bound(schema, key)) for key, obeys in _LIMITS.items())
    return all(bound is None or obeys(number, bound) for obeys, bound in bounds)


def _guesses(schema: Body) -> Iterator[float]:
    """Numbers to try, the most ordinary first."""
    bounds = [bound for key in _LIMITS if (bound := _bound(schema, key)) is not None]
    step = _bound(schema, "multipleOf") or 1.0
    for start in (1.0, *bounds, sum(bounds) / max(1, len(bounds))):
        near = math.floor(start / step) * step
        yield from (start, near, near + step, near - step)


def _bound(schema: Body, key: str) -> float | None:
    value: Json = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value == 0 or _TINY < abs(value) < _HUGE else None


def _size(schema: Body, key: str, usual: int) -> int:
    value = schema.get(key)
    return max(0, value) if is_whole(value) else usual


def _variants(value: Json, count: int) -> list[Json]:
    """Values like this one but different."""
    if isinstance(value, str):
        return [f"{value} {number}" for number in range(2, count + 2)]
    if isinstance(value, bool):
        return [not value]
    return [value + more for more in range(1, count + 1)] if isinstance(value, int | float) else []
