"""The note a running daemon leaves for its front ends: who it is and where it answers."""

import contextlib
import dataclasses
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from ollama_bridge import files

NAME = "daemon.json"
LOCK = "daemon.lock"
"""Held for the daemon's whole life: it alone tells whether one runs."""

MOST_WORKERS = 64
"""Most processes of one daemon that answer."""

_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound


ANYWAY = "x-ollama-bridge-anyway"
"""Header of requests that are to reach the provider whatever is known of the model."""


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """One running daemon."""

    id: str
    pid: int
    create_time: float
    """Together with the pid this is one process and no later one."""
    host: str
    port: int
    token: str = dataclasses.field(repr=False)
    version: str
    config: str
    """The settings file in use."""
    host_flag: str | None = None
    """What the command line asked for; a restart asks for it again."""
    port_flag: int | None = None
    service: bool = False
    """The system's service manager started it, and starts it again."""
    workers: int = 1
    """Processes that answer; with more than one, `pid` is the one that looks after them."""

    @property
    def reachable_host(self) -> str:
        """A host to connect to; a daemon on every interface is met on the loopback one."""
        return reachable(self.host)

    @property
    def address(self) -> str:
        """The URL that clients use."""
        return url(self.host, self.port)

    @property
    def page(self) -> str:
        """The address of the page in the browser.

        Its token stands behind the #, which browsers send to nobody, and only lets look.
        """
        return f"{self.address}/_bridge/ui#token={page_token(self.token)}"


_FIELDS = frozenset(field.name for field in dataclasses.fields(Instance))
"""A newer daemon may tell more than this version knows."""


def reachable(host: str) -> str:
    """Where a listener on that host is met from the same machine."""
    return _ANYWHERE.get(host, host)


def url(host: str, port: int) -> str:
    """The address of a listener on that host, for the same machine."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def page_token(token: str) -> str:
    """What the page in the browser shows instead of the token: with it one can only look.

    A browser's address may be seen by others, in the list of processes for one.
    """
    return hmac.new(token.encode(), b"page", hashlib.sha256).hexdigest() if token else ""


def write(state: Path, instance: Instance) -> None:
    """Leave the note; only its owner may read it, because of the token."""
    files.replace(state / NAME, json.dumps(dataclasses.asdict(instance), indent=2) + "\n")


def read(state: Path) -> Instance | None:
    """The note, if there is one that can be read; the daemon may be gone all the same."""
    try:
        fields: Any = json.loads((state / NAME).read_text(encoding="utf-8"))
        return Instance(**{key: value for key, value in fields.items() if key in _FIELDS})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def remove(state: Path) -> None:
    """Take the note away."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        (state / NAME).unlink()
