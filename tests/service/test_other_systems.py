"""The services of macOS and Windows: what is written, and what is asked of the system."""

import plistlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from ollama_bridge.errors import BridgeError
from ollama_bridge.service import launchd, windows
from ollama_bridge.service.managers import Answer
from ollama_bridge.service.plan import Plan, plan


def plan_for(tmp_path: Path) -> Plan:
    environ = {
        "OLLAMA_BRIDGE_STATE": str(tmp_path / "state & <co>"),
        "OLLAMA_HOST": "0.0.0.0",
        "OPENAI_API_KEY": "sk-hush",
    }
    return plan(tmp_path / "c.toml", environ, executable=str(tmp_path / "python3"))


class Launchctl:
    """launchctl, by its manual: a service is loaded or not, runs or not."""

    def __init__(self) -> None:
        self.loaded = self.running = False
        self.asked: list[str] = []

    def __call__(self, command: Sequence[str]) -> Answer:
        program, verb, *rest = command
        assert program == "launchctl"
        signal = rest.pop(0) if verb == "kill" else ""
        assert rest[0].startswith("gui/501")
        self.asked.append(verb)
        if verb == "bootstrap":
            if self.loaded:
                return Answer(5, "Bootstrap failed: 5: Input/output error")
            plistlib.loads(Path(rest[1]).read_bytes())
            self.loaded = self.running = True
        elif verb == "enable":
            pass
        elif not self.loaded:
            return Answer(113 if verb == "print" else 3, "Could not find service")
        elif verb == "bootout":
            self.loaded = self.running = False
        elif verb == "kickstart":
            self.running = True
        elif verb == "kill":
            assert signal == "SIGTERM"
            self.running = False
        elif verb == "print":
            state = "running" if self.running else "not running"
            return Answer(0, f"gui/501/ollama-bridge = {{\n\tstate = {state}\n}}")
        return Answer(0, "")


@pytest.fixture
def launchctl() -> Launchctl:
    return Launchctl()


@pytest.fixture
def agent(tmp_path: Path, launchctl: Launchctl) -> launchd.Agent:
    return launchd.Agent(plan_for(tmp_path), tmp_path / "LaunchAgents", 501, launchctl)


def test_the_agents_life(agent: launchd.Agent, launchctl: Launchctl) -> None:
    assert agent.state().installed is False
    agent.install()
    agent.install()  # again is the same
    assert agent.state() == (True, True, True, "running")
    agent.stop()
    assert agent.state() == (True, True, False, "not running")
    agent.start()
    assert agent.state().running
    assert agent.uninstall() is True
    assert not agent.path.exists()
    assert launchctl.loaded is False
    assert agent.uninstall() is False


def test_an_agent_that_was_unloaded_by_hand_starts(
    agent: launchd.Agent, launchctl: Launchctl
) -> None:
    agent.install()
    launchctl(["launchctl", "bootout", "gui/501/ollama-bridge"])
    assert agent.state().detail == "not loaded"
    agent.start()
    assert agent.state().running


def test_launchd_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    agent = launchd.Agent(plan_for(tmp_path), tmp_path, 501, lambda _: Answer(5, "no"))
    with pytest.raises(BridgeError, match=r"launchctl bootout .* failed: no"):
        agent.install()


def test_the_property_list(agent: launchd.Agent, tmp_path: Path) -> None:
    document = plistlib.loads(agent.text().encode())
    assert document["ProgramArguments"] == [
        str(tmp_path / "python3"),
        "-P",
        "-m",
        "ollama_bridge_cli",
        "serve",
    ]
    assert document["KeepAlive"] == {"SuccessfulExit": False}
    assert document["EnvironmentVariables"] == {
        "OLLAMA_BRIDGE_STATE": str(tmp_path / "state & <co>"),
        "OLLAMA_BRIDGE_SERVICE": "1",
        "OLLAMA_HOST": "0.0.0.0",
        "OLLAMA_BRIDGE_CONFIG": str(tmp_path / "c.toml"),
    }
    agent.install()
    assert agent.path.stat().st_mode & 0o077 == 0
    assert agent.serves(tmp_path / "state & <co>")
    assert not agent.serves(tmp_path)
    agent.path.write_text("no list")
    assert not agent.serves(tmp_path / "state & <co>")


class Registry:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def get(self, key: str, name: str) -> str | None:
        return self.values.get((key, name))

    def set(self, key: str, name: str, value: str) -> None:
        self.values[key, name] = value

    def delete(self, key: str, name: str) -> None:
        del self.values[key, name]


def test_the_run_keys_life() -> None:
    registry = Registry()
    state = Path("C:\\Users\\Ann Lee\\state")
    environ = {"OLLAMA_BRIDGE_STATE": str(state), "OLLAMA_BRIDGE_PORT": "11500"}
    one = Plan("C:\\venv\\Scripts\\python.exe", frozen=False, state=state, environment=environ)
    entry = windows.RunKey(one, registry)
    assert entry.state().installed is False
    entry.install()
    entry.install()
    assert entry.state().installed is True
    assert registry.values == {
        (windows.RUN, "ollama-bridge"): (
            "C:\\venv\\Scripts\\pythonw.exe -P -m ollama_bridge "
            '--state "C:\\Users\\Ann Lee\\state" --port 11500'
        )
    }
    assert entry.serves(state)
    assert not entry.serves(Path("C:\\other"))
    assert entry.uninstall() is True
    assert registry.values == {}
    assert entry.uninstall() is False
