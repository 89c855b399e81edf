"""The ASGI application: routes, streaming, and errors in OpenAI's form."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ollama_bridge.demo import chat, completions, embeddings, models
from ollama_bridge.demo.reply import Reply
from ollama_bridge.demo.request import Body, Json, decode
from ollama_bridge.errors import BadRequest, BridgeError, ModelNotFound

_POSTS: Mapping[str, Callable[[Body], Reply]] = {
    "/v1/chat/completions": chat.respond,
    "/v1/completions": completions.respond,
    "/v1/embeddings": embeddings.respond,
}


class Demo:
    """The ASGI application; `delay` is the pause between two tokens of a stream, in seconds."""

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
        elif scope["type"] == "http":
            with contextlib.suppress(ClientDisconnect):
                body = await Request(scope, receive).body()
                await self._response(scope["method"], scope["path"], body)(scope, receive, send)

    def _response(self, method: str, path: str, body: bytes) -> Response:
        try:
            reply = _answer(method, path, body)
        except BridgeError as error:
            return _json(_failure(error), error.status)
        if isinstance(reply, dict):
            return _json(reply, 200)
        # A header, as `media_type` would add a charset.
        headers = {"content-type": "text/event-stream"}
        return StreamingResponse(self._events(reply), headers=headers)

    async def _events(self, events: list[dict[str, Json]]) -> AsyncIterator[bytes]:
        for event in events:
            yield b"data: %b\n\n" % msgspec.json.encode(event)
            await asyncio.sleep(self._delay)
        yield b"data: [DONE]\n\n"


app = Demo()


class _NoRouteError(BridgeError):
    """No such path, or not with this method."""

    status = 404


def _answer(method: str, path: str, body: bytes) -> Reply:
    """Work out the reply to a request; the errors it raises carry the status."""
    if method == "GET" and path == "/v1/models":
        return {"object": "list", "data": list(models.MODELS)}
    if method == "GET" and path.startswith("/v1/models/"):
        return models.named(path.removeprefix("/v1/models/"))
    if method != "POST" or path not in _POSTS:
        raise _NoRouteError(f"Unknown request URL: {method} {path}")
    try:
        return _POSTS[path](decode(body))
    except RecursionError as error:
        raise BadRequest("The JSON body of your request is nested too deeply") from error


_CODES = {ModelNotFound: "model_not_found", _NoRouteError: "unknown_url"}


def _failure(error: BridgeError) -> dict[str, Json]:
    told = {"message": error.message, "type": "invalid_request_error", "param": None}
    return {"error": {**told, "code": _CODES.get(type(error))}}


def _json(value: Json, status: int) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
