"""A conversation in Ollama's form as one every OpenAI upstream accepts.

Strategy: messages are built from scratch, never copied. Tool calls get ids where the client lost
them, and every call is followed by exactly one result: by id, else by name, else by order
(upstream-quirks B9, B11, C13; ollama-api trap 22).
"""

from collections.abc import Sequence
from typing import Any

from ollama_bridge.translate import tools
from ollama_bridge.wire import media, ollama

Message = dict[str, Any]

ROLES = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "developer": "system",
    "function": "tool",
    "model": "assistant",
    "ai": "assistant",
    "human": "user",
}
"""Roles clients send; any other is read as `user`."""

_RESULT_NEXT = "The result is in the next message."
_NO_RESULT = "No result was given."


def to_openai(messages: Sequence[ollama.Message], *, thoughts: bool = False) -> list[Message]:
    """The messages to send; an assistant turn that says nothing at all is left out.

    Thoughts are left out too, unless the provider wants those that led to tool calls back (D6).
    """
    conversation = Conversation(thoughts=thoughts)
    for message in messages:
        conversation.turn(message)
    return conversation.close()


def user(text: str, images: Sequence[str]) -> Message:
    """One user message."""
    return {"role": "user", "content": content(text, images)}


def content(text: str, images: Sequence[str]) -> str | list[dict[str, Any]]:
    """Text alone stays text, because text-only models refuse lists (H5)."""
    given = [image for image in images if image]
    if not given:
        return text
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    return parts + [media.part(image) for image in given]


class Conversation:
    """The messages sent so far, and the calls that still wait for their result."""

    def __init__(self, *, thoughts: bool = False) -> None:
        self._thoughts = thoughts
        self._sent: list[Message] = []
        self._waiting: list[
            tuple[str, str, str]
        ] = []  # id as sent, id as the client knows it, name
        self._pictures: list[str] = []
        self._used: set[str] = set()

    def turn(self, message: ollama.Message) -> None:
        """A turn of any role."""
        role = ROLES.get(message.role, "user")
        if role == "tool":
            self.result(message)
        elif role == "assistant":
            self.assistant(message)
        else:
            self.plain(role, content(message.content, message.images))

    def plain(self, role: str, said: str | list[dict[str, Any]]) -> None:
        """A turn without calls."""
        self._settle(_RESULT_NEXT if role == "user" else _NO_RESULT)
        self._sent.append({"role": role, "content": said})

    def assistant(self, message: ollama.Message) -> None:
        """A turn of the model's, with its calls."""
        self._settle(_NO_RESULT)
        calls = [self._call(call, place) for place, call in enumerate(message.tool_calls)]
        if not calls and not message.content:
            return
        turn: Message = {"role": "assistant", "content": message.content}
        if calls:
            turn["tool_calls"] = calls
            if self._thoughts and message.thinking:
                turn["reasoning_content"] = message.thinking
        self._sent.append(turn)

    def result(self, message: ollama.Message) -> None:
        """What a call came to."""
        waiting = self._match(message)
        if waiting is None:  # nothing asked for it: keep what it says
            name = message.tool_name or message.name
            said = f"Result of {name}: {message.content}" if name else message.content
            self._settle(_RESULT_NEXT)
            self._sent.append({"role": "user", "content": content(said, message.images)})
            return
        self._waiting.remove(waiting)
        self._sent.append({"role": "tool", "tool_call_id": waiting[0], "content": message.content})
        self._pictures += message.images
        if not self._waiting:
            self._show_pictures()

    def close(self) -> list[Message]:
        """All messages, no call without its result."""
        self._settle(_NO_RESULT)
        return self._sent

    def _call(self, call: ollama.ToolCall, place: int) -> dict[str, Any]:
        name = tools.sent_name(call.function.name)
        call_id = self._fresh_id(call.id, place, name)
        self._waiting.append((call_id, call.id, call.function.name))
        arguments = tools.text_of(call.function.arguments)
        return {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }

    def _fresh_id(self, known: str, place: int, name: str) -> str:
        """The client's id where it suits, else one that is the same whenever this is sent again."""
        call_id = known
        if not tools.suits_every_upstream(known):
            call_id = (
                tools.short_id(known) if known else tools.short_id(len(self._sent), place, name)
            )
        if call_id in self._used:
            call_id = tools.short_id(known, len(self._sent), place)
        self._used.add(call_id)
        return call_id

    def _match(self, message: ollama.Message) -> tuple[str, str, str] | None:
        name = message.tool_name or message.name
        by_id = [w for w in self._waiting if message.tool_call_id and w[1] == message.tool_call_id]
        by_name = [w for w in self._waiting if name and w[2] == name]
        return next(iter(by_id or by_name or self._waiting), None)

    def _settle(self, text: str) -> None:
        """Answer the calls that got no result: upstreams refuse a call without one."""
        for call_id, _, _ in self._waiting:
            self._sent.append({"role": "tool", "tool_call_id": call_id, "content": text})
        self._waiting.clear()
        self._show_pictures()

    def _show_pictures(self) -> None:
        """Tool messages carry text only, so their images follow as the user's (H9)."""
        if self._pictures:
            self._sent.append(user("Images from the tool results.", self._pictures))
            self._pictures = []
