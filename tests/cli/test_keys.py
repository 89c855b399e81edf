"""keys set, list, remove: into the keyring and never anywhere else."""

import sys

import pytest
from daemons import Home
from terminals import Terminal

SECRET = "sk-hush-0123456789"


@pytest.fixture
def ring(home: Home) -> Home:
    home.environ |= {
        "PYTHON_KEYRING_BACKEND": "file_keyring.Ring",
        "FILE_KEYRING": str(home.folder / "ring.json"),
    }
    return home


def sources(home: Home) -> dict[str, str]:
    return {row["provider"]: row["source"] for row in home.json("keys", "list")["keys"]}


def test_set_list_remove(ring: Home) -> None:
    ring.write("[providers.groq]\n[providers.demo]\n")
    assert sources(ring) == {"groq": "missing", "demo": "none"}
    done = ring.run("keys", "set", "groq", "--stdin", stdin=f" {SECRET}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert SECRET not in done.stderr
    assert sources(ring) == {"groq": "keyring", "demo": "none"}
    assert SECRET not in ring.config.read_text()
    assert ring.run("keys", "list").stdout.splitlines()[1].split() == ["groq", "keyring"]
    assert ring.run("keys", "remove", "groq").returncode == 0
    assert sources(ring)["groq"] == "missing"
    done = ring.run("keys", "remove", "groq")
    assert (done.returncode, done.stderr) == (0, "There was no key for groq.\n")


def test_a_key_for_a_known_service_adds_it(ring: Home) -> None:
    done = ring.run("keys", "set", "mistral", "--stdin", stdin=SECRET)
    assert "Added provider mistral" in done.stderr
    assert sources(ring) == {"mistral": "keyring"}


def test_adding_one_hides_none_of_the_environment(ring: Home) -> None:
    ring.environ["GROQ_API_KEY"] = SECRET
    ring.run("keys", "set", "mistral", "--stdin", stdin=SECRET)
    assert sources(ring) == {"groq": "environment GROQ_API_KEY", "mistral": "keyring"}


def test_a_key_for_an_unknown_name_says_what_is_missing(ring: Home) -> None:
    done = ring.run("keys", "set", "lab", "--stdin", stdin=SECRET)
    assert done.returncode == 0
    assert "providers add lab --base-url" in done.stderr
    assert not ring.config.exists()


def test_a_key_that_the_settings_do_not_use(ring: Home) -> None:
    ring.write('[providers.groq]\nkey = "env:MINE"\n')
    done = ring.run("keys", "set", "groq", "--stdin", stdin=SECRET)
    assert 'takes its key from "env:MINE"' in done.stderr


def test_a_running_daemon_reads_the_new_key(ring: Home) -> None:
    # nobody listens at port 9, so no key leaves this machine
    ring.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\n')
    started = ring.json("start", "--port", "0")
    assert started["providers"][0]["key_source"] == "none"
    ring.run("keys", "set", "lab", "--stdin", stdin=SECRET)
    assert ring.json("status")["providers"][0]["key_source"] == "keyring"
    assert SECRET not in ring.run("status", "--json").stdout
    assert SECRET not in (ring.state / "ollama-bridge.log").read_text()


@pytest.mark.parametrize("pasted", ["", "two words"])
def test_what_is_no_key_is_refused(ring: Home, pasted: str) -> None:
    done = ring.run("keys", "set", "groq", "--stdin", stdin=pasted)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The key for groq is")
    assert not (ring.folder / "ring.json").exists()


@pytest.mark.parametrize("command", [["set", "groq", "--stdin"], ["remove", "groq"]])
def test_without_a_keyring_exit_6_and_another_way(home: Home, command: list[str]) -> None:
    home.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    done = home.run("keys", *command, stdin=SECRET)
    assert done.returncode == 6
    assert "no keyring" in done.stderr
    assert "OLLAMA_BRIDGE_KEY_" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not home.config.exists(), "no half of the work is done"


def test_listing_without_a_keyring(home: Home) -> None:
    home.environ |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "OTHER": "k"}
    home.write('[providers.groq]\n[providers.mistral]\nkey = "env:OTHER"\n')
    assert sources(home) == {"groq": "keyring unusable", "mistral": "environment OTHER"}


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_the_prompt_hides_the_key(ring: Home) -> None:
    terminal = Terminal(ring.environ, "keys", "set", "groq")
    try:
        terminal.until("Key for groq: ")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.end()
    finally:
        terminal.close()
    assert code == 0, shown
    assert SECRET not in shown
    assert sources(ring) == {"groq": "keyring"}
