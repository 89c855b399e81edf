"""Reading a request: what OpenAI would refuse is refused, what is unknown is passed over."""

from collections.abc import Mapping
from typing import Any, TypeGuard

import msgspec

from ollama_bridge.errors import BadRequest

Json = Any
Body = Mapping[str, Json]


def decode(body: bytes) -> Body:
    """The JSON object of a request."""
    try:
        value = msgspec.json.decode(body)
    except ValueError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("The JSON body of your request must be an object")
    return value


def messages(body: Body) -> list[Body]:
    """The conversation: at least one message, each with a role."""
    found = body.get("messages")
    if not isinstance(found, list) or not found:
        raise BadRequest("'messages' must be an array with at least one message")
    for index, message in enumerate(found):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"'messages[{index}]' must be an object with a role")
        if not isinstance(message.get("content"), str | list | None):
            raise BadRequest(f"'messages[{index}].content' must be a string or an array of parts")
    return found


def stops(body: Body) -> list[str]:
    """The texts before which the answer ends."""
    stop = body.get("stop") or []
    found = [stop] if isinstance(stop, str) else stop
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise BadRequest("'stop' must be a string or an array of strings")
    return [item for item in found if item]


def whole_number(body: Body, name: str, least: int, most: int | None = None) -> int | None:
    """A whole number within bounds, or nothing."""
    value = body.get(name)
    if value is None:
        return None
    if not is_whole(value) or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise BadRequest(f"'{name}' must be a whole number {span}")
    return value


def is_whole(value: Json) -> TypeGuard[int]:
    """Whether it is an integer; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def part(value: Body, key: str) -> Body:
    """The object under a key; an empty one if there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def items(value: Json) -> list[Body]:
    """The objects of a list; nothing of anything else."""
    return [item for item in listed(value) if isinstance(item, dict)]


def listed(value: Json) -> list[Json]:
    """A list as it is; nothing of anything else."""
    return value if isinstance(value, list) else []
