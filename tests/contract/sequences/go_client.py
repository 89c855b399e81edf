"""How Ollama's own client, which every command of `ollama` goes through, reads a reply.

Source: ollama/ollama, api/client.go (lines, statuses), api/types.go (the fields and their types).
In Go a missing or null field is the zero value; a field of another type fails the whole reply.
"""

import json
import re
from datetime import datetime
from typing import Any

from contract.sequences import samples
from contract.strictness import (
    BOOLEAN,
    OBJECT,
    TEXT,
    TEXTS,
    WHOLE,
    Checker,
    Kind,
    drop,
    maybe,
    put,
    rule,
)
from contract.talk import Said

LONGEST_LINE = 8_000_000
"""Bytes that its scanner takes in one line."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class CommandFailed(Exception):
    """What a command would print instead of doing its work."""


class SignInWanted(CommandFailed):
    """A 401, whatever its text: the user is told to sign in at ollama.com."""


def _or_null(kind: Kind) -> Kind:
    wrong = tuple(value for value in kind.wrong if value is not None)
    return Kind(f"{kind.says}, or null", lambda value: value is None or kind.holds(value), wrong)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


TIME = Kind("a time in RFC 3339", _is_time, ("", "2026-01-02 03:04:05", 1_750_000_000))
STRING, NUMBER, YES, MAP, WORDS, LATER = (
    _or_null(kind) for kind in (TEXT, WHOLE, BOOLEAN, OBJECT, TEXTS, TIME)
)
_DETAILS = ("parent_model", "format", "family", "parameter_size", "quantization_level")


def _details(path: str) -> list[Any]:
    return [
        maybe(path, MAP),
        *(maybe(f"{path}/{name}", STRING) for name in _DETAILS),
        maybe(f"{path}/families", WORDS),
    ]


TAGS = Checker(
    "ollama list",
    samples.TAGS,
    *(maybe(f"models/*/{name}", STRING) for name in ("name", "model", "remote_model")),
    maybe("models/*/size", NUMBER),
    maybe("models/*/modified_at", LATER),
    *_details("models/*/details"),
    rule(
        "twelve characters of the digest are cut off, and fewer are a crash",
        lambda reply: all(len(row["digest"]) >= 12 for row in reply["models"]),
        put("models/*/digest", "sha256:a80c"),
        put("models/*/digest", ""),
    ),
)
PS = Checker(
    "ollama ps",
    samples.PS,
    maybe("models/*/name", STRING),
    maybe("models/*/size", NUMBER),
    maybe("models/*/size_vram", NUMBER),
    maybe("models/*/context_length", NUMBER),
    maybe("models/*/expires_at", LATER),
    *_details("models/*/details"),
    rule(
        "twelve characters of the digest are cut off, and fewer are a crash",
        lambda reply: all(len(row["digest"]) >= 12 for row in reply["models"]),
        put("models/*/digest", "a80c"),
    ),
    rule(
        "the time of unloading is a real one: Go's zero time would print Never",
        lambda reply: all(row["expires_at"] > "2020" for row in reply["models"]),
        put("models/*/expires_at", "0001-01-01T00:00:00Z"),
        drop("models/*/expires_at"),
    ),
)
SHOW = Checker(
    "ollama show",
    samples.SHOW,
    *(maybe(name, STRING) for name in ("license", "modelfile", "parameters", "template", "system")),
    *_details("details"),
    maybe("model_info", MAP),
    maybe("capabilities", WORDS),
    maybe("modified_at", LATER),
    rule(
        "numbers of the metadata are numbers: it takes them for floats",
        lambda reply: all(
            isinstance(value, int | float)
            for key, value in reply["model_info"].items()
            if key.endswith(("_length", "parameter_count"))
        ),
        put("model_info/llama.context_length", "131072"),
        put("model_info/general.parameter_count", "3.2B"),
    ),
    rule(
        "nothing says that it lives elsewhere: loading would be left out",
        lambda reply: not reply.get("remote_host") and not reply.get("remote_model"),
        put("remote_host", "https://ollama.com:443"),
        put("remote_model", "big"),
    ),
)
_COUNTERS = tuple(samples.COUNTERS)
CHAT = Checker(
    "ollama, chat lines",
    samples.CALLS,
    *(maybe(f"*/{name}", STRING) for name in ("model", "done_reason", "error")),
    maybe("*/created_at", LATER),
    maybe("*/done", YES),
    *(maybe(f"*/message/{name}", STRING) for name in ("role", "content", "thinking", "tool_name")),
    rule(
        "arguments are an object",
        lambda lines: all(
            OBJECT.holds(call["function"]["arguments"])
            for line in lines
            for call in line["message"].get("tool_calls", ())
        ),
        put("0/message/tool_calls/0/function/arguments", "{}"),
    ),
    *(maybe(f"-1/{name}", NUMBER) for name in _COUNTERS),
    rule("the last line is done", lambda lines: lines[-1]["done"], put("-1/done", False)),
)
GENERATE = Checker(
    "ollama, generate lines",
    samples.GENERATE,
    *(maybe(f"*/{name}", STRING) for name in ("model", "done_reason", "response", "thinking")),
    maybe("*/created_at", LATER),
    maybe("*/done", YES),
    *(maybe(f"-1/{name}", NUMBER) for name in _COUNTERS),
    rule("the last line is done", lambda lines: lines[-1]["done"], put("-1/done", False)),
)
PROGRESS = Checker(
    "ollama, progress lines",
    samples.PULL,
    maybe("*/status", STRING),
    maybe("1/digest", STRING),
    maybe("1/total", NUMBER),
    maybe("1/completed", NUMBER),
    rule(
        "a digest is longer than what is cut off its front for the bar",
        lambda lines: all(len(line["digest"]) > 19 for line in lines if "digest" in line),
        put("1/digest", "sha256:model"),
    ),
)


def stream(said: Said) -> list[dict[str, Any]]:
    """The lines of a reply; raises what the command would print."""
    found = []
    for line in said.body.split(b"\n"):
        if len(line) > LONGEST_LINE:
            raise CommandFailed("bufio.Scanner: token too long")
        if not line:
            continue
        try:
            value = json.loads(line)
        except ValueError:
            if said.status >= 400:
                raise CommandFailed(line.decode()) from None
            raise CommandFailed("invalid JSON in a line") from None
        _check(said.status, value)
        found.append(value)
    return found


def whole(said: Said) -> Any:
    """The object of a reply; an empty one is fine, and None."""
    value = json.loads(said.body) if said.body else None
    if said.status >= 400:
        _check(said.status, value or {})
    return value


def _check(status: int, value: dict[str, Any]) -> None:
    if status == 401:
        raise SignInWanted
    error = value.get("error", "")
    if not isinstance(error, str):
        raise CommandFailed(json.dumps(value))
    if error or status >= 400:
        raise CommandFailed(error)


def until(expires_at: str, now: datetime) -> str:
    """The column UNTIL of `ollama ps`."""
    when = datetime.fromisoformat(expires_at)
    if when < now:
        return "Stopping..."
    return "Forever" if (when - now).days > 20 * 365 else "from now"
