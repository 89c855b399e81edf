"""An agent in the manner of Claude Code, on Anthropic's official client, over a chat-completions upstream.

Source for its manner: the requests Claude Code sends (streamed, beta endpoint, system in cached
blocks, reminders beside the prompt, typed and described tools, thinking sent back) and the loop of
Anthropic's own tool runner: ask, carry out every tool_use, answer each, until the model is done.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types.beta import BetaMessage
from fake_upstream import Call, FakeUpstream

from ollama_bridge.providers.provider import Alias

Bridged = Callable[..., tuple[str, FakeUpstream]]

MODEL = "claude-of-ours"  # the client warns of names that its makers retire
SYSTEM = [
    {"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}},
    {
        "type": "text",
        "text": "Working folder: /project",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    },
]
TOOLS: list[dict[str, Any]] = [
    {
        "name": "Read",
        "description": "Read a file",
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
            "additionalProperties": False,
        },
    },
    {
        "name": "Write",
        "description": "Write a file",
        "input_schema": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
        "cache_control": {"type": "ephemeral"},
    },
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
]


class Agent:
    """Asks, carries out tools in a folder, and asks again; keeps every message whole."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client = Anthropic(base_url=url, api_key="sk-ant-none", max_retries=2)
        self.folder = folder
        self.messages: list[dict[str, Any]] = []
        self.answers: list[BetaMessage] = []

    def run(self, prompt: str, most: int = 6) -> str:
        reminder = {"type": "text", "text": "<system-reminder>Be careful.</system-reminder>"}
        said = {"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}}
        self.messages.append({"role": "user", "content": [reminder, said]})
        for _ in range(most):
            answer = self._ask()
            self.answers.append(answer)
            self.messages.append(
                {
                    "role": "assistant",
                    "content": [block.model_dump(exclude_none=True) for block in answer.content],
                }
            )
            uses = [block for block in answer.content if block.type == "tool_use"]
            assert (answer.stop_reason == "tool_use") == bool(uses)
            if not uses:
                return "".join(block.text for block in answer.content if block.type == "text")
            self.messages.append(
                {"role": "user", "content": [self._carried_out(use) for use in uses]}
            )
        raise AssertionError("the agent never came to an end")

    def _ask(self) -> BetaMessage:
        fields: Any = {"model": MODEL, "system": SYSTEM, "tools": TOOLS, "messages": self.messages}
        assert self.client.beta.messages.count_tokens(**fields).input_tokens > 100
        with self.client.beta.messages.stream(
            max_tokens=32000,
            thinking={"type": "enabled", "budget_tokens": 31999},
            betas=["claude-code-20250219", "interleaved-thinking-2025-05-14"],
            metadata={"user_id": "user_x"},
            **fields,
        ) as stream:
            return stream.get_final_message()

    def _carried_out(self, use: Any) -> dict[str, Any]:
        path = self.folder / use.input["path"]
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": use.id}
        try:
            if use.name == "Write":
                path.write_text(use.input["content"])
                return {**result, "content": "written"}
            return {**result, "content": [{"type": "text", "text": path.read_text()}]}
        except OSError as error:
            return {**result, "content": type(error).__name__, "is_error": True}


def tool_call(index: int, name: str, **arguments: Any) -> list[dict[str, Any]]:
    """A call in three pieces; this upstream counts its ids anew in every answer."""
    text = json.dumps(arguments)
    pieces = text[:5], text[5:]
    head = {
        "index": index,
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": ""},
    }
    return [head, *({"index": index, "function": {"arguments": piece}} for piece in pieces)]


async def model(call: Call) -> None:
    """Reads two files at once, writes a third from what they hold, tells about it."""
    turns = call.body["messages"]
    results = [turn["content"] for turn in turns if turn["role"] == "tool"]
    step = len([turn for turn in turns if turn["role"] == "assistant"])
    await call.start()

    async def delta(**fields: Any) -> None:
        await call.event({"choices": [{"index": 0, "delta": fields, "finish_reason": None}]})

    await delta(role="assistant", content="")
    await delta(reasoning_content=f"Step {step}.")
    if step == 0:
        await delta(content="I look first.")
        for piece in [
            *tool_call(0, "Read", path="a.txt"),
            *tool_call(1, "Read", path="missing.txt"),
        ]:
            await delta(tool_calls=[piece])
    elif step == 1:
        for piece in tool_call(0, "Write", path="b.txt", content=results[0].upper()):
            await delta(tool_calls=[piece])
    else:
        await delta(content=f"Done: {results[-1]}; {results[1]}")
    finish = "stop" if step == 2 else "tool_calls"
    await call.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    await call.event(
        {"choices": [], "usage": {"prompt_tokens": 100 + step, "completion_tokens": 10 + step}}
    )
    await call.write("data: [DONE]\n\n", more=False)


def test_a_task_in_two_steps(bridged: Bridged, tmp_path: Path) -> None:
    tmp_path.joinpath("a.txt").write_text("grüße 😀")
    url, upstream = bridged(model, aliases={MODEL: Alias(targets=("m",))})
    agent = Agent(url, tmp_path)
    assert (
        agent.run("Write a.txt in capitals to b.txt.") == "Done: written; Error: FileNotFoundError"
    )
    agent.client.close()
    assert tmp_path.joinpath("b.txt").read_text() == "GRÜSSE 😀"

    assert [answer.stop_reason for answer in agent.answers] == ["tool_use", "tool_use", "end_turn"]
    assert [[block.type for block in answer.content] for answer in agent.answers] == [
        ["thinking", "text", "tool_use", "tool_use"],
        ["thinking", "tool_use"],
        ["thinking", "text"],
    ]
    assert {answer.model for answer in agent.answers} == {MODEL}
    assert [(a.usage.input_tokens, a.usage.output_tokens) for a in agent.answers] == [
        (100, 10),
        (101, 11),
        (102, 12),
    ]
    ids = [
        block.id for answer in agent.answers for block in answer.content if block.type == "tool_use"
    ]
    assert len(set(ids)) == 3, "an id must be the only one of its kind in a conversation"

    assert len(upstream.calls) == 3
    asked = upstream.calls[-1].body
    assert asked["model"] == "m"
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["Read", "Write"]
    assert [turn["role"] for turn in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
    ]
    answered = {turn["tool_call_id"] for turn in asked["messages"] if turn["role"] == "tool"}
    called = [call["id"] for turn in asked["messages"] for call in turn.get("tool_calls", ())]
    assert sorted(called) == sorted(answered)
    assert "signature" not in json.dumps(asked)


def test_a_name_that_nobody_aliased_tells_how(bridged: Bridged, tmp_path: Path) -> None:
    url, upstream = bridged(model)
    with pytest.raises(
        anthropic.NotFoundError, match=f"ollama-bridge models alias {MODEL} PROVIDER/MODEL"
    ):
        Agent(url, tmp_path).run("hi")
    assert upstream.calls == []


def test_a_busy_upstream_is_asked_again(bridged: Bridged, tmp_path: Path) -> None:
    tries = []

    async def busy_once(call: Call) -> None:
        tries.append(call)
        if len(tries) == 1:
            await call.json({"error": {"message": "overloaded"}}, 503)
        else:
            await call.start()
            await call.text("Here.", finish="stop")
            await call.write("data: [DONE]\n\n", more=False)

    url, _ = bridged(busy_once, aliases={MODEL: Alias(targets=("m",))})
    agent = Agent(url, tmp_path)
    assert agent.run("hi") == "Here."
    agent.client.close()
    assert len(tries) == 2
