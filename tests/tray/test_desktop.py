"""Files and the clipboard, with whatever the desktop has."""

import os
import stat
from pathlib import Path

import pytest

from ollama_bridge.errors import BridgeError
from ollama_bridge_tray import desktop


def having(*programs: str) -> desktop.Which:
    return lambda name: f"/bin/{name}" if name in programs else None


WAYLAND = {"WAYLAND_DISPLAY": "wayland-0"}
ALL = having("wl-copy", "xclip", "xsel", "pbcopy", "clip.exe")


@pytest.mark.parametrize(
    ("system", "environ", "which", "command"),
    [
        ("linux", WAYLAND, ALL, ["/bin/wl-copy"]),
        ("linux", {}, ALL, ["/bin/xclip", "-selection", "clipboard"]),
        ("linux", {}, having("wl-copy", "xsel"), ["/bin/xsel", "--clipboard", "--input"]),
        ("linux", {}, having("wl-copy"), None),
        ("freebsd14", {}, ALL, ["/bin/xclip", "-selection", "clipboard"]),
        ("darwin", {}, ALL, ["/bin/pbcopy"]),
        ("win32", {}, ALL, ["/bin/clip.exe"]),
    ],
)
def test_what_copies(
    system: str, environ: dict[str, str], which: desktop.Which, command: list[str] | None
) -> None:
    assert desktop.copier(system, environ, which) == command


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
@pytest.mark.parametrize(
    ("system", "name", "encoding"),
    [("linux", "xclip", "utf-8"), ("darwin", "pbcopy", "utf-8"), ("win32", "clip.exe", "utf-16")],
)
def test_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, name: str, encoding: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    program(tmp_path, name, f"cat > {tmp_path}/copied")
    desktop.copy("modèle/é", system)
    assert (tmp_path / "copied").read_bytes().decode(encoding) == "modèle/é"


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_nothing_that_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BridgeError, match=r"install wl-clipboard or xclip\. It is: the-text"):
        desktop.copy("the-text", "linux")
    program(tmp_path, "pbcopy", "exit 1")
    with pytest.raises(BridgeError, match=r"pbcopy could not copy it\. It is: the-text"):
        desktop.copy("the-text", "darwin")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BridgeError, match=r"no file .*missing\.log yet"):
        desktop.open_file(tmp_path / "missing.log", "linux", having("xdg-open"))


def test_nothing_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.touch()
    with pytest.raises(BridgeError, match=r"xdg-open is missing.*a\.log"):
        desktop.open_file(path, "linux", having())


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
@pytest.mark.parametrize(
    ("system", "name", "given"),
    [("linux", "xdg-open", ""), ("darwin", "open", "-t "), ("win32", "notepad.exe", "")],
)
def test_opening(tmp_path: Path, system: str, name: str, given: str) -> None:
    path, seen = tmp_path / "a.log", tmp_path / "seen"
    path.touch()
    os.mkfifo(seen)
    program(tmp_path, name, f'echo "$*" > {seen}')
    desktop.open_file(path, system, lambda name: str(tmp_path / name))
    assert seen.read_text() == f"{given}{path}\n"
