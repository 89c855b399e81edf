"""What the user types in a talk: lines with editing, and messages of several lines."""

from collections.abc import Callable, Iterator

Read = Callable[[str], str]
"""One line after that prompt; raises EOFError for Ctrl-D and KeyboardInterrupt for Ctrl-C."""

PROMPT, MORE = ">>> ", "... "
QUOTES = '"""'


def editor(words: tuple[str, ...], color: bool) -> Read:
    """A line editor with arrow keys and the lines of this talk; they are kept nowhere else."""
    from prompt_toolkit import PromptSession  # a tenth of a second, for a talk only
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.formatted_text import FormattedText
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.output import ColorDepth

    session: PromptSession[str] = PromptSession(
        history=InMemoryHistory(),
        completer=WordCompleter(list(words), sentence=True),
        complete_while_typing=False,
        color_depth=None if color else ColorDepth.DEPTH_1_BIT,
    )

    def read(prompt: str) -> str:
        hint = "Send a message (/? for help)" if prompt == PROMPT else ""
        return session.prompt(prompt, placeholder=FormattedText([("#888888", hint)]))

    return read


def messages(read: Read, say: Callable[[str], None]) -> Iterator[str]:
    """Messages until Ctrl-D or two Ctrl-C in a row; a first Ctrl-C drops the line."""
    interrupted = False
    while True:
        try:
            text = _message(read).strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            if interrupted:
                return
            interrupted = True
            say("(Ctrl-D, /bye or Ctrl-C again ends)")
            continue
        interrupted = False
        if text:
            yield text


def _message(read: Read) -> str:
    line = read(PROMPT)
    before, quotes, rest = line.partition(QUOTES)
    if not quotes or (before.strip() and not before.lstrip().startswith("/set system")):
        return line
    while QUOTES not in rest:
        rest += "\n" + read(MORE)
    return before + rest.partition(QUOTES)[0]
