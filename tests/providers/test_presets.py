"""The rows of the well-known services hold together, and each quirk does the one thing it says."""

import ast
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ollama_bridge.providers import address, presets, quirks
from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Provider
from ollama_bridge.translate import options

ROOT = Path(presets.__file__).parents[2]
HOSTED = [row for row in PRESETS.values() if row.key_variable]
LOCAL = [row for row in PRESETS.values() if not row.key_variable]


def _name(row: Provider) -> str:
    return row.name


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


EXPECTED = """openai openrouter groq deepseek mistral gemini anthropic xai together fireworks deepinfra
    cerebras sambanova perplexity dashscope moonshot zai minimax nvidia huggingface github vercel
    vllm sglang llamacpp lmstudio koboldcpp jan localai ollama demo"""


def test_everything_promised_is_there_once() -> None:
    assert set(PRESETS) == set(EXPECTED.split())
    rows = presets._HOSTED + presets._LOCAL
    assert len(rows) == len(PRESETS), "a name twice"


@pytest.mark.parametrize("row", PRESETS.values(), ids=_name)
def test_rows_name_only_what_exists(row: Provider) -> None:
    assert set(row.quirks) <= set(quirks.QUIRKS)
    assert set(row.extra_options) <= set(options.BY_PROVIDER)
    assert row.embed_batch > 0


@pytest.mark.parametrize("row", HOSTED, ids=_name)
def test_hosted_services(row: Provider) -> None:
    assert row.url.startswith("https://")
    assert row.key == "keyring"
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*", row.key_variable)
    assert address.base_url(row.url) == row.url, "already in the form the bridge uses"
    assert address.preset_at(row.url) is row, "found by its address, and by no other's"


@pytest.mark.parametrize("row", [row for row in LOCAL if row.name != presets.DEMO], ids=_name)
def test_local_servers(row: Provider) -> None:
    assert urlsplit(row.url).hostname == "127.0.0.1"
    assert row.key == "none"
    assert address.base_url(row.url) == row.url
    assert address.preset_at(row.url) is None


def test_no_variable_means_two_services() -> None:
    variables = [row.key_variable for row in HOSTED]
    assert len(variables) == len(set(variables))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://API.OPENAI.COM/v1", "openai"),
        ("https://notapi.openai.com.example/v1", None),
        ("https://evilapi.openai.com/v1", None),
        ("http://127.0.0.1:8000/v1", None),
    ],
)
def test_services_are_known_by_their_address(url: str, name: str | None) -> None:
    found = address.preset_at(url)
    assert (found.name if found else None) == name


def test_no_code_asks_for_a_provider_by_name() -> None:
    """Names stand in the presets; elsewhere a comparison with one would be a hidden rule."""
    names = set(PRESETS) - {"ollama", presets.DEMO}
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("ollama_bridge", "cli", "tray")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(presets.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(part, ast.Constant) and part.value in names for part in ast.walk(node))
    ]
    assert found == []
