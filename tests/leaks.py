"""In every test a key is planted, and a test in which it comes out of the program fails.

Bridges and daemons of tests have the key `planted.KEY` for their providers unless the test gives
another. Looked through are: what commands print, `--json` too; standard output and error of
daemons; log records; every file in a test's homes, so logs, state, caches and dumps; every byte
that a bridge sends to a client, also in a process of its own; the command lines of all processes.
Providers get the key, of course; the environment is where it comes from.
"""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import planted
import pytest

_found: list[str] = []
_homes: list[Path] = []
_seen: dict[Path, tuple[int, int]] = {}
_notes = Path(tempfile.mkdtemp(prefix="planted-")) / "notes"

ENVIRON = {"PLANTED_NOTES": str(_notes)}
"""What a process needs to be watched, besides `WATCHED` on its path."""

WATCHED = str(Path(__file__).parent / "watched")

_LARGEST = 50_000_000
_SECTIONS = ("stdout", "stderr", "log")


def see(where: str, data: bytes | str) -> None:
    """Note it if the key stands in it."""
    data = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    if planted.tells(data):
        _found.append(f"{where}: {planted.excerpt(data)}")


def look_in(folder: Path) -> None:
    """From now on, look through that folder's files after each test."""
    _homes.append(folder)


def pytest_configure() -> None:
    """Watch this process too: most bridges of tests run in it."""
    planted.watch_process(see)


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_notes.parent, ignore_errors=True)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: Any
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at everything once the test has put its things away."""
    report = yield
    for name, text in report.sections:
        if any(part in name for part in _SECTIONS):
            see(name, text)
    if call.when != "teardown":
        return report
    _look_at_files(getattr(item, "funcargs", {}).get("tmp_path"))
    _look_at_notes()
    if _found:
        report.outcome = "failed"
        report.longrepr = "\n".join(["the planted key came out:", *dict.fromkeys(_found)])
        _found.clear()
    return report


def _look_at_files(own: Any) -> None:
    folders = [*_homes, *([own] if isinstance(own, Path) else []), Path.cwd()]
    for folder in folders:
        files = folder.glob("core*") if folder == Path.cwd() else folder.rglob("*")
        for path in files:
            _look_at_file(path)


def _look_at_file(path: Path) -> None:
    try:
        told = path.lstat()
        mark = told.st_mtime_ns, told.st_size
        if not path.is_file() or path.is_symlink() or _seen.get(path) == mark:
            return
        _seen[path] = mark
        if told.st_size <= _LARGEST:
            see(str(path), path.read_bytes())
    except OSError:  # gone meanwhile, or not for this user
        return


def _look_at_notes() -> None:
    if _notes.exists():
        _found.extend(_notes.read_text(encoding="utf-8").splitlines())
        _notes.unlink()
