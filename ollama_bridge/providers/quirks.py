"""Small named edits of the request body for services that refuse what all others take.

Strategy: a body is the plain dict of one OpenAI request, edited in place just before it is sent.
What a client of the /v1 routes wrote itself stays, and may have any type.
A provider's row names its edits; the settings may name them too, so a private server needs no code.
"""

from collections.abc import Callable, Mapping
from typing import Any

Body = dict[str, Any]


def new_token_limit(body: Body) -> None:
    """Newer models refuse `max_tokens`, the name every other service knows."""
    if (limit := body.pop("max_tokens", None)) is not None:
        body.setdefault("max_completion_tokens", limit)


def random_seed(body: Body) -> None:
    """The same thing under another name; unknown names are refused with 422."""
    if (seed := body.pop("seed", None)) is not None:
        body["random_seed"] = seed


def no_stream_options(body: Body) -> None:
    """Usage comes at the end of every stream without asking, and asking is refused."""
    body.pop("stream_options", None)


def first_four_stops(body: Body) -> None:
    """More than four stop strings are refused; the bridge itself watches for the others."""
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        body["stop"] = stop[:4]


def template_thinking(body: Body) -> None:
    """Local servers switch thinking in the chat template, under either of two names."""
    if (effort := body.pop("reasoning_effort", None)) is not None:
        on = effort != "none"
        body.setdefault("chat_template_kwargs", {"enable_thinking": on, "thinking": on})


def reasoning_object(body: Body) -> None:
    """Effort stands inside an object that can also switch it off."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        asked = {"enabled": False} if effort == "none" else {"effort": effort}
        body.setdefault("reasoning", asked)


def thinking_switch(body: Body) -> None:
    """Thinking is on or off, without levels."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body.setdefault("thinking", {"type": "disabled" if effort == "none" else "enabled"})


def enable_thinking(body: Body) -> None:
    """The same as one plain flag."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body.setdefault("enable_thinking", effort != "none")


def say_json(body: Body) -> None:
    """JSON mode is refused unless some message contains the word."""
    form, turns = body.get("response_format"), _turns(body)
    if not turns or not isinstance(form, dict) or form.get("type") != "json_object":
        return
    if not any("json" in str(turn["content"]).lower() for turn in turns):
        body["messages"].append({"role": "system", "content": "Answer in JSON."})


def system_role(body: Body) -> None:
    """`developer` is OpenAI's newer word for `system`, and unknown elsewhere."""
    for turn in _turns(body):
        if turn.get("role") == "developer":
            turn["role"] = "system"


def _turns(body: Body) -> list[Body]:
    """The messages that say something: on the /v1 routes they are the client's own."""
    messages = body.get("messages")
    given = messages if isinstance(messages, list) else []
    return [turn for turn in given if isinstance(turn, dict) and "content" in turn]


QUIRKS: Mapping[str, Callable[[Body], None]] = {
    edit.__name__: edit
    for edit in (
        new_token_limit,
        random_seed,
        no_stream_options,
        first_four_stops,
        template_thinking,
        reasoning_object,
        thinking_switch,
        enable_thinking,
        say_json,
        system_role,
    )
}
