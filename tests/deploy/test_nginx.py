"""Two copies behind a real nginx, with the example's own configuration."""

import base64
import concurrent.futures
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from daemons import Home, end, until, until_ready
from fake_upstream import Act, Call, FakeUpstream
from servers import served

from ollama_bridge import client

pytestmark = pytest.mark.nginx

EXAMPLE = Path(__file__).parents[2] / "packaging/nginx/ollama-bridge.conf"
WRAPPER = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/ollama-bridge.conf;
}}
"""
TURNS = [{"role": "user", "content": "hi"}]


def program() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that nginx's own user can look into."""
    made = Path(tempfile.mkdtemp(prefix="nginx-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def configure(folder: Path, text: str) -> list[str]:
    """The command that runs nginx with this example."""
    (folder / "ollama-bridge.conf").write_text(text)
    (folder / "nginx.conf").write_text(WRAPPER.format(folder=folder))
    return [program(), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def test_nginx_takes_the_example_as_it_stands(folder: Path) -> None:
    done = subprocess.run(
        [*configure(folder, EXAMPLE.read_text()), "-t"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def users() -> str:
    """As the example's text tells: nginx's own user is named, where it is another."""
    if os.geteuid() != 0:
        return '["me"]'
    compiled = subprocess.run([program(), "-V"], capture_output=True, text=True, check=True).stderr
    named = re.search(r"--user=(\S+)", compiled)
    nginx = named[1] if named else "nobody"
    pwd.getpwnam(nginx)
    return f'["me", "{nginx}"]'


class Site:
    """nginx, two copies, and the service behind them."""

    def __init__(self, stack: ExitStack, folder: Path, act: Act, settings: str) -> None:
        self.upstream = FakeUpstream(act, models=("m", "n"))
        url = stack.enter_context(served(self.upstream))
        self._stack = stack
        self.homes: list[Home] = []
        self.ports = [free_port(), free_port()]
        self.copies: list[subprocess.Popen[str]] = []
        for number, _ in enumerate(self.ports):
            home = Home(folder / f"copy{number}")
            home.folder.mkdir(mode=0o700)
            home.write(
                f"[server]\nbehind_balancer = true\nusers = {users()}\n{settings}\n"
                f'[providers.fake]\nbase_url = "{url}/v1"\nkey = "none"\nretries = 0\n'
                '[aliases.mine]\ntarget = "m"\nsystem = "Be brief."\n'
            )
            self.homes.append(home)
            self.copies.append(self.begin(number))
        self.port = free_port()
        text = EXAMPLE.read_text()
        for line, port in zip(("10.0.0.11:11434", "10.0.0.12:11434"), self.ports, strict=True):
            assert text.count(line) == 1
            text = text.replace(line, f"127.0.0.1:{port}")
        assert text.count("listen 11434;") == 1
        text = text.replace("listen 11434;", f"listen 127.0.0.1:{self.port};")
        self.nginx = subprocess.Popen(configure(folder, text))
        stack.callback(self.nginx.wait)
        stack.callback(self.nginx.terminate)
        self.url = f"http://127.0.0.1:{self.port}"
        until(lambda: is_up(self.port))

    def begin(self, number: int) -> "subprocess.Popen[str]":
        child = self.homes[number].daemon("--port", str(self.ports[number]))
        self._stack.callback(end, child)
        until_ready(child)
        assert child.stderr is not None
        threading.Thread(target=child.stderr.read, daemon=True).start()
        return child

    def counts(self) -> list[int]:
        """Requests that each copy has had."""
        return [client.connect(home.state).status()["requests"] for home in self.homes]

    def many(self, ask: Callable[[], Any], number: int = 40) -> list[Any]:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: ask(), range(number)))

    def chat(self, **fields: Any) -> httpx.Response:
        body = {"model": "m", "messages": TURNS, "stream": False} | fields
        return httpx.post(f"{self.url}/api/chat", json=body, timeout=60)


def is_up(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


async def answers(call: Call) -> None:
    choice = {"index": 0, "message": {"content": "one two"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    await call.json({"id": "c", "created": 1, "choices": [choice], "usage": usage})


@pytest.fixture
def site(folder: Path) -> Iterator[Callable[..., Site]]:
    program()
    with ExitStack() as stack:
        yield lambda act=answers, settings="": Site(stack, folder, act, settings)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/chat", {}),
        ("/v1/chat/completions", {"stream": True}),
        ("/v1/messages", {"stream": True, "max_tokens": 50}),
    ],
)
def test_a_stream_comes_piece_by_piece(
    site: Callable[..., Site], path: str, fields: dict[str, Any]
) -> None:
    """Each piece is written only when the one before it has been read at the other end."""
    seen = threading.Semaphore(0)
    words = [f"word{number}" for number in range(12)]

    async def act(call: Call) -> None:
        import asyncio

        await call.start()
        for word in words:
            await call.text(f"{word} ")
            while not seen.acquire(blocking=False):
                await asyncio.sleep(0.002)
        await call.text("", "stop")
        await call.write("data: [DONE]\n\n", more=False)

    one = site(act)
    body = {"model": "m", "messages": TURNS} | fields
    left = list(words)
    with httpx.stream("POST", f"{one.url}{path}", json=body, timeout=60) as reply:
        assert reply.status_code == 200
        for text in reply.iter_text():
            while left and left[0] in text:
                del left[0]
                seen.release()
    assert left == []


def test_both_answer_and_list_the_same(site: Callable[..., Site]) -> None:
    one = site()
    for home in one.homes:
        until(lambda: client.connect(home.state).status()["models"] == 3)  # noqa: B023
    assert one.chat(model="mine", keep_alive="1h").status_code == 200
    for path, body in (
        ("/api/tags", None),
        ("/api/ps", None),
        ("/api/version", None),
        ("/", None),
        ("/v1/models", None),
        ("/api/show", {"model": "mine"}),
        ("/api/show", {"model": "nobody"}),
    ):
        before = one.counts()
        method = "GET" if body is None else "POST"
        replies = one.many(lambda: httpx.request(method, f"{one.url}{path}", json=body))  # noqa: B023
        told = {(reply.status_code, reply.content) for reply in replies}
        assert len(told) == 1, (path, told)
        after = one.counts()
        assert all(now > then for now, then in zip(after, before, strict=True)), path


def test_when_one_is_killed_the_other_goes_on(site: Callable[..., Site]) -> None:
    hold = threading.Event()

    async def act(call: Call) -> None:
        import asyncio

        if not call.body.get("stream"):
            await answers(call)
            return
        await call.start()
        await call.text("begun")
        while not hold.is_set():
            await asyncio.sleep(0.01)

    one = site(act)
    replies = one.many(one.chat)
    assert {reply.status_code for reply in replies} == {200}
    assert min(one.counts()) > 0, "both are asked"

    body = {"model": "m", "messages": TURNS}
    with httpx.stream("POST", f"{one.url}/api/chat", json=body, timeout=60) as reply:
        pieces = reply.iter_raw()
        assert b"begun" in next(pieces)
        (busy,) = [
            i for i, home in enumerate(one.homes) if client.connect(home.state).status()["active"]
        ]
        one.copies[busy].send_signal(signal.SIGKILL)
        one.copies[busy].wait()
        with pytest.raises(httpx.RemoteProtocolError):  # a cut answer never looks finished
            list(pieces)
        replies = one.many(one.chat, 60)
        assert {reply.status_code for reply in replies} == {200}, "no request is lost"
    hold.set()
    one.copies[busy] = one.begin(busy)

    def is_back() -> bool:
        one.chat()
        return client.connect(one.homes[busy].state).status()["requests"] > 0

    until(is_back)


def test_a_copy_that_is_stopped_finishes_and_the_other_takes_over(
    site: Callable[..., Site],
) -> None:
    go_on = threading.Event()

    async def act(call: Call) -> None:
        import asyncio

        if not call.body.get("stream"):
            await answers(call)
            return
        await call.start()
        await call.text("half ")
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        await call.text("whole", "stop")
        await call.write("data: [DONE]\n\n", more=False)

    one = site(act)
    body = {"model": "m", "messages": TURNS}
    with httpx.stream("POST", f"{one.url}/api/chat", json=body, timeout=60) as reply:
        lines = reply.iter_lines()
        assert json.loads(next(lines))["message"]["content"] == "half "
        (busy,) = [
            i for i, home in enumerate(one.homes) if client.connect(home.state).status()["active"]
        ]
        one.copies[busy].send_signal(signal.SIGTERM)
        until(lambda: not is_up(one.ports[busy]))
        assert {reply.status_code for reply in one.many(one.chat)} == {200}
        go_on.set()
        rest = [json.loads(line) for line in lines]
    assert rest[0]["message"]["content"] == "whole"
    assert rest[-1]["done"] is True
    assert one.copies[busy].wait(20) == 0


def test_large_bodies_pass(site: Callable[..., Site]) -> None:
    one = site()
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + os.urandom(20_000_000)).decode()
    turn = {"role": "user", "content": "what is it?", "images": [picture]}
    assert one.chat(messages=[turn]).status_code == 200
    (call,) = one.upstream.calls
    assert picture in json.dumps(call.body)


def test_the_copies_own_routes_are_not_for_the_outside(site: Callable[..., Site]) -> None:
    one = site()
    token = one.homes[0].note()["token"]
    reply = httpx.get(f"{one.url}/_bridge/status", headers={"authorization": f"Bearer {token}"})
    assert (reply.status_code, "x-ollama-bridge" in reply.headers) == (404, False)


def test_foreign_pages_are_refused(site: Callable[..., Site]) -> None:
    one = site()
    reply = httpx.get(f"{one.url}/api/tags", headers={"origin": "https://evil.example"})
    assert reply.status_code == 403


def test_a_client_that_leaves_ends_the_request_behind_it(site: Callable[..., Site]) -> None:
    async def act(call: Call) -> None:
        await call.start()
        await call.text("begun")
        await call.gone.wait()

    one = site(act)
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    connection.request("POST", "/api/chat", json.dumps({"model": "m", "messages": TURNS}))
    assert b"begun" in connection.getresponse().readline()
    connection.close()
    until(one.upstream.hung_up.is_set)
