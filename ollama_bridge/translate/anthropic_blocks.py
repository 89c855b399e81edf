"""Turns and content blocks of /v1/messages as the messages of a chat completion.

Strategy: blocks are looked up in a table by their type; a type that is not in it is skipped.
Ids, missing results and pictures in results are the business of `messages.Conversation`.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ollama_bridge.errors import BadRequest, NotSupported
from ollama_bridge.translate import messages
from ollama_bridge.translate.custom import Customised
from ollama_bridge.wire import media, ollama
from ollama_bridge.wire.anthropic import Block, MessagesRequest, Turn

Part = dict[str, Any]

_BETWEEN = "\n\n"
"""Between two text blocks that become one text."""


def to_openai(request: MessagesRequest, own: Customised | None) -> list[messages.Message]:
    """The messages to send; `own` is what a model of the user's own puts before them."""
    told = messages.Conversation()
    system = _text_of(_blocks(request.system), "system") or (own.system if own else "")
    if system:
        told.plain("system", system)
    for example in own.messages if own else ():
        told.turn(msgspec.convert(dict(example), ollama.Message))
    for place, turn in enumerate(request.messages or ()):
        _add(told, turn, f"messages[{place}].content")
    return told.close()


def _add(told: messages.Conversation, turn: Turn, place: str) -> None:
    blocks = _blocks(turn.content)
    role = messages.ROLES.get(turn.role.lower(), "user")
    if role == "assistant":
        told.assistant(_assistant(blocks, place))
        return
    # results first: nothing may stand between a call and its result
    for at, block in enumerate(blocks):
        if block.get("type") == "tool_result":
            told.result(_result(block, f"{place}[{at}]"))
    parts = _parts(blocks, place)
    if parts or not blocks:
        told.plain("system" if role == "system" else "user", _plain(parts))


def _assistant(blocks: Sequence[Block], place: str) -> ollama.Message:
    """What the model said; its thinking is not sent back, few upstreams take it (B9, B10)."""
    turn = ollama.Message(role="assistant", tool_calls=[])
    said = []
    for at, block in enumerate(blocks):
        if block.get("type") == "text":
            said.append(_string(block, "text"))
        elif block.get("type") == "tool_use":
            turn.tool_calls.append(_call(block, f"{place}[{at}]"))
    turn.content = _BETWEEN.join(filter(None, said))
    return turn


def _call(block: Block, place: str) -> ollama.ToolCall:
    call_id, name, given = _string(block, "id"), _string(block, "name"), block.get("input") or {}
    if not call_id or not name:
        raise BadRequest(f"{place}: tool_use needs an id and a name")
    if not isinstance(given, dict):
        raise BadRequest(f"{place}: the input of tool_use must be an object")
    return ollama.ToolCall(id=call_id, function=ollama.Function(name=name, arguments=given))


def _result(block: Block, place: str) -> ollama.Message:
    content = block.get("content")
    if content is not None and not isinstance(content, str | list):
        raise BadRequest(f"{place}: the content of tool_result must be a string or blocks")
    parts = _parts(_blocks(content or ""), place)
    text = _BETWEEN.join([part["text"] for part in parts if "text" in part])
    if block.get("is_error") is True:
        text = f"Error: {text}" if text else "Error"
    pictures = [part["image_url"]["url"] for part in parts if "image_url" in part]
    return ollama.Message(
        role="tool", content=text, images=pictures, tool_call_id=_string(block, "tool_use_id")
    )


def _parts(blocks: Sequence[Block], place: str) -> list[Part]:
    """The blocks a user's turn or a result may hold, as content parts in their order."""
    found: list[Part] = []
    for at, block in enumerate(blocks):
        read = _READERS.get(_string(block, "type"))
        if read:
            found += read(block, f"{place}[{at}]")
    return found


def _plain(parts: Sequence[Part]) -> str | list[Part]:
    """Text alone stays text, because text-only models refuse lists (H5)."""
    if any("text" not in part for part in parts):
        return list(parts)
    return _BETWEEN.join([part["text"] for part in parts])


def _text(block: Block, _: str) -> list[Part]:
    text = _string(block, "text")
    return [{"type": "text", "text": text}] if text else []


def _image(block: Block, place: str) -> list[Part]:
    source = _source(block)
    kind = source.get("type")
    if kind == "base64":
        declared = _string(source, "media_type")
        known = declared if declared.startswith("image/") else "image/png"
        return [media.part(media.image_url(_string(source, "data"), known))]
    if kind == "url" and _string(source, "url").startswith(("http://", "https://", "data:image/")):
        return [media.part(_string(source, "url"))]
    raise NotSupported(
        f"{place}: invalid image source type: {kind}. Send the image as base64, or its web address"
    )


def _document(block: Block, place: str) -> list[Part]:
    """A document of text, under its title; any other would have to be read first."""
    heads = [_string(block, "title"), _string(block, "context")]
    parts = _document_parts(_source(block), place)
    return [{"type": "text", "text": head} for head in heads if head] + parts


def _document_parts(source: Block, place: str) -> list[Part]:
    kind, form = source.get("type"), _string(source, "media_type")
    if kind == "content":
        content = source.get("content")
        return _parts(_blocks(content if isinstance(content, str | list) else ""), place)
    if kind == "text":
        return _text({"text": source.get("data")}, place)
    if kind == "base64" and form.startswith("text/"):
        return _text({"text": _decoded(_string(source, "data"), place)}, place)
    raise NotSupported(
        f"{place}: documents of type {form or kind} are not supported: "
        "send their text, or their pages as images"
    )


def _decoded(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode(errors="replace")
    except ValueError as error:  # also for text that is not ASCII
        raise BadRequest(f"{place}: the document's data is not base64") from error


def _search_result(block: Block, place: str) -> list[Part]:
    content = block.get("content")
    heads = [_string(block, "title"), _string(block, "source")]
    parts = _parts(_blocks(content if isinstance(content, str | list) else ""), place)
    return [{"type": "text", "text": head} for head in heads if head] + parts


_READERS: Mapping[str, Callable[[Block, str], list[Part]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
"""Blocks of a user's turn; thinking, server tools and what is newer than this are skipped."""


def _blocks(said: str | list[Any]) -> list[Block]:
    if isinstance(said, str):
        return [{"type": "text", "text": said}] if said else []
    return [block for block in said if isinstance(block, dict)]


def _text_of(blocks: Sequence[Block], place: str) -> str:
    return _BETWEEN.join([part["text"] for part in _parts(blocks, place) if "text" in part])


def _source(block: Block) -> Block:
    source = block.get("source")
    return source if isinstance(source, dict) else {}


def _string(block: Block, key: str) -> str:
    value = block.get(key)
    return value if isinstance(value, str) else ""
