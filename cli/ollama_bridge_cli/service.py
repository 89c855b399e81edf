"""service: the daemon under the system's service manager, so that it is there at every login."""

import os
from collections.abc import Callable
from typing import Annotated

import typer

from ollama_bridge import process
from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.service import managers, plan
from ollama_bridge.service.managers import Manager

from . import lifecycle, render, session
from .arguments import AsJson
from .session import Session

Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the daemon.")]


def install(context: typer.Context, timeout: Timeout = 30.0, as_json: AsJson = False) -> None:
    """Install the service and start it; again, to take new flags or a new executable."""
    user = session.of(context)
    user.load()  # a service with broken settings would only fail
    manager = _manager(user)
    manager.check()
    process.stop(user.state, waiting=lambda n: user.say(lifecycle.waits(n)))
    manager.install()
    running = process.start(process.Start(user.config_flag, service=True), timeout)
    if as_json:
        render.document(_facts(manager) | {"address": running.daemon.address})
        return
    render.result(f"Installed: {manager.place}")
    render.result(f"Ollama Bridge answers at {running.daemon.address}, now and after each login")
    for hint in _hints(user, manager):
        user.say(hint)


def uninstall(context: typer.Context, as_json: AsJson = False) -> None:
    """Stop the service and take it away."""
    user = session.of(context)
    manager = _manager(user)
    if manager.serves(user.state):
        process.stop(user.state, waiting=lambda n: user.say(lifecycle.waits(n)))
    removed = manager.uninstall()
    if as_json:
        render.document({"installed": False, "removed": removed})
    else:
        user.say(f"Removed: {manager.place}" if removed else "The service was not installed.")


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whether the service is installed and runs."""
    user = session.of(context)
    facts = _facts(_manager(user))
    if as_json:
        render.document(facts)
    else:
        render.facts(facts)


def show(context: typer.Context) -> None:
    """Print what `install` would write."""
    render.result(_manager(session.of(context)).text().rstrip("\n"))


def _manager(user: Session) -> Manager:
    return managers.here(plan.plan(user.config_flag))


def _facts(manager: Manager) -> dict[str, object]:
    state = manager.state()
    return {
        "kind": manager.kind,
        "place": manager.place,
        "installed": state.installed,
        "enabled": state.enabled,
        "running": state.running,
        "detail": state.detail,
    }


def _hints(user: Session, manager: Manager) -> list[str]:
    hints = []
    rows = user.load().providers.values()
    names = [name for row in rows for name in (row.key_variable, row.key.removeprefix("env:"))]
    only_here = sorted({name for name in names if name and os.environ.get(name)})
    if only_here:
        hints.append(
            f"The service does not see {', '.join(only_here)} of this shell: store keys with "
            f"`ollama-bridge keys set NAME`, such as {next(iter(PRESETS))}."
        )
    hints += manager.hints
    return hints


COMMANDS: dict[str, Callable[..., None]] = {
    "install": install,
    "uninstall": uninstall,
    "status": status,
    "print": show,
}
