"""A stand-in for `systemctl --user` and the manager behind it, by systemd's rules for one unit.

It reads the installed unit file, starts its command with the unit's environment alone, waits for
READY=1, and starts it again after a failure, until it is stopped. State is in FAKE_SYSTEMD.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["FAKE_SYSTEMD"])
UNITS = Path(os.environ["HOME"]) / ".config" / "systemd" / "user"
PID, STATUS, LOADED = STATE / "pid", STATE / "status", STATE / "loaded"
KEPT = ("PATH", "HOME", "FAKE_SYSTEMD", "PYTHON_KEYRING_BACKEND")


def unit() -> dict[str, list[str]]:
    """The settings as they were at the last daemon-reload."""
    found: dict[str, list[str]] = {}
    for line in LOADED.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found


def words(text: str) -> list[str]:
    """A value's quoted words, with what systemd makes of escapes and specifiers."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    plain = [
        re.sub(r"\\(.)", lambda mark: {"n": "\n", "t": "\t"}.get(mark[1], mark[1]), part)
        for part in parts
    ]
    assert not any(re.search("%(?!%)", part.replace("%%", "")) for part in plain)
    return [part.replace("%%", "%").replace("$$", "$") for part in plain]


def alive() -> bool:
    try:
        os.kill(int(PID.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def supervise(ready: int) -> None:
    """The manager: keeps the program running; writes to `ready` when it is, or has failed."""
    one = unit()
    hopeless = {int(code) for code in one["RestartPreventExitStatus"][0].split()}
    variables = dict(words(value)[0].split("=", 1) for value in one["Environment"])
    path = STATE / "notify"
    while True:
        path.unlink(missing_ok=True)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        channel.bind(str(path))
        channel.settimeout(0.02)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        child = subprocess.Popen(
            words(one["ExecStart"][0]),
            env=kept | variables | {"NOTIFY_SOCKET": str(path)},
            stdout=subprocess.DEVNULL,
            stderr=(STATE / "journal").open("a"),
        )
        PID.write_text(str(child.pid))
        while child.poll() is None and ready >= 0:
            try:
                told = channel.recv(100)
            except TimeoutError:
                continue
            assert told == b"READY=1"
            os.write(ready, b"1")
            os.close(ready)
            ready = -1
        code = child.wait()
        channel.close()
        PID.unlink(missing_ok=True)
        STATUS.write_text(str(max(code, 0)))
        failed = code not in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
        if ready >= 0:
            os.close(ready)
            return
        if not failed or code in hopeless or (STATE / "stopping").exists():
            return
        time.sleep(0.05)


def start() -> int:
    if alive():
        return 0
    (STATE / "stopping").unlink(missing_ok=True)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(reading)
        out = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(out, number)
        supervise(writing)
        os._exit(0)
    os.close(writing)
    if os.read(reading, 1) == b"1":
        return 0
    print(
        "Job for ollama-bridge.service failed because the control process exited with error code."
    )
    return 1


def stop() -> int:
    (STATE / "stopping").touch()
    while alive():
        os.kill(int(PID.read_text()), signal.SIGTERM)
        time.sleep(0.05)
    return 0


def main(arguments: list[str]) -> int:
    assert arguments[0] == "--user"
    if (STATE / "no-session").exists():
        print("Failed to connect to bus: No medium found")
        return 1
    verb, *rest = arguments[1:]
    link = UNITS / "default.target.wants" / "ollama-bridge.service"
    file = UNITS / "ollama-bridge.service"
    if verb == "daemon-reload":
        LOADED.write_text(file.read_text() if file.exists() else "")
    elif verb == "enable":
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    elif verb == "disable":
        link.unlink(missing_ok=True)
        return stop() if "--now" in rest else 0
    elif verb == "start":
        return start()
    elif verb == "stop":
        return stop()
    elif verb == "is-active":
        print("active" if alive() else "inactive")
        return 0 if alive() else 3
    elif verb == "is-enabled":
        return 0 if link.exists() else 1
    elif verb == "show":
        print(STATUS.read_text() if STATUS.exists() else "0")
    else:
        assert verb in ("show-environment", "reset-failed"), verb
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
