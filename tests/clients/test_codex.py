"""The real Codex command line works on a two-step task through a chat-completions upstream.

CODEX_BIN names the program; else it is looked for on the PATH and below .clients.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from daemons import Home
from fake_upstream import Call, FakeUpstream

pytestmark = pytest.mark.clients

Bridged = Callable[..., tuple[str, FakeUpstream]]
ROOT = Path(__file__).parents[2]
INSTALLED = sorted((ROOT / ".clients").glob("*/node_modules/.bin/codex"))
SECRET = "the heron lands at noon"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PATIENCE = 120
"""Seconds; a run takes about five."""


@pytest.fixture
def codex() -> str:
    """The program, or a reason why there is none."""
    found = os.environ.get("CODEX_BIN") or shutil.which("codex") or next(iter(INSTALLED), "")
    if found:
        return str(found)
    reason = "codex is not installed: run `make test-clients`, or name the program in CODEX_BIN"
    return pytest.fail(reason) if os.environ.get("CI_CLIENTS") else pytest.skip(reason)


class Run:
    """What one run of Codex said and left behind."""

    def __init__(self, done: subprocess.CompletedProcess[str], last: Path) -> None:
        self.code = done.returncode
        self.told = f"{done.stdout}\n{done.stderr}"
        self.events = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
        self.answer = last.read_text("utf-8") if last.exists() else ""

    def items(self, kind: str) -> list[dict[str, Any]]:
        """Finished items of one kind."""
        done = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in done if item["type"] == kind]


OSS = ("--oss", "--local-provider", "ollama", "-m", "m:latest")


async def asked(
    codex: str, url: str, folder: Path, prompt: str, flags: tuple[str, ...] = OSS
) -> Run:
    """One task for Codex, in a folder and with settings of its own."""
    work, home, last = folder / "work", folder / "home", folder / "answer.txt"
    work.mkdir()
    home.mkdir(exist_ok=True)
    (work / "note.txt").write_text(f"{SECRET}\n", "utf-8")
    (home / "config.toml").write_text("check_for_update_on_startup = false\n", "utf-8")
    command = [codex, "exec", *flags, "--json"]
    command += ["--skip-git-repo-check", "-s", "danger-full-access", "-o", str(last), prompt]
    # a terminal's own settings, a proxy or a real key must not decide anything here
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT") if key in os.environ}
    ours = {"CODEX_OSS_BASE_URL": f"{url}/v1", "CODEX_HOME": str(home), "HOME": str(home)}
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=work,
        env=kept | ours,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return Run(done, last)


def results(call: Call) -> list[str]:
    """What the tools of this conversation have returned so far."""
    return [item["content"] for item in call.body["messages"] if item["role"] == "tool"]


async def reads_then_answers(call: Call) -> None:
    """A model that thinks, reads the note with Codex's own tool and repeats it."""
    await call.start()
    if found := results(call):
        line = next(line for line in found[-1].splitlines() if "heron" in line)
        await call.text("It says: ")
        await call.text(line, finish="stop")
    else:
        await call.event({"choices": [{"delta": {"reasoning_content": "I should look."}}]})
        await call.text("I will read it.")
        function = {"name": "exec_command", "arguments": '{"cmd": "cat '}
        tool = {"index": 0, "id": "call_1", "type": "function", "function": function}
        await call.event({"choices": [{"delta": {"tool_calls": [tool]}}]})
        rest = {"index": 0, "function": {"arguments": 'note.txt"}'}}
        await call.event(
            {"choices": [{"delta": {"tool_calls": [rest]}, "finish_reason": "tool_calls"}]}
        )
    await call.event({"choices": [], "usage": {"prompt_tokens": 900, "completion_tokens": 7}})
    await call.write("data: [DONE]\n\n", more=False)


async def test_a_task_of_two_steps(codex: str, bridged: Bridged, tmp_path: Path) -> None:
    url, upstream = bridged(reads_then_answers)
    run = await asked(codex, url, tmp_path, "What does note.txt say?")
    assert run.code == 0, run.told
    assert run.answer == f"It says: {SECRET}"
    assert [call.path for call in upstream.calls] == ["/v1/chat/completions"] * 2
    commands = run.items("command_execution")
    assert [(item["exit_code"], item["status"]) for item in commands] == [(0, "completed")]
    assert "cat note.txt" in commands[0]["command"]
    assert SECRET in commands[0]["aggregated_output"]
    said = [item["text"] for item in run.items("agent_message")]
    assert said == ["I will read it.", f"It says: {SECRET}"]
    used = run.events[-1]["usage"]
    assert (used["input_tokens"], used["output_tokens"]) == (1800, 14)


async def test_the_profile_that_setup_writes(codex: str, bridged: Bridged, tmp_path: Path) -> None:
    url, upstream = bridged(reads_then_answers)
    user = Home(tmp_path / "user", CODEX_HOME=str(tmp_path / "home"))
    user.folder.mkdir()
    user.write(f"[server]\nport = {url.rpartition(':')[2]}\n")
    done = user.call("setup", "codex", "--model", "m:latest", "--write")
    assert done.exit_code == 0, done.stderr
    flags = ("--profile", "ollama-bridge")
    run = await asked(codex, url, tmp_path, "What does note.txt say?", flags)
    assert run.code == 0, run.told
    assert run.answer == f"It says: {SECRET}"
    assert len(upstream.calls) == 2


async def test_what_the_upstream_is_sent(codex: str, bridged: Bridged, tmp_path: Path) -> None:
    url, upstream = bridged(reads_then_answers)
    await asked(codex, url, tmp_path, "What does note.txt say?")
    first, second = (call.body for call in upstream.calls)
    assert first["model"] == "m"
    assert [message["role"] for message in first["messages"]] == ["system", "user", "user"]
    names = [tool["function"]["name"] for tool in first["tools"]]
    assert "exec_command" in names
    assert {tool["type"] for tool in first["tools"]} == {"function"}
    assert not any("web_search" in name for name in names)
    history = second["messages"][len(first["messages"]) :]
    assert [message["role"] for message in history] == ["assistant", "tool"]
    assert history[0]["content"] == "I will read it."
    assert history[0]["tool_calls"][0]["id"] == history[1]["tool_call_id"]
    assert SECRET in history[1]["content"]


def calls(name: str, arguments: str) -> Callable[[Call], Awaitable[None]]:
    """A model that uses one tool and is content with whatever comes of it."""

    async def act(call: Call) -> None:
        await call.start()
        if results(call):
            await call.text("Seen.", finish="stop")
        else:
            function = {"name": name, "arguments": arguments}
            delta = {"tool_calls": [{"index": 0, "id": "call_1", "function": function}]}
            await call.event({"choices": [{"delta": delta, "finish_reason": "tool_calls"}]})
        await call.write("data: [DONE]\n\n", more=False)

    return act


async def test_a_tool_in_a_namespace_is_found_again(
    codex: str, bridged: Bridged, tmp_path: Path
) -> None:
    url, upstream = bridged(calls("multi_agent_v1__close_agent", '{"target": "nobody"}'))
    run = await asked(codex, url, tmp_path, "Close it.")
    assert run.answer == "Seen.", run.told
    call, result = upstream.calls[1].body["messages"][-2:]
    assert call["tool_calls"][0]["function"]["name"] == "multi_agent_v1__close_agent"
    assert "nobody" in result["content"]
    assert "unsupported call" not in result["content"]


async def test_a_picture_a_tool_returns_reaches_the_model(
    codex: str, bridged: Bridged, tmp_path: Path
) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    url, upstream = bridged(calls("view_image", json.dumps({"path": str(picture)})))
    run = await asked(codex, url, tmp_path, "Look at it.")
    assert run.answer == "Seen.", run.told
    result, shown = upstream.calls[1].body["messages"][-2:]
    assert (result["role"], shown["role"]) == ("tool", "user")
    (part,) = [part for part in shown["content"] if part["type"] == "image_url"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


async def test_an_error_of_the_upstream_is_shown(
    codex: str, bridged: Bridged, tmp_path: Path
) -> None:
    async def refuses(call: Call) -> None:
        await call.json({"error": {"message": "the model is on holiday"}}, status=400)

    url, _ = bridged(refuses)
    run = await asked(codex, url, tmp_path, "What does note.txt say?")
    assert run.code != 0
    assert "the model is on holiday" in run.told


async def test_a_stream_that_breaks_is_asked_for_again(
    codex: str, bridged: Bridged, tmp_path: Path
) -> None:
    tries: list[Call] = []

    async def breaks_once(call: Call) -> None:
        tries.append(call)
        if len(tries) > 1:
            await reads_then_answers(call)
            return
        await call.start()
        await call.text("Half an ans")
        await call.write("", more=False)

    url, _ = bridged(breaks_once)
    run = await asked(codex, url, tmp_path, "What does note.txt say?")
    assert run.code == 0, run.told
    assert run.answer == f"It says: {SECRET}"
    assert len(tries) == 3
