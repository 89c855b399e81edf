"""The rows of the well-known services hold together, and each quirk does the one thing it says."""

import ast
import copy
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
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


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("new_token_limit", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("new_token_limit", {"max_tokens": None}, {}),
    (
        "new_token_limit",
        {"max_tokens": 5, "max_completion_tokens": 9},
        {"max_completion_tokens": 9},
    ),
    ("random_seed", {"seed": 0}, {"random_seed": 0}),
    ("no_stream_options", {"stream_options": {"include_usage": True}}, {}),
    ("first_four_stops", {"stop": list("abcdef")}, {"stop": list("abcd")}),
    ("first_four_stops", {"stop": list("abcd")}, {"stop": list("abcd")}),
    ("first_four_stops", {"stop": "abcdef"}, {"stop": "abcdef"}),
    (
        "template_thinking",
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
    ),
    (
        "template_thinking",
        {"reasoning_effort": "none"},
        {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
    ),
    ("reasoning_object", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
    ("reasoning_object", {"reasoning_effort": "none"}, {"reasoning": {"enabled": False}}),
    ("thinking_switch", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled"}}),
    ("thinking_switch", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ("enable_thinking", {"reasoning_effort": "low"}, {"enable_thinking": True}),
    ("enable_thinking", {"reasoning_effort": "none"}, {"enable_thinking": False}),
    (
        "say_json",
        {"response_format": {"type": "json_object"}, "messages": [_said("user", "Hi")]},
        {
            "response_format": {"type": "json_object"},
            "messages": [_said("user", "Hi"), _said("system", "Answer in JSON.")],
        },
    ),
    (
        "say_json",
        {"response_format": {"type": "json_object"}, "messages": [_said("user", "As JSON")]},
        {"response_format": {"type": "json_object"}, "messages": [_said("user", "As JSON")]},
    ),
    ("say_json", {"response_format": "json"}, {"response_format": "json"}),
    (
        "system_role",
        {"messages": [_said("developer", "Be brief."), _said("user", "Hi")]},
        {"messages": [_said("system", "Be brief."), _said("user", "Hi")]},
    ),
    (
        "template_thinking",
        {"reasoning_effort": "low", "chat_template_kwargs": {"x": 1}},
        {"chat_template_kwargs": {"x": 1}},
    ),
]
"""Quirk, the fields it meets, the fields it leaves."""


@pytest.mark.parametrize(("quirk", "before", "after"), CASES)
def test_quirks(quirk: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    rest = {"model": "m", "messages": [_said("user", "Hi")]}
    body = rest | copy.deepcopy(before)
    quirks.QUIRKS[quirk](body)
    assert body == rest | after


@pytest.mark.parametrize("quirk", quirks.QUIRKS)
def test_a_quirk_leaves_alone_what_it_is_not_about(quirk: str) -> None:
    body = {"model": "m", "messages": [_said("user", "Hi")], "temperature": 0.5}
    before = copy.deepcopy(body)
    quirks.QUIRKS[quirk](body)
    assert body == before


@pytest.mark.parametrize("quirk", quirks.QUIRKS)
@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, [None, 3, {}, {"content": None}]])
def test_no_quirk_stumbles_over_what_a_client_wrote(quirk: str, odd: Any) -> None:
    fields = ("messages", "response_format", "stop", "reasoning_effort", "max_tokens", "seed")
    for body in (
        dict.fromkeys(fields, odd),
        {"response_format": {"type": "json_object"}, "messages": odd},
    ):
        quirks.QUIRKS[quirk](body)
        msgspec.json.encode(body)


def test_every_quirk_is_tried_and_used() -> None:
    used = {name for row in PRESETS.values() for name in row.quirks}
    assert used == set(quirks.QUIRKS)
    assert {quirk for quirk, _, _ in CASES} == set(quirks.QUIRKS)


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
