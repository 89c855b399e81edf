"""What an upstream's chat completion says, as a response object or as the events of one.

Strategy: `Writer` is told by `reply.Reply` what was said and keeps one open item, a message or a
piece of thinking; whatever is of another kind ends it and begins the next. A whole response is made
by the same steps, only that no event is written on the way (ollama-api 8.6).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from ollama_bridge.errors import UpstreamBroke, UpstreamFailed
from ollama_bridge.translate import tools
from ollama_bridge.translate.lines import Logprobs, encoded
from ollama_bridge.translate.responses_tools import Tool
from ollama_bridge.translate.stats import Ending, Stats
from ollama_bridge.wire import responses

Body = dict[str, Any]

MOST_TEXT = 32 * 1024 * 1024
"""Most characters of one response: its end repeats them all."""


class _Form(NamedTuple):
    """How an item of text is written."""

    prefix: str
    delta: str
    place: str
    tail: str


_MESSAGE = _Form("msg", "response.output_text.delta", "content_index", ',"logprobs":[]')
_THINKING = _Form("rs", "response.reasoning_summary_text.delta", "summary_index", "")


class Writer:
    """Writes one response; `now` tells seconds since the epoch."""

    def __init__(
        self,
        request: responses.Request,
        known: Mapping[str, Tool],
        ending: Ending,
        *,
        seed: str,
        now: Callable[[], int],
    ) -> None:
        self._streamed = bool(request.stream)
        self._known = known
        self._ending = ending
        self._seed = seed
        self._now = now
        self._echo = _echo(request)
        self._created = now()
        self._sequence = 0
        self._output: list[Body] = []
        self._form: _Form | None = None
        self._id = self._head = ""
        self._parts: list[str] = []
        self._size = 0

    def text(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """A piece of the answer."""
        return self._say(_MESSAGE, text)

    def thinking(self, text: str, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """A piece of the thinking."""
        return self._say(_THINKING, text)

    def tool_calls(self, calls: Sequence[tools.Call]) -> bytes:
        """All calls, each whole; text that came with them stays, other than in Ollama."""
        said = [self._begin(), self._end_item()]
        said += [self._call(call) for call in calls]
        return b"".join(said)

    def done(self, reason: str, stats: Stats, logprobs: Logprobs | None = None) -> bytes:  # noqa: ARG002
        """The end. A cut answer is `incomplete`; Ollama calls it completed all the same."""
        cut = _CUT.get("length" if reason == "length" else self._ending.finish)
        said = self._begin()
        if self._form is not _MESSAGE and all(item["type"] == "reasoning" for item in self._output):
            said += self._end_item() + self._begin_item(_MESSAGE)
        said += self._end_item("incomplete" if cut else "completed")
        last = self._response("incomplete" if cut else "completed")
        last["usage"] = _usage(stats)
        if cut:
            last["incomplete_details"] = {"reason": cut}
        else:
            last["completed_at"] = self._now()
        if not self._streamed:
            return encoded(last).encode()
        return said + self._event(f"response.{last['status']}", response=last)

    def failed(self, error: UpstreamFailed) -> bytes:
        """Two events, since some clients look at the one and some at the other."""
        code, message = error_code(error), error.message
        last = self._response("failed") | {"error": {"code": code, "message": message}}
        said = self._begin() + self._event("error", code=code, message=message, param=None)
        return said + self._event("response.failed", response=last)

    def _say(self, form: _Form, text: str) -> bytes:
        said = b""
        if self._form is not form:
            said = self._begin() + self._end_item() + self._begin_item(form)
        self._parts.append(text)
        self._size += len(text)
        if self._size > MOST_TEXT:
            self._size = 0  # the error itself may have something to say
            raise UpstreamBroke(
                f"the upstream sent an answer of more than {MOST_TEXT} characters", status=500
            )
        if not self._streamed:
            return b""
        number, self._sequence = self._sequence, self._sequence + 1
        return said + f'{self._head}{number},"delta":{quoted(text)}{form.tail}}}\n\n'.encode()

    def _begin(self) -> bytes:
        if self._sequence:
            return b""
        response = self._response("in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _begin_item(self, form: _Form) -> bytes:
        self._form, self._parts = form, []
        self._id = self._item_id(form.prefix)
        place = {"item_id": self._id, "output_index": len(self._output), form.place: 0}
        self._head = (
            f'event: {form.delta}\ndata: {{"type":"{form.delta}",{encoded(place)[1:-1]},'
            '"sequence_number":'
        )
        added = {"output_index": len(self._output)}
        if form is _THINKING:
            item = {"id": self._id, "type": "reasoning", "summary": []}
            return self._event("response.output_item.added", **added, item=item)
        item = _message(self._id, "in_progress", [])
        return self._event("response.output_item.added", **added, item=item) + self._event(
            "response.content_part.added", **place, part=_output_text("")
        )

    def _end_item(self, status: str = "completed") -> bytes:
        form, self._form = self._form, None
        if form is None:
            return b""
        text = "".join(self._parts)
        index = len(self._output)
        place = {"item_id": self._id, "output_index": index, form.place: 0}
        if form is _THINKING:
            # not encrypted at all: the name is OpenAI's, the content what Ollama puts there
            summary = [{"type": "summary_text", "text": text}]
            item: Body = {"id": self._id, "type": "reasoning", "summary": summary}
            item["encrypted_content"] = text
            said = self._event("response.reasoning_summary_text.done", **place, text=text)
        else:
            part = _output_text(text)
            item = _message(self._id, status, [part])
            said = self._event("response.output_text.done", **place, text=text, logprobs=[])
            said += self._event("response.content_part.done", **place, part=part)
        self._output.append(item)
        return said + self._event("response.output_item.done", output_index=index, item=item)

    def _call(self, call: tools.Call) -> bytes:
        tool = self._known.get(call.name) or Tool(call.name)
        form = _CUSTOM if tool.custom else _FUNCTION
        index = len(self._output)
        content = _input(call.arguments) if tool.custom else encoded(call.arguments)
        item = {"id": self._item_id(form.prefix), "type": form.kind, "call_id": call.id}
        item |= {"name": tool.name} | ({"namespace": tool.namespace} if tool.namespace else {})
        place = {"item_id": item["id"], "output_index": index}
        begun = item | {"status": "in_progress", form.content: ""}
        ended = item | {"status": "completed", form.content: content}
        self._output.append(ended)
        return b"".join([
            self._event("response.output_item.added", output_index=index, item=begun),
            self._event(f"{form.event}.delta", **place, delta=content),
            self._event(f"{form.event}.done", **place, **{form.content: content}),
            self._event("response.output_item.done", output_index=index, item=ended),
        ])  # fmt: skip

    def _item_id(self, prefix: str) -> str:
        return f"{prefix}_{tools.short_id(self._seed, len(self._output))}"

    def _response(self, status: str) -> Body:
        response_id = f"resp_{tools.short_id(self._seed, 'response')}"
        head = {"id": response_id, "object": "response", "created_at": self._created}
        return (
            head
            | {"completed_at": None, "status": status}
            | self._echo
            | {"output": [*self._output]}
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        if not self._streamed:
            return b""
        return event(kind, fields | {"sequence_number": number})


def event(kind: str, fields: Body) -> bytes:
    """One server-sent event of this API."""
    return f"event: {kind}\ndata: {encoded({'type': kind, **fields})}\n\n".encode()


def error_code(error: UpstreamFailed) -> str:
    """The word programs look at; Codex shortens its history when it reads of the context."""
    if error.status == 429 or error.upstream_status == 429:
        return "rate_limit_exceeded"
    return "context_length_exceeded" if _TOO_LONG.search(error.message) else "server_error"


_TOO_LONG = re.compile(
    r"(?i)context.{0,3}(?:length|window|size)|maximum context|prompt is too long|too many tokens"
)

_CUT: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is not complete, by the upstream's reason."""


class _Called(NamedTuple):
    """How a call is written."""

    prefix: str
    kind: str
    content: str
    event: str


_FUNCTION = _Called("fc", "function_call", "arguments", "response.function_call_arguments")
_CUSTOM = _Called("ctc", "custom_tool_call", "input", "response.custom_tool_call_input")


def _input(arguments: tools.Arguments) -> str:
    """The text for a tool that takes any; models may name their one argument as they like."""
    values = list(arguments.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else encoded(arguments)


def _message(item_id: str, status: str, content: list[Body]) -> Body:
    item = {"id": item_id, "type": "message", "status": status, "role": "assistant"}
    return item | {"content": content}


def _output_text(text: str) -> Body:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(stats: Stats) -> Body:
    given, taken = stats.prompt_eval_count, stats.eval_count
    return {
        "input_tokens": given,
        "output_tokens": taken,
        "total_tokens": given + taken,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


def _echo(request: responses.Request) -> Body:
    """What a response repeats of its request, with the values Ollama has for what is absent."""
    reasoning = request.reasoning or {}
    effort, summary = reasoning.get("effort"), reasoning.get("summary")
    return {
        "incomplete_details": None,
        "model": request.model,
        "previous_response_id": None,
        "instructions": request.instructions or None,
        "error": None,
        "tools": request.tools or [],
        "tool_choice": request.tool_choice or "auto",
        "truncation": request.truncation or "disabled",
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "text": {"format": {"type": "text"}, **(request.text or {})},
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "reasoning": {"effort": effort, "summary": summary} if effort or summary else None,
        "usage": None,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "store": False,
        "background": False,
        "service_tier": "default",
        "metadata": request.metadata or {},
        "safety_identifier": None,
        "prompt_cache_key": None,
    }
