"""What is fuzzed: each target has inputs and a check of what must hold for every one of them."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from bridges import NoKeys
from hypothesis import strategies as st
from recordings import rules
from test_golden import Sent, streamed, timeless

from fuzz import corpus
from fuzz.mutations import NAMES, ODD, reads, spoiled, twisted
from ollama_bridge.config import Config
from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.providers.edits import schemas
from ollama_bridge.providers.provider import Provider
from ollama_bridge.providers.quirks import QUIRKS
from ollama_bridge.server import flow, http1
from ollama_bridge.server.app import App, build
from ollama_bridge.server.upstream import Opened
from ollama_bridge.translate import generate, passed, tools
from ollama_bridge.translate.stats import Stopwatch
from ollama_bridge.wire import ollama, openai
from ollama_bridge.wire.sse import EventCutter


class Target(NamedTuple):
    """Something that has to stand whatever comes."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Any], None]


STREAMS = st.deferred(lambda: spoiled(corpus.streams()))
REPLIES = st.deferred(lambda: spoiled(corpus.replies()))
JSON_REPLIES = st.deferred(lambda: twisted([json.loads(body) for body in corpus.replies()])).map(
    lambda value: json.dumps(value).encode()
)
REQUESTS = st.deferred(lambda: twisted([json.loads(body) for body in corpus.requests()]))


# the event cutter


def cuts_alike(pieces: list[bytes]) -> None:
    """The same payloads however it was cut, and none with a line end at its ends."""
    assert _payloads(pieces) == _payloads([b"".join(pieces)])


def _payloads(pieces: list[bytes]) -> list[bytes]:
    cutter = EventCutter()
    found = [payload for piece in pieces for payload in cutter.feed(piece)]
    return found + cutter.close()


# the two classes that read a stream


def says_alike(pieces: list[bytes]) -> None:
    """`reply.Reply`: the same lines however it was cut, each as Ollama's own would be."""
    request = ollama.decode(b'{"model":"m","messages":[{"role":"user","content":"x"}]}', _CHAT)
    sent = Sent(request, generate.CHAT, {}, {})
    said = streamed(sent, pieces)
    rules.streamed(said)
    assert timeless(streamed(sent, [b"".join(pieces)])) == timeless(said)


_CHAT = ollama.ChatRequest


def passes_alike(pieces: list[bytes]) -> None:
    """`passed.Stream`: the same events however it was cut; at the end the mark or an error."""
    said = _passed(pieces)
    assert _passed([b"".join(pieces)]) == said
    _checked_events(said)


def _passed(pieces: list[bytes]) -> bytes:
    stream = passed.Stream("m", Stopwatch(lambda: 0), provider="lab", wants_usage=True)
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.close()


def _checked_events(said: bytes) -> None:
    assert said.endswith(b"\n")
    data = [line[6:] for line in said.split(b"\n") if line.startswith(b"data: ")]
    last = data.pop()
    assert last == b"[DONE]" or "error" in json.loads(last)
    for payload in data:  # what is between the braces is the provider's own business here
        assert payload[:1] == b"{"
        assert payload[-1:] == b"}"


# everything on the way down: a provider's bytes through the application to the client

_LOOK = {"name": "look", "parameters": {"type": "object", "properties": {}}}
ASKED: dict[str, dict[str, Any]] = {
    "/api/chat": {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": _LOOK}],
    },
    "/api/generate": {"prompt": "x"},
    "/api/embed": {"input": ["x", "y"]},
    "/api/embeddings": {"prompt": "x"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
    "/v1/embeddings": {"input": "x"},
    "/v1/responses": {"input": "x", "tools": [{"type": "function", **_LOOK}]},
    "/v1/messages": {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"name": "look", "input_schema": {"type": "object"}}],
    },
}
KINDS = ("text/event-stream", "application/json", "text/html", "")


class Answer(NamedTuple):
    """A provider's answer and who asked for it."""

    path: str
    streamed: bool
    kind: str
    reads: list[bytes]


ANSWERS = st.builds(
    Answer,
    st.sampled_from(sorted(ASKED)),
    st.booleans(),
    st.sampled_from(KINDS),
    reads(STREAMS | REPLIES | JSON_REPLIES | st.binary(max_size=100)),
)


def answers_well(answer: Answer) -> None:
    """A whole answer or an honest error, never a traceback and never a stream that just stops."""
    body = {"model": "m", "stream": answer.streamed, **ASKED[answer.path]}
    reply = _asked("POST", answer.path, body, Provided(answer))
    kind = reply.headers["content-type"]
    if reply.status_code != 200:
        _checked_error(reply)
    elif kind.startswith("application/x-ndjson"):
        rules.streamed(reply.content)
    elif kind.startswith("text/event-stream"):
        _ENDS.get(answer.path, _checked_events)(reply.content)
    else:
        assert isinstance(reply.json(), dict)


def _checked_error(reply: httpx.Response) -> None:
    said = reply.json()
    error = said["error"]
    text = error["message"] if isinstance(error, dict) else error
    assert isinstance(text, str)
    assert text.strip()
    assert "internal error in Ollama Bridge" not in text, text  # others' own are told as said
    assert "Traceback" not in text
    assert 400 <= reply.status_code < 600


def _checked_responses(said: bytes) -> None:
    events = [json.loads(line[6:]) for line in said.split(b"\n") if line.startswith(b"data: {")]
    assert events[-1]["type"] in (
        *("response.completed", "response.incomplete", "response.failed"),
        "error",
    )


def _checked_messages(said: bytes) -> None:
    names = [line[7:] for line in said.split(b"\n") if line.startswith(b"event: ")]
    assert names[-1] in (b"message_stop", b"error")


_ENDS: Mapping[str, Callable[[bytes], None]] = {
    "/v1/responses": _checked_responses,
    "/v1/messages": _checked_messages,
}


class Provided:
    """A provider that answers with these bytes, and lists one model."""

    def __init__(self, answer: Answer | None) -> None:
        self._answer = answer

    async def open(self, path: str, body: dict[str, Any], *, model: str) -> Opened:
        msgspec.json.encode(body)
        return self._opened()

    async def open_form(self, path: str, kind: str, content: bytes, *, model: str) -> Opened:
        return self._opened()

    async def ask(self, *_: Any, **__: Any) -> Opened:
        return self._opened()

    def _opened(self) -> Opened:
        if self._answer is None:
            raise UpstreamFailed("down", status=503, upstream_status=503)
        return Opened(Bytes(self._answer), PROVIDER, _nothing)

    async def models(self) -> bytes:
        return LIST

    async def retire(self) -> None: ...
    async def aclose(self) -> None: ...


PROVIDER = Provider(name="lab", url="http://127.0.0.1:9/v1", key="none", retries=0)
LIST = b'{"data":[{"id":"m","capabilities":["completion","tools","vision","thinking","insert"]}]}'


async def _nothing() -> None: ...


class Bytes:
    """`flow.Received` of bytes that are here."""

    status = 200

    def __init__(self, answer: Answer) -> None:
        self.headers = {"content-type": answer.kind}
        self._reads = list(answer.reads)

    @property
    def complete(self) -> bool:
        return not self._reads

    async def read(self) -> bytes:
        while self._reads:
            if data := self._reads.pop(0):
                return data
        return b""

    async def push(self, sink: flow.Sink, quiet: float) -> None:
        await flow.pull(self, sink, quiet)

    async def aclose(self, patience: float = 0.0) -> None: ...


def _asked(method: str, path: str, body: Any, provided: Provided) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asyncio.run(_ask(method, path, content, provided))


async def _ask(method: str, path: str, content: bytes, provided: Provided) -> httpx.Response:
    loud = Loud()
    logger = logging.getLogger("ollama_bridge")
    logger.addHandler(loud)
    app = _application(provided)
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, content=content)
    finally:
        await app.bridge.aclose()
        logger.removeHandler(loud)
        assert not loud.tracebacks, loud.tracebacks


class Loud(logging.Handler):
    """Notices tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self.tracebacks: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.tracebacks.append(record.exc_info)


def _application(provided: Provided) -> App:
    config = Config(path=Path("none"), providers={"lab": PROVIDER}, default_provider="lab")
    return build(config, keys=NoKeys(""), connect=lambda _provider, _key: provided, edit=_kept)


def _kept(change: Any) -> Config:
    """Settings that a change reaches and no file."""
    import tomlkit

    change(tomlkit.document())
    return Config(path=Path("none"), providers={"lab": PROVIDER}, default_provider="lab")


# everything on the way up: a client's bytes through the decoders to the provider

ROUTES = (
    *(("POST", path) for path in ASKED),
    *(("POST", path) for path in ("/api/show", "/api/create", "/api/copy", "/api/pull")),
    ("POST", "/api/push"),
    ("DELETE", "/api/delete"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1/images/generations"),
    ("POST", "/v1/audio/transcriptions"),
)
BODIES = (
    REQUESTS.map(lambda value: json.dumps(_for_m(value)).encode())
    | st.deferred(lambda: spoiled(corpus.requests()))
    | st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD)).map(
        lambda body: json.dumps({"model": "m"} | body).encode()
    )
)


def _for_m(value: Any) -> Any:
    """The request with the model there is, so that it gets past the names."""
    if isinstance(value, dict) and isinstance(value.get("model"), str):
        return value | {"model": "m"}
    return value


def refuses_well(asked: tuple[tuple[str, str], bytes]) -> None:
    """Any body gets an answer or a refusal with a sentence; 500 only where Ollama says 500."""
    (method, path), body = asked
    reply = _asked(method, path, body, Provided(None))
    if reply.status_code >= 400 and reply.headers["content-type"].startswith("application/json"):
        _checked_error(reply)


# edits of requests, the schema cleaner among them


def edits_well(asked: tuple[Any, Any]) -> None:
    """Each named edit takes any body; what comes out can be sent."""
    name, body = asked
    QUIRKS[name](body)
    json.dumps(body)


def cleans_well(schema: Any) -> None:
    """No key is left that plain services refuse; a second cleaning finds nothing more."""
    if not isinstance(schema, dict):
        return
    body = {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    schemas.plain_schemas(body)
    once = json.dumps(body)
    _assert_plain(body["tools"][0]["function"]["parameters"])
    assert len(once) < 50 * len(json.dumps(schema)) + 100_000
    schemas.plain_schemas(body)
    assert json.dumps(body) == once


def _assert_plain(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    assert not schema.keys() & schemas._REFUSED
    inner = [schema.get("items")]
    if isinstance(properties := schema.get("properties"), dict):
        inner += properties.values()
    for key in schemas._LISTS:
        if isinstance(schema.get(key), list):
            inner += schema[key]
    for one in inner:
        _assert_plain(one)


# arguments of tool calls

TEXTS = st.deferred(
    lambda: spoiled([text.encode() for text in corpus.arguments()]).map(
        lambda data: data.decode(errors="replace")
    )
)
PIECES = st.lists(
    st.builds(
        lambda index, call_id, name, text: openai.ToolCall(
            index=index, id=call_id, function=openai.Function(name=name, arguments=text)
        ),
        st.sampled_from((None, 0, 0, 1)),
        st.sampled_from((None, "", "a", "b")),
        st.sampled_from((None, "", "look", "find")),
        TEXTS | st.sampled_from((None, "", "{", "}", '{"a":', "1}")),
    ),
    max_size=6,
)


def repairs_well(pieces: list[openai.ToolCall]) -> None:
    """Calls with a name and an object each, and with ids of their own; or Unusable."""
    gatherer = tools.Gatherer()
    try:
        gatherer.feed(pieces)
        calls = gatherer.close({}, "seed")
    except tools.Unusable:
        return
    assert all(call.name and isinstance(call.arguments, dict) for call in calls)
    assert len({call.id for call in calls}) == len(calls)
    for call in calls:
        json.loads(tools.text_of(call.arguments))


# the HTTP/1 reader

_HEADS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 429 Too Many\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 25\r\n\r\n"
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00"
    ),
)


def reads_well(pieces: list[bytes]) -> None:
    """A body or an OSError, the same however it was cut, and nothing is left waiting."""
    assert asyncio.run(_read(pieces)) == asyncio.run(_read([b"".join(pieces)]))


async def _read(pieces: list[bytes]) -> Any:
    wire = Wire()
    connection = http1.Connection(60, 60, lambda _: None, lambda _: None)
    connection.connection_made(wire)
    asking = asyncio.ensure_future(_whole(connection))
    await asyncio.sleep(0)
    for piece in pieces:
        if piece and not wire.closed:
            connection.data_received(piece)
            for _ in range(5):
                await asyncio.sleep(0)
    connection.connection_lost(None)
    async with asyncio.timeout(5):
        return await asking


async def _whole(connection: http1.Connection) -> Any:
    try:
        response = await connection.request(b"GET / HTTP/1.1\r\n", b"")
        body = b""
        while data := await response.read():
            body += data
    except OSError:
        return "broken"
    return response.status, body


class Wire(asyncio.Transport):
    """A transport to nowhere."""

    closed = False

    def write(self, data: Any) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


TARGETS: dict[str, Target] = {
    "event cutter": Target(reads(STREAMS), cuts_alike),
    "stream told": Target(reads(STREAMS), says_alike),
    "stream passed on": Target(reads(STREAMS), passes_alike),
    "answers": Target(ANSWERS, answers_well),
    "requests": Target(st.tuples(st.sampled_from(ROUTES), BODIES), refuses_well),
    "edits": Target(st.tuples(st.sampled_from(sorted(QUIRKS)), REQUESTS), edits_well),
    "schema cleaner": Target(
        st.deferred(lambda: twisted(corpus.schemas())),
        cleans_well,
    ),
    "tool arguments": Target(PIECES, repairs_well),
    "HTTP/1 reader": Target(reads(spoiled(_HEADS)), reads_well),
}
