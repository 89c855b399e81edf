"""setup: tell other programs where the bridge is; without a program, set the bridge up."""

import difflib
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ollama_bridge import client_files, clients, instance
from ollama_bridge.clients import CLIENTS, Client
from ollama_bridge.errors import BridgeError, NotRunning

from . import guide, render, session
from .arguments import AsJson
from .session import Session

_ANY_MODEL = "MODEL"


def setup(
    context: typer.Context,
    client: Annotated[
        str | None,
        typer.Argument(
            metavar="[CLIENT]",
            help=f"One of {', '.join(CLIENTS)}.",
            autocompletion=lambda incomplete: [
                name for name in CLIENTS if name.startswith(incomplete)
            ],
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model it should use.")] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Change its file without asking, after a copy.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the change and make none.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Set up a client such as VS Code; without one, set up a service, step by step."""
    user = session.of(context)
    if client is None:
        _without_client(user, as_json=as_json)
        return
    row = CLIENTS.get(client)
    if row is None:
        raise typer.BadParameter(f"there is no client {client}; there are: {', '.join(CLIENTS)}")
    address, chosen = _address(user), model or _some_model(user)
    steps, file = clients.steps(row, address, chosen), clients.file(row)
    if as_json:
        found = {"client": client, "title": row.title, "address": address, "model": chosen}
        render.document({**found, "steps": steps, "file": str(file) if file else None})
        return
    render.result(f"{row.title}:")
    for step in steps:
        render.result(f"  {step}")
    if file is not None:
        _offer(user, row, file, (address, chosen), write=write, dry_run=dry_run)


def _without_client(user: Session, *, as_json: bool) -> None:
    if as_json:
        listed = [{"name": name, "title": row.title} for name, row in CLIENTS.items()]
        render.document({"clients": listed})
    elif guide.is_attended():
        guide.through(user)
    else:
        user.table(["client", "name"], [[name, row.title] for name, row in CLIENTS.items()])
        user.say(guide.PLAIN)


def _address(user: Session) -> str:
    try:
        return user.client().daemon.address
    except NotRunning:
        server = user.load().server
        return instance.url(server.host, server.port)


def _some_model(user: Session) -> str:
    """The first that can chat and use tools; a placeholder while no daemon tells."""
    try:
        models = user.client().tags()["models"]
    except BridgeError:
        return _ANY_MODEL
    able = [row for row in models if "tools" in row.get("capabilities", ())]
    return str(able[0]["name"]).removesuffix(":latest") if able else _ANY_MODEL


def _offer(
    user: Session,
    row: Client,
    file: Path,
    filled: tuple[str, str],
    *,
    write: bool,
    dry_run: bool,
) -> None:
    """Show the change to its file; make it when told to."""
    edits: list[tuple[tuple[str, ...], Any]] = clients.edits(row, *filled)
    if _ANY_MODEL in str([value for _, value in edits]):
        user.say("Name a model with --model to have its file changed.")
        return
    before, after = client_files.changed(file, edits)
    if before == after:
        user.say(f"{file} says so already.")
        return
    render.result(f"\n{file}:")
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2):
        if not line.startswith(("---", "+++")):
            render.result(f"  {line}")
    if dry_run or not (write or _confirmed(file)):
        user.say("Nothing was changed." if dry_run else f"{file} was not changed; --write does it.")
        return
    copy = client_files.write(file, after, datetime.now().astimezone())
    user.say(f"Changed {file}" + (f"; the old one is {copy}" if copy else ""))


def _confirmed(file: Path) -> bool:
    attended = sys.stdin.isatty() and sys.stdout.isatty()
    return attended and typer.confirm(f"Change {file}?", default=False)
