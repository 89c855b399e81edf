"""Arguments and options that several commands have."""

from typing import Annotated

import typer

from . import completing

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

OneProvider = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The provider's name; else all.",
        autocompletion=completing.providers,
    ),
]
