"""The command `ollama-bridge`: where it begins, before anything is imported for it.

`serve` is what service managers and containers run. It needs none of the command line's libraries,
which take longer to import than the daemon takes to listen; so a plain `serve` goes past them.
"""

import sys

_PLAIN = {"--host", "--port", "--log-format", "--finish", "--workers"}


def main() -> None:
    """Run what the command line says."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"] and _is_plain(arguments[1:]):
        from ollama_bridge import __main__ as daemon

        if (options := daemon.options(arguments[1:])) is not None:
            sys.exit(daemon.serve(options))
    from ollama_bridge_cli.main import main as commands

    commands()


def _is_plain(arguments: list[str]) -> bool:
    """Whether there are only flags whose meaning is the same here; help is not."""
    flags = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    return _PLAIN.issuperset(flags)
