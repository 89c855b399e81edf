"""Where keys come from, in which order, and what happens when a keyring does not play along."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import keyring.errors
import pytest
from keyring.backends import fail, null

from ollama_bridge.errors import BridgeError, KeyMissing, KeyringUnusable
from ollama_bridge.keys import SERVICE, Keys
from ollama_bridge.providers.provider import Provider

SECRET = "sk-hush-0123456789"


class Memory:
    """A keyring in memory that counts how often it is read."""

    def __init__(self, **entries: str) -> None:
        self.entries = {(SERVICE, name): value for name, value in entries.items()}
        self.reads = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


class Broken(Memory):
    """A keyring that fails in its own way."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        raise self.error


class Silent(Memory):
    """A keyring whose dialog nobody answers until `answer` is set."""

    def __init__(self) -> None:
        super().__init__(lab=SECRET)
        self.answer = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        found = super().get_password(service, username)
        self.answer.wait(30)
        return found


@pytest.fixture
def silent() -> Iterator[Silent]:
    backend = Silent()
    yield backend
    backend.answer.set()


def provider(key: str = "keyring", variable: str = "LAB_API_KEY") -> Provider:
    return Provider(name="lab", url="http://h/v1", key=key, key_variable=variable)


# sources and their order


def test_our_own_variable_wins_over_every_rule() -> None:
    keys = Keys({"OLLAMA_BRIDGE_KEY_LAB": SECRET, "LAB_API_KEY": "b"}, backend=Memory(lab="c"))
    for rule in ("keyring", "env:LAB_API_KEY", "file:/nowhere", "command:false", "none"):
        assert keys.get(provider(rule)) == SECRET
        assert keys.source(provider(rule)) == "environment OLLAMA_BRIDGE_KEY_LAB"


def test_names_become_variables() -> None:
    keys = Keys({"OLLAMA_BRIDGE_KEY_MY_LAB_2": SECRET}, backend=Memory())
    assert keys.get(Provider(name="my-lab.2", url="")) == SECRET


def test_the_keyring_wins_over_the_usual_variable() -> None:
    keys = Keys({"LAB_API_KEY": "b"}, backend=Memory(lab=SECRET))
    assert (keys.get(provider()), keys.source(provider())) == (SECRET, "keyring")


def test_the_usual_variable_stands_in_for_an_empty_keyring() -> None:
    keys = Keys({"LAB_API_KEY": SECRET}, backend=Memory())
    assert (keys.get(provider()), keys.source(provider())) == (SECRET, "environment LAB_API_KEY")


def test_the_usual_variable_stands_in_for_a_broken_keyring() -> None:
    keys = Keys({"LAB_API_KEY": SECRET}, backend=Broken(keyring.errors.KeyringLocked("locked")))
    assert keys.get(provider()) == SECRET


def test_another_variable() -> None:
    keys = Keys({"OTHER": SECRET}, backend=Memory())
    assert keys.get(provider("env:OTHER")) == SECRET
    assert keys.get(provider("env: OTHER")) == SECRET
    assert keys.source(provider("env:OTHER")) == "environment OTHER"


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f'"{SECRET}"\n')
    keys = Keys({}, backend=Memory())
    assert keys.get(provider(f"file:{path}")) == SECRET
    assert keys.source(provider(f"file:{path}")) == f"file {path}"


def test_a_command_runs_once_and_without_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "give key.py"
    log = tmp_path / "runs"
    script.write_text(
        f"import sys; open({str(log)!r}, 'a').write('x'); print(sys.argv[1]); print('more')"
    )
    rule = f"command:{sys.executable} '{script}' '$HOME;{SECRET}'"
    keys = Keys({}, backend=Memory())
    assert keys.get(provider(rule)) == f"$HOME;{SECRET}"
    assert keys.get(provider(rule)) == f"$HOME;{SECRET}"
    assert log.read_text() == "x"
    keys.forget()
    keys.get(provider(rule))
    assert log.read_text() == "xx"
    assert keys.source(provider(rule)) == f"command {sys.executable}"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "10.0.0.5", "[::1]:1", "box.local"]
)
@pytest.mark.parametrize("ring", [Memory(), Broken(keyring.errors.NoKeyringError())])
def test_a_server_in_the_house_needs_no_key(host: str, ring: Memory) -> None:
    keys = Keys({}, backend=ring)
    assert keys.get(Provider(name="lab", url=f"http://{host}/v1")) == ""
    assert keys.source(Provider(name="lab", url=f"http://{host}/v1")) == "none"
    with pytest.raises(BridgeError):
        keys.get(Provider(name="far", url="https://far.example/v1"))


def test_none_wants_no_key() -> None:
    keys = Keys({}, backend=Broken(AssertionError("not asked")))
    assert (keys.get(provider("none")), keys.source(provider("none"))) == ("", "none")


@pytest.mark.parametrize(
    "pasted", [f" {SECRET}\n", f'"{SECRET}"', f"' {SECRET} '", f"\t{SECRET}\r\n"]
)
def test_what_is_pasted_around_a_key_is_taken_off(pasted: str) -> None:
    backend = Memory()
    keys = Keys({"LAB_API_KEY": pasted}, backend=backend)
    assert keys.get(provider()) == SECRET
    keys.set("lab", pasted)
    assert backend.entries == {(SERVICE, "lab"): SECRET}


# missing keys


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("keyring", "ollama-bridge keys set lab` or set LAB_API_KEY"),
        ("env:OTHER", "variable OTHER, which is not set"),
        ("file:/nowhere/key", "/nowhere/key cannot be read"),
        ("command:/nowhere/program x", "command /nowhere/program cannot be run"),
        (f"command:{sys.executable} -c 'raise SystemExit(3)'", "ended with status 3"),
        (f"command:{sys.executable} -c pass", "is empty"),
        ("command:'open quote", "cannot be run"),
    ],
)
def test_a_missing_key_says_what_to_do(rule: str, said: str) -> None:
    keys = Keys({}, backend=Memory())
    with pytest.raises(KeyMissing) as caught:
        keys.get(provider(rule))
    assert said in caught.value.message
    assert keys.source(provider(rule)) == "missing"


@pytest.mark.parametrize(
    "bad", [f"{SECRET} and more", f"{SECRET}\u00e9", f"{SECRET}\x00", f"a\n{SECRET}"]
)
def test_a_text_that_cannot_be_a_key_is_refused_unseen(bad: str) -> None:
    backend = Memory()
    keys = Keys({"LAB_API_KEY": bad}, backend=backend)
    for call in (lambda: keys.get(provider()), lambda: keys.set("lab", bad)):
        with pytest.raises(KeyMissing, match="copy it again") as caught:
            call()
        assert SECRET not in str(caught.value)
    assert backend.entries == {}


def test_no_error_shows_what_a_command_line_holds() -> None:
    line = f'command:{sys.executable} -c \'import sys; print("{SECRET}"); sys.exit("{SECRET}")\''
    with pytest.raises(KeyMissing) as caught:
        Keys({}, backend=Memory()).get(provider(line))
    assert SECRET not in _everything(caught.value)


def _everything(error: BaseException) -> str:
    """All that a traceback could show."""
    parts = []
    link: BaseException | None = error
    while link is not None:
        parts.append(f"{link!r} {link.args} {vars(link)}")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return " ".join(parts)


# keyrings that do not play along


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (keyring.errors.NoKeyringError("x"), "This machine has no keyring"),
        (keyring.errors.KeyringLocked("x"), "is locked"),
        (keyring.errors.InitError("x"), "has not been set up"),
        (OSError(f"dbus {SECRET}"), "The keyring failed (OSError)"),
    ],
)
def test_a_broken_keyring_is_one_error_with_a_way_out(error: Exception, said: str) -> None:
    keys = Keys({}, backend=Broken(error))
    with pytest.raises(KeyringUnusable) as caught:
        keys.get(provider())
    assert said in caught.value.message
    assert "OLLAMA_BRIDGE_KEY_<PROVIDER>" in caught.value.message
    assert SECRET not in caught.value.message
    assert caught.value.exit_code == 6
    assert keys.source(provider()) == "keyring unusable"


def test_the_real_library_without_a_keyring() -> None:
    keys = Keys({}, backend=fail.Keyring())
    with pytest.raises(KeyringUnusable, match="no keyring"):
        keys.get(provider())
    with pytest.raises(KeyringUnusable, match="no keyring"):
        keys.set("lab", SECRET)


def test_a_broken_keyring_is_asked_again_next_time() -> None:
    backend = Broken(keyring.errors.KeyringLocked("x"))
    keys = Keys({}, backend=backend)
    for _ in range(2):
        with pytest.raises(KeyringUnusable):
            keys.get(provider())
    assert backend.reads == 2


def test_a_silent_keyring_is_given_up_in_time(silent: Silent) -> None:
    keys = Keys({}, timeout=0.05, backend=silent)
    began = time.monotonic()
    with pytest.raises(KeyringUnusable, match=r"within 0\.05 s"):
        keys.get(provider())
    assert time.monotonic() - began < 5


def test_a_silent_keyring_is_asked_once_and_its_late_answer_counts(silent: Silent) -> None:
    keys = Keys({}, timeout=0.05, backend=silent)
    for _ in range(3):
        with pytest.raises(KeyringUnusable):
            keys.get(provider())
    assert silent.reads == 1, "one dialog, not three"
    silent.answer.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            thread.join(30)
    assert keys.get(provider()) == SECRET


def test_many_keys_in_a_silent_keyring_cost_one_wait(silent: Silent) -> None:
    keys = Keys({}, timeout=1, backend=silent)
    began = time.monotonic()
    for number in range(20):
        row = Provider(name=f"lab{number}", url="http://h/v1")
        assert keys.source(row) == "keyring unusable"
        assert keys.ending(row) == ""
    assert time.monotonic() - began < 20


def test_a_key_is_read_once_until_forgotten() -> None:
    backend = Memory(lab=SECRET)
    keys = Keys({}, backend=backend)
    assert [keys.get(provider()) for _ in range(3)] == [SECRET] * 3
    assert backend.reads == 1
    backend.entries[SERVICE, "lab"] = "changed"
    keys.forget()
    assert keys.get(provider()) == "changed"


# storing


def test_set_and_remove() -> None:
    backend = Memory()
    keys = Keys({}, backend=backend)
    with pytest.raises(KeyMissing):
        keys.get(provider())
    keys.set("lab", SECRET)
    assert keys.get(provider()) == SECRET
    assert keys.named("lab") == SECRET
    assert keys.remove("lab")
    assert not keys.remove("lab")
    with pytest.raises(KeyMissing):
        keys.get(provider())


def test_a_systems_limit_is_checked_before_writing() -> None:
    backend = Memory()
    keys = Keys({}, backend=backend, longest=1280)
    with pytest.raises(KeyMissing, match="1281 characters") as caught:
        keys.set("lab", "k" * 1281)
    assert 'key = "file:PATH"' in caught.value.message
    assert backend.entries == {}
    keys.set("lab", "k" * 1280)
    assert backend.entries


def test_an_empty_key_is_not_stored() -> None:
    with pytest.raises(BridgeError, match="is empty"):
        Keys({}, backend=Memory()).set("lab", " \n")


def test_a_keyring_that_keeps_nothing_is_no_keyring() -> None:
    with pytest.raises(KeyringUnusable, match="did not keep the key"):
        Keys({}, backend=null.Keyring()).set("lab", SECRET)


@pytest.mark.parametrize(("key", "shown"), [(SECRET, "6789"), ("short", ""), ("elevenchars", "")])
def test_the_end_of_a_key_tells_it_from_others(key: str, shown: str) -> None:
    assert Keys({}, backend=Memory(lab=key)).ending(provider()) == shown
    assert Keys({}, backend=Memory()).ending(provider()) == ""


def test_nothing_shows_a_key() -> None:
    keys = Keys({"LAB_API_KEY": SECRET}, backend=Memory(lab=SECRET))
    keys.get(provider())
    assert SECRET not in repr(keys)
    assert SECRET not in repr(keys._reads)
