"""`serve` goes past the command line's libraries, but for nothing else."""

import pytest
from daemons import Home

from ollama_bridge import __main__ as daemon
from ollama_bridge_cli import entry


@pytest.mark.parametrize(
    ("arguments", "plain"),
    [
        ([], True),
        (["--port", "0", "--finish=2"], True),
        (["--help"], False),
        (["-v"], False),
        (["--state", "x"], False),
    ],
)
def test_only_plain_flags_go_past(arguments: list[str], plain: bool) -> None:
    assert entry._is_plain(arguments) is plain


def test_what_is_wrong_is_left_to_the_command_line(home: Home) -> None:
    assert daemon.options(["--port", "x"]) is None
    assert daemon.options(["--port"]) is None
    assert daemon.options(["--por", "1"]) is None
    done = home.run("serve", "--port", "x")
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_flags_arrive() -> None:
    given = ["--host", "::1", "--port", "7", "--log-format", "json", "--finish", "3"]
    options = daemon.options(given)
    assert options is not None
    assert (options.host, options.port, options.log_format, options.finish) == (
        "::1",
        7,
        "json",
        3.0,
    )


def test_errors_end_it_the_same_way(home: Home) -> None:
    home.write("[server]\nport = 'x'\n")  # so that it ends at once
    done = home.run("serve")
    assert done.returncode == 5, done.stderr
    assert "port" in done.stderr
