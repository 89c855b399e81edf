"""Every check of `doctor`, as a table; each is given a bounded time."""

import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ollama_bridge.doctor import on_daemon, on_desktop, on_disk, on_machine, on_providers
from ollama_bridge.doctor.finding import Finding, fault
from ollama_bridge.doctor.situation import Situation

_SECONDS = 10.0
_ONLINE_SECONDS = 60.0


class Check(NamedTuple):
    """One thing that is looked at."""

    name: str
    look: Callable[[Situation], Iterator[Finding]]
    """Its first docstring line says what is well when all is."""
    seconds: float = _SECONDS


CHECKS = (
    Check("settings", on_disk.settings),
    Check("file modes", on_disk.modes),
    Check("state folder", on_disk.state),
    Check("disk space", on_disk.space),
    Check("log", on_disk.logs),
    Check("daemon", on_daemon.daemon),
    Check("version", on_daemon.age),
    Check("settings in use", on_daemon.in_use),
    Check("port", on_daemon.port),
    Check("reach", on_daemon.reach),
    Check("service", on_daemon.service),
    Check("proxy", on_machine.proxy),
    Check("OLLAMA_HOST", on_machine.ollama_host),
    Check("localhost", on_machine.localhost),
    Check("PATH", on_machine.versions, 30.0),
    Check("clock", on_machine.clock),
    Check("keyring", on_providers.keyring),
    Check("keys", on_providers.keys, 30.0),
    Check("providers", on_providers.providers),
    Check("limits", on_providers.limits),
    Check("online", on_providers.online, _ONLINE_SECONDS),
    Check("aliases", on_providers.aliases, 30.0),
    Check("origins", on_disk.origins),
    Check("tray", on_desktop.tray),
)


def run(check: Check, here: Situation) -> list[Finding]:
    """What the check finds; one that hangs or fails is a finding itself."""
    found: list[Finding] = []
    worker = threading.Thread(target=_look, args=(check, here, found), daemon=True)
    worker.start()
    worker.join(check.seconds)
    if worker.is_alive():
        late = fault(f"no answer within {check.seconds:g} s", "try again; if it stays, report it")
        return [*found, late]
    return found


def _look(check: Check, here: Situation, found: list[Finding]) -> None:
    try:
        found.extend(check.look(here))
    except Exception as error:  # noqa: BLE001 - a doctor must not die of what it looks for
        kind = type(error).__name__
        found.append(fault(f"could not be looked at ({kind}: {error})", "please report this"))
