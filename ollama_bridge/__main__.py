"""`python -m ollama_bridge`: the daemon in the foreground, without the command line's packages."""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from ollama_bridge import __version__, daemon, instance, log
from ollama_bridge.errors import BridgeError
from ollama_bridge.service import plan


def main(arguments: list[str] | None = None) -> int:
    """Serve; the exit code."""
    given = _parser().parse_args(arguments)
    return serve(_options(given), given.state)


def options(arguments: list[str]) -> daemon.Options | None:
    """What they ask for; None where they are wrong, for somebody else to say so."""
    try:
        return _options(_parser(exit_on_error=False).parse_args(arguments))
    except (argparse.ArgumentError, argparse.ArgumentTypeError, _Wrong):
        return None


def serve(options: daemon.Options, state: str = "") -> int:
    """Serve; the exit code."""
    environ = os.environ | ({plan.STATE: state} if state else {})
    try:
        return daemon.serve(options, environ)
    except BridgeError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - there is no log yet
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _options(given: argparse.Namespace) -> daemon.Options:
    return daemon.Options(
        config_path=given.config,
        host=given.host,
        port=given.port,
        log_format=given.log_format,
        verbose=given.verbose,
        finish=given.finish,
        instance=given.instance,
        workers=given.workers,
        channel=given.channel,
    )


class _Wrong(Exception):
    """Arguments that are none."""


class _Raising(argparse.ArgumentParser):
    """Python before 3.12 exits for some errors all the same."""

    def error(self, message: str) -> NoReturn:
        raise _Wrong(message)


def _parser(*, exit_on_error: bool = True) -> argparse.ArgumentParser:
    parser = (argparse.ArgumentParser if exit_on_error else _Raising)(
        prog="python -m ollama_bridge",
        description="Run the Ollama Bridge daemon.",
        exit_on_error=exit_on_error,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file")
    parser.add_argument("--state", metavar="FOLDER", help="folder for state and logs")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=_port, help="port to listen on; 0 for any free one")
    parser.add_argument("--log-format", choices=log.FORMATS, default="text")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    parser.add_argument(
        "--finish",
        type=_seconds,
        default=daemon.FINISH_SECONDS,
        metavar="S",
        help="seconds that answers have to be complete when it is stopped",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="processes that share the port and answer together",
    )
    parser.add_argument("--channel", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--instance", default="", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a whole number from 0 to 65535")
    return port


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= instance.MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {instance.MOST_WORKERS}")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("a number of seconds from 0 to 3600")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
