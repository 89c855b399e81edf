"""In CI a skipped test fails the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skip("{reason}")
def test_does_not_run():
    pass
"""


def run(folder: Path, text: str, *flags: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    folder.joinpath("test_it.py").write_text(text)
    kept = {
        name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_ADDOPTS")
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "skips", "-p", "no:cacheprovider", *flags],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(Path(__file__).parent)} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("flags", [["-p", "no:xdist"], ["-n", "1"]])
def test_a_skip_fails_the_run(tmp_path: Path, flags: list[str]) -> None:
    done = run(tmp_path, TESTS.format(reason="needs a program"), *flags, CI="true")
    assert done.returncode == 1
    assert "test_it.py::test_does_not_run: needs a program" in done.stdout


def test_a_whole_file_that_is_skipped_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "import pytest\npytest.importorskip('no_such_thing')\n", CI="true")
    assert "no_such_thing" in done.stdout
    assert done.returncode != 0


def test_elsewhere_it_passes(tmp_path: Path) -> None:
    assert run(tmp_path, TESTS.format(reason="needs a program")).returncode == 0


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    done = run(tmp_path, TESTS.format(reason="this machine has no IPv6"), CI="true")
    assert done.returncode == 0, done.stdout
