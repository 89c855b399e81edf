"""Edits of what is asked about thinking: one word becomes whatever the service calls it."""

import re
from typing import Any

from ollama_bridge.providers.edits.shape import Body

OFF: dict[str, Any] = {
    "reasoning_effort": "none",
    "reasoning": {"enabled": False},
    "thinking": {"type": "disabled"},
    "enable_thinking": False,
    "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
}
"""Every way to say that there is to be no thinking."""

_FORMATTED = re.compile(r"(?i)qwen|deepseek-r1|qwq")


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


def parsed_reasoning(body: Body) -> None:
    """Thoughts come as tags in the text, which tools and JSON forbid, unless another form is asked.

    Only families that have the choice are asked.
    """
    model = body.get("model")
    if body.get("reasoning_effort") and isinstance(model, str) and _FORMATTED.search(model):
        body.setdefault("reasoning_format", "parsed")


def no_effort_with_tools(body: Body) -> None:
    """Tools are refused while the model reasons: with tools it is told not to."""
    if body.get("tools"):
        body["reasoning_effort"] = "none"


def thinking_stays(body: Body) -> None:
    """Thinking cannot be switched off: asking for it is left out, and thoughts are not shown."""
    for key, off in OFF.items():
        if body.get(key) == off:
            del body[key]


def effort(change: str, body: Body) -> None:
    """Say another level of effort for one that is unknown, as in `none=minimal`."""
    asked, _, sent = change.partition("=")
    if body.get("reasoning_effort") == asked:
        body["reasoning_effort"] = sent
