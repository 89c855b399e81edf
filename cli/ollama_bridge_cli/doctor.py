"""doctor: everything that can be wrong, each with its remedy."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from . import render, session
from .arguments import AsJson
from .session import Session

if TYPE_CHECKING:
    from ollama_bridge.doctor.finding import Finding

_MARKS = {"ok": ("ok", typer.colors.GREEN), "hint": ("hint", typer.colors.YELLOW)}
_FAULT = ("FAULT", typer.colors.RED)
_WIDTH = 17


def doctor(
    context: typer.Context,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask every provider, with its key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look for everything that can be wrong, and tell the remedy."""
    from ollama_bridge.doctor import checks  # they import what no other command needs
    from ollama_bridge.doctor.situation import Situation

    user = session.of(context)
    here = Situation(os.environ, user.config_path, user.state, online)
    found = []
    for check in checks.CHECKS:
        for finding in checks.run(check, here):
            found.append((check.name, finding))
            if not as_json:
                _print(user, check.name, finding)
    faults = [finding for _, finding in found if finding.level == "fault"]
    if as_json:
        rows = [
            {"check": name, "level": one.level, "says": one.says, "remedy": one.remedy}
            for name, one in found
        ]
        render.document({"ok": not faults, "findings": rows})
    else:
        user.say(f"{render.count(len(faults), 'fault')} found." if faults else "No faults found.")
    if faults:
        raise typer.Exit(1)


def _print(user: Session, name: str, finding: "Finding") -> None:
    if user.quiet and finding.level == "ok":
        return
    mark, color = _MARKS.get(finding.level, _FAULT)
    shown = typer.style(f"{mark:<5}", fg=color, bold=finding.level == "fault")
    render.result(f"{shown if user.color else f'{mark:<5}'}  {name:<{_WIDTH}}{finding.says}")
    for number, line in enumerate(finding.remedy.splitlines()):
        render.result(f"{'':<{7 + _WIDTH}}{'-> ' if number == 0 else '   '}{line}")
