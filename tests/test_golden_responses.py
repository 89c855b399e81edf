"""Every golden case of a chat that goes through /v1/responses: the request up, the reply down.

A case is a folder of four files; `settings.json` holds what else matters. GOLDEN_UPDATE=1 writes
the two that the bridge makes anew; they are then to be read by hand before they are committed.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from ollama_bridge.translate import chat_as_responses
from ollama_bridge.translate.responses_as_chat import Chunks

GOLDEN = Path(__file__).parent / "golden" / "by_responses"
UPDATE = os.environ.get("GOLDEN_UPDATE") == "1"
CASES = sorted(path.parent for path in GOLDEN.glob("*/chat_request.json"))
_event = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_the_cases_that_must_be_there() -> None:
    names = {path.name for path in CASES}
    common = {"text", "empty_reply", "tool_call_in_pieces", "two_parallel_tool_calls", "thinking"}
    streams = {"usage", "error", "cut_without_finish", "non_ascii", "stop_string", "too_long"}
    assert common | streams <= names


def test_request(case: Path) -> None:
    settings = _json(case / "settings.json") if (case / "settings.json").exists() else {}
    asked = _json(case / "chat_request.json")
    before = json.dumps(asked)
    sent = chat_as_responses.to_responses(asked, settings.get("left_out", ()))
    assert json.dumps(asked) == before, "the chat is needed again"
    _hold(case / "responses_request.json", f"{json.dumps(sent, indent=2, ensure_ascii=False)}\n")


def test_reply(case: Path) -> None:
    if not (case / "upstream.sse").exists():
        said = _chunks(case).whole((case / "upstream.json").read_bytes())
        _hold(case / "chat_reply.json", said.decode() + "\n")
        if b'"choices"' in said:
            ChatCompletion.model_validate_json(said)
        return
    upstream = (case / "upstream.sse").read_bytes()
    said = _streamed(case, [upstream])
    _hold(case / "chat_reply.sse", said.decode())
    assert _streamed(case, [upstream[at : at + 1] for at in range(len(upstream))]) == said
    assert _streamed(case, upstream.splitlines(keepends=True)) == said
    if b"[DONE]" in said and upstream[:1] != b"{":
        assert _streamed(case, [upstream + b'data: {"type":"response.x"}\n\n']) == said
    for event in re.findall(rb"data: (\{.*)", said):
        if b'"choices"' in event:
            ChatCompletionChunk.model_validate_json(event)


def test_the_upstreams_are_what_the_client_library_knows(case: Path) -> None:
    """All but those that are to be odd."""
    if not (case / "upstream.sse").exists() or case.name.startswith("odd"):
        return
    for event in re.findall(rb"data: (\{.*)", (case / "upstream.sse").read_bytes()):
        _event.validate_json(event)


def _chunks(case: Path) -> Chunks:
    asked = _json(case / "chat_request.json")
    stops = asked.get("stop", ())
    usage = asked.get("stream_options", {}).get("include_usage", False)
    return Chunks("m", stops=stops, wants_usage=usage, created=1_750_000_000)


def _streamed(case: Path, reads: list[bytes]) -> bytes:
    chunks = _chunks(case)
    return b"".join([chunks.feed(read) for read in reads]) + chunks.close()


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))


def _hold(file: Path, made: str) -> None:
    if UPDATE:
        file.write_text(made, "utf-8")
    assert made == file.read_text("utf-8")
