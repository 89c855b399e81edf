"""The 48 traps of Ollama's API, each against a live bridge: what other servers get wrong.

The numbers are those of the reference (ollama-api, section 14).
"""

import asyncio
import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import ollama
import pytest
from bridges import bridge_app
from contract.conftest import Lab
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, THOUGHT, TOOL, VECTOR
from contract.talk import Ask, Said
from fake_upstream import Act, Call, FakeUpstream
from ollama._client import _parse_host
from servers import served

from ollama_bridge import environment
from ollama_bridge.providers.provider import Provider

Bridged = Callable[..., tuple[str, FakeUpstream]]

CHAT, GENERATE, SHOW, EMBED, TAGS, PS = (
    f"/api/{name}" for name in ("chat", "generate", "show", "embed", "tags", "ps")
)
V1_CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HI = [{"role": "user", "content": "hi"}]
ASK = {"model": "coder", "messages": HI}
PROMPT = {"model": "coder", "prompt": "hi"}
NDJSON, JSON = "application/x-ndjson", "application/json"
NO_MANIFEST = {"error": "pull model manifest: file does not exist"}
SUCCESS = {"status": "success"}

PNG, JPEG = b"\x89PNG\r\n\x1a\n" + bytes(16), b"\xff\xd8\xff\xe0" + bytes(16)
GIF, WEBP = b"GIF89a" + bytes(16), b"RIFF\x20\x00\x00\x00WEBPVP8 " + bytes(16)
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


@pytest.fixture(scope="module")
def script() -> Iterator["Script"]:
    """A bridge whose upstream plays whatever part a test gives it."""
    upstream = FakeUpstream()
    with served(upstream) as up:
        provider = Provider(name="fake", url=f"{up}/v1", key="none")
        with served(bridge_app(provider)) as url:
            yield Script(url, upstream)


class Script(NamedTuple):
    """The bridge's address, and the upstream that plays."""

    url: str
    upstream: FakeUpstream

    def play(self, act: Act) -> str:
        self.upstream.act = act
        return self.url


@pytest.fixture
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    """Asks the bridge in front of the strict service."""
    return talk(lab.url)


def post(url: str, path: str, body: Any) -> Said:
    """Asks any other bridge, once."""
    reply = httpx.post(url + path, json=body, timeout=20)
    return Said(reply.status_code, dict(reply.headers), reply.content)


@contextmanager
def official(url: str) -> Iterator[ollama.Client]:
    """The official Python client."""
    client = ollama.Client(url)
    try:
        yield client
    finally:
        client._client.close()


def chat(url: str, model: str = "m", **fields: Any) -> Said:
    return post(url, CHAT, {"model": model, "messages": HI, **fields})


def says(*deltas: dict[str, Any], finish: str | None = "stop", usage: Any = None) -> Act:
    """An upstream whose stream holds these deltas."""

    async def act(call: Call) -> None:
        await call.start()
        for delta in deltas:
            await call.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        await call.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if usage is not None:
            await call.event({"choices": [], "usage": usage})
        await call.write("data: [DONE]\n\n", more=False)

    return act


def fails(status: int, body: bytes, kind: str = JSON) -> Act:
    """An upstream that refuses everything."""

    async def act(call: Call) -> None:
        await call.start(status, kind)
        await call.write(body, more=False)

    return act


def broken(script: Script, error: Any) -> tuple[httpx.Response, list[str]]:
    """The lines of an answer whose upstream sends that error once its first line is there."""
    proceed = threading.Event()

    async def act(call: Call) -> None:
        await call.start()
        await call.text("All is well")
        await asyncio.to_thread(proceed.wait, 10)
        await call.event({"error": error})
        await call.write("", more=False)

    url = script.play(act)
    lines = []
    with httpx.stream("POST", url + CHAT, json={"model": "m", "messages": HI}) as reply:
        for line in reply.iter_lines():
            lines.append(line)
            proceed.set()
    return reply, lines


def text_of(lines: Iterable[dict[str, Any]], key: str = "content") -> str:
    return "".join(line["message"].get(key, "") for line in lines)


def by_name(reply: Said) -> dict[str, dict[str, Any]]:
    return {model["name"]: model for model in reply.json()["models"]}


def error_of(said: Said) -> str:
    """An error in Ollama's form: one line of JSON that holds a sentence and nothing else."""
    assert said.kind == JSON
    assert said.body.strip()
    assert b"\n" not in said.body
    assert list(said.json()) == ["error"]
    sentence: str = said.json()["error"]
    assert isinstance(sentence, str)
    assert sentence
    return sentence


def test_trap_01_stream_defaults(ask: Ask) -> None:
    """Who leaves `stream` out gets a stream from /api and one object from /v1."""
    for path, body in ((CHAT, ASK), (GENERATE, PROMPT), ("/api/pull", {"model": "coder"})):
        said = ask("POST", path, body)
        assert said.kind == NDJSON
        assert len(said.lines()) > 1
        whole = ask("POST", path, {**body, "stream": False})
        assert whole.kind == JSON
        assert isinstance(whole.json(), dict)
    for path, body in (
        (V1_CHAT, ASK),
        ("/v1/completions", PROMPT),
        ("/v1/responses", {"model": "coder", "input": "hi"}),
        (MESSAGES, {**ASK, "max_tokens": 9}),
    ):
        assert ask("POST", path, body).kind == JSON, path
        assert ask("POST", path, {**body, "stream": True}).kind == "text/event-stream", path


@pytest.mark.parametrize("stream", [{}, {"stream": True}, {"stream": False}])
@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        (GENERATE, {"prompt": ""}, "load"),
        (GENERATE, {}, "load"),
        (GENERATE, {"prompt": "", "keep_alive": 0}, "unload"),
        (CHAT, {"messages": []}, "load"),
        (CHAT, {"messages": None}, "load"),
        (CHAT, {"keep_alive": "0s"}, "unload"),
    ],
)
def test_trap_02_loading_is_one_object_and_free(
    lab: Lab, ask: Ask, path: str, body: dict[str, Any], reason: str, stream: dict[str, Any]
) -> None:
    """Loading and unloading are answered at once, in one object, without asking the provider."""
    before = len(lab.upstream.calls)
    said = ask("POST", path, {"model": "coder", **body, **stream})
    assert said.kind == JSON
    assert not said.body.endswith(b"\n")
    assert (said.json()["done"], said.json()["done_reason"]) == (True, reason)
    assert len(lab.upstream.calls) == before


def test_trap_03_streams_are_ascii(ask: Ask, lab: Lab, script: Script) -> None:
    """A reader that cuts lines where Unicode says so still gets whole lines."""
    said = ask("POST", CHAT, ASK)
    assert said.body.isascii()
    with httpx.stream("POST", lab.url + CHAT, json=ASK) as reply:
        lines = [json.loads(line) for line in reply.iter_lines()]
    assert text_of(lines) == SPOKEN
    odd = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei"
    for delta in ({"content": odd}, {"reasoning_content": odd}):
        url = script.play(says(delta, {"content": "."}))
        reply = httpx.post(url + CHAT, json={"model": "m", "messages": HI})
        found = [json.loads(line) for line in reply.text.splitlines()]
        assert text_of(found, "thinking" if "reasoning_content" in delta else "content")[:17] == odd
    _, raw = broken(script, {"message": f"bad {odd}"})
    assert json.loads(raw[-1])["error"]


def test_trap_04_nothing_but_objects_in_a_stream(ask: Ask) -> None:
    """No blank lines, and nothing of server-sent events, on any native route."""
    for path, body in (
        (CHAT, ASK),
        (
            CHAT,
            {"model": "coder", "messages": [{"role": "user", "content": ASK_TWO}], "tools": [TOOL]},
        ),
        (GENERATE, PROMPT),
        ("/api/pull", {"model": "coder"}),
        ("/api/push", {"model": "coder"}),
    ):
        *lines, rest = ask("POST", path, body).body.split(b"\n")
        assert rest == b""
        assert lines
        assert all(line[:1] == b"{" and line[-1:] == b"}" for line in lines)


def test_trap_05_every_chat_line_has_role_and_content(ask: Ask) -> None:
    """Also those that carry thinking, a tool call, or only the counters."""
    question = [{"role": "user", "content": ASK_TWO}]
    for body in (ASK, {"model": "coder", "messages": question, "tools": [TOOL]}):
        for line in ask("POST", CHAT, body).lines():
            assert line["message"]["role"] == "assistant"
            assert isinstance(line["message"]["content"], str)
    whole = ask("POST", CHAT, {**ASK, "stream": False}).json()
    assert whole["message"]["role"] == "assistant"


def test_trap_06_every_line_says_whether_it_is_the_last(ask: Ask) -> None:
    for path, body in ((CHAT, ASK), (GENERATE, PROMPT)):
        *lines, last = ask("POST", path, body).lines()
        assert all(line["done"] is False and "done_reason" not in line for line in lines)
        assert (last["done"], last["done_reason"]) == (True, "stop")
    progress = ask("POST", "/api/pull", {"model": "coder"}).lines()
    assert progress[-1] == SUCCESS
    assert all(line["status"] for line in progress)


def test_trap_07_errors_are_plain_strings(ask: Ask, script: Script) -> None:
    """A provider's error object is flattened, and nothing else ever has a key `error`."""
    for path, body in ((CHAT, ASK), (GENERATE, PROMPT), ("/api/pull", {"model": "coder"})):
        assert not any("error" in line for line in ask("POST", path, body).lines())
    shapes = [
        {"error": {"message": "no luck", "type": "x", "code": None}},
        {"error": "no luck"},
        {"message": "no luck"},
        {"detail": "no luck"},
        [{"error": {"message": "no luck"}}],
    ]
    for shape in shapes:
        url = script.play(fails(400, json.dumps(shape).encode()))
        assert "no luck" in error_of(chat(url))
    _, lines = broken(script, {"message": "no luck", "code": 500})
    assert list(json.loads(lines[-1])) == ["error"]
    assert "no luck" in json.loads(lines[-1])["error"]


@pytest.mark.parametrize("bare", ["404", "[1]", "null", "true", '"x"', "1.5"])
def test_trap_08_an_error_is_never_json_itself(script: Script, bare: str) -> None:
    """The official Python client reads the text as JSON once more and trips over a number."""
    url = script.play(fails(400, json.dumps({"error": {"message": bare}}).encode()))
    with official(url) as client, pytest.raises(ollama.ResponseError, match=re.escape(bare)):
        client.chat("m", HI)
    _, lines = broken(script, {"message": bare})
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(json.loads(lines[-1])["error"])


def test_trap_09_the_status_tells_until_the_first_line(script: Script) -> None:
    """What fails before the first line has a status of its own; afterwards it is a line."""
    for status in (400, 402, 403, 404, 429, 503):
        url = script.play(fails(status, b'{"error":{"message":"no luck"}}'))
        for stream in (True, False):
            said = chat(url, stream=stream)
            assert said.status == status
            assert "no luck" in error_of(said)

    async def at_once(call: Call) -> None:
        await call.start()
        await call.event({"error": {"message": "no luck"}})
        await call.write("", more=False)

    url = script.play(at_once)
    assert chat(url).status >= 400
    reply, lines = broken(script, {"message": "no luck"})
    assert (reply.status_code, reply.headers["content-type"]) == (200, NDJSON)
    assert text_of([json.loads(line) for line in lines[:-1]]) == "All is well"
    assert "done" not in json.loads(lines[-1])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON),
        (b"  \n", "text/plain"),
        (b'{\n  "error": {\n    "message": "bad\\nthing"\n  }\n}\n', JSON),
        (b"<html>\n<body>\n<h1>Bad\nGateway</h1></body></html>", "text/html"),
        (b"{}", JSON),
        (b"null", JSON),
        (b"\xff\xfe", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("status", [400, 500, 502])
def test_trap_10_an_error_is_one_line_that_says_something(
    script: Script, body: bytes, kind: str, status: int
) -> None:
    """The Go client reads only the first line of an error, and nothing as success."""
    url = script.play(fails(status, body, kind))
    for path, asked in (
        (CHAT, {"messages": HI}),
        (GENERATE, {"prompt": "x"}),
        (EMBED, {"input": "x"}),
    ):
        said = post(url, path, {"model": "m", **asked})
        assert said.status >= 400
        assert error_of(said)


def test_trap_11_a_refused_key_is_no_401(script: Script) -> None:
    """401 would make the `ollama` command ask its user to sign in at ollama.com."""
    url = script.play(fails(401, b'{"error":{"message":"Incorrect API key provided"}}'))
    for path, body in (
        (CHAT, {"messages": HI}),
        (CHAT, {"messages": HI, "stream": False}),
        (GENERATE, {"prompt": "x"}),
        (EMBED, {"input": "x"}),
        ("/api/embeddings", {"prompt": "x"}),
        (V1_CHAT, {"messages": HI}),
        ("/v1/completions", {"prompt": "x"}),
        ("/v1/embeddings", {"input": "x"}),
        ("/v1/responses", {"input": "x"}),
        (MESSAGES, {"messages": HI, "max_tokens": 9}),
    ):
        said = post(url, path, {"model": "m", **body})
        assert said.status == 502, path
        assert b"keys set fake" in said.body, path


def test_trap_12_digests_are_long_enough_to_cut(ask: Ask) -> None:
    """`ollama list` and `ollama ps` take the first twelve characters and crash on fewer."""
    ask("POST", CHAT, ASK)
    for path in (TAGS, PS):
        models = ask("GET", path).json()["models"]
        assert models
        assert all(re.fullmatch("[0-9a-f]{64}", model["digest"]) for model in models)


def test_trap_13_a_digest_is_a_model(own_lab: Lab) -> None:
    """Each model has its own, the same after a restart, until the model can do something else."""

    def digests() -> dict[str, str]:
        models = httpx.get(own_lab.url + TAGS).json()["models"]
        return {model["name"]: model["digest"] for model in models}

    first = digests()
    assert len(set(first.values())) == len(first)
    with own_lab.running():
        assert digests() == first
    settings = own_lab.file.read_text()
    own_lab.file.write_text(settings.replace('target = "coder"', 'target = "plain"'))
    with own_lab.running():
        changed = digests()
    assert {name for name in first if changed[name] != first[name]} == {"poet:latest"}


def test_trap_14_times_have_a_zone(ask: Ask) -> None:
    """Java and Swift refuse a time without an offset, and a whole list for one empty text."""
    ask("POST", CHAT, {**ASK, "keep_alive": -1})
    times = [line["created_at"] for line in ask("POST", CHAT, ASK).lines()]
    times += [model["modified_at"] for model in ask("GET", TAGS).json()["models"]]
    times.append(ask("POST", SHOW, {"model": "coder"}).json()["modified_at"])
    running = ask("GET", PS).json()["models"]
    assert running
    times += [model["expires_at"] for model in running]
    shape = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
    assert all(shape.fullmatch(time) for time in times)
    ns = re.compile(r"(\.\d{6})\d*")
    assert all(datetime.fromisoformat(ns.sub(r"\1", time)).tzinfo for time in times)


def test_trap_15_lists_are_lists(bridged: Bridged) -> None:
    """Nothing to list is an empty list, not null and not a missing key."""
    url, _ = bridged(models=())
    assert httpx.get(url + TAGS).json() == {"models": []}
    assert httpx.get(url + PS).json() == {"models": []}
    assert httpx.get(url + "/v1/models").json() == {"object": "list", "data": []}


def test_trap_16_model_info_is_found_by_its_architecture(ask: Ask) -> None:
    for name in ("coder", "plain", "embedder", "poet", "vendor/large"):
        shown = ask("POST", SHOW, {"model": name}).json()
        info = shown["model_info"]
        architecture = info["general.architecture"]
        assert architecture == shown["details"]["family"]
        assert type(info[f"{architecture}.context_length"]) is int
        assert type(info["general.parameter_count"]) is int
        lengths = [key for key in info if "context_length" in key]
        assert lengths == [f"{architecture}.context_length"]
    info = ask("POST", SHOW, {"model": "coder"}).json()["model_info"]
    assert info["qwen3.context_length"] == 131072
    assert info["general.parameter_count"] == 7_600_000_000


def test_trap_17_capabilities_are_told_and_true(ask: Ask) -> None:
    """They decide what clients offer; `embedding` on a chat model would stop it from chatting."""
    told = {
        name: ask("POST", SHOW, {"model": name}).json()["capabilities"]
        for name in ("coder", "plain", "embedder", "poet", "vendor/large")
    }
    assert told["coder"] == ["completion", "tools", "insert", "vision", "thinking"]
    assert told["plain"] == ["completion"]
    assert told["embedder"] == ["embedding"]
    assert told["poet"] == told["coder"]
    listed = by_name(ask("GET", TAGS))
    assert all(listed[f"{name}:latest"]["capabilities"] == told[name] for name in told)


def test_trap_18_thinking_is_on_unless_switched_off(ask: Ask) -> None:
    """A client that says nothing of `think` sees it; who says false does not, and is not refused."""
    for think in ({}, {"think": None}, {"think": True}, {"think": "low"}):
        lines = ask("POST", CHAT, {**ASK, **think}).lines()
        assert text_of(lines, "thinking") == THOUGHT
        assert text_of(lines) == SPOKEN
    lines = ask("POST", CHAT, {**ASK, "think": False}).lines()
    assert text_of(lines, "thinking") == ""
    assert text_of(lines) == SPOKEN
    plain = {"model": "plain", "messages": HI}
    assert ask("POST", CHAT, {**plain, "think": False}).status == 200
    for think in (True, "high"):
        said = ask("POST", CHAT, {**plain, "think": think})
        assert (said.status, error_of(said)) == (400, '"plain" does not support thinking')


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_trap_19_thinking_and_text_never_share_a_line(script: Script, key: str) -> None:
    """Whatever the provider calls it, and also when it sends both at once."""
    url = script.play(says({key: "Hm", "content": "A"}, {key: "", "content": "B"}, {key: None}))
    lines = chat(url).lines()
    assert text_of(lines, "thinking") == "Hm"
    assert text_of(lines) == "AB"
    for line in lines:
        assert not ("thinking" in line["message"] and line["message"]["content"])
        assert line["message"].get("thinking", "x")
    lines = post(url, GENERATE, {"model": "m", "prompt": "x"}).lines()
    assert [line.get("thinking") for line in lines] == ["Hm", None, None, None]
    assert not any("thinking" in line and line["response"] for line in lines)


def test_trap_20_arguments_are_an_object_here_and_a_text_there(ask: Ask) -> None:
    """However the provider cuts them, a call arrives whole and once."""
    body = {"model": "coder", "messages": [{"role": "user", "content": ASK_TWO}], "tools": [TOOL]}
    lines = ask("POST", CHAT, body).lines()
    functions = [
        call["function"] for line in lines for call in line["message"].get("tool_calls", ())
    ]
    assert [(function["name"], function["arguments"]) for function in functions] == CALLS
    assert [function["index"] for function in functions] == [0, 1]
    message = ask("POST", V1_CHAT, body).json()["choices"][0]["message"]
    texts = [call["function"]["arguments"] for call in message["tool_calls"]]
    assert [json.loads(text) for text in texts] == [arguments for _, arguments in CALLS]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("tool_calls", "stop"),
        ("function_call", "stop"),
        ("content_filter", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
    ],
)
def test_trap_21_there_are_two_reasons_to_end(script: Script, finish: str, reason: str) -> None:
    url = script.play(says({"content": "x"}, finish=finish))
    assert chat(url).lines()[-1]["done_reason"] == reason
    assert chat(url, stream=False).json()["done_reason"] == reason


@pytest.mark.parametrize(
    "results",
    [
        [{"content": "sunny"}, {"content": "rainy"}],
        [
            {"content": "sunny", "tool_name": "get_weather"},
            {"content": "rainy", "tool_name": "get_weather"},
        ],
        [
            {"content": "rainy", "tool_call_id": "call_b"},
            {"content": "sunny", "tool_call_id": "call_a"},
        ],
    ],
    ids=["in order", "by name", "by id"],
)
def test_trap_22_lost_ids_are_made_anew(ask: Ask, results: list[dict[str, Any]]) -> None:
    """Providers refuse a result without the id of its call; most clients send none."""
    calls = [
        {"id": f"call_{letter}", "function": {"name": name, "arguments": arguments}}
        for letter, (name, arguments) in zip("ab", CALLS, strict=True)
    ]
    if "tool_call_id" not in results[0]:
        calls = [{"function": call["function"]} for call in calls]
    messages = [
        {"role": "user", "content": ASK_TWO},
        {"role": "assistant", "tool_calls": calls},
        *({"role": "tool", **result} for result in results),
    ]
    said = ask("POST", CHAT, {"model": "coder", "messages": messages, "tools": [TOOL]})
    assert text_of(said.lines()) == SUNNY


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "USER", "content": "hi"}],
        [{"role": "user"}, {"role": "assistant"}, {"role": "user", "content": "hi"}],
        [*HI, {"role": "assistant", "thinking": "Hm"}, *HI],
        [*HI, {"role": "assistant", "content": None, "tool_calls": []}, *HI],
        [*HI, {"role": "tool", "content": "from nowhere"}],
        [*HI, {"role": "tool", "tool_name": "f", "content": "from nowhere"}, *HI],
        [*HI, {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, *HI],
        [{"role": "developer", "content": "Be brief."}, *HI],
        [{"role": "narrator", "content": "Once upon a time"}, *HI],
    ],
)
def test_trap_23_odd_histories_are_repaired(
    ask: Ask, lab: Lab, messages: list[dict[str, Any]]
) -> None:
    """What no provider takes as it is still gets an answer, and no text is lost."""
    said = ask("POST", CHAT, {"model": "plain", "messages": messages, "stream": False})
    assert said.status == 200, said.body
    sent = json.dumps(lab.upstream.calls[-1].body["messages"])
    texts = [message["content"] for message in messages if message.get("content")]
    assert all(text in sent for text in texts)


def test_trap_24_name_stands_in_for_an_empty_model(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url)
    named = {"model": "", "name": "coder"}
    assert ask("POST", SHOW, named).json()["details"]["family"] == "qwen3"
    assert ask("POST", "/api/pull", {**named, "stream": False}).json() == SUCCESS
    assert (
        "cannot be pushed" in ask("POST", "/api/push", {**named, "stream": False}).json()["error"]
    )
    mine = {"model": "", "name": "mine"}
    made = ask("POST", "/api/create", {**mine, "from": "coder", "stream": False})
    assert made.json() == SUCCESS
    assert ask("DELETE", "/api/delete", mine).status == 200
    assert ask("POST", SHOW, mine).status == 404


def test_trap_25_names_come_back_as_they_were_sent(ask: Ask, lab: Lab) -> None:
    """In answers the client's own spelling, in listings the whole name, in show's error the tag."""
    for name in ("coder", "coder:latest", "Coder", "lab/coder"):
        for path, body in ((CHAT, {"messages": HI}), (GENERATE, {"prompt": "hi"})):
            lines = ask("POST", path, {"model": name, **body}).lines()
            assert {line["model"] for line in lines} == {name}
        assert ask("POST", EMBED, {"model": "embedder", "input": "x"}).json()["model"] == "embedder"
    assert all(":" in name for name in by_name(ask("GET", TAGS)))
    assert error_of(ask("POST", SHOW, {"model": "Foo"})) == "model 'Foo:latest' not found"
    assert error_of(ask("POST", SHOW, {"model": "foo:7b"})) == "model 'foo:7b' not found"


def test_trap_26_latest_and_case_say_nothing(ask: Ask) -> None:
    """But another tag is another model."""
    shown = [
        ask("POST", SHOW, {"model": name}).body
        for name in ("coder", "coder:latest", "CODER:Latest", " coder ")
    ]
    assert len(set(shown)) == 1
    assert ask("POST", SHOW, {"model": "coder:7b"}).status == 404
    assert ask("POST", CHAT, {"model": "coder:7b", "messages": HI}).status == 404


def test_trap_27_an_unknown_model_has_three_texts(ask: Ask) -> None:
    """Helpers that pull by themselves look for these very words."""
    plain, pulling, copying = (
        "model 'nope' not found",
        'model "nope" not found, try pulling it first',
        'model "nope" not found',
    )
    rows = [
        ("POST", CHAT, {"messages": HI}, plain),
        ("POST", GENERATE, {"prompt": "x"}, plain),
        ("DELETE", "/api/delete", {}, plain),
        ("POST", SHOW, {}, "model 'nope:latest' not found"),
        ("POST", EMBED, {"input": "x"}, pulling),
        ("POST", "/api/embeddings", {"prompt": "x"}, pulling),
        ("POST", "/api/copy", {"source": "nope", "destination": "x"}, copying),
    ]
    for method, path, body, text in rows:
        said = ask(method, path, {"model": "nope", **body})
        assert (said.status, error_of(said)) == (404, text), path


def test_trap_28_pulling_an_unknown_model_fails_in_the_stream(ask: Ask) -> None:
    said = ask("POST", "/api/pull", {"model": "nope"})
    assert (said.status, said.kind) == (200, NDJSON)
    assert said.lines() == [{"status": "pulling manifest"}, NO_MANIFEST]
    said = ask("POST", "/api/pull", {"model": "nope", "stream": False})
    assert (said.status, said.json()) == (500, NO_MANIFEST)


def test_trap_29_copy_and_delete_answer_nothing_with_200(
    own_lab: Lab, talk: Callable[..., Ask]
) -> None:
    """204 is a failure for the official Python client."""
    ask = talk(own_lab.url)
    said = ask("POST", "/api/copy", {"source": "coder", "destination": "mine"})
    assert (said.status, said.body) == (200, b"")
    said = ask("DELETE", "/api/delete", {"model": "mine"})
    assert (said.status, said.body) == (200, b"")
    with official(own_lab.url) as client:
        assert client.copy("coder", "mine").status == "success"
        assert client.delete("mine").status == "success"


def test_trap_30_options_are_known_or_ignored(ask: Ask, lab: Lab) -> None:
    """A known option of a wrong type is 500; whatever else is there does no harm."""
    said = ask("POST", CHAT, {**ASK, "options": {"temperature": "hot"}})
    assert said.status == 500
    assert error_of(said) == 'option "temperature" must be of type float32'
    options = {"mirostat": 2, "num_gpu": 1, "tfs_z": 1, "no_such": [1], "seed": None, "top_k": -1}
    body = {
        **ASK,
        "options": options,
        "temperature": 0.9,
        "top_p": "x",
        "metadata": [],
        "stream": False,
    }
    assert ask("POST", CHAT, body).status == 200
    sent = lab.upstream.calls[-1].body
    assert not {"temperature", "top_p", "metadata", "mirostat", "seed"} & set(sent)


def test_trap_31_the_version_is_digits_and_recent(ask: Ask) -> None:
    version = ask("GET", "/api/version").json()["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert tuple(map(int, version.split("."))) >= (0, 13, 4)


def test_trap_32_vectors_have_unit_length_or_none_of_ours(ask: Ask, script: Script) -> None:
    """/api/embed normalises, also what it cut; /api/embeddings leaves vectors alone."""
    texts = {"model": "embedder", "input": ["a", "b"]}
    rows = ask("POST", EMBED, texts).json()["embeddings"]
    assert rows == [pytest.approx([value / 13 for value in VECTOR])] * 2
    rows = ask("POST", EMBED, {**texts, "dimensions": 2}).json()["embeddings"]
    assert rows == [pytest.approx([0.6, 0.8])] * 2
    legacy = ask("POST", "/api/embeddings", {"model": "embedder", "prompt": "a"}).json()
    assert legacy == {"embedding": VECTOR}
    assert ask("POST", EMBED, {"model": "embedder", "input": []}).json()["embeddings"] == []
    url = script.play(fails(400, b'{"error":{"message":"no luck"}}'))
    assert post(url, EMBED, {"model": "m", "input": "x"}).status == 400


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": None}],
)
def test_trap_33_counters_are_there_and_not_zero(script: Script, usage: Any) -> None:
    """The provider is asked for them; where it tells none they are estimated."""
    url = script.play(says({"content": "hello there"}, usage=usage))
    for path, body in ((CHAT, {"messages": HI}), (GENERATE, {"prompt": "hi"})):
        last = post(url, path, {"model": "m", **body}).lines()[-1]
        names = ("total_duration", "load_duration", "prompt_eval_count")
        names += ("prompt_eval_duration", "eval_count", "eval_duration")
        assert all(type(last[name]) is int and last[name] > 0 for name in names)
    assert all(
        call.body["stream_options"] == {"include_usage": True}
        for call in script.upstream.calls[-2:]
    )


def test_trap_34_no_model_claims_to_be_remote(ask: Ask) -> None:
    """With `remote_host` the command line hides sizes, skips loading, and may ask for a sign-in."""
    ask("POST", CHAT, ASK)
    replies = [ask("GET", path).body for path in (TAGS, PS)]
    replies.append(ask("POST", SHOW, {"model": "coder", "verbose": True}).body)
    replies.append(ask("POST", CHAT, ASK).body)
    assert not any(b"remote_" in reply for reply in replies)


def test_trap_35_no_name_ends_like_a_cloud_model(bridged: Bridged) -> None:
    """The command line would pull a stub and ask for a sign-in; such ids get one tag more."""
    ids = ("qwen:cloud", "qwen:480b-cloud", "Kimi:Cloud", "my-cloud-model", "cloud")
    url, upstream = bridged(says({"content": "x"}), models=ids)
    names = [model["name"] for model in httpx.get(url + TAGS).json()["models"]]
    assert not any(re.search(r"(:|-)cloud$", name, re.IGNORECASE) for name in names)
    assert len(names) == len(ids)
    for name in (*names, *ids):
        assert chat(url, name).status == 200
    assert {call.body["model"] for call in upstream.calls} == set(ids)


def test_trap_36_head_works_where_clients_try_it(ask: Ask) -> None:
    """Every command of `ollama` begins with HEAD /; an error there means: not running."""
    for path in ("/", "/api/version", TAGS):
        said, got = ask("HEAD", path), ask("GET", path)
        assert (said.status, said.body) == (200, b"")
        assert said.headers["content-length"] == str(len(got.body))
    digest = f"sha256:{hashlib.sha256(b'x').hexdigest()}"
    assert ask("HEAD", f"/api/blobs/{digest}").status == 404
    assert ask("POST", f"/api/blobs/{digest}", b"x").status == 201
    assert ask("HEAD", f"/api/blobs/{digest}").status == 200


def test_trap_37_origins_are_let_in_or_refused(ask: Ask, lab: Lab) -> None:
    """For every method, and the preflight lets the headers of OpenAI's own client through."""
    for origin in ("http://localhost:3000", "app://obsidian.md", "tauri://localhost", lab.url):
        assert ask("GET", TAGS, origin=origin).status == 200
    for origin in ("https://evil.example", "chrome-extension://abc", "null"):
        for method, path in (("GET", TAGS), ("POST", CHAT), ("OPTIONS", CHAT), ("GET", "/nope")):
            said = ask(method, path, origin=origin)
            assert (said.status, said.body) == (403, b"")
    said = ask(
        "OPTIONS",
        V1_CHAT,
        origin="app://obsidian.md",
        access_control_request_method="POST",
        access_control_request_headers="authorization,x-stainless-os",
    )
    assert (said.status, said.body) == (204, b"")
    assert said.headers["access-control-allow-origin"] == "app://obsidian.md"
    allowed = said.headers["access-control-allow-headers"].lower().split(",")
    assert {"authorization", "content-type", "user-agent", "openai-beta"} <= set(allowed)
    assert {"x-stainless-os", "x-stainless-retry-count", "x-stainless-timeout"} <= set(allowed)


def test_trap_38_foreign_host_names_are_refused(ask: Ask) -> None:
    """A page whose name was pointed here is shut out; containers and the local network are not."""
    for host in ("localhost", "127.0.0.1:1", "host.docker.internal", "a.local:80", "192.168.1.5"):
        assert ask("GET", TAGS, host=host).status == 200, host
    for host in ("evil.example", "8.8.8.8", "localhost.evil.example"):
        said = ask("GET", TAGS, host=host)
        assert (said.status, said.body) == (403, b""), host


def test_trap_39_keep_alive_has_units_or_is_a_number(ask: Ask) -> None:
    for value in (-1, 0, 300, 1800.0, "5m", "0s", "-1m", "0", "1h30m", None):
        assert ask("POST", CHAT, {**ASK, "keep_alive": value}).status == 200, value
    for value, text in (
        ("-1", 'time: missing unit in duration "-1"'),
        ("", 'time: invalid duration ""'),
        (True, "Unsupported type: 'bool'"),
    ):
        said = ask("POST", CHAT, {**ASK, "keep_alive": value})
        assert (said.status, error_of(said)) == (400, text)
    ask("POST", CHAT, {**ASK, "keep_alive": -1})
    assert by_name(ask("GET", PS))["coder:latest"]["expires_at"] > "2300"
    for value in (0, "0", "0s"):
        ask("POST", CHAT, ASK)
        ask("POST", GENERATE, {"model": "coder", "prompt": "", "keep_alive": value})
        assert "coder:latest" not in by_name(ask("GET", PS))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (GIF, "image/gif"),
        (WEBP, "image/webp"),
        (WAV, "wav"),
    ],
)
def test_trap_40_pictures_get_their_type(script: Script, data: bytes, kind: str) -> None:
    """Clients send bare base64; the bytes themselves tell what they are, sounds among them."""
    url = script.play(says({"content": "x"}))
    image = base64.b64encode(data).decode()
    messages = [{"role": "user", "content": "look", "images": [image]}]
    assert chat(url, messages=messages).status == 200
    said, part = script.upstream.calls[-1].body["messages"][0]["content"]
    assert said == {"type": "text", "text": "look"}
    if data is WAV:
        assert part == {"type": "input_audio", "input_audio": {"data": image, "format": kind}}
    else:
        assert part == {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{image}"}}


def test_trap_41_v1_goes_through_as_it_is(ask: Ask, lab: Lab) -> None:
    """Nothing is made up and nothing dropped; `reasoning` is there under the name Ollama gives it."""
    fields = {"max_completion_tokens": 9, "tool_choice": "auto", "n": 1, "user": "me"}
    said = ask("POST", V1_CHAT, {**ASK, "tools": [TOOL], **fields})
    assert said.status == 200, said.body
    sent = lab.upstream.calls[-1].body
    assert {key: sent[key] for key in fields} == fields
    assert not {"temperature", "top_p"} & set(sent)
    message = said.json()["choices"][0]["message"]
    assert message["reasoning"] == THOUGHT
    assert said.json()["model"] == "coder"
    events = ask("POST", V1_CHAT, {**ASK, "stream": True}).events()
    assert events.pop() == "[DONE]"
    deltas = [choice["delta"] for event in events for choice in json.loads(event)["choices"]]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == THOUGHT


def test_trap_42_ids_with_slashes_are_found(ask: Ask) -> None:
    for path in ("vendor/large", "vendor%2Flarge", "vendor/large:latest", "lab/vendor/large"):
        said = ask("GET", f"/v1/models/{path}")
        assert said.status == 200, path
        assert said.json()["id"] == path.replace("%2F", "/")
    said = ask("GET", "/v1/models/vendor/nope")
    assert said.status == 404
    assert said.json()["error"]["message"] == "model 'vendor/nope:latest' not found"


@pytest.mark.parametrize(
    ("value", "server", "client"),
    [
        (":1234", ("", 1234), "http://127.0.0.1:1234"),
        ("http://1.2.3.4", ("1.2.3.4", 80), "http://1.2.3.4:80"),
        ("https://1.2.3.4", ("1.2.3.4", 443), "https://1.2.3.4:443"),
        ("1.2.3.4", ("1.2.3.4", 11434), "http://1.2.3.4:11434"),
        ("0.0.0.0", ("0.0.0.0", 11434), "http://0.0.0.0:11434"),
        ("", ("127.0.0.1", 11434), "http://127.0.0.1:11434"),
    ],
)
def test_trap_43_one_variable_means_two_things(
    value: str, server: tuple[str, int], client: str
) -> None:
    """A shared OLLAMA_HOST makes us listen where Ollama would, and clients find us there."""
    assert environment.address(value) == server
    assert _parse_host(value) == client


def test_trap_44_details_are_texts(ask: Ask) -> None:
    ask("POST", CHAT, ASK)
    rows = ask("GET", TAGS).json()["models"] + ask("GET", PS).json()["models"]
    rows += [ask("POST", SHOW, {"model": name}).json() for name in ("coder", "plain", "embedder")]
    for row in rows:
        details = row["details"]
        texts = ("parent_model", "format", "family", "parameter_size", "quantization_level")
        assert all(isinstance(details[name], str) for name in texts)
        assert details["families"] is None or details["family"] in details["families"]
        assert details["family"]


def test_trap_45_parameters_and_license_are_texts(ask: Ask) -> None:
    shown = ask("POST", SHOW, {"model": "poet"}).json()
    pairs = [line.split(maxsplit=1) for line in shown["parameters"].split("\n")]
    assert sorted(pairs) == [
        ["num_ctx", "16384"],
        ["stop", '"END"'],
        ["stop", '"two words"'],
        ["temperature", "0.25"],
    ]
    assert shown["license"] == "MIT"
    shown = ask("POST", SHOW, {"model": "coder"}).json()
    assert (shown["parameters"], shown["license"]) == ("", "")


async def test_trap_46_hanging_up_stops_the_upstream(script: Script, bridged: Bridged) -> None:
    """Clients have no time limit of their own, so the bridge has one."""

    stopped = threading.Event()

    async def endless(call: Call) -> None:
        await call.start()
        await call.text("word")
        await call.gone.wait()
        stopped.set()

    url = script.play(endless)
    body = {"model": "m", "messages": HI}
    async with httpx.AsyncClient() as client:
        async with client.stream("POST", url + CHAT, json=body) as reply:
            await anext(reply.aiter_bytes())
        assert await asyncio.to_thread(stopped.wait, 5)

    async def silent(call: Call) -> None:
        await call.start()
        await call.text("word")
        await call.gone.wait()

    url, _ = bridged(silent, idle_timeout=0.2)
    async with httpx.AsyncClient(timeout=10) as client:
        lines = (await client.post(url + CHAT, json=body)).text.splitlines()
    assert "error" in json.loads(lines[-1])


def test_trap_47_context_is_not_made_up(ask: Ask, lab: Lab) -> None:
    """The command line sends back what it was given; numbers of ours would mean nothing."""
    for stream in (True, False):
        said = ask("POST", GENERATE, {**PROMPT, "context": [1, 2, 3], "stream": stream})
        assert said.status == 200
        assert b'"context"' not in said.body
    assert "context" not in lab.upstream.calls[-1].body


@pytest.mark.parametrize("key", ["content", "reasoning_content"])
def test_trap_48_line_length(script: Script, key: str) -> None:
    """Readers give up on a line of 128 KiB, half a megabyte or eight; a huge piece is cut."""
    huge = "é\u2028" * 600_000
    url = script.play(says({key: huge}, {"content": "."}))
    said = chat(url)
    assert max(map(len, said.body.split(b"\n"))) < 128 * 1024
    assert text_of(said.lines(), "thinking" if key != "content" else key).rstrip(".") == huge


def test_every_trap_has_its_test() -> None:
    named = re.findall(r"def test_trap_(\d\d)_", Path(__file__).read_text(encoding="utf-8"))
    assert [int(number) for number in named] == list(range(1, 49))
