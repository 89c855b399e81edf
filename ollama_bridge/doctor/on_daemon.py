"""Checks of the daemon, its address and its service."""

from collections.abc import Iterator
from pathlib import Path

from ollama_bridge import __version__, listening, version
from ollama_bridge.doctor.finding import Finding, fault, hint, ok
from ollama_bridge.doctor.situation import Situation
from ollama_bridge.errors import BridgeError, PortTaken
from ollama_bridge.service import managers, plan

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - recognised, not bound


def daemon(here: Situation) -> Iterator[Finding]:
    """It runs and answers."""
    if here.running is not None:
        yield ok(f"answers at {here.running.daemon.address}, process {here.running.daemon.pid}")
    elif here.is_locked:
        process = f" (process {here.note.pid})" if here.note else ""
        yield fault(f"the daemon{process} runs but does not answer", "ollama-bridge restart")
    elif here.note is not None:
        yield fault(
            f"the daemon (process {here.note.pid}) was killed and left {here.state}/daemon.json",
            "`ollama-bridge start`, or `ollama-bridge stop` to clear up",
        )
    else:
        yield hint("it does not run", "ollama-bridge start")


def age(here: Situation) -> Iterator[Finding]:
    """The daemon is of this version."""
    running = str(here.status.get("version", __version__))
    if running == __version__:
        yield ok(__version__)
    elif version.is_older(running, __version__):
        yield fault(
            f"the running daemon is {running}, this command {__version__}", "ollama-bridge restart"
        )
    else:
        yield fault(
            f"this command is {__version__}, the running daemon {running}",
            "use the newer command, or `ollama-bridge restart` to go back",
        )


def in_use(here: Situation) -> Iterator[Finding]:
    """The daemon uses these settings, all of them."""
    used = here.status.get("config")
    if here.status.get("settings_error"):
        yield fault(
            f"the daemon keeps old settings: {here.status['settings_error']}",
            "mend the file, then `ollama-bridge reload`",
        )
    elif used and Path(str(used)) != here.config_path:
        yield hint(f"the daemon uses {used}, not {here.config_path}", "ollama-bridge restart")
    else:
        yield ok("in use" if used else "used at the next start")


def port(here: Situation) -> Iterator[Finding]:
    """The address is ours, or free to take."""
    found = here.good_settings
    if here.running is not None or here.is_locked or found is None:
        yield ok("taken by the daemon itself" if found else "not known without settings")
        return
    server = found.server
    try:
        sockets = listening.listen(server.host, server.port)
    except PortTaken as error:
        says, _, steps = error.message.partition("; ")
        yield fault(says, steps)
        return
    except BridgeError as error:
        says, _, remedy = error.message.partition("; ")
        yield fault(says, remedy)
        return
    for one in sockets:
        one.close()
    yield ok(f"{server.host or 'every interface'}, port {server.port} is free")


def reach(here: Situation) -> Iterator[Finding]:
    """Who else can use the daemon."""
    found = here.good_settings
    if found and found.server.host in _EVERYWHERE and not found.server.access_keys:
        yield hint(
            "every machine of the network can use your keys",
            'set server.access_keys, or server.host = "127.0.0.1"',
        )
    else:
        yield ok("nobody without a key" if found and found.server.access_keys else "this machine")


def service(here: Situation) -> Iterator[Finding]:
    """An installed service can start."""
    manager = managers.here(plan.plan(environ=here.environ), environ=here.environ)
    state = manager.state()
    if not state.installed:
        yield ok("not installed")
        return
    missing = manager.missing()
    if missing:
        yield fault(
            f"the {manager.kind} names {missing}, which is not there",
            "ollama-bridge service install",
        )
    elif state.detail == "failed":
        yield fault(
            f"the {manager.kind} failed", "`ollama-bridge logs`, then `ollama-bridge start`"
        )
    else:
        yield ok(f"{manager.kind}, {state.detail or 'installed'}")
