"""Ollama's options and format as fields of an OpenAI request (ollama-api 2.8, 2.10; quirks E, M)."""

from typing import Any

import pytest

from ollama_bridge.errors import BadOption
from ollama_bridge.translate import options

INTEGERS = {
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "draft_num_predict",
    "num_keep",
    "seed",
    "num_predict",
    "top_k",
    "repeat_last_n",
}
FLOATS = {
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
}
GONE = {
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
    "tfs_z",
    "penalize_newline",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mlock",
    "embedding_only",
}


def test_every_option_is_mapped_or_knowingly_ignored():
    tables = [options.MAPPED, options.BY_PROVIDER, options.IGNORED]
    named = [name for table in tables for name in table]
    assert len(named) == len(set(named))
    assert set(named) == INTEGERS | FLOATS | GONE | {"use_mmap", "stop"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0, "top_p": 0.5}),
        (
            {"presence_penalty": 1, "frequency_penalty": -1},
            {"presence_penalty": 1, "frequency_penalty": -1},
        ),
        ({"seed": 0}, {"seed": 0}),
        ({"seed": 42.9}, {"seed": 42}),
        ({"seed": -1}, {}),
        ({"seed": 1e300}, {"seed": 2**63 - 1}),
        ({"num_predict": 1}, {"max_tokens": 1}),
        ({"num_predict": 0}, {}),
        ({"num_predict": -1}, {}),
        ({"num_predict": -2}, {}),
        ({"num_predict": 0.9}, {}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop": []}, {}),
        ({"num_ctx": 4096, "use_mmap": False, "num_gpu": -1, "numa": "yes"}, {}),
        ({"top_k": 40, "min_p": 0.1, "repeat_penalty": 1.1, "mirostat": 1}, {}),
        ({"made_up": 1, "Temperature": 1}, {}),
    ],
)
def test_options(given: dict[str, Any], sent: dict[str, Any]):
    assert options.to_openai(given, {}) == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"top_k": 40.0}, {"top_k": 40}),
        ({"top_k": -1}, {}),
        ({"repeat_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"repeat_last_n": -1}, {}),
        ({"repeat_last_n": 64}, {"repeat_last_n": 64}),
        ({"min_p": 0.0}, {"min_p": 0.0}),
    ],
)
def test_options_of_a_provider(given: dict[str, Any], sent: dict[str, Any]):
    extra = {
        "top_k": "top_k",
        "min_p": "min_p",
        "repeat_penalty": "repetition_penalty",
        "repeat_last_n": "repeat_last_n",
    }
    assert options.to_openai(given, extra) == sent


WRONG = [
    *[(name, "1", f'option "{name}" must be of type integer') for name in sorted(INTEGERS)],
    *[(name, "1", f'option "{name}" must be of type float32') for name in sorted(FLOATS)],
    ("num_ctx", True, 'option "num_ctx" must be of type integer'),
    ("temperature", False, 'option "temperature" must be of type float32'),
    ("use_mmap", 1, 'option "use_mmap" must be of type boolean'),
    ("stop", "END", 'option "stop" must be of type array'),
    ("stop", ["END", 1], 'option "stop" must be of an array of strings'),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_types_are_refused_with_ollamas_words(name: str, value: Any, message: str):
    with pytest.raises(BadOption) as refused:
        options.to_openai({name: value}, {})
    assert refused.value.message == message
    assert refused.value.status == 500


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("", None),
        ("json", {"type": "json_object"}),
        (
            {"type": "object"},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": False},
            },
        ),
        (
            {},
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {}, "strict": False},
            },
        ),
    ],
)
def test_format(given: Any, sent: Any):
    assert options.response_format(given) == sent


@pytest.mark.parametrize(
    ("given", "shown"), [("xml", '"\\"xml\\""'), (7, '"7"'), ([1], '"[1]"'), (True, '"true"')]
)
def test_other_formats_are_refused(given: Any, shown: str):
    with pytest.raises(BadOption) as refused:
        options.response_format(given)
    assert refused.value.message == (
        f'invalid format: {shown}; expected "json" or a valid JSON Schema object'
    )
