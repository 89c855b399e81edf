"""Who has the port: found over real sockets, told with the steps of each system."""

import os
import shlex
import socket
import subprocess

import pytest

from ollama_bridge import environment, occupant
from ollama_bridge.occupant import Occupant


def test_nobody_is_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert occupant.find("127.0.0.1", port) is None


def test_a_program_of_this_user_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = occupant.find("127.0.0.1", port)
        said = occupant.taken("127.0.0.1", port)
    assert found is not None
    assert (found.kind, found.pid) == ("stranger", os.getpid())
    assert f"process {os.getpid()}, {found.process}" in said
    assert len(said.splitlines()) == 1


def test_a_process_that_the_system_hides_is_left_out() -> None:
    assert Occupant("ollama", "0.9").described == "A real Ollama (0.9)"


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_steps_move_ollama_and_keep_the_bridge(platform: str) -> None:
    lines = occupant.steps(11434, platform)
    assert lines[-1] == "ollama-bridge start"
    assert "--base-url http://127.0.0.1:11435/v1" in lines[-2]
    assert any("OLLAMA_HOST" in line and "127.0.0.1:11435" in line for line in lines)
    if platform != "linux":  # OLLAMA_HOST is the bridge's variable too
        assert any("OLLAMA_BRIDGE_PORT 11434" in line for line in lines)


def test_the_steps_never_send_ollama_to_the_port_asked_for() -> None:
    assert all("127.0.0.1:11435" not in line for line in occupant.steps(11435))


def test_the_written_override_is_what_systemd_reads() -> None:
    (line,) = [line for line in occupant.steps(11434, "linux") if line.startswith("printf")]
    command = line.partition(" | ")[0]
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True)
    assert done.stdout == "[Service]\nEnvironment=OLLAMA_HOST=127.0.0.1:11435\n"
    value = done.stdout.rpartition("OLLAMA_HOST=")[2].strip()
    assert environment.address(value) == ("127.0.0.1", 11435)
