"""Sockets that listen."""

import errno
import socket
from collections.abc import Iterator

from ollama_bridge import instance
from ollama_bridge.errors import BridgeError, PortTaken, SettingsInvalid

BACKLOG = 4096

_LOOPBACK = ("127.0.0.1", "::1")


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
    if error.errno == errno.EADDRINUSE:
        from ollama_bridge import occupant  # it loads an HTTP client, which a start has no use for

        return PortTaken(occupant.taken(host, port))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return BridgeError(
            f"this user may not listen on {_where(host, port)}; "
            "choose a port above 1023: --port 11435"
        )
    return SettingsInvalid(
        f'cannot listen on host "{host}", which is no address of this machine; change --host, '
        "OLLAMA_BRIDGE_HOST, OLLAMA_HOST or server.host in the settings, whichever names it"
    )


def _where(host: str, port: int) -> str:
    return instance.url(host, port).removeprefix("http://")
