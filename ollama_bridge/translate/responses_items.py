"""The items of a response's input as messages.

Strategy: items are told one by one to the same Conversation that the native routes use, so ids,
missing results and pictures are put right once. An assistant's text and the calls after it are one
turn, which ends with the first item of another kind.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ollama_bridge.errors import BadRequest
from ollama_bridge.translate.messages import Conversation
from ollama_bridge.translate.responses_tools import ARGUMENT, Tool, full_name
from ollama_bridge.wire import ollama, openai
from ollama_bridge.wire.go_json import quoted
from ollama_bridge.wire.responses import word

Json = Any
Body = dict[str, Any]
Object = Mapping[str, Json]


def listed(given: Json) -> list[Object]:
    """The input as items; a text is the user's."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}] if given else []
    if not isinstance(given, list):
        raise BadRequest("input must be a string or array")
    return given


class Reader:
    """Items in, messages out; `turns` are those of the user's own model, which come first."""

    def __init__(self, instructions: str, turns: Iterable[Object] = ()) -> None:
        self._system = [instructions] if instructions else []
        self._turns = turns
        self._begun = False
        self._conversation = Conversation()
        self._said = ""
        self._calls: list[ollama.ToolCall] = []

    def add(self, item: Object) -> None:
        """The next item; raises BadRequest for one that means nothing here."""
        if not isinstance(item, Mapping):
            raise BadRequest("an input item must be an object")
        kind = word(item, "type") or ("message" if item.get("role") else "")
        if kind in _NOT_SAID:
            return
        if kind in _CALLS:
            self._call(item, _CALLS[kind])
        elif kind in _RESULTS:
            self._result(item)
        elif kind == "message":
            self._message(item)
        elif kind == "item_reference":
            raise BadRequest(
                "nothing is stored here that an item_reference could mean: send the item"
            )
        elif not kind:
            raise BadRequest("input item missing required 'type' field")
        else:
            raise BadRequest(f"unknown input item type: {quoted(kind)}")

    def close(self, system: str) -> list[Body]:
        """All messages, after the system prompt: the client's own, else `system`."""
        self._begin()
        self._end_turn()
        prompt = "\n\n".join(self._system) or system
        first: list[Body] = [{"role": "system", "content": prompt}] if prompt else []
        return first + self._conversation.close()

    def _message(self, item: Object) -> None:
        role = _ROLES.get(word(item, "role"), "user")
        said = _content(item.get("content"))
        if role == "system" and not self._begun and isinstance(said, str):
            self._system.append(said)  # many templates take one system message, the first (B4)
            return
        self._begin()
        self._end_turn()
        if role == "assistant":
            self._said = text_of(said)
        else:
            self._conversation.plain(role, said)

    def _call(self, item: Object, where: str) -> None:
        """Calls belong to the assistant's message before them, all of them to one."""
        self._begin()
        name = word(item, "name") or word(item, "type").removesuffix("_call")
        tool = Tool(name, word(item, "namespace"))
        function = ollama.Function(
            name=full_name(tool), arguments=_arguments(item.get(where), where)
        )
        self._calls.append(ollama.ToolCall(id=word(item, "call_id"), function=function))

    def _result(self, item: Object) -> None:
        self._begin()
        self._end_turn()
        said = _content(item.get("output"))
        call_id = word(item, "call_id")
        pictures = [] if isinstance(said, str) else _pictures(said)
        result = ollama.Message(content=text_of(said), images=pictures, tool_call_id=call_id)
        self._conversation.result(result)

    def _begin(self) -> None:
        """The conversation begins with the first item that is not the system's."""
        if not self._begun:
            self._begun = True
            for turn in self._turns:
                self.add(turn)

    def _end_turn(self) -> None:
        """The assistant's turn is over once something else follows."""
        if self._said or self._calls:
            turn = ollama.Message(content=self._said, tool_calls=self._calls)
            self._conversation.assistant(turn)
        self._said, self._calls = "", []


_ROLES = {"system": "system", "developer": "system", "assistant": "assistant"}

_NOT_SAID = frozenset({
    "reasoning",  # no field for it that every server takes in a history (quirk B10)
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "tool_search_call",
    "tool_search_output",
    "mcp_list_tools",
})  # fmt: skip
"""Items about what a server did on its own: the messages around them say what came of it."""

_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Calls of tools that the client runs, and where each has its arguments."""

_RESULTS = frozenset(f"{kind}_output" for kind in _CALLS)


def _arguments(given: Json, where: str) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    text = str(given or "")
    if where == "input":
        return {ARGUMENT: text}
    try:
        found = openai.loose(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"failed to parse function call arguments: {error}") from error
    if not isinstance(found, dict):
        raise BadRequest("failed to parse function call arguments: not a JSON object")
    return found


def _content(given: Json) -> str | list[Body]:
    """What an item says: text alone stays text, because text-only models refuse lists (H5)."""
    if given is None or isinstance(given, str):
        return given or ""
    if isinstance(given, dict):  # what a shell or a patch came to, with names of its own
        return msgspec.json.encode(given).decode()
    if not isinstance(given, list):
        raise BadRequest("content must be a string or array")
    if any(isinstance(part, dict) and "type" not in part for part in given):
        return msgspec.json.encode(given).decode()
    parts = [_part(part, place) for place, part in enumerate(given)]
    said = [part for part in parts if part.get("text") != ""]
    return said if any(part["type"] != "text" for part in said) else text_of(said)


def _part(part: Json, place: int) -> Body:
    kind = word(part, "type") if isinstance(part, dict) else ""
    read = _PARTS.get(kind)
    if read is None:
        raise BadRequest(f"content[{place}]: unknown content type: {kind}")
    try:
        return read(part)
    except BadRequest as error:
        raise BadRequest(f"content[{place}]: {error.message}") from error


def _text_part(part: Object) -> Body:
    return {"type": "text", "text": word(part, "text") or word(part, "refusal")}


def _image_part(part: Object) -> Body:
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    if not url or not isinstance(url, str):
        raise BadRequest(
            "an image needs image_url: files are not stored here, so file_id means nothing"
        )
    detail = part.get("detail")
    image = {"url": url} | ({"detail": detail} if detail in ("low", "high") else {})
    return {"type": "image_url", "image_url": image}


def _audio_part(part: Object) -> Body:
    return {"type": "input_audio", "input_audio": part.get("input_audio")}


def _file_part(_: Object) -> Body:
    raise BadRequest("file inputs are not currently supported")


_PARTS: Mapping[str, Callable[[Object], Body]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "summary_text": _text_part,
    "refusal": _text_part,
    "input_image": _image_part,
    "image_url": _image_part,
    "input_audio": _audio_part,
    "input_file": _file_part,
}


def text_of(said: str | Sequence[Body]) -> str:
    """The text in what an item says."""
    if isinstance(said, str):
        return said
    return "\n".join([part["text"] for part in said if part["type"] == "text"])


def _pictures(said: Sequence[Body]) -> list[str]:
    return [part["image_url"]["url"] for part in said if part["type"] == "image_url"]


def length(message: Body) -> int:
    """Characters a message has to say."""
    content = message["content"]
    return len(content if isinstance(content, str) else text_of(content))
