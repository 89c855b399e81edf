"""Faults of the daemon's own ground: its end, its disk, its files, its clock."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import leaks
import pytest
from bridges import NoKeys
from daemons import Home, end, until_ready
from fake_upstream import Call, FakeUpstream
from servers import served

from faults import table
from ollama_bridge import log
from ollama_bridge.config import Config
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server.app import build

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

BOUND = 30.0
HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TABLE = table.Table(
    "The daemon's own faults",
    "Each happens while a stream is under way, after its first *word*. New requests come on a new "
    "connection.",
    ("fault",),
    ("the stream", "a new request", "the log"),
)
HOUR = 3600.0


class Held:
    """A provider that says a word and goes on when it is let."""

    def __init__(self) -> None:
        self.free = False

    async def act(self, call: Call) -> None:
        import asyncio

        await call.start()
        await call.text("word ")
        while not self.free and not call.gone.is_set():
            await asyncio.sleep(0.01)
        await call.text("end", finish="stop")
        await call.write("data: [DONE]\n\n", more=False)


class Ground(NamedTuple):
    """A running daemon before its provider."""

    child: Any
    home: Home
    held: Held
    url: str

    def listed(self) -> bool:
        """Whether the provider's list has been read."""
        token = {"authorization": f"Bearer {self.home.note()['token']}"}
        reply = httpx.get(f"{self.url}/_bridge/status", headers=token, trust_env=False, timeout=30)
        return reply.json()["providers"][0]["models"] is not None

    def log(self) -> str:
        return (self.home.state / "ollama-bridge.log").read_text()


@pytest.fixture
def ground(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The parameter tells how many seconds a stop waits."""
    held = Held()
    home = Home(tmp_path)
    with served(FakeUpstream(held.act)) as url:
        home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nmodels = ["m"]\nretries = 0\n')
        child = home.daemon("--finish", str(getattr(request, "param", 8)))
        try:
            until_ready(child)
            yield Ground(child, home, held, f"http://127.0.0.1:{home.note()['port']}")
        finally:
            end(child)


def during(url: str, fault: Callable[[], None]) -> str:
    """What a stream says in whose middle something happens."""
    with (
        httpx.Client(timeout=BOUND, trust_env=False) as client,
        client.stream("POST", f"{url}/api/chat", json=HELLO) as reply,
    ):
        lines = reply.iter_lines()
        said = [json.loads(next(lines))]
        fault()
        said += [json.loads(line) for line in lines]
    last = said[-1]
    if "error" in last:
        return table.cell(f"*word*, then error: {last['error']}")
    assert last["done"] is True
    assert 0 < last["total_duration"] < 60e9, "a duration was taken from the clock on the wall"
    return "complete"


def asked(url: str, client: httpx.Client | None = None) -> str:
    """What a new request gets."""
    try:
        with contextlib.nullcontext(client) if client else _client() as one:
            reply = one.post(f"{url}/api/chat", json=HELLO)
    except httpx.ConnectError:
        return "refused by the system"
    if reply.status_code != 200:
        return table.cell(f"{reply.status_code}: {reply.json()['error']}")
    assert b'"done":true' in reply.content
    return "complete"


def _client() -> httpx.Client:
    return httpx.Client(timeout=BOUND, trust_env=False)


def see(fault: str, stream: str, new: str, log: str) -> None:
    for column, said in zip(TABLE.columns, (stream, new, log), strict=True):
        TABLE.see((fault,), column, said)


def told(ground: Ground, words: str) -> str:
    _until(lambda: words in ground.log())
    return words


@pytest.mark.parametrize("ground", [60], indirect=True)
def test_a_stop_with_time_enough(ground: Ground) -> None:
    new = ""

    def stop() -> None:
        nonlocal new
        ground.child.send_signal(signal.SIGTERM)
        told(ground, "stopping: 1 answers have 60 s to be complete")
        _until(lambda: asked_nothing(ground.url))
        new = asked(ground.url)
        ground.held.free = True

    stream = during(ground.url, stop)
    assert ground.child.wait(BOUND) == 0
    see("SIGTERM, and the answer ends in time", stream, new, told(ground, "stopping: 1 answers"))


@pytest.mark.parametrize("ground", [0.5], indirect=True)
def test_a_stop_without(ground: Ground) -> None:
    began = time.monotonic()
    stream = during(ground.url, lambda: ground.child.send_signal(signal.SIGTERM))
    assert ground.child.wait(BOUND) == 0
    assert time.monotonic() - began < BOUND
    log = told(ground, "1 answers were cut off, with an error as their end")
    see("SIGTERM, and it does not", stream, asked(ground.url), log)


def test_no_more_files(ground: Ground) -> None:
    import resource

    if not hasattr(resource, "prlimit"):  # macOS has none for another process
        return
    _until(ground.listed)  # else its connection may be there for the new request
    old = resource.prlimit(ground.child.pid, resource.RLIMIT_NOFILE)
    new = ""

    def take() -> None:
        nonlocal new
        with httpx.Client(timeout=BOUND, trust_env=False) as client:
            assert client.get(f"{ground.url}/api/version").status_code == 200  # it is connected
            used = {int(file.name) for file in Path(f"/proc/{ground.child.pid}/fd").iterdir()}
            free = next(number for number in range(len(used) + 1) if number not in used)
            resource.prlimit(ground.child.pid, resource.RLIMIT_NOFILE, (free, old[1]))
            new = asked(ground.url, client)
            resource.prlimit(ground.child.pid, resource.RLIMIT_NOFILE, old)
        ground.held.free = True

    stream = during(ground.url, take)
    assert asked(ground.url) == "complete"
    see("no more files may be opened", stream, _plain(new), told(ground, "Too many open files"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /dev/full")
def test_a_full_disk(tmp_path: Path) -> None:
    held = Held()
    home = Home(tmp_path)
    home.state.mkdir()
    (home.state / "ollama-bridge.log").symlink_to("/dev/full")
    with served(FakeUpstream(held.act)) as url:
        home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nmodels = ["m"]\nretries = 0\n')
        child = home.daemon()
        try:
            until_ready(child)
            address = f"http://127.0.0.1:{home.note()['port']}"

            def free() -> None:
                held.free = True

            stream = during(address, free)
            see("a full disk", stream, asked(address), "*nothing: it has no room*")
        finally:
            end(child)


@pytest.mark.parametrize("way", ["pipe", "openpty"])  # by name: Windows has only one
def test_nobody_reads_what_it_says(way: str, tmp_path: Path) -> None:
    """A supervisor that opened a pipe and forgot it, a terminal whose window hangs."""
    held = Held()
    home = Home(tmp_path)
    ours, theirs = getattr(os, way)()
    with served(FakeUpstream(held.act)) as url:
        home.write(f'[providers.lab]\nbase_url = "{url}/v1"\nmodels = ["m"]\nretries = 0\n')
        child = home.unheard(theirs)
        try:
            _until((home.state / "daemon.json").exists)
            address = f"http://127.0.0.1:{home.note()['port']}"

            def say_much() -> None:
                name = "none" * 500
                with _client() as client:
                    for _ in range(2 * log.UNREAD // len(name)):
                        client.post(f"{address}/api/show", json={"model": name})
                held.free = True

            stream = during(address, say_much)
            new = asked(address)
            ground = Ground(child, home, held, address)
            _until(lambda: ground.log().count("route=POST /api/chat") == 2)
            heard = _read(ours, lambda said: said.count(b"/api/show") > 100)
            assert asked(address) == "complete"
            heard += _read(ours, lambda said: b"route=POST /api/chat" in said)
            leaks.see("standard error of a daemon", heard)
            said = heard.splitlines()
            notices = [line for line in said if b"lines left out" in line]
            left_out = re.fullmatch(
                rb"\((\d+) lines left out: nobody read them in time\)", notices[0]
            )
            assert left_out
            assert len(notices) == 1
            assert len(said) - 1 + int(left_out[1]) == len(ground.log().splitlines())
            see("nobody reads standard error", stream, new, "*every line is in the file*")
        finally:
            end(child)
            os.close(ours)


def _read(file: int, is_enough: Callable[[bytes], bool]) -> bytes:
    """What comes, until it is enough and no more comes for a moment."""
    said = b""
    while select.select([file], [], [], 0.5 if is_enough(said) else BOUND)[0]:
        said += os.read(file, 65536)
    assert is_enough(said)
    return said


@pytest.mark.parametrize("hours", [5, -5], ids=["forth", "back"])
def test_the_clock_jumps(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the wall only dates lines: limits, pauses and durations go by another."""
    jumped = 0.0
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jumped)
    held = Held()
    with ExitStack() as stack:
        url = stack.enter_context(served(FakeUpstream(held.act)))
        lab = Provider(name="lab", url=f"{url}/v1", models=("m",), retries=0, idle_timeout=20)
        config = Config(path=Path("none"), providers={"lab": lab}, default_provider="lab")
        app = build(config, keys=NoKeys(), clock=lambda: int((real() + jumped) * 1e9))
        bridge = stack.enter_context(served(app))

        def jump() -> None:
            nonlocal jumped
            jumped = hours * HOUR
            held.free = True

        stream = during(bridge, jump)
        new = asked(bridge)
        assert not app.bridge.lane(lab).is_open()
        times = [fields["total_ms"] for fields in app.journal.recent]
        assert all(0 <= told < 60_000 for told in times)
        log = "durations by the other clock"
        way = "forth" if hours > 0 else "back"
        see(f"the clock goes {way} by hours", stream, new, log)


ORDER = [
    *("SIGTERM, and the answer ends in time", "SIGTERM, and it does not"),
    *("no more files may be opened", "a full disk", "nobody reads standard error"),
    *("the clock goes forth by hours", "the clock goes back by hours"),
]


def test_no_cell_is_empty() -> None:
    seen = TABLE.told()
    assert list(seen) == [(name,) for name in ORDER]
    assert all(cell for line in seen.values() for cell in line.values())


@pytest.fixture(scope="module", autouse=True)
def _written() -> Iterator[None]:
    yield
    if table.RENEW:
        table.put(TABLE, [(name,) for name in ORDER])


def asked_nothing(url: str) -> bool:
    """Whether nobody listens there any more."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) != 0


def _plain(said: str) -> str:
    import re

    return re.sub(r"127\.0\.0\.1:\d+", "HOST", said)


def _until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)
