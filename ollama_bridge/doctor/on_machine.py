"""Checks of the machine and the shell."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import ollama_bridge
from ollama_bridge import __version__, environment, instance
from ollama_bridge.doctor.finding import Finding, fault, hint, ok
from ollama_bridge.doctor.situation import Situation

_VERSION_SECONDS = 5.0
_CLOCK_SECONDS = 300.0
_LOCAL = ("127.0.0.1", "localhost")
_NO_PROXY = "localhost,127.0.0.1,::1"


def proxy(here: Situation) -> Iterator[Finding]:
    """Clients reach this machine without a proxy."""
    lower = {name.lower(): value for name, value in here.environ.items() if value}
    set_ones = [name for name in ("http_proxy", "all_proxy") if lower.get(name)]
    caught = [host for host in _LOCAL if not _is_bypassed(host, lower.get("no_proxy", ""))]
    if set_ones and caught:
        names = " and ".join(name for name in here.environ if name.lower() in set_ones)
        yield fault(
            f"{names} sends calls to {' and '.join(caught)} to a proxy, which does not reach us",
            f"export NO_PROXY={_NO_PROXY}",
        )
    else:
        yield ok("no proxy is in the way")


def ollama_host(here: Situation) -> Iterator[Finding]:
    """OLLAMA_HOST leads clients to the bridge."""
    given = environment.variable(here.environ, "OLLAMA_HOST")
    if not given:
        yield ok("not set: clients come to 127.0.0.1:11434")
        return
    host, port = environment.address(given)
    there = instance.url(host, port)
    ours = _bridge_address(here)
    if ours is None or there == ours or _same(there, ours):
        yield ok(there)
        return
    yield fault(
        f"OLLAMA_HOST sends clients of this shell to {there}, but the bridge is at {ours}",
        f"unset OLLAMA_HOST, or: export OLLAMA_HOST={ours}",
    )


def localhost(_here: Situation) -> Iterator[Finding]:
    """The name `localhost` means this machine."""
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo("localhost", None)}
    except OSError as error:
        yield fault(f"localhost cannot be looked up: {error.strerror}", _HOSTS)
        return
    wrong = sorted(name for name in found if not (name.startswith("127.") or name == "::1"))
    if wrong:
        yield fault(f"localhost means {', '.join(wrong)}", _HOSTS)
    else:
        yield ok(", ".join(sorted(found)))


_HOSTS = "give the hosts file the line `127.0.0.1 localhost`, or call clients to 127.0.0.1"


def versions(here: Situation) -> Iterator[Finding]:
    """One ollama-bridge on the PATH."""
    found = _programs(here.environ.get("PATH", ""))
    told = {path: _version(path, here) for path in found}
    listed = ", ".join(f"{path} ({version})" for path, version in told.items())
    if len(set(told.values())) > 1:
        yield fault(f"two versions on the PATH: {listed}", "uninstall all but one")
    elif len(found) > 1:
        yield hint(f"installed {len(found)} times: {listed}", "uninstall all but one")
    elif not found:
        yield hint("the command is not on the PATH", "`pipx ensurepath`, then a new terminal")
    elif set(told.values()) != {__version__}:
        yield fault(f"this is {__version__}, on the PATH is {listed}", "uninstall one of them")
    else:
        yield ok(listed)


def clock(here: Situation) -> Iterator[Finding]:
    """The clock is right; services refuse calls whose certificates are not valid yet."""
    now = here.now()
    installed = Path(ollama_bridge.__file__).stat().st_mtime
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if now < installed - _CLOCK_SECONDS:
        yield fault(
            f"the clock says {shown}, which is before this program was installed",
            "set the clock: `timedatectl set-ntp true`, or the system's date settings",
        )
    else:
        yield ok(shown)


def clock_is_off(here: Situation, date: str) -> Finding | None:
    """What the `Date` of a service's answer says of our clock."""
    try:
        theirs = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
    except ValueError:
        return None
    off = here.now() - theirs.timestamp()
    if abs(off) < _CLOCK_SECONDS:
        return None
    way = "fast" if off > 0 else "slow"
    return fault(
        f"the clock is {abs(off) / 60:.0f} minutes {way}",
        "set the clock: `timedatectl set-ntp true`, or the system's date settings",
    )


def _is_bypassed(host: str, no_proxy: str) -> bool:
    """Whether the list names the host, or a domain it is in, or everything."""
    names = [name.strip().lstrip(".") for name in no_proxy.lower().split(",")]
    return any(name and (name in {"*", host} or host.endswith(f".{name}")) for name in names)


def _bridge_address(here: Situation) -> str | None:
    if here.running is not None:
        return here.running.daemon.address
    found = here.good_settings
    return instance.url(found.server.host, found.server.port) if found else None


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(address: str) -> str:
    return re.sub(r"//(localhost|\[::1\])(?=:)", "//127.0.0.1", address)


def _programs(path: str) -> list[str]:
    """Every ollama-bridge on the PATH, the same file once."""
    found: dict[str, str] = {}
    for folder in path.split(os.pathsep):
        program = shutil.which("ollama-bridge", path=folder) if folder else None
        if program:
            found.setdefault(os.path.realpath(program), program)
    return list(found.values())


def _version(program: str, here: Situation) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - what the user would run by that name
            [program, "--version"],
            capture_output=True,
            text=True,
            env=dict(here.environ),
            stdin=subprocess.DEVNULL,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "does not run"
    words = done.stdout.split()
    return words[-1] if done.returncode == 0 and words else "does not run"
