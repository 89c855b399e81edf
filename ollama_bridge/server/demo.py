"""The demo provider's own server: a second port of this process, an upstream like any other."""

import asyncio
import socket
import threading

import uvicorn

MARK = "demo:"
"""The base URL in the settings that stands for wherever this server listens."""

_lock = threading.Lock()
_address = ""


def address() -> str:
    """Its base URL; the first call starts it, in a thread of its own."""
    global _address  # noqa: PLW0603 - one demo server a process
    with _lock:
        if not _address:
            listener = socket.create_server(("127.0.0.1", 0))
            _address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            threading.Thread(target=_run, args=(listener,), name="demo", daemon=True).start()
        return _address


def _run(listener: socket.socket) -> None:
    from ollama_bridge.demo import app

    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
