"""What a create asks for, and what it may not ask for; the progress Ollama's clients wait for."""

import json
from typing import Any

import pytest

from ollama_bridge.catalog import CAPABILITIES
from ollama_bridge.errors import BadRequest, BridgeError
from ollama_bridge.translate import manage
from ollama_bridge.wire import ollama

DIGEST = "0123456789abcdef" * 4


def request(**fields: Any) -> ollama.CreateRequest:
    return ollama.decode(json.dumps({"model": "x", **fields}).encode(), ollama.CreateRequest)


def own(**fields: Any) -> manage.Own:
    return manage.own(request(**fields), CAPABILITIES)


def told(lines: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_a_pull_ends_in_success_with_one_layer_that_is_there() -> None:
    lines = list(manage.pulled(DIGEST, None))
    assert all(line.endswith(b"}\n") and line.count(b"\n") == 1 for line in lines)
    assert told(lines) == [
        {
            "status": "pulling 0123456789ab",
            "digest": f"sha256:{DIGEST}",
            "total": 384,
            "completed": 384,
        },
        {"status": "verifying sha256 digest"},
        {"status": "writing manifest"},
        {"status": "success"},
    ]
    assert told(manage.pulled(DIGEST, 5_000_000_000))[0]["total"] == 5_000_000_000


def test_a_create_names_its_base_and_one_layer_for_each_thing_set() -> None:
    lines = told(manage.layers(DIGEST, own(system="s", parameters={"temperature": 0.5})))
    assert lines[0] == {"status": f"using existing layer sha256:{DIGEST}"}
    layers = [line["status"].removeprefix("creating new layer sha256:") for line in lines[1:]]
    assert len(layers) == 2
    assert len(set(layers)) == 2
    assert all(len(layer) == 64 for layer in layers)


def test_everything_a_model_can_have() -> None:
    assert own(
        template="{{ .Prompt }}",
        system="Be brief.",
        license=["MIT", "Apache"],
        parameters={"temperature": 0.1, "stop": ["a", "b"], "use_mmap": True, "seed": None},
        messages=[{"role": "USER", "content": "hi"}, {"role": "assistant", "content": ""}],
        info={"context_length": 8192, "capabilities": ["completion", "tools"]},
    ) == {
        "template": "{{ .Prompt }}",
        "system": "Be brief.",
        "license": "MIT\nApache",
        "parameters": {"temperature": 0.1, "stop": ["a", "b"], "use_mmap": True},
        "messages": ({"role": "user", "content": "hi"}, {"role": "assistant", "content": ""}),
        "context_length": 8192,
        "capabilities": ("completion", "tools"),
    }


def test_what_is_empty_is_not_set() -> None:
    assert own(template="", system="", license=[], parameters={}, messages=[], info={}) == {}
    assert own(license=None, parameters=None, messages=None, info=None) == {}


def test_messages_keep_what_a_saved_conversation_has() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    turn = {"role": "assistant", "thinking": "hm", "images": ["aGk="], "tool_calls": [call]}
    (kept,) = own(messages=[turn])["messages"]
    assert kept["thinking"] == "hm"
    assert kept["images"] == ["aGk="]
    assert kept["tool_calls"][0]["function"]["arguments"] == {"a": 1}


WHY = "has no weights of its own"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "neither 'from' or 'files' was specified"),
        ({"from": "", "files": {}, "adapters": {}}, "neither 'from' or 'files' was specified"),
        ({"files": {"/a.gguf": "sha256:x"}}, "file path must be relative"),
        ({"files": {"../a.gguf": "sha256:x"}}, "file path must be relative"),
        ({"adapters": {"a//b": "sha256:x"}}, "file path must be relative"),
        ({"files": {"a.gguf": ""}}, "invalid digest format"),
        ({"files": {"a.gguf": "sha256:x"}}, f"model files cannot be imported: .*{WHY}"),
        ({"from": "m", "adapters": {"a": "sha256:x"}}, f"adapters cannot be applied: .*{WHY}"),
        ({"from": "m", "draft_files": {"a": "sha256:x"}}, f"draft models cannot .*{WHY}"),
        ({"from": "m", "quantize": "q4_K_M"}, f"cannot be quantized: .*{WHY}"),
        ({"from": "m", "quantization": "q4_K_M"}, f"cannot be quantized: .*{WHY}"),
        ({"from": "m", "draft_quantize": "q8_0"}, f"cannot be quantized: .*{WHY}"),
        ({"from": "m", "remote_host": "http://h"}, "ollama-bridge providers add"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BridgeError, match=text) as caught:
        manage.check(request(**fields))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"parameters": {"temperature": "hot"}}, 'option "temperature" must be of type float32'),
        ({"parameters": {"stop": "x"}}, 'option "stop" must be of type array'),
        ({"parameters": {"mine": {"a": 1}}}, 'parameter "mine" must be'),
        ({"parameters": {"mine": [None]}}, 'parameter "mine" must be'),
        ({"license": 7}, "license must be a string or a list of strings"),
        ({"license": ["MIT", 7]}, "license must be a string or a list of strings"),
        ({"messages": [{"role": "god", "content": "x"}]}, "message role must be one of"),
        ({"messages": [{"content": "x"}]}, "message role must be one of"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": {"a": [None]}}}],
                    }
                ]
            },
            "holds null",
        ),
        ({"info": {"context_length": "big"}}, "context_length must be a whole number"),
        ({"info": {"context_length": 1.5}}, "context_length must be a whole number"),
        ({"info": {"context_length": -1}}, "context_length must be a whole number"),
        ({"info": {"capabilities": ["flying"]}}, "capabilities must be a list of completion"),
        ({"info": {"capabilities": "tools"}}, "capabilities must be a list of completion"),
        ({"system": "x" * (1024 * 1024)}, "larger than 1 MiB"),
    ],
)
def test_what_settings_cannot_hold_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text) as caught:
        own(**fields)
    assert caught.value.status == 400


def test_what_has_no_effect_is_said() -> None:
    lines = told(
        manage.remarks(
            request(
                template="t", parser="p", renderer="r", requires="1", info={"model_family": "x"}
            )
        )
    )
    assert [line["status"].split()[1:3] for line in lines] == [
        ["the", "template"],
        ["the", "renderer"],
        ["the", "parser"],
        ["the", "required"],
        ["model_family", "is"],
    ]
    assert told(manage.remarks(request(system="s", info={"context_length": 1}))) == []
