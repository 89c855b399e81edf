"""Model lists of every shape, and what Ollama clients are told of the models."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ollama
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_bridge.catalog import Catalog, Entry
from ollama_bridge.errors import UpstreamFailed
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.translate import model_list, models
from ollama_bridge.translate.model_list import UpstreamModel

SECOND = 1_000_000_000
NOW = 1_750_000_000 * SECOND
RECORDINGS = Path(__file__).parents[2].parent / "shared" / "recordings"


def recordings(pattern: str) -> list[Any]:
    """Recorded exchanges; one that skips, or fails in CI, when the folder is not there."""
    found = sorted(RECORDINGS.glob(pattern))
    return [pytest.param(path, id=path.stem) for path in found] or [pytest.param(None, id="none")]


def recorded(path: Path | None) -> Any:
    if path is None:
        end = pytest.fail if "CI" in os.environ else pytest.skip
        end(f"no recordings in {RECORDINGS}")
    return json.loads(path.read_text("utf-8"))


def read(reply: Any) -> tuple[UpstreamModel, ...]:
    return model_list.read_list(json.dumps(reply).encode())


def one(row: dict[str, Any]) -> UpstreamModel:
    (model,) = read({"object": "list", "data": [{"id": "m", **row}]})
    return model


# Lists as recorded.


@pytest.mark.parametrize("path", recordings("openai-compatible/*/*-model*.json"))
def test_every_recorded_list_is_read(path: Path | None) -> None:
    exchange = recorded(path)
    reply = exchange["response"]
    if exchange["endpoint"] != "GET /v1/models" and "api/v0" not in exchange["endpoint"]:
        assert exchange["endpoint"].endswith("/v1/models/{id}"), "a new kind of recording"
        rows = None
    elif exchange["status"] != 200:
        rows = None
    else:
        rows = reply if isinstance(reply, list) else reply["data"]
    if rows is None:  # one model, or a refusal
        with pytest.raises(UpstreamFailed):
            read(reply)
        return
    found = read(reply)
    assert [model.id for model in found] == list(dict.fromkeys(row["id"] for row in rows))
    by_id: dict[str, Any] = {}
    for row in rows:
        by_id.setdefault(row["id"], row)
    for model in found:
        row = by_id[model.id]
        assert model.created == (row.get("created") or _epoch(row.get("created_at")))
        if (expected := CONTEXT.get(exchange["provider"])) is not None:
            assert model.context_length == (expected(row) or None), model.id
        elif exchange["provider"] in SILENT:
            assert model.context_length is None
            assert model.capabilities is None


def _epoch(text: str | None) -> int | None:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()) if text else None


CONTEXT = {
    "anthropic-compat": lambda row: row.get("max_input_tokens"),
    "github-copilot": lambda row: (row["capabilities"].get("limits") or {}).get(
        "max_context_window_tokens"
    ),
    "groq": lambda row: row["context_window"],
    "huggingface": lambda row: min(
        (
            p["context_length"]
            for p in row["providers"]
            if p.get("context_length") and p["status"] == "live"
        ),
        default=None,
    ),
    "llamacpp": lambda row: row["meta"]["n_ctx_train"],
    "lmstudio": lambda row: row["loaded_context_length"],
    "mistral": lambda row: row["max_context_length"],
    "openrouter": lambda row: row["context_length"],
    "vllm": lambda row: row.get("max_model_len"),
}
SILENT = {"bedrock-openai", "cerebras", "deepseek", "openai", "perplexity", "xai"}


def test_all_recordings_of_lists_are_here(record_property: Any) -> None:
    found = [p for p in recordings("openai-compatible/*/*-model*.json") if p.values[0]]
    if not found:
        recorded(None)
    record_property("recorded lists", len(found))
    assert len(found) >= 29


def test_capabilities_of_recorded_openrouter_models() -> None:
    path = next(RECORDINGS.glob("openai-compatible/openrouter/*models*faa7a9.json"), None)
    rows = recorded(path)["response"]["data"]
    found = {model.id: model for model in read(rows)}
    for row in rows:
        has = found[row["id"]].capabilities
        assert has is not None
        assert ("tools" in has) == ("tools" in row["supported_parameters"])
        assert ("vision" in has) == ("image" in row["architecture"]["input_modalities"])
        assert ("thinking" in has) == bool(
            {"reasoning", "include_reasoning", "reasoning_effort"}
            & set(row["supported_parameters"])
        )
        assert "completion" in has
        price = float(row["pricing"]["prompt"]) * 1_000_000
        assert found[row["id"]].price_in == (pytest.approx(price) if price >= 0 else None)


def test_capabilities_of_recorded_mistral_models() -> None:
    path = next(RECORDINGS.glob("openai-compatible/mistral/*models*.json"), None)
    rows = recorded(path)["response"]["data"]
    found = {model.id: model for model in read(rows)}
    seen = set()
    for row in rows:
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        model, can = found[row["id"]], row["capabilities"]
        assert model.capabilities is not None
        assert ("completion" in model.capabilities) == can["completion_chat"]
        assert ("insert" in model.capabilities) == can["completion_fim"]
        assert ("tools" in model.capabilities) == can["function_calling"]
        assert ("vision" in model.capabilities) == can["vision"]
        assert model.capabilities.isdisjoint(model.lacks)


# Shapes.


@pytest.mark.parametrize(
    ("reply", "ids"),
    [
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),
        ({"object": "list", "data": [{"id": "a"}]}, ["a"]),
        ({"models": [{"name": "llama3:8b", "model": "llama3:8b", "details": {}}]}, ["llama3:8b"]),
        ({"models": [{"key": "qwen/qwen3", "display_name": "Qwen 3", "type": "llm"}]}, ["qwen/qwen3"]),
        ({"models": [{"name": "models/gemini-2.5-pro", "inputTokenLimit": 5}]}, ["gemini-2.5-pro"]),
        ({"data": [{"id": "models/gemini-2.5-pro"}]}, ["gemini-2.5-pro"]),
        ({"data": [{"id": "models/7B/x.gguf"}, {"id": "models/7B.gguf"}]}, ["models/7B/x.gguf", "models/7B.gguf"]),
        ({"data": [{"id": "accounts/a/models/b"}, {"id": "models/"}]}, ["accounts/a/models/b", "models/"]),
        ({"data": [{"id": "x", "name": "A title"}, {"id": "x"}, {"id": "X"}]}, ["x", "X"]),
        ({"data": [{"id": "vendor/x:free@1 2"}, {"id": "é" * 99}]}, ["vendor/x:free@1 2", "é" * 99]),
        ({"data": [None, 1, "x", [], {}, {"id": ""}, {"id": " "}, {"id": 5}, {"id": None}, {"id": "a\nb"}, {"id": "ok"}]}, ["ok"]),
        ({"data": [], "models": [{"name": "a"}]}, ["a"]),
        ({"data": [{"id": "a"}], "models": [{"name": "b"}, 7]}, ["a"]),
        ({"data": None, "object": "list"}, []),
        ({"data": []}, []),
        ([], []),
    ],
)  # fmt: skip
def test_lists_of_every_shape(reply: Any, ids: list[str]) -> None:
    assert [model.id for model in read(reply)] == ids


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>404</html>", b"null", b'"x"', b"{}", b'{"error":{"message":"no"}}', b"[{]", b"\xff\xfe",
     b"[" * 100_000, b'{"id":"m","object":"model"}'],
)  # fmt: skip
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamFailed, match="did not answer with a list of models"):
        model_list.read_list(body)


def test_llama_cpp_lists_each_model_twice() -> None:
    twin = {
        "name": "g", "model": "g", "modified_at": "", "size": "", "digest": "", "type": "model",
        "description": "", "tags": [""], "capabilities": ["completion", "multimodal"], "parameters": "",
        "details": {"parent_model": "", "format": "gguf", "family": "", "families": [""],
                    "parameter_size": "", "quantization_level": ""},
    }  # fmt: skip
    row = {
        "id": "g", "object": "model", "created": 1749083850, "owned_by": "llamacpp",
        "meta": {"n_ctx_train": 40960, "n_ctx": 8192, "n_embd": 576, "n_params": 134_515_008, "size": 98_000_000},
    }  # fmt: skip
    (model,) = read({"models": [twin], "object": "list", "data": [row]})
    assert model == UpstreamModel(
        "g", created=1749083850, context_length=8192, embedding_length=576,
        capabilities=frozenset({"completion", "vision"}), owned_by="llamacpp",
        parameter_size="134.52M", size=98_000_000,
    )  # fmt: skip
    twin["capabilities"] = ["completion"]
    (model,) = read({"models": [twin], "object": "list", "data": [row]})
    assert model.capabilities == {"completion"}
    assert model.lacks == {"vision"}, "it says nothing of tools, so they are not denied"


# Facts of one row.


@pytest.mark.parametrize(
    ("row", "context"),
    [
        ({"context_length": 1000}, 1000),
        ({"top_provider": {"context_length": 900}}, 900),
        ({"context_length": 1000, "top_provider": {"context_length": 900}}, 1000),
        ({"context_window": 131072, "max_completion_tokens": 8192}, 131072),
        ({"max_context_length": 131072}, 131072),
        ({"max_context_length": 131072, "loaded_context_length": 4096}, 4096),
        ({"max_model_len": 65536}, 65536),
        ({"max_input_tokens": 200000, "max_tokens": 64000}, 200000),
        ({"inputTokenLimit": 1048576}, 1048576),
        ({"limits": {"max_input_tokens": 7, "max_output_tokens": 8}}, 7),
        ({"capabilities": {"limits": {"max_context_window_tokens": 264000}}}, 264000),
        ({"meta": {"n_ctx_train": 40960}}, 40960),
        ({"meta": {"n_ctx_train": 40960, "n_ctx": 2048}}, 2048),
        ({"loaded_instances": [{"config": {"context_length": 11}}], "max_context_length": 22}, 11),
        ({"loaded_instances": [], "max_context_length": 22}, 22),
        ({"details": {"context_length": 33}}, 33),
        ({"providers": [{"context_length": 9, "status": "live"}, {"context_length": 5, "status": "live"},
                        {"context_length": 1, "status": "error"}]}, 5),
        ({"context_length": "32768"}, 32768),
        ({"context_length": 4096.0}, 4096),
        ({"context_length": 0, "max_model_len": 8}, 8),
        ({"context_length": None}, None),
        ({"context_length": True}, None),
        ({"context_length": -1}, None),
        ({"context_length": "lots"}, None),
        ({"context_length": 1e300}, None),
        ({"meta": None, "details": "x", "loaded_instances": {"a": 1}, "providers": [1]}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_context_length(row: dict[str, Any], context: int | None) -> None:
    assert one(row).context_length == context


ALL = model_list.ALL


@pytest.mark.parametrize(
    ("row", "has", "lacks"),
    [
        ({}, None, set()),
        # OpenRouter
        (
            {"supported_parameters": ["tools", "reasoning", "top_k"],
             "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]}},
            {"completion", "tools", "thinking", "vision"}, {"embedding", "image"},
        ),
        ({"supported_parameters": ["max_tokens"]}, set(), {"tools", "thinking"}),
        ({"architecture": {"input_modalities": ["text"], "output_modalities": ["embeddings"]}},
         {"embedding"}, {"completion", "vision", "image"}),
        ({"architecture": {"input_modalities": ["text"], "output_modalities": ["image"]}},
         {"image"}, {"completion", "vision", "embedding"}),
        # Groq
        (
            {"input_modalities": ["text"], "output_modalities": ["text"], "supported_features": ["tools", "json_mode"]},
            {"completion", "tools"}, {"vision", "thinking", "embedding", "image"},
        ),
        ({"input_modalities": ["audio"], "output_modalities": ["transcription"]},
         set(), {"completion", "vision", "embedding", "image"}),
        # Mistral
        (
            {"capabilities": {"completion_chat": True, "function_calling": False, "completion_fim": True,
                              "vision": False, "audio": True}, "type": "base"},
            {"completion", "insert"}, {"tools", "vision"},
        ),
        # Anthropic
        (
            {"type": "model", "capabilities": {"image_input": {"supported": True}, "batch": {"supported": True},
                                               "thinking": {"supported": False, "types": {}}}},
            {"vision"}, {"thinking"},
        ),
        # GitHub Copilot
        (
            {"capabilities": {"type": "chat", "supports": {"tool_calls": True, "max_thinking_budget": 32000}}},
            {"completion", "tools", "thinking"}, {"vision", "embedding"},
        ),
        ({"capabilities": {"type": "embeddings", "supports": {"dimensions": True}}},
         {"embedding"}, {"completion", "tools", "vision"}),
        # Together
        ({"type": "chat"}, {"completion"}, {"embedding"}),
        ({"type": "embedding"}, {"embedding"}, {"completion"}),
        ({"type": "image"}, {"image"}, {"completion", "embedding"}),
        ({"type": "moderation"}, set(), {"completion", "embedding"}),
        # LM Studio, old and new
        ({"type": "vlm", "capabilities": ["tool_use"]}, {"completion", "vision", "tools"}, {"embedding"}),
        ({"type": "llm"}, {"completion"}, {"vision", "embedding"}),
        ({"type": "embeddings"}, {"embedding"}, {"completion"}),
        ({"type": "llm", "capabilities": {"vision": True, "trained_for_tool_use": False}},
         {"completion", "vision"}, {"tools", "embedding"}),
        # Hugging Face
        ({"providers": [{"supports_tools": False, "status": "live"}, {"supports_tools": True, "status": "live"}]},
         {"tools"}, set()),
        # A gateway's tags
        ({"type": "language", "tags": ["reasoning", "tool-use"]}, {"completion", "tools", "thinking"}, {"embedding"}),
        # Ollama's own words are complete
        ({"capabilities": ["completion", "tools", "thinking"]},
         {"completion", "tools", "thinking"}, ALL - {"completion", "tools", "thinking"}),
        ({"capabilities": ["embedding"]}, {"embedding"}, ALL - {"embedding"}),
        # Junk
        ({"type": 5, "capabilities": 7, "tags": "x", "supported_parameters": [None, 3], "architecture": []},
         set(), {"tools", "thinking"}),
        ({"type": "model", "capabilities": [], "supported_parameters": None}, None, set()),
    ],
)  # fmt: skip
def test_capabilities(row: dict[str, Any], has: set[str] | None, lacks: set[str]) -> None:
    model = one(row)
    assert model.capabilities == has
    assert model.lacks == lacks


@pytest.mark.parametrize(
    ("row", "prices"),
    [
        ({"pricing": {"prompt": "0.000003", "completion": "0.000015"}}, (3, 15)),
        ({"pricing": {"prompt": "-1", "completion": "-1"}}, (None, None)),
        ({"pricing": {"prompt": "0", "completion": "0"}}, (0, 0)),
        ({"pricing": {"input": 10, "output": 50, "unit": "usd_per_1m_tokens"}}, (10, 50)),
        ({"pricing": {"input": "0.00000125", "output": "0.00001"}}, (1.25, 10)),
        ({"pricing": {"input": None, "output": {}}}, (None, None)),
        ({"pricing": []}, (None, None)),
    ],
)
def test_prices_are_per_million_tokens(row: dict[str, Any], prices: tuple[float, float]) -> None:
    model = one(row)
    assert (model.price_in, model.price_out) == prices


def test_the_rest_of_a_row() -> None:
    native = one({
        "modified_at": "2025-05-10T08:06:48.639712648-07:00", "size": 4683075271,
        "details": {"family": "qwen2", "parameter_size": "7.6B", "quantization_level": "Q4_K_M",
                    "embedding_length": 3584},
    })  # fmt: skip
    assert native == UpstreamModel(
        "m", created=1746889608, size=4683075271, family="qwen2", parameter_size="7.6B",
        quantization="Q4_K_M", embedding_length=3584,
    )  # fmt: skip
    studio = one({
        "publisher": "google", "architecture": "gemma3", "params_string": "4B", "size_bytes": 5,
        "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
    })  # fmt: skip
    assert studio == UpstreamModel(
        "m", owned_by="google", family="gemma3", parameter_size="4B", size=5, quantization="Q4_K_M"
    )
    assert one({"arch": "has.dots and spaces"}).family == ""


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000_000, 1_700_000_000),
        ("1700000000", None),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14", 1_699_920_000),
        (0, None),
        (-5, None),
        ("", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00Z", None),
        (9e18, None),
    ],
)
def test_created(created: Any, seconds: int | None) -> None:
    assert one({"created": created}).created == seconds


@pytest.mark.parametrize(
    ("count", "text"),
    [(7_615_616_512, "7.6B"), (8_000_000_000, "8B"), (134_515_008, "134.52M"), (135_000_000, "135M"),
     (22_600, "23K"), (999, "999"), ("x", ""), (0, ""), (None, "")],
)  # fmt: skip
def test_parameters_are_written_as_ollama_does(count: Any, text: str) -> None:
    assert one({"meta": {"n_params": count}}).parameter_size == text


# Machines that build are slow and shared.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted(
    {field.partition(".")[0] for table in (model_list.CONTEXT, model_list.OUTPUT, model_list.EMBEDDING, model_list.SIZE,
     model_list.FAMILY, model_list.PARAMETERS, model_list.QUANTIZATION, model_list.OWNER, model_list.CREATED) for field in table}
    | {"id", "pricing", "type", "tags", "providers", "supported_parameters", "input_modalities", "architecture"}
)  # fmt: skip


@patient
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=5))
def test_junk_in_any_field_never_breaks_a_list(rows: list[dict[str, Any]]) -> None:
    for model in read(rows):
        names = Catalog({"a": Provider("a", "")}, {"a": (model,)}, {}, "a")
        assert json.loads(models.tags(names.entries, NOW))["models"][0]["details"]["family"]
        assert json.loads(models.show(names.entries[0]))["model_info"]


@patient
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_list_or_refused(body: bytes) -> None:
    with suppress(UpstreamFailed):
        assert isinstance(model_list.read_list(body), tuple)


# Telling it.

CODER = Alias(
    ("a/chat", "a/eyes"),
    system='Say "é".\nTwice.',
    parameters={
        "temperature": 0.2,
        "num_ctx": 4096,
        "top_p": 1.0,
        "stop": ["<end>", 'a"b'],
        "f16": True,
    },
    license="MIT",
    messages=({"role": "user", "content": "hi"}, {"role": "assistant", "content": "two\nlines"}),
)
LIST = (
    UpstreamModel("chat", created=1_700_000_000, context_length=8192, family="llama",
                  capabilities=frozenset({"completion", "tools", "insert"}), parameter_size="7.6B",
                  quantization="Q4_K_M", size=4_683_075_271, price_in=0.5, max_output=100),
    UpstreamModel("eyes:4b", capabilities=frozenset({"completion", "vision", "thinking"}),
                  lacks=frozenset({"tools"})),
    UpstreamModel("text-embedding-3-small"),
    UpstreamModel("whisper-1"),
)  # fmt: skip
CATALOG = Catalog({"a": Provider("a", "http://a")}, {"a": LIST}, {"coder": CODER}, "a")


def entry(name: str) -> Entry:
    return CATALOG.resolve(name)


def shown(name: str, **how: Any) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(models.show(entry(name), **how))
    return reply


def tags() -> dict[str, dict[str, Any]]:
    listed = json.loads(models.tags(CATALOG.entries, NOW))["models"]
    return {tag["name"]: tag for tag in listed}


def test_tags_have_what_ollama_has_in_its_order() -> None:
    assert list(tags()) == [e.name for e in CATALOG.entries]
    assert models.tags((), NOW) == b'{"models":[]}'
    tag = tags()["chat:latest"]
    assert list(tag) == [
        "name",
        "model",
        "modified_at",
        "size",
        "digest",
        "details",
        "capabilities",
    ]
    assert tag == {
        "name": "chat:latest",
        "model": "chat:latest",
        "modified_at": "2023-11-14T22:13:20.000000000Z",
        "size": 4_683_075_271,
        "digest": entry("chat").digest,
        "details": {
            "parent_model": "", "format": "", "family": "llama", "families": ["llama"],
            "parameter_size": "7.6B", "quantization_level": "Q4_K_M", "context_length": 8192,
        },
        "capabilities": ["completion", "tools", "insert"],
    }  # fmt: skip


def test_tags_of_models_nobody_describes() -> None:
    tag = tags()["whisper-1:latest"]
    assert tag["modified_at"] == "2025-06-15T15:06:40.000000000Z", "the time we were asked"
    assert 0 < tag["size"] < 1000
    assert tag["capabilities"] == []
    details = tag["details"]
    assert details["parameter_size"] == details["quantization_level"] == "unknown"


def test_families_tell_older_clients_of_pictures_and_embedders() -> None:
    assert tags()["eyes:4b"]["details"]["families"] == ["bridge", "clip"]
    embedder = tags()["text-embedding-3-small:latest"]["details"]
    assert embedder["families"] == ["bridge", "bert"]
    assert (embedder["context_length"], embedder["embedding_length"]) == (8192, 1536)


@pytest.mark.parametrize("name", [e.name for e in CATALOG.entries])
def test_show_has_what_every_client_needs(name: str) -> None:
    reply = shown(name, now=NOW)
    for field in ("license", "modelfile", "parameters", "template", "system"):
        assert isinstance(reply[field], str), field
    info, details = reply["model_info"], reply["details"]
    architecture = info["general.architecture"]
    assert details["family"] == details["families"][0] == architecture
    lengths = [key for key in info if "context_length" in key]
    assert lengths == [f"{architecture}.context_length"]
    assert info[lengths[0]] == entry(name).context_length
    assert type(info[lengths[0]]) is type(info["general.parameter_count"]) is int
    assert isinstance(reply["capabilities"], list)
    assert (".Tools" in reply["template"]) == ("tools" in reply["capabilities"])
    assert (".Suffix" in reply["template"]) == ("insert" in reply["capabilities"])
    assert reply["template"].count("{{") == reply["template"].count("}}") > 0
    assert any(".vision." in key for key in info) == ("vision" in reply["capabilities"])
    assert (f"{architecture}.embedding_length" in info) == ("embedding" in reply["capabilities"])
    assert not {"remote_host", "remote_model", "error"} & reply.keys()
    assert reply["modified_at"] == tags()[name]["modified_at"]
    assert {"context_length", "embedding_length"}.isdisjoint(details)


def test_every_block_of_the_template_is_closed() -> None:
    for name in ("chat", "eyes:4b", "text-embedding-3-small"):
        template = shown(name)["template"]
        opened = template.count("{{- if") + template.count("{{- range")
        assert opened == template.count("end }}")


def test_basenames_are_distinct_and_copilot_sees_the_name_it_asked_for() -> None:
    names = [shown(e.name)["model_info"]["general.basename"] for e in CATALOG.entries]
    assert names == ["coder", "chat", "eyes:4b", "text-embedding-3-small", "whisper-1"]
    copilot = {"user_agent": "GitHubCopilotChat/0.31"}
    assert shown("chat", **copilot)["model_info"]["general.basename"] == "chat:latest"
    asked = shown("chat", requested="A/Chat", **copilot)
    assert asked["model_info"]["general.basename"] == "A/Chat"
    assert shown("chat", requested="A/Chat")["model_info"]["general.basename"] == "chat"


def test_parameter_counts() -> None:
    assert shown("chat")["model_info"]["general.parameter_count"] == 7_600_000_000
    assert shown("eyes:4b")["model_info"]["general.parameter_count"] == 4_000_000_000
    assert shown("whisper-1")["model_info"]["general.parameter_count"] == 0


def test_a_model_of_ones_own_shows_what_its_settings_say() -> None:
    reply = shown("coder")
    assert reply["system"] == 'Say "é".\nTwice.'
    assert reply["license"] == "MIT"
    assert reply["messages"] == [
        {"role": "user", "content": "hi"}, {"role": "assistant", "content": "two\nlines"},
    ]  # fmt: skip
    assert reply["parameters"].splitlines() == [
        "temperature                    0.2",
        "num_ctx                        4096",
        "top_p                          1",
        'stop                           "<end>"',
        'stop                           "a\\"b"',
        "f16                            true",
    ]
    assert reply["modelfile"] == (
        "# Made by Ollama Bridge. The model itself runs elsewhere.\n"
        "# When that fails: a/eyes\n"
        "FROM a/chat\n"
        'SYSTEM """Say "é".\nTwice."""\n'
        'LICENSE """MIT"""\n'
        "PARAMETER temperature 0.2\n"
        "PARAMETER num_ctx 4096\n"
        "PARAMETER top_p 1\n"
        'PARAMETER stop "<end>"\n'
        'PARAMETER stop "a\\"b"\n'
        "PARAMETER f16 true\n"
        "MESSAGE user hi\n"
        'MESSAGE assistant """two\nlines"""\n'
    )
    own = Catalog(
        {"a": Provider("a", "")}, {"a": LIST}, {"t": Alias(("chat",), template="{{ .X }}")}, "a"
    )
    assert json.loads(models.show(own.resolve("t")))["template"] == "{{ .X }}"


def test_a_plain_model_invents_nothing() -> None:
    reply = shown("chat")
    assert (reply["license"], reply["parameters"], reply["system"]) == ("", "", "")
    assert "messages" not in reply
    assert reply["modelfile"].endswith("\nFROM chat:latest\n")


def test_verbose_tells_where_the_facts_come_from() -> None:
    info = shown("coder", verbose=True)["model_info"]
    assert {key: value for key, value in info.items() if key.startswith("bridge.")} == {
        "bridge.targets": ["a/chat", "a/eyes"],
        "bridge.source.context": "upstream",
        "bridge.source.capabilities": "upstream",
        "bridge.source.max_output": "upstream",
        "bridge.source.price": "upstream",
        "bridge.max_output": 100,
        "bridge.price.input": 0.5,
    }
    assert [key for key in info if "context_length" in key] == ["llama.context_length"]
    quiet = shown("coder")["model_info"]
    assert not any(key.startswith("bridge.") for key in quiet)


def test_ps_lists_the_longest_lived_first() -> None:
    soon = models.Loaded(entry("chat"), models.expiry(NOW, 300))
    never = models.Loaded(entry("eyes:4b"), models.expiry(NOW, -1))
    reply = json.loads(models.ps([soon, never]))["models"]
    assert [item["name"] for item in reply] == ["eyes:4b", "chat:latest"]
    assert reply[1] == {
        "name": "chat:latest",
        "model": "chat:latest",
        "size": 4_683_075_271,
        "digest": entry("chat").digest,
        "details": {
            "parent_model": "", "format": "", "family": "llama", "families": ["llama"],
            "parameter_size": "7.6B", "quantization_level": "Q4_K_M",
        },
        "expires_at": "2025-06-15T15:11:40.000000000Z",
        "size_vram": 0,
        "context_length": 8192,
    }  # fmt: skip
    assert reply[0]["expires_at"].startswith("2317-")
    assert models.ps([]) == b'{"models":[]}'


@pytest.mark.parametrize(
    ("seconds", "later"), [(0, 0), (0.5, SECOND // 2), (300, 300 * SECOND), (1e30, models.FOREVER)]
)
def test_expiry(seconds: float, later: int) -> None:
    assert models.expiry(NOW, seconds) == NOW + later
    assert models.expiry(NOW, -seconds - 1) == NOW + models.FOREVER


def test_the_official_client_reads_all_three() -> None:
    listed = ollama.ListResponse.model_validate_json(models.tags(CATALOG.entries, NOW))
    assert [model.model for model in listed.models] == [e.name for e in CATALOG.entries]
    for name in tags():
        reply = ollama.ShowResponse.model_validate_json(models.show(entry(name), verbose=True))
        assert tuple(reply.capabilities or ()) == entry(name).capabilities
        assert reply.modified_at is not None
        assert reply.modified_at.utcoffset() == timedelta(0)
    running = models.ps([models.Loaded(e, models.expiry(NOW, -1)) for e in CATALOG.entries])
    assert len(ollama.ProcessResponse.model_validate_json(running).models) == len(CATALOG.entries)


@pytest.mark.parametrize("path", recordings("ollama/tags/*.json") + recordings("ollama/ps/*.json"))
def test_listings_have_every_key_and_type_a_real_server_sends(path: Path | None) -> None:
    exchange = recorded(path)
    ours = models.tags(CATALOG.entries, NOW)
    if exchange["endpoint"] == "GET /api/ps":
        ours = models.ps([models.Loaded(e, NOW) for e in CATALOG.entries])
    for real in exchange["response"]["models"]:
        for item in json.loads(ours)["models"]:
            assert list(_missing(real, item)) == []


@pytest.mark.parametrize("path", recordings("ollama/show/*.json"))
def test_show_has_every_key_and_type_a_real_server_sends(path: Path | None) -> None:
    real = recorded(path)["response"]
    del real["model_info"]  # holds what a GGUF file holds; our part is tested above
    real.pop("projector_info", None)
    real.pop("tensors", None)
    assert list(_missing(real, shown("coder", now=NOW))) == []


def _missing(real: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for key, value in real.items():
        if key not in ours or type(ours[key]) is not type(value):
            yield key
        elif isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in _missing(value, ours[key]))


def test_catalogues_that_number_their_rows() -> None:
    """Their models go by name: Cloudflare's search and Databricks' endpoints (documented shapes)."""
    cloudflare = {
        "success": True,
        "result": [
            {
                "id": "41975cc2-c82e-4e98-b7b8-88ffb186a545",
                "source": 1,
                "name": "@cf/acme/chat-8b",
                "task": {"id": "c329a1f9", "name": "Text Generation"},
                "tags": [],
                "properties": [
                    {"property_id": "context_window", "value": "24000"},
                    {"property_id": "function_calling", "value": "true"},
                    {"property_id": "price", "value": [{"unit": "per M input tokens"}]},
                ],
            },
            {"id": "x", "name": "@cf/acme/embed", "task": {"name": "Text Embeddings"}},
            {
                "id": "y",
                "name": "@cf/acme/listen",
                "task": {"name": "Automatic Speech Recognition"},
            },
        ],
    }
    chat, embed, listen = read(cloudflare)
    assert (chat.id, chat.context_length) == ("@cf/acme/chat-8b", 24000)
    assert chat.capabilities == {"completion", "tools"}
    assert (embed.id, embed.capabilities) == ("@cf/acme/embed", {"embedding"})
    assert listen.capabilities == frozenset()
    endpoints = {
        "endpoints": [
            {"id": "0a1b", "name": "my-llama", "task": "llm/v1/chat", "state": {"ready": "READY"}},
            {"id": "0a1c", "name": "my-vectors", "task": "llm/v1/embeddings"},
            {"id": "0a1d", "name": "my-forest", "config": {}},
        ]
    }
    llama, vectors, forest = read(endpoints)
    assert (llama.id, llama.capabilities) == ("my-llama", {"completion"})
    assert (vectors.id, vectors.capabilities) == ("my-vectors", {"embedding"})
    assert (forest.id, forest.capabilities) == ("my-forest", None)


def test_github_models() -> None:
    (found,) = read(
        [
            {
                "id": "openai/gpt-4.1",
                "name": "OpenAI GPT-4.1",
                "publisher": "OpenAI",
                "capabilities": ["streaming", "tool-calling"],
                "limits": {"max_input_tokens": 1048576, "max_output_tokens": 32768},
                "supported_input_modalities": ["text", "image"],
                "supported_output_modalities": ["text"],
            }
        ]
    )
    assert (found.id, found.context_length, found.max_output) == ("openai/gpt-4.1", 1048576, 32768)
    assert found.capabilities == {"completion", "tools", "vision"}


LLAMA = {
    "models": [{"name": "m.gguf", "model": "m.gguf", "capabilities": ["completion"]}],
    "object": "list",
    "data": [{"id": "m.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 40960}}],
}


def running(told: Any, listed: Any = LLAMA) -> tuple[UpstreamModel, ...]:
    body = model_list.with_running(json.dumps(listed).encode(), json.dumps(told).encode())
    return model_list.read_list(body)


def test_what_a_server_runs_with_comes_before_what_a_model_was_trained_for() -> None:
    assert read(LLAMA)[0].context_length == 40960
    props = {
        "default_generation_settings": {"n_ctx": 4096},
        "modalities": {"vision": True, "audio": False},
        "chat_template_caps": {"supports_tools": True},
    }
    (found,) = running(props)
    assert found.context_length == 4096
    assert found.capabilities == {"completion", "vision", "tools"}
    (found,) = running({"default_generation_settings": {"n_ctx": 4096}})
    assert (found.context_length, found.capabilities) == (4096, {"completion"})


@pytest.mark.parametrize("path", recordings("openai-compatible/llamacpp/llamacpp-props-*.json"))
def test_recorded_props(path: Path | None) -> None:
    response = recorded(path)["response"]
    props = response.get("body", response)
    (found,) = running(json.loads(props) if isinstance(props, str) else props)
    assert found.context_length == 4096
    assert found.capabilities
    assert "vision" in found.capabilities | found.lacks


@pytest.mark.parametrize("told", [None, [], 3, {}, {"default_generation_settings": {"n_ctx": "x"}}])
def test_props_that_tell_nothing(told: Any) -> None:
    assert running(told) == read(LLAMA)


def test_props_of_a_server_with_several_models() -> None:
    several = {"data": [{"id": "a"}, {"id": "b"}]}
    assert running({"default_generation_settings": {"n_ctx": 4096}}, several) == read(several)
