"""uninstall: everything the bridge left on the machine, but for settings and keys."""

import os
import subprocess

import typer

from ollama_bridge import leftovers, process
from ollama_bridge.service import managers, plan

from . import lifecycle, render, session
from .arguments import AsJson

_SECONDS = 20.0


def uninstall(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Stop the bridge and take away its service, login entries, logs and state.

    Settings and keys stay; the program itself goes with pipx.
    """
    user = session.of(context)
    leftovers.refuse_a_tray(user.state)
    process.stop(user.state, waiting=lambda n: user.say(lifecycle.waits(n)))
    managers.here(plan.plan(user.config_flag)).uninstall()
    _forget_the_icon()
    left = leftovers.clear(user.state)
    if as_json:
        told = {"settings": str(user.config_path), "left": [str(path) for path in left]}
        render.document({"removed": str(user.state), **told})
        return
    for path in left:
        user.say(f"Left alone, because it is not the bridge's: {path}")
    user.say(f"Removed: {user.state}, and what started with the session.")
    if user.config_path.exists():
        user.say(f"Your settings stay in {user.config_path}")
    user.say("Keys stay in the keyring: `ollama-bridge keys remove NAME`, before the last step.")
    user.say("Last: pipx uninstall ollama-bridge")


def _forget_the_icon() -> None:
    """The icon's own program knows where its login entry is."""
    subprocess.run(  # noqa: S603 - our own program
        [*process.program("ollama_bridge_tray"), "--remove-autostart"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(os.environ),
        timeout=_SECONDS,
        check=False,
    )
