"""What the tray knows of the daemon at one moment; pure."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Phase(enum.Enum):
    """Where the daemon is in its life."""

    STOPPED = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    STOPPING = enum.auto()
    SILENT = enum.auto()
    """Its process is there and does not answer."""


class Look(enum.Enum):
    """What the icon shows."""

    STOPPED = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    BUSY = enum.auto()
    ERROR = enum.auto()


@dataclass(frozen=True, slots=True)
class Provider:
    """One service that answers."""

    name: str
    models: int | None = None
    """None while it has not told."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed."""

    number: int
    """Counts the failures of one daemon."""
    time: str
    model: str
    error: str


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon as it was last seen."""

    phase: Phase = Phase.STOPPED
    problem: str = ""
    """Why it does not run, when it should."""
    instance: str = ""
    address: str = ""
    config: str = ""
    """Its settings file."""
    settings_error: str = ""
    default_provider: str = ""
    default_model: str = ""
    """What the name `default` stands for; empty while the user has chosen none."""
    providers: tuple[Provider, ...] = ()
    models: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    """Models that are answering, one for each request."""
    failures: tuple[Failure, ...] = ()
    """Oldest first."""

    @property
    def look(self) -> Look:
        """The icon for this status."""
        if self.phase is Phase.RUNNING:
            if self.settings_error or self._is_mute():
                return Look.ERROR
            return Look.BUSY if self.running else Look.RUNNING
        if self.phase in _ON_THE_WAY:
            return Look.STARTING
        return Look.ERROR if self.problem or self.phase is Phase.SILENT else Look.STOPPED

    @property
    def troubles(self) -> dict[str, str]:
        """What is wrong now and lasts until somebody mends it, by what it is about."""
        lasting = {"": self.problem, "settings": self.settings_error}
        lasting |= {provider.name: provider.error for provider in self.providers}
        return {about: text for about, text in lasting.items() if text}

    def _is_mute(self) -> bool:
        """Whether those who matter cannot answer: the default provider, or every one."""
        failed = [provider.name for provider in self.providers if provider.error]
        everyone = len(failed) == len(self.providers) > 0
        return everyone or self.default_provider in failed


_ON_THE_WAY = (Phase.STARTING, Phase.STOPPING)


def running(address: str, told: Mapping[str, Any], models: Sequence[str]) -> Status:
    """What a daemon told of itself; one of another version may leave things out."""
    return Status(
        phase=Phase.RUNNING,
        instance=told.get("instance", ""),
        address=address,
        config=told.get("config", ""),
        settings_error=told.get("settings_error") or "",
        default_provider=told.get("default_provider", ""),
        default_model=told.get("default_model", ""),
        providers=tuple(
            Provider(row["name"], row.get("models"), row.get("error") or "")
            for row in told.get("providers", ())
        ),
        models=tuple(models),
        running=tuple(told.get("answering", ())),
        failures=tuple(
            Failure(row["number"], row["time"], row["model"], row["error"])
            for row in told.get("failures", ())
        ),
    )


@dataclass(slots=True)
class News:
    """Tells each new error once."""

    _troubles: dict[str, str] = field(default_factory=dict)
    _instance: str = ""
    _number: int = 0
    """Of the last failure that was looked at."""
    _told: set[str] = field(default_factory=set)
    """Failures of this daemon: the same one again is no news."""

    def read(self, status: Status) -> list[str]:
        """What to tell the user now."""
        return self._new_troubles(status) + self._new_failures(status)

    def _new_troubles(self, status: Status) -> list[str]:
        now = status.troubles
        new = [text for about, text in now.items() if self._troubles.get(about) != text]
        self._troubles = now  # what went away and comes back is told again
        return new

    def _new_failures(self, status: Status) -> list[str]:
        if status.phase is not Phase.RUNNING:
            return []
        last = status.failures[-1].number if status.failures else 0
        if status.instance != self._instance:
            is_first = not self._instance  # a tray that begins does not tell old stories
            self._instance, self._told = status.instance, set()
            self._number = last if is_first else 0
        new = [failure for failure in status.failures if failure.number > self._number]
        self._number = last
        texts = dict.fromkeys(of(failure) for failure in new if failure.error not in self._told)
        self._told |= {failure.error for failure in new}
        return list(texts)


def of(failure: Failure) -> str:
    """A failure in one line."""
    return f"{failure.model}: {failure.error}" if failure.model else failure.error
