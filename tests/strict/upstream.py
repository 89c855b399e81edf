"""All strict services in one server: `/AT/WAY/v1/…`, where AT is the place of the policy."""

import json
import re
from collections import defaultdict
from typing import Any

from strict.policies import POLICIES, Policy
from strict.rules import Answer, Body

TEXT = "It is north.\nEND of the answer."
JSON = '{"way": "north"}'
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CALL_ID = "AbCdEfGh1"

_JSON_WANTED = re.compile(r"(?i)\bjson\b")


class Strict:
    """ASGI. What was asked for each model of each policy stands in `asked`, refused or not."""

    def __init__(self, models: list[str]) -> None:
        self._models = models
        self.asked: dict[str, list[tuple[Body, bool]]] = defaultdict(list)
        """By `AT/WAY/MODEL`: the bodies, and whether they were answered."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        _, at, way, path = scope["path"].split("/", 3)
        policy = POLICIES[int(at)]
        if path.endswith("/models"):
            rows = [{"id": f"{policy.model}-{model}"} for model in self._models]
            await _json(send, 200, {"object": "list", "data": rows})
            return
        key = f"{at}/{way}/{body['model']}"
        refused = _refused(policy, path, body)
        self.asked[key].append((body, refused is None))
        if refused is not None:
            await _json(send, *refused)
        else:
            await _answer(send, body)


def _refused(policy: Policy, path: str, body: Body) -> Answer | None:
    if not path.endswith("chat/completions") and not policy.completions:
        return 404, {"error": {"message": "Not found: /completions"}}
    return policy.judge(body)


async def _answer(send: Any, body: Body) -> None:
    if "messages" not in body:
        choice: Body = {"text": _cut(TEXT, body)}
    else:
        choice = {"message": {"role": "assistant"} | _said(body)}
    finish = "tool_calls" if "tool_calls" in choice.get("message", {}) else "stop"
    if not body.get("stream"):
        choice |= {"index": 0, "finish_reason": finish}
        await _json(send, 200, {"choices": [choice], "usage": USAGE})
        return
    if "message" in choice:
        choice["delta"] = choice.pop("message")
    events: list[Any] = [
        {"choices": [choice | {"index": 0, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": USAGE},
    ]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    await _send(send, 200, b"text/event-stream", text)


def _said(body: Body) -> Body:
    if body.get("tools") and body["messages"][-1]["role"] != "tool":
        function = {"name": body["tools"][0]["function"]["name"], "arguments": "{}"}
        return {
            "tool_calls": [{"index": 0, "id": CALL_ID, "type": "function", "function": function}]
        }
    wanted = "response_format" in body or _JSON_WANTED.search(json.dumps(body["messages"]))
    return {"content": JSON if wanted else _cut(TEXT, body)}


def _cut(text: str, body: Body) -> str:
    ends = [text.index(stop) for stop in body.get("stop") or () if stop in text]
    return text[: min(ends, default=None)]


async def _json(send: Any, status: int, value: Any) -> None:
    await _send(send, status, b"application/json", json.dumps(value))


async def _send(send: Any, status: int, kind: bytes, text: str) -> None:
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _read(receive: Any) -> Any:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return json.loads(body or b"{}")
