"""Rows of the quirks reference that no other test was about; each test names its row."""

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from bridges import bridge_app
from fake_upstream import Call, FakeUpstream
from servers import served

from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Provider
from ollama_bridge.translate import options

Bridged = Callable[..., tuple[str, FakeUpstream]]
Body = dict[str, Any]

HI = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "hi"}]}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\xfb\xff\xbf" + bytes(9)).decode()


def tool(name: str) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


async def right(call: Call) -> None:
    message = {"role": "assistant", "content": "right"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.json({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


def streaming(*events: Any, done: bool = True) -> Any:
    async def act(call: Call) -> None:
        await call.start()
        for event in events:
            await call.event(event)
        await call.write("data: [DONE]\n\n" if done else "", more=False)

    return act


def delta(finish: str | None = None, **said: Any) -> Body:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def post(url: str, body: Body, path: str = "/api/chat", **headers: str) -> httpx.Response:
    return httpx.post(f"{url}{path}", json=body, headers=headers, timeout=10, trust_env=False)


def lines(reply: httpx.Response) -> list[Any]:
    return [json.loads(line) for line in reply.text.splitlines()]


def text(reply: httpx.Response) -> str:
    return "".join(line["message"]["content"] for line in lines(reply))


def test_too_many_tools_are_refused_with_both_numbers(bridged: Bridged) -> None:
    """A16: never cut in silence."""

    async def at_most_128(call: Call) -> None:
        number = len(call.body["tools"])
        said = (
            "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an "
            f"array with length {number} instead."
        )
        await call.json({"error": {"message": said, "param": "tools"}}, 400)

    url, upstream = bridged(at_most_128)
    reply = post(url, HI | {"tools": [tool(f"t{number}") for number in range(130)]})
    assert reply.status_code == 400
    assert "128" in reply.json()["error"]
    assert "130" in reply.json()["error"]
    assert len(upstream.calls) == 1


def test_fields_of_no_api_stay_here_on_the_native_path(bridged: Bridged) -> None:
    """A19, B13: what a client adds is not the upstream's concern."""
    url, upstream = bridged(right)
    turn = {"role": "user", "content": "hi", "name": "no such name!", "extra": 1}
    extras = {"user": "u", "metadata": {}, "store": True, "parallel_tool_calls": True}
    assert post(url, HI | extras | {"messages": [turn]}).status_code == 200
    (call,) = upstream.calls
    assert set(call.body) == {"model", "messages", "stream"}
    assert call.body["messages"] == [{"role": "user", "content": "hi"}]


def test_a_call_within_thoughts_is_none(bridged: Bridged) -> None:
    """D17."""
    written = '<tool_call>{"name": "t", "arguments": {}}</tool_call>'
    act = streaming(delta(reasoning_content=written), delta("stop", content="no"))
    url, _ = bridged(act)
    reply = post(url, HI | {"tools": [tool("t")], "stream": True})
    assert all("tool_calls" not in line["message"] for line in lines(reply))
    assert lines(reply)[0]["message"]["thinking"] == written


def test_a_call_and_its_finish_in_one_chunk(bridged: Bridged) -> None:
    """C3, C4: and the reason to finish speaks of no call."""
    call = {"id": "a", "function": {"name": "t", "arguments": "{}"}}
    url, _ = bridged(streaming(delta("stop", tool_calls=[call])))
    *_, said, last = lines(post(url, HI | {"tools": [tool("t")], "stream": True}))
    assert said["message"]["tool_calls"][0]["function"]["name"] == "t"
    assert last["done_reason"] == "stop"


def test_events_without_choices(bridged: Bridged) -> None:
    """F5, F8: such an event says nothing, and ends nothing."""
    url, _ = bridged(streaming({"id": "x"}, {"choices": []}, delta(content="a"), delta("stop")))
    assert text(post(url, HI | {"stream": True})) == "a"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_empty_success(bridged: Bridged, path: str, stream: bool) -> None:
    """G16: a stream that holds nothing is no answer."""
    url, _ = bridged(streaming())
    reply = post(url, HI | {"stream": stream}, path)
    assert reply.status_code == 502
    assert "the prompt may be longer than the model's context" in reply.text


def test_a_limit_below_the_lowest_is_raised(bridged: Bridged) -> None:
    """G17c, as a router tells of it."""
    cause = {
        "error": {
            "message": "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= "
            "16, but got 10 instead.",
            "param": "max_output_tokens",
        }
    }
    metadata = {"provider_name": "OpenAI", "raw": json.dumps(cause)}
    refused = {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}}

    async def at_least_16(call: Call) -> None:
        if call.body["max_tokens"] < 16:
            await call.json(refused, 400)
        else:
            await right(call)

    url, upstream = bridged(at_least_16)
    assert post(url, HI | {"options": {"num_predict": 10}}).status_code == 200
    assert [call.body["max_tokens"] for call in upstream.calls] == [10, 16]


@pytest.mark.parametrize(
    "written",
    [
        PNG,
        f"data:image/png;base64,{PNG}",
        "\n".join(PNG[at : at + 8] for at in range(0, len(PNG), 8)),
    ],
    ids=["plain", "data URI", "lines"],
)
def test_pictures_in_every_spelling(bridged: Bridged, written: str) -> None:
    """H3."""
    url, upstream = bridged(right)
    turn = {"role": "user", "content": "what?", "images": [written]}
    assert post(url, HI | {"messages": [turn]}).status_code == 200
    part = upstream.calls[0].body["messages"][0]["content"][1]
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == base64.b64decode(PNG)


@pytest.mark.parametrize(
    "written",
    ["%%%", PNG.replace("+", "-").replace("/", "_"), PNG.rstrip("=")],
    ids=["nonsense", "URL-safe", "no padding"],
)
def test_a_picture_that_is_none(bridged: Bridged, written: str) -> None:
    """H3: what Ollama itself does not take is refused in its words."""
    assert written != PNG
    url, upstream = bridged(right)
    reply = post(url, HI | {"messages": [{"role": "user", "content": "?", "images": [written]}]})
    assert reply.status_code == 400
    assert reply.json()["error"].startswith("illegal base64 data at input byte")
    assert upstream.calls == []


@pytest.mark.parametrize("known", [True, False], ids=["known", "learned"])
def test_two_hundred_and_fifty_inputs(bridged: Bridged, known: bool) -> None:
    """I5, checklist line 15: whatever the service takes at once, the order is the client's."""

    async def at_most_100(call: Call) -> None:
        texts = call.body["input"]
        if len(texts) > 100:
            said = "at most 100 requests can be in one batch"
            await call.json([{"error": {"code": 400, "message": said}}], 400)
            return
        rows = [{"index": at, "embedding": [1.0, float(word)]} for at, word in enumerate(texts)]
        await call.json({"data": rows[::-1], "usage": {"prompt_tokens": len(texts)}})

    url, upstream = bridged(at_most_100, embed_batch=100 if known else 2048)
    texts = [str(number) for number in range(250)]
    told = post(url, {"model": "m", "input": texts}, "/api/embed").json()
    wanted = [number / math.hypot(1, number) for number in range(250)]
    assert [row[1] for row in told["embeddings"]] == pytest.approx(wanted)
    assert told["prompt_eval_count"] == 250
    assert len(upstream.calls) == (3 if known else 7)


def test_a_text_that_is_too_long_is_cut_unless_told_not_to(bridged: Bridged) -> None:
    """I9."""

    async def at_most_1000(call: Call) -> None:
        if len(call.body["input"][0]) > 1000:
            await call.json({"error": {"message": "maximum context length is 1000 tokens"}}, 400)
            return
        await call.json({"data": [{"index": 0, "embedding": [1.0]}]})

    url, _ = bridged(at_most_1000)
    body = {"model": "m", "input": "a" * 5000}
    assert post(url, body, "/api/embed").json()["embeddings"] == [[1.0]]
    refused = post(url, body | {"truncate": False}, "/api/embed")
    assert refused.status_code == 400
    assert refused.json()["error"] == "the input length exceeds the context length"


LISTS: dict[str, tuple[Any, str, int]] = {
    "OpenRouter": (
        {"data": [{"id": "vendor/x:free", "context_length": 1000, "created": 1_700_000_000}]},
        "vendor/x:free",
        1000,
    ),
    "Together": ([{"id": "vendor/x", "type": "chat", "context_length": 1001}], "vendor/x", 1001),
    "vLLM": ({"data": [{"id": "x", "max_model_len": 1002}]}, "x", 1002),
    "llama.cpp": ({"data": [{"id": "x.gguf", "meta": {"n_ctx_train": 1003}}]}, "x.gguf", 1003),
    "LM Studio": (
        {"data": [{"id": "x", "loaded_context_length": 1004, "max_context_length": 9}]},
        "x",
        1004,
    ),
    "OpenAI": ({"data": [{"id": "unheard-of", "object": "model"}]}, "unheard-of", 0),
    "Gemini": ({"data": [{"id": "models/x", "inputTokenLimit": 1005}]}, "x", 1005),
}


@pytest.mark.parametrize("vendor", LISTS)
def test_lists_of_every_shape(vendor: str) -> None:
    """J1, J2, J4, checklist line 18: what `tags` and `show` say, and the same after a restart."""
    reply, name, context = LISTS[vendor]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await Call(scope["path"], {}, None, send, receive).json(reply)

    told = []
    with served(app) as upstream:
        provider = Provider(name="lab", url=f"{upstream}/v1", key="none")
        for _ in range(2):
            with served(bridge_app(provider)) as url:
                (row,) = httpx.get(f"{url}/api/tags", trust_env=False).json()["models"]
                show = post(url, {"model": name}, "/api/show").json()["model_info"]
            told.append((row["name"], row["digest"]))
            arch = show["general.architecture"]
            assert f"{arch}.context_length" in show
            assert not context or show[f"{arch}.context_length"] == context
            assert "general.context_length" not in show
    tag = "" if ":" in name else ":latest"
    assert told[0][0] == name + tag
    assert told[0] == told[1]


def test_nobody_is_told_who_asks(bridged: Bridged) -> None:
    """K6: a router's headers for its ranking list are the user's to set."""
    url, upstream = bridged(right, headers={"X-Title": "mine"})
    post(url, HI)
    headers = upstream.calls[0].headers
    assert headers["x-title"] == "mine"
    assert "http-referer" not in headers
    assert all("HTTP-Referer" not in row.headers for row in PRESETS.values())


def test_redirects_are_not_followed(bridged: Bridged) -> None:
    """K8: the key would go along."""

    async def elsewhere(call: Call) -> None:
        await call.start(307, "text/plain", location="http://127.0.0.1:9/v1/chat/completions")
        await call.write("", more=False)

    url, upstream = bridged(elsewhere)
    reply = post(url, HI)
    assert reply.status_code == 502
    assert "redirects to another address" in reply.json()["error"]
    assert len(upstream.calls) == 1


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_the_clients_own_key_stays_here(bridged: Bridged, path: str) -> None:
    """K10."""
    url, upstream = bridged(right, key="the-providers-key")
    post(url, HI, path, Authorization="Bearer the-clients-key")
    assert upstream.calls[0].headers["authorization"] == "Bearer the-providers-key"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_not_asked_for_this_machine(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """L1."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    url, _ = bridged(right)
    assert text(post(url, HI)) == "right"


def test_forwarded_headers_open_no_door(bridged: Bridged) -> None:
    """L5: what a header says of the sender is not believed."""
    url, _ = bridged(right)
    claims = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "::1"}
    reply = post(url, HI, Host="evil.example", **claims)
    assert reply.status_code == 403
    assert post(url, HI, "/_bridge/reload", **claims).status_code in (401, 403)


def test_long_ids_where_nine_letters_are_wanted(bridged: Bridged) -> None:
    """C12, checklist line 5."""
    ids = [f"call_{number}{'x' * 34}" for number in range(2)]
    calls = [
        {"id": known, "type": "function", "function": {"name": "t", "arguments": {}}}
        for known in ids
    ]
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        *({"role": "tool", "tool_call_id": known, "content": known} for known in reversed(ids)),
    ]
    url, upstream = bridged(right, quirks=("nine_letter_ids",))
    assert post(url, HI | {"messages": turns}).status_code == 200
    _, asked, *results = upstream.calls[0].body["messages"]
    sent = [call["id"] for call in asked["tool_calls"]]
    assert all(len(known) == 9 and known.isalnum() for known in sent)
    assert [(r["tool_call_id"], r["content"]) for r in results] == [
        (sent[1], ids[1]),
        (sent[0], ids[0]),
    ]


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_stop_string_split_over_chunks(bridged: Bridged, cut: int) -> None:
    """F14, checklist line 11."""
    pieces = ["before ", "STOP"[:cut], "STOP"[cut:], " after"]
    act = streaming(*(delta(content=piece) for piece in pieces), delta("stop"))
    url, _ = bridged(act, quirks=("no_stops",))
    reply = post(url, HI | {"stream": True, "options": {"stop": ["STOP"]}})
    assert text(reply) == "before "
    assert lines(reply)[-1]["done_reason"] == "stop"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("form", ["json", {"type": "object"}, None])
def test_json_in_a_fence(bridged: Bridged, stream: bool, form: Any) -> None:
    """E9: taken off where JSON was asked for, and only there."""
    fenced = '```json\n{"a": 1}\n```'
    url, _ = bridged(streaming(*(delta(content=piece) for piece in fenced), delta("stop")))
    reply = post(url, HI | {"stream": stream} | ({"format": form} if form else {}))
    assert text(reply) == ('{"a": 1}' if form else fenced)


TABLE = {
    "vllm": {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    "sglang": {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    "openrouter": {"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    "llamacpp": {
        name: name
        for name in (
            *("top_k", "min_p", "repeat_penalty", "repeat_last_n", "typical_p"),
            *("mirostat", "mirostat_tau", "mirostat_eta"),
        )
    },
    "lmstudio": {"top_k": "top_k", "repeat_penalty": "repeat_penalty"},
    "openai": {},
    "mistral": {},
    "groq": {},
    "deepseek": {},
}
"""Rows of the option table M in which services differ."""


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_options(name: str) -> None:
    """M: each option goes up under the service's own name, or not at all."""
    extra = PRESETS[name].extra_options
    assert dict(extra) == TABLE[name]
    given = {"repeat_last_n": 64, "typical_p": 0.7, "mirostat": 2, "mirostat_tau": 5.0}
    given |= {"top_k": 40, "min_p": 0.1, "repeat_penalty": 1.1, "mirostat_eta": 0.1, "num_ctx": 9}
    assert options.to_openai(given, extra) == {
        sent: given[option] for option, sent in TABLE[name].items()
    }
