"""An OpenAI-compatible server that says what a test tells it to, byte by byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Act = Callable[["Call"], Awaitable[None]]


@dataclass
class Call:
    """One request that arrived, and the means to answer it."""

    path: str
    headers: dict[str, str]
    body: Any
    send: Any
    receive: Any
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(
        self, status: int = 200, kind: str = "text/event-stream", **headers: str
    ) -> None:
        pairs = [(b"content-type", kind.encode())]
        pairs += [
            (key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})

    async def write(self, data: bytes | str, *, more: bool = True) -> None:
        data = data.encode() if isinstance(data, str) else data
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def event(self, value: Any) -> None:
        await self.write(f"data: {json.dumps(value)}\n\n")

    async def text(self, text: str, finish: str | None = None) -> None:
        await self.event(
            {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
        )

    async def json(self, value: Any, status: int = 200, **headers: str) -> None:
        await self.start(status, "application/json", **headers)
        await self.write(json.dumps(value), more=False)


class FakeUpstream:
    """ASGI; `act` answers chat, completion and embedding requests; `models` is the list."""

    def __init__(self, act: Act | None = None, models: tuple[Any, ...] = ("m",)) -> None:
        self.act = act
        self.models: Any = [
            {"id": model, "object": "model"} if isinstance(model, str) else model
            for model in models
        ]
        self.calls: list[Call] = []
        self.hung_up = asyncio.Event()
        self.open_now = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        call = Call(scope["path"], headers, _decoded(body), send, receive)
        if scope["path"].endswith("/models"):
            await call.json({"object": "list", "data": self.models})
            return
        self.calls.append(call)
        self.open_now += 1
        watch = asyncio.ensure_future(self._watch(call))
        try:
            assert self.act is not None
            await self.act(call)
        finally:
            self.open_now -= 1
            watch.cancel()

    async def _watch(self, call: Call) -> None:
        while (await call.receive())["type"] != "http.disconnect":
            pass
        call.gone.set()
        self.hung_up.set()


def _decoded(body: bytes) -> Any:
    """JSON where it is some; other bodies as they are, nothing as None."""
    return json.loads(body) if body[:1] in (b"{", b"[") else body or None
