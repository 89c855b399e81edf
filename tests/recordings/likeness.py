"""What a client was told, held against what the recording says."""

from typing import Any

from recordings import reader, rules


def compare(said: list[dict[str, Any]], expected: reader.Said) -> None:
    """Ollama's lines, the last of them the end, or an error."""
    if expected.error:
        assert expected.error in said[-1]["error"]
        said = said[:-1]
    messages = [rules.message(line) for line in said]
    assert "".join(message["content"] for message in messages) == expected.text
    assert "".join(message.get("thinking", "") for message in messages) == expected.thinking
    calls = [call["function"] for message in messages for call in message.get("tool_calls", [])]
    assert [(call["name"], call["arguments"]) for call in calls] == expected.calls
    if not expected.error:
        _compare_last(said[-1], expected)


def _compare_last(last: dict[str, Any], expected: reader.Said) -> None:
    assert last["done_reason"] == expected.done_reason
    for name, number in zip(("prompt_eval_count", "eval_count"), expected.usage, strict=True):
        # trap 33: a count of zero would vanish, and clients need a number
        assert number is None or last[name] == max(1, number)
