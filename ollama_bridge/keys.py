"""Where a provider's API key comes from.

Strategy: `OLLAMA_BRIDGE_KEY_<PROVIDER>` first, then the rule of the provider's row. A keyring may
open a dialog and wait for ever, so each of its calls runs in a thread of its own and is given up
after a while; a second question about the same entry joins the one still waiting. What was read is
remembered until `forget`, because some keyrings ask the user on every read.
"""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from ollama_bridge import environment
from ollama_bridge.errors import KeyMissing, KeyringUnusable
from ollama_bridge.providers import address
from ollama_bridge.providers.provider import Provider

SERVICE = "ollama-bridge"

PATIENCE = 3.0
"""Seconds the daemon waits for the keyring."""

PATIENCE_INTERACTIVE = 30.0
"""Seconds a command waits: there is somebody to answer the keyring's dialog."""

UNUSABLE = "keyring unusable"
"""The source of a key that only the keyring has, and the keyring does not tell."""

_COMMAND_PATIENCE = 30.0
_SHOWN = 4
_LONG_ENOUGH = 12
_T = TypeVar("_T")
_LONGEST = {"win32": 1280}
"""Most characters of one entry where the operating system sets a limit."""


class Backend(Protocol):
    """The part of a keyring backend that is used."""

    def get_password(self, service: str, username: str) -> str | None:
        """The entry, or None when there is none."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Make or replace the entry."""

    def delete_password(self, service: str, username: str) -> None:
        """Delete the entry, which must be there."""


class Keys:
    """Finds, stores and forgets keys. Calls may block for the given patience; threads may share."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        timeout: float = PATIENCE,
        backend: Backend | None = None,
        longest: int | None = _LONGEST.get(sys.platform),
    ) -> None:
        self._environ = environ
        self._timeout = timeout
        self._backend = backend
        self._longest = longest
        self._lock = threading.Lock()
        self._one_command = threading.Lock()
        self._reads: dict[str, _Call[str | None]] = {}
        self._stuck: _Call[Any] | None = None
        """The last call that did not come back in time."""
        self._outputs: dict[str, str] = {}

    def get(self, provider: Provider) -> str:
        """The provider's key, or "" when it wants none; raises KeyMissing or KeyringUnusable."""
        return self._find(provider)[0]

    def source(self, provider: Provider) -> str:
        """In a few words where the key comes from; never the key, never an error."""
        try:
            return self._find(provider)[1]
        except KeyringUnusable:
            return UNUSABLE
        except KeyMissing:
            return "missing"

    def ending(self, provider: Provider) -> str:
        """The key's last four characters, to tell one from another; "" for none or a short one."""
        try:
            key = self.get(provider)
        except (KeyMissing, KeyringUnusable):
            return ""
        return key[-_SHOWN:] if len(key) >= _LONG_ENOUGH else ""

    def named(self, name: str) -> str:
        """The keyring entry of that name (an access key, say); raises KeyMissing."""
        return self.get(Provider(name=name, url=""))

    def set(self, name: str, secret: str) -> None:
        """Store a key in the keyring; raises KeyMissing for an unusable text."""
        secret = clean(secret, f"The key for {name}")
        if self._longest is not None and len(secret) > self._longest:
            raise KeyMissing(
                f"The key for {name} has {len(secret)} characters; this keyring takes "
                f'{self._longest} at most; put it in a file and set key = "file:PATH"'
            )
        self._ask(lambda ring: ring.set_password(SERVICE, name, secret))
        self.forget()
        if self._ask(lambda ring: ring.get_password(SERVICE, name)) != secret:
            # keyring's null backend takes everything and keeps nothing
            raise KeyringUnusable(
                f"The keyring did not keep the key; give it another way: {_OTHER_WAYS}"
            )

    def remove(self, name: str) -> bool:
        """Delete a key from the keyring; False when there was none."""
        self.forget()
        if self._ask(lambda ring: ring.get_password(SERVICE, name)) is None:
            return False
        self._ask(lambda ring: ring.delete_password(SERVICE, name))
        self.forget()
        return True

    def forget(self) -> None:
        """Read everything anew next time; a keyring that is still thinking is left to it."""
        with self._lock:
            self._reads = {name: call for name, call in self._reads.items() if not call.ended}
            self._outputs.clear()

    def _find(self, provider: Provider) -> tuple[str, str]:
        """Key and source."""
        own = environment.key_variable(provider.name)
        if self._environ.get(own, "").strip():
            return clean(self._environ[own], own), f"environment {own}"
        rule, _, rest = provider.key.partition(":")
        rest = rest.strip()
        if rule == "none":
            return "", "none"
        if rule == "env":
            return self._from_variable(provider, rest), f"environment {rest}"
        if rule == "file":
            return _from_file(provider, Path(rest).expanduser()), f"file {rest}"
        if rule == "command":
            # the rest of the line may hold what others should not read
            return self._from_command(provider, rest), f"command {_program(rest)}"
        return self._from_keyring(provider)

    def _from_variable(self, provider: Provider, name: str) -> str:
        value = self._environ.get(name, "")
        if not value.strip():
            raise KeyMissing(
                f"No key for provider {provider.name}: its settings name the environment "
                f"variable {name}, which is not set where the bridge was started"
            )
        return clean(value, name)

    def _from_keyring(self, provider: Provider) -> tuple[str, str]:
        variable = provider.key_variable
        in_environment = bool(self._environ.get(variable, "").strip())
        wants_none = address.is_near(urlsplit(provider.url).hostname or "")
        try:
            stored = self._read(provider.name)
        except KeyringUnusable:
            if not in_environment and not wants_none:
                raise
            stored = None
        if stored and stored.strip():
            return clean(stored, f"The keyring's key for {provider.name}"), "keyring"
        if in_environment:
            return clean(self._environ[variable], variable), f"environment {variable}"
        if wants_none:  # servers in the house seldom ask for a key, and say so when they do
            return "", "none"
        other = f" or set {variable}" if variable else ', or set key = "none" if it wants none'
        raise KeyMissing(
            f"No key for provider {provider.name}: "
            f"store one with `ollama-bridge keys set {provider.name}`{other}"
        )

    def _read(self, name: str) -> str | None:
        with self._lock:
            call = self._reads.get(name)
            if call is None or call.failed:
                call = _Call(lambda: self._ring().get_password(SERVICE, name))
                self._reads[name] = call
        return self._answer(call)

    def _ask(self, question: Callable[[Backend], _T]) -> _T:
        return self._answer(_Call(lambda: question(self._ring())))

    def _answer(self, call: "_Call[_T]") -> _T:
        """The call's answer; while an earlier one still waits, no other is waited for as long."""
        stuck = self._stuck is not None and not self._stuck.ended
        try:
            return call.wait(0 if stuck else self._timeout)
        finally:
            if not call.ended:
                self._stuck = call

    def _ring(self) -> Backend:
        if self._backend is not None:
            return self._backend
        import keyring  # it takes a tenth of a second and is often not needed

        return keyring.get_keyring()

    def _from_command(self, provider: Provider, line: str) -> str:
        with self._one_command:
            if line not in self._outputs:
                self._outputs[line] = _output(provider.name, line)
            return self._outputs[line]


class _Call(Generic[_T]):
    """One question to the keyring, asked in a thread that may never come back."""

    def __init__(self, question: Callable[[], _T]) -> None:
        self._question = question
        self._answers: list[_T] = []
        self._error: Exception | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, name="keyring", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._done.is_set()

    @property
    def failed(self) -> bool:
        return self._error is not None

    def wait(self, seconds: float) -> _T:
        """The answer; raises KeyringUnusable when it is an error or does not come in time."""
        if not self._done.wait(seconds):
            raise KeyringUnusable(
                f"The keyring did not answer within {seconds:g} s; unlock it and try again, "
                f"or give the key another way: {_OTHER_WAYS}"
            )
        if self._error is not None:
            raise _unusable(self._error) from self._error
        return self._answers[0]

    def _run(self) -> None:
        try:
            self._answers.append(self._question())
        except Exception as error:  # noqa: BLE001 - backends raise whatever their systems do
            self._error = error
        self._done.set()


_OTHER_WAYS = (
    'the variable OLLAMA_BRIDGE_KEY_<PROVIDER>, key = "env:NAME" in the settings, or '
    "`ollama-bridge keys set NAME --insecure-storage`, which uses a file that only you can read"
)

_KEYRING_ERRORS = {
    "NoKeyringError": "This machine has no keyring",
    "KeyringLocked": "The keyring is locked",
    "InitError": "The keyring has not been set up",
    "PasswordSetError": "The keyring refused to store the key",
    "PasswordDeleteError": "The keyring refused to delete the key",
}


def _unusable(error: Exception) -> KeyringUnusable:
    """Our sentence, by the error's kind: its own text could hold anything."""
    kind = type(error).__name__
    what = _KEYRING_ERRORS.get(kind, f"The keyring failed ({kind})")
    return KeyringUnusable(f"{what}; give the key another way: {_OTHER_WAYS}")


def _from_file(provider: Provider, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise KeyMissing(
            f"No key for provider {provider.name}: {path} cannot be read: {reason}"
        ) from error
    return clean(text, str(path))


def _output(name: str, line: str) -> str:
    """The first line that the key command of a provider prints.

    Its errors are not chained: they hold the whole command line and what it printed.
    """
    program = _program(line)
    failed = f"No key for provider {name}: its key command {program}"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, from the user's own settings
            _words(line),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_COMMAND_PATIENCE,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise KeyMissing(f"{failed} did not end within {_COMMAND_PATIENCE:g} s") from None
    except subprocess.CalledProcessError as error:
        raise KeyMissing(f"{failed} ended with status {error.returncode}; run it by hand") from None
    except (OSError, ValueError):
        raise KeyMissing(f"{failed} cannot be run; check the settings") from None
    printed = done.stdout.decode(errors="replace").strip()
    return clean(printed.partition("\n")[0], f"The output of {program}")


def _words(line: str) -> list[str]:
    return shlex.split(line, posix=os.name != "nt")


def _program(line: str) -> str:
    return line.split(maxsplit=1)[0] if line.strip() else "(empty)"


def clean(text: str, what: str) -> str:
    """A key as it goes into a header, without what is pasted around it; raises KeyMissing."""
    key = text.strip().strip("\"'").strip()
    if not key:
        raise KeyMissing(f"{what} is empty; give it a key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise KeyMissing(f"{what} is no key: it has spaces or other characters; copy it again")
    return key
