"""What services refuse, as small rules; a policy is a list of them with the service's own words.

A rule looks at a request's body and says how it is answered, or None when it has no objection.
"""

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

Body = dict[str, Any]
Answer = tuple[int, Any]
"""Status and body."""
Rule = Callable[[Body], Answer | None]

MAGIC = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}


def first(rules: Collection[Rule], body: Body) -> Answer | None:
    """The answer of the first rule that objects."""
    return next((answer for rule in rules if (answer := rule(body)) is not None), None)


# fields


def only_keys(known: Collection[str], say: Callable[[str], Answer]) -> Rule:
    return lambda body: next((say(key) for key in body if key not in known), None)


def no_key(key: str, answer: Answer, *fine: Any) -> Rule:
    """The key is refused, but for these values."""
    return lambda body: answer if key in body and body[key] not in fine else None


def not_both(one: str, other: str, answer: Answer) -> Rule:
    return lambda body: answer if one in body and other in body else None


def at_most_stops(most: int, answer: Answer) -> Rule:
    def rule(body: Body) -> Answer | None:
        stop = body.get("stop")
        return answer if isinstance(stop, list) and len(stop) > most else None

    return rule


def room(context: int, prompt: int, say: Callable[[int], Answer]) -> Rule:
    """What is asked for has to fit beside the prompt."""

    def rule(body: Body) -> Answer | None:
        asked = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        return say(asked) if prompt + asked > context else None

    return rule


# messages


def messages(body: Body) -> list[Body]:
    return list(body.get("messages", ()))


def calls(turn: Body) -> list[Body]:
    return turn.get("tool_calls") or []


def text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""


def roles(known: Collection[str], say: Callable[[int, str], Answer]) -> Rule:
    def rule(body: Body) -> Answer | None:
        found = [(at, turn.get("role")) for at, turn in enumerate(messages(body))]
        return next((say(at, role) for at, role in found if role not in known), None)

    return rule


def message_keys(known: Collection[str], say: Callable[[int, Body, str], Answer]) -> Rule:
    def rule(body: Body) -> Answer | None:
        found = ((at, t, key) for at, t in enumerate(messages(body)) for key in t)
        return next((say(at, turn, key) for at, turn, key in found if key not in known), None)

    return rule


def paired(lost: Callable[[int, str], Answer], orphan: Callable[[int, str], Answer]) -> Rule:
    """Each call has one result, right behind it; each result has its call; no id comes twice."""

    def rule(body: Body) -> Answer | None:
        waiting: list[str] = []
        for at, turn in enumerate([*messages(body), {"role": "end"}]):
            if turn["role"] == "tool":
                if turn.get("tool_call_id") not in waiting:
                    return orphan(at, str(turn.get("tool_call_id")))
                waiting.remove(turn["tool_call_id"])
                continue
            if waiting:
                return lost(at, waiting[0])
            waiting = [call["id"] for call in calls(turn)]
            if len(set(waiting)) != len(waiting):
                return orphan(at, waiting[0])
        return None

    return rule


def call_ids(pattern: str, say: Callable[[str], Answer]) -> Rule:
    def rule(body: Body) -> Answer | None:
        found = [call["id"] for turn in messages(body) for call in calls(turn)]
        return next((say(known) for known in found if not re.fullmatch(pattern, known)), None)

    return rule


def arguments(answer: Answer) -> Rule:
    """A call's arguments are an object, written as text."""

    def fine(call: Body) -> bool:
        try:
            return isinstance(json.loads(call["function"]["arguments"]), dict)
        except (TypeError, ValueError):
            return False

    return lambda body: (
        None if all(fine(call) for turn in messages(body) for call in calls(turn)) else answer
    )


def alternating(answer: Answer) -> Rule:
    """After the system text user and assistant take turns; calls and their results do not count."""

    def rule(body: Body) -> Answer | None:
        turns = messages(body)
        while turns and turns[0]["role"] == "system":
            turns.pop(0)
        said = [t["role"] for t in turns if t["role"] != "tool" and not calls(t)]
        wanted = ["user", "assistant"] * len(said)
        return None if said == wanted[: len(said)] else answer

    return rule


def no_system(answer: Answer) -> Rule:
    return lambda body: answer if any(t["role"] == "system" for t in messages(body)) else None


def one_system(answer: Answer) -> Rule:
    """At the beginning, if at all."""
    return lambda body: answer if any(t["role"] == "system" for t in messages(body)[1:]) else None


def last(allowed: Collection[str], answer: Answer, *, prefix: bool = False) -> Rule:
    def rule(body: Body) -> Answer | None:
        turns = messages(body)
        if not turns or turns[-1]["role"] in allowed or (prefix and turns[-1].get("prefix")):
            return None
        return answer

    return rule


def parts(body: Body) -> Iterator[tuple[int, Body]]:
    for at, turn in enumerate(messages(body)):
        if isinstance(turn.get("content"), list):
            yield from ((at, part) for part in turn["content"])


def only_parts(known: Collection[str], say: Callable[[int, str], Answer]) -> Rule:
    return lambda body: next(
        (say(at, part["type"]) for at, part in parts(body) if part["type"] not in known), None
    )


def plain_content(say: Callable[[int], Answer]) -> Rule:
    """A list of parts is refused even with texts alone."""
    return lambda body: next((say(at) for at, _ in parts(body)), None)


def images_as_declared(say: Callable[[int, str], Answer]) -> Rule:
    def rule(body: Body) -> Answer | None:
        for at, part in parts(body):
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(";base64,")
                kind = head.removeprefix("data:")
                if not base64.b64decode(data).startswith(MAGIC.get(kind, b"?")):
                    return say(at, kind)
        return None

    return rule


def some_text(say: Callable[[int], Answer]) -> Rule:
    """No text is empty, and something is said."""

    def rule(body: Body) -> Answer | None:
        for at, turn in enumerate(messages(body)):
            content = turn.get("content")
            texts = (
                [p.get("text", "x") for p in content] if isinstance(content, list) else [content]
            )
            if any(said == "" for said in texts) or (not content and not calls(turn)):
                return say(at)
        return None

    return rule


def content_there(say: Callable[[int], Answer], *, beside_calls: bool = True) -> Rule:
    """`content` is a text or a list, also beside calls if so asked."""

    def rule(body: Body) -> Answer | None:
        for at, turn in enumerate(messages(body)):
            if not isinstance(turn.get("content"), str | list) and (
                beside_calls or not calls(turn)
            ):
                return say(at)
        return None

    return rule


def needs_on_calls(key: str, answer: Answer) -> Rule:
    """A turn with calls brings this key along."""
    return lambda body: (
        answer if any(calls(turn) and key not in turn for turn in messages(body)) else None
    )


def signed_calls(answer: Answer) -> Rule:
    """The first call of each turn has its signature."""

    def signed(call: Body) -> bool:
        return bool(call.get("extra_content", {}).get("google", {}).get("thought_signature"))

    return lambda body: (
        answer
        if any(calls(turn) and not signed(calls(turn)[0]) for turn in messages(body))
        else None
    )


# forms and tools


def form(body: Body) -> str:
    return str((body.get("response_format") or {}).get("type", ""))


def no_form(kind: str, answer: Answer) -> Rule:
    return lambda body: answer if form(body) == kind else None


def says_json(answer: Answer) -> Rule:
    """The word stands somewhere in the messages."""
    return lambda body: (
        answer
        if form(body) == "json_object"
        and "json" not in " ".join(text(t.get("content")) for t in messages(body)).lower()
        else None
    )


def no_form_beside_tools(answer: Answer) -> Rule:
    return lambda body: answer if body.get("tools") and form(body) not in ("", "text") else None


def effort_or_tools(answer: Answer) -> Rule:
    return lambda body: (
        answer if body.get("tools") and body.get("reasoning_effort", "none") != "none" else None
    )


def function_names(pattern: str, answer: Answer) -> Rule:
    return lambda body: (
        answer
        if any(not re.fullmatch(pattern, t["function"]["name"]) for t in body.get("tools") or ())
        else None
    )


def schemas(body: Body) -> Iterator[Any]:
    """Every schema of tools and forms, and every part of them."""
    tools = [tool["function"].get("parameters", {}) for tool in body.get("tools") or ()]
    wrapped = (body.get("response_format") or {}).get("json_schema", {})
    waiting = [*tools, wrapped.get("schema", {})]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, dict):
            yield schema
            waiting += schema.get("properties", {}).values()
            waiting += [schema.get("items"), *schema.get("anyOf", ())]


def no_schema_keys(refused: Collection[str], say: Callable[[str], Answer]) -> Rule:
    return lambda body: next(
        (say(key) for schema in schemas(body) for key in schema if key in refused), None
    )


def properties_there(answer: Answer) -> Rule:
    return lambda body: (
        answer
        if any(s.get("type") == "object" and "properties" not in s for s in schemas(body))
        else None
    )


def closed_objects(answer: Answer) -> Rule:
    return lambda body: (
        answer
        if form(body) == "json_schema"
        and any(
            s.get("type") == "object" and s.get("additionalProperties") is not False
            for s in schemas({"response_format": body["response_format"]})
        )
        else None
    )
