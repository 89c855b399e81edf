"""Every recorded exchange as a client meets it: a real server says it again, the daemon is asked.

The server sends the recorded status, headers and reads. The client asks in Ollama's own way and in
OpenAI's, for a stream and for a whole reply; `reader` tells what each answer should say.
"""

import contextlib
import json
import math
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import matrix
import pytest
from daemons import Home, end, until_ready
from recordings import likeness, reader, rules
from recordings.replaying import Replay
from servers import served

from ollama_bridge.client import connect

CASES = reader.cases("openai-compatible")
LISTS = ("models", "model", "props")
"""Kinds that answer GET; the daemon meets them where it asks for a provider's list."""

Case = dict[str, Any]
Recorded = Callable[[str, object], None]


class Daemon:
    """A daemon in front of the recordings, and a client of it."""

    def __init__(self, home: Home, client: httpx.Client) -> None:
        self.home = home
        self.client = client

    def post(self, path: str, body: Case) -> httpx.Response:
        return self.client.post(path, json=body)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(served(Replay({c["id"]: reader.load(c) for c in CASES})))
        home = Home(tmp_path_factory.mktemp("replayed"))
        home.write(_settings(url))
        process = home.daemon()
        stack.callback(end, process)
        until_ready(process)
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log blocks it
        base = f"http://127.0.0.1:{home.note()['port']}"
        client = httpx.Client(base_url=base, trust_env=False, timeout=10)
        yield Daemon(home, stack.enter_context(client))


def _settings(url: str) -> str:
    ids = [case["id"] for case in CASES if case["kind"] not in LISTS]
    plain = 'key = "none"\nretries = 0\n'
    rows = [f'[providers.lab]\nbase_url = "{url}/v1"\n{plain}models = {json.dumps(ids)}\n']
    rows += [
        f'[providers.{case["id"]}]\nbase_url = "{url}/of/{case["id"]}/v1"\n{plain}'
        for case in CASES
        if case["kind"] in LISTS
    ]
    return 'default_provider = "lab"\n' + "".join(rows)


def _each(*kinds: str) -> pytest.MarkDecorator:
    found = [pytest.param(case, id=case["id"]) for case in CASES if case["kind"] in kinds]
    return pytest.mark.parametrize("case", found)


def test_the_recordings_are_there() -> None:
    if not CASES:
        end = pytest.fail if "CI" in os.environ else pytest.skip
        end("no recordings beside the project: shared/recordings")


def test_every_recording_is_of_a_kind_that_is_replayed() -> None:
    kinds = {"chat", "completions", "embeddings", *LISTS}
    assert {case["kind"] for case in CASES} <= kinds


@_each("chat", "completions")
def test_answers(daemon: Daemon, case: Case, record_property: Recorded) -> None:
    record_property("recording", f"{case['kind']} over HTTP")
    recording = reader.load(case)
    expected = _expected(recording)
    for stream in (True, False):
        _native(daemon, case, expected, stream=stream)
        _passed(daemon, case, recording, expected, stream=stream)


def _expected(recording: Case) -> reader.Said:
    if recording["status"] != 200:
        return reader.Said(error=_words(reader.message(recording["response"])))
    if recording.get("sse") is not None:
        return reader.stream(recording["sse"])
    return reader.whole(recording["response"])


def _words(text: str) -> str:
    """An error's text as it may be shown: on one line, not endless, without keys."""
    return re.sub(r"\bsk-[\w*-]+", "[hidden]", " ".join(text.split()))[:1000]


def _native(daemon: Daemon, case: Case, expected: reader.Said, *, stream: bool) -> None:
    asked: Case = {"model": case["id"], "stream": stream}
    if case["kind"] == "chat":
        answer = daemon.post("/api/chat", asked | {"messages": [_user("Hello")]})
    else:
        answer = daemon.post("/api/generate", asked | {"prompt": "Hello", "raw": True})
    if answer.status_code != 200:
        assert expected.error, answer.text
        assert expected.error in answer.json()["error"]
        assert set(answer.json()) == {"error"}
        return
    assert not expected.error or stream
    told = rules.streamed(answer.content) if stream else [rules.whole(answer.content)]
    kind = "application/x-ndjson" if stream else "application/json; charset=utf-8"
    assert answer.headers["content-type"] == kind
    likeness.compare(told, expected)
    assert all(line["model"] == case["id"] for line in told if "error" not in line)


def _user(text: str) -> Case:
    return {"role": "user", "content": text}


def _passed(
    daemon: Daemon, case: Case, recording: Case, expected: reader.Said, *, stream: bool
) -> None:
    asked = _request(case, recording, stream=stream)
    path = "chat/completions" if case["kind"] == "chat" else "completions"
    answer = daemon.post(f"/v1/{path}", asked)
    saved = reader.written_calls(_refusal(recording), _offered(asked))
    if saved:
        expected = reader.Said(calls=saved, done_reason="stop")
    if answer.status_code != 200:
        assert expected.error, answer.text
        assert not expected.written
        told = answer.json()["error"]["message"]
        # what the first request has taught is told the next ones at once
        assert expected.error in told or "does not support tools" in told
        return
    if stream:
        assert answer.headers["content-type"].startswith("text/event-stream")
        _same(reader.stream(answer.text), expected)
        if recording.get("sse") is not None and not expected.error and not saved:
            wanted = [_renamed(event, case["id"]) for event in _events(recording["sse"])]
            _as_sent(_events(answer.text), wanted)
        return
    whole = answer.json()
    assert whole.get("model", case["id"]) == case["id"]
    _same(reader.whole(whole), expected)
    if recording.get("sse") is None and not saved:
        _as_sent([whole], [_renamed(recording["response"], case["id"])])


def _refusal(recording: Case) -> Any:
    """The error, wherever it stands."""
    if recording.get("sse") is None:
        return recording["response"]
    return next((event for event in _events(recording["sse"]) if event.get("error")), {})


def _offered(asked: Case) -> list[str]:
    return [tool["function"]["name"] for tool in asked.get("tools") or [] if "function" in tool]


def _request(case: Case, recording: Case, *, stream: bool) -> Case:
    """What was asked then, where it is known."""
    plain = {"messages": [_user("Hello")]} if case["kind"] == "chat" else {"prompt": "Hello"}
    known = recording["request"] or {}
    asked = dict(known if plain.keys() <= known.keys() else plain)
    asked |= {"model": case["id"], "stream": stream}
    asked.pop("stream_options", None)
    return asked | ({"stream_options": {"include_usage": True}} if stream else {})


def _same(told: reader.Said, expected: reader.Said) -> None:
    if expected.error and not expected.written:
        assert expected.error in told.error
        return
    for name in ("text", "thinking", "calls", "written", "done_reason", "usage", "error"):
        mine, theirs = getattr(told, name), getattr(expected, name)
        if mine != theirs:
            pytest.fail(f"{name}: {str(mine)[:600]!r} instead of {str(theirs)[:600]!r}")


def _as_sent(told: list[Any], wanted: list[Any]) -> None:
    """Nothing was changed; a difference is shown by itself, the whole would take minutes."""
    assert len(told) == len(wanted)
    different = [pair for pair in zip(told, wanted, strict=True) if pair[0] != pair[1]]
    if different:
        mine, theirs = (json.dumps(value)[:600] for value in different[0])
        pytest.fail(f"told {mine} instead of {theirs}")


def _events(text: str) -> list[Any]:
    return [json.loads(payload) for payload in reader.events(text) if payload.strip() != "[DONE]"]


def _renamed(value: Case, name: str) -> Case:
    """The same under the client's name, with thoughts under Ollama's name for them as well."""
    told = json.loads(json.dumps(value))
    if "model" in told:
        told["model"] = name
    for choice in told.get("choices") or []:
        for part in (choice.get("delta"), choice.get("message")):
            if part and isinstance(part.get("reasoning_content"), str) and "reasoning" not in part:
                part["reasoning"] = part["reasoning_content"]
    return told


@_each("embeddings")
def test_embeddings(daemon: Daemon, case: Case, record_property: Recorded) -> None:
    record_property("recording", "embeddings over HTTP")
    recording = reader.load(case)
    if case["status"] != 200:
        _refused_embeddings(daemon, case, recording)
        return
    expected = reader.vectors(recording)
    texts = ["some text"] * len(expected)
    native = daemon.post("/api/embed", {"model": case["id"], "input": texts}).json()
    assert native["embeddings"] == [pytest.approx(_unit(row), abs=1e-6) for row in expected]
    tokens = (recording["response"].get("usage") or {}).get("prompt_tokens")
    assert tokens is None or native["prompt_eval_count"] == tokens
    for form in ("float", "base64"):
        asked = {"model": case["id"], "input": texts, "encoding_format": form}
        passed = daemon.post("/v1/embeddings", asked).json()
        assert passed["model"] == case["id"]
        assert all(
            isinstance(row["embedding"], str) == (form == "base64") for row in passed["data"]
        )
        found = reader.vectors({"provider": "", "response": passed})
        assert found == [pytest.approx(row, rel=1e-6) for row in expected]


def _refused_embeddings(daemon: Daemon, case: Case, recording: Case) -> None:
    expected = _words(reader.message(recording["response"]))
    asked = {"model": case["id"], "input": ["some text"]}
    native, passed = daemon.post("/api/embed", asked), daemon.post("/v1/embeddings", asked)
    assert native.status_code >= 400
    assert passed.status_code >= 400
    assert expected in native.json()["error"]
    assert expected in passed.json()["error"]["message"]


def _unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in row))
    return [number / length for number in row]


@_each(*LISTS)
def test_lists(daemon: Daemon, case: Case, record_property: Recorded) -> None:
    """One model's facts and llama.cpp's `/props` are no lists, and are told to be none."""
    record_property("recording", f"{case['kind']} over HTTP")
    wanted = [f"{case['id']}/{_tagged(name)}" for name in reader.ids(reader.load(case))]
    daemon.post("/api/show", {"model": f"{case['id']}/any"})  # waits for this provider's list
    names = [model["id"] for model in daemon.client.get("/v1/models").json()["data"]]
    told = [name for name in names if name.startswith(f"{case['id']}/")]
    assert sorted(told) == sorted(wanted)
    listed = {model["name"] for model in daemon.client.get("/api/tags").json()["models"]}
    for name in set(told) - listed:  # what no route of Ollama's can use (quirk J7)
        assert daemon.post("/api/show", {"model": name}).json()["capabilities"] == []
    state = connect(daemon.home.state).status()["providers"]
    errors = {row["name"]: row["error"] for row in state}
    assert bool(errors[case["id"]]) == (not wanted)
    for name in {*wanted[:2], *wanted[-2:]}:
        shown = daemon.post("/api/show", {"model": name}).json()
        family = shown["model_info"]["general.architecture"]
        assert shown["model_info"][f"{family}.context_length"] > 0
        one = daemon.client.get("/v1/models/" + quote(name, safe="")).json()
        assert one["id"] == name


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


KINDS = ("streams", "whole", "refusals", "text completions", "embeddings", "lists")
PROVIDERS = sorted({case["provider"] for case in CASES})
TABLE = matrix.section(
    "Recordings",
    "How many recorded exchanges of a service are said again to the daemon, each asked for as a stream "
    "and whole, in Ollama's way and in OpenAI's (`tests/recordings/test_over_http.py`); a dash where "
    "there is none of the kind.",
    ("service",),
    KINDS,
)


def _kind(case: Case) -> str:
    if case["kind"] in LISTS:
        return "lists"
    if case["status"] != 200:
        return "refusals"
    if case["kind"] == "chat":
        return "streams" if case["stream"] else "whole"
    return {"completions": "text completions"}.get(case["kind"], case["kind"])


@pytest.mark.parametrize("provider", PROVIDERS)
def test_all_recordings_of_a_service_are_counted(provider: str) -> None:
    found = Counter(_kind(case) for case in CASES if case["provider"] == provider)
    assert set(found) <= set(KINDS)
    for kind in KINDS:
        TABLE.see((provider,), kind, str(found[kind] or "-"))


def test_the_table_has_no_empty_cell() -> None:
    test_the_recordings_are_there()
    matrix.check(TABLE, [(provider,) for provider in PROVIDERS])
