"""Several processes at one port: they answer as one, and one that ends is replaced."""

import asyncio
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from daemons import Home, end, until, until_ready
from fake_upstream import Act, Call, FakeUpstream
from servers import served

from ollama_bridge import client, instance, process, workers
from ollama_bridge.errors import BridgeError, SettingsInvalid
from ollama_bridge.server import summing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets are handed over")

COUNT = 2
HELLO = [{"role": "user", "content": "hi"}]
PRICED = {"id": "m", "pricing": {"prompt": "0.000001", "completion": "0.000001"}}


class Team:
    """A daemon with several workers, before a fake upstream; every request is a new connection."""

    def __init__(self, stack: ExitStack, folder: Path, act: Act | None, settings: str) -> None:
        self.home = Home(folder)
        self.upstream = FakeUpstream(act or answers, models=(PRICED, "other"))
        url = stack.enter_context(served(self.upstream))
        self.home.write(f'[providers.fake]\nbase_url = "{url}/v1"\nkey = "none"\n{settings}\n')
        self.process = self.home.daemon("--workers", str(COUNT))
        stack.callback(end, self.process)
        until_ready(self.process)
        self.drain()
        self.port = self.home.note()["port"]
        until(lambda: self.get("/api/tags")[1].count(b'"digest"') >= 2)
        until(lambda: len(self.pids()) == COUNT)

    def drain(self) -> None:
        """Read on what the daemon prints, so that it never waits for us."""
        assert self.process.stderr is not None
        reading = threading.Thread(target=self.process.stderr.read, daemon=True)
        reading.start()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        return self.ask("GET", path)

    def chat(self, **fields: Any) -> tuple[int, Any]:
        body = {"model": "m", "messages": HELLO, "stream": False} | fields
        status, said = self.ask("POST", "/api/chat", body)
        return status, json.loads(said)

    def status(self) -> dict[str, Any]:
        return client.connect(self.home.state, 60).status()

    def pids(self) -> set[int]:
        return {row["pid"] for row in self.status()["workers"]}

    def everybody(self, ask: Callable[[], Any]) -> list[Any]:
        """The answers of all workers: asked anew until each has answered some of them."""
        before = {row["pid"]: row["requests"] for row in self.status()["workers"]}
        found = []
        for _ in range(50):
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                found += list(pool.map(lambda _: ask(), range(24)))
            after = {row["pid"]: row["requests"] for row in self.status()["workers"]}
            if all(after.get(pid, 0) > number for pid, number in before.items()):
                return found
        raise AssertionError("a worker is never asked")


async def answers(call: Call) -> None:
    if call.body.get("stream"):
        await call.start()
        await call.text("one two", "stop")
        await call.write("data: [DONE]\n\n", more=False)
        return
    choice = {"index": 0, "message": {"content": "one two"}, "finish_reason": "stop"}
    await call.json({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 10}})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One for the tests that leave it as it is."""
    settings = '[aliases.mine]\ntarget = "fake/m"\nsystem = "Be brief."'
    with ExitStack() as stack:
        yield Team(stack, tmp_path_factory.mktemp("team"), None, settings)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Callable[..., Team]]:
    with ExitStack() as stack:
        yield lambda act=None, settings="": Team(stack, tmp_path, act, settings)


# as one


def test_one_note_one_log_one_lock(shared: Team) -> None:
    one = shared
    note = one.home.note()
    status = one.status()
    assert note["pid"] == status["pid"] == one.process.pid
    assert note["workers"] == len(status["workers"]) == COUNT
    assert not process.is_gone(one.home.state, 0)
    one.everybody(one.chat)
    status = one.status()
    assert status["requests"] == sum(row["requests"] for row in status["workers"])
    time.sleep(0.5)  # lines about requests gather for a moment
    lines = (one.home.state / "ollama-bridge.log").read_text().splitlines()
    assert all(
        re.match(r"\d{4}-\d\d-\d\dT\S+ (INFO|WARNING) ollama_bridge", line) for line in lines
    )
    ids = re.findall(r" id=(\S+) ", "\n".join(lines))
    assert len(ids) == len(set(ids)) >= len(one.upstream.calls)
    asked = client.connect(one.home.state, 60).requests()["recent"]
    assert {row["id"] for row in asked} <= set(ids)


READS: list[tuple[str, str, Any]] = [
    ("GET", "/", None),
    ("GET", "/api/version", None),
    ("GET", "/api/tags", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/m", None),
    ("POST", "/api/show", {"model": "m"}),
    ("POST", "/api/show", {"model": "mine"}),
    ("POST", "/api/show", {"model": "nobody"}),
    ("GET", "/api/ps", None),
]


def test_every_worker_says_the_same(shared: Team) -> None:
    one = shared
    assert one.chat(model="mine", keep_alive="1h")[0] == 200
    assert one.chat(model="other", keep_alive="2h")[0] == 200
    for method, path, body in READS:
        answers = one.everybody(lambda: one.ask(method, path, body))  # noqa: B023 - used at once
        assert len(set(answers)) == 1, (path, set(answers))
    names = [row["name"] for row in json.loads(one.get("/api/ps")[1])["models"]]
    assert names[:2] == ["other:latest", "mine:latest"]


def test_a_model_that_is_unloaded_is_so_everywhere(shared: Team) -> None:
    one = shared
    one.everybody(one.chat)
    assert json.loads(one.get("/api/ps")[1])["models"]
    one.ask("POST", "/api/generate", {"model": "m", "keep_alive": 0})
    until(lambda: b'"m:latest"' not in one.get("/api/ps")[1])


def test_a_reload_reaches_all(team: Callable[..., Team]) -> None:
    one = team()
    text = one.home.config.read_text()
    one.home.write(f'{text}[aliases]\nfresh = "fake/m"\n')
    client.connect(one.home.state, 60).reload()
    assert {status for status, _ in one.everybody(lambda: one.chat(model="fresh"))} == {200}
    one.home.write("port = 1\n")
    with pytest.raises(SettingsInvalid):
        client.connect(one.home.state, 60).reload()
    assert "port" in one.status()["settings_error"]
    assert {status for status, _ in one.everybody(lambda: one.chat(model="fresh"))} == {200}


def test_a_name_that_is_made_is_there_everywhere_at_once(shared: Team) -> None:
    one = shared
    for number in range(8):
        copied = {"source": "m", "destination": f"copy{number}"}
        assert one.ask("POST", "/api/copy", copied)[0] == 200
        assert one.chat(model=f"copy{number}")[0] == 200
        assert one.ask("DELETE", "/api/delete", {"model": f"copy{number}"})[0] == 200
        assert one.chat(model=f"copy{number}")[0] == 404


def test_a_file_that_is_uploaded_is_known_everywhere(shared: Team) -> None:
    import hashlib

    one = shared
    content = '"a text"'
    digest = hashlib.sha256(content.encode()).hexdigest()
    assert one.ask("POST", f"/api/blobs/sha256:{digest}", "a text")[0] == 201
    found = one.everybody(lambda: one.ask("HEAD", f"/api/blobs/sha256:{digest}")[0])
    assert set(found) == {200}


def test_what_one_is_taught_all_know(team: Callable[..., Team]) -> None:
    async def act(call: Call) -> None:
        if "max_tokens" in call.body:
            message = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead."
            )
            await call.json({"error": {"message": message, "param": "max_tokens"}}, 400)
            return
        await answers(call)

    one = team(act)
    assert one.chat(options={"num_predict": 5})[0] == 200
    until(lambda: all(worker_knows(one)))
    before = len([call for call in one.upstream.calls if "max_tokens" in call.body])
    one.everybody(lambda: one.chat(options={"num_predict": 5}))
    refused = len([call for call in one.upstream.calls if "max_tokens" in call.body])
    assert (before, refused) == (1, 1)


def worker_knows(one: Team) -> Iterator[bool]:
    yield bool(one.status()["learned"])


def test_thoughts_behind_calls_are_known_to_whoever_gets_the_result(
    team: Callable[..., Team],
) -> None:
    """A service that refuses a tool's result without the thoughts that led to the call."""

    async def act(call: Call) -> None:
        last = call.body["messages"][-1]
        if last["role"] != "tool":
            number = last["content"]
            function = {"name": "look", "arguments": json.dumps({"at": number})}
            tool = {"id": f"call_{number}", "type": "function", "function": function}
            message = {"content": "", "reasoning_content": f"secret {number}", "tool_calls": [tool]}
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            await call.json({"choices": [choice], "usage": {"prompt_tokens": 1}})
            return
        if not call.body["messages"][-2].get("reasoning_content"):
            await call.json({"error": {"message": "Missing reasoning_content"}}, 400)
            return
        await answers(call)

    one = team(act)
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]

    def talk(number: int) -> int:
        first = [{"role": "user", "content": str(number)}]
        status, said = one.chat(messages=first, tools=tools)
        assert status == 200
        calls = [{"function": call["function"]} for call in said["message"]["tool_calls"]]
        turns = [
            *first,
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "seen", "tool_name": "look"},
        ]
        return one.chat(messages=turns, tools=tools)[0]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert set(pool.map(talk, range(48))) == {200}
    seen = [
        call.body["messages"][-2]["reasoning_content"]
        for call in one.upstream.calls
        if call.body["messages"][-1]["role"] == "tool"
        and "reasoning_content" in call.body["messages"][-2]  # else it is about to be taught
    ]
    assert sorted(seen, key=lambda text: int(text.split()[1])) == [
        f"secret {number}" for number in range(48)
    ], "each with its own thoughts"


# spending


def test_a_limit_holds_for_all_together(team: Callable[..., Team]) -> None:
    """Requests of the same moment at different workers may pass together, and no more."""
    limit, at_once = 40, 20
    one = team(settings=f"limits = {{ requests_per_day = {limit} }}")
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        statuses = list(pool.map(lambda _: one.chat()[0], range(150)))
    passed = statuses.count(200)
    assert limit <= passed < limit + at_once
    assert statuses.count(429) == 150 - passed
    until(lambda: one.status()["providers"][0]["today"]["requests"] == passed)
    assert {status for status, _ in one.everybody(one.chat)} == {429}
    victim = one.pids().pop()
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(one.pids() - {victim}) == COUNT)
    assert {status for status, _ in one.everybody(one.chat)} == {429}, "the new one knows too"
    (row,) = one.status()["providers"]
    assert (row["today"]["requests"], row["limits"][0]["reached"]) == (passed, True)
    process.stop(one.home.state)
    one.process.wait(60)
    kept = json.loads((one.home.state / "spending.json").read_text())
    ((_, rows),) = kept["days"].items()
    assert rows["fake"]["requests"] == passed


# life and death


def test_a_worker_that_is_killed_is_replaced(team: Callable[..., Team]) -> None:
    one = team()
    before = one.pids()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    asked = [one.chat()[0] for _ in range(20)]
    assert asked == [200] * 20, "the others go on"
    until(lambda: len(one.pids() - {victim}) == COUNT)
    numbers = [row["number"] for row in one.status()["workers"]]
    assert max(numbers) == COUNT + 1
    log = (one.home.state / "ollama-bridge.log").read_text()
    assert f"(process {victim}) ended with status -9; another one is started" in log
    one.everybody(one.chat)


def test_a_stop_lets_every_worker_finish(team: Callable[..., Team]) -> None:
    go_on = threading.Event()

    async def slow(call: Call) -> None:
        await call.start()
        await call.text("half ")
        while not go_on.is_set():
            await asyncio.sleep(0.02)
        await call.text("whole", "stop")
        await call.write("data: [DONE]\n\n", more=False)

    one = team(slow)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        talks = [pool.submit(one.chat, stream=False) for _ in range(12)]
        until(lambda: len(one.upstream.calls) == 12)
        one.process.send_signal(signal.SIGTERM)
        until(lambda: not _listens(one.port))
        assert one.process.poll() is None, "answers are awaited"
        go_on.set()
        replies = [talk.result() for talk in talks]
    assert {status for status, _ in replies} == {200}
    assert {said["message"]["content"] for _, said in replies} == {"half whole"}
    assert one.process.wait(60) == 0
    assert instance.read(one.home.state) is None
    assert process.is_gone(one.home.state, 0)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_stop_from_the_command_line_ends_all(team: Callable[..., Team]) -> None:
    one = team()
    everyone = [psutil.Process(pid) for pid in one.pids()]
    assert process.stop(one.home.state)
    assert one.process.wait(60) == 0
    assert not any(each.is_running() for each in everyone)


def test_workers_do_not_outlive_the_supervisor(team: Callable[..., Team]) -> None:
    one = team()
    everyone = [psutil.Process(pid) for pid in one.pids()]
    one.process.kill()
    gone, alive = psutil.wait_procs(everyone, timeout=60)
    assert (len(gone), alive) == (COUNT, [])
    second = one.home.daemon("--port", str(one.port), "--workers", "2")
    try:
        until_ready(second)
        until(lambda: len(one.pids()) == 2)
    finally:
        end(second)


def test_a_restart_has_as_many(home: Home) -> None:
    running = process.start(process.Start(port=0, workers=2), 120, home.environ)
    try:
        assert running.daemon.workers == 2
        again = process.like(instance.read(home.state)).command("an-id")
        assert again[again.index("--workers") + 1] == "2"
    finally:
        process.stop(home.state)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def _supervisor(home: Home, said: list[str], code: str) -> workers.Supervisor:
    home.state.mkdir()
    note = instance.Instance("i", 1, 1.0, "127.0.0.1", 1, "t", "0", "c")
    return workers.Supervisor(
        [sys.executable, "-c", code],
        2,
        [],
        note,
        state=home.state,
        environ=home.environ,
        write=said.append,
        finish=0.1,
    )


def test_workers_that_cannot_begin_end_the_start_with_their_reason(home: Home) -> None:
    code = "import sys; print('error: it is broken', file=sys.stderr); sys.exit(5)"
    supervisor = _supervisor(home, [], code)
    with pytest.raises(SettingsInvalid, match="it is broken"):
        asyncio.run(supervisor.run(lambda: pytest.fail("ready")))


@pytest.mark.parametrize("arguments", [("--workers", "0"), ("--workers", "65"), ("--workers", "x")])
def test_numbers_of_workers_that_are_none(home: Home, arguments: tuple[str, str]) -> None:
    assert home.run("serve", *arguments).returncode == 2
    child = home.daemon(*arguments)
    child.communicate(timeout=60)
    assert child.returncode == 2


def test_where_sockets_cannot_be_shared_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    workers.refuse_here()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BridgeError, match="share a port"):
        workers.refuse_here()


# told as one


def _told(number: int, errors: int, times: list[str]) -> dict[str, Any]:
    failures = [
        {"number": index, "time": time, "model": "m", "error": f"e{time}"}
        for index, time in enumerate(times, 1)
    ]
    row = {"name": "p", "state": "ok", "resting": 0.0, "failures": 0, "running": 1}
    return {
        "active": 1,
        "requests": 10,
        "errors": errors,
        "pid": 100 + number,
        "started_at": f"2026-01-0{number}",
        "settings_error": None,
        "answering": [f"m{number}"],
        "learned": [{"model": "p/m", "learned": [f"lesson{number}", "both"]}],
        "failures": failures,
        "providers": [row | {"waiting": 2, "limit": 5}],
        "workers": [{"number": number}],
    }


def test_sums() -> None:
    told = [_told(2, 2, ["03", "04"]), _told(1, 3, ["01", "02", "05"])]
    told[1]["providers"][0] |= {"state": "failing", "resting": 3.0, "failures": 4}
    one = summing.status(told, 7)
    assert (one["pid"], one["requests"], one["active"], one["errors"]) == (7, 20, 2, 5)
    assert one["started_at"] == "2026-01-01"
    assert one["answering"] == ["m2", "m1"]
    assert one["learned"] == [{"model": "p/m", "learned": ["lesson2", "both", "lesson1"]}]
    assert [(row["number"], row["time"]) for row in one["failures"]] == [
        (1, "01"),
        (2, "02"),
        (3, "03"),
        (4, "04"),
        (5, "05"),
    ]
    assert one["providers"] == [
        {
            "name": "p",
            "state": "failing",
            "resting": 3.0,
            "failures": 4,
            "running": 2,
            "waiting": 4,
            "limit": 10,
        }
    ]
    assert one["workers"] == [{"number": 1}, {"number": 2}]


def test_one_process_tells_of_itself_alone() -> None:
    own = _told(1, 0, []) | {"workers": []}
    assert summing.status([own], 0) is own
