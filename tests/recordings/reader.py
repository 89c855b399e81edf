"""Reads recorded replies of OpenAI-compatible servers, independently of the code under test.

Strategy: naive and slow on purpose. Every event is read whole with the standard library; the rules
are those of OpenAI's documents, and where a server departs from them the comment names the quirk.
Nothing here is imported from the package.
"""

import base64
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2].parent / "shared" / "recordings"

LENGTH = ("length", "max_tokens", "model_length", "MAX_TOKENS")
FAILED = ("error", "abort", "network_error", "sensitive", "insufficient_system_resource")


@dataclass
class Said:
    """What one recorded reply says."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    done_reason: str = ""
    usage: tuple[int | None, int | None] = (None, None)
    error: str = ""
    """Words that must be in the error; empty when the reply is complete."""
    written: list[tuple[str, str]] = field(default_factory=list)
    """Calls as they stand, where one of them is not JSON; OpenAI's clients get them so."""


@dataclass
class _Call:
    index: int | None
    id: str
    name: str
    arguments: list[Any]


def cases(half: str) -> list[dict[str, Any]]:
    """Lines of the index for `openai-compatible` or `ollama`; none when the folder is not there."""
    index = FOLDER / "index.jsonl"
    if not index.is_file():
        return []
    lines = [json.loads(line) for line in index.read_text("utf-8").splitlines()]
    return [line for line in lines if line["file"].startswith(f"{half}/")]


def load(case: dict[str, Any]) -> dict[str, Any]:
    """One recording."""
    recording: dict[str, Any] = json.loads((FOLDER / case["file"]).read_text("utf-8"))
    return recording


def body(recording: dict[str, Any]) -> bytes:
    """The bytes the server sent."""
    for key in ("sse", "ndjson", "text"):
        if recording.get(key) is not None:
            return str(recording[key]).encode()
    return json.dumps(recording["response"], ensure_ascii=False).encode()


def reads(recording: dict[str, Any]) -> list[bytes]:
    """The body as the network cut it, where the recorder kept that."""
    data, cut = body(recording), []
    for length in recording.get("chunk_lengths") or [len(data)]:
        cut.append(data[:length])
        data = data[length:]
    assert not data
    return cut


# replies


def stream(text: str) -> Said:
    """What an event stream says."""
    said, answer, ended = Said(), _Answer(), False
    for payload in events(text):
        if payload.strip() == "[DONE]":
            ended = True
            break
        chunk = json.loads(payload)
        said.error = _error(chunk)  # F11, F12: before everything else in the event
        if said.error:
            answer.close(said)
            return said
        if any(_usage(chunk)):
            said.usage = _usage(chunk)  # F7: the last one, never a sum
        # several answers: Ollama has one, the first; F5, F8: no choices is nothing said
        for choice in chunk.get("choices") or []:
            if not choice.get("index"):
                answer.take(choice, whole=False)
    answer.close(said)
    # F9: a finish reason or [DONE] completes an answer; one of them is enough, none is not
    if not said.error and not ended and not answer.finish:
        said.error = "stopped before"
    if not said.error and answer.is_nothing():
        said.error = "empty answer"
    return said


def whole(value: dict[str, Any]) -> Said:
    """What a completion in one piece says."""
    error = _error(value)  # G4, G6: an error although the status is 200
    if error:
        return Said(error=error)
    said, answer = Said(usage=_usage(value)), _Answer()
    choice = value["choices"][0]
    if choice.get("error"):
        return Said(error=message(choice["error"]))
    answer.take(choice, whole=True)
    answer.close(said)
    if answer.is_nothing():
        said.error = "empty answer"
    return said


class _Answer:
    def __init__(self) -> None:
        self.text = ""
        self.thinking = ""
        self.calls: list[_Call] = []
        self.finish = ""

    def take(self, choice: dict[str, Any], *, whole: bool) -> None:
        # F6b: the first finish reason counts; "" (Snowflake) is none
        self.finish = self.finish or choice.get("finish_reason") or ""
        part: dict[str, Any] = choice.get("delta") or {}
        # F16: in a stream `message` repeats all text so far; in a whole reply `delta` is empty
        if whole or ("delta" not in choice and not self.text):
            part = choice.get("message") or {}
        # F16b: text completions; Together repeats the text of chat deltas there
        if "delta" not in choice and "message" not in choice:
            self.text += choice.get("text") or ""
        # D2: one of the spellings, never two; D3: details only when none of them is filled
        thought = part.get("reasoning_content") or part.get("reasoning") or part.get("thinking")
        self.thinking += thought or _details(part.get("reasoning_details"))
        self._content(part.get("content") or part.get("refusal") or "")  # G5
        legacy = part.get("function_call")
        if legacy and legacy.get("name"):  # Snowflake sends an empty one with every message
            self.calls.append(_Call(None, "", legacy["name"], [legacy["arguments"]]))
        for piece in part.get("tool_calls") or []:
            self._call(piece, whole=whole)

    def _content(self, content: Any) -> None:
        if isinstance(content, str):
            self.text += content
            return
        for item in content:  # D4: Mistral's list of parts
            if item["type"] == "thinking":
                self.thinking += "".join(inner["text"] for inner in item["thinking"])
            else:
                self.text += item["text"]

    def _call(self, piece: dict[str, Any], *, whole: bool) -> None:
        function = piece.get("function") or {}
        name, call_id, index = function.get("name") or "", piece.get("id") or "", piece.get("index")
        known = None if whole else self._known(call_id, index, name)
        if known is None:
            known = _Call(index, call_id, name, [])
            self.calls.append(known)
        known.id = known.id or call_id  # C11
        known.name = known.name or name  # C5, C6
        known.arguments.append(function.get("arguments"))

    def _known(self, call_id: str, index: int | None, name: str) -> _Call | None:
        for call in reversed(self.calls):
            if call_id and call.id:  # C2: another id under one index is another call
                if call.id == call_id:
                    return call
                continue
            if index is not None and call.index == index:
                return call
            if index is None and not name:  # C1: the last open call
                return call
        return None

    def is_nothing(self) -> bool:
        """G16: an empty answer is one only if the server says why it ended."""
        return not (self.finish or self.text or self.thinking or self.calls)

    def close(self, said: Said) -> None:
        said.text, said.thinking = self.text, self.thinking
        if not self.thinking:
            said.thinking, said.text = _tags(self.text)
        if said.error:
            return
        said.done_reason = "length" if self.finish in LENGTH else "stop"  # C3, G1
        if self.finish in FAILED:  # G2, G3
            said.error = self.finish
        for call in self.calls:
            objects = _objects(call.arguments)
            if objects is None or not call.name:  # C10: cut off, or nothing one can call
                said.error = call.name or "no name"
                said.calls = []
                said.written = [(call.name, _text(call.arguments)) for call in self.calls]
                return
            said.calls += [(call.name, arguments) for arguments in objects]


def events(text: str) -> Iterator[str]:
    """The data of each event, as the HTML standard says (F1, F2, F3)."""
    data: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", text), ""]:
        if not line and data:
            yield "\n".join(data)
            data = []
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))


def _usage(value: dict[str, Any]) -> tuple[int | None, int | None]:
    # Groq puts it into x_groq too, and for some models only there
    usage = value.get("usage") or (value.get("x_groq") or {}).get("usage") or {}
    return usage.get("prompt_tokens"), usage.get("completion_tokens")


def _details(details: list[dict[str, Any]] | None) -> str:
    return "".join(item.get("text") or item.get("summary") or "" for item in details or [])


def _tags(text: str) -> tuple[str, str]:
    """D5: tags count only at the very start, and an end without a beginning is text."""
    if not text.lstrip().startswith("<think>"):
        return "", text
    thought, end, rest = text.lstrip().removeprefix("<think>").partition("</think>")
    return (thought.strip(), rest.lstrip()) if end else (thought.lstrip(), "")


def _text(pieces: list[Any]) -> str:
    return "".join(p if isinstance(p, str) else json.dumps(p) for p in pieces if p is not None)


def _objects(pieces: list[Any]) -> list[dict[str, Any]] | None:
    """The objects a call's pieces make; None when they are not JSON."""
    text = _text(pieces)
    if text.strip() in ("", "null"):  # C9
        return [{}]
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    try:
        while text:  # C7: several objects in a row
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].lstrip()
    except ValueError:
        return None
    return [value for value in found if value] or [{}]


# errors


def _error(value: dict[str, Any]) -> str:
    return message(value) if value.get("error") or value.get("object") == "error" else ""


def message(value: Any) -> str:
    """The words for people in an error body."""
    if isinstance(value, list):  # G7: Gemini
        return message(value[0])
    if isinstance(value, str):
        return value
    cause = (value.get("metadata") or {}).get("raw")
    if cause:  # G6b: OpenRouter passes on what the real vendor said, as JSON in a string
        return _cause(cause)
    for key in ("error", "message", "detail"):  # G8: nested, flat, Mistral's
        if value.get(key):
            return message(value[key])
    return json.dumps(value)


def _cause(raw: str) -> str:
    try:
        return message(json.loads(raw))
    except ValueError:
        return raw


def written_calls(body: Any, offered: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """C19: the calls a service could not read and hands out as text; none unless all are offered."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    text = error.get("failed_generation") if isinstance(error, dict) else None
    try:
        found = json.loads(text or "null")
    except ValueError:
        return []
    found = found if isinstance(found, list) else [found]
    if not all(isinstance(call, dict) and call.get("name") in offered for call in found):
        return []
    return [(call["name"], call.get("arguments") or call.get("parameters")) for call in found]


# lists


def ids(recording: dict[str, Any]) -> list[str]:
    """The models of a list, in its order, as their provider wants them back; none when it is none."""
    reply = recording["response"]
    if recording["status"] != 200:
        return []
    if isinstance(reply, dict):  # J1: Together sends the bare list
        reply = reply.get("data") or reply.get("models") or []
    found = [re.sub(r"^models/", "", row["id"]) for row in reply]  # J2
    return list(dict.fromkeys(found))


# embeddings


def vectors(recording: dict[str, Any]) -> list[list[float]]:
    """The embeddings in the order of the inputs."""
    small = recording["provider"] == "perplexity"  # its default is base64 of signed bytes
    data = sorted(recording["response"]["data"], key=lambda item: item["index"])
    return [_numbers(item["embedding"], small=small) for item in data]


def _numbers(value: Any, *, small: bool) -> list[float]:
    if not isinstance(value, str):
        return [float(number) for number in value]
    data = base64.b64decode(value)
    if small:
        return [float(number) for number in struct.unpack(f"<{len(data)}b", data)]
    return list(struct.unpack(f"<{len(data) // 4}f", data))
