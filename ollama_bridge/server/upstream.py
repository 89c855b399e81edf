"""One provider, through the openai SDK: open a reply, list models, say what went wrong.

Strategy: `client.post(..., cast_to=Response, stream=True)` gives the raw reply; the SDK keeps what
it is good at (credentials, URLs, error classes) and builds no object for a chunk.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import httpx2
import msgspec
import openai

from ollama_bridge import __version__
from ollama_bridge.errors import BridgeError, UpstreamBroke, UpstreamFailed
from ollama_bridge.providers.provider import Provider
from ollama_bridge.providers.quirks import QUIRKS
from ollama_bridge.server.transport import Transport
from ollama_bridge.translate import failures

Body = dict[str, Any]
HttpClient = Any
"""What the SDK takes as `http_client`: an httpx2 or a classic httpx AsyncClient."""

WHOLE_LIMIT = 512 * 1024 * 1024
"""Most bytes of a reply that is not streamed."""

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
        if not key:  # some local servers refuse an empty bearer token (K7)
            self._options["headers"]["Authorization"] = openai.Omit()
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=provider.url,
            max_retries=0,
            default_headers={**headers, **provider.headers},
            http_client=http_client or _http_client(provider),
        )

    async def open(self, path: str, body: Body, *, model: str) -> "Opened":
        """Send a request and wait for its status; `model` is the client's name, for error texts."""
        for quirk in self.provider.quirks:
            QUIRKS[quirk](body)
        return self._opened(await self._call("post", path, msgspec.json.encode(body), model))

    async def models(self) -> bytes:
        """The provider's own list of models, as it stands."""
        return await self._opened(await self._call("get", "/models", None, "")).whole()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def retire(self) -> None:
        """Close as soon as the last reply has been read: new settings have a new client."""
        self._retired = True
        if not self._in_use:
            await self.aclose()

    def _opened(self, response: Any) -> "Opened":
        self._in_use += 1
        return Opened(response, self._name, self._released)

    async def _released(self) -> None:
        self._in_use -= 1
        if self._retired:
            await self.retire()

    @property
    def _name(self) -> str:
        return self.provider.name

    async def _call(self, method: str, path: str, content: bytes | None, model: str) -> Any:
        try:
            if method == "get":
                return await self._client.get(
                    path,
                    cast_to=httpx2.Response,
                    stream=True,
                    stream_cls=Any,
                    options=self._options,
                )
            return await self._client.post(
                path,
                content=content,
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=Any,
                options=self._options,
            )
        except openai.APIStatusError as error:
            raise self._refused(error, model) from error
        except openai.APITimeoutError as error:
            raise self._unreachable(error, 504) from error
        except openai.APIConnectionError as error:
            raise self._unreachable(error, 502) from error
        except openai.OpenAIError as error:
            raise UpstreamFailed(f"{self._name}: {self._hidden(str(error))}") from error

    def _refused(self, error: openai.APIStatusError, model: str) -> BridgeError:
        response = error.response
        refused = failures.refused(
            response.status_code,
            response.content,
            provider=self._name,
            model=model,
            retry_after=response.headers.get("retry-after", ""),
        )
        refused.message = self._hidden(refused.message)
        refused.args = (refused.message,)
        return refused

    def _unreachable(self, error: Exception, status: int) -> UpstreamFailed:
        cause = self._hidden(failures.sentence(str(error.__cause__ or error)))
        what = "did not answer in time" if status == 504 else "cannot be reached"
        return UpstreamFailed(
            f"{self._name} {what} at {self.provider.url}: {cause}", status=status, detail=cause
        )

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[hidden]") if len(self._key) >= 6 else text


class Opened:
    """A reply whose status was good, still to be read."""

    def __init__(
        self, response: Any, provider: str, released: Callable[[], Awaitable[None]]
    ) -> None:
        self._provider = provider
        self._released: Callable[[], Awaitable[None]] | None = released
        self._response = response
        self._raw: aiohttp.ClientResponse | None = response.extensions.get("reply")
        self._chunks: AsyncIterator[bytes] | None = None
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.streamed = kind != "application/json"
        """Whether the body is an event stream; servers do not always send what was asked for."""

    async def read(self) -> bytes:
        """The next bytes, as they came; b"" at the end."""
        try:
            if self._raw is not None:
                return await self._raw.content.readany()
            if self._chunks is None:
                self._chunks = self._response.aiter_bytes()
            return await anext(self._chunks, b"")
        except TimeoutError as error:
            raise UpstreamBroke(f"{self._provider} went silent", status=504) from error
        except _network_errors() as error:
            raise UpstreamBroke(f"{self._provider} broke off: {_reason(error)}") from error

    async def whole(self) -> bytes:
        """The rest of the body."""
        parts, size = [], 0
        try:
            while data := await self.read():
                parts.append(data)
                size += len(data)
                if size > WHOLE_LIMIT:
                    raise UpstreamBroke(f"{self._provider} sent more than {WHOLE_LIMIT} bytes")
        finally:
            await self.aclose()
        return b"".join(parts)

    def ended(self) -> bool:
        """Whether the body has been read to its end."""
        return self._raw is not None and self._raw.content.at_eof()

    async def aclose(self) -> None:
        """Give the connection back, or cut it when the reply was not read to its end."""
        if self._released is None:
            return
        released, self._released = self._released, None
        if self._raw is None:
            await self._response.aclose()
        elif self._raw.content.at_eof():
            self._raw.release()
        else:
            self._raw.close()
        await released()


def _network_errors() -> tuple[type[Exception], ...]:
    """What reading can raise; the SDK also takes a classic httpx client, which has its own errors."""
    classic = sys.modules.get("httpx")
    known = (aiohttp.ClientError, httpx2.HTTPError, OSError)
    return (*known, classic.HTTPError) if classic else known


def _reason(error: BaseException) -> str:
    return failures.sentence(str(error) or type(error).__name__)


def _http_client(provider: Provider) -> httpx2.AsyncClient:
    transport = Transport(
        provider.url,
        connect_timeout=provider.connect_timeout,
        idle_timeout=provider.idle_timeout,
    )
    return httpx2.AsyncClient(transport=transport, timeout=None, follow_redirects=False)
