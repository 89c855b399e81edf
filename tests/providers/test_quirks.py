"""Edits of the request: each is tried, changes only what it is about, and stumbles over nothing."""

import copy
from typing import Any

import msgspec
import pytest

from ollama_bridge.providers import lessons, quirks
from ollama_bridge.providers.presets import PRESETS


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("new_token_limit", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("new_token_limit", {"max_tokens": None}, {}),
    (
        "new_token_limit",
        {"max_tokens": 5, "max_completion_tokens": 9},
        {"max_completion_tokens": 9},
    ),
    ("random_seed", {"seed": 0}, {"random_seed": 0}),
    ("responses_only", {"stop": ["x"]}, {"stop": ["x"]}),
    ("chats_only", {"stop": ["x"]}, {"stop": ["x"]}),
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
    (
        "thoughts_back",
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}, _said("user", "Hi")]},
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "a"}], "reasoning_content": ""},
                _said("user", "Hi"),
            ]
        },
    ),
    (
        "signed_calls",
        {"model": "gemini-2.5-pro", "messages": [{"role": "assistant", "tool_calls": [{}]}]},
        {"model": "gemini-2.5-pro", "messages": [{"role": "assistant", "tool_calls": [{}]}]},
    ),
    ("old_token_limit", {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ("strict_keys", {"temperature": 1, "store": True, "user": "x"}, {"temperature": 1}),
    ("no_stream", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": False}),
    (
        "always_stream",
        {"stream": False},
        {"stream": True, "stream_options": {"include_usage": True}},
    ),
    ("no_stops", {"stop": ["a"]}, {}),
    ("no_logprobs", {"logprobs": True, "top_logprobs": 3}, {}),
    ("one_choice", {"n": 1}, {}),
    ("one_choice", {"n": 2}, {"n": 2}),
    (
        "drop_reasoning_sampling",
        {"model": "gpt-5-mini", "temperature": 1, "seed": 1, "stop": ["a"]},
        {"model": "gpt-5-mini"},
    ),
    (
        "drop_reasoning_sampling",
        {"model": "gpt-4o", "temperature": 1},
        {"model": "gpt-4o", "temperature": 1},
    ),
    (
        "drop_reasoning_sampling",
        {"model": "o3", "reasoning_effort": "none", "temperature": 1},
        {"model": "o3", "reasoning_effort": "none", "temperature": 1},
    ),
    ("calmer", {}, {"temperature": 0.2}),
    (
        "merge_system",
        {
            "messages": [
                {"role": "system", "content": "A"},
                {"role": "user", "content": "Hi"},
                {"role": "system", "content": "B"},
            ]
        },
        {"messages": [{"role": "system", "content": "A\n\nB"}, {"role": "user", "content": "Hi"}]},
    ),
    (
        "fold_system",
        {
            "messages": [
                {"role": "system", "content": "A"},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Yo"},
                {"role": "user", "content": "B"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "A\n\nHi"},
                {"role": "assistant", "content": "Yo"},
                {"role": "user", "content": "B"},
            ]
        },
    ),
    (
        "fold_system",
        {"messages": [{"role": "system", "content": "A"}]},
        {"messages": [{"role": "user", "content": "A"}]},
    ),
    (
        "alternate",
        {
            "messages": [
                {"role": "user", "content": "A"},
                {"role": "user", "content": "B"},
                {"role": "assistant", "content": "C"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "A\n\nB"},
                {"role": "assistant", "content": "C"},
            ]
        },
    ),
    (
        "alternate",
        {"messages": [{"role": "assistant", "content": "C"}, {"role": "user", "content": "A"}]},
        {
            "messages": [
                {"role": "user", "content": "Go on."},
                {"role": "assistant", "content": "C"},
                {"role": "user", "content": "A"},
            ]
        },
    ),
    (
        "prefix_last_assistant",
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The"}]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "The", "prefix": True},
            ]
        },
    ),
    (
        "content_null",
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "call_0123456789",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_0123456789",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                }
            ]
        },
    ),
    (
        "content_empty",
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_0123456789",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "call_0123456789",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                }
            ]
        },
    ),
    (
        "no_empty_text",
        {
            "messages": [
                {"role": "user", "content": ""},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": ""}, {"type": "text", "text": "x"}],
                },
            ]
        },
        {
            "messages": [
                {"role": "user", "content": " "},
                {"role": "user", "content": [{"type": "text", "text": "x"}]},
            ]
        },
    ),
    (
        "plain_content",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                }
            ]
        },
        {"messages": [{"role": "user", "content": "a\n\nb"}]},
    ),
    (
        "strict_messages",
        {
            "messages": [
                {"role": "assistant", "content": "a", "reasoning_content": "hm", "name": "x"}
            ]
        },
        {"messages": [{"role": "assistant", "content": "a"}]},
    ),
    (
        "nine_letter_ids",
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "call_0123456789",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_0123456789", "content": "1"},
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "EFAKd8mSe",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "EFAKd8mSe", "content": "1"},
            ]
        },
    ),
    (
        "parsed_reasoning",
        {"model": "qwen/qwen3", "reasoning_effort": "low"},
        {"model": "qwen/qwen3", "reasoning_effort": "low", "reasoning_format": "parsed"},
    ),
    (
        "parsed_reasoning",
        {"model": "gpt-oss", "reasoning_effort": "low"},
        {"model": "gpt-oss", "reasoning_effort": "low"},
    ),
    (
        "no_effort_with_tools",
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
            "reasoning_effort": "low",
        },
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
            "reasoning_effort": "none",
        },
    ),
    ("thinking_stays", {"reasoning_effort": "none"}, {}),
    ("thinking_stays", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    (
        "format_object",
        {"response_format": "json_object"},
        {"response_format": {"type": "json_object"}},
    ),
    (
        "json_by_schema",
        {"response_format": {"type": "json_object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
            }
        },
    ),
    (
        "schema_in_object",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }
        },
        {
            "response_format": {
                "type": "json_object",
                "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
            }
        },
    ),
    (
        "schema_to_object",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }
        },
        {
            "messages": [
                {
                    "role": "system",
                    "content": 'Answer with one JSON object that follows this JSON schema, and nothing else: {"type":"object","properties":{"a":{"type":"string"}}}',
                },
                {"role": "user", "content": "Hi"},
            ],
            "response_format": {"type": "json_object"},
        },
    ),
    (
        "schema_to_object",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            },
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi"},
            ],
        },
        {
            "messages": [
                {
                    "role": "system",
                    "content": 'Be kind.\n\nAnswer with one JSON object that follows this JSON schema, and nothing else: {"type":"object","properties":{"a":{"type":"string"}}}',
                },
                {"role": "user", "content": "Hi"},
            ],
            "response_format": {"type": "json_object"},
        },
    ),
    (
        "format_in_words",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }
        },
        {
            "messages": [
                {
                    "role": "system",
                    "content": 'Answer with one JSON object that follows this JSON schema, and nothing else: {"type":"object","properties":{"a":{"type":"string"}}}',
                },
                {"role": "user", "content": "Hi"},
            ]
        },
    ),
    (
        "format_in_words",
        {"response_format": {"type": "json_object"}},
        {
            "messages": [
                {"role": "system", "content": "Answer with JSON only, without any other text."},
                {"role": "user", "content": "Hi"},
            ]
        },
    ),
    (
        "format_beside_tools",
        {
            "response_format": {"type": "json_object"},
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
        },
        {
            "messages": [
                {"role": "system", "content": "Answer with JSON only, without any other text."},
                {"role": "user", "content": "Hi"},
            ],
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
            ],
        },
    ),
    (
        "format_beside_tools",
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}},
    ),
    (
        "close_objects",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "answer",
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "string"}},
                        "additionalProperties": False,
                    },
                },
            }
        },
    ),
    (
        "plain_schemas",
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "$schema": "x",
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"a": {"const": 1}},
                        },
                    },
                }
            ]
        },
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"a": {"enum": [1]}}},
                    },
                }
            ]
        },
    ),
    (
        "filled_schemas",
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {"l": {"type": "array"}}},
                    },
                }
            ]
        },
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {"l": {"type": "array", "items": {"type": "string"}}},
                        },
                    },
                }
            ]
        },
    ),
]
"""Quirk, the fields it meets, the fields it leaves."""


@pytest.mark.parametrize(("quirk", "before", "after"), CASES)
def test_quirks(quirk: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    rest = {"model": "m", "messages": [_said("user", "Hi")]}
    body = rest | copy.deepcopy(before)
    quirks.QUIRKS[quirk](body)
    assert body == rest | after


SPEAKS_UP = {"always_stream", "calmer"}
"""Edits that say something where nothing was said."""


@pytest.mark.parametrize("quirk", sorted(quirks.QUIRKS.keys() - SPEAKS_UP))
def test_a_quirk_leaves_alone_what_it_is_not_about(quirk: str) -> None:
    body = {"model": "m", "messages": [_said("user", "Hi")], "temperature": 0.5}
    before = copy.deepcopy(body)
    quirks.QUIRKS[quirk](body)
    assert body == before


@pytest.mark.parametrize(("quirk", "before", "after"), CASES)
def test_the_first_attempt_is_not_changed_by_the_second(
    quirk: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Messages are made for each attempt; what stands inside another value is shared by all."""
    request = {"model": "m", "messages": [_said("user", "Hi")]} | before
    kept = copy.deepcopy(request)
    quirks.QUIRKS[quirk](request | {"messages": copy.deepcopy(request["messages"])})
    assert request == kept


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
    """By a service's row, or taught by a refusal."""
    rows = {name for row in PRESETS.values() for name in row.quirks}
    assert rows <= set(quirks.QUIRKS)
    taught = {name for rule in lessons.RULES for name in rule.edits if ":" not in name}
    elsewhere = {"thinking_stays", "chats_only"}  # by what is asked, and by a route that is missing
    assert rows | taught | elsewhere == set(quirks.QUIRKS)
    assert {quirk for quirk, _, _ in CASES} == set(quirks.QUIRKS)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("drop:seed", {"seed": 1}, {}),
        ("most_tokens:10", {"max_tokens": 11}, {"max_tokens": 10}),
        ("most_tokens:10", {"max_tokens": 9}, {"max_tokens": 9}),
        ("least_tokens:16", {"max_output_tokens": 1}, {"max_output_tokens": 16}),
        ("effort:none=minimal", {"reasoning_effort": "none"}, {"reasoning_effort": "minimal"}),
        ("effort:none=minimal", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        (
            "drop_in_messages:thinking",
            {"messages": [_said("assistant", "a") | {"thinking": "hm"}]},
            {"messages": [_said("assistant", "a")]},
        ),
    ],
)
def test_quirks_with_a_value(name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert quirks.is_known(name)
    assert quirks.meaning(name)
    body = copy.deepcopy(before)
    quirks.named(name)(body)
    assert body == after


@pytest.mark.parametrize(
    "name",
    ["", "nonsense", "drop:", "drop:model", "drop:messages", "most_tokens:many", "lacks:", 3],
)
def test_names_that_mean_nothing(name: Any) -> None:
    assert not quirks.is_known(name)
