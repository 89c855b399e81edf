"""Open WebUI.

Source: open-webui/open-webui, backend/open_webui/routers/ollama.py, utils/response.py and
utils/payload.py, and retrieval/utils.py.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import samples
from contract.strict_upstream import ASK_TWO, CALLS, SPOKEN, SUNNY, THOUGHT, TOOL
from contract.strictness import (
    BOOLEAN,
    LIST,
    TEXT,
    WHOLE,
    Case,
    Checker,
    Kind,
    drop,
    every_rule_of,
    field,
    maybe,
    put,
    rule,
)
from contract.talk import Ask, Said

LONGEST_LINE = 128 * 1024
"""Bytes; older releases give up on a longer line."""


def moment(value: Any) -> int:
    """A date as it reads it, in seconds."""
    return int(datetime.fromisoformat(value).timestamp())


def _is_moment(value: Any) -> bool:
    try:
        return bool(moment(value))
    except (ValueError, TypeError):
        return False


MOMENT = Kind("a date in ISO's form", _is_moment, ("", None, 1_750_000_000))

VERSION = Checker(
    "Open WebUI, version",
    samples.VERSION,
    rule(
        "numbers between dots, once a leading v and whatever follows a dash are cut off",
        lambda reply: tuple(map(int, re.sub(r"^v|-.*", "", reply["version"]).split("."))),
        put("version", "0.32.15+bridge"),
        put("version", "latest"),
        put("version", None),
    ),
)
TAGS = Checker(
    "Open WebUI, list",
    samples.TAGS,
    field("models", LIST),
    field("models/*/model", TEXT),
    field("models/*/name", TEXT),
    rule(
        "each model once: what has the same id is put together",
        lambda reply: len({row["model"] for row in reply["models"]}) == len(reply["models"]),
        put("models/1/model", "llama3.2:latest"),
    ),
)
PS = Checker(
    "Open WebUI, running",
    samples.PS,
    field("models", LIST),
    field("models/*/model", TEXT),
    field("models/*/name", TEXT),
    maybe("models/*/expires_at", MOMENT),
)
LINES = Checker(
    "Open WebUI, chat",
    samples.CALLS,
    *(maybe(f"-1/{name}", WHOLE) for name in samples.COUNTERS),
    rule(
        "the answer's tokens and their time are told, or it shows no speed",
        lambda lines: speed(lines[-1]),
        put("-1/eval_count", 0),
        drop("-1/eval_count"),
        put("-1/eval_duration", 0),
        drop("-1/eval_duration"),
    ),
    rule(
        "calls stay apart by function.index, 0 where there is none",
        lambda lines: len(calls_of(lines)) == total(lines),
        drop("1/message/tool_calls/0/function/index"),
    ),
    rule(
        "every call has an id of its own",
        lambda lines: len({call["id"] for call in calls_of(lines).values()}) == total(lines),
        put("1/message/tool_calls/0/id", "call_0"),
        drop("1/message/tool_calls/0/id"),
    ),
    field("*/done", BOOLEAN),
    rule("the last line is done", lambda lines: lines[-1]["done"], put("-1/done", False)),
)
UNLOADED = Checker(
    "Open WebUI, unload",
    samples.LOADED | {"done_reason": "unload"},
    rule(
        "it was unloaded",
        lambda reply: reply["done_reason"] == "unload",
        put("done_reason", "load"),
    ),
)
EMBED = Checker(
    "Open WebUI, embed", samples.EMBED, field("embeddings", LIST), field("embeddings/*", LIST)
)
OBJECT_REPLY = Checker(
    "Open WebUI, any object",
    ("application/json", b'{"a":1}'),
    rule(
        "named as JSON, or aiohttp will not read it",
        lambda reply: reply[0] == "application/json",
        lambda reply: ("application/x-ndjson", reply[1]),
    ),
    rule(
        "one object",
        lambda reply: isinstance(json.loads(reply[1]), dict),
        lambda reply: (reply[0], reply[1] + b"\n" + reply[1]),
    ),
)


def speed(end: dict[str, Any]) -> float:
    """Tokens a second, from the last line; 0 where they cannot be told."""
    nanoseconds = end.get("eval_duration", 0)
    return end.get("eval_count", 0) / nanoseconds * 1e9 if nanoseconds else 0.0


def calls_of(lines: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The calls as the page gathers them."""
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    return {call["function"].get("index", 0): call for call in calls}


def total(lines: list[dict[str, Any]]) -> int:
    return sum(len(line["message"].get("tool_calls", ())) for line in lines)


@every_rule_of(VERSION, TAGS, PS, LINES, UNLOADED, EMBED, OBJECT_REPLY)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(
        lab.url,
        content_type="application/json",
        x_openwebui_user_name="Ada%20L",
        x_openwebui_user_id="1",
        x_openwebui_user_email="ada@example.org",
        x_openwebui_user_role="admin",
    )


def one_object(said: Said) -> Any:
    assert said.status == 200, said.body
    OBJECT_REPLY((said.kind, said.body))
    return said.json()


def lines_of(said: Said) -> list[dict[str, Any]]:
    assert said.status == 200, said.body
    assert max(map(len, said.body.split(b"\n"))) < LONGEST_LINE
    return list(LINES(said.lines()))


def body(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A chat, with what the page's settings add to it."""
    options = {"num_ctx": 8192, "num_keep": 24, "num_predict": -1, "mirostat": 0, "stop": ["###"]}
    return {
        "model": "coder:latest",
        "messages": list(turns),
        "options": options | {"seed": 7, "repeat_last_n": 64, "use_mmap": True, "temperature": 0.7},
        "stream": True,
        "metadata": {"chat_id": "c"},
        **more,
    }


def test_connecting_and_listing(ask: Ask) -> None:
    VERSION(one_object(ask("GET", "/api/version")))
    names = {row["name"] for row in TAGS(one_object(ask("GET", "/api/tags")))["models"]}
    running = PS(one_object(ask("GET", "/api/ps")))["models"]
    assert {row["name"] for row in running} <= names


def test_a_talk(ask: Ask) -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello."}]
    lines = lines_of(ask("POST", "/api/chat", body(*turns, keep_alive="5m")))
    assert "".join(line["message"]["content"] for line in lines) == SPOKEN
    assert "".join(line["message"].get("thinking", "") for line in lines) == THOUGHT
    assert "coder:latest" in [
        row["name"] for row in PS(one_object(ask("GET", "/api/ps")))["models"]
    ]
    titled = body(*turns, stream=False, format="json", think=False)
    assert "Paris" in one_object(ask("POST", "/api/chat", titled))["message"]["content"]


def test_two_tools_and_their_results(ask: Ask) -> None:
    question = {"role": "user", "content": ASK_TWO}
    calls = list(
        calls_of(lines_of(ask("POST", "/api/chat", body(question, tools=[TOOL])))).values()
    )
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == CALLS
    sent = [
        {"index": at, "id": call["id"], "function": call["function"]}
        for at, call in enumerate(calls)
    ]
    turns = [
        question,
        {"role": "assistant", "content": "", "tool_calls": sent},
        {"role": "tool", "tool_call_id": calls[1]["id"], "content": "rainy"},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "sunny"},
    ]
    lines = lines_of(ask("POST", "/api/chat", body(*turns, tools=[TOOL])))
    assert "".join(line["message"]["content"] for line in lines) == SUNNY


def test_the_unload_button(ask: Ask) -> None:
    """It names no `stream` and reads one object all the same."""
    asked = {"model": "coder:latest", "keep_alive": 0, "prompt": ""}
    UNLOADED(one_object(ask("POST", "/api/generate", asked)))
    running = PS(one_object(ask("GET", "/api/ps")))["models"]
    assert "coder:latest" not in [row["name"] for row in running]


def test_documents(ask: Ask) -> None:
    asked = {"input": ["a", "b", "c"], "model": "embedder:latest", "truncate": True}
    assert len(EMBED(one_object(ask("POST", "/api/embed", asked)))["embeddings"]) == 3


def test_an_admin_pulls_and_deletes(own_lab: Lab, talk: Callable[..., Ask]) -> None:
    ask = talk(own_lab.url, content_type="application/json")
    pull = {"name": "coder", "model": "coder", "insecure": True}
    assert ask("POST", "/api/pull", pull).lines()[-1] == {"status": "success"}
    made = {"model": "mine", "from": "coder", "system": "Be brief.", "stream": True}
    assert ask("POST", "/api/create", made).lines()[-1] == {"status": "success"}
    assert ask("POST", "/api/copy", {"source": "mine", "destination": "yours"}).status == 200
    for name in ("mine:latest", "yours:latest"):
        assert ask("DELETE", "/api/delete", {"name": name, "model": name}).status == 200
        assert ask("POST", "/api/show", {"model": name}).status == 404


def test_errors_are_shown_with_their_status(ask: Ask) -> None:
    said = ask("POST", "/api/chat", body({"role": "user", "content": "x"}, model="nope"))
    OBJECT_REPLY((said.kind, said.body))
    assert (said.status, said.json()["error"]) == (404, "model 'nope' not found")
