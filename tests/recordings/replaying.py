"""A server that says what was recorded, with its status, headers and reads; the model names it."""

import asyncio
import json
from typing import Any

from recordings import reader

Recording = dict[str, Any]


class Replay:
    """ASGI; `recordings` by their ids.

    A request for the model `ID` gets the recording of that id, whatever it asks for, and so does
    any request under `/of/ID/`.
    """

    def __init__(self, recordings: dict[str, Recording]) -> None:
        self._recordings = recordings

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = await _read(receive)
        path = scope["path"].split("/")
        case = path[2] if path[1] == "of" else json.loads(body)["model"] if body else ""
        if case not in self._recordings:
            await _send(send, 404, {}, [b'{"error":{"message":"no such recording"}}'])
            return
        recording = self._recordings[case]
        headers = recording["response_headers"]
        await _send(send, recording["status"], headers, reader.reads(recording))


async def _read(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _send(send: Any, status: int, headers: dict[str, str], reads: list[bytes]) -> None:
    """One read at a time: each is a chunk of its own on the wire."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    if len(reads) == 1:
        pairs.append((b"content-length", str(len(reads[0])).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    for data in reads:
        await send({"type": "http.response.body", "body": data, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
