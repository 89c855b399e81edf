"""keys with a real Secret Service in every state that one can be in."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from buses import Ring
from daemons import Home

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Secret Service is Linux's")

SECRET = "sk-hush-0123456789"

Make = Callable[[str], Ring]


def with_ring(home: Home, ring: Ring) -> Home:
    home.environ |= ring.environ
    home.write("[providers.groq]\n")
    return home


def test_unlocked(home: Home, ring: Make) -> None:
    user = with_ring(home, ring("unlocked"))
    done = user.run("keys", "set", "groq", "--stdin", stdin=f"{SECRET}\n")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    listed = user.json("keys", "list")["keys"]
    assert listed == [{"provider": "groq", "source": "keyring", "ends_in": SECRET[-4:]}]
    assert user.run("keys", "remove", "groq").returncode == 0
    assert user.json("keys", "list")["keys"][0]["source"] == "missing"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("locked", "The keyring is locked"),
        ("empty", "The keyring has not been set up"),
        ("absent", "This machine has no keyring"),
    ],
)
def test_unusable(home: Home, ring: Make, state: str, said: str) -> None:
    user = with_ring(home, ring(state))
    if state == "absent":  # what keyring itself picks then
        del user.environ["PYTHON_KEYRING_BACKEND"]
    done = user.run("keys", "set", "groq", "--stdin", stdin=SECRET)
    assert (done.returncode, done.stdout) == (6, "")
    assert said in done.stderr
    assert "OLLAMA_BRIDGE_KEY_" in done.stderr
    assert "--insecure-storage" in done.stderr
    assert SECRET not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert user.json("keys", "list")["keys"][0]["source"] == "keyring unusable"
    assert not (home.folder / "keys").exists(), "no plaintext that nobody asked for"


def test_a_locked_one_does_not_hold_the_daemon_up(home: Home, ring: Make) -> None:
    user = with_ring(home, ring("locked"))
    told = user.json("start", "--port", "0")
    assert told["running"]
    assert user.json("status")["providers"][0]["key_source"] == "keyring unusable"


_ASK_A_SILENT_ONE = """
import os
from keyring.backends.SecretService import Keyring
from ollama_bridge.errors import KeyringUnusable
from ollama_bridge.keys import Keys
try:
    Keys({}, timeout=0.2, backend=Keyring()).set("groq", "any")
except KeyringUnusable as error:
    print(error.message, flush=True)
os._exit(0)
"""


def test_silent(ring: Make) -> None:
    """In a process of its own: the thread that still waits keeps a socket open."""
    told = subprocess.run(
        [sys.executable, "-c", _ASK_A_SILENT_ONE],
        env={**os.environ, **ring("silent").environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "did not answer within 0.2 s; unlock it" in told.stdout


def test_the_daemon_starts_beside_a_silent_one(home: Home, ring: Make) -> None:
    user = with_ring(home, ring("silent"))
    assert user.json("start", "--port", "0")["running"]
