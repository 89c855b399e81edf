"""Models that speak only /v1/responses, through every route, with the official clients (quirk A9)."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from bridges import bridge_app
from contract import responses_only
from contract.responses_only import JSON_ANSWER, SEALED, SPOKEN, THOUGHT, FakeUpstream
from servers import served

from ollama_bridge.providers.provider import Alias, Provider

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather", "parameters": SCHEMA},
}
HELLO: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
THOUGHTS = "\n\n".join(THOUGHT)


class Lab:
    """A bridge, and the service behind it."""

    def __init__(self, url: str, upstream: FakeUpstream) -> None:
        self.url, self.upstream = url, upstream
        self.ollama = ollama.Client(host=url)
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="x", max_retries=0)

    def close(self) -> None:
        self.ollama._client.close()
        self.openai.close()
        self.anthropic.close()

    @property
    def asked(self) -> list[str]:
        return [call.path.removeprefix("/v1") for call in self.upstream.calls]

    @property
    def sent(self) -> dict[str, Any]:
        return dict(self.upstream.calls[-1].body)


Make = Callable[..., Lab]


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Lab:
            upstream = responses_only.responses_only()
            url = stack.enter_context(served(upstream))
            aliases = {"own": Alias(targets=("fake/m",), system="In verse.")}
            row = Provider(name="fake", url=f"{url}/v1", key="none", **settings)
            bridge = stack.enter_context(served(bridge_app(row, aliases=aliases)))
            lab = Lab(bridge, upstream)
            stack.callback(lab.close)
            return lab

        yield make


@pytest.fixture
def lab(make: Make) -> Lab:
    """One where it is known already, so that every call is the translated one."""
    return make(quirks=("responses_only",), retries=0)


@pytest.mark.parametrize("stream", [True, False])
def test_it_is_learned_once(make: Make, stream: bool) -> None:
    lab = make()
    for _ in range(2):
        reply = lab.ollama.chat("m", HELLO, stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.content or "" for part in parts) == SPOKEN
        assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (11, 7)
        assert parts[-1].done_reason == "stop"
    assert lab.asked == ["/chat/completions", "/responses", "/responses"]
    headers = {"Authorization": "Bearer test-token"}
    status = httpx.get(f"{lab.url}/_bridge/status", headers=headers).json()
    assert status["learned"] == [{"model": "fake/m", "learned": ["responses_only"]}]


@pytest.mark.parametrize(
    "settings", [{"quirks": ("responses_only",)}, {"model_quirks": {"M*": ("responses_only",)}}]
)
def test_the_settings_can_say_so(make: Make, settings: dict[str, Any]) -> None:
    lab = make(**settings)
    assert lab.ollama.generate("m", "Hello", system="Be brief.").response == SPOKEN
    assert lab.asked == ["/responses"]
    assert [item["role"] for item in lab.sent["input"]] == ["system", "user"]


@pytest.mark.parametrize("think", [None, True, "high", False])
def test_thinking(make: Make, think: Any) -> None:
    lab = make(quirks=("responses_only",), efforts={"on": "medium", "high": "high", "off": "none"})
    parts = list(lab.ollama.chat("m", HELLO, think=think, stream=True))
    thought = "".join(part.message.thinking or "" for part in parts)
    assert thought == (THOUGHTS if think else "")
    assert "".join(part.message.content or "" for part in parts) == SPOKEN
    effort = {None: None, True: "medium", "high": "high", False: "none"}[think]
    assert lab.sent.get("reasoning", {}).get("effort") == effort
    whole = lab.ollama.chat("m", HELLO, think=think)
    assert (whole.message.thinking or "") == thought


@pytest.mark.parametrize("stream", [True, False])
def test_tools_with_what_was_thought_before(lab: Lab, stream: bool) -> None:
    """A client of Ollama's drops thoughts and sends its results in another order."""
    turns: list[Any] = [{"role": "user", "content": "What is it like in Paris and in Rome?"}]
    reply = lab.ollama.chat("m", turns, tools=[TOOL], think=True, stream=stream)
    parts = list(reply) if stream else [reply]
    calls = [call for part in parts for call in part.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    turns += [
        {"role": "assistant", "tool_calls": [call.model_dump() for call in calls]},
        {"role": "tool", "tool_name": "get_weather", "content": "sunny"},
        {"role": "tool", "tool_name": "get_weather", "content": "rainy"},
    ]
    assert lab.ollama.chat("m", turns, tools=[TOOL]).message.content == "sunny | rainy"
    kinds = [item["type"] for item in lab.sent["input"]]
    calling = ["function_call", "function_call"]
    assert kinds == ["message", "reasoning", *calling, *(f"{kind}_output" for kind in calling)]
    assert lab.sent["input"][1]["encrypted_content"] == SEALED
    assert lab.sent["tools"][0]["strict"] is False


def test_pictures_and_schemas(lab: Lab) -> None:
    asked: Any = [{"role": "user", "content": "What is this?", "images": [PNG]}]
    reply = lab.ollama.chat("m", asked, format=SCHEMA, options={"num_predict": 5, "seed": 7})
    assert reply.message.content == JSON_ANSWER
    text, picture = lab.sent["input"][0]["content"]
    assert text == {"type": "input_text", "text": "What is this?"}
    assert picture["image_url"].startswith("data:image/png;base64,")
    form = lab.sent["text"]["format"]
    assert (form["type"], form["schema"]) == ("json_schema", SCHEMA)
    assert lab.sent["max_output_tokens"] == 16
    assert "seed" not in lab.sent


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_answer_says_so(lab: Lab, stream: bool) -> None:
    reply = lab.ollama.chat("m", HELLO, options={"num_predict": 17}, stream=stream)
    assert (list(reply)[-1] if stream else reply).done_reason == "length"


@pytest.mark.parametrize("stream", [True, False])
def test_stop_strings_are_kept_here(lab: Lab, stream: bool) -> None:
    reply = lab.ollama.chat("m", HELLO, options={"stop": ["jour"]}, stream=stream)
    parts = list(reply) if stream else [reply]
    assert "".join(part.message.content or "" for part in parts) == 'Good day. "Bon'
    assert "stop" not in lab.sent
    answer = lab.openai.chat.completions.create(model="m", messages=HELLO, stop="jour")
    assert answer.choices[0].message.content == 'Good day. "Bon'
    said = lab.anthropic.messages.create(
        model="m", max_tokens=99, messages=HELLO[1:], stop_sequences=["jour"]
    )
    assert (said.stop_reason, said.stop_sequence) == ("stop_sequence", "jour")


@pytest.mark.parametrize("stream", [True, False])
def test_errors(lab: Lab, stream: bool) -> None:
    asked: Any = [{"role": "user", "content": "Please fail."}]
    with pytest.raises(ollama.ResponseError, match=responses_only.FAILURE):
        list(lab.ollama.chat("m", asked, stream=stream))
    with pytest.raises(openai.APIError, match=responses_only.FAILURE):
        list(lab.openai.chat.completions.create(model="m", messages=asked, stream=stream))
    with pytest.raises(anthropic.APIError, match=responses_only.FAILURE):
        list(lab.anthropic.messages.create(model="m", max_tokens=99, messages=asked, stream=stream))


def test_a_stream_that_stops_does_not_look_finished(lab: Lab) -> None:
    asked: Any = [{"role": "user", "content": "Please break off."}]
    said: list[Any] = []
    with pytest.raises(ollama.ResponseError, match="before its answer was complete"):
        said.extend(lab.ollama.chat("m", asked, stream=True))
    assert "".join(part.message.content or "" for part in said) == SPOKEN
    assert not any(part.done for part in said)


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_who_hangs_up_is_not_answered_on(lab: Lab, path: str) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "hang"}], "stream": True}
    with httpx.stream("POST", f"{lab.url}{path}", json=asked | {"max_tokens": 99}) as reply:
        next(reply.iter_raw())
    lab.ollama.chat("m", HELLO)
    assert _within(lambda: lab.upstream.open_now == 0)


def _within(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


@pytest.mark.parametrize("stream", [True, False])
def test_openais_own_chats(lab: Lab, stream: bool) -> None:
    client = lab.openai
    asked: Any = [{"role": "user", "content": "Paris and Rome?"}]
    if stream:
        with client.chat.completions.stream(
            model="m", messages=asked, tools=[TOOL], stream_options={"include_usage": True}
        ) as events:
            for _ in events:
                pass
            answer: Any = events.get_final_completion()
    else:
        answer = client.chat.completions.create(model="m", messages=asked, tools=[TOOL])
    (choice,) = answer.choices
    assert (choice.finish_reason, answer.model) == ("tool_calls", "m")
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    calls = choice.message.tool_calls
    assert [call.id for call in calls] == ["call_Paris", "call_Rome"]
    asked += [choice.message.model_dump(exclude_none=True, exclude={"parsed"})]
    for call in asked[-1]["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    asked += [
        {"role": "tool", "tool_call_id": call.id, "content": call.function.arguments}
        for call in reversed(calls)
    ]
    again = client.chat.completions.create(model="m", messages=asked, tools=[TOOL])
    assert again.choices[0].message.content == '{"city": "Rome"} | {"city": "Paris"}'
    assert again.choices[0].finish_reason == "stop"


def test_thoughts_under_openais_route(lab: Lab) -> None:
    answer = lab.openai.chat.completions.create(model="m", messages=HELLO, reasoning_effort="low")
    assert answer.choices[0].message.reasoning_content == THOUGHTS  # type: ignore[attr-defined]
    assert answer.choices[0].message.reasoning == THOUGHTS  # type: ignore[attr-defined]


def test_tools_that_take_any_text(lab: Lab) -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "regex", "definition": ".+"}}
    tool: Any = {"type": "custom", "custom": {"name": "look", "format": grammar}}
    asked: Any = [{"role": "user", "content": "Paris?"}]
    for stream in (False, True):
        reply = lab.openai.chat.completions.create(
            model="m", messages=asked, tools=[tool], stream=stream
        )
        if stream:
            pieces = [piece for chunk in reply for piece in chunk.choices[0].delta.tool_calls or ()]
            assert "".join(piece.custom["input"] for piece in pieces) == "Paris"
        else:
            (call,) = reply.choices[0].message.tool_calls
            assert (call.type, call.custom.input) == ("custom", "Paris")
    assert lab.sent["tools"] == [
        {"type": "custom", "name": "look"}
        | {"format": {"type": "grammar", "syntax": "regex", "definition": ".+"}}
    ]
    asked += [
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    again = lab.openai.chat.completions.create(model="m", messages=asked, tools=[tool])
    assert again.choices[0].message.content == "sunny"


def test_text_completions_are_asked_for_as_chats(lab: Lab) -> None:
    reply = lab.openai.completions.create(model="m", prompt="Hello", max_tokens=99)
    assert reply.choices[0].text == SPOKEN
    assert lab.asked == ["/responses"]


def test_coding_agents(lab: Lab) -> None:
    tool: Any = {"name": "get_weather", "input_schema": SCHEMA}
    asked: Any = [{"role": "user", "content": "Paris?"}]
    with lab.anthropic.messages.stream(
        model="m", max_tokens=99, messages=asked, tools=[tool], system="Be brief."
    ) as stream:
        said = stream.get_final_message()
    assert said.stop_reason == "tool_use"
    (call,) = [block for block in said.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    asked += [
        {
            "role": "assistant",
            "content": [call.model_dump(include={"type", "id", "name", "input"})],
        },
        {"role": "user", "content": [result]},
    ]
    again = lab.anthropic.messages.create(model="m", max_tokens=99, messages=asked, tools=[tool])
    assert again.content[0].text == "sunny"  # type: ignore[union-attr]
    assert again.usage.output_tokens == 7


def test_its_own_route_is_passed_on(make: Make) -> None:
    lab = make()
    for _ in range(2):
        reply = lab.openai.responses.create(model="m", input=HELLO, store=False)  # type: ignore[arg-type]
        assert reply.output_text == SPOKEN
    assert lab.asked == ["/chat/completions", "/responses", "/responses"]
    assert lab.sent["input"] == HELLO


def test_a_model_of_the_users_own(lab: Lab) -> None:
    assert lab.ollama.chat("own", [{"role": "user", "content": "Hello"}]).message.content == SPOKEN
    assert lab.sent["input"][0] == {"type": "message", "role": "system", "content": "In verse."}


def test_more_than_one_answer_is_refused(lab: Lab) -> None:
    with pytest.raises(openai.BadRequestError, match="one answer at a time"):
        lab.openai.chat.completions.create(model="m", messages=HELLO, n=2)
    assert lab.asked == []


def test_json_mode(lab: Lab) -> None:
    lab.ollama.chat("m", [{"role": "user", "content": "as JSON"}], format="json")
    assert lab.sent["text"] == {"format": {"type": "json_object"}}
    reply = lab.ollama.chat("m", HELLO, format="json")
    assert json.loads(reply.message.content or "") == {"city": "Paris"}
    assert "JSON" in json.dumps(lab.sent["input"])
