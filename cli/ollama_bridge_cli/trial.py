"""What `models test` asks a model: one short request for each thing it is said to do."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError

WORDS = 200
"""Most tokens of one answer; models that think need some before they speak."""

_QUESTION = "Reply with the one word: ready"
_TOOL = {
    "type": "function",
    "function": {
        "name": "report_ready",
        "description": "Reports that you are ready.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "The word: ready"}},
            "required": ["word"],
        },
    },
}


def of(running: Client, model: str) -> list[dict[str, Any]]:
    """One row for each ability the model is said to have; raises ModelNotFound.

    `ok` is None for what was not tried; `says` is a sentence for the user.
    """
    abilities = running.show(model).get("capabilities", [])
    return [_tried(running, model, ability) for ability in abilities]


def _tried(running: Client, model: str, ability: str) -> dict[str, Any]:
    attempt = _ATTEMPTS.get(ability)
    if attempt is None:
        return {"ability": ability, "ok": None, "says": "not tried"}
    try:
        said = attempt(running, model)
    except BridgeError as error:
        return {"ability": ability, "ok": False, "says": error.message}
    return {"ability": ability, "ok": True, "says": said}


def _chat(running: Client, model: str) -> str:
    begun = time.monotonic()
    first, last = 0.0, {}
    with contextlib.closing(running.chat(_request(model))) as lines:
        for last in lines:
            if not first and (last.get("message", {}).get("content") or last.get("done")):
                first = time.monotonic() - begun
    if not last.get("done"):
        raise BridgeError("the answer was cut off")
    took = time.monotonic() - begun
    return f"first words after {first:.2f} s, {last.get('eval_count', 0)} tokens in {took:.2f} s"


def _tools(running: Client, model: str) -> str:
    request = _request(model, "Call the tool report_ready.") | {"tools": [_TOOL]}
    calls = [call for said in _messages(running, request) for call in said.get("tool_calls", ())]
    if not calls:
        raise BridgeError("it was given a tool and called none")
    return f"called {calls[0]['function']['name']}"


def _thinking(running: Client, model: str) -> str:
    request = _request(model) | {"think": True}
    thoughts = sum(len(said.get("thinking") or "") for said in _messages(running, request))
    if not thoughts:
        return "it answered without showing a thought"  # many services keep them to themselves
    return f"{thoughts} characters of thought"


def _embedding(running: Client, model: str) -> str:
    vector = running.embed(model, "ready")["embeddings"][0]
    return f"a vector of {len(vector)} numbers"


_ATTEMPTS: dict[str, Callable[[Client, str], str]] = {
    "completion": _chat,
    "tools": _tools,
    "thinking": _thinking,
    "embedding": _embedding,
}


def _request(model: str, question: str = _QUESTION) -> dict[str, Any]:
    said = [{"role": "user", "content": question}]
    return {"model": model, "messages": said, "options": {"num_predict": WORDS}}


def _messages(running: Client, request: dict[str, Any]) -> list[dict[str, Any]]:
    with contextlib.closing(running.chat(request)) as lines:
        return [line.get("message", {}) for line in lines]
