"""An upstream that refuses what it is asked: one corrected attempt each, and the next is right."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fake_upstream import Call

Bridged = Callable[..., Any]
Say = Callable[[Call], tuple[str, str] | None]

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
OPTIONS = {"num_predict": 100, "temperature": 0.5, "seed": 7, "presence_penalty": 0.5}


def chat(stream: bool = False, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}]
    return {"model": "m", "messages": messages, "stream": stream, "options": OPTIONS} | more


async def answer(call: Call, text: str = "right") -> None:
    """What was asked for: a stream or one object, a chat or a text completion."""
    told = {"finish_reason": "stop", "index": 0}
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    if call.path.endswith("/completions") and "messages" not in call.body:
        whole, piece = {"text": text} | told, {"text": text} | told
    else:
        whole = {"message": {"role": "assistant", "content": text}} | told
        piece = {"delta": {"content": text}} | told
    if not call.body.get("stream"):
        await call.json({"choices": [whole], "usage": usage})
        return
    await call.start()
    await call.event({"choices": [piece]})
    await call.event({"choices": [], "usage": usage})
    await call.write("data: [DONE]\n\n", more=False)


def refusing(*rules: Callable[[dict[str, Any]], str]) -> Any:
    """An upstream that refuses with the first sentence that a rule has for the body."""

    async def act(call: Call) -> None:
        for rule in rules:
            if said := rule(call.body):
                await call.json({"error": {"message": said, "type": "invalid_request_error"}}, 400)
                return
        await answer(call)

    return act


def no(key: str, sentence: str) -> Callable[[dict[str, Any]], str]:
    return lambda body: sentence if key in body else ""


def no_stream(body: dict[str, Any]) -> str:
    return "Your organization must be verified to stream this model." if body.get("stream") else ""


def no_system(body: dict[str, Any]) -> str:
    roles = [turn["role"] for turn in body["messages"]]
    return "System role not supported" if "system" in roles else ""


def no_schema(body: dict[str, Any]) -> str:
    form = body.get("response_format", {})
    unable = "This response_format type is unavailable now: json_schema"
    return unable if form.get("type") == "json_schema" else ""


FIVE = (
    no("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    no("stream_options", "Unrecognized request argument supplied: stream_options"),
    no_stream,
    no_system,
    no("seed", "Argument not supported on this model: seed"),
    no_schema,
)


def texts(reply: httpx.Response) -> str:
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[-1]["done"], lines
    assert lines[-1]["done_reason"] == "stop"
    return "".join(line["message"]["content"] for line in lines)


def learned(url: str) -> dict[str, list[str]]:
    headers = {"Authorization": "Bearer test-token"}
    status = httpx.get(f"{url}/_bridge/status", headers=headers, timeout=10)
    return {row["model"]: row["learned"] for row in status.json()["learned"]}


@pytest.mark.parametrize("stream", [True, False])
def test_six_refusals_end_in_a_right_answer_and_the_next_is_right_at_once(
    bridged: Bridged, stream: bool
) -> None:
    url, upstream = bridged(refusing(*FIVE))
    asked = chat(stream, format=SCHEMA)
    reply = httpx.post(f"{url}/api/chat", json=asked, timeout=10)
    assert reply.status_code == 200, reply.text
    assert texts(reply) == "right"
    refusals = 6 if stream else 4
    assert len(upstream.calls) == refusals + 1
    bodies = [json.dumps(call.body, sort_keys=True) for call in upstream.calls]
    assert len(set(bodies)) == len(bodies), "nothing is asked twice unchanged"
    again = httpx.post(f"{url}/api/chat", json=asked, timeout=10)
    assert texts(again) == "right"
    assert len(upstream.calls) == refusals + 2, "exactly one call the second time"
    sent = upstream.calls[-1].body
    assert sent["max_completion_tokens"] == 100
    assert sent["temperature"] == 0.5
    assert sent["response_format"] == {"type": "json_object"}
    assert [turn["role"] for turn in sent["messages"]] == ["user"]
    for words in ("Be short.", "hi", '"x"'):
        assert words in sent["messages"][0]["content"]
    names = learned(url)["fake/m"]
    assert {"new_token_limit", "fold_system", "drop:seed", "schema_to_object"} <= set(names)


@pytest.mark.parametrize("stream", [True, False])
def test_the_passage_learns_as_well(bridged: Bridged, stream: bool) -> None:
    url, upstream = bridged(refusing(*FIVE))
    body = {
        "model": "m",
        "stream": stream,
        "max_tokens": 9,
        "seed": 1,
        "messages": chat()["messages"],
        "stream_options": {"include_usage": True},
    }
    if not stream:
        del body["stream_options"]
    for _ in range(2):
        reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10)
        assert reply.status_code == 200, reply.text
        assert "right" in reply.text
        assert (reply.headers["content-type"].startswith("text/event-stream")) is stream
        if stream:
            assert reply.text.rstrip().endswith("data: [DONE]")
            assert '"usage":{' in reply.text
    assert len(upstream.calls) == (5 if stream else 3) + 2


def test_generate_learns_for_chat_and_back(bridged: Bridged) -> None:
    url, upstream = bridged(refusing(FIVE[0], no_system))
    asked = {"model": "m", "prompt": "hi", "system": "Be short.", "stream": False}
    reply = httpx.post(f"{url}/api/generate", json=asked | {"options": OPTIONS}, timeout=10)
    assert reply.json()["response"] == "right"
    assert len(upstream.calls) == 3
    assert texts(httpx.post(f"{url}/api/chat", json=chat(), timeout=10)) == "right"
    assert len(upstream.calls) == 4


def test_embeddings_learn_on_both_routes(bridged: Bridged) -> None:
    async def act(call: Call) -> None:
        for key in ("encoding_format", "dimensions"):
            if key in call.body:
                said = f"Unsupported parameter: {key}"
                await call.json({"error": {"message": said}}, 400)
                return
        rows = [{"index": 0, "embedding": [3.0, 4.0, 12.0]}]
        await call.json({"data": rows, "usage": {"prompt_tokens": 1}})

    url, upstream = bridged(act)
    for path in ("/api/embed", "/v1/embeddings"):
        asked = {"model": "m", "input": "hi", "dimensions": 2}
        reply = httpx.post(f"{url}{path}", json=asked, timeout=10).json()
        vector = reply["embeddings"][0] if path == "/api/embed" else reply["data"][0]["embedding"]
        assert vector == pytest.approx([0.6, 0.8])
    assert len(upstream.calls) == 4
    httpx.post(f"{url}/api/embed", json=asked, timeout=10)
    assert len(upstream.calls) == 5


def test_a_refusal_that_teaches_nothing_is_passed_on_at_once(bridged: Bridged) -> None:
    url, upstream = bridged(refusing(lambda _: "The moon is in the wrong house."), retries=3)
    reply = httpx.post(f"{url}/api/chat", json=chat(), timeout=10)
    assert reply.status_code == 400
    assert reply.json() == {"error": "fake: The moon is in the wrong house."}
    assert len(upstream.calls) == 1
    assert learned(url) == {}


def test_what_did_not_help_is_not_remembered(bridged: Bridged) -> None:
    unhappy = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    url, upstream = bridged(refusing(lambda _: unhappy))
    reply = httpx.post(f"{url}/api/chat", json=chat(), timeout=10)
    assert reply.status_code == 400
    assert unhappy in reply.json()["error"]
    bodies = [json.dumps(call.body, sort_keys=True) for call in upstream.calls]
    assert len(set(bodies)) == len(bodies) == 2
    assert learned(url) == {}


def test_lessons_hold_for_one_model_and_are_bounded(bridged: Bridged) -> None:
    url, upstream = bridged(refusing(FIVE[0]), models=("m", "n"))
    for model in ("m", "n", "m", "n"):
        httpx.post(f"{url}/api/chat", json=chat() | {"model": model}, timeout=10)
    assert len(upstream.calls) == 6
    assert learned(url) == {"fake/m": ["new_token_limit"], "fake/n": ["new_token_limit"]}


def test_a_limit_that_is_too_high_is_lowered_to_the_number_named(bridged: Bridged) -> None:
    def rule(body: dict[str, Any]) -> str:
        said = "max_tokens is too large: 100000. This model supports at most 4096 completion tokens"
        return said if body.get("max_tokens", 0) > 4096 else ""

    url, upstream = bridged(refusing(rule))
    asked = chat(options={"num_predict": 100_000})
    for _ in range(2):
        assert texts(httpx.post(f"{url}/api/chat", json=asked, timeout=10)) == "right"
    assert [call.body["max_tokens"] for call in upstream.calls] == [100_000, 4096, 4096]
    httpx.post(f"{url}/api/chat", json=chat(), timeout=10)
    assert upstream.calls[-1].body["max_tokens"] == 100, "a lower wish stands"


def test_stop_strings_refused_are_watched_for_here(bridged: Bridged) -> None:
    stop = "Unsupported parameter: 'stop' is not supported with this model."

    async def act(call: Call) -> None:
        if "stop" in call.body:
            await call.json({"error": {"message": stop, "param": "stop"}}, 400)
        else:
            await answer(call, "one END two")

    url, upstream = bridged(act)
    asked = chat(options={"stop": ["END"]})
    for _ in range(2):
        assert texts(httpx.post(f"{url}/api/chat", json=asked, timeout=10)) == "one "
    assert len(upstream.calls) == 3
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stop": ["END"]}
    reply = httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=10)
    assert reply.status_code == 400
    assert "takes no stop strings" in reply.json()["error"]["message"]


def test_a_model_without_tools_says_so_in_ollamas_words_and_is_listed_so(bridged: Bridged) -> None:
    said = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    url, upstream = bridged(refusing(no("tools", said)))
    for _ in range(2):
        reply = httpx.post(f"{url}/api/chat", json=chat(tools=[TOOL]), timeout=10)
        assert reply.status_code == 400
        assert "does not support tools" in reply.json()["error"]
    assert len(upstream.calls) == 1, "the second is refused here"
    shown = httpx.post(f"{url}/api/show", json={"model": "m"}, timeout=10).json()
    assert "tools" not in shown["capabilities"]
    assert learned(url) == {"fake/m": ["lacks:tools"]}


def test_what_a_target_refuses_is_learned_before_the_next_target_is_asked(
    bridged: Bridged,
) -> None:
    from ollama_bridge.providers.provider import Alias

    url, upstream = bridged(
        refusing(FIVE[0]), models=("m", "n"), aliases={"both": Alias(targets=("fake/m", "fake/n"))}
    )
    reply = httpx.post(f"{url}/api/chat", json=chat() | {"model": "both"}, timeout=10)
    assert texts(reply) == "right"
    assert reply.headers["x-ollama-bridge-model"] == "fake/m"
    assert len(upstream.calls) == 2


def test_a_lesson_is_kept_through_a_pause(bridged: Bridged) -> None:
    """503 after a lesson: the retry starts corrected."""
    answers = iter([0, 503])

    async def act(call: Call) -> None:
        if said := FIVE[0](call.body):
            await call.json({"error": {"message": said}}, 400)
        elif status := next(answers, 0):
            await call.json({"error": {"message": "busy"}}, status)
        else:
            await answer(call)

    async def sleep(_: float) -> None:
        return None

    next(answers)
    url, upstream = bridged(act, retries=2, sleep=sleep)
    assert texts(httpx.post(f"{url}/api/chat", json=chat(), timeout=10)) == "right"
    assert ["max_tokens" in call.body for call in upstream.calls] == [True, False, False]


def test_reload_forgets_what_was_learned_of_a_provider_that_changed() -> None:
    import asyncio
    from dataclasses import replace
    from pathlib import Path

    from bridges import NoKeys

    from ollama_bridge.config import Config
    from ollama_bridge.providers.provider import Provider, Target
    from ollama_bridge.server.bridge import Bridge

    one = Provider(name="one", url="http://127.0.0.1:9/v1", key="none")
    two = replace(one, name="two")

    async def run() -> dict[tuple[str, str], tuple[str, ...]]:
        config = Config(path=Path("c.toml"), providers={"one": one, "two": two})
        bridge = Bridge(config, keys=NoKeys())
        for row in (one, two):
            bridge.lose(Target(row, "m"), "tools")
        changed = replace(two, url="http://127.0.0.1:10/v1")
        await bridge.reload(replace(config, providers={"one": one, "two": changed}))
        assert bridge.catalog.resolve("one/m").refuses >= {"tools"}
        assert "tools" not in bridge.catalog.resolve("two/m").refuses
        await bridge.aclose()
        return dict(bridge.memory.all())

    assert asyncio.run(run()) == {("one", "m"): ("lacks:tools",)}


def test_memory_is_bounded() -> None:
    from ollama_bridge.providers.provider import Provider, Target
    from ollama_bridge.server import learning

    row = Provider(name="p", url="http://127.0.0.1:9/v1", key="none")
    memory = learning.Memory()
    for number in range(learning.MODELS + 5):
        memory.add(Target(row, f"m{number}"), "no_stops")
    assert len(memory.all()) == learning.MODELS
    last = Target(row, f"m{learning.MODELS + 4}")
    for number in range(learning.LESSONS + 5):
        memory.add(last, f"drop:key{number}")
    memory.add(last, "most_tokens:9")
    memory.add(last, "most_tokens:5")
    assert len(memory.of(last)) == learning.LESSONS
    assert "most_tokens:9" not in memory.of(last)
