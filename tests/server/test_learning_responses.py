"""Models that refuse chats, or what was added to a chat on its way to /v1/responses (quirks A8, A9)."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fake_upstream import Call

Bridged = Callable[..., Any]
Body = dict[str, Any]

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def error(message: str, **more: Any) -> Body:
    told = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return {"error": told | more}


NO_CHAT = {
    "openai": (404, error("This model is only supported in v1/responses and not in v1/chat/completions.", param="model")),
    "openai's newer": (404, error("This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?", param="model")),
    "copilot": (400, {"error": {"message": 'model "m" is not accessible via the /chat/completions endpoint', "code": "unsupported_api_for_model"}}),
    "azure": (400, {"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with the specified model, m. Please choose different model and try again. You can learn more about which models can be used with each operation here: https://go.microsoft.com/fwlink/?linkid=2197993."}}),
    "a gateway": (400, error("Unsupported legacy protocol: /v1/chat/completions is not supported. Please use /v1/responses.")),
}  # fmt: skip
"""What services answered to a chat, by the issues that quote them."""

TOOLS_AND_EFFORT = (
    "Function tools with reasoning_effort are not supported for m in /v1/chat/completions. "
    "To use function tools, use /v1/responses or set reasoning_effort to 'none'."
)


def said(text: str) -> Body:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [{"type": "message", "role": "assistant", "content": [part]}],
        "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
    }


def refusing(
    chat: tuple[int, Body] | None, *rules: Callable[[Body], Body | None], route: bool = True
) -> Any:
    """Refuses chats with `chat`, and responses with what the first rule has to say."""

    async def act(call: Call) -> None:
        if call.path == "/v1/chat/completions":
            if chat and (chat[0] != 400 or call.body.get("reasoning_effort") != "none"):
                await call.json(chat[1], chat[0])
            else:
                answer = {"message": {"content": "by chat"}, "finish_reason": "stop", "index": 0}
                await call.json({"choices": [answer]})
        elif not route:
            await call.json({"detail": "Not Found"}, 404)
        elif found := next(filter(None, (rule(call.body) for rule in rules)), None):
            await call.json(found, 400)
        else:
            await call.json(said("by responses"))

    return act


def ask(url: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/api/chat", json=ASK | more, timeout=10)


def learned(url: str) -> list[str]:
    headers = {"Authorization": "Bearer test-token"}
    rows = httpx.get(f"{url}/_bridge/status", headers=headers, timeout=10).json()["learned"]
    return [name for row in rows for name in row["learned"]]


def paths(upstream: Any) -> list[str]:
    return [call.path.removeprefix("/v1") for call in upstream.calls]


@pytest.mark.parametrize("service", NO_CHAT)
def test_a_model_without_chats_is_reached_all_the_same(bridged: Bridged, service: str) -> None:
    url, upstream = bridged(refusing(NO_CHAT[service]))
    for _ in range(2):
        assert ask(url).json()["message"]["content"] == "by responses"
    assert paths(upstream) == ["/chat/completions", "/responses", "/responses"]
    assert learned(url) == ["responses_only"]


@pytest.mark.parametrize("service", NO_CHAT)
def test_where_there_is_no_such_route_the_first_refusal_stands(
    bridged: Bridged, service: str
) -> None:
    status, body = NO_CHAT[service]
    url, upstream = bridged(refusing((status, body), route=False))
    reply = ask(url)
    assert reply.status_code == status
    assert body["error"]["message"] in reply.json()["error"]
    assert paths(upstream) == ["/chat/completions", "/responses"]
    assert learned(url) == []


def test_who_says_the_same_there_is_not_asked_there_again(bridged: Bridged) -> None:
    """A gateway that answers every path alike."""
    refusal = error(TOOLS_AND_EFFORT)
    url, upstream = bridged(refusing((400, refusal), lambda _: refusal))
    for _ in range(2):
        reply = ask(url, tools=[TOOL], think=True)
        assert reply.json()["message"]["content"] == "by chat"
    assert paths(upstream) == ["/chat/completions", "/responses", *["/chat/completions"] * 2]
    assert learned(url) == ["no_effort_with_tools"]


def test_tools_with_effort_go_there_too(bridged: Bridged) -> None:
    """Thinking is kept; the other way out, to think no more, is for who has no such route."""
    url, upstream = bridged(refusing((400, error(TOOLS_AND_EFFORT, param="reasoning_effort"))))
    assert ask(url, tools=[TOOL], think=True).json()["message"]["content"] == "by responses"
    assert upstream.calls[-1].body["reasoning"]["effort"] == "medium"
    assert ask(url, tools=[TOOL], think=True).status_code == 200
    assert len(upstream.calls) == 3


def test_tools_with_effort_step_down_where_there_is_no_such_route(bridged: Bridged) -> None:
    url, upstream = bridged(refusing((400, error(TOOLS_AND_EFFORT)), route=False))
    for _ in range(2):
        reply = ask(url, tools=[TOOL], think=True)
        assert reply.json()["message"]["content"] == "by chat"
    assert paths(upstream) == ["/chat/completions", "/responses", *["/chat/completions"] * 2]
    assert upstream.calls[-1].body["reasoning_effort"] == "none"
    assert learned(url) == ["no_effort_with_tools"]


def test_after_the_step_down_other_troubles_are_told_as_they_are(bridged: Bridged) -> None:
    async def act(call: Call) -> None:
        if call.path.endswith("/responses"):
            await call.json({"detail": "Not Found"}, 404)
        elif call.body.get("reasoning_effort") != "none":
            await call.json(error(TOOLS_AND_EFFORT), 400)
        else:
            await call.json(error("overloaded"), 503)

    url, upstream = bridged(act)
    reply = ask(url, tools=[TOOL], think=True)
    assert (reply.status_code, reply.json()) == (503, {"error": "fake: overloaded"})
    assert len(upstream.calls) == 3


ADDED: dict[str, tuple[Callable[[Body], bool], Body, str]] = {
    "sealed thoughts": (
        lambda body: "include" in body,
        error("Encrypted content is not supported with this model.", param="include"),
        "not_in_response:include",
    ),
    "summaries": (
        lambda body: "summary" in body.get("reasoning", {}),
        error("Your organization must be verified to generate reasoning summaries. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.", param="reasoning.summary", code="unsupported_value"),
        "not_in_response:reasoning.summary",
    ),
    "not to be stored": (
        lambda body: "store" in body,
        error("Unknown parameter: 'store'.", param="store", code="unknown_parameter"),
        "not_in_response:store",
    ),
    "sampling": (
        lambda body: "temperature" in body,
        error("Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"),
        "drop:temperature",
    ),
    "a limit": (
        lambda body: body.get("max_output_tokens", 0) > 4096,
        error("max_output_tokens is too large: 100000. This model supports at most 4096 output tokens", param="max_output_tokens"),
        "most_tokens:4096",
    ),
    "an effort": (
        lambda body: body.get("reasoning", {}).get("effort") == "medium",
        error("Unsupported value: 'medium' is not supported with this model. Supported values are: 'high'.", param="reasoning.effort", code="unsupported_value"),
        "effort:medium=high",
    ),
    "schemas": (
        lambda body: body.get("text", {}).get("format", {}).get("type") == "json_schema",
        error("Invalid parameter: 'text.format' of type 'json_schema' is not supported with this model.", param="text.format"),
        "schema_to_object",
    ),
    "streams": (
        lambda body: body["stream"],
        error("Your organization must be verified to stream this model.", param="stream", code="unsupported_value"),
        "no_stream",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ADDED)
def test_each_refusal_there_is_learned_from(bridged: Bridged, what: str) -> None:
    holds, refusal, lesson = ADDED[what]
    act = refusing(NO_CHAT["openai"], lambda body: refusal if holds(body) else None)
    url, upstream = bridged(act)
    asked: Body = {"tools": [TOOL], "think": True, "stream": what == "streams"}
    asked |= {"options": {"temperature": 0.5, "num_predict": 100_000}, "format": {"type": "object"}}
    for _ in range(2):
        assert "by responses" in ask(url, **asked).text
    assert len(upstream.calls) == 4, "the second is right at once"
    assert learned(url) == ["responses_only", lesson]


def test_all_of_them_in_turn(bridged: Bridged) -> None:
    rules = [
        lambda body, holds=holds, refusal=refusal: refusal if holds(body) else None
        for what, (holds, refusal, _) in ADDED.items()
        if what not in ("an effort", "streams")
    ]
    url, upstream = bridged(refusing(NO_CHAT["openai"], *rules))
    asked: Body = {"tools": [TOOL], "think": True, "format": {"type": "object"}}
    asked |= {"options": {"temperature": 0.5, "num_predict": 100_000}}
    assert ask(url, **asked).json()["message"]["content"] == "by responses"
    assert len(upstream.calls) == 2 + len(rules)
    assert ask(url, **asked).json()["message"]["content"] == "by responses"
    assert len(upstream.calls) == 3 + len(rules)


def test_an_unchanged_refusal_is_passed_on(bridged: Bridged) -> None:
    moon = error("The moon is in the wrong house.")
    url, upstream = bridged(refusing(NO_CHAT["openai"], lambda _: moon))
    reply = ask(url)
    assert (reply.status_code, reply.json()) == (
        400,
        {"error": "fake: The moon is in the wrong house."},
    )
    assert paths(upstream) == ["/chat/completions", "/responses"]


@pytest.mark.parametrize(
    "old",
    [
        error(
            "The encrypted content gAAAA could not be verified.", code="invalid_encrypted_content"
        ),
        error("Item 'rs_1' of type 'reasoning' was provided without its required following item."),
    ],
)
def test_sealed_thoughts_that_are_no_longer_taken_are_left_behind(
    bridged: Bridged, old: Body
) -> None:
    sealed = {"type": "reasoning.encrypted", "data": "gAAAA", "format": "openai-responses-v1"}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_details": [sealed]},
        {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
    ]

    def rule(body: Body) -> Body | None:
        return old if any(item["type"] == "reasoning" for item in body["input"]) else None

    url, upstream = bridged(refusing(None, rule), quirks=("responses_only",))
    body = ASK | {"messages": turns, "tools": [TOOL]}
    reply = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=10)
    assert reply.json()["choices"][0]["message"]["content"] == "by responses"
    assert len(upstream.calls) == 2
    assert learned(url) == []


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_a_limit_met_after_the_beginning_is_waited_for(bridged: Bridged, path: str) -> None:
    """Nothing was told to the client yet: the first events of a response say nothing of a chat."""
    failed = said("") | {"status": "failed", "output": []}
    failed["error"] = {"code": "rate_limit_exceeded", "message": "Rate limit reached"}
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def act(call: Call) -> None:
        await call.start()
        await call.event({"type": "response.created", "response": failed | {"error": None}})
        if not pauses:
            await call.event({"type": "response.failed", "response": failed})
        else:
            await call.event({"type": "response.completed", "response": said("at last")})
        await call.write("", more=False)

    url, upstream = bridged(act, quirks=("responses_only",), retries=2, sleep=sleep)
    body = ASK | {"stream": True, "max_tokens": 99}
    reply = httpx.post(f"{url}{path}", json=body, timeout=10)
    assert reply.status_code == 200, reply.text
    assert "at last" in reply.text
    assert "Rate limit" not in reply.text
    assert (len(upstream.calls), len(pauses)) == (2, 1)
