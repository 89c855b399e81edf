"""Each refusal of a service that is known: one corrected request, and right at once from then on.

The refusals are those of real services, cut to their words. Real servers on free ports.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest
from fake_upstream import Act, Call

Body = dict[str, Any]
Bridged = Callable[..., Any]

TOKEN = {"Authorization": "Bearer test-token"}
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def openai_error(text: str, param: str | None = None, code: str | None = None) -> Body:
    return {
        "error": {"message": text, "type": "invalid_request_error", "param": param, "code": code}
    }


class Refusal(NamedTuple):
    """One thing that an upstream does not take."""

    row: str
    """Of the quirks reference."""
    asked: Body
    """What the client adds to a plain request."""
    found: Callable[[Body], Any]
    """Whether a body has it."""
    said: Any
    status: int = 400
    path: str = "/api/chat"


def has(key: str) -> Callable[[Body], bool]:
    return lambda body: key in body


def role(name: str) -> Callable[[Body], bool]:
    return lambda body: any(turn["role"] == name for turn in body["messages"])


def form(kind: str) -> Callable[[Body], bool]:
    return lambda body: body.get("response_format", {}).get("type") == kind


def roles(body: Body) -> list[str]:
    return [turn["role"] for turn in body["messages"]]


def unsupported(name: str) -> Body:
    text = f"Unsupported parameter: '{name}' is not supported with this model."
    return openai_error(text, name, "unsupported_parameter")


def extra(name: str) -> Body:
    where = ["body", name]
    detail = [{"type": "extra_forbidden", "loc": where, "msg": "Extra inputs are not permitted"}]
    return {"detail": detail}


SYSTEM = {"messages": [{"role": "system", "content": "Be brief."}, *HI["messages"]]}

REFUSALS = [
    Refusal(
        "A1",
        {"options": {"num_predict": 9}},
        has("max_tokens"),
        openai_error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
    ),
    Refusal("A2", {"options": {"seed": 1}}, has("seed"), extra("seed"), 422),
    Refusal(
        "A2",
        {"max_completion_tokens": 9},
        has("max_completion_tokens"),
        extra("max_completion_tokens"),
        422,
        "/v1/chat/completions",
    ),
    Refusal(
        "A4", {"options": {"temperature": 0.1}}, has("temperature"), unsupported("temperature")
    ),
    Refusal("A5", {"options": {"stop": ["x"]}}, has("stop"), unsupported("stop")),
    Refusal(
        "A6",
        {"options": {"stop": list("abcdef")}},
        lambda body: len(body.get("stop", ())) > 4,
        openai_error("Invalid 'stop': array too long. Expected at most 4 items.", "stop"),
    ),
    Refusal(
        "A7",
        {"top_k": 5},
        has("top_k"),
        openai_error("Unrecognized request argument supplied: top_k"),
        400,
        "/v1/chat/completions",
    ),
    Refusal(
        "A8",
        {"tools": [WEATHER], "think": "high"},
        lambda body: "tools" in body and body.get("reasoning_effort") != "none",
        openai_error(
            "Function tools with reasoning_effort are not supported: set it to 'none'.",
            "reasoning_effort",
        ),
    ),
    Refusal(
        "A10",
        {"stream": True},
        lambda body: body.get("stream"),
        openai_error(
            "Your organization must be verified to stream this model.",
            "stream",
            "unsupported_value",
        ),
    ),
    Refusal(
        "A11",
        {"stream": True},
        has("stream_options"),
        extra("stream_options"),
        422,
    ),
    Refusal(
        "A12",
        {"logprobs": True},
        has("logprobs"),
        {"message": "Logprobs are not enabled for this model", "code": "3051", "object": "error"},
    ),
    Refusal(
        "A13",
        {"stream": False},
        lambda body: not body.get("stream"),
        openai_error("This model only support stream mode, please enable the stream parameter."),
    ),
    Refusal(
        "A15",
        {"options": {"num_predict": 5000}},
        lambda body: body.get("max_tokens", 0) > 4096,
        openai_error("Invalid max_tokens value, the valid range of max_tokens is [1, 4096]"),
    ),
    Refusal(
        "B1",
        {"messages": [{"role": "developer", "content": "Be brief."}, *HI["messages"]]},
        role("developer"),
        openai_error(
            "Failed to deserialize the JSON body into the target type: messages[0].role: "
            "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`"
        ),
        400,
        "/v1/chat/completions",
    ),
    Refusal(
        "B1b",
        SYSTEM,
        role("system"),
        openai_error(
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "messages[0].role",
            "unsupported_value",
        ),
    ),
    Refusal(
        "B2",
        {"messages": [*HI["messages"], {"role": "user", "content": "there"}]},
        lambda body: roles(body).count("user") > 1,
        openai_error("Conversation roles must alternate user/assistant/user/assistant/..."),
    ),
    Refusal(
        "B3",
        SYSTEM,
        role("system"),
        openai_error("System role not supported"),
        500,
    ),
    Refusal(
        "B4",
        {"messages": [*SYSTEM["messages"], {"role": "system", "content": "More."}]},
        lambda body: "system" in roles(body)[1:],
        openai_error("System message must be at the beginning."),
        500,
    ),
    Refusal(
        "B9",
        {
            "messages": [
                *HI["messages"],
                {"role": "assistant", "content": "a", "reasoning_content": "hm"},
                *HI["messages"],
            ]
        },
        lambda body: any("reasoning_content" in turn for turn in body["messages"]),
        openai_error(
            "'messages.1' : for 'role:assistant' the following must be satisfied"
            "[('messages.1' : property 'reasoning_content' is unsupported)]"
        ),
        400,
        "/v1/chat/completions",
    ),
    Refusal(
        "C15",
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "$schema": "http://json-schema.org/draft-07/schema#",
                            "type": "object",
                            "properties": {"a": {"const": 1}},
                        },
                    },
                }
            ]
        },
        lambda body: "$schema" in json.dumps(body.get("tools")),
        [
            {
                "error": {
                    "code": 400,
                    "message": 'Invalid JSON payload received. Unknown name "$schema" at '
                    "'tools[0].function_declarations[0].parameters': Cannot find field.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    Refusal(
        "C20",
        {"tools": [WEATHER], "format": "json"},
        lambda body: "tools" in body and "response_format" in body,
        [
            {
                "error": {
                    "code": 400,
                    "message": "Function calling with a response mime type: 'application/json' "
                    "is unsupported",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    Refusal(
        "E1",
        {"format": SCHEMA},
        form("json_schema"),
        openai_error("This response_format type is unavailable now"),
    ),
    Refusal(
        "E4",
        {"format": "json"},
        form("json_object"),
        {"error": "'response_format.type' must be 'json_schema' or 'text'"},
    ),
    Refusal(
        "8c",
        {"options": {"temperature": 0.1}},
        has("temperature"),
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps(unsupported("temperature"))},
            }
        },
    ),
]


def taking(*refused: tuple[Callable[[Body], Any], Any, int]) -> Act:
    """Refuses the first of these that a body has; answers a body that has none."""

    async def act(call: Call) -> None:
        for found, said, status in refused:
            if found(call.body):
                await call.json(said, status)
                return
        if call.body.get("stream"):
            await call.start()
            await call.text("right")
            await call.text("", "stop")
            await call.write("data: [DONE]\n\n", more=False)
            return
        message = {"role": "assistant", "content": "right"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await call.json(
            {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        )

    return act


def ask(url: str, path: str, body: Body) -> str:
    """The text of the answer, streamed or not."""
    reply = httpx.post(f"{url}{path}", json=body, timeout=10)
    assert reply.status_code == 200, reply.text
    said = [
        json.loads(found)
        for found in re.findall(r"^(?:data: )?(\{.*\})$", reply.text, re.MULTILINE)
    ]
    if path.startswith("/v1"):
        return "".join(
            (choice.get("delta") or choice.get("message"))["content"] or ""
            for line in said
            for choice in line["choices"]
        )
    assert said[-1]["done"] is True
    return "".join(line["message"]["content"] for line in said)


@pytest.mark.parametrize("case", REFUSALS, ids=[case.row for case in REFUSALS])
def test_one_more_request_and_then_none(bridged: Bridged, case: Refusal) -> None:
    url, upstream = bridged(taking((case.found, case.said, case.status)))
    body = {**HI, "stream": False} | case.asked
    assert ask(url, case.path, body) == "right"
    assert case.found(upstream.calls[0].body)
    assert len(upstream.calls) == 2
    assert ask(url, case.path, body) == "right"
    assert len(upstream.calls) == 3, "what was learned once is known"


FIVE: tuple[tuple[Callable[[Body], Any], Any, int], ...] = (
    (has("stream_options"), extra("stream_options"), 422),
    (has("max_tokens"), REFUSALS[0].said, 400),
    (has("temperature"), unsupported("temperature"), 400),
    (role("system"), openai_error("System role not supported"), 400),
    (form("json_schema"), openai_error("This response_format type is unavailable now"), 400),
    (has("seed"), extra("seed"), 422),
)
DEMANDING = {
    "model": "m",
    "format": SCHEMA,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
    "options": {"temperature": 0.1, "num_predict": 9, "seed": 1},
}


@pytest.mark.parametrize("stream", [True, False])
def test_five_refusals_in_turn_and_the_next_request_is_right_at_once(
    bridged: Bridged, stream: bool
) -> None:
    url, upstream = bridged(taking(*FIVE))
    body = DEMANDING | {"stream": stream}
    assert ask(url, "/api/chat", body) == "right"
    assert len(upstream.calls) == (7 if stream else 6)
    last = upstream.calls[-1].body
    assert last["max_completion_tokens"] == 9
    assert last["response_format"] == {"type": "json_object"}
    assert "Be brief." in last["messages"][0]["content"]
    assert '"required":["a"]' in last["messages"][0]["content"]
    assert last["messages"][0]["content"].count("Be brief.") == 1
    before = len(upstream.calls)
    assert ask(url, "/api/chat", body) == "right"
    assert len(upstream.calls) == before + 1
    assert upstream.calls[-1].body == last


def test_what_was_learned_is_shown(bridged: Bridged) -> None:
    url, _ = bridged(taking((has("seed"), extra("seed"), 422)))
    ask(url, "/api/chat", {**HI, "options": {"seed": 1}})
    status = httpx.get(f"{url}/_bridge/status", headers=TOKEN, timeout=10).json()
    assert status["learned"] == [{"model": "fake/m", "learned": ["drop:seed"]}]


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (
            openai_error(
                "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, "
                "but got 99.0 instead.",
                "temperature",
                "decimal_above_max_value",
            ),
            {"options": {"temperature": 99}},
        ),
        (
            openai_error(
                "This model's maximum context length is 10 tokens. However, you requested "
                "25 tokens (25 in the messages, 0 in the completion)."
            ),
            {},
        ),
        (openai_error("Invalid request"), {"options": {"seed": 1}}),
        (openai_error("Failed to load image or audio file"), {}),
        (openai_error("Unsupported parameter: 'model'", "model"), {}),
        (openai_error("seed is unsupported"), {}),
    ],
)
def test_nothing_is_asked_twice_unchanged(bridged: Bridged, said: Any, asked: Body) -> None:
    """A wrong value is the client's to change, and what was not sent cannot be left out."""
    url, upstream = bridged(taking((lambda _body: True, said, 400)))
    reply = httpx.post(f"{url}/api/chat", json=HI | asked, timeout=10)
    assert reply.status_code == 400
    assert len(upstream.calls) == 1


def test_an_upstream_that_refuses_everything_ends_in_its_own_words(bridged: Bridged) -> None:
    named = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")

    async def act(call: Call) -> None:
        there = next((name for name in named if name in call.body), None)
        said = unsupported(there) if there else openai_error("I do not like this at all")
        await call.json(said, 400)

    url, upstream = bridged(act)
    options = dict.fromkeys(named, 1)
    reply = httpx.post(f"{url}/api/chat", json=HI | {"options": options}, timeout=10)
    assert reply.status_code == 400
    assert reply.json() == {"error": "fake: I do not like this at all"}
    assert len(upstream.calls) == 6
    status = httpx.get(f"{url}/_bridge/status", headers=TOKEN, timeout=10).json()
    assert status["learned"] == [], "what helped nobody is not remembered"


class Ladder(NamedTuple):
    """One thing that is refused in every form: how often it is asked, and in which forms."""

    row: str
    asked: Body
    said: str
    forms: list[Any]
    shown: Callable[[Body], Any]
    """What of a body tells its form."""


LADDERS = [
    Ladder(
        "streams (A10, A13)",
        {"stream": True},
        "Your organization must be verified to stream this model; stream is not supported.",
        [True, False],
        lambda body: body["stream"],
    ),
    Ladder(
        "streams alone (A13)",
        {"stream": False},
        "This model only supports stream mode, please enable the stream parameter.",
        [False, True],
        lambda body: body["stream"],
    ),
    Ladder(
        "stream options (A11)",
        {"stream": True},
        "Unrecognized request argument supplied: stream_options",
        [True, False],
        lambda body: "stream_options" in body,
    ),
    Ladder(
        "a system prompt (B1b, B3)",
        {"messages": DEMANDING["messages"]},
        "System role not supported",
        [["system", "user"], ["user"]],
        lambda body: [turn["role"] for turn in body["messages"]],
    ),
    Ladder(
        "a schema (E5, E8)",
        {"format": SCHEMA},
        "This response_format type is unavailable now",
        ["json_schema", "json_object", None],
        lambda body: body.get("response_format", {}).get("type"),
    ),
    Ladder(
        "tools with effort (A8)",
        {"tools": [WEATHER], "think": "high"},
        "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. "
        "Please use /v1/responses instead.",
        [
            ("high", None),
            (None, {"effort": "high", "summary": "auto"}),
            ("none", None),
            (None, None),
        ],
        lambda body: (body.get("reasoning_effort"), body.get("reasoning")),
    ),
    Ladder(
        "a limit (A15, G17)",
        {"options": {"num_predict": 9000}},
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens.",
        [9000, 4096],
        lambda body: body.get("max_tokens"),
    ),
    Ladder(
        "many stop strings (A6)",
        {"options": {"stop": list("abcdef")}},
        "Invalid 'stop': array too long. Expected an array with maximum length 4.",
        [list("abcdef"), list("abcd"), None],
        lambda body: body.get("stop"),
    ),
    Ladder(
        "a stop string (A5)",
        {"options": {"stop": ["END"]}},
        "Unsupported parameter: 'stop' is not supported with this model.",
        [["END"], None],
        lambda body: body.get("stop"),
    ),
]
"""The steps down of everything the bridge says of itself that it steps down from."""


@pytest.mark.parametrize("ladder", LADDERS, ids=[ladder.row for ladder in LADDERS])
def test_each_way_down_ends_in_a_clear_refusal(bridged: Bridged, ladder: Ladder) -> None:
    async def act(call: Call) -> None:
        if call.path.endswith("/responses"):
            await call.json({"detail": "Not Found"}, 404)
        else:
            await call.json(openai_error(ladder.said), 400)

    url, upstream = bridged(act, retries=2)
    reply = httpx.post(f"{url}/api/chat", json={**HI, "stream": False} | ladder.asked, timeout=10)
    assert reply.status_code == 400
    assert ladder.said in reply.json()["error"]
    assert [ladder.shown(call.body) for call in upstream.calls] == ladder.forms
    status = httpx.get(f"{url}/_bridge/status", headers=TOKEN, timeout=10).json()
    assert not [row for row in status["learned"] if "lacks" not in str(row)]


UNABLE = [
    (
        "tools",
        "tools",
        {"tools": [WEATHER]},
        has("tools"),
        openai_error(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        ),
    ),
    (
        "thinking",
        "thinking",
        {"think": "high"},
        has("reasoning_effort"),
        {
            "code": "Client specified an invalid argument",
            "error": "Model grok-code-fast-1 does not support parameter reasoningEffort.",
        },
    ),
    (
        "vision",
        "images",
        {"messages": [{"role": "user", "content": "hi", "images": [PIXEL]}]},
        lambda body: "image_url" in json.dumps(body),
        openai_error(
            "Failed to deserialize the JSON body into the target type: messages[0]: "
            "unknown variant `image_url`, expected `text` at line 1 column 335"
        ),
    ),
]


@pytest.mark.parametrize(("capability", "word", "asked", "found", "said"), UNABLE)
def test_what_a_model_cannot_do_is_said_in_ollamas_words(
    bridged: Bridged,
    capability: str,
    word: str,
    asked: Body,
    found: Callable[[Body], Any],
    said: Any,
) -> None:
    """Quirks C17, D15, H4; from then on its capabilities tell."""
    url, _ = bridged(taking((found, said, 400)))
    for _ in range(2):
        reply = httpx.post(f"{url}/api/chat", json=HI | asked, timeout=10)
        assert reply.status_code == 400
        assert f"does not support {word}" in reply.json()["error"]
        shown = httpx.post(f"{url}/api/show", json={"model": "m"}, timeout=10).json()
        assert capability not in shown["capabilities"]


def test_a_call_that_could_not_be_read_is_read_here(bridged: Bridged) -> None:
    """Quirk C19: tried once more, then taken from what the model had written."""
    said = {
        "error": {
            "message": "Failed to call a function.",
            "code": "tool_use_failed",
            "failed_generation": '[{"name": "weather", "parameters": {"city": "Paris"}}]',
        }
    }
    url, upstream = bridged(taking((lambda _body: True, said, 400)))
    body = HI | {"tools": [WEATHER], "stream": False}
    reply = httpx.post(f"{url}/api/chat", json=body, timeout=10)
    assert reply.status_code == 200, reply.text
    (call,) = reply.json()["message"]["tool_calls"]
    assert call["function"]["name"] == "weather"
    assert call["function"]["arguments"] == {"city": "Paris"}
    assert len(upstream.calls) == 2
    assert upstream.calls[1].body["temperature"] == 0.2


def embeds(*refused: tuple[Callable[[Body], Any], Any, int]) -> Act:
    async def act(call: Call) -> None:
        for found, said, status in refused:
            if found(call.body):
                await call.json(said, status)
                return
        inputs = call.body["input"]
        inputs = inputs if isinstance(inputs, list) else [inputs]
        rows = [{"index": i, "embedding": [0.6, 0.8, 0.0]} for i in range(len(inputs))]
        await call.json({"data": rows, "usage": {"prompt_tokens": 1}})

    return act


def test_the_size_of_a_batch_is_learned(bridged: Bridged) -> None:
    """Quirk I5."""
    too_many = openai_error("batch size is invalid, it should not be larger than 10")
    url, upstream = bridged(embeds((lambda body: len(body["input"]) > 10, too_many, 400)))
    body = {"model": "m", "input": [str(number) for number in range(20)]}
    for _ in range(2):
        reply = httpx.post(f"{url}/api/embed", json=body, timeout=10).json()
        assert len(reply["embeddings"]) == 20
    sizes = [len(call.body["input"]) for call in upstream.calls]
    assert sizes == [20, 10, 10, 10, 10]
