"""The command line: its commands, their global flags, and how an error ends it."""

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ollama_bridge import __version__
from ollama_bridge.errors import BridgeError

from . import (
    chat,
    completing,
    config,
    doctor,
    guide,
    keys,
    lifecycle,
    models,
    page,
    providers,
    ps,
    render,
    service,
    session,
    setup,
    top,
    tray,
    uninstall,
)
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERRUPTED = 130


class Commands(TyperGroup):
    """Turns the bridge's errors into one sentence and an exit code, wherever they come from."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BridgeError as error:
            render.message(f"error: {error.message}")
            raise typer.Exit(error.exit_code) from None
        except (KeyboardInterrupt, typer.Abort):
            raise typer.Exit(_INTERRUPTED) from None


def _group(help_text: str) -> typer.Typer:
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)


def build() -> typer.Typer:
    """The whole tree of commands."""
    app = typer.Typer(
        cls=Commands,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_flags)
    app.command("start")(lifecycle.start)
    app.command("stop")(lifecycle.stop)
    app.command("restart")(lifecycle.restart)
    app.command("reload")(lifecycle.reload)
    app.command("status")(lifecycle.status)
    app.command("logs")(lifecycle.logs)
    app.command("serve")(lifecycle.serve)
    app.command("run", cls=chat.Run)(chat.run)
    app.command("doctor")(doctor.doctor)
    app.command("setup")(setup.setup)
    app.command("ps")(ps.ps)
    app.command("top")(top.top)
    app.command("tray")(tray.tray)
    app.command("ui")(page.page)
    app.command("uninstall")(uninstall.uninstall)
    nouns: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
        "providers": ("The services that answer.", providers.COMMANDS),
        "keys": ("API keys in the operating system's keyring.", keys.COMMANDS),
        "models": ("Models and your own names for them.", models.COMMANDS),
        "config": ("The settings file.", config.COMMANDS),
        "service": ("The daemon at every login, kept running.", service.COMMANDS),
    }
    for noun, (help_text, commands) in nouns.items():
        group = _group(help_text)
        for name, command in commands.items():
            group.command(name)(command)
        app.add_typer(group, name=noun)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        render.result(f"ollama-bridge {__version__}")
        raise typer.Exit


def _global_flags(
    context: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file to use."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Never use colour.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Answer Ollama's API with models from any OpenAI-compatible service.

    Start with `ollama-bridge start`, then use any Ollama client as before.
    """
    if verbose and quiet:
        raise typer.BadParameter("-v and -q contradict each other")
    context.obj = Session(
        config_flag=config_file,
        verbose=verbose,
        quiet=quiet,
        color=session.colored(wanted=not no_color),
    )


def main() -> None:
    """Run the command that the arguments name."""
    sys.excepthook = _crashed
    first = len(sys.argv) == 1 and guide.is_attended() and guide.is_fresh(Session())
    arguments = ["setup"] if first else None  # else what the command line says
    with completing.whole_words():
        typer.main.get_command(build())(arguments, prog_name="ollama-bridge")


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say in one sentence that this is our mistake; the details go to a file."""
    import traceback  # only for what should never happen

    from ollama_bridge import config as settings
    from ollama_bridge import files

    if issubclass(kind, KeyboardInterrupt):
        return
    path = settings.state_folder() / "crash.log"
    what = f"error: a mistake in ollama-bridge ({kind.__name__})"
    try:
        files.replace(path, "".join(traceback.format_exception(kind, error, trace)))
    except (OSError, BridgeError):
        render.message(f"{what}; please report it")
    else:
        render.message(f"{what}; please report it with {path}")
