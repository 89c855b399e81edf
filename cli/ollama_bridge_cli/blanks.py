"""Parts of a service's address that are each user's own: by flag, environment or a person."""

import os
from collections.abc import Mapping, Sequence

import typer

from ollama_bridge.providers import address
from ollama_bridge.providers.provider import Blank, Provider


def given(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a table."""
    values = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f'"{text}" is not NAME=VALUE', param_hint="--set")
        values[name.strip()] = value
    return values


def filled(row: Provider, values: Mapping[str, str], *, attended: bool) -> str:
    """The row's base URL with all blanks filled; whoever is there is asked for what is missing."""
    known = {blank.name for blank in row.blanks}
    for name in values:
        if name not in known:
            there = f"it takes {', '.join(sorted(known))}" if known else "its address is complete"
            raise typer.BadParameter(f"{row.name} has no {name}: {there}", param_hint="--set")
    found = {blank.name: _value(row, blank, values, attended=attended) for blank in row.blanks}
    try:
        return address.fill(row, found)
    except ValueError as error:
        raise typer.BadParameter(f"{row.name}: {error}; {_how(row)}", param_hint="--set") from None


def _value(row: Provider, blank: Blank, values: Mapping[str, str], *, attended: bool) -> str:
    value = values.get(blank.name) or os.environ.get(blank.variable, "")
    if value.strip() or not attended:
        return value
    return str(typer.prompt(f"The {blank.meaning} of your {row.name} account", err=True))


def _how(row: Provider) -> str:
    flags = " ".join(f"--set {blank.name}=VALUE" for blank in row.blanks)
    variables = ", ".join(blank.variable for blank in row.blanks)
    return f"say {flags} (or set {variables}); it becomes part of {row.url}"
