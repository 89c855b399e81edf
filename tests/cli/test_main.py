"""The command line as a whole: help, flags, exit codes, errors without tracebacks."""

import subprocess
import sys

import pytest
from daemons import Home

from ollama_bridge import __version__
from ollama_bridge_cli import main

COMMANDS = ["start", "stop", "restart", "reload", "status", "logs", "serve", "run"]
COMMANDS += ["providers", "keys", "models", "config", "service", "doctor"]


def test_help_names_every_command(home: Home) -> None:
    for flag in ("-h", "--help"):
        done = home.call(flag)
        assert done.exit_code == 0
        listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
        assert set(COMMANDS) <= set(listed)


def test_without_arguments_the_help_is_a_usage_error(home: Home) -> None:
    done = home.call()
    assert done.exit_code == 2
    assert "Usage: ollama-bridge" in done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(home: Home, command: str) -> None:
    done = home.call(command, "-h")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: ollama-bridge {command}")


def test_version(home: Home) -> None:
    done = home.call("--version")
    assert (done.exit_code, done.stdout) == (0, f"ollama-bridge {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["-v", "-q", "status"],
        ["start", "--port", "70000"],
        ["start", "--port", "x"],
        ["serve", "--log-format", "xml"],
        ["models", "alias", "name-without-target"],
        ["models", "show"],
        ["keys", "set", "openai"],
        ["run"],
        ["models"],
    ],
)
def test_usage_errors_exit_2(home: Home, arguments: list[str]) -> None:
    done = home.call(*arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert not home.state.joinpath("daemon.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["reload"],
        ["models", "list"],
        ["models", "show", "x"],
        ["run", "x", "hello"],
    ],
)
def test_without_a_daemon_exit_3_and_what_to_do(home: Home, arguments: list[str]) -> None:
    done = home.call(*arguments)
    assert done.exit_code == 3
    assert done.stdout == ""
    assert "ollama-bridge start" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["start", "--port", "0"],
        ["start", "--foreground", "--port", "0"],
        ["serve", "--port", "0"],
        ["restart"],
        ["config", "show"],
        ["config", "validate"],
        ["config", "get", "server.port"],
        ["providers", "list"],
        ["keys", "list"],
        ["models", "alias"],
    ],
)
def test_with_invalid_settings_exit_5_and_where(home: Home, arguments: list[str]) -> None:
    home.write("[server]\nport = 'x'\n")
    done = home.call(*arguments)
    assert done.exit_code == 5
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {home.config}: server.port: found")
    assert len(done.stderr.splitlines()) == 1


def test_another_settings_file(home: Home) -> None:
    other = home.folder / "other.toml"
    other.write_text("[server]\nport = 4321\n")
    assert home.call("--config", str(other), "config", "get", "server.port").stdout == "4321\n"
    assert home.call("--config", str(other), "config", "path").stdout == f"{other}\n"


def test_quiet_leaves_only_results(home: Home) -> None:
    done = home.call("-q", "models", "alias", "a", "b/c")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


def test_help_imports_nothing_heavy(home: Home) -> None:
    code = (
        "import sys; sys.argv = ['ollama-bridge', '--help']\n"
        "from ollama_bridge_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'rich', 'openai', 'fastapi', 'pydantic', 'uvicorn', 'keyring', 'tomlkit',\n"
        "         'aiohttp', 'psutil', 'filelock', 'httpx', 'msgspec', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=home.environ, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_completion(home: Home) -> None:
    done = home.call(
        _OLLAMA_BRIDGE_COMPLETE="complete_bash",
        COMP_WORDS="ollama-bridge sta",
        COMP_CWORD="1",
    )
    assert done.stdout.split() == ["start", "status"]


def test_a_mistake_of_ours_is_one_sentence(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_BRIDGE_STATE", str(home.state))
    try:
        {}["missing"]
    except KeyError as error:
        main._crashed(KeyError, error, error.__traceback__)
    said = capsys.readouterr().err
    assert said.startswith("error: a mistake in ollama-bridge (KeyError)")
    assert len(said.splitlines()) == 1
    assert "Traceback" in (home.state / "crash.log").read_text()
