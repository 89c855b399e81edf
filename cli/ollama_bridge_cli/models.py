"""models list, show, test, refresh, alias, unalias: what there is to talk to, by which names."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollama_bridge import editing
from ollama_bridge.providers import quirks

from . import completing, render, session
from .arguments import AsJson

Model = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A model or alias.", autocompletion=completing.models),
]


def list_models(
    context: typer.Context,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Those too that clients are not shown, with prices and why not."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List all models the daemon offers."""
    user = session.of(context)
    if every:
        _list_all(user, as_json=as_json)
        return
    models = user.client().tags()["models"]
    if as_json:
        render.document({"models": models})
        return
    rows = [[model["name"], _context(model), _capabilities(model)] for model in models]
    user.table(["name", "context", "capabilities"], rows)
    if not models:
        user.say("No models yet; `ollama-bridge status` tells which provider has a problem.")


def _list_all(user: session.Session, *, as_json: bool) -> None:
    rows = user.client().models()
    if as_json:
        render.document({"models": rows})
        return
    cells = [
        [
            row["name"],
            str(row["context_length"]["value"]),
            ", ".join(row["capabilities"]["value"]),
            _price(row["price_in"]["value"], row["price_out"]["value"]),
            row["listed"],
        ]
        for row in rows
    ]
    user.table(["name", "context", "capabilities", "$ in / out", "not listed"], cells)


def show(
    context: typer.Context,
    name: Model,
    as_json: AsJson = False,
) -> None:
    """Show what is known of one model, and from where."""
    client = session.of(context).client()
    found = client.show(name)
    known = client.model(name)
    if as_json:
        render.document({"name": name} | found | {"learned": known["learned"], "known": known})
        return
    prices = known["price_in"]["value"], known["price_out"]["value"]
    render.facts(
        {
            "name": name,
            "answered by": ", else ".join(known["targets"]),
            "context length": _sourced(known["context_length"]),
            "longest answer": _sourced(known["max_output"]),
            "embedding length": _sourced(known["embedding_length"]),
            "capabilities": _sourced(known["capabilities"]),
            "price": _price(*prices)
            and f"$ {_price(*prices)} per million tokens in / out ({known['price_in']['source']})",
            "tested": _outcomes(known["tested"]),
            "tested at": known["tested_at"],
            "parameters": found.get("parameters", "").split("\n"),
            "system": found.get("system"),
            "license": found.get("license"),
            "learned": quirks.explained(known["learned"]),
        }
    )


def try_out(
    context: typer.Context,
    name: Model,
    as_json: AsJson = False,
) -> None:
    """Try what a model really does: stream, tools, JSON, vision, thinking, embeddings.

    Six small requests to its service; what is found out is remembered.
    """
    from ollama_bridge import trial  # only this command needs it

    user = session.of(context)
    client = user.client()
    known = client.model(name)
    found: dict[str, trial.Result] = {}
    for feature in trial.FEATURES:
        if feature in trial.OF_CHAT and "stream" in found and found["stream"].outcome == trial.NO:
            continue
        result = found[feature] = trial.attempt(client, name, feature)
        if not as_json:
            detail = f" ({result.detail})" if result.detail else ""
            render.result(f"{feature}: {result.outcome}{detail}")
    results = {
        feature: {"outcome": it.outcome, "detail": it.detail} for feature, it in found.items()
    }
    kept = {feature: it for feature, it in results.items() if it["outcome"] != trial.FAILED}
    length = next((it.number for it in found.values() if it.number), None)
    if kept:
        client.tried({"model": name, "results": kept, "embedding_length": length})
    if as_json:
        render.document({"name": name, "target": known["targets"][0], "results": results})
    if len(kept) < len(results):
        user.say("What failed is not remembered; try again when the service answers.")
        raise typer.Exit(1)


def refresh(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="URL", help="Another address of the database, or a file of it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch public facts of models and services anew, from models.dev."""
    from ollama_bridge import refreshing  # HTTP and the facts, which no other command needs

    user = session.of(context)
    table = refreshing.refresh(user.state, source or refreshing.SOURCE)
    if as_json:
        told = {"source": table.source, "models": len(table), "services": len(table.services)}
        render.document(told)
    user.say(f"{len(table)} models of {len(table.services)} services, from {table.source}")
    user.tell_daemon()


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
    "test": try_out,
    "refresh": refresh,
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


def _context(model: dict[str, Any]) -> str:
    return str(model.get("details", {}).get("context_length") or "?")


def _capabilities(model: dict[str, Any]) -> str:
    return ", ".join(model.get("capabilities", []))


def _sourced(fact: dict[str, Any]) -> str:
    """A fact with who told it; empty where nobody did."""
    value = fact["value"]
    if value in (None, []):
        return ""
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return f"{text} ({fact['source']})" if fact["source"] else text


def _price(price_in: float | None, price_out: float | None) -> str:
    if price_in is None and price_out is None:
        return ""
    told = ("?" if price is None else f"{price:g}" for price in (price_in, price_out))
    return " / ".join(told)


def _outcomes(tested: dict[str, dict[str, str]]) -> list[str]:
    return [f"{name}: {result['outcome']}" for name, result in tested.items()]
