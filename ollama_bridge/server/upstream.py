"""One provider, through the openai SDK: open a reply, list models, say what went wrong.

Strategy: `client.post(..., cast_to=Response, stream=True)` gives the raw reply; the SDK keeps what
it is good at (credentials, URLs, error classes) and builds no object for a chunk.
"""

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx2
import msgspec
import openai

from ollama_bridge import __version__
from ollama_bridge.errors import BridgeError, ModelNotFound, UpstreamBroke, UpstreamFailed
from ollama_bridge.providers.provider import OLLAMA, OPENAI, Provider
from ollama_bridge.server import flow
from ollama_bridge.server.flow import Received, Sink
from ollama_bridge.server.transport import FORM_TYPE, Form, Transport, error_body
from ollama_bridge.translate import failures, model_list
from ollama_bridge.wire import retry_after

Body = dict[str, Any]
HttpClient = Any
"""What the SDK takes as `http_client`: an httpx2 or a classic httpx AsyncClient."""

Kind = tuple[str, Any]
"""Requests that differ only in their body: path and model."""

FORMS = 1000
"""Most kinds of requests that are remembered."""

WHOLE_LIMIT = 128 * 1024 * 1024
"""Most bytes of a reply that is not streamed."""

SHORTEST_KEY = 6
"""Characters below which a key is no secret, but a word that may stand anywhere."""

_QUIET = {
    f"X-Stainless-{name}": openai.Omit()
    for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
}
"""The SDK tells every server about the machine it runs on; that is nobody's business."""

_HEADERS = {
    "Content-Type": "application/json",
    "X-Stainless-Retry-Count": openai.Omit(),
    "X-Stainless-Read-Timeout": openai.Omit(),
}


class Upstream:
    """A provider's client, kept for as long as its settings and key stay the same."""

    def __init__(self, provider: Provider, key: str, *, http_client: HttpClient = None) -> None:
        self.provider = provider
        self._key = key
        self._in_use = 0
        self._retired = False
        headers: dict[str, Any] = {"User-Agent": f"ollama-bridge/{__version__}", **_QUIET}
        headers["Accept-Encoding"] = "identity"
        # a fixed key spares the SDK a random one each time: it is never sent without a header name
        self._options: Any = {"headers": {**_HEADERS}, "idempotency_key": "unused"}
        shown = provider.credentials(key)
        if "Authorization" not in shown:
            self._options["headers"]["Authorization"] = openai.Omit()
        self._native = {key: value for key, value in headers.items() if isinstance(value, str)}
        self._native |= {"Content-Type": "application/json", **provider.headers}
        for name, value in shown.items():
            self._native.setdefault(name, value)
        self._transport = None if http_client else _transport(provider)
        self._forms: dict[Kind, Form] = {}
        self._http = http_client or _http_client(self._transport)
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=provider.url,
            max_retries=0,
            default_headers={**headers, **shown, **provider.headers},
            default_query=dict(provider.query),
            http_client=self._http,
        )

    async def open(self, path: str, body: Body, *, model: str) -> "Opened":
        """Send a request and wait for its status; `model` is the client's name, for error texts.

        The SDK makes the first request of its kind; those that follow differ in the body only and
        go straight to the transport, which saves half of what a request costs.
        """
        content = msgspec.json.encode(body)
        kind = (path, body.get("model"))
        form = self._forms.get(kind)
        if form is not None and self._transport is not None:
            return await self._opened(self._repeat(self._transport, form, content, model, kind))
        return await self._opened(self._first(path, content, model, kind))

    async def open_form(self, path: str, kind: str, content: bytes, *, model: str) -> "Opened":
        """The same for a body of another content type, such as an uploaded file; always the SDK."""
        return await self._opened(self._call("post", path, content, model, kind))

    async def ask(
        self, method: str, path: str, content: bytes, *, model: str, sent: str = ""
    ) -> "Opened":
        """A request to a real Ollama's own API; its refusals are told in its own words.

        `sent` is the model by that server's name, `model` by the client's.
        """
        return await self._opened(self._natively(method, path, content, (sent, model)))

    async def models(self) -> bytes:
        """The provider's own list of models, as it stands; an empty one where it has none."""
        if not self.provider.listing:
            return b'{"data":[]}'
        listed: bytes = await _LISTS[self.provider.kind](self)
        if not self.provider.running:
            return listed
        try:
            told = await self._got(self.provider.running_url)
        except BridgeError:
            return listed  # an older server, or one that keeps it to itself
        return model_list.with_running(listed, told)

    async def openai_list(self) -> bytes:
        """The list that every service has; where its own better one is missing, the usual one."""
        *better, usual = self.provider.list_urls
        for url in better:
            try:
                return await self._got(url)
            except UpstreamFailed as error:
                if error.upstream_status not in (404, 405):
                    raise
            except ModelNotFound:
                pass
        return await self._got(usual)

    async def _got(self, url: str) -> bytes:
        opened = await self._opened(self._call("get", url, None, ""))
        return await opened.whole()

    async def ollama_list(self) -> bytes:
        """The list of a real Ollama, which tells more."""
        opened = await self.ask("GET", "/api/tags", b"", model="")
        return await opened.whole()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def retire(self) -> None:
        """Close as soon as the last reply has been read: new settings have a new client."""
        self._retired = True
        if not self._in_use:
            await self.aclose()

    async def _opened(self, coming: Awaitable[Received]) -> "Opened":
        """The reply that is coming; new settings close nothing before it has been read."""
        self._in_use += 1
        try:
            reply = await coming
        except BaseException:
            await self._released()
            raise
        return Opened(reply, self.provider, self._released, self._without)

    async def _released(self) -> None:
        self._in_use -= 1
        if self._retired:
            await self.retire()

    @property
    def _name(self) -> str:
        return self.provider.name

    async def _call(
        self, method: str, path: str, content: bytes | None, model: str, kind: str = ""
    ) -> Received:
        return _received(await self._asked(method, path, content, model, kind))

    async def _asked(
        self, method: str, path: str, content: bytes | None, model: str, kind: str
    ) -> Any:
        options = self._options
        if kind:
            options = {**options, "headers": {**options["headers"], FORM_TYPE: kind}}
        try:
            if method == "get":
                return await self._client.get(
                    path,
                    cast_to=httpx2.Response,
                    stream=True,
                    stream_cls=Any,
                    options=options,
                )
            return await self._client.post(
                path,
                content=content,
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=Any,
                options=options,
            )
        except openai.APIStatusError as error:
            reply = error.response
            raise self._refused(reply.status_code, reply.content, reply.headers, model) from error
        except openai.APITimeoutError as error:
            raise self._unreachable(error.__cause__ or error, 504) from error
        except openai.APIConnectionError as error:
            raise self._unreachable(error.__cause__ or error, 502) from error
        except openai.OpenAIError as error:
            raise UpstreamFailed(f"{self._name}: {self._hidden(str(error))}") from error

    async def _natively(
        self, method: str, path: str, content: bytes, names: tuple[str, str]
    ) -> Received:
        url = self.provider.root + path
        request = httpx2.Request(method, url, headers=self._native, content=content)
        try:
            response = await self._http.send(request, stream=True)
            if response.status_code < 300:
                return _received(response)
            body = await response.aread()
        except httpx2.TimeoutException as error:
            raise self._unreachable(error.__cause__ or error, 504) from error
        except httpx2.HTTPError as error:
            raise self._unreachable(error.__cause__ or error, 502) from error
        sent, model = names
        retry_after = response.headers.get("retry-after", "")
        raise self._without_key(
            failures.native(
                response.status_code,
                self._without(body),
                sent=sent,
                model=model,
                retry_after=retry_after,
            )
        )

    async def _first(self, path: str, content: bytes, model: str, kind: Kind) -> Received:
        """A request as the SDK makes it; its form is kept for those that follow."""
        response = await self._asked("post", path, content, model, "")
        if self._transport is not None:
            if len(self._forms) >= FORMS:
                self._forms.clear()
            self._forms[kind] = self._transport.form(response.request)
        return _received(response)

    async def _repeat(
        self, transport: Transport, form: Form, content: bytes, model: str, kind: Kind
    ) -> Received:
        """Another request of a form the SDK has made before."""
        try:
            response = await transport.post(form, content)
        except TimeoutError as error:
            raise self._unreachable(error, 504) from error
        except OSError as error:
            raise self._unreachable(error, 502) from error
        if response.status < 300:
            return response
        if response.status == 401:
            self._forms.pop(kind, None)  # credentials may have changed: ask the SDK again
        body = await error_body(response)
        raise self._refused(response.status, body, response.headers, model)

    def _refused(
        self, status: int, body: bytes, headers: Mapping[str, str], model: str
    ) -> BridgeError:
        refused = failures.refused(
            status,
            self._without(body),
            provider=self._name,
            model=model,
            retry_after=headers.get("retry-after", ""),
        )
        if isinstance(refused, UpstreamFailed):
            told = failures.inner_headers(body) | {k.lower(): v for k, v in headers.items()}
            refused.wait = retry_after.seconds(told, time.time())
        return self._without_key(refused)

    def _without_key(self, refused: BridgeError) -> BridgeError:
        refused.message = self._hidden(refused.message)
        refused.args = (refused.message,)
        if said := refused.refusal:
            text, generation = self._hidden(said.text), self._hidden(said.generation)
            refused.refusal = said._replace(text=text, generation=generation)
        if isinstance(refused, UpstreamFailed):
            refused.said = self._hidden(refused.said.decode()).encode()
        return refused

    def _unreachable(self, cause: BaseException, status: int) -> UpstreamFailed:
        reason = self._hidden(_reason(cause))
        what = "did not answer in time" if status == 504 else "cannot be reached"
        return UpstreamFailed(
            f"{self._name} {what} at {self.provider.url}: {reason}", status=status, detail=reason
        )

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[hidden]") if len(self._key) >= SHORTEST_KEY else text

    def _without(self, body: bytes) -> bytes:
        """What a service sent, before it is cut: some repeat the key in their errors.

        To look for one byte takes a small part of what it takes to look for the key, and one that
        is missing ends the search: megabytes of numbers hold few letters.
        """
        if len(self._key) < SHORTEST_KEY:
            return body
        key = self._key.encode()
        return body.replace(key, b"[hidden]") if all(map(body.__contains__, key)) else body


_LISTS: Mapping[str, Callable[[Upstream], Awaitable[bytes]]] = {
    OPENAI: Upstream.openai_list,
    OLLAMA: Upstream.ollama_list,
}
"""Which list tells most, by the provider's kind."""


class Opened:
    """A reply whose status was good, still to be read."""

    def __init__(
        self,
        reply: Received,
        provider: Provider,
        released: Callable[[], Awaitable[None]],
        hide: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._hide = hide
        self._provider = provider.name
        self._longest = max(provider.first_byte_timeout, provider.idle_timeout)
        self._released: Callable[[], Awaitable[None]] | None = released
        self._reply = reply
        self.kind = reply.headers.get("content-type", "")
        """The content type, as it came."""
        self.streamed = self.kind.partition(";")[0].strip().lower() != "application/json"
        """Whether the body is an event stream; servers do not always send what was asked for."""

    async def read(self) -> bytes:
        """The next bytes, as they came; b"" at the end."""
        try:
            return await self._reply.read()
        except OSError as error:
            raise self._broke(error) from error

    async def push(self, sink: Sink) -> None:
        """Every read to the sink as it comes; until the end, or until the sink has had enough."""
        try:
            await self._reply.push(sink, self._longest)
        except OSError as error:
            raise self._broke(error) from error

    async def whole(self) -> bytes:
        """The rest of the body."""
        kept = _Kept(self._provider)
        try:
            await self.push(kept)
        finally:
            await self.aclose()
        return self.hide(b"".join(kept.parts))

    def hide(self, said: bytes) -> bytes:
        """What the provider said, without its key."""
        return self._hide(said)

    def ended(self) -> bool:
        """Whether the body has been read to its end."""
        return self._reply.complete

    async def aclose(self, patience: float = 0.0) -> None:
        """Give the connection back; it is cut when the body does not end within `patience`."""
        if self._released is None:
            return
        released, self._released = self._released, None
        await self._reply.aclose(patience)
        await released()

    def _broke(self, error: OSError) -> UpstreamBroke:
        if isinstance(error, TimeoutError):
            return UpstreamBroke(f"{self._provider} went silent", status=504)
        return UpstreamBroke(f"{self._provider} broke off: {_reason(error)}")


class _Kept:
    """Takes a whole body; raises UpstreamBroke past WHOLE_LIMIT."""

    patience: float | None = None
    told = False

    def __init__(self, provider: str) -> None:
        self.parts: list[bytes] = []
        self._size = 0
        self._provider = provider

    def take(self, data: bytes) -> None:
        self.parts.append(data)
        self._size += len(data)
        if not data.isspace():  # blanks are signs of life, and no more than that (F2)
            self.told = True
        if self._size > WHOLE_LIMIT:
            raise UpstreamBroke(  # 500: to ask again would only bring as much again
                f"{self._provider} sent more than {WHOLE_LIMIT} bytes", status=500
            )


def _received(response: Any) -> Received:
    """The reply in what the SDK hands out; an injected client's has to be read through itself."""
    received: Received | None = response.extensions.get("reply")
    return received or _Classic(response)


class _Classic:
    """The reply of an injected httpx or httpx2 client."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] | None = None
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.complete = False

    async def read(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._response.aiter_bytes()
        try:
            data = await anext(self._chunks, b"")
        except _network_errors() as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        self.complete = not data
        return data

    async def push(self, sink: Sink, quiet: float) -> None:
        await flow.pull(self, sink, quiet)

    async def aclose(self, patience: float = 0.0) -> None:  # noqa: ARG002 - nothing is pooled here
        await self._response.aclose()


def _network_errors() -> tuple[type[Exception], ...]:
    """What reading can raise; a classic httpx client, which the SDK also takes, has its own."""
    classic = sys.modules.get("httpx")
    return (httpx2.HTTPError, classic.HTTPError) if classic else (httpx2.HTTPError,)


def _reason(error: BaseException) -> str:
    return failures.sentence(str(error) or type(error).__name__)


def _transport(provider: Provider) -> Transport:
    limits = flow.Limits(
        provider.connect_timeout, provider.first_byte_timeout, provider.idle_timeout
    )
    return Transport(provider.url, limits)


def _http_client(transport: Transport | None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=transport, timeout=None, follow_redirects=False)
