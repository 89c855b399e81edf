"""What a check comes to."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "hint", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to do about it."""

    level: Level
    says: str
    remedy: str = ""


def ok(says: str) -> Finding:
    """All is well."""
    return Finding("ok", says)


def hint(says: str, remedy: str = "") -> Finding:
    """Worth knowing; nothing is broken."""
    return Finding("hint", says, remedy)


def fault(says: str, remedy: str) -> Finding:
    """Something does not work, or will not."""
    return Finding("fault", says, remedy)
