"""`server.users`: whose processes on this machine are answered, for every request costs money.

Strategy: a connection within one machine has two ends here, and Linux tells which user opened the
other one. It is asked once a connection, when the first request comes, and the answer is kept with
the connection itself: one kept by address would be believed after another user got the same port.
An end that nobody holds open any more has no user; the system shows root for it, so that is no
answer. Connections from other machines are none of this module's business: `server.access_keys` is.
"""

import atexit
import enum
import functools
import ipaddress
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ollama_bridge.errors import Forbidden, SettingsInvalid

KEY = "caller"
"""Where a connection's Caller stands in the state of its requests."""

WHEN_GONE = "when_gone"
"""Where `Connection.when_gone` stands there."""

ANY = "any"
ME = "me"

End = tuple[str, int]
"""Address and port of one end of a connection."""


class Unknown(enum.Enum):
    """Why there is no user to name."""

    ELSEWHERE = "the other end is on another machine"
    CLOSED = "the other end was closed before anybody looked"
    UNTOLD = "this system does not tell"


class Caller:
    """The other end of one connection; its user is looked up when first asked for."""

    __slots__ = ("_here", "_there", "_user")

    def __init__(self, there: Any, here: Any) -> None:
        self._there = there
        self._here = here
        self._user: int | Unknown | None = None

    @property
    def user(self) -> int | Unknown:
        """The number of the user whose process it is."""
        if self._user is None:
            self._user = _owner(_end(self._there), _end(self._here))
        return self._user


class Users:
    """The users that one set of settings lets in."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises SettingsInvalid for a name that no user of this machine has."""
        self._allowed = None if ANY in names or not _is_told() else frozenset(map(_number, names))

    def check(self, state: Any) -> None:
        """Let the connection's user pass, or raise Forbidden."""
        if self._allowed is None:
            return
        caller = state.get(KEY) if state else None
        if caller is None:
            return  # not from a socket at all
        user = caller.user
        if user in self._allowed or user is Unknown.ELSEWHERE or user is Unknown.UNTOLD:
            return
        if user is Unknown.CLOSED:
            raise Forbidden(
                "this bridge answers only users named in server.users, and the connection was "
                "closed before its user could be told; keep it open until the answer has come"
            )
        raise Forbidden(
            f"this bridge belongs to {_name(os.geteuid())}, and the request comes from a process "
            f"of {_name(user)}; to let that user in, add the name to server.users in the bridge's "
            'settings, as in users = ["me", "root"], or set users = "any"'
        )


def _is_told() -> bool:
    return sys.platform == "linux"


def _number(name: str) -> int:
    if name == ME:
        return os.geteuid()
    if name.isascii() and name.isdigit():
        return int(name)
    import pwd  # only where users have numbers

    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise SettingsInvalid(
            f'server.users names "{name}", and this machine has no user of that name; '
            'allowed: "me", names or numbers of users, or users = "any"'
        ) from None


def _name(user: int) -> str:
    import pwd

    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:  # a container's user has no name here
        return f"user number {user}"


def _end(address: Any) -> End | None:
    """An end as it is compared: without scope, and in IPv4 where it is IPv4 in disguise."""
    if not address or not isinstance(address[1], int):
        return None
    host = _host(str(address[0]))
    return (host, address[1]) if host else None


@functools.lru_cache(maxsize=64)
def _host(text: str) -> str:
    try:
        host = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
    return str(mapped or host)


def _owner(there: End | None, here: End | None) -> int | Unknown:
    if there is None or here is None or not _is_told():
        return Unknown.UNTOLD
    try:
        found = _ask(there, here)
    except OSError:  # no such service here: a sandbox, or a kernel without it
        found = None
    if found is None:
        # the kernel says the same when it lacks the service, so its list has the last word
        if not _is_near(there, here):
            return Unknown.ELSEWHERE
        try:
            found = next(_listed(there, here), None)
        except OSError:
            return Unknown.UNTOLD
    if found is None:
        return Unknown.CLOSED
    user, inode = found
    return user if inode else Unknown.CLOSED


def _is_near(there: End, here: End) -> bool:
    return there[0] == here[0] or ipaddress.ip_address(there[0]).is_loopback


# the kernel's service for one socket: sock_diag(7)

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_ANY_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_QUESTION = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_SOCKET_ENDS = struct.Struct("!HH16s16s")  # ports and addresses
_SOCKET_REST = struct.Struct("=III")  # interface, cookie
_ANSWER_REST = struct.Struct("=IIIII")  # expires, queues, user, inode
_ENDS_AT = _HEADER.size + 4
_REST_AT = _ENDS_AT + _SOCKET_ENDS.size + _SOCKET_REST.size
_PATIENCE = 0.2
_THE_KERNEL = 0
_LATE = 16
"""Most answers to other questions that are read before ours."""


class _Kernel:
    """The kernel's service for sockets; its own socket stays open from one question to the next.

    An answer that comes too late stays there: the number of its question tells it apart.
    """

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._number = 0

    def answer(self, question: bytes) -> tuple[int, bytes]:
        """Kind and text of the answer; raises OSError."""
        try:
            return self._answer(question)
        except OSError:
            if self._channel is not None:
                self._channel.close()
                self._channel = None
            raise

    def _answer(self, question: bytes) -> tuple[int, bytes]:
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            raise OSError
        if self._channel is None:
            self._channel = socket.socket(family, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
            self._channel.settimeout(0.0)
            atexit.register(self._channel.close)
        self._number = self._number % 0x7FFFFFFF + 1
        size = _HEADER.size + len(question)
        head = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST, self._number, 0)
        self._channel.sendto(head + question, (0, 0))
        for _ in range(_LATE):
            answer, (sender, _) = self._received(self._channel)
            _, kind, _, number, _ = _HEADER.unpack_from(answer)
            if number == self._number and sender == _THE_KERNEL:
                return kind, answer
        raise TimeoutError

    def _received(self, channel: socket.socket) -> Any:
        """What comes next; it is there already, as a rule: the kernel answers while it is asked."""
        try:
            return channel.recvfrom(4096)
        except BlockingIOError:
            if not select.select([channel], [], [], _PATIENCE)[0]:
                raise TimeoutError from None
            return channel.recvfrom(4096)


_kernel = _Kernel()


def _ask(there: End, here: End) -> tuple[int, int] | None:
    """User and inode of the socket at `there` that is connected to `here`."""
    ends = _SOCKET_ENDS.pack(there[1], here[1], _packed(there[0]), _packed(here[0]))
    question = _QUESTION.pack(_family(there[0]), socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
    kind, answer = _kernel.answer(question + ends + _SOCKET_REST.pack(0, _ANY_COOKIE, _ANY_COOKIE))
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _REST_AT + _ANSWER_REST.size:
        return None
    if _SOCKET_ENDS.unpack_from(answer, _ENDS_AT)[:2] != (there[1], here[1]):
        return None  # a socket that listens on that port, not the one that is connected
    *_, user, inode = _ANSWER_REST.unpack_from(answer, _REST_AT)
    return user, inode


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@functools.lru_cache(maxsize=64)
def _packed(host: str) -> bytes:
    return socket.inet_pton(_family(host), host).ljust(16, b"\0")


# the kernel's list of all sockets: proc(5)

_LISTS = Path("/proc/net")


def _listed(there: End, here: End) -> Iterator[tuple[int, int]]:
    """The same from the list, which is slower the more connections the machine has."""
    for file, wanted in (
        ("tcp", [_hexadecimal(there), _hexadecimal(here)]),
        ("tcp6", [_hexadecimal(_as_six(there)), _hexadecimal(_as_six(here))]),
    ):
        path = _LISTS / file
        if not path.exists() and file == "tcp6":  # IPv6 is switched off
            continue
        for line in path.read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1:3] == wanted:
                yield int(fields[7]), int(fields[9])


def _as_six(end: End) -> End:
    host, port = end
    return (host if ":" in host else f"::ffff:{host}"), port


def _hexadecimal(end: End) -> str:
    """An end as the list writes it: words of four bytes in the machine's own order."""
    packed = socket.inet_pton(_family(end[0]), end[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"
