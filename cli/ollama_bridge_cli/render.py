"""How things look: results on standard output, messages on standard error."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import typer

_WIDE = 10_000
"""Columns of a pipe: what reads it wants whole lines."""


def document(fields: Mapping[str, Any]) -> None:
    """One JSON document with the number of its layout first."""
    result(json.dumps({"schema": 1} | dict(fields), indent=2, ensure_ascii=False))


def result(text: str) -> None:
    """A line for whoever reads standard output."""
    typer.echo(text, color=True)  # True: as it is, nothing taken out


def piece(text: str) -> None:
    """A part of a line, shown at once."""
    typer.echo(text, nl=False, color=True)


def message(text: str) -> None:
    """A line for the person; never read by a program."""
    typer.echo(text, err=True)


def table(headers: list[str], rows: list[list[str]], *, color: bool) -> None:
    """Columns that fit the terminal, or as wide as they are in a pipe."""
    from rich.console import Console  # 50 ms, and --help wants none of it
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for header in headers:
        grid.add_column(header.upper(), overflow="fold")
    for row in rows:
        grid.add_row(*[Text(cell) for cell in row])  # Text: a [name] is no markup
    width = None if sys.stdout.isatty() else _WIDE
    console = Console(width=width, no_color=not color, highlight=False)
    with console.capture() as drawn:
        console.print(grid)
    for line in drawn.get().splitlines():
        result(line.rstrip())


def facts(fields: Mapping[str, Any]) -> None:
    """Names and values, one a line; what is empty is left out."""
    shown = {name: _text(value) for name, value in fields.items()}
    width = max((len(name) for name, text in shown.items() if text), default=0)
    for name, text in shown.items():
        if text:
            result(f"{name:<{width}}  {text}")


def count(number: int, noun: str) -> str:
    """`1 model`, `2 models`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {item}" for key, item in value.items())
    return str(value)
