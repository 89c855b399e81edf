"""The systemd service: the unit as systemd's own checker sees it, and the daemon under a manager."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Home

from ollama_bridge import process
from ollama_bridge.service import managers, systemd
from ollama_bridge.service.managers import Answer
from ollama_bridge.service.plan import Plan, plan

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd")

STAND_IN = Path(__file__).with_name("systemctl.py")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A user with a systemd session of their own; what it runs is ended afterwards."""
    folder = tmp_path / "a user's 100% $home"
    tools, fake = folder / "tools", folder / "systemd"
    tools.mkdir(parents=True)
    fake.mkdir()
    tool = tools / "systemctl"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -P {STAND_IN} "$@"\n')
    tool.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    one = Home(folder, FAKE_SYSTEMD=str(fake), PATH=path, OLLAMA_BRIDGE_PORT="0")
    del one.environ["PYTHONPATH"]  # a manager does not pass it on: the installed program must do
    one.environ["PYTHONSAFEPATH"] = "1"
    yield one
    (fake / "no-session").unlink(missing_ok=True)
    done = one.run("service", "uninstall")
    assert done.returncode == 0, done.stderr
    assert process.is_gone(one.state, 20)


def unit_file(home: Home) -> Path:
    return home.folder / ".config" / "systemd" / "user" / "ollama-bridge.service"


def run_by_manager(home: Home) -> int:
    return int((home.folder / "systemd" / "pid").read_text())


def test_a_service_and_the_daemons_commands(home: Home) -> None:
    done = home.run("service", "install")
    assert done.returncode == 0, done.stderr
    assert f"Installed: {unit_file(home)}" in done.stdout
    assert "linger" in done.stderr
    first = home.json("status")
    assert first["pid"] == run_by_manager(home)
    facts = home.json("service", "status")
    assert (facts["installed"], facts["enabled"], facts["running"]) == (True, True, True)

    anew = home.json("restart")
    assert anew["pid"] == run_by_manager(home) != first["pid"]

    assert home.json("stop")["was_running"] is True
    assert home.json("service", "status")["running"] is False
    assert process.is_gone(home.state, 0), "and it does not come back"

    assert home.json("start")["pid"] == run_by_manager(home)
    again = home.run("service", "install")
    assert again.returncode == 0, "installing twice is installing once"
    assert home.json("status")["pid"] == run_by_manager(home)

    assert home.json("service", "uninstall")["removed"] is True
    left = [path for path in unit_file(home).parent.rglob("*") if not path.is_dir()]
    assert left == []
    assert process.is_gone(home.state, 0)
    assert home.json("service", "uninstall")["removed"] is False


def test_one_that_is_killed_comes_back_but_not_after_a_stop(home: Home) -> None:
    assert home.run("service", "install").returncode == 0
    first = run_by_manager(home)
    os.kill(first, signal.SIGKILL)
    joined = None
    while joined is None:
        joined = process.join(home.state, 30)
    assert joined.daemon.pid not in (0, first)
    os.kill(joined.daemon.pid, signal.SIGKILL)
    assert home.run("stop").returncode == 0
    assert process.is_gone(home.state, 0)
    assert home.json("service", "status")["running"] is False


def test_flags_start_a_daemon_beside_the_service(home: Home) -> None:
    assert home.run("service", "install").returncode == 0
    assert home.run("stop").returncode == 0
    other = home.json("start", "--host", "localhost")
    assert not (home.folder / "systemd" / "pid").exists()
    assert home.note()["service"] is False
    assert home.json("restart")["pid"] != other["pid"]
    assert home.note()["host"] == "localhost", "a restart is like the start"
    assert home.run("service", "install").returncode == 0, "takes its place"
    assert home.json("status")["pid"] == run_by_manager(home)


def test_another_state_folder_is_no_business_of_the_service(home: Home) -> None:
    assert home.run("service", "install").returncode == 0
    running = run_by_manager(home)
    other = {"OLLAMA_BRIDGE_STATE": str(home.folder / "other")}
    started = home.json("start", **other)
    try:
        assert started["pid"] != running
    finally:
        assert home.json("stop", **other)["was_running"] is True
    assert home.json("status")["pid"] == running


def test_settings_that_are_broken_install_nothing(home: Home) -> None:
    home.write("x = [")
    done = home.run("service", "install")
    assert done.returncode == 5
    assert not unit_file(home).exists()


def test_settings_that_break_later_are_told_by_the_start(home: Home) -> None:
    assert home.run("service", "install").returncode == 0
    assert home.run("stop").returncode == 0
    home.write("x = [")
    done = home.run("start")
    assert done.returncode == 5
    assert f"{home.config}: not TOML" in done.stderr


def test_without_a_session_one_sentence(home: Home) -> None:
    (home.folder / "systemd" / "no-session").touch()
    done = home.run("service", "install")
    assert done.returncode == 1
    assert "no systemd session" in done.stderr
    assert "ollama-bridge start" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not unit_file(home).exists()
    assert home.json("service", "status")["installed"] is False


def test_a_service_can_be_removed_without_a_session(home: Home) -> None:
    assert home.run("service", "install").returncode == 0
    assert home.run("stop").returncode == 0
    (home.folder / "systemd" / "no-session").touch()
    facts = home.json("service", "status")
    assert (facts["enabled"], facts["detail"]) == (True, "no systemd user session")
    assert home.json("service", "uninstall")["removed"] is True
    assert [path for path in unit_file(home).parent.rglob("*") if not path.is_dir()] == []


def test_keys_of_the_shell_are_not_written_but_told(home: Home) -> None:
    done = home.run("service", "install", OPENAI_API_KEY="sk-hush")
    assert done.returncode == 0
    assert "OPENAI_API_KEY" in done.stderr
    assert "hush" not in unit_file(home).read_text() + done.stdout + done.stderr


# the file


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("name", ["plain", "a b", "100% $HOME", 'quote"', "o'clock", "back\\slash"])
def test_systemds_own_checker_finds_nothing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    program = folder / "ollama-bridge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    state, settings = str(folder / "state"), str(folder / "c.toml")
    one = plan(Path(settings), {"OLLAMA_BRIDGE_STATE": state}, executable=str(folder / "python3"))
    path = tmp_path / systemd.UNIT
    path.write_text(systemd.Unit(one, tmp_path).text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(path)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_right_executable(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    module = [str(python), "-P", "-m", "ollama_bridge_cli", "serve"]
    assert plan(None, {}, str(python)).command == module
    script = tmp_path / "ollama-bridge"
    script.write_text("")
    assert plan(None, {}, str(python)).command == [str(script), "serve"]
    assert plan(None, {}, str(python), frozen=True).command == [str(python), "serve"]


def test_a_link_to_the_interpreter_is_not_followed(tmp_path: Path) -> None:
    tmp_path.joinpath("real").mkdir()
    tmp_path.joinpath("real/python3").write_text("")
    venv = tmp_path / "venv"
    venv.mkdir()
    venv.joinpath("python3").symlink_to(tmp_path / "real/python3")
    venv.joinpath("ollama-bridge").write_text("")
    assert plan(None, {}, str(venv / "python3")).command[0] == str(venv / "ollama-bridge")


def test_systemctl_that_is_missing_is_no_session(tmp_path: Path) -> None:
    answer = managers.run([str(tmp_path / "systemctl")])
    assert answer == Answer(127, f"{tmp_path}/systemctl: not found")
    unit = systemd.Unit(Plan("python", frozen=False, state=tmp_path, environment={}), tmp_path)
    unit._run = lambda _: answer
    with pytest.raises(systemd.BridgeError, match="no systemd session"):
        unit.install()
