"""Broken set-ups, each as it would be on a user's machine: `doctor` names the fault and the remedy."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemons import Home, end, until_ready

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of POSIX")


class Found(NamedTuple):
    code: int
    findings: list[dict[str, str]]

    def faults(self) -> dict[str, tuple[str, str]]:
        """Check to sentence and remedy."""
        return {
            one["check"]: (one["says"], one["remedy"])
            for one in self.findings
            if one["level"] == "fault"
        }


def doctor(home: Home, *flags: str, **environ: str) -> Found:
    done = home.run("doctor", "--json", *flags, **environ)
    assert "Traceback" not in done.stderr, done.stderr
    document = json.loads(done.stdout)
    found = Found(done.returncode, document["findings"])
    assert found.code == (1 if found.faults() else 0)
    assert document["ok"] is (not found.faults())
    assert all(remedy for _, remedy in found.faults().values())
    return found


def only_fault(found: Found, check: str) -> tuple[str, str]:
    assert list(found.faults()) == [check], found.faults()
    return found.faults()[check]


def write(home: Home, text: str) -> None:
    home.write(text)
    home.config.chmod(0o600)


def answering(stack: ExitStack, status: int = 200, **headers: str) -> tuple[str, list[str]]:
    """A server that gives every request the same answer; its address, and the keys it was sent."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_response_only(status)
            for name, value in {"Date": formatdate(usegmt=True), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b'{"version":"0.32.15","object":"list","data":[]}')

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"http://127.0.0.1:{server.server_port}", asked


def lab(url: str, key: str = "none") -> str:
    return f'[providers.lab]\nbase_url = "{url}/v1"\nkey = "{key}"\nmodels = ["m"]\n'


# no fault


def test_a_good_set_up_has_none(home: Home, running: Home) -> None:
    assert doctor(home).faults() == {}
    done = home.run("doctor")
    assert done.returncode == 0
    assert done.stderr == "No faults found.\n"
    assert "\x1b" not in done.stdout


def test_hints_are_no_faults(home: Home) -> None:
    found = doctor(home)
    hints = {one["check"]: one["says"] for one in found.findings if one["level"] == "hint"}
    assert hints["daemon"] == "it does not run"
    assert found.code == 0


# settings and files


def test_settings_that_the_daemon_refused(running: Home) -> None:
    write(running, "x = [")
    assert running.run("reload").returncode == 5
    faults = doctor(running).faults()
    assert set(faults) == {"settings", "settings in use"}
    assert "not TOML" in faults["settings in use"][0]
    assert "ollama-bridge reload" in faults["settings in use"][1]
    write(running, "[providers.demo]\n")


@POSIX
def test_settings_that_others_can_read(home: Home) -> None:
    home.config.chmod(0o644)
    says, remedy = only_fault(doctor(home), "file modes")
    assert str(home.config) in says
    subprocess.run(remedy, shell=True, check=True)
    assert doctor(home).faults() == {}, "the remedy is one"


@POSIX
def test_a_key_file_that_others_can_read(home: Home) -> None:
    key = home.folder / "lab.key"
    key.write_text("sk-hush")
    key.chmod(0o640)
    write(home, lab("http://127.0.0.1:9", f"file:{key}"))
    says, remedy = only_fault(doctor(home), "file modes")
    assert str(key) in says
    assert "chmod" in remedy


def test_a_state_folder_that_is_a_file(home: Home) -> None:
    home.state.write_text("")
    home.state.chmod(0o600)
    says, remedy = only_fault(doctor(home), "state folder")
    assert str(home.state) in says
    assert "OLLAMA_BRIDGE_STATE" in remedy


# the daemon


@POSIX
def test_a_daemon_that_hangs(home: Home) -> None:
    child = home.daemon()
    try:
        until_ready(child)
        child.send_signal(signal.SIGSTOP)
        says, remedy = only_fault(doctor(home), "daemon")
        assert f"process {child.pid}) runs but does not answer" in says
        assert remedy == "ollama-bridge restart"
    finally:
        end(child)


# the port


def test_a_host_that_is_not_this_machine(home: Home) -> None:
    says, remedy = only_fault(doctor(home, OLLAMA_BRIDGE_HOST="192.0.2.1"), "port")
    assert "192.0.2.1" in says
    assert "server.host" in remedy


# the shell


@POSIX
def test_two_versions_on_the_path(home: Home) -> None:
    folders = []
    for version in ("0.1.0", "0.0.9"):
        program = home.folder / version / "ollama-bridge"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho ollama-bridge {version}\n")
        program.chmod(0o755)
        folders.append(str(program.parent))
    found = doctor(home, PATH=os.pathsep.join([*folders, home.environ["PATH"]]))
    says, _ = only_fault(found, "PATH")
    assert all(f"{folder}/ollama-bridge" in says for folder in folders)


# keys, providers, models, pages


def test_a_keyring_that_waits_for_its_dialog(home: Home) -> None:
    home.folder.joinpath("slow_ring.py").write_text(
        "import threading\nfrom keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n    priority = 1\n"
        "    def get_password(self, *_): threading.Event().wait()\n"
        "    set_password = delete_password = get_password\n"
    )
    write(home, '[providers.lab]\nbase_url = "https://lab.example/v1"\n')
    path = os.pathsep.join([str(home.folder), home.environ["PYTHONPATH"]])
    found = doctor(home, PYTHON_KEYRING_BACKEND="slow_ring.Ring", PYTHONPATH=path)
    says, remedy = only_fault(found, "keyring")
    assert "did not answer within 3 s" in says
    assert "unlock it" in remedy


def test_a_default_provider_without_a_key(home: Home) -> None:
    write(home, "[providers.openai]\n")
    says, remedy = only_fault(doctor(home), "keys")
    assert "openai, the default" in says
    assert "ollama-bridge keys set openai" in remedy


@pytest.mark.parametrize("status", [401, 403])
def test_an_upstream_that_refuses_the_key(home: Home, stack: ExitStack, status: int) -> None:
    url, asked = answering(stack, status)
    write(home, lab(url, "env:LAB_KEY"))
    found = doctor(home, "--online", LAB_KEY="sk-hush")
    says, remedy = only_fault(found, "online")
    assert says.startswith(f"lab refuses the key (status {status}: ")
    assert remedy == "ollama-bridge keys set lab"
    assert asked == ["Bearer sk-hush"]
    assert "hush" not in str(found)


def test_a_redirect_does_not_take_the_key_along(home: Home, stack: ExitStack) -> None:
    thief, stolen = answering(stack)
    url, _ = answering(stack, 302, Location=f"{thief}/v1/models")
    write(home, lab(url, "env:LAB_KEY"))
    says, _ = only_fault(doctor(home, "--online", LAB_KEY="sk-hush"), "online")
    assert "sends us elsewhere (status 302)" in says
    assert stolen == []


def test_a_clock_that_is_off(home: Home, stack: ExitStack) -> None:
    url, _ = answering(stack, Date="Thu, 01 Jan 2026 00:00:00 GMT")
    write(home, lab(url))
    says, remedy = only_fault(doctor(home, "--online"), "online")
    assert "minutes fast" in says
    assert "clock" in remedy


def test_providers_that_the_daemon_cannot_reach(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    write(home, lab(f"http://127.0.0.1:{port}").replace('models = ["m"]\n', ""))
    assert home.run("start").returncode == 0
    try:
        says, remedy = only_fault(doctor(home), "providers")
        assert says.startswith("lab: ")
        assert "keys set lab" in remedy
    finally:
        assert home.run("stop").returncode == 0


def test_an_alias_that_leads_nowhere(home: Home) -> None:
    write(home, '[providers.demo]\n[aliases]\ngood = "demo/demo"\nlost = "nobody-has-this"\n')
    assert home.run("start").returncode == 0
    try:
        says, remedy = only_fault(doctor(home), "aliases")
        assert says == "lost: no provider has nobody-has-this"
        assert "ollama-bridge models alias lost" in remedy
    finally:
        assert home.run("stop").returncode == 0


def test_one_check_that_fails_or_hangs_is_a_finding(tmp_path: Path) -> None:
    from ollama_bridge.doctor import checks
    from ollama_bridge.doctor.finding import Finding
    from ollama_bridge.doctor.situation import Situation

    def breaks(_: Situation) -> Iterator[Finding]:
        raise RuntimeError("odd")

    def hangs(_: Situation) -> Iterator[Finding]:
        threading.Event().wait()
        yield Finding("ok", "never")

    here = Situation({}, tmp_path / "c.toml", tmp_path)
    looks: dict[str, Callable[[Situation], Any]] = {"odd": breaks, "no answer within": hangs}
    for says, look in looks.items():
        (found,) = checks.run(checks.Check("x", look, 0.05), here)
        assert found.level == "fault"
        assert says in found.says
