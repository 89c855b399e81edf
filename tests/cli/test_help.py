"""Every help text and table as it was last agreed to, and what may be loaded for them.

After a wanted change: RENEW=1 python -m pytest tests/cli/test_help.py, then look at the difference.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from buses import needed
from daemons import Home
from screens import Screen

from ollama_bridge_cli import main

SNAPSHOTS = Path(__file__).parent / "snapshots"


def same(name: str, text: str) -> None:
    """Compare with the file of that name, or write it when asked to."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("RENEW"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, ...]]:
    """Every command of the tree, groups and the root too."""

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, (*path, name))

    yield from below(typer.main.get_command(main.build()), ())


@pytest.mark.parametrize("path", list(commands()), ids=lambda path: " ".join(path) or "root")
def test_help(home: Home, path: tuple[str, ...]) -> None:
    done = home.call(*path, "--help", COLUMNS="80", TERMINAL_WIDTH="80")
    assert done.exit_code == 0
    same("-".join(("help", *path)), done.stdout)


def test_every_snapshot_of_help_has_its_command() -> None:
    wanted = {"-".join(("help", *path)) for path in commands()}
    assert {file.stem for file in SNAPSHOTS.glob("help*.txt")} == wanted


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "list"),
        ("models", "alias"),
        ("models", "list"),
        ("providers", "list"),
        ("ps",),
        ("setup",),
        ("setup", "codex", "--model", "m"),
        ("config", "show"),
    ],
    ids=" ".join,
)
def test_tables(home: Home, command: tuple[str, ...]) -> None:
    home.write(
        '[providers.demo]\n[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "env:LAB"\n'
        '[aliases]\npoet = "demo/demo"\n'
    )
    assert home.run("start", "--port", "0").returncode == 0
    done = home.run(*command, LAB="sk-0123456789abcdef")
    assert done.returncode == 0, done.stderr
    shown = re.sub(r"127\.0\.0\.1:(?!9/)\d+", "127.0.0.1:PORT", done.stdout)
    shown = shown.replace(str(home.folder), "HOME")
    same("-".join(("table", *command[:2])), shown)


# what is loaded

HEAVY = (
    "aiohttp",
    "anthropic",
    "fastapi",
    "httpx",
    "httpx2",
    "keyring",
    "msgspec",
    "openai",
    "prompt_toolkit",
    "psutil",
    "pydantic",
    "rich",
    "tomlkit",
    "urllib.request",
    "uvicorn",
    "webbrowser",
)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_help_loads_nothing_heavy(home: Home, arguments: list[str]) -> None:
    code = (
        "import sys; from ollama_bridge_cli.main import main\n"
        "try: main()\n"
        f"finally: print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=home.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr.split() == []


# completion: the protocol of each shell, as its script speaks it


def completed(home: Home, shell: str, line: str) -> list[str]:
    words = line.split(" ")
    environ = {
        "_OLLAMA_BRIDGE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_WORD_TO_COMPLETE": words[-1],
    }
    code = "from ollama_bridge_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=home.environ | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return re.findall(r"[\w./-]+", done.stdout)


SHELLS = ("bash", "zsh", "fish", "powershell")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(running: Home, shell: str) -> None:
    assert "status" in completed(running, shell, "ollama-bridge stat")
    assert "poet" in completed(running, shell, "ollama-bridge run poe")
    assert "demo-embed" in completed(running, shell, "ollama-bridge run demo-")
    assert "demo" in completed(running, shell, "ollama-bridge keys test de")
    assert "groq" in completed(running, shell, "ollama-bridge keys set gro")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_without_a_daemon(home: Home, shell: str) -> None:
    home.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["qwen"]\n')
    assert "qwen" in completed(home, shell, "ollama-bridge run qw")
    home.write("broken [")
    assert "qwen" not in completed(home, shell, "ollama-bridge run qw")
    assert "lab" not in completed(home, shell, "ollama-bridge keys test la")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_shown(home: Home, shell: str) -> None:
    script = shown_script(home, shell)
    assert "ollama-bridge" in script
    assert f"_OLLAMA_BRIDGE_COMPLETE{' = ' if shell == 'powershell' else '='}" in script


def shown_script(home: Home, shell: str) -> str:
    done = home.run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    return done.stdout


INTERACTIVE = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), "source {script}"),
    "zsh": (("zsh", "-f", "-i"), "autoload -U compinit; compinit -D; source {script}"),
    "fish": (("fish", "--no-config", "-i"), "source {script}"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_in_the_shell_itself(
    home: Home, shell: str, screen: Callable[..., Screen], tmp_path: Path
) -> None:
    """The Tab key on a screen; names with a colon are what Ollama's models are called."""
    needed(shell, shell)
    home.write(
        '[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "none"\n'
        'models = ["qwen3:8b", "qwen3:14b", "org/gemma:free"]\n'
    )
    program = tmp_path / "bin" / "ollama-bridge"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ollama_bridge_cli "$@"\n')
    program.chmod(0o755)
    home.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    script = tmp_path / f"completion.{shell}"
    script.write_text(shown_script(home, shell))
    command, source = INTERACTIVE[shell]
    terminal = screen(home, program=command)
    terminal.enter(f"{source.format(script=script)}; echo rea''dy")
    terminal.until("\nready")
    lines = (
        ("ollama-bridge run qwen3:8", "ollama-bridge run qwen3:8b"),
        ("ollama-bridge run org/g", "ollama-bridge run org/gemma:free"),
        ("ollama-bridge providers te", "ollama-bridge providers test"),
        ("ollama-bridge providers test l", "ollama-bridge providers test lab"),
    )
    for number, (typed, line) in enumerate(lines):
        terminal.type(typed)
        terminal.press("Tab")
        terminal.until(line, again="Tab")  # a busy machine may have been given nothing
        terminal.press("C-u")
        terminal.enter(f"echo ne''xt{number}")
        terminal.until(f"\nnext{number}")
