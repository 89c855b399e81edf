"""The planted key, and how it is recognised in whatever the program lets out.

Only the standard library: `watched/sitecustomize.py` brings this into every process of a test.
"""

import base64
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

KEY = "planted-Zq7Xw3Lk9Vt5Rb2Ny8Mj4Hc6Fd1Gs0"
"""A key that no service has and no pattern for keys matches."""

_PIECE = 8
Tell = Callable[[str, bytes], None]
"""Told where something came out, and what."""


def _forms() -> Iterator[bytes]:
    """Every part of the key that is long enough to be one, as it is and in base64."""
    secret = KEY.removeprefix("planted-").encode()
    for start in range(0, len(secret) - _PIECE + 1, _PIECE):
        yield secret[start : start + _PIECE]
    for shift in range(3):
        packed = base64.b64encode(b"x" * shift + secret)
        yield packed[4:16]
    yield secret.hex().encode()[:16]


FORMS = tuple(_forms())


def tells(data: bytes) -> bool:
    """Whether so much of the key stands in it that it is of use to somebody."""
    return any(form in data for form in FORMS)


def excerpt(data: bytes) -> str:
    """What stands around it."""
    place = min(at for form in FORMS if (at := data.find(form)) >= 0)
    return repr(data[max(0, place - 60) : place + 60])


# what a process does


def watch_process(tell: Tell) -> None:
    """Look at the command lines this process has and gives, and at what its server sends."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTS:
            tell("a command line", repr(arguments[:2]).encode())  # the third is the environment

    sys.addaudithook(audit)
    tell("its own command line", repr(sys.orig_argv).encode())
    _after_import("uvicorn.protocols.http.httptools_impl", lambda it: _watch_server(it, tell))
    _after_import("ollama_bridge.server.app", lambda it: _watch_app(it, tell))


_STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec", "os.system"})


def _watch_server(module: Any, tell: Tell) -> None:
    """Every byte that a bridge sends to a client goes by."""
    protocol = module.HttpToolsProtocol
    made = protocol.connection_made

    def connection_made(self: Any, transport: Any) -> None:
        made(self, _Watched(transport, tell) if _is_bridge(self.app) else transport)

    protocol.connection_made = connection_made


def _watch_app(module: Any, tell: Tell) -> None:
    """The same for a bridge that is called without a server."""
    call = module.App.__call__

    async def watched(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            tell("a response", repr(message).encode())
            await send(message)

        served = type(getattr(send, "__self__", None)).__module__.startswith("uvicorn.")
        await call(self, scope, receive, send if served else told)

    module.App.__call__ = watched


def _is_bridge(app: Any) -> bool:
    while type(app).__module__.startswith("uvicorn."):
        app = app.app
    return type(app).__module__.startswith("ollama_bridge.server")


class _Watched:
    """A transport that is looked over the shoulder of."""

    def __init__(self, transport: Any, tell: Tell) -> None:
        self._transport = transport
        self._tell = tell
        self._rest = b""

    def write(self, data: bytes) -> None:
        self._look(bytes(data))
        self._transport.write(data)

    def writelines(self, parts: Any) -> None:
        parts = list(parts)
        self._look(b"".join(parts))
        self._transport.writelines(parts)

    def _look(self, data: bytes) -> None:
        self._tell("a response", self._rest + data)
        self._rest = data[-len(KEY) :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _after_import(name: str, then: Callable[[Any], None]) -> None:
    if name in sys.modules:
        then(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, then))


class _Finder:
    """Finds one module as ever, and does something once it has been imported."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, name: str, path: Any, _target: Any = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        loader, run = spec.loader, spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            self._then(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
