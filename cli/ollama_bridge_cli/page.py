"""ui: the daemon's page in the browser."""

from typing import Annotated

import typer

from ollama_bridge import browser

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
    if not only_print and browser.opened(daemon.page):
        user.say(f"Opened {daemon.address}/_bridge/ui in the browser.")
    else:
        render.result(daemon.page)
