"""Rules about the code that no linter knows."""

import ast
import re
import subprocess
import sys
import tempfile
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


TABLES = {"ollama_bridge/providers/presets.py", "ollama_bridge/providers/database.py"}
"""Where providers are named: the presets, and the reader of the public database."""

OWN_WORDS = {
    "anthropic": "a dialect that is spoken here",
    "copilot": "a client of ours",
    "demo": "a module",
    "deployments": "a word",
    "docker": "a program",
    "github": "a host of source code",
    "jan": "a month",
    "models": "a word",
    "ollama": "what is imitated here",
    "openai": "a dialect, and the SDK",
    "together": "a word",
}
"""Parts of providers' names that are also words of ours, and what they mean here."""

KNOWN_BY_SHAPE = {
    ("ollama_bridge/providers/edits/thoughts.py", "deepseek"): "a family of models, by their ids",
    ("ollama_bridge/providers/edits/turns.py", "gemini"): "a family of models, by their ids",
    ("ollama_bridge/translate/failures.py", "xai"): "how keys begin, to hide them",
    ("ollama_bridge/translate/reply.py", "groq"): "a field of replies, x_groq",
    ("ollama_bridge/wire/openai.py", "groq"): "the same field",
}
"""Names in code that asks for no provider."""

NAMES = {part for name in PRESETS for part in name.split("-")} - OWN_WORDS.keys()


def _named(code: str) -> set[str]:
    """Providers that a module's texts and identifiers name; docstrings and comments may."""
    tree = ast.parse(code)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        texts = [getattr(node, field, None) for field in ("id", "name", "attr", "arg", "asname")]
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            texts.append(
                node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            )
        for text in texts:
            if isinstance(text, str):
                found |= NAMES.intersection(re.findall(r"[a-z]+", text.lower()))
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_providers_are_named_in_their_tables_only(path: Path) -> None:
    name = str(path.relative_to(ROOT).as_posix())
    if name in TABLES:
        return
    explained = {word for where, word in KNOWN_BY_SHAPE if where == name}
    assert _named(path.read_text("utf-8")) == explained


@pytest.mark.parametrize(
    "code",
    [
        'if provider.name == "groq": pass',
        'URL = "https://api.groq.com/openai/v1"',
        'if "groq" in provider.url: pass',
        "def fix_groq(body): pass",
        "groq_tools = 1",
        'NAMES = {"azure-deployments": 1}',
        'x = f"groq/{model}"',
        'x = b"x-groq-region"',
        'match name:\n    case "mistral": pass',
    ],
)
def test_a_provider_that_is_named_elsewhere_is_found(code: str) -> None:
    assert _named(code)
    assert not _named('def f():\n    """As groq does it."""  # and mistral\n    return "other"')


@pytest.mark.parametrize("page", ["ollama_bridge/server/page.html"])
def test_the_page_names_none(page: str) -> None:
    words = re.findall(r"[a-z]+", (ROOT / page).read_text("utf-8").lower())
    assert not NAMES.intersection(words)


def test_a_new_provider_is_one_row() -> None:
    """With a row and nothing else it is added by name, found by its key and by its address."""
    code = """
import sys
import tempfile
from pathlib import Path
from ollama_bridge.providers import presets
from ollama_bridge.providers.provider import Provider
row = Provider(
    name="acme", url="https://llm.acme.example/api/v3", key_variable="ACME_KEY",
    quirks=("system_role",), facts="acme",
)
presets.PRESETS["acme"] = row

from ollama_bridge import config
from ollama_bridge.providers import address
from ollama_bridge_cli import main
from typer.testing import CliRunner
file = Path(sys.argv[1]) / "config.toml"
environ = {"OLLAMA_BRIDGE_CONFIG": str(file), "OLLAMA_BRIDGE_STATE": sys.argv[1]}
assert address.preset_at("https://eu.llm.acme.example/x") is row
assert address.base_url("https://llm.acme.example/") == row.url
assert list(config.load(file, environ | {"ACME_KEY": "k"}).providers) == ["acme"]
environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
known = CliRunner().invoke(main.build(), ["providers", "list", "--known"], env=environ)
assert "https://llm.acme.example/api/v3" in known.output, known.output
done = CliRunner().invoke(main.build(), ["providers", "add", "acme"], env=environ)
assert done.exit_code == 0, done.output
assert config.load(file, environ).providers["acme"] == row
"""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", code, folder],
            check=True,
            env={"PYTHONPATH": f"{ROOT}:{ROOT}/cli:{ROOT}/tray", "PATH": "/usr/bin:/bin"},
        )


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
