"""Install real clients, each into a folder of its own under .clients; what is there already stays.

`python tests/clients/install.py [NAME...]`; `make test-clients` runs it for all.
"""

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
        return self.driver.endswith(".mjs")

    @property
    def installed(self) -> bool:
        stamp = self.folder / ".installed"
        return stamp.exists() and stamp.read_text() == self._wanted

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
        if not self.is_node:
            return [str(_python(self)), str(DRIVERS / self.driver)]
        for name in ("report.mjs", self.driver):
            shutil.copy(DRIVERS / name, self.folder / name)
        return ["node", str(self.folder / self.driver)]

    @property
    def _wanted(self) -> str:
        return "\n".join(self.packages)


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


def _python(client: Client) -> Path:
    return client.folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _install_python(client: Client) -> None:
    """The environment has no pip of its own: ours installs into it, and compiles nothing ahead."""
    _run(client, [sys.executable, "-m", "venv", "--without-pip", str(client.folder)])
    pip = [sys.executable, "-m", "pip", "--python", str(_python(client)), "install"]
    _run(client, [*pip, "--quiet", "--disable-pip-version-check", "--no-compile", *client.packages])


def _install_node(client: Client) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not on the PATH; install Node 20 or newer")
    (client.folder / "package.json").write_text('{"private": true}')
    flags = ["--no-audit", "--no-fund", "--silent", "--legacy-peer-deps"]
    _run(client, [npm, "install", *flags, *client.packages])


def _run(client: Client, command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=client.folder, capture_output=True, text=True, encoding="utf-8", check=False
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
    missing = {client.folder: client for client in wanted if not client.installed}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return int(not all(list(pool.map(_attempt, missing.values()))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
