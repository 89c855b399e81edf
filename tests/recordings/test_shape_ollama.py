"""The shape of our replies beside those of real Ollama servers: same keys, types and omissions."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from recordings import reader, rules

from ollama_bridge.catalog import Entry
from ollama_bridge.providers.provider import Provider, Target
from ollama_bridge.translate import embed, lines, models
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Stopwatch

CASES = reader.cases("ollama")
LAB = Provider(name="lab", url="http://127.0.0.1:9/v1", key="none")
GENERATING = {"api/chat": lines.CHAT, "api/generate": lines.GENERATE}
INFORMING = {"api/tags": models.tags, "api/ps": models.ps, "api/show": models.show}
OTHER = {
    "api/pull": "tells of layers we do not have, see tests/server/test_manage.py",
    "api/create": "tells of layers we do not have, see tests/server/test_manage.py",
}

ADDED = {
    "message.tool_calls[].id": "Ollama had none before mid-2025 (ollama-api 2.3)",
    "message.tool_calls[].function.index": "left out by some builds (ollama-api 2.3)",
    "prompt_eval_count": "Ollama leaves out zero, on which clients crash (trap 33)",
    "models[].capabilities": "newer than the recordings; hides models where it is missing (trap 17)",
    "models[].details.context_length": "newer than the recordings (ollama-api 2.1)",
    "models[].context_length": "newer than the recordings (ollama-api 3.3)",
    "system": "apps in Swift refuse a reply without it (ollama-api 13)",
    "license": "the same",
    "parameters": "the same",
    "capabilities": "newer than one of the recordings (trap 17)",
    "modified_at": "not in one recording; today's server always sends it (ollama-api 3.4)",
}
"""Keys we send although the recorded server did not."""

LEFT_OUT = {
    "context": "no tokens are made up (trap 47)",
}
"""Keys the recorded server sent and we do not."""


def _each(*kinds: str) -> pytest.MarkDecorator:
    found = [pytest.param(case, id=case["id"]) for case in CASES if case["kind"] in kinds]
    return pytest.mark.parametrize("case", found)


def test_every_recording_is_compared():
    known = {*GENERATING, *INFORMING, *OTHER, "api/embed", "api/embeddings", "api/version"}
    assert {case["kind"] for case in CASES} <= known


@_each(*GENERATING)
def test_chat_and_generate(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", case["kind"])
    recording = reader.load(case)
    form = GENERATING[case["kind"]]
    if recording["status"] != 200:
        ours = json.loads(lines.error("some reason"))
        assert list(_differences(recording["response"], ours)) == []
    elif recording.get("ndjson"):
        said = [json.loads(line) for line in recording["ndjson"].splitlines()]
        _compare_lines(said, rules.streamed(_streamed(said, form)))
    else:
        _compare_whole(recording["response"], form)


@_each("api/embed")
def test_embed(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", case["kind"])
    recorded = reader.load(case)["response"]
    ours = lines.error("x") if "error" in recorded else _embedded(recorded["embeddings"])
    assert list(_differences(recorded, json.loads(ours))) == []


@_each("api/embeddings")
def test_embeddings(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", case["kind"])
    recorded = reader.load(case)["response"]
    ours = embed.to_ollama_legacy(embed.Vector(recorded["embedding"]))
    assert list(_differences(recorded, json.loads(ours))) == []


@_each(*INFORMING)
def test_facts_about_models(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", case["kind"])
    given = {"api/tags": [_entry()], "api/ps": [models.Loaded(_entry(), 1)], "api/show": _entry()}
    extra = {"now": 1} if case["kind"] == "api/tags" else {}
    ours = INFORMING[case["kind"]](given[case["kind"]], **extra)
    assert list(_differences(reader.load(case)["response"], json.loads(ours))) == []


@_each("api/version")
async def test_version(case: dict[str, Any], record_property: Callable[[str, object], None]):
    record_property("recording", case["kind"])
    transport = httpx.ASGITransport(bridge_app(LAB))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        ours = (await client.get("/api/version")).json()
    assert list(_differences(reader.load(case)["response"], ours)) == []


@_each(*OTHER)
def test_other_kinds_are_counted(
    case: dict[str, Any], record_property: Callable[[str, object], None]
):
    record_property("recording", f"{case['kind']} ({OTHER[case['kind']]})")
    assert reader.load(case)["ndjson"]


def _compare_lines(recorded: list[dict[str, Any]], ours: list[dict[str, Any]]) -> None:
    """Each line with the first of ours that says the same sort of thing."""
    by_kind = {_kind(line): line for line in reversed(ours)}
    for line in recorded:
        if _says_nothing(line):
            continue  # real servers send lines that add nothing; we never do
        assert list(_differences(line, by_kind[_kind(line)])) == []


def _compare_whole(recorded: dict[str, Any], form: lines.Form) -> None:
    reason = recorded.setdefault("done_reason", "load")  # one example is older than the key
    if reason in ("load", "unload"):
        ours = lines.idle(form, "m", _stamp, reason)
    else:
        ours = _whole(recorded, form)
    assert list(_differences(recorded, json.loads(ours))) == []


def _differences(recorded: Any, ours: Any) -> Iterator[str]:
    here, there = set(_shape(ours)), set(_shape(recorded))
    for path, kind in sorted(here ^ there):
        allowed = ADDED if (path, kind) in here else LEFT_OUT
        if path.removesuffix("[]") not in allowed:
            yield f"{'ours only' if (path, kind) in here else 'recorded only'}: {path}: {kind}"


def _shape(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key with the type of its value; what a model or a file chose is only an object."""
    if path:
        yield path, type(value).__name__
    if isinstance(value, dict) and not path.endswith(("arguments", "model_info")):
        for key, item in value.items():
            yield from _shape(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value[:1]:
            yield from _shape(item, f"{path}[]")


def _kind(line: dict[str, Any]) -> str:
    said = rules.message(line)
    if line["done"]:
        return "last"
    return next(key for key in ("tool_calls", "content", "thinking") if said.get(key))


def _says_nothing(line: dict[str, Any]) -> bool:
    said = rules.message(line)
    return not line["done"] and not any(
        said.get(key) for key in ("tool_calls", "content", "thinking")
    )


def _streamed(recorded: Iterable[dict[str, Any]], form: lines.Form) -> bytes:
    """Our lines for an upstream that says the same."""
    reply = _reply(lines.Lines(form, "m", _stamp))
    # one model's tags were left in its text; behind other text they are text to us too
    said = reply.feed(_event({"content": "."}))
    said += b"".join([reply.feed(_event(_delta(line))) for line in recorded])
    return said + reply.feed(_event({}, finish_reason="stop")) + reply.close()


def _whole(recorded: dict[str, Any], form: lines.Form) -> bytes:
    reply = _reply(lines.Whole(form, "m", _stamp))
    choice = {"index": 0, "message": _delta(recorded), "finish_reason": recorded["done_reason"]}
    return reply.whole(json.dumps({"choices": [choice]}).encode()) + reply.close()


def _event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode()


def _delta(line: dict[str, Any]) -> dict[str, Any]:
    said = rules.message(line)
    calls = [
        {"index": index, "id": f"call{index}", "function": call["function"]}
        for index, call in enumerate(said.get("tool_calls", []))
    ]
    delta = {"content": said["content"], "reasoning": said.get("thinking")}
    return delta | ({"tool_calls": calls} if calls else {})


def _reply(writer: lines.Lines | lines.Whole) -> Reply:
    ticks = count(1_000_000, 1_000)
    return Reply(writer, Stopwatch(lambda: next(ticks)))


def _stamp() -> str:
    return "2026-01-02T03:04:05.000000006Z"


def _embedded(vectors: list[list[float]]) -> bytes:
    return embed.to_ollama("m", [embed.Vector(vector) for vector in vectors], 3, 2, 1)


def _entry() -> Entry:
    return Entry(
        name="m:latest",
        targets=(Target(LAB, "m"),),
        capabilities=("completion", "tools"),
        capabilities_source="upstream",
        context_length=8192,
        context_source="upstream",
        digest="ab" * 32,
        created=1_700_000_000,
        family="llama",
        parameter_size="1.2B",
        quantization="Q8_0",
    )
