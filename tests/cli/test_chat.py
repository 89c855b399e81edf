"""run: one answer, or a talk in a terminal."""

import base64
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from daemons import Home
from screens import Screen

from ollama_bridge.errors import BridgeError, ModelNotFound
from ollama_bridge_cli import asking, pictures
from ollama_bridge_cli.chat import _Printer
from ollama_bridge_cli.talk import SLASHES, Leave, Talk


def test_one_answer(running: Home) -> None:
    done = running.run("run", "demo", "Say", "hello")
    assert done.returncode == 0
    assert "Say hello" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.stderr == ""


def test_a_pipe_is_the_question_or_goes_before_it(running: Home) -> None:
    assert "from a pipe" in running.run("run", "demo", stdin="from a pipe\n").stdout
    both = running.run("run", "demo", "Summarise", stdin="a text\n").stdout
    assert "a text Summarise" in both


def test_an_empty_pipe_is_a_usage_error(running: Home) -> None:
    done = running.run("run", "demo", stdin=" \n")
    assert done.returncode == 2


def test_an_unknown_model(running: Home) -> None:
    done = running.run("run", "nope", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'nope" in done.stderr
    assert "not found" in done.stderr


@pytest.mark.parametrize(
    ("dim", "thinking", "shown"),
    [
        (True, True, "\x1b[2mThinking...\nso I think\n...done thinking.\x1b[0m\n\nanswer!\n"),
        (False, True, "Thinking...\nso I think\n...done thinking.\n\nanswer!\n"),
        (True, False, "answer!\n"),
    ],
)
def test_thinking_is_apart_or_not_shown(
    dim: bool, thinking: bool, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printer = _Printer(thinking=thinking, dim=dim)
    for message in (
        {"content": "", "thinking": "so I "},
        {"content": "", "thinking": "think"},
        {"content": "answer"},
        {"content": "!"},
        {},
    ):
        printer.add(message)
    printer.end()
    assert capsys.readouterr().out == shown
    assert printer.content == "answer!"


def test_an_answer_cut_while_thinking_leaves_a_normal_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printer = _Printer(thinking=True, dim=True)
    printer.add({"thinking": "hm"})
    printer.end()
    assert capsys.readouterr().out == "\x1b[2mThinking...\nhm\n...done thinking.\x1b[0m\n\n"


# flags


def test_flags_reach_the_model(home: Home, upstream: "Upstream") -> None:
    home.write(upstream.settings)
    assert home.run("start", "--port", "0").returncode == 0
    upstream.answer("yes")
    home.run("run", "m", "--think", "--format", "json", "hello")
    home.run("run", "--think=high", "m", "--", "--think")
    home.run("run", "m", "--think=false", "--format", '{"type": "object"}', "hello")
    first, second, third = upstream.bodies
    assert first["messages"] == [{"role": "user", "content": "hello"}]
    assert first["response_format"]["type"] == "json_object"
    assert first["reasoning_effort"] == "medium"
    assert second["reasoning_effort"] == "high"
    assert second["messages"][0]["content"] == "--think", "after -- it is a word like any other"
    assert third["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize("flag", ["--think=maybe", "--format=xml", "--format=[1]"])
def test_flags_that_make_no_sense(running: Home, flag: str) -> None:
    done = running.run("run", "demo", flag, "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


def test_verbose_tells_speed_on_the_side(running: Home) -> None:
    done = running.run("run", "demo", "--verbose", "hello")
    assert "hello" in done.stdout
    assert "eval rate" not in done.stdout
    for name in ("total duration:", "prompt eval count:", "eval count:", "eval rate:"):
        assert name in done.stderr


def test_an_embedding_model_gives_its_vector(running: Home) -> None:
    done = running.run("run", "demo-embed", "some words")
    vector = json.loads(done.stdout)
    assert len(vector) > 10
    assert all(isinstance(number, float) for number in vector)


# pictures


PNG = b"\x89PNG\r\n\x1a\n rest"


def test_a_picture_by_its_path(tmp_path: Path) -> None:
    picture = tmp_path / "my cat.png"
    picture.write_bytes(PNG)
    plain = str(picture).replace(" ", "\\ ")
    for named in (plain, f"'{picture}'", f'"{picture}"'):
        rest, images, paths = pictures.taken_out(f"What is in {named} then?")
        assert rest == "What is in then?"
        assert images == [base64.b64encode(PNG).decode()]
        assert paths == [picture]


@pytest.mark.parametrize(
    "text",
    ["see /nowhere/x.png", "a.png", "http://h/x.png", "no path", "/etc/passwd", "and/or.png"],
)
def test_what_is_no_picture_stays(text: str) -> None:
    assert pictures.taken_out(text) == (text, [], [])


def test_a_file_that_only_looks_like_a_picture(tmp_path: Path) -> None:
    wrong = tmp_path / "x.jpg"
    wrong.write_bytes(b"#!/bin/sh")
    with pytest.raises(BridgeError, match="is no PNG, JPEG or WebP"):
        pictures.taken_out(f"look: {wrong}")


def test_pictures_are_sent_and_told(running: Home, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    picture.write_bytes(
        base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        )
    )
    done = running.run("run", "demo", f"what is {picture}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"Added picture {picture}\n"
    assert str(picture) not in done.stdout


# what is typed


def typed(*lines: str | type[BaseException]) -> Callable[[str], str]:
    left = iter([*lines, EOFError])

    def read(_: str) -> str:
        line = next(left)
        if isinstance(line, str):
            return line
        raise line

    return read


@pytest.mark.parametrize(
    ("lines", "messages"),
    [
        (["one", "", "  two "], ["one", "two"]),
        (['"""a', "", 'b""" dropped', "c"], ["a\n\nb", "c"]),
        (['"""whole"""'], ["whole"]),
        (['/set system """Be', 'brief."""'], ["/set system Be\nbrief."]),
        (['say """ and so on'], ['say """ and so on']),
        (['"""never ended'], []),
        (["one", KeyboardInterrupt, "two"], ["one", "two"]),
        (["one", KeyboardInterrupt, KeyboardInterrupt, "two"], ["one"]),
        ([KeyboardInterrupt, "one", KeyboardInterrupt, "two"], ["one", "two"]),
        (['"""half', KeyboardInterrupt, "one"], ["one"]),
    ],
)
def test_messages(lines: list[Any], messages: list[str]) -> None:
    assert list(asking.messages(typed(*lines), lambda _: None)) == messages


# commands of a talk


def show(name: str) -> dict[str, Any]:
    if name == "nope":
        raise ModelNotFound("model 'nope' not found")
    return {
        "capabilities": ["completion", "vision"],
        "parameters": "temperature 1",
        "model_info": {"general.architecture": "x", "x.context_length": 4096},
    }


@pytest.fixture
def talk() -> Talk:
    return Talk("m", show("m"))


def test_what_is_set_is_asked_for(talk: Talk) -> None:
    for line in (
        "/set system Be brief.",
        "/set parameter temperature 0.2",
        "/set parameter stop A B",
        "/set think high",
        "/set format json",
        "/set verbose",
    ):
        assert talk.command(line, show)
    assert talk.request({"role": "user", "content": "hi"}) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
        ],
        "think": "high",
        "format": "json",
        "options": {"temperature": 0.2, "stop": ["A", "B"]},
    }
    assert talk.verbose
    for line in ("/set nothink", "/set noformat", "/set quiet", "/set system"):
        talk.command(line, show)
    assert (talk.think, talk.format, talk.verbose, talk.system) == (False, None, False, "")


def test_show(talk: Talk) -> None:
    talk.command("/set parameter top_p 0.5", show)
    talk.command("/set system Be brief.", show)
    assert "4096" in talk.command("/show", show)
    assert talk.command("/show system", show) == "Be brief."
    parameters = talk.command("/show parameters", show)
    assert "temperature 1" in parameters
    assert "top_p" in parameters
    assert talk.command("/show license", show) == "There is no license."


def test_load_and_clear(talk: Talk) -> None:
    talk.messages = [{"role": "user", "content": "x"}]
    with pytest.raises(ModelNotFound):
        talk.command("/load nope", show)
    assert talk.model == "m"
    assert talk.messages
    talk.command("/load other", show)
    assert (talk.model, talk.messages) == ("other", [])
    talk.messages = [{"role": "user", "content": "x"}]
    talk.command("/clear", show)
    assert talk.messages == []


@pytest.mark.parametrize(
    "line",
    [
        "/set",
        "/set nonsense",
        "/set parameter",
        "/set parameter temperature",
        "/load",
        "/huh",
        "/show me",
        "/set think hard",
        "/set format xml",
    ],
)
def test_commands_that_say_nothing_useful(talk: Talk, line: str) -> None:
    before = vars(talk).copy()
    with pytest.raises(BridgeError):
        talk.command(line, show)
    assert vars(talk) == before


def test_every_command_is_in_the_help(talk: Talk) -> None:
    told = talk.command("/?", show)
    assert all(word in told for word in SLASHES)
    with pytest.raises(Leave):
        talk.command("/bye", show)


# on a screen


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

Open = Callable[..., Screen]


def ready(shown: str) -> bool:
    """The prompt waits for a message."""
    return shown.rstrip().endswith("(/? for help)")


@POSIX
def test_a_talk(running: Home, screen: Open) -> None:
    talk = screen(running, "run", "demo")
    talk.until(ready)
    talk.enter("first words")
    talk.until("“first words”")
    talk.until(ready)
    talk.press("Up")
    talk.until(lambda shown: shown.rstrip().endswith(">>> first words"))
    talk.press("C-c")
    talk.until("Ctrl-C again ends")
    talk.until(ready)
    talk.enter('"""several')
    talk.until("\n...")
    talk.enter('lines"""')
    talk.until("several\nlines”")
    talk.until(ready)
    talk.enter("/set parameter temperature 0.25")
    talk.until(ready)
    talk.enter("/set system Be brief.")
    talk.until(ready)
    talk.enter("/show parameters")
    talk.until(lambda shown: re.search(r"\n *temperature +0\.25\n", shown) is not None)
    talk.until(ready)
    talk.enter("/show system")
    talk.until("\nBe brief.")
    talk.until(ready)
    talk.enter("/show")
    talk.until(lambda shown: re.search(r"\nmessages so far +4\n", shown) is not None)
    talk.until(ready)
    talk.enter("/set nonsense")
    talk.until("error: /set knows")
    talk.until(ready)
    talk.enter("/bye")
    assert talk.ended() == 0


@POSIX
def test_ctrl_d_and_twice_ctrl_c_leave(running: Home, screen: Open) -> None:
    for keys in (["C-d"], ["C-c", "C-c"]):
        talk = screen(running, "run", "demo")
        talk.until(ready)
        for key in keys:
            talk.until(ready)
            talk.press(key)
        assert talk.ended() == 0


@POSIX
def test_ctrl_c_stops_the_answer_and_not_the_talk(
    home: Home, upstream: "Upstream", screen: Open
) -> None:
    home.write(upstream.settings)
    assert home.run("start", "--port", "0").returncode == 0
    upstream.hold("so far so")
    talk = screen(home, "run", "m")
    talk.until(ready)
    talk.enter("go on")
    talk.until("so far so")
    talk.press("C-c")
    talk.until("(stopped)")
    talk.until(ready)
    upstream.answer("a new one")
    talk.enter("and now?")
    talk.until("a new one")
    talk.until(ready)
    said = [message["content"] for message in upstream.bodies[-1]["messages"]]
    assert said == ["go on", "so far so", "and now?"], "what had come is remembered"
    talk.press("C-d")
    assert talk.ended() == 0


@POSIX
def test_thinking_is_dim_on_a_screen(home: Home, upstream: "Upstream", screen: Open) -> None:
    home.write(upstream.settings)
    assert home.run("start", "--port", "0").returncode == 0
    upstream.answer("the answer", thinking="hm hm")
    talk = screen(home, "run", "m", "why?")
    assert talk.ended() == 0
    shown = talk.attributes
    assert re.search(r"\x1b\[2mThinking", shown), shown
    assert "the answer" in shown
    hidden = screen(home, "run", "m", "--hidethinking", "why?")
    assert hidden.ended() == 0
    assert "hm hm" not in hidden.shown


@POSIX
def test_a_talk_with_an_unknown_model_does_not_begin(running: Home, screen: Open) -> None:
    talk = screen(running, "run", "nope")
    talk.until("not found")
    assert talk.ended() == 1


class Upstream:
    """A service whose next answer a test chooses; it keeps what it was asked."""

    def __init__(self, url: str) -> None:
        self.settings = f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "none"\n'
        self.bodies: list[dict[str, Any]] = []
        self.released = threading.Event()
        self.events: list[bytes] = []
        self.held = False

    def answer(self, text: str, thinking: str = "") -> None:
        """The whole answer of the next requests."""
        self.held = False
        self.events = [
            *([_event({"reasoning_content": thinking})] if thinking else []),
            _event({"content": text}),
            _event({}, "stop"),
            b"data: [DONE]\n\n",
        ]

    def hold(self, text: str) -> None:
        """An answer that begins like that and does not go on."""
        self.held = True
        self.events = [_event({"content": text})]


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send("application/json", b'{"data": [{"id": "m"}]}')

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            one.bodies.append(json.loads(self.rfile.read(size)))
            held = one.held
            self._send("text/event-stream", b"".join(one.events))
            if held:
                one.released.wait(60)

        def _send(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        one = Upstream(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield one
        one.released.set()
        server.shutdown()
