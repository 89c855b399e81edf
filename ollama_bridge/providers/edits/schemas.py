"""Tool and answer schemas for services that know only the plain part of JSON Schema."""

from collections.abc import Mapping
from typing import Any, cast

from ollama_bridge.providers.edits.shape import Body

Schema = dict[str, Any]

_REFUSED = frozenset(
    {"$schema", "$id", "$defs", "$comment", "definitions", "additionalProperties", "const"}
    | {"exclusiveMinimum", "exclusiveMaximum", "propertyNames", "patternProperties", "$ref"}
    | {"unevaluatedProperties", "dependentRequired", "if", "then", "else", "not"}
)
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MOST = 10_000
"""Parts of one schema; references to references could make any number of them."""


def plain_schemas(body: Body) -> None:
    """Keys of JSON Schema beyond its plain part are refused: they are inlined or left out."""
    _edit(body, _plain)


def filled_schemas(body: Body) -> None:
    """Schemas with a part missing are refused: objects get properties, arrays get items."""
    _edit(body, _filled)


def _edit(body: Body, edit: Any) -> None:
    tools = body.get("tools")
    if isinstance(tools, list):
        body["tools"] = [_tool(tool, edit) for tool in tools]
    form = body.get("response_format")
    wrapped = form.get("json_schema") if isinstance(form, dict) else None
    if isinstance(form, dict) and isinstance(wrapped, dict):
        schema = wrapped.get("schema")
        if isinstance(schema, dict):
            body["response_format"] = form | {"json_schema": wrapped | {"schema": edit(schema)}}


def _tool(tool: Any, edit: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or not isinstance(function, dict):
        return tool
    parameters = function.get("parameters")
    if not isinstance(parameters, dict):
        return tool
    return tool | {"function": function | {"parameters": edit(parameters)}}


def _plain(schema: Schema) -> Schema:
    known: Schema = {}
    for place in ("$defs", "definitions"):
        if isinstance(found := schema.get(place), dict):
            known |= {f"#/{place}/{name}": item for name, item in found.items()}
    return cast("Schema", _filled(_Inliner(known).plain(schema, ())))


class _Inliner:
    """One schema without references; what refers to itself is cut, and may then be anything."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self._known = known
        self._left = _MOST

    def plain(self, schema: Any, way: tuple[str, ...]) -> Any:
        """`way` are the references that led here."""
        if not isinstance(schema, dict):
            return schema
        self._left -= 1
        if self._left < 0:
            return {}
        if isinstance(place := schema.get("$ref"), str):
            target = self._known.get(place)
            if place in way or not isinstance(target, dict):
                return {"type": "object"}
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            return self.plain(target | rest, (*way, place))
        found = {key: value for key, value in schema.items() if key not in _REFUSED}
        if "const" in schema:
            found["enum"] = [schema["const"]]
        if isinstance(kinds := schema.get("type"), list):
            found |= _one_type(kinds)
        return found | self._children(found, way)

    def _children(self, schema: Schema, way: tuple[str, ...]) -> Schema:
        found: Schema = {}
        if isinstance(properties := schema.get("properties"), dict):
            found["properties"] = {k: self.plain(v, way) for k, v in properties.items()}
        if "items" in schema:
            found["items"] = self.plain(schema["items"], way)
        for key in _LISTS:
            if isinstance(schema.get(key), list):
                found[key] = [self.plain(item, way) for item in schema[key]]
        return found


def _one_type(kinds: list[Any]) -> Schema:
    """A list of types, of which usually one is null."""
    real = [kind for kind in kinds if isinstance(kind, str) and kind != "null"]
    kept: Schema = {"type": real[0] if real else "string"}
    return kept | {"nullable": True} if len(real) < len(kinds) else kept


def _filled(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = dict(schema)
    if found.get("type") == "object":
        properties = found.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        found["properties"] = {key: _filled(value) for key, value in properties.items()}
        if isinstance(required := found.get("required"), list):
            found["required"] = [
                name for name in required if isinstance(name, str) and name in properties
            ]
    elif found.get("type") == "array":
        found["items"] = _filled(found.get("items")) or {"type": "string"}
    for key in _LISTS:
        if isinstance(found.get(key), list):
            found[key] = [_filled(item) for item in found[key]]
    return found
