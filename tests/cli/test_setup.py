"""setup: what clients are told, their files, and the guided set-up on a real screen."""

import json
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.test_keys import LIST, SECRET, service
from daemons import Home
from screens import Screen

from ollama_bridge import clients
from ollama_bridge.clients import CLIENTS

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

Open = Callable[..., Screen]


@pytest.fixture
def user(home: Home) -> Home:
    home.write("[server]\nport = 4321\n[providers.demo]\n")
    home.environ["XDG_CONFIG_HOME"] = str(home.folder / "xdg")
    return home


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_is_told_the_address(user: Home, name: str) -> None:
    done = user.run("setup", name, "--model", "my-model")
    assert done.returncode == 0, done.stderr
    assert CLIENTS[name].title in done.stdout
    assert "{" not in "".join(clients.steps(CLIENTS[name], "http://h", "m"))
    file = clients.file(CLIENTS[name], user.environ)
    assert "http://127.0.0.1:4321" in done.stdout
    assert file is None or not file.exists(), "nothing is written unasked"
    told = user.json("setup", name, "--model", "my-model")
    assert told["file"] == (str(file) if file else None)


def test_the_list(user: Home) -> None:
    done = user.run("setup")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(CLIENTS)
    assert "providers add" in done.stderr
    assert [row["name"] for row in user.json("setup")["clients"]] == list(CLIENTS)
    assert user.run("setup", "nope").returncode == 2


def test_a_file_is_changed_after_a_copy(user: Home) -> None:
    file = clients.file(CLIENTS["zed"], user.environ)
    assert file is not None
    file.parent.mkdir(parents=True)
    before = '// mine\n{\n  "theme": "x", // dark\n}\n'
    file.write_text(before)
    file.chmod(0o644)
    shown = user.run("setup", "zed", "--dry-run")
    assert '+  "language_models": {' in shown.stdout
    assert file.read_text() == before
    done = user.run("setup", "zed", "--write")
    assert done.returncode == 0, done.stderr
    after = file.read_text()
    assert '"api_url": "http://127.0.0.1:4321"' in after
    assert "// mine" in after
    assert "// dark" in after
    (copy,) = file.parent.glob("settings.json.*.bak")
    assert copy.read_text() == before
    assert str(copy) in done.stderr
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert "says so already" in user.run("setup", "zed", "--write").stderr


def test_a_file_that_is_not_there_yet(user: Home) -> None:
    assert user.run("setup", "claude-code", "--model", "m", "--write").returncode == 0
    file = clients.file(CLIENTS["claude-code"], user.environ)
    assert file is not None
    assert json.loads(file.read_text()) == {
        "env": {
            "ANTHROPIC_MODEL": "m",
            "ANTHROPIC_AUTH_TOKEN": "ollama",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:4321",
        }
    }


def test_codex_gets_a_profile_and_keeps_its_comments(user: Home) -> None:
    file = clients.file(CLIENTS["codex"], user.environ)
    assert file == user.folder / ".codex" / "ollama-bridge.config.toml"
    assert user.run("setup", "codex", "--model", "m", "--write").returncode == 0
    with file.open("a") as written:
        written.write("# mine\nwire_api = 'responses'\n")
    assert user.run("setup", "codex", "--model", "other", "--write").returncode == 0
    after = file.read_text()
    assert "# mine" in after
    assert tomllib.loads(after) == {
        "model": "other",
        "model_provider": "ollama-bridge",
        "model_providers": {
            "ollama-bridge": {
                "name": "Ollama Bridge",
                "base_url": "http://127.0.0.1:4321/v1",
                "wire_api": "responses",
            }
        },
    }
    assert len(list(file.parent.glob("*.bak"))) == 1
    file.write_text("= broken")
    done = user.run("setup", "codex", "--model", "m", "--write")
    assert (done.returncode, "change it by hand" in done.stderr) == (1, True)
    assert file.read_text() == "= broken"


def test_continue_gets_a_file_of_its_own(user: Home) -> None:
    assert user.run("setup", "continue", "--model", "m", "--write").returncode == 0
    file = user.folder / ".continue" / "models" / "ollama-bridge.yaml"
    assert json.loads(file.read_text()) == {
        "name": "Ollama Bridge",
        "version": "0.0.1",
        "schema": "v1",
        "models": [
            {
                "name": "Ollama Bridge",
                "provider": "ollama",
                "model": "m",
                "apiBase": "http://127.0.0.1:4321",
            }
        ],
    }
    file.write_text("name: mine\n")
    done = user.run("setup", "continue", "--model", "m", "--write")
    assert done.returncode == 1
    assert file.read_text() == "name: mine\n", "what is no JSON is a person's work"


def test_a_file_that_cannot_be_understood_is_left_alone(user: Home) -> None:
    file = clients.file(CLIENTS["vscode"], user.environ)
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text("{ broken")
    done = user.run("setup", "vscode", "--write")
    assert done.returncode == 1
    assert "byok.ollamaEndpoint" in done.stdout, "what to do is told all the same"
    assert "change it by hand" in done.stderr
    assert file.read_text() == "{ broken"


def test_without_a_model_its_file_is_not_changed(user: Home) -> None:
    done = user.run("setup", "claude-code", "--write")
    assert "--model" in done.stderr
    assert not (user.folder / ".claude").exists()


# the guided set-up


@pytest.fixture
def fresh(home: Home) -> Home:
    home.environ |= {
        "PYTHON_KEYRING_BACKEND": "file_keyring.Ring",
        "FILE_KEYRING": str(home.folder / "ring.json"),
        "OLLAMA_BRIDGE_PORT": "0",
    }
    return home


def settings(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = home.json("config", "show")
    return found


@POSIX
def test_from_nothing_to_a_model(fresh: Home, screen: Open) -> None:
    with service({"/v1/models": (200, LIST), "/v1/chat/completions": (200, "{}")}) as (url, asked):
        guided = screen(fresh)  # the bare command, when nothing is set up
        guided.until("Service (number")
        guided.enter("nonsense")
        guided.until("There is no service nonsense")
        guided.enter(f"{url}/v1")
        guided.until("A name for it")
        guided.enter("mine")
        guided.until("Key for mine")
        guided.enter(f"'{SECRET}'")
        guided.until("mine: valid")
        guided.until("First model")
        guided.enter("1")
        guided.until("Done.")
        assert guided.ended() == 0
    assert SECRET not in guided.shown
    assert f"Bearer {SECRET}" in asked
    shown = settings(fresh)
    assert shown["providers"]["mine"]["base_url"] == f"{url}/v1"
    assert shown["aliases"] == {"default": {"target": "mine/gpt-4o-mini"}}
    assert fresh.json("keys", "list")["keys"][0]["source"] == "keyring"
    assert SECRET not in fresh.config.read_text()


@POSIX
@pytest.mark.parametrize("step", ["Service (number", "A name for it", "Key for", "First model"])
def test_ctrl_c_leaves_nothing_half_done(fresh: Home, screen: Open, step: str) -> None:
    answers = {"Service (number": "", "A name for it": "mine", "Key for": SECRET}
    with service({"/v1/models": (200, LIST), "/v1/chat/completions": (200, "{}")}) as (url, _):
        answers["Service (number"] = f"{url}/v1"
        guided = screen(fresh, "setup")
        for question, answer in answers.items():
            guided.until(question)
            if question == step:
                break
            guided.enter(answer)
        guided.until(step)
        guided.press("C-c")
        assert guided.ended() == 130
    assert not fresh.config.exists()
    assert not (fresh.folder / "ring.json").exists()


@POSIX
def test_a_refused_key_is_asked_for_again(fresh: Home, screen: Open) -> None:
    with service({"/v1/models": (401, "no such key")}) as (url, _):
        guided = screen(fresh, "setup")
        guided.until("Service (number")
        guided.enter(f"{url}/v1")
        guided.until("A name for it")
        guided.press("Enter")
        guided.until("Key for lab")
        guided.enter(SECRET)
        guided.until("lab: refused")
        guided.until("Keep it all the same?")
        guided.enter("n")
        guided.until(lambda shown: shown.count("Key for lab") == 2)
        guided.press("C-c")
        assert guided.ended() == 130


@POSIX
def test_without_a_keyring_a_file_is_offered(fresh: Home, screen: Open) -> None:
    fresh.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    with service({"/v1/models": (200, LIST), "open": False}) as (url, _):
        guided = screen(fresh, "setup")
        for question, answer in (
            ("Service (number", f"{url}/v1"),
            ("A name for it", "mine"),
            ("Key for", SECRET),
            ("First model", ""),
            ("plain file", "y"),
        ):
            guided.until(question)
            guided.enter(answer)
        guided.until("Done.")
    file = fresh.folder / "keys" / "mine.key"
    assert file.read_text() == f"{SECRET}\n"
    assert settings(fresh)["providers"]["mine"]["key"] == f"file:{file}"


@POSIX
def test_a_first_start_offers_it_and_goes_on(fresh: Home, screen: Open) -> None:
    started = screen(fresh, "start")
    started.until("No service is set up yet")
    started.press("Enter")
    started.until("answers at")
    assert started.ended() == 0


def test_nothing_is_asked_where_nobody_is(fresh: Home) -> None:
    assert fresh.run().returncode == 2
    done = fresh.run("start", "--json")
    assert done.returncode == 0
    assert "set up yet" not in done.stderr
    assert not fresh.config.exists()


def editor(folder: Path, *scripts: str) -> str:
    """An editor that does this the first time, that the second."""
    program = folder / "editor.py"
    program.write_text(
        "import pathlib, sys\n"
        f"texts = {list(scripts)!r}\n"
        f"count = pathlib.Path({str(folder / 'count')!r})\n"
        "number = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(number + 1))\n"
        "pathlib.Path(sys.argv[1]).write_text(texts[number])\n"
    )
    return f"{sys.executable} {program}"


def test_config_edit(home: Home, tmp_path: Path) -> None:
    home.environ["VISUAL"] = editor(tmp_path, "# mine\n[providers.demo]\n")
    done = home.run("config", "edit")
    assert done.returncode == 0, done.stderr
    assert home.config.read_text() == "# mine\n[providers.demo]\n"


def test_config_edit_that_is_wrong_is_not_taken_and_not_lost(home: Home, tmp_path: Path) -> None:
    home.write("[providers.demo]\n")
    home.environ["EDITOR"] = editor(tmp_path, "[provider.demo]\n# my work\n")
    done = home.run("config", "edit")
    assert done.returncode == 5
    assert home.config.read_text() == "[providers.demo]\n"
    kept = home.config.with_name("config.toml.rejected")
    assert "# my work" in kept.read_text()
    assert str(kept) in done.stderr


def test_config_edit_without_a_change(home: Home) -> None:
    home.environ["EDITOR"] = "true"
    done = home.run("config", "edit")
    assert (done.returncode, done.stderr) == (0, "Nothing was changed.\n")
    assert not home.config.exists()
    home.environ["EDITOR"] = "/nowhere/editor"
    done = home.run("config", "edit")
    assert done.returncode == 1
    assert "set EDITOR" in done.stderr


@POSIX
def test_config_edit_again(home: Home, tmp_path: Path, screen: Open) -> None:
    home.environ["EDITOR"] = editor(tmp_path, "[provider.demo]\n", "[providers.demo]\n")
    edited = screen(home, "config", "edit")
    edited.until("Edit it again?")
    edited.press("Enter")
    assert edited.ended() == 0
    assert home.config.read_text() == "[providers.demo]\n"


@POSIX
def test_a_service_with_an_address_of_each_users_own(fresh: Home, screen: Open) -> None:
    guided = screen(fresh)
    guided.until("Service (number")
    guided.enter("snowflake")
    guided.until("account identifier")
    guided.enter("not one")
    guided.until('"not one" is no account identifier')
    guided.enter("org-acme")
    guided.until("Key for snowflake")
    guided.enter(SECRET)
    guided.until("Keep it all the same?")
    guided.enter("y")
    guided.until("Done.")
    row = settings(fresh)["providers"]["snowflake"]
    assert row["base_url"] == "https://org-acme.snowflakecomputing.com/api/v2/cortex/v1"
    assert 'preset = "snowflake"' in fresh.config.read_text()
