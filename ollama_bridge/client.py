"""The daemon as its front ends see it: the admin API and a few calls of Ollama's own.

Strategy: the standard library alone, because a command should answer before an HTTP library would
be imported; `http.client` also knows nothing of proxies, which have no business on the way to a
local daemon. A daemon is only believed to be ours when it answers with the id in its note.
"""

import http.client
import json
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ollama_bridge import instance
from ollama_bridge.errors import BridgeError, ModelNotFound, NotRunning, SettingsInvalid
from ollama_bridge.instance import Instance

Json = dict[str, Any]

_PATIENCE = 10.0
_NOT_RUNNING = "Ollama Bridge is not running; start it with `ollama-bridge start`"


class Client:
    """Calls to one daemon; raises NotRunning when nothing answers there."""

    def __init__(self, daemon: Instance, timeout: float = _PATIENCE) -> None:
        self.daemon = daemon
        self._timeout = timeout

    def status(self) -> Json:
        """What the daemon says of itself."""
        return self._ask("GET", "/_bridge/status")

    def requests(self) -> Json:
        """The requests being answered and the last ones; never what was said."""
        return self._ask("GET", "/_bridge/requests")

    def reload(self) -> Json:
        """Read the settings anew; raises SettingsInvalid, and the daemon keeps the old ones."""
        try:
            return self._ask("POST", "/_bridge/reload")
        except NotRunning:
            raise
        except BridgeError as error:
            raise SettingsInvalid(error.message) from error

    def shutdown(self, finish: float | None = None) -> None:
        """Ask the daemon to end; what it is answering has that many seconds, or the usual."""
        wanted = "" if finish is None else f"?finish={finish:g}"
        self._ask("POST", f"/_bridge/shutdown{wanted}")

    def tags(self) -> Json:
        """All models, as Ollama lists them."""
        return self._ask("GET", "/api/tags")

    def ps(self) -> Json:
        """The models in use, as Ollama tells them."""
        return self._ask("GET", "/api/ps")

    def show(self, model: str) -> Json:
        """One model's facts, as Ollama shows them."""
        return self._ask("POST", "/api/show", {"model": model})

    def models(self) -> list[Json]:
        """All models with what is known of them, those too that clients are not shown."""
        rows: list[Json] = self._ask("GET", "/_bridge/models")["models"]
        return rows

    def model(self, name: str) -> Json:
        """What is known of one model, and from where."""
        found: Json = self._ask("GET", f"/_bridge/model?{urlencode({'name': name})}")["model"]
        return found

    def tried(self, found: Json) -> None:
        """Have the daemon remember what a trial of a model found out."""
        self._ask("POST", "/_bridge/tried", found)

    def trial(self, path: str, request: Json, seconds: float) -> list[Json]:
        """The lines of an answer; the provider is asked even for what the model is not known to do.

        Raises BridgeError, with the status of the answer.
        """
        connection = self._connection(seconds)
        try:
            reply = self._send(connection, "POST", path, request, {instance.ANYWAY: "1"})
            return list(_lines(reply))
        except TimeoutError as error:
            raise BridgeError(f"no answer within {seconds:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise BridgeError(f"the answer ended early: {error}") from error
        finally:
            connection.close()

    def origin(self, model: str) -> str:
        """The first model behind a name, as `provider/model`."""
        found = self._ask("POST", "/api/show", {"model": model, "verbose": True})
        return str(found["model_info"]["bridge.targets"][0])

    def embed(self, model: str, text: str) -> Json:
        """One text's vector, as Ollama gives it."""
        return self._ask_within(None, "POST", "/api/embed", {"model": model, "input": text})

    def chat(self, request: Json) -> Generator[Json, None, None]:
        """The lines of a streamed answer; closing the iterator cancels the request."""
        connection = self._connection(timeout=None)  # a model may think for minutes
        try:
            yield from _lines(self._send(connection, "POST", "/api/chat", request))
        except (OSError, http.client.HTTPException) as error:
            raise BridgeError(f"the answer ended early: {error}") from error
        finally:
            connection.close()

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        return self._ask_within(self._timeout, method, path, body)

    def _ask_within(
        self, timeout: float | None, method: str, path: str, body: Json | None = None
    ) -> Json:
        connection = self._connection(timeout)
        try:
            text = self._send(connection, method, path, body).read()
        except TimeoutError as error:
            raise NotRunning(
                f"Ollama Bridge at {self.daemon.address} did not answer within "
                f"{self._timeout:g} s; see `ollama-bridge logs`"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(_NOT_RUNNING) from error
        finally:
            connection.close()
        return _object(text)

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        daemon = self.daemon
        return http.client.HTTPConnection(daemon.reachable_host, daemon.port, timeout=timeout)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Json | None,
        more: dict[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        # the name our own routes demand, also when the daemon listens on another address
        headers = {"Host": "localhost", "Authorization": f"Bearer {self.daemon.token}"}
        headers |= more or {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(
                method, path, json.dumps(body) if body is not None else None, headers
            )
        except ConnectionRefusedError as error:
            raise NotRunning(_NOT_RUNNING) from error
        response = connection.getresponse()
        if response.status >= 400:
            raise _failure(response.status, response.read(), path)
        return response


def connect(state: Path, timeout: float = _PATIENCE) -> Client:
    """The running daemon of that state folder; raises NotRunning."""
    note = instance.read(state)
    if note is None:
        raise NotRunning(_NOT_RUNNING)
    client = Client(note, timeout)
    try:
        answered = client.status().get("instance")
    except NotRunning:
        raise
    except BridgeError as error:  # another program has the port now
        raise NotRunning(_NOT_RUNNING) from error
    if answered != note.id:
        raise NotRunning(_NOT_RUNNING)
    return client


def wait_ready(
    state: Path,
    instance_id: str,
    timeout: float,
    alive: Callable[[], bool],
    pause: Callable[[float], None] = time.sleep,
) -> Client:
    """The daemon with that id once it answers; raises NotRunning when it ends or is too slow."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        note = instance.read(state)
        if note is not None and note.id == instance_id:
            left = max(0.1, deadline - time.monotonic())
            try:
                return connect(state, left)
            except NotRunning:
                pass  # it has only just written its note
        if not alive():
            raise NotRunning("Ollama Bridge ended before it answered")
        pause(0.02)
    raise NotRunning(
        f"Ollama Bridge did not answer within {timeout:g} s; "
        "give it longer with --timeout, or see `ollama-bridge logs`"
    )


def _lines(response: http.client.HTTPResponse) -> Iterator[Json]:
    for text in response:
        line = _object(text)
        if "error" in line:
            raise BridgeError(str(line["error"]))
        yield line


def _object(text: bytes) -> Json:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise BridgeError("the daemon's answer is not JSON; is another program there?") from error
    return value if isinstance(value, dict) else {}


def _failure(status: int, text: bytes, path: str) -> BridgeError:
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        message = f"the daemon answered {path} with status {status}; see `ollama-bridge logs`"
    error = ModelNotFound(message) if status == 404 else BridgeError(message)
    error.status = status
    return error
