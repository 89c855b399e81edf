"""ui: the daemon's page in the browser."""

import os
import sys
from typing import Annotated

import typer

from ollama_bridge.instance import page_token

from . import render, session


def page(
    context: typer.Context,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the address and open nothing.")
    ] = False,
) -> None:
    """Open a page with providers, models and requests in the browser."""
    user = session.of(context)
    daemon = user.client().daemon
    # behind the #: browsers send that part to nobody. It only lets look, never change.
    address = f"{daemon.address}/_bridge/ui#token={page_token(daemon.token)}"
    if not only_print and _has_screen() and _opened(address):
        user.say(f"Opened {daemon.address}/_bridge/ui in the browser.")
    else:
        render.result(address)


def _has_screen() -> bool:
    """Browsers of the terminal cannot show the page, so one that needs a display is wanted."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _opened(address: str) -> bool:
    import webbrowser  # only needed here

    return webbrowser.open(address)
