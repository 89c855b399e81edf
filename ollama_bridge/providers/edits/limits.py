"""Edits of the plain fields: limits, sampling, stop strings, and how the reply is to come."""

import re

from ollama_bridge.providers.edits.shape import Body

LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")

_REASONING = re.compile(r"(?i)(?:^|/)(?:o\d|gpt-5)(?!.*chat)")
"""Ids of the families that refuse sampling; a deployment's own name hides them (A1)."""

_SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "seed",
)

_KNOWN = frozenset(
    {"model", "messages", "prompt", "suffix", "stream", "stop", "n", "tools", "tool_choice"}
    | {"parallel_tool_calls", "response_format", "temperature", "top_p", "max_tokens", "min_tokens"}
    | {"presence_penalty", "frequency_penalty", "random_seed", "seed", "max_completion_tokens"}
    | {"prediction", "prompt_mode", "reasoning_effort", "safe_prompt", "guardrails", "metadata"}
    | {"stream_options", "prompt_cache_key"}
)
"""What a strict service takes, with what other edits of the same row rename."""


def new_token_limit(body: Body) -> None:
    """Newer models refuse `max_tokens`, the name every other service knows."""
    if (limit := body.pop("max_tokens", None)) is not None:
        body.setdefault("max_completion_tokens", limit)


def old_token_limit(body: Body) -> None:
    """The reverse: only `max_tokens` is known."""
    if (limit := body.pop("max_completion_tokens", None)) is not None:
        body.setdefault("max_tokens", limit)


def random_seed(body: Body) -> None:
    """The seed has another name; unknown names are refused with 422."""
    if (seed := body.pop("seed", None)) is not None:
        body["random_seed"] = seed


def strict_keys(body: Body) -> None:
    """Any field the service does not know is refused; clients of /v1 send many."""
    if "messages" in body or "prompt" in body:
        for key in body.keys() - _KNOWN:
            del body[key]


def no_stream_options(body: Body) -> None:
    """Usage comes at the end of every stream without asking, and asking is refused."""
    body.pop("stream_options", None)


def no_stream(body: Body) -> None:
    """Streams are refused: the answer is asked for whole, and comes in one piece."""
    if body.get("stream"):
        body["stream"] = False
        body.pop("stream_options", None)


def always_stream(body: Body) -> None:
    """Only streams are offered: the pieces of a whole answer are gathered here."""
    if ("messages" in body or "prompt" in body) and not body.get("stream"):
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}


def first_four_stops(body: Body) -> None:
    """More than four stop strings are refused; the bridge itself watches for the others."""
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        body["stop"] = stop[:4]


def no_stops(body: Body) -> None:
    """Stop strings are refused; the bridge itself watches for all of them."""
    body.pop("stop", None)


def no_logprobs(body: Body) -> None:
    """Log probabilities are refused; the answer comes without."""
    body.pop("logprobs", None)
    body.pop("top_logprobs", None)


def one_choice(body: Body) -> None:
    """More than one answer to a question is refused, and so is asking for one."""
    if body.get("n") == 1:
        del body["n"]


def drop_reasoning_sampling(body: Body) -> None:
    """Reasoning models refuse sampling, unless they are told not to reason, and stop strings."""
    model = body.get("model")
    if not isinstance(model, str) or not _REASONING.search(model):
        return
    body.pop("stop", None)
    if body.get("reasoning_effort") != "none":
        for key in _SAMPLING:
            body.pop(key, None)


def calmer(body: Body) -> None:
    """A call that came out wrong may come out right when the model is less free."""
    if "messages" in body:
        body.setdefault("temperature", 0.2)


def drop(key: str, body: Body) -> None:
    """Leave one field out."""
    body.pop(key, None)


def most_tokens(number: str, body: Body) -> None:
    """Answers longer than that are refused."""
    for key in LIMITS:
        if _is_number(body.get(key)) and body[key] > int(number):
            body[key] = int(number)


def least_tokens(number: str, body: Body) -> None:
    """A lower limit than that is refused."""
    for key in LIMITS:
        if _is_number(body.get(key)) and body[key] < int(number):
            body[key] = int(number)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
