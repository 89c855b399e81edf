"""uninstall: nothing is left but settings and keys, and what was never ours."""

import subprocess
import sys

import pytest
from daemons import Home

from ollama_bridge import config, ledger, leftovers


def test_nothing_is_left(home: Home) -> None:
    home.environ["XDG_CONFIG_HOME"] = str(home.folder / "xdg")
    assert home.run("models", "alias", "mine", "demo/demo").returncode == 0
    home.state.mkdir()
    (home.state / ledger.NAME).write_text("broken")
    config.facts_file(home.state).write_text('{"source": "here", "models": {}, "services": {}}')
    (home.state / ".daemon.json.a1b2c3d4").write_text("{")
    assert home.run("start", "--port", "0").returncode == 0
    assert home.run("run", "mine", "hello").returncode == 0
    assert home.run("models", "test", "mine").returncode == 0
    assert (home.state / "trials.json").exists()
    done = home.run("uninstall")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "pipx uninstall" in done.stderr
    assert not home.state.exists()
    assert "mine" in home.config.read_text()
    again = home.json("uninstall")
    assert (again["left"], again["settings"]) == ([], str(home.config))
    assert not home.state.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's login entry")
def test_the_icon_does_not_come_back(home: Home) -> None:
    home.environ["XDG_CONFIG_HOME"] = str(home.folder / "xdg")
    icon = [sys.executable, "-m", "ollama_bridge_tray", "--install-autostart"]
    home.environ["PYTHONPATH"] += f":{home.environ['PYTHONPATH'].split(':')[0]}/tray"
    subprocess.run(icon, env=home.environ, check=True, capture_output=True)
    assert list((home.folder / "xdg").rglob("*.desktop"))
    assert home.run("uninstall").returncode == 0
    assert not list((home.folder / "xdg").rglob("*.desktop"))


def test_what_is_not_ours_stays_and_is_named(home: Home) -> None:
    home.state.mkdir()
    notes = home.state / "notes.txt"
    notes.write_text("mine")
    (home.state / "boot.log").write_text("ours")
    done = home.run("uninstall")
    assert done.returncode == 0
    assert str(notes) in done.stderr
    assert [path.name for path in home.state.iterdir()] == ["notes.txt"]


def test_not_beneath_an_icon_that_is_shown(home: Home) -> None:
    import filelock

    home.state.mkdir()
    with filelock.FileLock(home.state / leftovers.TRAY_LOCK):
        done = home.run("uninstall")
    assert done.returncode == 1
    assert "Quit tray" in done.stderr
