"""keys set, list, test, remove: into the keyring and never anywhere else."""

import json
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from daemons import Home
from terminals import Terminal

SECRET = "sk-hush-0123456789"


LIST = json.dumps({"data": [{"id": "text-embedding-3-small"}, {"id": "gpt-4o-mini"}]})
QUOTA = '{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'


@contextmanager
def service(replies: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A server with fixed replies, and the credentials it was shown; `open` lists need no key."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            asked.append(given)
            status, text = replies.get(self.path, (404, "nothing here"))
            if not given and not replies.get("open", True):
                status = 401
            size = int(self.headers.get("Content-Length", 0))
            if size:
                assert json.loads(self.rfile.read(size))["model"] == "gpt-4o-mini"
            self.send_response(status)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()


def sources(home: Home) -> dict[str, str]:
    return {row["provider"]: row["source"] for row in home.json("keys", "list")["keys"]}


def test_set_list_remove(user: Home) -> None:
    user.write("[providers.groq]\n[providers.demo]\n")
    assert sources(user) == {"groq": "missing", "demo": "none"}
    done = user.run("keys", "set", "groq", "--stdin", stdin=f" {SECRET}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert SECRET not in done.stderr
    assert "White space or quotes" in done.stderr
    assert sources(user) == {"groq": "keyring", "demo": "none"}
    assert SECRET not in user.config.read_text()
    row = user.run("keys", "list").stdout.splitlines()[1].split()
    assert row == ["groq", "keyring", f"…{SECRET[-4:]}"]
    assert user.run("keys", "remove", "groq").returncode == 0
    assert sources(user)["groq"] == "missing"
    done = user.run("keys", "remove", "groq")
    assert (done.returncode, done.stderr) == (0, "There was no key for groq.\n")


def test_a_key_for_a_known_service_adds_it(user: Home) -> None:
    done = user.run("keys", "set", "mistral", "--stdin", stdin=SECRET)
    assert "Added provider mistral" in done.stderr
    assert sources(user) == {"mistral": "keyring"}


def test_adding_one_hides_none_of_the_environment(user: Home) -> None:
    user.environ["GROQ_API_KEY"] = SECRET
    user.run("keys", "set", "mistral", "--stdin", stdin=SECRET)
    assert sources(user) == {"groq": "environment GROQ_API_KEY", "mistral": "keyring"}


def test_a_key_for_an_unknown_name_says_what_is_missing(user: Home) -> None:
    done = user.run("keys", "set", "lab", "--stdin", stdin=SECRET)
    assert done.returncode == 0
    assert "providers add lab URL" in done.stderr
    assert not user.config.exists()


def test_a_key_that_the_settings_do_not_use(user: Home) -> None:
    user.write('[providers.groq]\nkey = "env:MINE"\n')
    done = user.run("keys", "set", "groq", "--stdin", stdin=SECRET)
    assert 'takes its key from "env:MINE"' in done.stderr


def test_a_running_daemon_reads_the_new_key(user: Home) -> None:
    # nobody listens at port 9, so no key leaves this machine
    user.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\n')
    started = user.json("start", "--port", "0")
    assert started["providers"][0]["key_source"] == "none"
    user.run("keys", "set", "lab", "--stdin", stdin=SECRET)
    assert user.json("status")["providers"][0]["key_source"] == "keyring"
    assert SECRET not in user.run("status", "--json").stdout
    assert SECRET not in (user.state / "ollama-bridge.log").read_text()


@pytest.mark.parametrize("pasted", ["", "two words"])
def test_what_is_no_key_is_refused(user: Home, pasted: str) -> None:
    done = user.run("keys", "set", "groq", "--stdin", stdin=pasted)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The key for groq is")
    assert not (user.folder / "ring.json").exists()


@pytest.mark.parametrize("command", [["set", "groq", "--stdin"], ["remove", "groq"]])
def test_without_a_keyring_exit_6_and_another_way(home: Home, command: list[str]) -> None:
    home.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    done = home.run("keys", *command, stdin=SECRET)
    assert done.returncode == 6
    assert "no keyring" in done.stderr
    assert "OLLAMA_BRIDGE_KEY_" in done.stderr
    assert "--insecure-storage" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not home.config.exists(), "no half of the work is done"


def test_a_keyring_that_keeps_nothing_is_told(home: Home) -> None:
    done = home.run("keys", "set", "groq", "--stdin", stdin=SECRET)  # keyring's null backend
    assert done.returncode == 6
    assert "did not keep the key" in done.stderr
    assert not home.config.exists()


# --insecure-storage


def test_a_plain_file_when_the_user_asks_for_it(home: Home) -> None:
    home.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    home.write("# mine\n[providers.lab]\nbase_url = 'https://lab.example/v1'\n")
    for name in ("groq", "lab"):
        done = home.run("keys", "set", name, "--stdin", "--insecure-storage", stdin=f"'{SECRET}'\n")
        assert done.returncode == 0, done.stderr
        assert "not encrypted" in done.stderr
        file = home.folder / "keys" / f"{name}.key"
        assert file.read_text() == f"{SECRET}\n"
        if sys.platform != "win32":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert sources(home)[name] == f"file {file}"
    assert "# mine" in home.config.read_text()
    assert SECRET not in home.config.read_text()
    done = home.run("keys", "remove", "lab")
    assert done.returncode == 0
    assert not (home.folder / "keys" / "lab.key").exists()
    assert sources(home)["lab"] == "keyring unusable"


def test_into_the_keyring_later_takes_the_file_away(user: Home) -> None:
    user.run("keys", "set", "groq", "--stdin", "--insecure-storage", stdin=SECRET)
    done = user.run("keys", "set", "groq", "--stdin", stdin=SECRET)
    assert "is deleted" in done.stderr
    assert sources(user) == {"groq": "keyring"}
    assert not (user.folder / "keys" / "groq.key").exists()


def test_a_file_for_a_name_that_no_setting_could_use(home: Home) -> None:
    done = home.run("keys", "set", "nobody", "--stdin", "--insecure-storage", stdin=SECRET)
    assert done.returncode == 5
    assert "providers add nobody" in done.stderr
    assert not (home.folder / "keys").exists()


# keys test: what a service answers, and what is made of it


@pytest.mark.parametrize(
    ("replies", "result", "code"),
    [
        ({"/v1/models": (200, LIST), "open": False}, "valid", 0),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (200, "{}")}, "valid", 0),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (401, "no")}, "refused", 1),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (402, "pay")}, "no quota", 1),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (429, QUOTA)}, "no quota", 1),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (429, "slow down")}, "valid", 0),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (400, "max_tokens")}, "valid", 0),
        ({"/v1/models": (200, LIST), "/v1/chat/completions": (400, "API key bad")}, "refused", 1),
        ({"/v1/models": (401, '{"error": {"message": "bad key"}}')}, "refused", 1),
        ({"/v1/models": (403, "no")}, "refused", 1),
        ({"/v1/models": (500, "<html><body>Oops</body></html>")}, "unreachable", 1),
        ({"/v1/models": (302, "elsewhere")}, "unreachable", 1),
        ({"/v1/models": (404, "none")}, "unreachable", 1),
        ({"/v1/models": (200, "no JSON")}, "valid", 0),
    ],
)
def test_keys_test(user: Home, replies: dict[str, Any], result: str, code: int) -> None:
    with service(replies) as (url, asked):
        user.write(f'[providers.lab]\nbase_url = "{url}/v1"\n')
        user.run("keys", "set", "lab", "--stdin", stdin=SECRET)
        done = user.run("keys", "test", "lab")
        told = user.run("keys", "test", "--json")
    assert done.returncode == code, done.stdout
    assert done.stdout.startswith(f"lab: {result}")
    assert "<" not in done.stdout
    assert json.loads(told.stdout)["keys"][0]["result"] == result
    assert f"Bearer {SECRET}" in asked
    assert SECRET not in done.stdout + done.stderr


def test_keys_test_of_a_service_that_is_not_there(user: Home) -> None:
    user.write('[providers.lab]\nbase_url = "http://127.0.0.1:9/v1"\n')
    done = user.run("keys", "test", "lab")
    assert done.returncode == 1
    assert done.stdout == "lab: unreachable: http://127.0.0.1:9/v1: Connection refused\n"


def test_keys_test_without_keys(user: Home) -> None:
    user.write("[providers.demo]\n[providers.groq]\n")
    done = user.run("keys", "test")
    assert done.returncode == 1
    demo, groq = done.stdout.splitlines()
    assert demo == "demo: no key needed"
    assert groq.startswith("groq: missing: No key for provider groq: store one with")
    assert user.run("keys", "test", "demo").returncode == 0
    assert user.run("keys", "test", "nope").returncode == 5


def test_listing_without_a_keyring(home: Home) -> None:
    home.environ |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "OTHER": "k"}
    home.write('[providers.groq]\n[providers.mistral]\nkey = "env:OTHER"\n')
    assert sources(home) == {"groq": "keyring unusable", "mistral": "environment OTHER"}


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_the_prompt_hides_the_key(user: Home) -> None:
    terminal = Terminal(user.environ, "keys", "set", "groq")
    try:
        terminal.until("Key for groq: ")
        terminal.type(f"{SECRET}\n")
        code, shown = terminal.end()
    finally:
        terminal.close()
    assert code == 0, shown
    assert SECRET not in shown
    assert sources(user) == {"groq": "keyring"}
