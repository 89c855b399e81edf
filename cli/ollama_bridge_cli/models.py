"""models list, show, test, alias, unalias: what there is to talk to, and under which names."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollama_bridge import editing
from ollama_bridge.client import Client
from ollama_bridge.providers import quirks

from . import completing, render, session, trial

Model = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A model or alias.", autocompletion=completing.models),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """List all models the daemon offers."""
    user = session.of(context)
    models = user.client().tags()["models"]
    if as_json:
        render.document({"models": models})
        return
    rows = [[model["name"], _context(model), _capabilities(model)] for model in models]
    user.table(["name", "context", "capabilities"], rows)
    if not models:
        user.say("No models yet; `ollama-bridge status` tells which provider has a problem.")


def show(context: typer.Context, name: Model, as_json: AsJson = False) -> None:
    """Show what is known of one model."""
    client = session.of(context).client()
    found = client.show(name)
    learned = _learned(client, _origin(found.get("modelfile", "")))
    if as_json:
        render.document({"name": name} | found | {"learned": learned})
        return
    details = found.get("model_info", {})
    architecture = details.get("general.architecture", "")
    render.facts(
        {
            "name": name,
            "answered by": _origin(found.get("modelfile", "")),
            "context length": details.get(f"{architecture}.context_length"),
            "embedding length": details.get(f"{architecture}.embedding_length"),
            "capabilities": found.get("capabilities"),
            "parameters": found.get("parameters", "").split("\n"),
            "system": found.get("system"),
            "license": found.get("license"),
            "learned": quirks.explained(learned),
        }
    )


def check(context: typer.Context, name: Model, as_json: AsJson = False) -> None:
    """Try what a model is said to do: chat, tools, thinking, embeddings. Costs a few tokens."""
    user = session.of(context)
    rows = trial.of(user.client(), name)
    if as_json:
        render.document({"name": name, "tests": rows})
    else:
        user.table(["ability", "works", "what it did"], [_cells(row) for row in rows])
    if any(row["ok"] is False for row in rows):
        raise typer.Exit(1)


def alias(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Your name.")] = None,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET…",
            help="provider/model, tried in this order.",
            autocompletion=completing.models,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give a model a name of your own; without arguments, list such names."""
    user = session.of(context)
    if name is None:
        _list_aliases(user, as_json=as_json)
        return
    if not targets:
        raise typer.BadParameter("name at least one model, as provider/model")
    edited = editing.set_alias(user.config_path, name, targets)
    if as_json:
        render.document({"name": name, "targets": list(edited.aliases[name].targets)})
    user.say(f"{name} is now {', else '.join(targets)} (in {user.config_path})")
    user.tell_daemon()


def unalias(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of your own.", autocompletion=completing.aliases
        ),
    ],
) -> None:
    """Forget a name of your own."""
    user = session.of(context)
    editing.remove_alias(user.config_path, name)
    user.say(f"{name} is forgotten (in {user.config_path})")
    user.tell_daemon()


COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_models,
    "show": show,
    "test": check,
    "alias": alias,
    "unalias": unalias,
}


def _list_aliases(user: session.Session, *, as_json: bool) -> None:
    aliases = user.load().aliases
    if as_json:
        listed = [{"name": name, "targets": list(it.targets)} for name, it in aliases.items()]
        render.document({"aliases": listed})
        return
    user.table(["name", "target"], [[name, ", ".join(it.targets)] for name, it in aliases.items()])
    if not aliases:
        user.say("No names of your own yet; make one: ollama-bridge models alias NAME TARGET")


_WORKS = {True: "yes", False: "no", None: "?"}


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["ability"], _WORKS[row["ok"]], row["says"]]


def _context(model: dict[str, Any]) -> str:
    return str(model.get("details", {}).get("context_length") or "?")


def _capabilities(model: dict[str, Any]) -> str:
    return ", ".join(model.get("capabilities", []))


def _learned(client: Client, origin: str) -> list[str]:
    """What the daemon does differently for this model, because its provider refused something."""
    rows = client.status().get("learned", [])
    return next((row["learned"] for row in rows if row["model"] == origin), [])


def _origin(modelfile: str) -> str:
    """`provider/model`, which the Modelfile names."""
    lines = [line for line in modelfile.splitlines() if line.startswith("FROM ")]
    return lines[0].removeprefix("FROM ").strip() if lines else ""
