"""MATRIX.md: which service and which case, written by the tests and held by them (`make matrix`)."""

from pathlib import Path

from faults import table

FILE = Path(__file__).parents[1] / "MATRIX.md"
RENEW = table.RENEW

_INTRODUCTION = """# Matrix

What has been tried with which service. `make matrix` writes this file from what the tests see; each
of these tests holds its own cell, so it is never out of date and no cell is empty.
"""


def section(title: str, about: str, keys: tuple[str, ...], columns: tuple[str, ...]) -> table.Table:
    """One of its tables."""
    return table.Table(title, about, keys, columns, FILE)


def check(one: table.Table, order: list[tuple[str, ...]]) -> None:
    """The last test of a table: no line and no cell is missing. Writes it when it is being made."""
    if RENEW:
        table.put(one, order, _INTRODUCTION)
    told = one.told()
    assert list(told) == order
    empty = [(key, name) for key, line in told.items() for name, cell in line.items() if not cell]
    assert empty == []
