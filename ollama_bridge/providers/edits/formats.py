"""Edits of the form an answer is to have, from a schema that is enforced down to a plain request.

Each step keeps what was asked for: what a field cannot say any more stands in the system text.
"""

import json
from typing import Any

from ollama_bridge.providers.edits import shape
from ollama_bridge.providers.edits.shape import Body

_WORDS = "Answer with JSON only, without any other text."
_BY_SCHEMA = "Answer with one JSON object that follows this JSON schema, and nothing else: "


def say_json(body: Body) -> None:
    """JSON mode is refused unless some message contains the word."""
    found = [turn for turn in shape.turns(body) if "content" in turn]
    if not found or _kind(body) != "json_object":
        return
    if not any("json" in str(turn["content"]).lower() for turn in found):
        body["messages"].append({"role": "system", "content": "Answer in JSON."})


def format_object(body: Body) -> None:
    """A form given as a bare word is refused; it has to be an object."""
    if isinstance(form := body.get("response_format"), str):
        body["response_format"] = {"type": form}


def json_by_schema(body: Body) -> None:
    """JSON mode is unknown, schemas are not: any object will do."""
    if _kind(body) == "json_object":
        schema = {"name": "answer", "schema": {"type": "object"}, "strict": False}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}


def schema_in_object(body: Body) -> None:
    """Older servers want the schema beside the word for JSON mode."""
    if (schema := _schema(body)) is not None:
        body["response_format"] = {"type": "json_object", "schema": schema}


def schema_to_object(body: Body) -> None:
    """Schemas are refused: JSON mode, and the schema in the system text."""
    if (schema := _schema(body)) is not None:
        body["response_format"] = {"type": "json_object"}
        shape.instruct(body, _BY_SCHEMA + _written(schema))


def format_in_words(body: Body) -> None:
    """No form can be asked for: it is asked for in the system text."""
    _in_words(body)


def format_beside_tools(body: Body) -> None:
    """A form is refused while there are tools: then it is asked for in the system text."""
    if body.get("tools"):
        _in_words(body)


def close_objects(body: Body) -> None:
    """Schemas are refused unless every object says that it has no other properties."""
    schema = _schema(body)
    if schema is not None and isinstance(body["response_format"].get("json_schema"), dict):
        form = body["response_format"]
        closed = form["json_schema"] | {"schema": _closed(schema)}
        body["response_format"] = form | {"json_schema": closed}


def _in_words(body: Body) -> None:
    if not shape.turns(body) or (kind := _kind(body)) in ("", "text"):
        return
    schema = _schema(body)
    if schema is None and kind != "json_object":
        return
    del body["response_format"]
    shape.instruct(body, _WORDS if schema is None else _BY_SCHEMA + _written(schema))


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def _kind(body: Body) -> str:
    form = body.get("response_format")
    kind = form.get("type") if isinstance(form, dict) else None
    return kind if isinstance(kind, str) else ""


def _schema(body: Body) -> dict[str, Any] | None:
    form = body.get("response_format")
    if not isinstance(form, dict):
        return None
    wrapped = form.get("json_schema")
    wrapped = wrapped if isinstance(wrapped, dict) else form
    schema = wrapped.get("schema")
    return schema if isinstance(schema, dict) else None


def _written(schema: dict[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
