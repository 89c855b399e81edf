"""Every golden case in both directions: the request as it is sent on, the reply as it comes back.

A case is a folder of four files. GOLDEN_UPDATE=1 writes the two that the bridge makes anew; they
are then to be read by hand, against Ollama's API, before they are committed.
"""

import json
import os
import re
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recordings import rules

from ollama_bridge.providers.provider import EFFORTS
from ollama_bridge.translate import chat, generate, lines
from ollama_bridge.translate.reply import Reply
from ollama_bridge.translate.stats import Stopwatch
from ollama_bridge.wire import ollama, stamp

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("GOLDEN_UPDATE") == "1"
MOMENT = 1_767_322_800_000_000_000
MILLISECOND = 1_000_000
CASES = sorted(path.parent for path in GOLDEN.glob("*/*/ollama_request.json"))


class Sent(NamedTuple):
    """What goes up, and what is needed to read the reply."""

    request: ollama.ChatRequest | ollama.GenerateRequest
    path: str
    body: dict[str, Any]
    names: dict[str, str]


@pytest.fixture(params=CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_each_endpoint_has_the_cases_every_endpoint_must_have():
    common = {"text", "empty_reply", "thinking", "think_tags", "error", "non_ascii"}
    streams = common | {"usage_only_chunk", "cut_without_finish"}
    tools = {"tool_call_in_pieces", "two_parallel_tool_calls"}
    assert streams | tools <= _names("chat_stream")
    assert streams <= _names("generate_stream")
    assert common | {"two_tool_calls"} <= _names("chat_whole")
    assert common <= _names("generate_whole")


def test_request(case: Path):
    sent = upward(case)
    written = json.dumps({"path": sent.path} | sent.body, indent=2, ensure_ascii=False) + "\n"
    _hold(case / "openai_request.json", written.encode())


def test_reply(case: Path):
    sent = upward(case)
    if sent.body["stream"]:
        upstream = (case / "upstream.sse").read_bytes()
        said = streamed(sent, [upstream])
        rules.streamed(said)
        _hold(case / "ollama_reply.ndjson", said)
        one_by_one = [upstream[at : at + 1] for at in range(len(upstream))]
        assert streamed(sent, one_by_one) == said
        assert streamed(sent, upstream.splitlines(keepends=True)) == said
        assert streamed(sent, re.findall(rb".+?\n\r?\n|.+", upstream, re.DOTALL)) == said
        if b"[DONE]" in upstream:
            assert streamed(sent, [upstream + b'data: {"choices":[{"text":"x"}]}\n\n']) == said
    else:
        said = whole(sent, (case / "upstream.json").read_bytes())
        if not said.startswith(b'{"error"'):
            rules.whole(said)
        _hold(case / "ollama_reply.json", said)


def upward(case: Path) -> Sent:
    """The request as it goes to the upstream; `provider.json` holds its tables where they matter."""
    body = (case / "ollama_request.json").read_bytes()
    own = case / "provider.json"
    tables: dict[str, Any] = {"extra": {}, "efforts": EFFORTS}
    if own.exists():
        tables |= json.loads(own.read_text("utf-8"))
    if case.parent.name.startswith("chat"):
        asked = ollama.decode(body, ollama.ChatRequest)
        sent, names = chat.to_openai(asked, "upstream-model", **tables)
        return Sent(asked, generate.CHAT, sent, names)
    wanted = ollama.decode(body, ollama.GenerateRequest)
    sent = generate.to_openai(wanted, "upstream-model", **tables)
    return Sent(wanted, generate.path(wanted), sent, {})


def streamed(sent: Sent, reads: list[bytes]) -> bytes:
    """The lines for an upstream's stream that came in these reads."""
    writer = lines.Lines(_form(sent), sent.request.model, _stamp())
    answer = _answer(sent, writer)
    said = b"".join([answer.feed(data) for data in reads])
    return said + answer.close()


def timeless(said: bytes) -> bytes:
    """Lines without their moments, which depend on the reads: those of one read have the same."""
    return re.sub(rb'"created_at":"[^"]+"', b'"created_at":""', said)


def whole(sent: Sent, body: bytes) -> bytes:
    """The object for an upstream's whole reply."""
    answer = _answer(sent, lines.Whole(_form(sent), sent.request.model, _stamp()))
    return answer.whole(body) + answer.close()


def _answer(sent: Sent, writer: lines.Lines | lines.Whole) -> Reply:
    ticks = count(0, MILLISECOND)
    watch = Stopwatch(lambda: next(ticks))
    watch.sent()
    return Reply(
        writer,
        watch,
        provider="lab",
        prompt_characters=48,
        show_thinking=sent.request.think is not False,
        names=sent.names,
        top_logprobs=sent.request.top_logprobs,
        seed="golden",
    )


def _form(sent: Sent) -> lines.Form:
    return lines.CHAT if isinstance(sent.request, ollama.ChatRequest) else lines.GENERATE


def _stamp() -> lines.Stamp:
    """A clock of its own: the same lines, however the reads are cut, have the same stamps."""
    ticks = count(MOMENT, MILLISECOND)
    return stamp.stamper(lambda: next(ticks))


def _names(endpoint: str) -> set[str]:
    return {path.name for path in CASES if path.parent.name == endpoint}


def _hold(file: Path, made: bytes) -> None:
    if UPDATE:
        file.write_bytes(made)
    assert made == file.read_bytes()
