"""Asks a bridge as a recorded client would: its method, path, headers and body, nothing added."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx


class Said(NamedTuple):
    """A reply, as bytes: how to cut it into lines is each client's own affair."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The content type without its charset."""
        return self.headers.get("content-type", "").partition(";")[0]

    def json(self) -> Any:
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """A stream of objects, one to a line, every line with its end."""
        *lines, rest = self.body.split(b"\n")
        assert rest == b"", "the last line has no end"
        return [json.loads(line) for line in lines]

    def events(self) -> list[str]:
        """The data of a stream of server-sent events."""
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == "", "the last event has no end"
        return ["\n".join(_data(block)) for block in blocks]


def _data(block: str) -> Iterator[str]:
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name == "data":
            yield value.removeprefix(" ")


Ask = Callable[..., Said]
"""`ask(method, path, body)`: a body that is no bytes is sent as JSON."""


@contextmanager
def talking(url: str, **headers: str) -> Iterator[Ask]:
    """A client with these headers on every request, and no others of its own choice."""
    fixed = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(base_url=url, timeout=20) as client:
        client.headers.clear()

        def ask(method: str, path: str, body: Any = None, **more: str) -> Said:
            sent = {**fixed, **{name.replace("_", "-"): value for name, value in more.items()}}
            if body is None or isinstance(body, bytes):
                content = body
            else:
                content = json.dumps(body, ensure_ascii=False).encode()
            reply = client.request(method, path, content=content, headers=sent)
            return Said(reply.status_code, dict(reply.headers), reply.content)

        yield ask
