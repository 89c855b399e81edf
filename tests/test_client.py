"""The front ends' client, against a stand-in for the daemon."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ollama_bridge import client, files, instance
from ollama_bridge.errors import BridgeError, ModelNotFound, NotRunning, SettingsInvalid

TOKEN = "token-of-the-note"


class StandIn(ThreadingHTTPServer):
    """Answers each path with the status and body a test gives it, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hung_up = threading.Event()
        self.go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, text = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        self.end_headers()
        if text == b"endless":
            self._until_hung_up()
        else:
            self.wfile.write(text)

    def _until_hung_up(self) -> None:
        try:
            while True:
                self.wfile.write(b'{"message":{"content":"and "},"done":false}\n' * 100)
        except OSError:
            self.server.hung_up.set()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def daemon() -> Iterator[StandIn]:
    server = StandIn()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def note(port: int, **fields: Any) -> instance.Instance:
    known = {"id": "mine", "pid": 1, "create_time": 1.0, "host": "127.0.0.1", "port": port}
    rest = {"token": TOKEN, "version": "0", "config": "c"}
    return instance.Instance(**(known | rest | fields))


@pytest.fixture
def talk(daemon: StandIn) -> client.Client:
    return client.Client(note(daemon.server_port), timeout=10)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def answer(daemon: StandIn, path: str, value: Any, status: int = 200) -> None:
    daemon.answers[path] = (status, json.dumps(value).encode())


# what is sent


def test_calls_and_their_requests(daemon: StandIn, talk: client.Client) -> None:
    answer(daemon, "/_bridge/status", {"instance": "mine"})
    answer(daemon, "/_bridge/reload", {"ok": True})
    answer(daemon, "/_bridge/shutdown", {"ok": True})
    answer(daemon, "/api/tags", {"models": []})
    answer(daemon, "/api/show", {"details": {}})
    assert talk.status() == {"instance": "mine"}
    assert talk.reload() == {"ok": True}
    talk.shutdown()
    assert talk.tags() == {"models": []}
    assert talk.show("m") == {"details": {}}
    assert [(method, path) for method, path, _, _ in daemon.asked] == [
        ("GET", "/_bridge/status"),
        ("POST", "/_bridge/reload"),
        ("POST", "/_bridge/shutdown"),
        ("GET", "/api/tags"),
        ("POST", "/api/show"),
    ]
    assert json.loads(daemon.asked[-1][3]) == {"model": "m"}
    for _, _, headers, _ in daemon.asked:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Host"] == "localhost", "what our own routes demand"


def test_where_a_model_comes_from(daemon: StandIn, talk: client.Client) -> None:
    answer(daemon, "/api/show", {"model_info": {"bridge.targets": ["lab/m", "groq/m"]}})
    assert talk.origin("m") == "lab/m"
    assert json.loads(daemon.asked[-1][3]) == {"model": "m", "verbose": True}


def test_proxies_are_not_for_local_daemons(
    daemon: StandIn, talk: client.Client, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    answer(daemon, "/api/tags", {"models": []})
    assert talk.tags() == {"models": []}


# streams


def test_a_stream_is_lines(daemon: StandIn, talk: client.Client) -> None:
    lines = [{"message": {"content": "é"}, "done": False}, {"done": True}]
    daemon.answers["/api/chat"] = (200, "".join(f"{json.dumps(one)}\n" for one in lines).encode())
    assert list(talk.chat({"model": "m"})) == lines


def test_an_error_in_a_stream_is_raised_after_what_came_before(
    daemon: StandIn, talk: client.Client
) -> None:
    daemon.answers["/api/chat"] = (200, b'{"done":false}\n{"error":"it broke"}\n')
    stream = talk.chat({"model": "m"})
    assert next(stream) == {"done": False}
    with pytest.raises(BridgeError, match="it broke"):
        next(stream)


def test_leaving_a_stream_hangs_up(daemon: StandIn, talk: client.Client) -> None:
    daemon.answers["/api/chat"] = (200, b"endless")
    stream = talk.chat({"model": "m"})
    assert next(stream)["done"] is False
    stream.close()
    assert daemon.hung_up.wait(20)


def test_a_refused_stream_is_an_error(daemon: StandIn, talk: client.Client) -> None:
    answer(daemon, "/api/chat", {"error": "model 'x' not found"}, 404)
    with pytest.raises(ModelNotFound, match="model 'x' not found"):
        next(talk.chat({"model": "x"}))


# failures


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, b'{"error":"model \'x\' not found"}', ModelNotFound, "model 'x' not found"),
        (500, b'{"error":"it broke"}', BridgeError, "it broke"),
        (502, b"<html>", BridgeError, "answered /api/show with status 502"),
        (403, b"", BridgeError, "answered /api/show with status 403"),
        (500, b"[]", BridgeError, "status 500"),
        (200, b"not json", BridgeError, "not JSON"),
    ],
)
def test_failures_become_our_errors(
    daemon: StandIn,
    talk: client.Client,
    status: int,
    body: bytes,
    kind: type[BridgeError],
    said: str,
) -> None:
    daemon.answers["/api/show"] = (status, body)
    with pytest.raises(kind) as caught:
        talk.show("x")
    assert said in caught.value.message
    assert TOKEN not in caught.value.message


def test_a_refused_reload_is_about_settings(daemon: StandIn, talk: client.Client) -> None:
    answer(daemon, "/_bridge/reload", {"error": "c: port: found"}, 500)
    with pytest.raises(SettingsInvalid, match="c: port: found"):
        talk.reload()


def test_nobody_there(free_port: int) -> None:
    talk = client.Client(note(free_port))
    for call in (talk.status, talk.reload, talk.tags, lambda: next(talk.chat({}))):
        with pytest.raises(NotRunning, match="ollama-bridge start") as caught:
            call()
        assert caught.value.exit_code == 3


# finding the daemon


def test_the_daemon_of_the_note(daemon: StandIn, tmp_path: Path) -> None:
    instance.write(tmp_path, note(daemon.server_port))
    answer(daemon, "/_bridge/status", {"instance": "mine"})
    assert client.connect(tmp_path).daemon.id == "mine"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b'{"instance":"another"}'), (404, b"404 page not found"), (403, b""), (200, b"hello")],
)
def test_another_program_on_the_port_is_not_ours(
    daemon: StandIn, tmp_path: Path, status: int, body: bytes
) -> None:
    instance.write(tmp_path, note(daemon.server_port))
    daemon.answers["/_bridge/status"] = (status, body)
    with pytest.raises(NotRunning):
        client.connect(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"id": "x"}', '{"unknown": 1}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    files.replace(tmp_path / instance.NAME, text)
    assert instance.read(tmp_path) is None
    with pytest.raises(NotRunning):
        client.connect(tmp_path)


def test_no_folder_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        client.connect(tmp_path / "nowhere")


def test_waiting_ends_when_the_daemon_answers(daemon: StandIn, tmp_path: Path) -> None:
    answer(daemon, "/_bridge/status", {"instance": "mine"})
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            instance.write(tmp_path, note(daemon.server_port))

    found = client.wait_ready(tmp_path, "mine", 30, lambda: True, pause)
    assert found.daemon.id == "mine"
    assert len(pauses) == 3


def test_waiting_is_not_fooled_by_another_instance(daemon: StandIn, tmp_path: Path) -> None:
    answer(daemon, "/_bridge/status", {"instance": "mine"})
    instance.write(tmp_path, note(daemon.server_port))
    with pytest.raises(NotRunning, match=r"within 0\.05 s"):
        client.wait_ready(tmp_path, "other", 0.05, lambda: True)


def test_waiting_ends_with_the_process(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="ended before it answered"):
        client.wait_ready(tmp_path, "mine", 30, lambda: False)
