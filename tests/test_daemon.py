"""The daemon as a process: one of them, its note, its log, its port, its end."""

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from daemons import Home, end, has_ipv6, until_ready

from ollama_bridge import client, daemon, instance, listening, process
from ollama_bridge.errors import BridgeError, NotRunning, PortTaken, SettingsInvalid


def test_which_program_runs_a_package() -> None:
    python = ["/v/bin/python", "-P", "-m", "ollama_bridge"]
    assert process.program("ollama_bridge", "/v/bin/python", frozen=False) == python
    bundled = process.program("ollama_bridge_tray", "/opt/ollama-bridge", frozen=True)
    assert bundled == [str(Path("/opt/ollama-bridge-tray"))]
    windows = process.program("ollama_bridge", "/app/ollama-bridge.exe", frozen=True)
    assert windows == [str(Path("/app/ollama-bridge-daemon.exe"))]


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of POSIX")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def running(home: Home) -> Iterator["subprocess.Popen[str]"]:
    """A daemon in the foreground that has answered already."""
    child = home.daemon()
    try:
        until_ready(child)
        yield child
    finally:
        end(child)


# the note and the lock


def test_the_note_tells_all_and_only_to_its_owner(
    home: Home, running: "subprocess.Popen[str]"
) -> None:
    note = home.note()
    assert note["pid"] == running.pid
    assert note["config"] == str(home.config)
    status = client.connect(home.state).status()
    assert (status["instance"], status["pid"]) == (note["id"], running.pid)
    assert len(note["token"]) >= 32
    if sys.platform != "win32":
        for path in home.state.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE(home.state.stat().st_mode) == 0o700


@POSIX
def test_a_crash_writes_no_memory_to_a_file(home: Home, running: "subprocess.Popen[str]") -> None:
    """There are keys in it."""
    import resource

    if sys.platform == "linux":
        assert resource.prlimit(running.pid, resource.RLIMIT_CORE) == (0, 0)
    running.send_signal(signal.SIGABRT)
    assert running.wait(20) == -signal.SIGABRT
    assert not [*Path.cwd().glob("core*"), *home.folder.rglob("core*")]


@POSIX
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)]
)
def test_a_signal_ends_it_cleanly(home: Home, number: int, code: int) -> None:
    child = home.daemon()
    try:
        until_ready(child)
        child.send_signal(number)
        _, said = child.communicate(timeout=20)
        assert child.returncode == code
        assert "Traceback" not in said
        assert said.rstrip().endswith("stopped")
        assert instance.read(home.state) is None
        assert process.is_gone(home.state, 0)
    finally:
        end(child)


@POSIX
def test_a_signal_during_the_start_ends_it_too(home: Home) -> None:
    child = home.daemon()
    try:
        while instance.read(home.state) is None:
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=20)
        assert "Traceback" not in said
        assert process.is_gone(home.state, 0)
    finally:
        end(child)


def test_after_a_kill_the_next_one_starts(home: Home, running: "subprocess.Popen[str]") -> None:
    running.kill()
    running.communicate()
    assert instance.read(home.state) is not None, "the note of the dead one"
    with pytest.raises(NotRunning):
        client.connect(home.state)
    second = home.daemon()
    try:
        until_ready(second)
        assert client.connect(home.state).status()["pid"] == second.pid
    finally:
        end(second)


def test_stopping_after_a_kill_clears_up(home: Home, running: "subprocess.Popen[str]") -> None:
    running.kill()
    running.communicate()
    assert process.stop(home.state) is False
    assert instance.read(home.state) is None


def test_one_state_folder_has_one_daemon(home: Home, running: "subprocess.Popen[str]") -> None:
    second = home.daemon()
    _, said = second.communicate(timeout=30)
    assert second.returncode == 4
    assert f"running already at http://127.0.0.1:{home.note()['port']}" in said
    assert "OLLAMA_BRIDGE_STATE" in said
    assert client.connect(home.state).status()["pid"] == running.pid


@POSIX
def test_a_daemon_that_hangs_is_ended(home: Home, running: "subprocess.Popen[str]") -> None:
    note = instance.read(home.state)
    assert note is not None
    running.send_signal(signal.SIGSTOP)
    reaper = threading.Thread(target=running.wait)
    reaper.start()
    with pytest.raises(NotRunning, match=r"did not answer within 0\.2 s"):
        client.Client(note, timeout=0.2).status()
    assert process.stop(home.state, timeout=0.2, patience=0.2)
    reaper.join(20)
    assert running.returncode == -signal.SIGKILL
    assert instance.read(home.state) is None


def test_stop_ends_no_other_process_with_the_same_number(home: Home) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        note = _note(pid=bystander.pid, create_time=1.0)
        process._end(note)
        assert bystander.poll() is None
    finally:
        bystander.communicate()


def _note(**fields: Any) -> instance.Instance:
    known = {"id": "i", "pid": 1, "create_time": 1.0, "host": "127.0.0.1", "port": 1}
    rest = {"token": "sk-hush", "version": "0", "config": "c"}
    return instance.Instance(**(known | rest | fields))


def test_the_notes_repr_hides_the_token() -> None:
    assert "hush" not in repr(_note())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:5"),
        ("", "http://127.0.0.1:5"),
        ("0.0.0.0", "http://127.0.0.1:5"),
        ("::", "http://[::1]:5"),
        ("::1", "http://[::1]:5"),
        ("box.lan", "http://box.lan:5"),
    ],
)
def test_addresses_for_clients(host: str, address: str) -> None:
    assert _note(host=host, port=5).address == address


# ports


class _Answering(BaseHTTPRequestHandler):
    """A server that answers /api/version with what the test put into its class."""

    body = b""
    headers_sent: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


def _other(body: bytes, **headers: str) -> HTTPServer:
    handler = type("Handler", (_Answering,), {"body": body, "headers_sent": headers})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b'{"version":"0.32.15"}', {}, "A real Ollama (0.32.15)"),
        (b'{"version":"1"}', {"X-Ollama-Bridge": "0.1.0"}, "Another Ollama Bridge (0.1.0)"),
        (b"<html>hello", {}, "Another program"),
        (b"[]", {}, "Another program"),
    ],
)
def test_a_taken_port_says_by_whom(body: bytes, headers: dict[str, str], said: str) -> None:
    server = _other(body, **headers)
    try:
        with pytest.raises(PortTaken) as caught:
            listening.listen("127.0.0.1", server.server_port)
        assert caught.value.message.startswith(said)
        assert f"127.0.0.1:{server.server_port}" in caught.value.message
        assert "--port" in caught.value.message
        assert caught.value.exit_code == 4
    finally:
        server.shutdown()
        server.server_close()


def test_a_silent_program_on_the_port_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match="Another program"):
            listening.listen("127.0.0.1", port)


def test_a_daemon_on_a_taken_port_exits_4(home: Home) -> None:
    server = _other(b'{"version":"0.32.15"}')
    try:
        child = home.daemon("--port", str(server.server_port))
        _, said = child.communicate(timeout=30)
        assert child.returncode == 4
        first, *steps = said.splitlines()
        assert first.startswith("error: A real Ollama (0.32.15)")
        assert steps[-1] == "  ollama-bridge start"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_both_loopback_addresses_listen(host: str) -> None:
    sockets = listening.listen(host, 0)
    try:
        names = [one.getsockname()[:2] for one in sockets]
        assert names == [("127.0.0.1", names[0][1]), ("::1", names[0][1])]
    finally:
        _close(sockets)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_half_a_loopback_is_none() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=r"\[::1\]"):
            listening.listen("127.0.0.1", port)
        socket.create_server(("127.0.0.1", port)).close()  # and the first half is free again


@pytest.mark.parametrize("host", ["", "0.0.0.0"])
def test_every_interface(host: str) -> None:
    sockets = listening.listen(host, 0)
    try:
        with socket.create_connection(("127.0.0.1", listening.port_of(sockets)), timeout=5):
            pass
    finally:
        _close(sockets)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="OLLAMA_HOST"):
        listening.listen(host, 0)


def test_a_client_that_comes_too_early_waits() -> None:
    sockets = listening.listen("127.0.0.1", 0)
    try:
        with socket.create_connection(
            ("127.0.0.1", listening.port_of(sockets)), timeout=5
        ) as early:
            early.sendall(b"GET / HTTP/1.1\r\n\r\n")  # nobody has accepted yet
    finally:
        _close(sockets)


# settings while it runs


def test_a_reload_takes_new_settings_and_keeps_old_ones_over_broken_ones(
    home: Home, running: "subprocess.Popen[str]"
) -> None:
    talk = client.connect(home.state)
    home.write('[aliases]\nfirst = "demo/demo"\n')
    talk.reload()
    assert "first:latest" in _names(talk)
    home.write("[aliases]\nsecond = 3\n")
    with pytest.raises(SettingsInvalid, match=r"aliases\.second: found 3"):
        talk.reload()
    assert "first:latest" in _names(talk)
    assert "aliases.second" in talk.status()["settings_error"]
    home.write('[aliases]\nsecond = "demo/demo"\n')
    talk.reload()
    assert talk.status()["settings_error"] is None
    assert "second:latest" in _names(talk)


def _names(talk: client.Client) -> set[str]:
    return {model["name"] for model in talk.tags()["models"]}


def test_broken_settings_stop_a_start(home: Home) -> None:
    home.write("port = 1")
    child = home.daemon()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 5
    assert said == (
        f"error: {home.config}: port: found an unknown key; "
        "allowed: aliases, default_provider, hidden, providers, server\n"
    )


def test_a_state_folder_that_cannot_be_is_one_sentence(home: Home) -> None:
    home.folder.joinpath("state").write_text("a file")
    child = home.daemon()
    _, said = child.communicate(timeout=30)
    assert child.returncode == 1
    assert said.startswith(f"error: the folder {home.state} cannot be made")


def test_the_demo_gets_its_address_from_the_daemon(
    home: Home, running: "subprocess.Popen[str]"
) -> None:
    (row,) = client.connect(home.state).status()["providers"]
    assert row["name"] == "demo"
    assert row["url"].startswith("http://127.0.0.1:")


# who may ask


def test_the_admin_api_wants_the_token(home: Home, running: "subprocess.Popen[str]") -> None:
    note = instance.read(home.state)
    assert note is not None
    stranger = client.Client(_note(id=note.id, port=note.port, token="wrong"))
    for call in (stranger.status, stranger.reload, stranger.shutdown):
        with pytest.raises(BridgeError, match="403"):
            call()
    assert client.connect(home.state).status()["pid"] == running.pid


# log, systemd


def test_the_log_is_one_line_a_record(home: Home, running: "subprocess.Popen[str]") -> None:
    talk = client.connect(home.state)
    with pytest.raises(BridgeError):
        talk.show("evil\nINFO ollama_bridge: forged")
    text = (home.state / "ollama-bridge.log").read_text()
    assert "listens on http://127.0.0.1" in text
    assert "\nINFO ollama_bridge: forged" not in text


def test_the_log_as_json(home: Home) -> None:
    child = home.daemon("--log-format", "json")
    try:
        until_ready(child)
        list(client.connect(home.state).chat(_HELLO))
        process.stop(home.state)
        child.communicate(timeout=20)
        lines = (home.state / "ollama-bridge.log").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert {"time", "level", "logger", "message"} <= set(records[0])
        (request,) = [record for record in records if record.get("route") == "POST /api/chat"]
        assert (request["status"], request["provider"]) == (200, "demo")
        assert "hush" not in json.dumps(records), "nothing of a talk is in the log"
    finally:
        end(child)


_HELLO = {"model": "demo", "messages": [{"role": "user", "content": "hush"}]}


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or sys.platform == "win32", reason="systemd")
def test_systemd_is_told(home: Home, tmp_path: Path) -> None:
    path = str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(30)
        child = home.daemon(NOTIFY_SOCKET=path)
        try:
            assert channel.recv(100) == b"READY=1"
            assert client.connect(home.state).status()["pid"] == child.pid
        finally:
            end(child)


def test_nobody_waits_for_a_notice() -> None:
    daemon.notify({}, "READY=1")
    if hasattr(socket, "AF_UNIX"):
        daemon.notify({"NOTIFY_SOCKET": "/nowhere/at/all"}, "READY=1")


# in the background


def test_start_and_stop_in_the_background(home: Home) -> None:
    talk = process.start(process.Start(port=0), 30, home.environ)
    try:
        note = talk.daemon
        assert note.port_flag == 0
        assert talk.status()["instance"] == note.id
        assert (home.state / process.BOOT_LOG).read_text() == "", "its log is in the file"
    finally:
        assert process.stop(home.state)
    assert process.is_gone(home.state, 0)
    assert process.stop(home.state) is False


def test_a_start_that_fails_tells_why(home: Home) -> None:
    home.write("port = 1")
    with pytest.raises(SettingsInvalid, match="port: found an unknown key"):
        process.start(process.Start(port=0), 30, home.environ)
    with socket.create_server(("127.0.0.1", 0)) as other:
        home.write("")
        with pytest.raises(PortTaken, match="Another program"):
            process.start(process.Start(port=other.getsockname()[1]), 30, home.environ)


def test_two_starts_at_once_make_one_daemon(home: Home) -> None:
    children = [home.daemon() for _ in range(2)]
    try:
        first_lines = {child: _line(child) for child in children}
        (loser,) = [child for child, line in first_lines.items() if line.startswith("error: ")]
        (winner,) = [child for child, line in first_lines.items() if "listens on" in line]
        assert loser.wait(20) == 4
        assert client.connect(home.state).status()["pid"] == winner.pid
    finally:
        for child in children:
            end(child)


def _line(child: "subprocess.Popen[str]") -> str:
    assert child.stderr is not None
    return child.stderr.readline()


def test_no_module_of_the_home_folder_stands_in_for_ours(home: Home) -> None:
    home.folder.joinpath("uvicorn.py").write_text("raise SystemExit(9)")
    talk = process.start(process.Start(port=0), 30, home.environ)
    try:
        assert talk.status()["version"]
    finally:
        process.stop(home.state)
