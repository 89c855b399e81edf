"""The wheel as its users get it: built, installed by pipx into an empty home, used, taken away."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import psutil
import pytest
from tray.panels import Panel, find

pytestmark = pytest.mark.install

ROOT = Path(__file__).parents[2]
PACKAGES = ("ollama_bridge", "ollama_bridge_cli", "ollama_bridge_tray")
SECONDS = 400

_KEPT = (
    "PIP_",
    "UV_",
    "SSL_",
    "REQUESTS_",
    "CURL_",
    "HTTP",
    "NO_PROXY",
    "PATH",
    "LANG",
    "TMP",
    "SYSTEM",
)
_PIP_SETTINGS = (".config/pip/pip.conf", ".pip/pip.conf")


def run(*command: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def module(name: str, *arguments: str | Path) -> str:
    return run(sys.executable, "-m", name, *arguments, cwd=ROOT).stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    module("build", "--outdir", folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_the_project_table_is_valid() -> None:
    assert "Valid" in module("validate_pyproject", "pyproject.toml")


def test_the_archives_are_fit_for_an_index(built: Path) -> None:
    module("twine", "check", "--strict", *built.iterdir())


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    told = module("check_wheel_contents", "--toplevel", ",".join(PACKAGES), wheel)
    assert told.strip().endswith(": OK")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
        ours = {
            f"{package}/{path.relative_to(folder).as_posix()}"
            for folder in ROOT.glob(f"**/{package}")
            if (folder / "__init__.py").is_file() and "site-packages" not in folder.parts
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert ours == {name for name in names if name.startswith(f"{package}/")}
    entries = next(name for name in names if name.endswith("entry_points.txt"))
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(entries).decode()
    assert "[gui_scripts]\nollama-bridge-tray = " in text
    assert "[console_scripts]\nollama-bridge = " in text


def test_the_source_archive_holds_what_git_holds(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    listing = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    tracked = set(run(*listing, cwd=ROOT).stdout.splitlines())
    assert names - tracked <= {"PKG-INFO", ""}
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py"} <= names


class User:
    """Somebody with an empty home, pipx, and nothing of ours."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.home = folder / "home"
        self.pipx_home = folder / "tools"
        self.bin = folder / "bin"
        self.state = self.home / ".local" / "state" / "ollama-bridge"
        self.home.mkdir()
        kept = {name: value for name, value in os.environ.items() if name.upper().startswith(_KEPT)}
        self.environ = kept | {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "PIPX_HOME": str(self.pipx_home),
            "RUSTUP_HOME": str(self.home.parent / "rustup"),  # pip asks Rust's compiler its version
            "PIPX_BIN_DIR": str(self.bin),
            "PIPX_MAN_DIR": str(folder / "man"),
            "PIPX_DEFAULT_PYTHON": sys._base_executable,
            "PIP_CACHE_DIR": str(cache / "pip"),
            "UV_CACHE_DIR": str(cache / "uv"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        for name in _PIP_SETTINGS:  # the home is another one, the way to the packages is not
            if (path := Path.home() / name).is_file():
                self.environ.setdefault("PIP_CONFIG_FILE", str(path))

    def pipx(self, *arguments: str) -> None:
        run(sys.executable, "-m", "pipx", *arguments, env=self.environ)

    def bridge(self, *arguments: str) -> str:
        return run(self.bin / "ollama-bridge", *arguments, env=self.environ).stdout

    def fails(self, *arguments: str) -> str:
        """The one sentence that a command ends with."""
        done = subprocess.run(
            [self.bin / "ollama-bridge", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        return line

    def files(self) -> list[Path]:
        """All but empty ones: writers of the settings leave the file they lock."""
        found = [path for path in self.home.rglob("*") if path.is_file()]
        return [path for path in found if path.stat().st_size > 0]

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("HOME") == str(self.home):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def user(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    one = User(tmp_path, tmp_path_factory.getbasetemp() / "cache")
    yield one
    for process in one.processes():  # a test that failed half-way
        process.kill()


def test_installed_used_and_gone(user: User, wheel: Path) -> None:
    user.pipx("install", str(wheel))
    assert "the tray icon needs more packages; run `pipx install --force" in user.fails("tray")
    settings = _use(user)
    _uninstall(user, settings)


async def test_with_the_tray(user: User, wheel: Path, session_bus: str) -> None:
    user.pipx("install", f"{wheel}[tray]")
    assert "this desktop shows no tray icons" in user.fails("tray")
    user.environ["DBUS_SESSION_BUS_ADDRESS"] = session_bus
    panel = await Panel.started(session_bus)
    assert user.bridge("tray") == "The icon is in the panel.\n"
    await panel.take()
    settings = _use(user)
    await panel.until(lambda menu: find(find(menu, "Models"), "mine") is not None)
    await panel.click("Quit and stop bridge")
    psutil.wait_procs(user.processes(), timeout=20)
    panel.end()
    _uninstall(user, settings)


def _use(user: User) -> Path:
    """Start, chat and stop as a user would; the settings file."""
    user.bridge("models", "alias", "mine", "demo/demo")
    address = json.loads(user.bridge("start", "--port", "0", "--json"))["address"]
    question = [{"role": "user", "content": "Hello!"}]
    with ollama.Client(host=address) as client:
        whole = client.chat("mine", question)
        parts = [part.message.content or "" for part in client.chat("mine", question, stream=True)]
    assert whole.message.content == "".join(parts) != ""
    assert len(parts) > 2
    return Path(user.bridge("config", "path").strip())


def _uninstall(user: User, settings: Path) -> None:
    user.bridge("uninstall")
    user.pipx("uninstall", "ollama-bridge")
    assert user.files() == [settings], "nothing is left but the settings"
    assert [path for path in (user.pipx_home / "venvs").iterdir() if path.is_dir()] == []
    assert list(user.bin.iterdir()) == []
    assert user.processes() == []
    assert not user.state.exists()
