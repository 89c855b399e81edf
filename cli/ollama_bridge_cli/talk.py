"""A conversation's state and the commands that begin with a slash; it prints and asks nothing."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ollama_bridge.errors import BridgeError

Message = dict[str, Any]
Json = dict[str, Any]
Show = Callable[[str], Json]
"""What is known of a model, as /api/show tells it."""

LEVELS = ("low", "medium", "high", "max")

HELP = """\
Commands:
  /set system TEXT         say how the model should behave
  /set parameter NAME VAL  temperature, top_p, num_predict, seed, stop, ...
  /set think [LEVEL]       ask for thinking: low, medium, high, max
  /set nothink             ask for none
  /set verbose | quiet     tell speed and tokens after each answer, or do not
  /set format json         answers in JSON; /set noformat takes it back
  /show [WHAT]             info, parameters, system, modelfile, template, license
  /load MODEL              go on with another model, from the beginning
  /clear                   forget what was said
  /help, /?                this list
  /bye                     leave

Begin a message of several lines with \"\"\" and end it with \"\"\". A path to a picture in a
message sends the picture along, where the model can see. Ctrl-C stops an answer; Ctrl-D
leaves."""

SLASHES = ("/set", "/show", "/load", "/clear", "/help", "/?", "/bye")


class Leave(Exception):
    """The user has had enough."""


@dataclass
class Talk:
    """What one conversation asks for, and what was said in it."""

    model: str
    facts: Json
    """What /api/show tells of the model."""
    think: bool | str | None = None
    format: str | Json | None = None
    verbose: bool = False
    system: str = ""
    options: Json = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    @property
    def sees(self) -> bool:
        """Whether the model takes pictures."""
        return "vision" in self.facts.get("capabilities", ())

    def request(self, question: Message) -> Json:
        """The body of /api/chat for one more question."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        wanted = {"think": self.think, "format": self.format, "options": self.options or None}
        return {
            "model": self.model,
            "messages": [*system, *self.messages, question],
            **{name: value for name, value in wanted.items() if value is not None},
        }

    def command(self, line: str, show: Show) -> str:
        """Do what a line with a slash says; the text to show. Raises Leave or BridgeError."""
        word, _, rest = line.partition(" ")
        run = _COMMANDS.get(word)
        if run is None:
            raise BridgeError(f"there is no command {word}; /help lists them")
        return run(self, rest.strip(), show)


def thinking(text: str) -> bool | str:
    """`true`, `false` or a level; raises BridgeError."""
    word = text.lower()
    if word in LEVELS:
        return word
    if word not in ("true", "false"):
        raise BridgeError(f'"{text}" is no way to think; choose true, false, {", ".join(LEVELS)}')
    return word == "true"


def output_format(text: str) -> str | Json:
    """`json`, or a JSON schema; raises BridgeError."""
    if text == "json":
        return text
    try:
        schema = json.loads(text)
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise BridgeError('the format is "json" or a JSON schema')
    return schema


def _set(talk: Talk, rest: str, _ask: Show) -> str:
    what, _, value = rest.partition(" ")
    apply = _SETTINGS.get(what)
    if apply is None:
        raise BridgeError(f"/set knows {', '.join(_SETTINGS)}")
    return apply(talk, value.strip())


def _set_system(talk: Talk, value: str) -> str:
    talk.system = value.removeprefix('"""').removesuffix('"""').strip()
    return "Set system message." if talk.system else "No system message."


def _set_parameter(talk: Talk, value: str) -> str:
    name, *values = value.split() or [""]
    if not values:
        raise BridgeError("/set parameter wants a name and a value, as in temperature 0.2")
    read = [_value(text) for text in values]
    talk.options[name] = read if name == "stop" else read[0]
    return f"Set parameter {name} to {' '.join(values)}."


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _set_think(talk: Talk, value: str) -> str:
    talk.think = thinking(value or "true")
    return "Set think mode." if value == "" else f"Set think to {value}."


def _set_nothink(talk: Talk, _: str) -> str:
    talk.think = False
    return "Set nothink mode."


def _set_verbose(talk: Talk, _: str) -> str:
    talk.verbose = True
    return "Set verbose mode."


def _set_quiet(talk: Talk, _: str) -> str:
    talk.verbose = False
    return "Set quiet mode."


def _set_format(talk: Talk, value: str) -> str:
    talk.format = output_format(value)
    return "Set the format of answers."


def _set_noformat(talk: Talk, _: str) -> str:
    talk.format = None
    return "Answers may have any format."


_SETTINGS: dict[str, Callable[[Talk, str], str]] = {
    "system": _set_system,
    "parameter": _set_parameter,
    "think": _set_think,
    "nothink": _set_nothink,
    "verbose": _set_verbose,
    "quiet": _set_quiet,
    "format": _set_format,
    "noformat": _set_noformat,
}


def _show(talk: Talk, rest: str, _: Show) -> str:
    tell = _FACTS.get(rest or "info")
    if tell is None:
        raise BridgeError(f"/show knows {', '.join(_FACTS)}")
    return tell(talk) or f"There is no {rest}."


def _info(talk: Talk) -> str:
    facts = talk.facts.get("model_info", {})
    architecture = facts.get("general.architecture", "")
    wanted = "the model's default" if talk.think is None else str(talk.think).lower()
    rows = {
        "model": talk.model,
        "context length": facts.get(f"{architecture}.context_length"),
        "capabilities": ", ".join(talk.facts.get("capabilities", ())),
        "thinking": wanted,
        "messages so far": len(talk.messages),
    }
    return _lines((name, value) for name, value in rows.items() if value not in (None, ""))


def _parameters(talk: Talk) -> str:
    own = _lines((name, json.dumps(value)) for name, value in talk.options.items())
    return "\n".join(filter(None, (str(talk.facts.get("parameters", "")).strip(), own)))


def _lines(rows: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"{name:<16}  {value}" for name, value in rows)


_FACTS: dict[str, Callable[[Talk], str]] = {
    "info": _info,
    "parameters": _parameters,
    "system": lambda talk: talk.system or str(talk.facts.get("system", "")),
    "modelfile": lambda talk: str(talk.facts.get("modelfile", "")),
    "template": lambda talk: str(talk.facts.get("template", "")),
    "license": lambda talk: str(talk.facts.get("license", "")),
}


def _load(talk: Talk, rest: str, show: Show) -> str:
    if not rest:
        raise BridgeError("/load wants the name of a model")
    talk.facts, talk.model = show(rest), rest  # an unknown one changes nothing
    talk.messages.clear()
    return f"Talking to {rest} now."


def _clear(talk: Talk, _: str, __: Show) -> str:
    talk.messages.clear()
    return "Forgot what was said."


def _help(_: Talk, __: str, ___: Show) -> str:
    return HELP


def _bye(_: Talk, __: str, ___: Show) -> str:
    raise Leave


_COMMANDS: dict[str, Callable[[Talk, str, Show], str]] = {
    "/set": _set,
    "/show": _show,
    "/load": _load,
    "/clear": _clear,
    "/help": _help,
    "/?": _help,
    "/bye": _bye,
}
