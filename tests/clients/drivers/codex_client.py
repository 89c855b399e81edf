"""The Codex command line with `--oss`, as a program; it speaks responses."""

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from report import ASK, Detail, report

HOME = Path("codex")
HOME.mkdir()
(HOME / "config.toml").write_text("check_for_update_on_startup = false\n")
ENVIRON = os.environ | {"CODEX_OSS_BASE_URL": f"{ASK.url}/v1", "CODEX_HOME": str(HOME.resolve())}
OPTIONS = ["--oss", "--local-provider", "ollama", "--json", "--skip-git-repo-check"]
OPTIONS += ["-s", "danger-full-access"]  # its sandbox needs rights that not every machine gives


def run(name: str, prompt: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["codex", "exec", *OPTIONS, *options, "-m", name, "--", prompt],
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def ask(name: str, prompt: str, *options: str) -> list[Any]:
    """What it did and said."""
    done = run(f"{name}:latest", prompt, *options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    events = [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]
    return [event["item"] for event in events if event["type"] == "item.completed"]


def _of(items: list[Any], kind: str = "agent_message", key: str = "text") -> list[str]:
    return [item[key] for item in items if item["type"] == kind]


def _text(items: list[Any]) -> str:
    """The demo model repeats its instructions at the end, and Codex gives it many."""
    return _of(items)[-1].partition("\n\nMy instructions are")[0]


def chat() -> Detail:
    return {"text": _text(ask(ASK.model, ASK.say))}


def rounds(question: str) -> Detail:
    items = ask(ASK.agent, question)
    commands = _of(items, "command_execution", "command")
    return {"commands": commands, "answer": _of(items)[-1]}


def structured() -> Detail:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "population": {"type": "integer"},
            "languages": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name", "population", "languages"],
        "additionalProperties": False,
    }
    Path("schema.json").write_text(json.dumps(schema))
    return {
        "value": json.loads(_text(ask(ASK.model, ASK.country, "--output-schema", "schema.json")))
    }


def thinking() -> Detail:
    options = ["-c", "model_reasoning_effort=low", "-c", "model_reasoning_summary=auto"]
    items = ask(ASK.model, ASK.say, *options)
    return {"thinking": "".join(_of(items, "reasoning")), "text": _text(items)}


def images() -> Detail:
    Path("pixel.png").write_bytes(base64.b64decode(ASK.image))
    return {"text": _text(ask(ASK.agent, ASK.say, "-i", "pixel.png"))}


def error() -> Detail:
    return {"text": _failure(ASK.unknown)}


def error_in_stream() -> Detail:
    return {"text": _failure(ASK.breaks)}


def _failure(name: str) -> str:
    done = run(name, ASK.say)
    assert done.returncode
    return f"{done.stdout}\n{done.stderr}"


report(
    {
        "list": "it only looks whether its model is listed",
        "show": "it has no call for this",
        "chat": chat,
        "stream": "it always streams, and tells its answer as a whole",
        "tools": lambda: rounds(ASK.weather),
        "two calls at once": lambda: rounds(ASK.two_cities),
        "structured output": structured,
        "thinking": thinking,
        "images": images,
        "embeddings": "it has no call for this",
        "error": error,
        "error in stream": error_in_stream,
    }
)
