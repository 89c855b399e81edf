"""run: talk to a model in the terminal."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError, NotRunning

from . import render, session
from .session import Session

Message = dict[str, Any]

_DIM, _NORMAL = "\x1b[2m", "\x1b[0m"
_HELP = "Type a message. /clear forgets the talk, /bye or Ctrl-D ends, Ctrl-C stops an answer."


def run(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model or alias.")],
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]", help="What to say; else a talk.")
    ] = None,
) -> None:
    """Talk to a model; with PROMPT or a pipe, print one answer."""
    user = session.of(context)
    running = user.client()
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    text = " ".join([*([piped] if piped else []), *(prompt or [])])
    if text:
        _answer(user, running, model, [_said("user", text)])
    elif not sys.stdin.isatty():
        raise typer.BadParameter("there is nothing on standard input; give a PROMPT")
    else:
        running.show(model)  # an unknown model is told before the first question
        user.say(_HELP)
        _talk(user, running, model)


def _talk(user: Session, running: Client, model: str) -> None:
    history: list[Message] = []
    for line in _questions():
        if line == "/bye":
            return
        if line == "/clear":
            history.clear()
            continue
        question = _said("user", line)
        try:
            answer = _answer(user, running, model, [*history, question])
        except KeyboardInterrupt:
            render.result("")
            user.say("(stopped)")
            continue
        except NotRunning:
            raise
        except BridgeError as error:
            render.message(f"error: {error.message}")
            continue
        history += [question, answer]


def _questions() -> Iterator[str]:
    """Lines the user types, until Ctrl-D; Ctrl-C drops the line."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing, where there is any
    while True:
        try:
            line = input(">>> ").strip()
        except EOFError:
            render.result("")
            return
        except KeyboardInterrupt:
            render.result("")
            render.message("(Ctrl-D or /bye ends)")
            continue
        if line:
            yield line


def _answer(user: Session, running: Client, model: str, messages: list[Message]) -> Message:
    """Print an answer as it comes; the message for the history."""
    printer = _Printer(dim=user.color)
    with contextlib.closing(running.chat({"model": model, "messages": messages})) as lines:
        try:
            for line in lines:
                printer.add(line.get("message", {}))
        finally:
            printer.end()
    return _said("assistant", printer.content)


def _said(role: str, text: str) -> Message:
    return {"role": role, "content": text}


class _Printer:
    """Writes text as it comes, and thinking dimmed before it where there are colours."""

    def __init__(self, *, dim: bool) -> None:
        self.content = ""
        self._dim = dim
        self._thinking = False
        self._last = "\n"

    def add(self, message: Message) -> None:
        """Take one line's piece of the message."""
        if self._dim and (thinking := message.get("thinking")):
            self._write(thinking if self._thinking else f"{_DIM}{thinking}")
            self._thinking = True
        if content := message.get("content"):
            self._end_thinking()
            self.content += content
            self._write(content)

    def end(self) -> None:
        """Leave the cursor at the start of a line, in normal colour."""
        self._end_thinking()
        if self._last != "\n":
            self._write("\n")

    def _end_thinking(self) -> None:
        if self._thinking:
            self._write(f"{_NORMAL}\n\n")
            self._thinking = False

    def _write(self, text: str) -> None:
        render.piece(text)
        self._last = text[-1:]
