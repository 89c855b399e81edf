"""Small named edits of the request body for services that refuse what all others take.

Strategy: a body is the plain dict of one OpenAI request, edited in place just before it is sent.
A provider's row names its edits; the settings may name them too, so a private server needs no code.
"""

from collections.abc import Callable, Mapping
from typing import Any

Body = dict[str, Any]


def new_token_limit(body: Body) -> None:
    """Newer models refuse `max_tokens`, the name every other service knows."""
    if (limit := body.pop("max_tokens", None)) is not None:
        body["max_completion_tokens"] = limit


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
        body["chat_template_kwargs"] = {"enable_thinking": on, "thinking": on}


def reasoning_object(body: Body) -> None:
    """Effort stands inside an object that can also switch it off."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body["reasoning"] = {"enabled": False} if effort == "none" else {"effort": effort}


def thinking_switch(body: Body) -> None:
    """Thinking is on or off, without levels."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}


def enable_thinking(body: Body) -> None:
    """The same as one plain flag."""
    effort = body.pop("reasoning_effort", None)
    if effort is not None:
        body["enable_thinking"] = effort != "none"


def say_json(body: Body) -> None:
    """JSON mode is refused unless some message contains the word."""
    form = body.get("response_format")
    messages = body.get("messages")
    if not messages or not form or form.get("type") != "json_object":
        return
    if not any("json" in str(message.get("content")).lower() for message in messages):
        messages.append({"role": "system", "content": "Answer in JSON."})


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
    )
}
