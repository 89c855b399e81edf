"""What every reply of ours must hold to, whatever it says (ollama-api 4.2, 4.3 and its traps)."""

import json
from typing import Any

COUNTERS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)


def streamed(data: bytes) -> list[dict[str, Any]]:
    """The lines of a streamed reply, each one checked."""
    assert data.endswith(b"\n")
    assert data.isascii()  # trap 3
    raw = data[:-1].split(b"\n")
    lines = [_line(line) for line in raw]
    if "error" in lines[-1]:
        _checked_error(lines[-1])
    else:
        _checked_last(lines[-1])
    for line, said in zip(raw[:-1], lines[:-1], strict=True):
        _checked_middle(said)
        assert "tool_calls" in said.get("message", {}) or len(line) < 128 * 1024
    _checked_ids(lines)
    return lines


def whole(data: bytes) -> dict[str, Any]:
    """A reply in one object, checked."""
    assert data.isascii()
    assert not data.endswith(b"\n")
    said = _line(data)
    _checked_last(said)
    _checked_ids([said])
    return said


def message(line: dict[str, Any]) -> dict[str, Any]:
    """What a line says, in the chat form whichever form it has."""
    if "message" in line:
        return dict(line["message"])
    return {"content": line["response"], "thinking": line.get("thinking", "")}


def _line(data: bytes) -> dict[str, Any]:
    assert data
    line: dict[str, Any] = json.loads(data)
    assert None not in _values(line)
    return line


def _values(value: Any) -> list[Any]:
    """Every value in a line except what the model chose: a call's arguments may hold null."""
    if isinstance(value, dict):
        inner = [item for key, item in value.items() if key != "arguments"]
        return [found for item in inner for found in _values(item)]
    if isinstance(value, list):
        return [found for item in value for found in _values(item)]
    return [value]


def _checked_error(line: dict[str, Any]) -> None:
    assert list(line) == ["error"]
    assert isinstance(line["error"], str)
    assert line["error"].strip()
    assert "\n" not in line["error"]


def _checked_common(line: dict[str, Any]) -> None:
    assert isinstance(line["model"], str)
    assert isinstance(line["created_at"], str)
    assert isinstance(line["done"], bool)
    said = line.get("message", {"role": "assistant", "content": line.get("response")})
    assert said["role"] == "assistant"
    assert isinstance(said["content"], str)
    assert line.get("thinking") != "", "keys that say nothing are left out"
    assert said.get("thinking") != ""
    assert said.get("tool_calls") != []
    for call in said.get("tool_calls", []):
        _checked_call(call)


def _checked_call(call: dict[str, Any]) -> None:
    assert set(call) == {"id", "function"}
    assert set(call["function"]) == {"index", "name", "arguments"}
    assert isinstance(call["function"]["index"], int)
    assert call["function"]["name"]
    assert isinstance(call["function"]["arguments"], dict)


def _checked_middle(line: dict[str, Any]) -> None:
    _checked_common(line)
    assert line["done"] is False
    assert not set(line) & {*COUNTERS, "done_reason", "context", "error"}
    said = message(line)
    filled = [key for key in ("content", "thinking", "tool_calls") if said.get(key)]
    assert len(filled) == 1, "one thing a line, and never a line that says nothing"
    assert len(said.get("tool_calls", [0])) == 1


def _checked_last(line: dict[str, Any]) -> None:
    _checked_common(line)
    assert line["done"] is True
    assert line["done_reason"] in ("stop", "length")
    for name in COUNTERS:
        assert type(line[name]) is int
        assert line[name] > 0


def _checked_ids(lines: list[dict[str, Any]]) -> None:
    calls = [call for line in lines for call in line.get("message", {}).get("tool_calls", [])]
    ids = [call["id"] for call in calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert [call["function"]["index"] for call in calls] == list(range(len(calls)))
