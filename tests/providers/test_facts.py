"""What is bundled of public models, and how tolerantly it is found."""

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import msgspec
import pytest

from ollama_bridge.providers import address, facts
from ollama_bridge.providers.presets import PRESETS

FILE = Path(facts.__file__).with_name("facts.json")


@pytest.mark.parametrize(
    "model_id",
    [
        "gpt-5-mini",
        "openai/gpt-5-mini",
        "openrouter/openai/gpt-5-mini",
        "GPT-5-Mini",
        "gpt-5-mini-2025-08-07",
        "gpt-5-mini:free",
        "gpt-5-mini:latest",
        "ft:gpt-5-mini-2025-08-07:my-org::Ab12",
    ],
)
def test_one_model_is_found_by_every_spelling(model_id: str) -> None:
    assert facts.of(model_id) == facts.Facts(
        context_length=400_000,
        embedding_length=None,
        max_output=128_000,
        capabilities=frozenset({"completion", "tools", "vision", "thinking"}),
    )


@pytest.mark.parametrize(
    ("model_id", "same_as"),
    [
        ("models/gemini-2.5-pro", "gemini-2-5-pro"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2-5-pro"),
        ("accounts/fireworks/models/llama-v3p1-8b-instruct", "llama-3-1-8b-instruct"),
        ("accounts/fireworks/models/glm-4p6", "glm-4-6"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("@cf/meta/llama-3.1-8b-instruct", "llama-3-1-8b-instruct"),
        ("Meta-Llama-3.1-8B-Instruct-Turbo", "llama-3-1-8b-instruct"),
        ("gpt-oss:20b", "gpt-oss-20b"),
        ("nomic-embed-text:v1.5", "nomic-embed-text-v1-5"),
        ("bge-m3:q8_0", "bge-m3"),
        ("text-embedding-3-small/", "text-embedding-3-small"),
    ],
)
def test_what_hosts_add_is_seen_through(model_id: str, same_as: str) -> None:
    known, same = facts.of(model_id), facts.of(same_as)
    assert known is not None
    assert same is not None
    assert known.context_length == same.context_length
    assert known.capabilities == same.capabilities


@pytest.mark.parametrize(
    "model_id", ["", "/", "-", "latest", "x", "my-model", "auto", "🦙", "a" * 500]
)
def test_what_is_not_known_is_none(model_id: str) -> None:
    assert facts.of(model_id) is None


@pytest.mark.parametrize(
    ("model_id", "length"),
    [
        ("text-embedding-3-small", 1536),
        ("text-embedding-3-large", 3072),
        ("text-embedding-ada-002", 1536),
        ("mistral-embed", 1024),
        ("nomic-embed-text", 768),
        ("BAAI/bge-m3", 1024),
        ("models/gemini-embedding-001", 3072),
        ("Qwen/Qwen3-Embedding-8B", 4096),
    ],
)
def test_embedders_embed_and_do_nothing_else(model_id: str, length: int) -> None:
    known = facts.of(model_id)
    assert known is not None
    assert known.capabilities == {"embedding"}
    assert known.embedding_length == length
    assert known.context_length


@pytest.mark.parametrize(
    ("model_id", "capabilities"),
    [
        ("some-new-model", {"completion", "tools"}),
        ("acme/qwen9-vl-7b", {"completion", "tools", "vision"}),
        ("qwen2.5vl:7b", {"completion", "tools", "vision"}),
        ("llava:13b", {"completion", "tools", "vision"}),
        ("deepseek-r1:7b", {"completion", "tools", "thinking"}),
        ("acme-vision-thinking-2", {"completion", "tools", "vision", "thinking"}),
        ("my-embedder", {"embedding"}),
        ("BAAI/bge-tiny", {"embedding"}),
        ("bge-reranker-9", set()),
        ("tts-1-hd", set()),
        ("whisper-1", set()),
        ("gpt-9-realtime-preview", set()),
        ("omni-moderation-latest", set()),
        ("dall-e-4", {"image"}),
        ("gpt-image-9", {"image"}),
        ("influx-7b", {"completion", "tools"}),
        ("babbage-002", {"completion"}),
        ("gpt-3.5-turbo-instruct-0914", {"completion"}),
    ],
)
def test_a_name_gives_away_what_a_model_can_do(model_id: str, capabilities: set[str]) -> None:
    assert facts.guess(model_id) == capabilities


@pytest.mark.parametrize(
    ("model_id", "size"),
    [
        ("meta-llama/llama-3.3-70b-instruct", "70B"),
        ("smollm2:135m", "135M"),
        ("qwen3-30b-a3b", "30B"),
        ("qwen2.5-1.5b", "1.5B"),
        ("mixtral-8x7b", ""),
        ("gpt-4.1", ""),
        ("gemma-4bit", ""),
    ],
)
def test_the_size_is_read_from_the_name(model_id: str, size: str) -> None:
    assert facts.size_in_name(model_id) == size


def test_every_row_of_the_file_can_be_read_and_is_sane() -> None:
    rows = msgspec.json.decode(FILE.read_bytes())["models"]
    for name in rows:
        known = facts.of(name)
        assert known is not None, name
        assert facts.key(name) == name, "a key must find itself"
        assert known.context_length is None or 0 < known.context_length <= 20_000_000, name
        assert known.embedding_length is None or "embedding" in known.capabilities, name
        assert not {"tools", "thinking"} & known.capabilities or "completion" in known.capabilities
        assert not {"embedding", "completion"} <= known.capabilities, name


def test_every_service_of_the_file_can_be_used_and_is_sane() -> None:
    services = facts.bundled().services
    ours = {row.facts for row in PRESETS.values()}
    usable = [name for name, service in services.items() if service.url]
    assert len(usable) >= 100
    for name, service in services.items():
        assert service.models, name
        assert name in ours or service.url, "of no use"
        if service.url:
            assert address.base_url(service.url) == service.url, name
            assert re.fullmatch(r"[A-Z0-9][A-Z0-9_]*", service.key), name
        for model in service.models:
            offer = facts.bundled().offer(name, model)
            assert offer.context_length is None or 0 < offer.context_length <= 20_000_000, name
            assert offer.price_in is None or 0 <= offer.price_in < 1000, (name, model)


def test_nearly_all_presets_of_hosted_services_have_facts() -> None:
    hosted = {row.facts for row in PRESETS.values() if row.url.startswith("https://")}
    assert hosted - facts.bundled().services.keys() == {"snowflake", "sambanova"}


@pytest.mark.parametrize(
    ("service", "model", "offer"),
    [
        ("openai", "gpt-5-mini", facts.Offer(400_000, 0.25, 2)),
        ("openai", "gpt-5-mini-2025-08-07", facts.Offer(400_000, 0.25, 2)),
        ("openai", "nobodys-model", facts.Offer()),
        ("nobody", "gpt-5-mini", facts.Offer()),
        ("", "gpt-5-mini", facts.Offer()),
    ],
)
def test_what_a_service_offers(service: str, model: str, offer: facts.Offer) -> None:
    assert facts.bundled().offer(service, model) == offer


def test_a_price_is_that_of_the_service_that_is_asked() -> None:
    dear = facts.bundled().offer("groq", "openai/gpt-oss-120b")
    cheap = facts.bundled().offer("deepinfra", "openai/gpt-oss-120b")
    assert dear.price_in
    assert cheap.price_in
    assert dear != cheap


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"source":"x"}',
        b'{"source":"x","models":{"m-1":3}}',
        b'{"source":"x","models":{"m-1":[1,"?"]}}',
        b'{"source":"x","models":{"m-1":[]}}',
        b'{"source":"x","models":{},"services":{"a":{"url":3}}}',
        b'{"source":"x","models":{},"services":{"a":{"models":{"m":["dear"]}}}}',
        b'{"source":"x","models":{"m-1":[1,"c"]',
    ],
)
def test_what_is_no_file_of_facts_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each of them in other words
        facts.read(text, "test")


def test_the_file_is_sorted_small_and_names_its_source() -> None:
    text = FILE.read_text("utf-8")
    models, _, services = text.partition('},"services":{')
    for part in (models, services):
        names = [line.split('"')[1] for line in part.splitlines()[1:] if line.count('"') > 1]
        assert names == sorted(names)
        assert len(names) > 100
    assert len(text) < 400_000
    assert msgspec.json.decode(text)["source"].startswith("models.dev")


def test_facts_cannot_be_changed() -> None:
    known = facts.of("gpt-5-mini")
    with pytest.raises(FrozenInstanceError):
        known.context_length = 1  # type: ignore[misc,union-attr]


def test_nothing_is_read_before_the_first_question() -> None:
    program = (
        "import time; from ollama_bridge.providers import facts; "
        "assert facts.bundled.cache_info().currsize == 0; "
        "start = time.process_time(); facts.of('gpt-5-mini'); "
        "print(time.process_time() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=FILE.parents[2],
    )  # fmt: skip
    assert float(done.stdout) < 0.05  # measured: 2 ms; the rest is for slow machines
