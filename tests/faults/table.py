"""FAULTS.md: written from what the tests observe, and held against it by the same tests."""

import os
import re
from pathlib import Path

FILE = Path(__file__).parents[2] / "FAULTS.md"
LONGEST = 110
"""Most characters of a cell."""

RENEW = bool(os.environ.get("RENEW"))

_INTRODUCTION = """# Faults

What the bridge does when something breaks. `make faults` writes this file from what the tests in
`tests/faults` see; each of these tests holds its own cell, so it is never out of date.
"""

Lines = dict[tuple[str, ...], dict[str, str]]


class Table:
    """One table; its lines are known by their first cells."""

    def __init__(self, title: str, about: str, keys: tuple[str, ...], columns: tuple[str, ...]):
        self.title, self.about, self.keys, self.columns = title, about, keys, columns
        self._seen: Lines = {}

    def see(self, key: tuple[str, ...], column: str, said: str) -> None:
        """What was observed: it must be what the file says, unless the file is being made."""
        if RENEW:
            self._seen.setdefault(key, {})[column] = said
            return
        assert column in self.columns
        known = self.told().get(key)
        assert known is not None, f"{FILE.name} has no line {key}: make faults"
        assert known[column] == said, f"{FILE.name} says otherwise (make faults, if this is meant)"

    def told(self) -> Lines:
        """What the file says."""
        section = FILE.read_text(encoding="utf-8").partition(f"## {self.title}\n")[2]
        rows = [line for line in section.partition("\n## ")[0].splitlines() if line[:1] == "|"]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]
        number = len(self.keys)
        return {
            tuple(line[:number]): dict(zip(self.columns, line[number:], strict=True))
            for line in cells
        }

    def text(self, order: list[tuple[str, ...]]) -> str:
        """The table in Markdown."""
        names = [*self.keys, *self.columns]
        lines = [f"## {self.title}\n", f"{self.about}\n", _row(names), _row(["---"] * len(names))]
        for key in order:
            seen = self._seen.get(key, {})
            lines += [_row([*key, *(seen.get(column, "") for column in self.columns)])]
        return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """Text that can be read in a cell."""
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = " ".join(text.replace("|", " ").replace("\ufffd", " ").split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def write(sections: list[str]) -> None:
    """The file anew."""
    FILE.write_text("\n".join([_INTRODUCTION, *sections]), encoding="utf-8")
