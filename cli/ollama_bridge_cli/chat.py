"""run: talk to a model in the terminal."""

import contextlib
import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError, NotRunning

from . import asking, completing, pictures, render, session
from .session import Session
from .talk import SLASHES, Leave, Message, Talk, output_format, thinking

_DIM, _NORMAL = "\x1b[2m", "\x1b[0m"


class Run(TyperCommand):
    """Takes `--think` alone as well as `--think=high`, like `ollama run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        end = args.index("--") if "--" in args else len(args)
        given = ["--think=true" if part == "--think" else part for part in args[:end]]
        return super().parse_args(ctx, given + args[end:])


def run(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model or alias.", autocompletion=completing.models),
    ],
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]", help="What to say; else a talk.")
    ] = None,
    think: Annotated[
        str | None,
        typer.Option(metavar="[=LEVEL]", help="Ask for thinking: true, false, low, medium, high."),
    ] = None,
    hidethinking: Annotated[
        bool, typer.Option("--hidethinking", help="Do not show the thinking.")
    ] = False,
    answer_format: Annotated[
        str | None, typer.Option("--format", metavar="json", help="json, or a JSON schema.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell speed and tokens after an answer.")
    ] = False,
) -> None:
    """Talk to a model; with PROMPT or a pipe, print one answer."""
    user = session.of(context)
    running = user.client()
    text = _one_prompt(prompt or [])
    talk = Talk(
        model,
        running.show(model),  # an unknown model is told before the first question
        think=None if think is None else thinking(think),
        format=None if answer_format is None else output_format(answer_format),
        verbose=verbose,
    )
    chat = _Chat(user, running, talk, show_thinking=not hidethinking)
    if not text:
        chat.go_on()
    elif talk.facts.get("capabilities") == ["embedding"]:
        render.result(json.dumps(running.embed(model, text)["embeddings"][0]))
    else:
        chat.answer(text)


def _one_prompt(words: list[str]) -> str:
    """What the pipe and the arguments say together; "" for a talk."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    text = " ".join([*([piped] if piped else []), *words])
    if not text and not sys.stdin.isatty():
        raise typer.BadParameter("there is nothing on standard input; give a PROMPT")
    return text


class _Chat:
    """A talk and the terminal that it happens in."""

    def __init__(self, user: Session, running: Client, talk: Talk, *, show_thinking: bool) -> None:
        self._user = user
        self._running = running
        self._talk = talk
        self._show_thinking = show_thinking and sys.stdout.isatty()

    def go_on(self) -> None:
        """Questions and answers until the user leaves."""
        read = asking.editor(SLASHES, self._user.color)
        for text in asking.messages(read, render.message):
            try:
                if text.startswith("/") and text.split()[0] in SLASHES:
                    render.result(self._talk.command(text, self._running.show))
                else:
                    self.answer(text)
            except Leave:
                return
            except KeyboardInterrupt:
                self._user.say("(stopped)")
            except NotRunning:
                raise
            except BridgeError as error:
                render.message(f"error: {error.message}")

    def answer(self, text: str) -> None:
        """Print the answer as it comes; a stopped one is remembered as far as it came."""
        question = self._question(text)
        printer = _Printer(thinking=self._show_thinking, dim=self._user.color)
        last: dict[str, Any] = {}
        with contextlib.closing(self._running.chat(self._talk.request(question))) as lines:
            try:
                for last in lines:
                    printer.add(last.get("message", {}))
            finally:
                printer.end()
                if printer.content:
                    said = {"role": "assistant", "content": printer.content}
                    self._talk.messages += [question, said]
        if not last.get("done"):
            raise BridgeError("the answer was cut off; ask again")
        if self._talk.verbose:
            render.message(statistics(last))

    def _question(self, text: str) -> Message:
        if not self._talk.sees:
            return {"role": "user", "content": text}
        rest, images, paths = pictures.taken_out(text)
        for path in paths:
            self._user.say(f"Added picture {path}")
        return {"role": "user", "content": rest, **({"images": images} if images else {})}


_STATISTICS = (
    ("total duration", "total_duration", ""),
    ("load duration", "load_duration", ""),
    ("prompt eval", "prompt_eval_duration", "prompt_eval_count"),
    ("eval", "eval_duration", "eval_count"),
)


def statistics(last: dict[str, Any]) -> str:
    """Times and tokens of an answer, from its last line."""
    rows = []
    for name, duration, count in _STATISTICS:
        seconds = last.get(duration, 0) / 1e9
        if not count:
            rows.append((name, f"{seconds:.3f}s"))
            continue
        tokens = last.get(count, 0)
        rate = tokens / seconds if seconds else 0
        rows += [
            (f"{name} count", f"{tokens} token(s)"),
            (f"{name} duration", f"{seconds:.3f}s"),
            (f"{name} rate", f"{rate:.2f} tokens/s"),
        ]
    return "\n".join(f"{f'{name}:':<22}{value}" for name, value in rows)


class _Printer:
    """Writes text as it comes, and thinking before it: apart, and dim where there are colours."""

    def __init__(self, *, thinking: bool, dim: bool) -> None:
        self.content = ""
        self._shown = thinking
        self._dim, self._normal = (_DIM, _NORMAL) if dim else ("", "")
        self._thinking = False
        self._last = "\n"

    def add(self, message: Message) -> None:
        """Take one line's piece of the message."""
        if self._shown and (thought := message.get("thinking")):
            if not self._thinking:
                self._write(f"{self._dim}Thinking...\n")
                self._thinking = True
            self._write(thought)
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
            gap = "" if self._last == "\n" else "\n"
            self._write(f"{gap}...done thinking.{self._normal}\n\n")
            self._thinking = False

    def _write(self, text: str) -> None:
        render.piece(text)
        self._last = text[-1:]
