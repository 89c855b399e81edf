"""Sockets that listen, and who is there when a port is taken."""

import errno
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

from ollama_bridge import instance
from ollama_bridge.errors import BridgeError, PortTaken, SettingsInvalid

BACKLOG = 4096

_LOOPBACK = ("127.0.0.1", "::1")
_PROBE_SECONDS = 1.0


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for that address, taking connections at once; raises PortTaken and others of ours.

    `localhost` may mean either loopback address to a client, so both of them listen.
    """
    if host in {"localhost", _LOOPBACK[0]}:
        first = _open(_LOOPBACK[0], port)
        return [first, *_second_loopback(first, port)]
    if host in {"", "::"}:
        return [_everywhere(port)]
    return [_open(host, port)]


def port_of(sockets: list[socket.socket]) -> int:
    """The port they listen on, also when any free one was asked for."""
    port: int = sockets[0].getsockname()[1]
    return port


def _open(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        if family == socket.AF_INET:
            host = socket.gethostbyname(host)
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _failure(error, host, port) from error


def _second_loopback(first: socket.socket, port: int) -> Iterator[socket.socket]:
    """The IPv6 one, where this machine has it."""
    try:
        yield socket.create_server(
            (_LOOPBACK[1], port_of([first])), family=socket.AF_INET6, backlog=BACKLOG
        )
    except OSError as error:
        if port and error.errno == errno.EADDRINUSE:
            first.close()
            raise _failure(error, _LOOPBACK[1], port) from error


def _everywhere(port: int) -> socket.socket:
    if not socket.has_dualstack_ipv6():
        return _open("0.0.0.0", port)  # noqa: S104 - the user asked for every interface
    try:
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # IPv6 is switched off
            return _open("0.0.0.0", port)  # noqa: S104 - as above
        raise _failure(error, "::", port) from error


def _failure(error: OSError, host: str, port: int) -> BridgeError:
    where = instance.url(host, port).removeprefix("http://")
    if error.errno == errno.EADDRINUSE:
        return PortTaken(_taken(instance.reachable(host), port, where))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return BridgeError(
            f"this user may not listen on {where}; choose a port above 1023: --port 11435"
        )
    return SettingsInvalid(
        f'cannot listen on host "{host}", which is no address of this machine; change --host, '
        "OLLAMA_BRIDGE_HOST, OLLAMA_HOST or server.host in the settings, whichever names it"
    )


def _taken(host: str, port: int, where: str) -> str:
    """Who is there already, and what to do about it."""
    other_port = "choose another port: --port 11435"
    answer = _probe(host, port)
    if answer is None:
        return f"Another program listens on {where} already; stop it, or {other_port}"
    ours, version = answer
    if ours:
        return (
            f"Another Ollama Bridge ({ours}), with a state folder of its own, listens on {where} "
            f"already; stop it where it was started, or {other_port}"
        )
    return (
        f"A real Ollama ({version}) listens on {where} already; stop it "
        f"(`systemctl stop ollama`, or quit its app), or {other_port}"
    )


def _probe(host: str, port: int) -> tuple[str, str] | None:
    """What the bridge's header and Ollama's version say there; None when it is neither."""
    connection = http.client.HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", "/api/version", headers={"Host": "localhost"})
        response = connection.getresponse()
        answer: Any = json.loads(response.read(1000))
        return response.getheader("X-Ollama-Bridge", ""), str(answer["version"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
