"""What fuzzing begins with: recorded replies and requests where they are at hand, else golden cases."""

import functools
import json
from pathlib import Path
from typing import Any

from recordings import reader

GOLDEN = Path(__file__).parents[1] / "golden"
LONGEST = 20_000
"""Bytes of a seed; longer ones only take time."""


@functools.cache
def streams() -> tuple[bytes, ...]:
    """Event streams of providers."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*/*/upstream.sse"))]
    recorded = [body for said in _recordings() if said.get("sse") and (body := reader.body(said))]
    return _short(golden + recorded)


@functools.cache
def replies() -> tuple[bytes, ...]:
    """Whole replies of providers, errors among them."""
    golden = [path.read_bytes() for path in sorted(GOLDEN.glob("*/*/upstream.json"))]
    recorded = [reader.body(said) for said in _recordings() if said.get("response") is not None]
    return _short(golden + recorded)


@functools.cache
def requests() -> tuple[bytes, ...]:
    """Bodies of requests in every dialect."""
    found = [path.read_bytes() for path in sorted(GOLDEN.glob("*/*/o*_request.json"))]
    found += [json.dumps(said["request"]).encode() for said in _recordings() if said.get("request")]
    return _short(found + [json.dumps(body).encode() for body in _OTHERS])


@functools.cache
def schemas() -> tuple[Any, ...]:
    """JSON schemas of tools and answers."""
    return tuple(found for body in requests() for found in _schemas_in(json.loads(body))) or ({},)


@functools.cache
def arguments() -> tuple[str, ...]:
    """Arguments of tool calls, as text."""
    texts = [text for body in replies() for text in _arguments_in(_loaded(body))]
    return tuple(dict.fromkeys([*texts, *_ARGUMENTS]))


_TOOL = {
    "name": "look",
    "description": "d",
    "input_schema": {"type": "object", "properties": {"where": {"type": "string"}}},
}
_OTHERS: tuple[dict[str, Any], ...] = (
    {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 5},
        "tools": [_TOOL],
        "tool_choice": {"type": "any"},
        "stop_sequences": ["x"],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"where": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}],
            },
        ],
    },
    {
        "model": "m",
        "instructions": "i",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "o"},
            {"type": "reasoning", "summary": [], "encrypted_content": "e"},
        ],
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}],
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    },
    {"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "base64"},
    {"model": "m", "from": "m", "system": "s", "parameters": {"stop": ["x"]}, "template": "t"},
    {"model": "m", "verbose": True},
    {"source": "m", "destination": "mine"},
)
_ARGUMENTS = (
    "{}",
    "",
    "null",
    '{"a": 1}{"b": 2}',
    "{'a': 'b'}",
    '{"a": True, "b": None,}',
    '```json\n{"a": [1, 2,]}\n```',
    '"{\\"a\\": 1}"',
    '{"a": "\\u00e9\\ud83d"}',
    "[]",
)


@functools.cache
def _recordings() -> tuple[dict[str, Any], ...]:
    return tuple(
        reader.load(case) for half in ("openai-compatible", "ollama") for case in reader.cases(half)
    )


def _short(bodies: list[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(body for body in bodies if len(body) <= LONGEST))


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _schemas_in(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [found for item in value for found in _schemas_in(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "properties" in value or "$ref" in value else []
    return own + [found for item in value.values() for found in _schemas_in(item)]


def _arguments_in(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in _arguments_in(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("arguments")
    rest = [found for item in value.values() for found in _arguments_in(item)]
    return [own, *rest] if isinstance(own, str) and len(own) < LONGEST else rest
