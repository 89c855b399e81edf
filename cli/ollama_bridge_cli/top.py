"""top: running and recent requests, live on a terminal and as one snapshot elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ollama_bridge.client import Client

from . import render, session

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = dict[str, Any]

EVERY = 1.0
"""Seconds between two looks at the daemon."""

HEADERS = ("time", "model", "provider", "result", "first", "total", "in", "out", "tok/s", "cost")
_NUMBERS = frozenset(HEADERS[4:])


def top(
    context: typer.Context,
    number: Annotated[int, typer.Option("-n", min=1, help="How many recent requests.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, once.")] = False,
) -> None:
    """Watch requests as they come; q or Ctrl-C leaves."""
    user = session.of(context)
    running = user.client()
    if as_json:
        render.document(
            {key: value for key, value in running.requests().items() if key != "schema"}
        )
    elif sys.stdin.isatty() and sys.stdout.isatty():
        _watch(user, running, number)
    else:
        told = running.requests()
        render.result(summary(told))
        user.table(list(HEADERS), [cells(row) for row in latest(told, number)])


def _watch(user: session.Session, running: Client, number: int) -> None:
    from rich.console import Console  # 50 ms, and --help wants none of it
    from rich.live import Live

    console = Console(no_color=not user.color, highlight=False)
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            rows = max(1, min(number, console.height - 4))
            live.update(_picture(running.requests(), rows, running.daemon.address), refresh=True)
            if pressed(EVERY) in ("q", "Q", "\x03"):
                return


def _picture(told: Row, number: int, address: str) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_edge=False, header_style="bold", expand=True)
    for header in HEADERS:
        grid.add_column(
            header.upper(),
            justify="right" if header in _NUMBERS else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio={"model": 3, "provider": 1, "result": 2}.get(header),
        )
    for row in latest(told, number):
        grid.add_row(*[Text(cell) for cell in cells(row)], style=_style(row))
    head = Text.assemble(("Ollama Bridge ", "bold"), f"{address}   {summary(told)}")
    nothing = Text("No requests yet.", style="dim")
    body = grid if told["running"] or told["recent"] else nothing
    return Group(head, Text("q leaves", style="dim"), body)


def _style(row: Row) -> str:
    if row["status"] is None:
        return "yellow"
    return "red" if row["error"] else ""


def latest(told: Row, number: int) -> list[Row]:
    """Running requests first, then the last ones, newest first."""
    rows: list[Row] = [*reversed(told["running"]), *reversed(told["recent"])]
    return rows[:number]


def summary(told: Row) -> str:
    """One line about all of them."""
    recent = told["recent"]
    failed = sum(1 for row in recent if row["error"])
    costs = [row["cost"] for row in recent if row["cost"] is not None]
    out = sum(row["tokens_out"] for row in recent)
    parts = [
        f"{len(told['running'])} running",
        f"{render.count(len(recent), 'recent request')}",
        f"{failed} failed",
        f"{out} tokens out",
        *([f"{money(sum(costs))} where prices are known"] if costs else []),
    ]
    return ", ".join(parts)


def cells(row: Row) -> list[str]:
    """One request as the table shows it."""
    speed, cost = row["tokens_per_second"], row["cost"]
    return [
        f"{datetime.fromisoformat(row['time'][:19] + '+00:00').astimezone():%H:%M:%S}",
        row["model"],
        row["provider"],
        _result(row),
        _seconds(row["first_ms"]),
        _seconds(row["total_ms"]),
        str(row["tokens_in"]),
        str(row["tokens_out"]),
        "-" if speed is None else f"{speed:.1f}",
        "-" if cost is None else money(cost),
    ]


def money(dollars: float) -> str:
    """Dollars with as many digits as make sense of a small sum."""
    return f"${dollars:.2f}" if dollars >= 0.01 or not dollars else f"${dollars:.5f}"


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f}s" if milliseconds else "-"


def _result(row: Row) -> str:
    if row["status"] is None:
        return "running"
    if row["error"]:
        return str(row["error"])
    return "client left" if row["gone"] else str(row["status"])


@contextmanager
def _keys() -> Iterator[Any]:
    """Reads single keys: `pressed(seconds)` gives the next one, or "" when none comes in time."""
    if sys.platform == "win32":
        import msvcrt
        import time

        def pressed(seconds: float) -> str:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if msvcrt.kbhit():
                    return msvcrt.getwch()
                time.sleep(0.05)
            return ""

        yield pressed
        return
    import os
    import select
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def pressed(seconds: float) -> str:
        ready = select.select([terminal], [], [], seconds)[0]
        return os.read(terminal, 1).decode(errors="replace") if ready else ""

    try:
        tty.setcbreak(terminal)
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
