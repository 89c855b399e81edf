"""Twelve broken set-ups and more, of real parts: `doctor` names the fault and a remedy that is one.

Each set-up is a generator: it breaks something and yields the environment that `doctor` runs in;
then it does what the remedy says and yields again, and the fault must be gone.
"""

import os
import shlex
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from buses import Ring, owned
from cli.test_keys import LIST, QUOTA, SECRET, service
from daemons import Home, end, until_ready
from disks import fill, mounted
from doctor.test_faults import doctor, write
from fake_ollama import VERSION, FakeOllama
from servers import served

import ollama_bridge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="buses and mounts of Linux")

Environ = dict[str, str]


@dataclass
class Ground:
    """What a set-up is made of."""

    home: Home
    ring: Callable[[str], Ring]
    bus: str
    remedy: str = ""
    """What doctor said to do."""

    def obey(self, command: str) -> None:
        """Run the command that the remedy begins with, as a user would paste it."""
        program, *arguments = shlex.split(command)
        assert program == "ollama-bridge"
        done = self.home.run(*arguments)
        assert done.returncode == 0, done.stderr


def proxy(ground: Ground) -> Iterator[Environ]:
    caught = {"HTTP_PROXY": "http://proxy.corp:3128"}
    yield caught
    name, _, value = ground.remedy.removeprefix("export ").partition("=")
    yield caught | {name: value}


def ollama_host(ground: Ground) -> Iterator[Environ]:
    assert ground.home.run("start").returncode == 0
    yield {"OLLAMA_HOST": "127.0.0.1:9"}
    yield {"OLLAMA_HOST": ground.remedy.rpartition("OLLAMA_HOST=")[2]}


def older_daemon(ground: Ground) -> Iterator[Environ]:
    old = ground.home.folder / "old"
    shutil.copytree(Path(ollama_bridge.__file__).parent, old / "ollama_bridge")
    old.joinpath("ollama_bridge/__init__.py").write_text('__version__ = "0.0.1"\n')
    child = ground.home.daemon(PYTHONPATH=str(old), PYTHONSAFEPATH="1")
    try:
        until_ready(child)
        yield {}
        ground.obey(ground.remedy)
        yield {}
    finally:
        end(child)


def killed_daemon(ground: Ground) -> Iterator[Environ]:
    child = ground.home.daemon()
    until_ready(child)
    end(child)
    yield {}
    ground.obey(ground.remedy.split("`")[1])
    yield {}


def locked_keyring(ground: Ground) -> Iterator[Environ]:
    ring = ground.ring("locked")
    write(ground.home, "[providers.groq]\n")
    yield ring.environ
    yield ring.environ | {"OLLAMA_BRIDGE_KEY_GROQ": SECRET}


def keyring_without_a_collection(ground: Ground) -> Iterator[Environ]:
    ring = ground.ring("empty")
    write(ground.home, "[providers.groq]\n")
    yield ring.environ
    yield ring.environ | {"OLLAMA_BRIDGE_KEY_GROQ": SECRET}


def hanging_keyring(ground: Ground) -> Iterator[Environ]:
    ring = ground.ring("silent")
    write(ground.home, "[providers.groq]\n")
    yield ring.environ
    yield ring.environ | {"OLLAMA_BRIDGE_KEY_GROQ": SECRET}


def no_keyring(ground: Ground) -> Iterator[Environ]:
    write(ground.home, "[providers.groq]\n")
    del ground.home.environ["PYTHON_KEYRING_BACKEND"]  # keyring is to choose by itself
    none = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    yield none
    assert 'key = "env:NAME"' in ground.remedy
    write(ground.home, '[providers.groq]\nkey = "env:MINE"\n')
    yield none | {"MINE": SECRET}


def _lab(url: str) -> str:
    return f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "env:LAB_KEY"\n'


def unreachable(ground: Ground) -> Iterator[Environ]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    write(ground.home, _lab(f"http://127.0.0.1:{port}"))
    yield {"LAB_KEY": SECRET}
    assert "look at the address" in ground.remedy
    with service({"/v1/models": (200, LIST), "open": False}) as (url, _):
        write(ground.home, _lab(url))
        yield {"LAB_KEY": SECRET}


def refusing(ground: Ground) -> Iterator[Environ]:
    replies = {"/v1/models": (401, '{"error": {"message": "Incorrect API key provided"}}')}
    with service(replies) as (url, _):
        write(ground.home, _lab(url))
        yield {"LAB_KEY": "sk-wrong-0123456789"}
        replies |= {"/v1/models": (200, LIST), "/v1/chat/completions": (200, "{}")}
        yield {"LAB_KEY": SECRET}


def no_quota(ground: Ground) -> Iterator[Environ]:
    replies = {"/v1/models": (200, LIST), "/v1/chat/completions": (429, QUOTA)}
    with service(replies) as (url, _):
        write(ground.home, _lab(url))
        yield {"LAB_KEY": SECRET}
        replies["/v1/chat/completions"] = (200, "{}")  # credit was added
        yield {"LAB_KEY": SECRET}


def no_tray_host(ground: Ground) -> Iterator[Environ]:
    desktop = {"DBUS_SESSION_BUS_ADDRESS": ground.bus, "WAYLAND_DISPLAY": "wayland-0"}
    yield desktop
    with owned(ground.bus, "org.kde.StatusNotifierWatcher"):  # the extension is there now
        yield desktop


def refused_origin(ground: Ground) -> Iterator[Environ]:
    write(ground.home, '[server]\norigins = ["https://mine.example"]\n[providers.demo]\n')
    assert ground.home.run("start").returncode == 0
    request = urllib.request.Request(
        f"http://127.0.0.1:{ground.home.note()['port']}/api/tags",
        headers={"Origin": "chrome-extension://abcdef"},
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    yield {}
    ground.obey(ground.remedy.removeprefix("if you trust it: ").removesuffix("; else leave it so"))
    urllib.request.urlopen(request).close()
    assert "https://mine.example" in ground.home.config.read_text(), "what was there stays"
    yield {}


def refused_origin_by_pattern(ground: Ground) -> Iterator[Environ]:
    yield from refused_origin(ground)
    write(ground.home, '[server]\norigins = ["chrome-extension://*"]\n[providers.demo]\n')
    ground.obey("ollama-bridge reload")
    yield {}


def broken_settings(ground: Ground) -> Iterator[Environ]:
    write(ground.home, "[server]\nport = 'x'\n")
    yield {}
    write(ground.home, "[server]\nport = 0\n[providers.demo]\n")
    yield {}


def real_ollama(ground: Ground) -> Iterator[Environ]:
    with served(FakeOllama()) as url:
        yield {"OLLAMA_BRIDGE_PORT": url.rpartition(":")[2]}
        assert "ollama-bridge providers add ollama --base-url" in ground.remedy
        yield {"OLLAMA_BRIDGE_PORT": "0"}  # what --port does, too


def other_bridge(ground: Ground) -> Iterator[Environ]:
    other = Home(ground.home.folder / "other", OLLAMA_BRIDGE_PORT="0")
    other.folder.mkdir()
    assert other.run("start").returncode == 0
    try:
        yield {"OLLAMA_BRIDGE_PORT": str(other.note()["port"])}
    finally:
        assert other.run("stop").returncode == 0


def silent_stranger(ground: Ground) -> Iterator[Environ]:
    with socket.create_server(("127.0.0.1", 0)) as stranger:  # connections are taken, and no more
        yield {"OLLAMA_BRIDGE_PORT": str(stranger.getsockname()[1])}
    yield {}


def talking_stranger(ground: Ground) -> Iterator[Environ]:
    with service({}) as (url, _):
        yield {"OLLAMA_BRIDGE_PORT": url.rpartition(":")[2]}
    yield {}


def unwritable_state(ground: Ground) -> Iterator[Environ]:
    ground.home.state.mkdir(mode=0o700)
    with mounted(ground.home.state, "ro"):
        yield {}
    yield {}


def full_disk(ground: Ground) -> Iterator[Environ]:
    disk = ground.home.folder / "disk"
    disk.mkdir(mode=0o700)
    with mounted(disk, "size=60m"):
        filler = fill(disk)
        yield {"OLLAMA_BRIDGE_STATE": str(disk / "state")}
        filler.unlink()
        yield {"OLLAMA_BRIDGE_STATE": str(disk / "state")}


class SetUp(NamedTuple):
    make: Callable[[Ground], Iterator[Environ]]
    check: str
    says: str
    remedy: str
    flags: tuple[str, ...] = ()


SET_UPS = [
    SetUp(proxy, "proxy", "HTTP_PROXY sends calls to 127.0.0.1 and localhost", "export NO_PROXY="),
    SetUp(ollama_host, "OLLAMA_HOST", "to http://127.0.0.1:9, but the bridge", "OLLAMA_HOST=http"),
    SetUp(older_daemon, "version", "the running daemon is 0.0.1", "ollama-bridge restart"),
    SetUp(killed_daemon, "daemon", "was killed and left", "ollama-bridge start"),
    SetUp(locked_keyring, "keyring", "The keyring is locked; groq", "unlock it"),
    SetUp(keyring_without_a_collection, "keyring", "has not been set up; groq", "unlock it"),
    SetUp(hanging_keyring, "keyring", "did not answer within 3 s; groq may", "unlock it"),
    SetUp(no_keyring, "keyring", "This machine has no keyring; groq", 'key = "env:NAME"'),
    SetUp(unreachable, "online", "cannot be reached: Connection refused", "network", ("--online",)),
    SetUp(refusing, "online", "lab refuses the key (status 401", "keys set lab", ("--online",)),
    SetUp(no_quota, "online", "lab takes the key, but it has no quota", "credit", ("--online",)),
    SetUp(no_tray_host, "tray", "this desktop shows no tray icons", "AppIndicator"),
    SetUp(refused_origin, "origins", "a page of chrome-extension://abcdef was", "server.origins"),
    SetUp(refused_origin_by_pattern, "origins", "chrome-extension://abcdef", "server.origins"),
    SetUp(broken_settings, "settings", "config.toml: server.port: found", "config validate"),
    SetUp(real_ollama, "port", f"A real Ollama ({VERSION}) (process {os.getpid()}", "--port"),
    SetUp(other_bridge, "port", "Another Ollama Bridge", "--port"),
    SetUp(silent_stranger, "port", f"Another program (process {os.getpid()}", "--port"),
    SetUp(talking_stranger, "port", f"Another program (process {os.getpid()}", "--port"),
    SetUp(unwritable_state, "state folder", "Read-only file system", "OLLAMA_BRIDGE_STATE"),
    SetUp(full_disk, "disk space", "the disk is full: 0 MB free", "delete"),
]


@pytest.mark.parametrize("row", SET_UPS, ids=lambda row: row.make.__name__)
def test_a_broken_set_up(
    row: SetUp,
    home: Home,
    ring: Callable[[str], Ring],
    session_bus: str,
) -> None:
    ground = Ground(home, ring, session_bus)
    with closing(row.make(ground)) as states:  # type: ignore[type-var]
        faults = doctor(home, *row.flags, **next(states)).faults()
        says, ground.remedy = faults[row.check]
        assert row.says in says
        assert row.remedy in ground.remedy
        for environ in states:
            faults = doctor(home, *row.flags, **environ).faults()
            assert row.check not in faults, "the remedy is one"
