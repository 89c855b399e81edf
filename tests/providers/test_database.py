"""The public database, trimmed: what is kept of it, and what is no database."""

import json
from typing import Any

import pytest

from ollama_bridge.providers import database, facts


def model(**more: Any) -> dict[str, Any]:
    return {
        "limit": {"context": 1000, "output": 100},
        "modalities": {"input": ["text"], "output": ["text"]},
        "tool_call": True,
        "reasoning": False,
        **more,
    }


def host(models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "npm": "@ai-sdk/openai-compatible",
        "api": "https://api.acme.example/v1/",
        "env": ["ACME_REGION", "ACME_API_KEY"],
        "models": models,
        **more,
    }


def read(**hosts: Any) -> facts.Table:
    return facts.read(database.text(hosts, "test").encode(), "test")


def test_a_service_with_its_address_its_variable_and_its_models() -> None:
    acme = host({"a-1": model(cost={"input": 2, "output": 8}), "a-2": model()})
    table = read(acme=acme)
    service = table.services["acme"]
    assert (service.url, service.key) == ("https://api.acme.example/v1", "ACME_API_KEY")
    assert list(service.models) == ["a-1", "a-2"]
    assert table.offer("acme", "a-1") == facts.Offer(1000, 2, 8)
    assert table.offer("acme", "a-2") == facts.Offer(1000)
    known = table.of("a-1")
    assert known is not None
    assert known.capabilities == {"completion", "tools"}


@pytest.mark.parametrize(
    "odd",
    [
        {"npm": "@ai-sdk/anthropic"},
        {"npm": "@ai-sdk/amazon-bedrock", "api": None},
        {"api": None},
        {"api": "https://${ACME_HOST}/v1"},
        {"api": "${ACME_HOST}/v1"},
    ],
)
def test_a_service_that_cannot_be_asked_is_left_out(odd: dict[str, Any]) -> None:
    table = read(acme=host({"a-1": model()}, **odd), openai=host({"o-1": model()}, api=None))
    assert list(table.services) == ["openai"], "of a preset's service only the models are wanted"
    assert table.of("a-1"), "its models are known all the same"


def test_a_route_at_the_end_of_an_address() -> None:
    acme = host({"a-1": model()}, api="https://api.acme.example/llm/v1/chat/completions")
    assert read(acme=acme).services["acme"].url == "https://api.acme.example/llm/v1"


@pytest.mark.parametrize(
    "found",
    [
        {"acme": 3},
        {"acme": {}},
        {"acme": {"models": []}},
        {"acme": {"models": {"a-1": {}}}},
        {"acme": {"models": {"a-1": None}}},
        {"acme": host({"a-1": model(limit=None)})},
        {"acme": host({"a-1": model()}, api="https://u:p@acme.example/v1")},
    ],
)
def test_what_is_no_database(found: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each of them in other words
        database.text(found, "test")
    json.dumps(found)
