"""What a click does: the same calls that the commands of the command line make."""

from collections.abc import Callable
from pathlib import Path

from ollama_bridge import browser, client, config, editing, files, log, process
from ollama_bridge.errors import BridgeError
from ollama_bridge.instance import Instance

from . import autostart, desktop
from .menu import Button

_START_SECONDS = 30.0


def press(button: Button, value: str, state: Path, last: Instance | None) -> str:
    """Do what the button says, which may take a while; what to tell the user, or "".

    `last` is the daemon that was last met: a start repeats how it was started. Raises BridgeError.
    """
    return _BUTTONS[button](value, state, last)


def _start(_value: str, _state: Path, last: Instance | None) -> str:
    process.ensure(process.like(last), _START_SECONDS)
    return ""


def _stop(_value: str, state: Path, _last: Instance | None) -> str:
    process.stop(state)
    return ""


def _restart(_value: str, state: Path, last: Instance | None) -> str:
    process.restart(state, _START_SECONDS, last)
    return ""


def _default_model(name: str, state: Path, last: Instance | None) -> str:
    running = client.connect(state)
    editing.set_default_model(_settings(last), name, running.origin(name))
    running.reload()
    return f'Clients that ask for "{config.DEFAULT_MODEL}" get {name} now'


def _default_provider(name: str, state: Path, last: Instance | None) -> str:
    editing.set_value(_settings(last), ["default_provider"], name)
    client.connect(state).reload()
    return f"{name} is the default provider now"


def _copy(text: str, _state: Path, _last: Instance | None) -> str:
    desktop.copy(text)
    return f"Copied: {text}"


def _open_page(_value: str, state: Path, _last: Instance | None) -> str:
    daemon = client.connect(state).daemon
    if not browser.opened(daemon.page):
        raise BridgeError("No browser can be opened here; `ollama-bridge ui` tells the address")
    return ""


def _open_logs(_value: str, state: Path, _last: Instance | None) -> str:
    desktop.open_file(state / log.NAME)
    return ""


def _open_settings(_value: str, _state: Path, last: Instance | None) -> str:
    path = _settings(last)
    if not path.exists():
        files.replace(path, "")  # an editor wants a file, and an empty one means no settings
    desktop.open_file(path)
    return ""


def _settings(last: Instance | None) -> Path:
    return Path(last.config) if last else config.config_file()


def _start_at_login(_value: str, _state: Path, _last: Instance | None) -> str:
    entry = autostart.here()
    if entry.is_installed():
        entry.remove()
    else:
        entry.install()
    return ""


_BUTTONS: dict[Button, Callable[[str, Path, Instance | None], str]] = {
    Button.START: _start,
    Button.STOP: _stop,
    Button.RESTART: _restart,
    Button.DEFAULT_MODEL: _default_model,
    Button.DEFAULT_PROVIDER: _default_provider,
    Button.COPY: _copy,
    Button.OPEN_PAGE: _open_page,
    Button.OPEN_LOGS: _open_logs,
    Button.OPEN_SETTINGS: _open_settings,
    Button.START_AT_LOGIN: _start_at_login,
    Button.QUIT_AND_STOP: _stop,
}
