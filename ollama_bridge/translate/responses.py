"""/v1/responses as a chat completion request; `responses_stream` writes the answer.

Strategy: what only a server with a memory or with tools of its own could do is refused with a
sentence, where Ollama drops it without a word. A service that has this route gets the request as it
came, but for the name of the model.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ollama_bridge.errors import BadRequest
from ollama_bridge.translate import options, responses_tools, thinking
from ollama_bridge.translate.custom import Customised
from ollama_bridge.translate.responses_items import Reader, length, listed
from ollama_bridge.translate.responses_tools import Tool
from ollama_bridge.wire import responses
from ollama_bridge.wire.go_json import quoted
from ollama_bridge.wire.responses import word

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]

PATH = "/responses"


class Question(NamedTuple):
    """A request on its way up."""

    body: Body
    tools: Mapping[str, Tool]
    """The client's tools by the names sent."""
    characters: int
    """Length of the prompt, to estimate its tokens if nobody counts them."""


def check(request: responses.Request) -> None:
    """Refuse what would need a server that remembers."""
    for name, instead in _STATEFUL.items():
        if getattr(request, name):
            raise BadRequest(f"{name} is not supported, because nothing is stored here: {instead}")


def to_openai(
    request: responses.Request,
    model: str,
    *,
    own: Customised | None,
    extra: Mapping[str, str],
    efforts: Mapping[str, str],
) -> Question:
    """The request to send; `own` is the user's own model, the tables are the provider's."""
    body: Body = {"model": model, "messages": _messages(request, own)}
    body |= _sampling(request, own, extra)
    if form := _response_format((request.text or {}).get("format")):
        body["response_format"] = form
    if effort := thinking.effort(think(request.reasoning), efforts):
        body["reasoning_effort"] = effort
    fields, known = responses_tools.to_openai(request)
    body |= fields
    body["stream"] = bool(request.stream)
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    return Question(body, known, sum(map(length, body["messages"])))


def think(reasoning: Object | None) -> bool | str | None:
    """`reasoning.effort` as Ollama's `think`; raises BadRequest with Ollama's text."""
    effort = (reasoning or {}).get("effort")
    if effort is None or effort == "":
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        choices = ", ".join(f'"{word}"' for word in _CHOICES)
        shown = quoted(effort if isinstance(effort, str) else str(effort))
        raise BadRequest(f'invalid reasoning value: {shown} (must be {choices}, or "none")')
    return _EFFORTS[effort]


def passed_on(
    fields: dict[str, Any], request: responses.Request, model: str, own: Customised | None
) -> Body:
    """The same request for a service that has this route itself: only what must differ does."""
    body = {key: value for key, value in fields.items() if key.lower() != "model"}
    body["model"] = model
    limit = request.max_output_tokens
    if limit is not None and limit < responses.LEAST_TOKENS:
        body["max_output_tokens"] = responses.LEAST_TOKENS
    if own is None:
        return body
    if own.system and not request.instructions:
        body["instructions"] = own.system
    for option, name in _OPTIONS.items():
        if option in own.parameters and getattr(request, name) is None:
            body[name] = own.parameters[option]
    if own.messages:
        body["input"] = [*map(dict, own.messages), *listed(request.input)]
    return body


_STATEFUL = {
    "previous_response_id": "send the earlier turns again as items of input",
    "conversation": "send the earlier turns as items of input",
    "prompt": "send the prompt's text as instructions and input",
    "background": "leave background out and read the answer as it comes",
}

_EFFORTS: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
_CHOICES = ("minimal", "low", "medium", "high", "xhigh", "ultra", "max")

_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "num_predict": "max_output_tokens",
}
"""Ollama's options that this API has, and its names for them."""


def _sampling(request: responses.Request, own: Customised | None, extra: Mapping[str, str]) -> Body:
    """Nothing is sent that neither the client nor the user's own model asks for."""
    given = {option: getattr(request, name) for option, name in _OPTIONS.items()}
    asked = {option: value for option, value in given.items() if value is not None}
    return options.to_openai({**(own.parameters if own else {}), **asked}, extra)


def _response_format(form: Json) -> Body | None:
    """`text.format`; there is no word for `text.verbosity` that every server takes."""
    form = form if isinstance(form, dict) else {"type": form}
    kind = word(form, "type")
    if kind in ("", "text"):
        return None
    if kind == "json_object":
        return {"type": "json_object"}
    if kind != "json_schema" or not isinstance(form.get("schema"), dict):
        raise BadRequest(
            'text.format must have the type "text", "json_object", or "json_schema" with a schema'
        )
    schema = {"name": form.get("name") or "answer", "schema": form["schema"]}
    return {"type": "json_schema", "json_schema": schema | {"strict": bool(form.get("strict"))}}


def _messages(request: responses.Request, own: Customised | None) -> list[Body]:
    items = listed(request.input if request.input is not None else [])
    if not items:
        raise BadRequest("input is required: a string, or at least one item")
    reader = Reader(request.instructions or "", own.messages if own else ())
    for place, item in enumerate(items):
        try:
            reader.add(item)
        except BadRequest as error:
            raise BadRequest(f"input[{place}]: {error.message}") from error
    return reader.close(own.system if own else "")
