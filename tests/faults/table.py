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

    def __init__(
        self,
        title: str,
        about: str,
        keys: tuple[str, ...],
        columns: tuple[str, ...],
        file: Path = FILE,
    ):
        self.title, self.about, self.keys, self.columns = title, about, keys, columns
        self.file = file
        """Where it stands."""
        self._seen: Lines = {}

    def see(self, key: tuple[str, ...], column: str, said: str) -> None:
        """What was observed: it must be what the file says, unless the file is being made."""
        if RENEW:
            self._seen.setdefault(key, {})[column] = said
            return
        assert column in self.columns
        known = self.told().get(key)
        make = f"make {self.file.stem.lower()}"
        assert known is not None, f"{self.file.name} has no line {key}: {make}"
        assert known[column] == said, f"{self.file.name} says otherwise ({make}, if this is meant)"

    def told(self) -> Lines:
        """What the file says."""
        if not self.file.exists():
            return {}
        section = self.file.read_text(encoding="utf-8").partition(f"## {self.title}\n")[2]
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
        known = self.told()  # a part of the tests may be run
        for key in order:
            seen = known.get(key, {}) | self._seen.get(key, {})
            lines += [_row([*key, *(seen.get(column, "") for column in self.columns)])]
        return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell(text: str) -> str:
    """Text that can be read in a cell."""
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    text = " ".join(text.replace("|", " ").replace("\ufffd", " ").split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def write(sections: list[str], file: Path = FILE, introduction: str = _INTRODUCTION) -> None:
    """The file anew."""
    file.write_text("\n".join([introduction, *sections]), encoding="utf-8")


def put(one: Table, order: list[tuple[str, ...]], introduction: str = _INTRODUCTION) -> None:
    """One table anew in a file of several, in its place or at the end."""
    old = one.file.read_text(encoding="utf-8") if one.file.exists() else introduction
    head, found, rest = old.partition(f"## {one.title}\n")
    _, mark, behind = rest.partition("\n## ") if found else ("", "", "")
    text = head.rstrip("\n") + "\n\n" + one.text(order)
    one.file.write_text(text + (mark + behind if mark else ""), encoding="utf-8")
