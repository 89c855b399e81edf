"""`server.users`: which user's processes are answered, told by the system for each connection."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from daemons import Home

from ollama_bridge.config import load
from ollama_bridge.errors import Forbidden, SettingsInvalid
from ollama_bridge.server import callers
from ollama_bridge.server.callers import Caller, Unknown, Users

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a connection is")
NOBODY = 65534
OTHERS = [NOBODY] if sys.platform == "linux" and os.geteuid() == 0 else []
"""Users that this process may act as."""


@pytest.fixture(params=["127.0.0.1", "::1"])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as listener:
        client = socket.create_connection(listener.getsockname()[:2])
        server, _ = listener.accept()
        with client, server:
            yield client, server


def caller(server: socket.socket) -> Caller:
    return Caller(server.getpeername(), server.getsockname())


@LINUX
@pytest.mark.parametrize("way", ["asked", "listed"])
def test_the_system_tells_the_user(
    connection: tuple[socket.socket, socket.socket], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "listed":  # as where the kernel's service for sockets is not there

        def refused(*_ends: object) -> None:
            raise PermissionError

        monkeypatch.setattr(callers, "_ask", refused)
    assert caller(connection[1]).user == os.geteuid()


@LINUX
def test_a_late_answer_to_another_question_is_not_believed(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """The kernel is asked by one socket, on which answers may wait that nobody read in time."""
    assert caller(connection[1]).user == os.geteuid()
    kernel = callers._kernel
    assert kernel._channel is not None
    kind = callers._SOCK_DIAG_BY_FAMILY
    head = callers._HEADER.pack(callers._HEADER.size, kind, callers._REQUEST, 2**31, 0)
    for _ in range(3):
        kernel._channel.sendto(head, (0, 0))  # no question at all: an error comes back
    assert caller(connection[1]).user == os.geteuid()
    for _ in range(callers._LATE):
        kernel._channel.sendto(head, (0, 0))
    with pytest.raises(TimeoutError):
        kernel.answer(b"")
    assert caller(connection[1]).user == os.geteuid(), "by a socket of its own again"


@LINUX
def test_an_end_that_was_closed_has_no_user(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    client, server = connection
    asked = caller(server)
    client.close()
    time.sleep(0.05)
    assert asked.user is Unknown.CLOSED
    with pytest.raises(Forbidden, match="keep it open"):
        Users(["me"]).check({callers.KEY: asked})


@LINUX
def test_other_machines_are_not_this_modules_business() -> None:
    far = Caller(("192.0.2.7", 5000), ("192.0.2.8", 11434))
    assert far.user is Unknown.ELSEWHERE
    Users(["me"]).check({callers.KEY: far})


@LINUX
def test_who_may_and_who_may_not(connection: tuple[socket.socket, socket.socket]) -> None:
    state = {callers.KEY: caller(connection[1])}
    Users(["me"]).check(state)
    Users(["nobody", str(os.geteuid())]).check(state)
    Users(["any"]).check(state)
    Users(["me"]).check(None)
    with pytest.raises(Forbidden, match=r"server\.users") as caught:
        Users(["nobody"]).check(state)
    assert caught.value.status == 403


@LINUX
def test_a_user_that_is_not_there() -> None:
    with pytest.raises(SettingsInvalid, match='names "nosuchuser"'):
        Users(["nosuchuser"])


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("", ("me",)),
        ('[server]\nusers = "any"', ("any",)),
        ('[server]\nusers = ["me", "root", 1000]', ("me", "root", "1000")),
    ],
)
def test_in_the_settings(tmp_path: Path, text: str, users: tuple[str, ...]) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    assert load(file, {}).server.users == users
    assert load(file, {"OLLAMA_BRIDGE_USERS": "root, me"}).server.users == ("root", "me")


@pytest.mark.parametrize("users", ["[]", "0", '"someone"', "[-1]", "[true]"])
def test_settings_that_are_wrong(tmp_path: Path, users: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[server]\nusers = {users}", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match="users"):
        load(file, {})


ASK = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
asked = socket.socket()
asked.connect(("127.0.0.1", int(sys.argv[1])))
asked.sendall(f"GET {sys.argv[3]} HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n".encode())
while part := asked.recv(65536):
    os.write(1, part)
"""


def port_of(home: Home) -> int:
    for _ in range(400):
        if (home.state / "daemon.json").exists():
            return int(home.json("status")["address"].rsplit(":", 1)[-1].strip("/"))
        time.sleep(0.05)
    pytest.fail("the daemon did not start")


@LINUX
def test_a_daemon_answers_its_own_user_only(tmp_path: Path) -> None:
    home = Home(tmp_path)
    daemon = home.daemon()
    try:
        port = port_of(home)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as own:
            own.request("GET", "/api/tags")
            assert own.getresponse().status == 200
        for user in OTHERS:
            for path, told in (
                ("/api/tags", '{"error":"'),
                ("/v1/models", '{"error":{"message":"'),
            ):
                command = [sys.executable, "-c", ASK, str(port), str(user), path]
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                assert said.startswith("HTTP/1.1 403 ")
                assert f"{told}this bridge belongs to user" in said
                assert "server.users" in said
    finally:
        daemon.terminate()
        daemon.communicate(timeout=20)


def refused_at(client: socket.socket) -> int:
    """How many bytes of a head without end were taken before the connection was closed."""
    client.sendall(b"GET /api/tags HTTP/1.1\r\nhost: 127.0.0.1\r\n")
    line = b"x-a: " + b"a" * 16384 + b"\r\n"
    for sent in range(0, 2**24, len(line)):
        try:
            client.sendall(line)
        except OSError:
            return sent
    return 2**24


def test_a_head_without_end_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    daemon = home.daemon()
    try:
        with socket.create_connection(("127.0.0.1", port_of(home)), timeout=20) as client:
            assert refused_at(client) < 2**24
    finally:
        daemon.terminate()
        daemon.communicate(timeout=20)
