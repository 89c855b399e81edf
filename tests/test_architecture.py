"""Rules about the code that no linter knows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.quirks import QUIRKS

ROOT = Path(__file__).parents[1]
SHIPPED = sorted(
    path for folder in ("ollama_bridge", "cli", "tray") for path in (ROOT / folder).rglob("*.py")
)
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_vague_module_names(path: Path) -> None:
    assert path.stem not in VAGUE
    assert path.parent.name not in VAGUE


def _texts(path: Path) -> set[str]:
    """Every string in the code itself, docstrings left out."""
    tree = ast.parse(path.read_text("utf-8"))
    documentation = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in documentation
    }


OWN_WORDS = {"demo", "ollama", "github", "jan", "openai"}
"""Names of providers that are also words of ours: a module, a service, a prefix."""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_providers_are_named_in_their_presets_only(path: Path) -> None:
    if path.name in ("presets.py", "facts.py"):
        return
    assert not _texts(path) & (PRESETS.keys() - OWN_WORDS)


def test_presets_name_quirks_that_exist() -> None:
    assert {name for provider in PRESETS.values() for name in provider.quirks} <= QUIRKS.keys()


def test_packaging_is_no_package() -> None:
    assert not (ROOT / "packaging" / "__init__.py").exists(), "it would hide the packaging library"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_open(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError", text)


HEAVY = ("openai", "fastapi", "aiohttp", "httpx2", "keyring", "rich", "uvicorn", "pydantic")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("ollama_bridge_cli.main", HEAVY), ("ollama_bridge.daemon", HEAVY)],
)
def test_what_starts_quickly_imports_nothing_heavy(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/cli:{ROOT}/tray", "PATH": "/usr/bin:/bin"},
    )
    assert run.stdout.split() == []
