"""Ranges of versions, the audit and the list of parts: what pyproject.toml and packaging/ promise."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = DOCUMENT["project"]
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["tray"]]
PARTS = re.compile(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)(?:,<([\d.]+))?(?:; .*)?")


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:4]]


@pytest.mark.parametrize("requirement", [*WANTED, *DOCUMENT["build-system"]["requires"]])
def test_a_dependency_names_its_lowest_version(requirement: str) -> None:
    assert PARTS.fullmatch(requirement), requirement


@pytest.mark.parametrize("requirement", [one for one in WANTED if ";" not in one])
def test_what_is_installed_is_in_the_range(requirement: str) -> None:
    found = PARTS.fullmatch(requirement)
    assert found
    installed = numbers(importlib.metadata.version(found[1]))
    assert installed >= numbers(found[2])
    assert found[3] is None or installed < numbers(found[3])


def test_the_lowest_versions_are_those_of_the_ranges() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "lowest.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    told = {line.partition(";")[0] for line in done.stdout.splitlines()}
    assert told == {f"{found[1]}=={found[2]}" for one in WANTED if (found := PARTS.fullmatch(one))}


SOUND = {"name": "sound", "version": "1", "vulns": []}
WEAK = {"name": "weak", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "strange", "skip_reason": "not found"}
OURS = {"name": "ollama-bridge", "skip_reason": "not found"}
AUDITS: dict[str, tuple[Any, int, str]] = {
    "all is well": ([SOUND, OURS], 0, "1 libraries audited, 0 with known"),
    "a weakness": ([SOUND, WEAK], 1, "weak 2: CVE-1, mended in 3"),
    "one is not known": ([SOUND, UNKNOWN], 0, "strange: not looked at"),
    "none is known": ([UNKNOWN, OURS], 0, "NOT AUDITED"),
    "no network": (None, 0, "NOT AUDITED: the advisory service could not be asked"),
}


@pytest.mark.parametrize(("said", "code", "told"), AUDITS.values(), ids=AUDITS)
def test_the_audit_says_what_it_knows(said: Any, code: int, told: str, tmp_path: Path) -> None:
    """pip-audit itself is stood in for by a program that prints what it would."""
    fake = tmp_path / "pip_audit.py"
    lines = ["import sys"]
    if said is None:
        lines.append("sys.exit('ConnectionError: Name or service not known')")
    else:
        lines.append(f"print({json.dumps({'dependencies': said})!r})")
    fake.write_text("\n".join(lines))
    audit = [sys.executable, str(ROOT / "packaging" / "audit.py"), "--path", str(tmp_path)]
    audit += ["--pip-audit", f"{sys.executable} {fake}"]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
    strict = subprocess.run([*audit, "--strict"], capture_output=True, text=True, check=False)
    assert strict.returncode == (3 if "NOT AUDITED" in told else code)


def checked(sbom: Any, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    file = tmp_path / "sbom.json"
    file.write_text(json.dumps(sbom))
    return subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "check_sbom.py"), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_list_of_parts_names_every_dependency(tmp_path: Path) -> None:
    names = [found[1] for one in WANTED if (found := PARTS.fullmatch(one))]
    parts = [{"name": name, "version": "1", "purl": f"pkg:pypi/{name}@1"} for name in names]
    whole = {"bomFormat": "CycloneDX", "components": parts}
    assert checked(whole, tmp_path).returncode == 0
    short = checked({**whole, "components": parts[1:]}, tmp_path)
    assert short.returncode == 1
    assert f"{names[0]} is missing" in short.stderr
    assert checked({**whole, "bomFormat": "other"}, tmp_path).returncode == 1
    parts[0]["version"] = ""
    assert "has no version" in checked(whole, tmp_path).stderr
