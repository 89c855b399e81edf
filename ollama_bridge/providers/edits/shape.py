"""What the edits of a request body share: its type, its messages, and the system text."""

from typing import Any

Body = dict[str, Any]

SYSTEM = ("system", "developer")


def turns(body: Body) -> list[Body]:
    """The messages that are objects: on the /v1 routes they are the client's own."""
    messages = body.get("messages")
    given = messages if isinstance(messages, list) else []
    return [turn for turn in given if isinstance(turn, dict)]


def whole(body: Body) -> list[Body] | None:
    """The messages, if there are some and each has a role; edits that move them need all."""
    messages, found = body.get("messages"), turns(body)
    if not isinstance(messages, list) or not found or len(found) != len(messages):
        return None
    return found if all(isinstance(turn.get("role"), str) for turn in found) else None


def text(content: Any) -> str:
    """The words of a message's content, whatever form it has."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    found = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n\n".join([words for words in found if isinstance(words, str)])


def joined(first: Any, second: Any) -> Any:
    """Two contents as one, with a blank line between texts."""
    if not first or not second:
        return first or second
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return _parts(first) + _parts(second)


def instruct(body: Body, words: str) -> None:
    """Add a sentence to the system text; once, however often it is asked for."""
    messages, found = body.get("messages"), turns(body)
    if not isinstance(messages, list) or not found:
        return
    if any(words in text(turn.get("content")) for turn in found):
        return
    if found[0].get("role") in SYSTEM:
        found[0]["content"] = joined(found[0].get("content"), words)
    else:
        messages.insert(0, {"role": "system", "content": words})


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
