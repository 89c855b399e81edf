"""One entry for each login, in each system's own form."""

import plistlib
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from buses import needed

from ollama_bridge_tray import autostart
from ollama_bridge_tray.autostart import DesktopFile, LaunchAgent, RunKey

PLAIN = ["/opt/venv/bin/ollama-bridge-tray", "--start", "--wait", "60"]
ODD = ['/home/a b/100%/$x`"\\tray', "--state", "/srv/c"]


def test_the_script_beside_the_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    flags = ["--start", "--wait", "60"]
    module = [str(python), "-P", "-m", "ollama_bridge_tray"]
    assert autostart.command_line(str(python), {}, frozen=False) == [*module, *flags]
    script = tmp_path / "ollama-bridge-tray"
    script.touch()
    assert autostart.command_line(str(python), {}, frozen=False) == [str(script), *flags]
    assert autostart.command_line("/app/tray", {}, frozen=True) == ["/app/tray", *flags]


def test_on_windows_the_script_is_a_program(tmp_path: Path) -> None:
    script = tmp_path / "ollama-bridge-tray.exe"
    script.touch()
    python = str(tmp_path / "pythonw.exe")
    assert autostart.command_line(python, {}, frozen=False)[0] == str(script)


def test_the_instance_is_kept(tmp_path: Path) -> None:
    environ = {"OLLAMA_BRIDGE_CONFIG": str(tmp_path / "c.toml"), "OLLAMA_BRIDGE_STATE": "state"}
    command = autostart.command_line("/x", environ, frozen=True)
    assert command[-4:] == [
        *["--config", str(tmp_path / "c.toml")],
        *["--state", str(Path("state").absolute())],
    ]


def test_a_desktop_file(tmp_path: Path) -> None:
    entry = DesktopFile(PLAIN, tmp_path / "autostart")
    assert not entry.is_installed()
    entry.install()
    entry.install()
    assert entry.is_installed()
    lines = entry.path.read_text().splitlines()
    assert lines[0] == "[Desktop Entry]"
    assert "Exec=/opt/venv/bin/ollama-bridge-tray --start --wait 60" in lines
    entry.remove()
    entry.remove()
    assert not entry.is_installed()


@pytest.mark.parametrize("line", ["Hidden=true", "X-GNOME-Autostart-enabled=false"])
def test_a_desktop_file_that_was_switched_off(tmp_path: Path, line: str) -> None:
    entry = DesktopFile(PLAIN, tmp_path)
    entry.install()
    with entry.path.open("a") as file:
        file.write(f"{line}\n")
    assert not entry.is_installed()
    entry.install()
    assert entry.is_installed()


def test_odd_paths_are_quoted_as_the_rules_say() -> None:
    exec_line = next(
        line for line in DesktopFile(ODD, Path()).text().splitlines() if line.startswith("Exec=")
    )
    # first as a quoted argument (\\" \\` \\$ \\\\), then each backslash doubled as in any value
    assert exec_line == r'Exec="/home/a b/100%%/\\$x\\`\\"\\\\tray" --state /srv/c'


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
@pytest.mark.parametrize("command", [PLAIN, ODD])
def test_a_desktop_file_is_valid(tmp_path: Path, command: list[str]) -> None:
    entry = DesktopFile(command, tmp_path)
    entry.install()
    done = subprocess.run(
        [needed("desktop-file-validate", "desktop-file-utils"), str(entry.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout + done.stderr == ""


def test_a_launch_agent(tmp_path: Path) -> None:
    entry = LaunchAgent(ODD, tmp_path / "LaunchAgents")
    assert not entry.is_installed()
    entry.install()
    entry.install()
    assert entry.is_installed()
    assert plistlib.loads(entry.path.read_bytes()) == {
        "Label": "ollama-bridge.tray",
        "ProgramArguments": ODD,
        "RunAtLoad": True,
        "ProcessType": "Interactive",
        "LimitLoadToSessionType": "Aqua",
    }
    assert entry.path.name == "ollama-bridge.tray.plist"
    assert stat.S_IMODE(entry.path.stat().st_mode) == 0o600
    entry.remove()
    entry.remove()
    assert not entry.is_installed()


class Values:
    """A registry in memory."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def get(self, key: str, name: str) -> str | None:
        return self.values.get((key, name))

    def set(self, key: str, name: str, value: str) -> None:
        self.values[key, name] = value

    def delete(self, key: str, name: str) -> None:
        del self.values[key, name]


def test_a_run_key() -> None:
    registry = Values()
    entry = RunKey([r"C:\Users\A B\tray.exe", "--state", r"C:\s"], registry)
    assert not entry.is_installed()
    entry.install()
    entry.install()
    assert entry.is_installed()
    assert registry.values == {
        (r"Software\Microsoft\Windows\CurrentVersion\Run", "ollama-bridge-tray"): (
            r'"C:\Users\A B\tray.exe" --state C:\s'
        )
    }
    entry.remove()
    entry.remove()
    assert registry.values == {}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own")
@pytest.mark.parametrize(("named", "folder"), [("", ".config"), ("relative", ".config")])
def test_where_linux_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    entry = autostart.here()
    assert isinstance(entry, DesktopFile)
    assert entry.path == tmp_path / folder / "autostart" / "ollama-bridge-tray.desktop"
