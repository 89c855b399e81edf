"""The tray in a real panel: seen as pixels, clicked with the mouse."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from buses import needed
from daemons import Home
from PIL import Image, ImageGrab

pytestmark = [
    pytest.mark.screen,
    pytest.mark.skipif(sys.platform != "linux", reason="X is Linux's"),
]

PATIENCE = 30.0
STOPPED, RUNNING = (0x88, 0x88, 0x88), (0x13, 0x88, 0x50)

PANEL = """\
<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"""


class Screen:
    """A display with a mouse, a keyboard and a panel along its top."""

    def __init__(self, display: str, environ: dict[str, str]) -> None:
        from Xlib.display import Display

        self.environ = environ
        self._name = display
        self._display = Display(display)

    def panel(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [needed("xfce4-panel", "xfce4-panel"), "--disable-wm-check"],
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def picture(self) -> Image.Image:
        """The panel's left part."""
        return self._whole().crop((0, 0, 400, 40))

    def desktop(self) -> Image.Image:
        """What is below the panel; all black while nothing is open."""
        return self._whole().crop((0, 40, 800, 500))

    def _whole(self) -> Image.Image:
        return ImageGrab.grab(xdisplay=self._name).convert("RGB")

    def find(self, colour: tuple[int, ...]) -> tuple[int, int] | None:
        """The middle of what has that colour, if much of an icon has it."""
        picture = self.picture()
        places = [
            (x, y)
            for x in range(picture.width)
            for y in range(picture.height)
            if _alike(picture.getpixel((x, y)), colour)
        ]
        if len(places) < 40:
            return None
        across, down = zip(*places, strict=True)
        return (min(across) + max(across)) // 2, (min(down) + max(down)) // 2

    def until(self, seen: Callable[[], Any]) -> Any:
        """Look until it is there: a picture tells nobody that it has changed."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := seen():
                return found
            time.sleep(0.05)
        raise AssertionError("it was never seen")

    def point(self, place: tuple[int, int]) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        xtest.fake_input(self._display, X.MotionNotify, x=place[0], y=place[1])
        self._display.sync()

    def click(self, place: tuple[int, int]) -> None:
        from Xlib import X
        from Xlib.ext import xtest

        self.point(place)
        for kind in (X.ButtonPress, X.ButtonRelease):
            xtest.fake_input(self._display, kind, 1)
        self._display.sync()

    def press(self, key: str) -> None:
        from Xlib import XK, X
        from Xlib.ext import xtest

        code = self._display.keysym_to_keycode(XK.string_to_keysym(key))
        for kind in (X.KeyPress, X.KeyRelease):
            xtest.fake_input(self._display, kind, code)
        self._display.sync()

    def close(self) -> None:
        self._display.close()


def _alike(one: Any, other: tuple[int, ...]) -> bool:
    return all(abs(a - b) < 16 for a, b in zip(one, other, strict=True))


@pytest.fixture
def screen(tmp_path: Path, session_bus: str) -> Iterator[Screen]:
    needed("xfce4-panel", "xfce4-panel")
    read, write = os.pipe()
    server = subprocess.Popen(
        [
            *[needed("Xvfb", "xvfb"), "-displayfd", str(write)],
            *["-screen", "0", "800x500x24", "-nolisten", "tcp"],
        ],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as lines:  # the whole line: closing the pipe early ends the server
        display = f":{lines.readline().strip()}"
    folder = tmp_path / "config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
    folder.mkdir(parents=True)
    folder.joinpath("xfce4-panel.xml").write_text(PANEL)
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DISPLAY": display,
        "DBUS_SESSION_BUS_ADDRESS": session_bus,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_RUNTIME_DIR": str(run),
        "NO_AT_BRIDGE": "1",
    }
    one = Screen(display, environ)
    before = {process.pid for process in psutil.process_iter()}
    yield one
    one.close()
    _end_services(session_bus, before)
    server.terminate()
    server.wait(10)


def _end_services(session_bus: str, before: set[int]) -> None:
    """End what the bus started for the panel: it would stay."""
    for process in psutil.process_iter():
        try:
            if process.pid not in before and (
                process.environ().get("DBUS_SESSION_BUS_ADDRESS") == session_bus
            ):
                process.terminate()
        except psutil.Error:
            continue


@pytest.fixture
def panel(screen: Screen) -> Iterator["subprocess.Popen[bytes]"]:
    one = screen.panel()
    yield one
    end(one)


def end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    process.wait(20)


@contextmanager
def shown(
    user: Home, screen: Screen, wait: str, **environ: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """The tray; it must go when it is told to."""
    tray = subprocess.Popen(
        [sys.executable, "-m", "ollama_bridge_tray", "--wait", wait],
        env=user.environ | {"DISPLAY": screen.environ["DISPLAY"]} | environ,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield tray
    finally:
        end(tray)
    assert tray.returncode == 0


def test_in_a_panel(screen: Screen, panel: "subprocess.Popen[bytes]", user: Home) -> None:
    with shown(user, screen, "30"):
        place = screen.until(lambda: screen.find(STOPPED))
        before = screen.picture()
        screen.click(place)
        screen.until(lambda: screen.picture() != before)
        screen.press("Down")
        screen.press("Return")  # the first entry that can be clicked: Start
        screen.until(lambda: screen.find(RUNNING))
        assert user.json("status")["running"] is True

        end(panel)
        screen.until(lambda: not screen.find(RUNNING))
        again = screen.panel()
        try:
            screen.until(lambda: screen.find(RUNNING))
            assert user.run("stop").returncode == 0
            screen.until(lambda: screen.find(STOPPED))
        finally:
            end(again)


def names(screen: Screen) -> list[str]:
    """Of all windows."""
    told = subprocess.run(
        [needed("xwininfo", "x11-utils"), "-root", "-tree"],
        env=screen.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return re.findall(r'"(.*?)": \("ollama-bridge', told.stdout)


NO_BUS = "unix:path=/nowhere"
"""Without a session bus the icon is a window of the old kind."""


def test_in_a_panel_of_the_old_kind(
    screen: Screen, panel: "subprocess.Popen[bytes]", user: Home
) -> None:
    with shown(user, screen, "3", DBUS_SESSION_BUS_ADDRESS=NO_BUS):
        place = screen.until(lambda: screen.find(STOPPED))
        screen.point(place)
        screen.until(lambda: screen.desktop().getbbox())  # the state and what a click does
        screen.point((700, 400))
        screen.until(lambda: not screen.desktop().getbbox())
        screen.click(place)
        screen.until(lambda: screen.find(RUNNING))
        assert user.json("status")["running"] is True
        title = "Ollama Bridge: " + user.json("status")["address"]
        assert title in names(screen), "some panels show the window's name"
        screen.click(place)  # copies the address, and says so
        screen.until(lambda: screen.desktop().getbbox())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_panel_of_the_old_kind_starts_again(
    screen: Screen, panel: "subprocess.Popen[bytes]", user: Home, number: signal.Signals
) -> None:
    with shown(user, screen, "3", DBUS_SESSION_BUS_ADDRESS=NO_BUS):
        screen.until(lambda: screen.find(STOPPED))
        panel.send_signal(number)
        panel.wait(20)
        screen.until(lambda: not screen.find(STOPPED))
        assert user.run("start").returncode == 0
        again = screen.panel()
        try:
            screen.click(screen.until(lambda: screen.find(RUNNING)))
            screen.until(lambda: screen.desktop().getbbox())
        finally:
            end(again)


@pytest.mark.parametrize("bus", [{}, {"DBUS_SESSION_BUS_ADDRESS": NO_BUS}])
def test_it_goes_when_the_panel_is_gone(
    screen: Screen, panel: "subprocess.Popen[bytes]", user: Home, bus: dict[str, str]
) -> None:
    with shown(user, screen, "20" if not bus else "3", **bus):
        screen.until(lambda: screen.find(STOPPED))
        end(panel)
