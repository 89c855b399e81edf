"""A session bus and the keyrings that can be on it, all for one test alone (Linux)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PASSWORD = b"test-pass"
_SECRETS = "org.freedesktop.secrets"
_LOGIN = "/org/freedesktop/secrets/collection/login"


def needed(program: str, package: str) -> str:
    """The program's path; a test skips without it, except where everything must run."""
    found = shutil.which(program)
    if found is None:
        assert not os.environ.get("CI"), f"{program} is missing: apt-get install {package}"
        pytest.skip(f"needs {program}: apt-get install {package}")
    return found


@pytest.fixture
def session_bus(tmp_path: Path) -> Iterator[str]:
    """The address of an empty session bus."""
    program = needed("dbus-daemon", "dbus")
    folder = tmp_path / "bus"
    folder.mkdir()
    bus = subprocess.Popen(
        [
            *[program, "--session", "--nofork", "--nopidfile", "--print-address=1"],
            f"--address=unix:dir={folder}",
        ],
        # what the bus starts by itself keeps its files with this user too
        env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert bus.stdout is not None
    yield bus.stdout.readline().strip()
    bus.terminate()
    bus.wait(10)
    bus.stdout.close()


class Ring:
    """A Secret Service on a bus; `environ` leads a process to it."""

    def __init__(self, bus: str, folder: Path) -> None:
        home, run = folder / "ring-home", folder / "ring-run"
        home.mkdir()
        run.mkdir(mode=0o700)
        self.environ = {
            "DBUS_SESSION_BUS_ADDRESS": bus,
            "XDG_RUNTIME_DIR": str(run),
            "XDG_DATA_HOME": str(home / "share"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring",
        }
        self._home = home

    def call(self, name: str, path: str, method: str, *values: str) -> str:
        """What a call on the bus answers; "" when it fails."""
        address = ["--dest", name, "--object-path", path, "--method", method]
        return subprocess.run(
            [needed("gdbus", "libglib2.0-bin"), "call", "--session", *address, *values],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        ).stdout

    @contextmanager
    def daemon(self, *flags: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A real keyring daemon that owns its name on the bus."""
        program = needed("gnome-keyring-daemon", "gnome-keyring")
        environ = {**os.environ, **self.environ, "HOME": str(self._home)}
        environ.pop("DISPLAY", None)
        with subprocess.Popen(
            [program, "--foreground", "--components=secrets", *flags],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as daemon:
            try:
                assert daemon.stdin is not None
                daemon.stdin.write(PASSWORD)
                daemon.stdin.close()
                self.until_owned(daemon)
                yield daemon
            finally:
                daemon.terminate()

    def until_owned(self, daemon: "subprocess.Popen[bytes]") -> None:
        """Asked of the bus and not of the service: a call to it too early starts a second one."""
        ask = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner")
        while "true" not in self.call(*ask, _SECRETS):
            assert daemon.poll() is None

    def until_there(self) -> None:
        """Return when the service has a collection to store into."""
        method = "org.freedesktop.Secret.Service.ReadAlias"
        while "collection" not in self.call(
            _SECRETS, "/org/freedesktop/secrets", method, "default"
        ):
            pass

    def lock(self) -> None:
        """Lock the collection; nobody is there who could ask for its password."""
        method = "org.freedesktop.Secret.Service.Lock"
        assert _LOGIN in self.call(_SECRETS, "/org/freedesktop/secrets", method, f"['{_LOGIN}']")


_OWNER = """
import sys
from jeepney import DBusAddress, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
bus = open_dbus_connection()
assert Proxy(message_bus, bus).RequestName(sys.argv[1]) == (1,)
print("owned", flush=True)
sys.stdin.read()
"""


@contextmanager
def owned(address: str, name: str) -> Iterator[None]:
    """Something that owns the name on that bus and never answers."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, name],
        env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": address},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as service:
        assert service.stdout is not None
        assert service.stdout.readline() == b"owned\n"
        try:
            yield
        finally:
            service.terminate()


@pytest.fixture
def ring(session_bus: str, tmp_path: Path) -> Iterator[Callable[[str], Ring]]:
    """Makes a Secret Service: unlocked, locked, empty (no collection), silent, or absent."""
    one = Ring(session_bus, tmp_path)
    with ExitStack() as stack:

        def make(state: str) -> Ring:
            if state in ("unlocked", "locked"):
                stack.enter_context(one.daemon("--unlock"))
                one.until_there()
            if state == "locked":
                one.lock()
            if state == "empty":
                stack.enter_context(one.daemon())
            if state == "silent":
                stack.enter_context(owned(session_bus, _SECRETS))
            if state == "absent":
                one.environ["DBUS_SESSION_BUS_ADDRESS"] = "unix:path=/nowhere"
            return one

        yield make
