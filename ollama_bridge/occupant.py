"""Who listens on a port that we would like to have, and what the user can do about it."""

import http.client
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ollama_bridge import instance

_PROBE_SECONDS = 1.0
_OTHER_PORT = 11435

Kind = Literal["bridge", "ollama", "stranger"]


@dataclass(frozen=True, slots=True)
class Occupant:
    """What is known of the program on a port."""

    kind: Kind
    version: str = ""
    process: str = ""
    """Its name, where the operating system tells it to this user."""
    pid: int | None = None

    @property
    def described(self) -> str:
        """A few words for a sentence."""
        names = {
            "bridge": f"Another Ollama Bridge ({self.version})",
            "ollama": f"A real Ollama ({self.version})",
            "stranger": "Another program",
        }
        if self.pid is None:
            return names[self.kind]
        return f"{names[self.kind]} (process {self.pid}, {self.process})"


def find(host: str, port: int) -> Occupant | None:
    """Who listens there; None when nobody takes connections."""
    connection = http.client.HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    try:
        connection.connect()
    except OSError:
        return None
    try:
        kind, version = _answered(connection)
    finally:
        connection.close()
    process, pid = _owner(port)
    return Occupant(kind, version, process, pid)


def taken(host: str, port: int, platform: str = sys.platform) -> str:
    """One sentence on who has the port, then what to do, line by line."""
    where = instance.url(host, port).removeprefix("http://")
    occupant = find(instance.reachable(host), port) or Occupant("stranger")
    said = f"{occupant.described} listens on {where} already"
    return _SAID[occupant.kind](said, occupant, port, platform)


def steps(port: int, platform: str = sys.platform) -> list[str]:
    """How to give a real Ollama another port and keep its models behind the bridge."""
    other = _other(port)
    moving = _MOVING.get(platform, _MOVING["linux"])
    return [
        *(line.format(address=f"127.0.0.1:{other}", port=port) for line in moving),
        f"ollama-bridge providers add ollama --base-url http://127.0.0.1:{other}/v1",
        "ollama-bridge start",
    ]


def _other(port: int) -> int:
    return _OTHER_PORT + 1 if port == _OTHER_PORT else _OTHER_PORT


_MOVING = {
    "linux": (
        "sudo mkdir -p /etc/systemd/system/ollama.service.d",
        (
            "printf '[Service]\\nEnvironment=OLLAMA_HOST={address}\\n' | "
            "sudo tee /etc/systemd/system/ollama.service.d/port.conf"
        ),
        "sudo systemctl daemon-reload && sudo systemctl restart ollama",
        "# started by hand? Then instead: OLLAMA_HOST={address} ollama serve",
    ),
    # there the variable is set for all programs of the user, so ours gets one that wins over it
    "darwin": (
        "launchctl setenv OLLAMA_HOST {address}",
        "launchctl setenv OLLAMA_BRIDGE_HOST 127.0.0.1",
        "launchctl setenv OLLAMA_BRIDGE_PORT {port}",
        "osascript -e 'quit app \"Ollama\"'; open -a Ollama",
    ),
    "win32": (
        "setx OLLAMA_HOST {address}",
        "setx OLLAMA_BRIDGE_HOST 127.0.0.1",
        "setx OLLAMA_BRIDGE_PORT {port}",
        "rem quit Ollama by its icon beside the clock, start it again, and open a new terminal",
    ),
}
"""Commands by operating system."""


def _bridge_said(said: str, _occupant: Occupant, port: int, _platform: str) -> str:
    return (
        f"{said}, with a state folder of its own; stop it where it was started, or "
        f"choose another port: --port {_other(port)}"
    )


def _ollama_said(said: str, _occupant: Occupant, port: int, platform: str) -> str:
    lines = "\n".join(f"  {line}" for line in steps(port, platform))
    return (
        f"{said}; choose another port for the bridge (--port {_other(port)}), or give Ollama "
        f"another one and keep its models behind the bridge:\n{lines}"
    )


def _stranger_said(said: str, _occupant: Occupant, port: int, _platform: str) -> str:
    return f"{said}; stop it, or choose another port: --port {_other(port)}"


_SAID: dict[Kind, Callable[[str, Occupant, int, str], str]] = {
    "bridge": _bridge_said,
    "ollama": _ollama_said,
    "stranger": _stranger_said,
}


def _answered(connection: http.client.HTTPConnection) -> tuple[Kind, str]:
    """By the bridge's own header, or the version that Ollama tells."""
    try:
        connection.request("GET", "/api/version", headers={"Host": "localhost"})
        response = connection.getresponse()
        ours = response.getheader("X-Ollama-Bridge", "")
        if ours:
            return "bridge", ours
        answer: Any = json.loads(response.read(1000))
        return "ollama", str(answer["version"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return "stranger", ""


def _owner(port: int) -> tuple[str, int | None]:
    """Name and number of the process; systems tell them of the user's own programs, some of all."""
    import psutil  # only for a port that is taken

    try:
        for one in psutil.net_connections("tcp"):
            listens = one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
            if listens and one.pid:
                return psutil.Process(one.pid).name(), one.pid
    except (psutil.Error, OSError):
        pass
    return "", None
