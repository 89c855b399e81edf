"""run: one answer, or a talk in a terminal."""

import sys
from collections.abc import Callable, Iterator

import pytest
from daemons import Home
from terminals import Terminal

from ollama_bridge_cli.chat import _Printer


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
    assert "'nope' not found" in done.stderr


@pytest.mark.parametrize(
    ("dim", "shown"),
    [(True, "\x1b[2mso I think\x1b[0m\n\nanswer!\n"), (False, "answer!\n")],
)
def test_thinking_is_dim_or_not_shown(
    dim: bool, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printer = _Printer(dim=dim)
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
    printer = _Printer(dim=True)
    printer.add({"thinking": "hm"})
    printer.end()
    assert capsys.readouterr().out == "\x1b[2mhm\x1b[0m\n\n"


# a talk


@pytest.fixture
def terminal(running: Home) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*arguments: str) -> Terminal:
        opened.append(Terminal(running.environ, *arguments))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")


@POSIX
def test_a_talk(terminal: Callable[..., Terminal]) -> None:
    talk = terminal("run", "demo")
    assert "Ctrl-D" in talk.until(">>> ")
    talk.type("first words\n")
    assert "first words" in talk.until(">>> ")
    talk.type("/clear\n")
    talk.until(">>> ")
    talk.type("\n")
    talk.until(">>> ")
    talk.type("/bye\n")
    assert talk.end()[0] == 0


@POSIX
def test_ctrl_d_ends_a_talk(terminal: Callable[..., Terminal]) -> None:
    talk = terminal("run", "demo")
    talk.until(">>> ")
    talk.type("\x04")
    assert talk.end()[0] == 0


@POSIX
def test_ctrl_c_drops_the_line_and_not_the_talk(terminal: Callable[..., Terminal]) -> None:
    talk = terminal("run", "demo")
    talk.until(">>> ")
    talk.type("half a li")
    talk.until("half a li")
    assert "/bye" in talk.until(">>> ", again="\x03")
    talk.type("/bye\n")
    assert talk.end()[0] == 0


@POSIX
def test_a_talk_with_an_unknown_model_does_not_begin(terminal: Callable[..., Terminal]) -> None:
    talk = terminal("run", "nope")
    talk.until("not found")
    assert talk.end()[0] == 1
