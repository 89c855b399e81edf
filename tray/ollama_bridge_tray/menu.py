"""The menu as values: Status in, entries out; pure."""

import enum
from dataclasses import dataclass
from datetime import datetime

from ollama_bridge import config

from . import status as seen
from .status import Phase, Status

LONGEST = 72
"""Most characters of an entry; some panels make the menu as wide as its longest."""

LONGEST_TOOLTIP = 127
"""What Windows has room for."""

MOST_MODELS = 30
"""More than these go into menus of their own, one for each provider."""

MOST_OF_ONE = 100


class Button(enum.Enum):
    """What an entry does when it is clicked."""

    START = enum.auto()
    STOP = enum.auto()
    RESTART = enum.auto()
    DEFAULT_MODEL = enum.auto()
    DEFAULT_PROVIDER = enum.auto()
    COPY = enum.auto()
    OPEN_PAGE = enum.auto()
    OPEN_LOGS = enum.auto()
    OPEN_SETTINGS = enum.auto()
    START_AT_LOGIN = enum.auto()
    QUIT = enum.auto()
    QUIT_AND_STOP = enum.auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu; without a button or entries it cannot be clicked."""

    text: str
    button: Button | None = None
    value: str = ""
    """What the button is pressed with."""
    checked: bool | None = None
    radio: bool = False
    default: bool = False
    """Done by a click on the icon itself, where the panel has such a click."""
    entries: tuple["Entry", ...] = ()


SEPARATOR = Entry("-")


def entries(status: Status, *, at_login: bool) -> list[Entry]:
    """The whole menu."""
    return [
        *_headlines(status),
        SEPARATOR,
        _toggle(status),
        Entry("Restart", Button.RESTART if status.phase in _UP else None),
        SEPARATOR,
        Entry("Models", entries=_models(status)),
        Entry("Providers", entries=_providers(status)),
        Entry("Recent errors" if _errors(status) else "No errors", entries=_errors(status)),
        SEPARATOR,
        _copy_url(status),
        Entry("Open page", Button.OPEN_PAGE if status.phase is Phase.RUNNING else None),
        Entry("View logs", Button.OPEN_LOGS),
        Entry("Edit settings", Button.OPEN_SETTINGS),
        Entry("Start at login", Button.START_AT_LOGIN, checked=at_login),
        SEPARATOR,
        Entry("Quit tray", Button.QUIT),
        Entry("Quit and stop bridge", Button.QUIT_AND_STOP),
    ]


def tooltip(status: Status) -> str:
    """The first lines of the menu."""
    return "\n".join(entry.text for entry in _headlines(status))[:LONGEST_TOOLTIP]


_PHASES = {
    Phase.STOPPED: "stopped",
    Phase.STARTING: "starting",
    Phase.RUNNING: "{address}",
    Phase.STOPPING: "stopping",
    Phase.SILENT: "does not answer",
}

_UP = (Phase.RUNNING, Phase.SILENT)


def _headlines(status: Status) -> list[Entry]:
    second = _answering(status) if status.phase is Phase.RUNNING else status.problem
    first = f"Ollama Bridge: {_PHASES[status.phase].format(address=status.address)}"
    lines = [first, second]
    return [Entry(_short(line)) for line in lines if line]


def _answering(status: Status) -> str:
    if status.settings_error:
        return "The settings have an error; the old ones are in use"
    if not status.running:
        return "Idle"
    names = ", ".join(dict.fromkeys(status.running))
    more = f" ({len(status.running)} requests)" if len(status.running) > 1 else ""
    return f"Answering: {names}{more}"


def _toggle(status: Status) -> Entry:
    if status.phase in _UP:
        return Entry("Stop", Button.STOP)
    if status.phase is Phase.STOPPED:
        return Entry("Start", Button.START, default=True)
    return Entry("Stop" if status.phase is Phase.STOPPING else "Start")


def _copy_url(status: Status) -> Entry:
    text = "Copy server URL"
    if status.phase is not Phase.RUNNING:
        return Entry(text)
    return Entry(text, Button.COPY, status.address, default=True)


def _models(status: Status) -> tuple[Entry, ...]:
    """One of them is what clients get that ask for `default`."""
    if status.phase is not Phase.RUNNING:
        return ()
    names = [name for name in status.models if name.casefold() != config.DEFAULT_MODEL]
    if not names:
        return (Entry("No models yet"),)
    headline = Entry(f'Clients that ask for "{config.DEFAULT_MODEL}" get:')
    if len(names) <= MOST_MODELS:
        return (headline, *[_model(status, name) for name in names])
    chosen = [_model(status, status.default_model)] if status.default_model else []
    return (headline, *chosen, SEPARATOR, *_by_provider(status, names))


def _model(status: Status, name: str) -> Entry:
    is_default = name.casefold() == status.default_model.casefold()
    return Entry(_short(name), Button.DEFAULT_MODEL, name, checked=is_default, radio=True)


def _by_provider(status: Status, names: list[str]) -> list[Entry]:
    others = {provider.name for provider in status.providers} - {status.default_provider}
    groups: dict[str, list[str]] = {}
    for name in names:
        head, slash, _ = name.partition("/")
        owner = head if slash and head in others else status.default_provider
        groups.setdefault(owner, []).append(name)
    return [
        Entry(
            _short(f"{owner}: {_count(len(found), 'model')}"),
            entries=(
                *[_model(status, name) for name in found[:MOST_OF_ONE]],
                *_left_out(len(found) - MOST_OF_ONE),
            ),
        )
        for owner, found in groups.items()
    ]


def _left_out(number: int) -> list[Entry]:
    command = f"ollama-bridge models alias {config.DEFAULT_MODEL} NAME"
    return [Entry(f"… {number} more: {command}")] if number > 0 else []


def _providers(status: Status) -> tuple[Entry, ...]:
    if status.phase is not Phase.RUNNING:
        return ()
    rows = [_provider(status, row) for row in status.providers]
    return (Entry("The default provider, whose models have bare names:"), *rows)


def _provider(status: Status, row: seen.Provider) -> Entry:
    told = "no list yet" if row.models is None else _count(row.models, "model")
    return Entry(
        _short(f"{row.name}: {row.error or told}"),
        Button.DEFAULT_PROVIDER,
        row.name,
        checked=row.name == status.default_provider,
        radio=True,
    )


def _errors(status: Status) -> tuple[Entry, ...]:
    """What is wrong now, then what went wrong, newest first; a click copies the whole text."""
    now = [Entry(_short(text), Button.COPY, text) for text in status.troubles.values()]
    past = [
        Entry(_short(f"{_local(failure.time)} {text}"), Button.COPY, text)
        for failure in reversed(status.failures)
        for text in [seen.of(failure)]
    ]
    between = [SEPARATOR] if now and past else []
    return (*now, *between, *past)


def _local(stamp: str) -> str:
    """The user's own time of day."""
    try:
        return f"{datetime.fromisoformat(stamp).astimezone():%H:%M}"
    except ValueError:
        return ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
