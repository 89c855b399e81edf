"""Every golden request to every strict service, through the whole daemon, over HTTP.

Each is sent to a service the bridge knows by its preset, and to the same one as a stranger whose
refusals are all there is to learn from. Each ends in a right answer, and the next one of its kind
costs one request; or in a refusal that says what the service cannot do. MATRIX.md is the result.
"""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import matrix
import pytest
from daemons import Home, end, until_ready
from recordings import reader
from servers import served
from strict import rules
from strict.policies import POLICIES, Policy
from strict.upstream import CALL_ID, JSON, TEXT, Strict

from ollama_bridge.providers.presets import PRESETS

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = {
    f"{path.parts[-3]}/{path.parts[-2]}": path.parent
    for path in sorted(GOLDEN.glob("*/*/ollama_request.json"))
}
WAYS = ("known", "strange")
OLLAMA, OPENAI = "ollama", "openai"
PLACES = {name: f"{number:03}" for number, name in enumerate(CASES)}
"""A model of its own for each case, so that none learns from another."""

LIMITS = ("max_tokens", "max_completion_tokens")
PLAIN = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "logprobs")

Json = dict[str, Any]


class Place:
    """The daemon, and the services behind it."""

    def __init__(self, client: httpx.Client, services: Strict) -> None:
        self.client = client
        self.services = services

    def ask(
        self, policy: Policy, way: str, case: str, dialect: str
    ) -> tuple[httpx.Response, list[Any]]:
        """The answer, and what the service was asked for it."""
        model = f"{policy.model}-{PLACES[case]}{dialect[1:2]}"
        request = _load(case, f"{dialect}_request.json")
        asked = self.services.asked[f"{_place(policy)}/{way}/{model}"]
        before = len(asked)
        path = "/api/chat" if case.startswith("chat") else "/api/generate"
        path = f"/v1{request.pop('path')}" if dialect == OPENAI else path
        request["model"] = f"{way}-{_place(policy)}/{model}"
        return self.client.post(path, json=request), asked[before:]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        services = Strict(
            [f"{n}{dialect[1]}" for n in PLACES.values() for dialect in (OLLAMA, OPENAI)]
        )
        url = stack.enter_context(served(services))
        home = Home(tmp_path_factory.mktemp("strict"))
        home.write("".join(_settings(policy, url) for policy in POLICIES))
        process = home.daemon()
        stack.callback(end, process)
        until_ready(process)
        assert process.stderr is not None
        threading.Thread(target=process.stderr.read, daemon=True).start()  # or its log blocks it
        base = f"http://127.0.0.1:{home.note()['port']}"
        client = httpx.Client(base_url=base, trust_env=False, timeout=30)
        yield Place(stack.enter_context(client), services)


def _settings(policy: Policy, url: str) -> str:
    at = _place(policy)
    preset = f'preset = "{policy.preset}"\n' if policy.preset in PRESETS else ""
    rows = {"known": preset, "strange": ""}
    return "".join(
        f'[providers.{way}-{at}]\n{more}base_url = "{url}/{at}/{way}/v1"\nkey = "none"\nretries = 0\n'
        for way, more in rows.items()
    )


def _place(policy: Policy) -> int:
    return POLICIES.index(policy)


def _load(case: str, name: str) -> Json:
    value: Json = json.loads((CASES[case] / name).read_text("utf-8"))
    return value


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.title)
def test_a_golden_request(place: Place, policy: Policy, case: str) -> None:
    STRICT.see((case,), policy.title, _told(place, policy, case, OLLAMA))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.title)
def test_the_same_in_openais_way(place: Place, policy: Policy, case: str) -> None:
    """What is sent up for an Ollama client, sent by a client of `/v1` itself."""
    PASSED.see((case,), policy.title, _told(place, policy, case, OPENAI))


def _told(place: Place, policy: Policy, case: str, dialect: str) -> str:
    seen = [_outcome(place, policy, way, case, dialect) for way in WAYS]
    numbers = [int(cell) for cell in seen if cell.isdecimal()]
    assert numbers == sorted(numbers), "what the preset knows should be of help"
    return seen[0] if seen[0] == seen[1] else " / ".join(seen)


def _outcome(place: Place, policy: Policy, way: str, case: str, dialect: str) -> str:
    """How it went: refusals on the way to a right answer, or what cannot be done."""
    wanted = _load(case, "openai_request.json")
    reply, asked = place.ask(policy, way, case, dialect)
    request = _load(case, "ollama_request.json")
    if unable := _unable(policy, wanted, None if dialect == OPENAI else request):
        assert reply.status_code in (400, 404, 501), reply.text
        error = reply.json()["error"]
        told = error["message"] if dialect == OPENAI else error
        assert any(words in told for words in unable.values()), told
        return "no " + ", ".join(unable)
    assert reply.status_code == 200, reply.text
    if dialect == OPENAI:
        _check_passed(reply, wanted)
    else:
        _check_reply(reply, wanted, request)
    assert [fine for _, fine in asked] == [False] * (len(asked) - 1) + [True]
    body = asked[-1][0]
    _check_body(policy, body, wanted)
    _check_next(policy, case, *place.ask(policy, way, case, dialect))
    return str(len(asked) - 1)


def _check_next(policy: Policy, case: str, reply: httpx.Response, asked: list[Any]) -> None:
    """The next request of the kind is right at once."""
    assert reply.status_code == 200, reply.text
    most = 2 if case in policy.each_time else 1
    assert len(asked) <= most, [body for body, _ in asked]


def _unable(policy: Policy, wanted: Json, request: Json | None) -> dict[str, str]:
    """What the service cannot do of it; `request` is that of a client of Ollama's."""
    bare = wanted["path"] == "/completions"
    effort = wanted.get("reasoning_effort", "none") != "none"
    needed = {
        "images": any(part["type"] == "image_url" for _, part in rules.parts(wanted)),
        "audio": any(part["type"] == "input_audio" for _, part in rules.parts(wanted)),
        "tools": "tools" in wanted,
        "thinking": effort if request is None else bool(request.get("think")),
        "prefill": not bare and wanted["messages"][-1]["role"] == "assistant",
        "raw": bare and "suffix" not in wanted and request is not None,
        "insert": "suffix" in wanted and (request is not None or not policy.completions),
        "stop": request is None and "stop" in wanted and not _takes_stops(policy, wanted["stop"]),
    }
    # insertion has to be known beforehand; clients of /v1 hear of stop strings that are not taken
    insert = "does not support insert" if request is not None else "/completions"
    known = policy.unable | {"insert": insert, "stop": "stop strings"}
    return {name: known[name] for name, yes in needed.items() if yes and name in known}


def _takes_stops(policy: Policy, stops: list[str]) -> bool:
    hello = {"role": "user", "content": "hello"}
    return policy.judge({"model": "m", "messages": [hello], "stop": stops}) is None


def _check_passed(reply: httpx.Response, wanted: Json) -> None:
    said = reader.stream(reply.text) if wanted["stream"] else reader.whole(reply.json())
    assert (said.error, said.done_reason, said.usage[1]) == ("", "stop", 7)
    if wanted.get("tools") and wanted["messages"][-1]["role"] != "tool":
        assert said.calls == [(wanted["tools"][0]["function"]["name"], {})]
    else:
        ends = [TEXT.index(stop) for stop in wanted.get("stop") or () if stop in TEXT]
        text = JSON if "response_format" in wanted else TEXT[: min(ends, default=None)]
        assert (said.text, said.calls) == (text, [])


def _check_reply(reply: httpx.Response, wanted: Json, request: Json) -> None:
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines[-1]["done"] is True
    assert lines[-1]["done_reason"] == "stop"
    assert lines[-1]["eval_count"] == 7
    parts = [line.get("message") or {"content": line["response"]} for line in lines]
    calls = [call for part in parts for call in part.get("tool_calls", ())]
    if wanted.get("tools") and wanted["messages"][-1]["role"] != "tool":
        (call,) = calls
        assert call["function"]["name"] == request["tools"][0]["function"]["name"]
        assert (call["id"], call["function"]["arguments"]) == (CALL_ID, {})
        return
    assert not calls
    text = "".join(part["content"] for part in parts)
    ends = [TEXT.index(stop) for stop in wanted.get("stop") or () if stop in TEXT]
    assert text == (JSON if "response_format" in wanted else TEXT[: min(ends, default=None)])


def _check_body(policy: Policy, body: Json, wanted: Json) -> None:
    """Nothing that was asked for is lost, but what the service refuses."""
    if wanted["path"] == "/completions":
        given = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        assert given == wanted["prompt"]
        assert body.get("suffix") == wanted.get("suffix")
    else:
        _check_messages(body, wanted)
    _check_form(body, wanted)
    told = [tool["function"]["name"] for tool in body.get("tools") or ()]
    assert told == [tool["function"]["name"] for tool in wanted.get("tools") or ()]
    if asked := next((wanted[key] for key in LIMITS if key in wanted), None):
        given = next(body[key] for key in LIMITS if key in body)
        assert given == asked or (policy.each_time and 0 < given < asked)
    for key in (
        PLAIN if "prompt" in body or "prompt" not in wanted else ()
    ):  # a chat says it otherwise
        if key in wanted and body.get(key) != wanted[key] and f"random_{key}" not in body:
            assert policy.judge(body | {key: wanted[key]}), f"{key} was dropped for nothing"
    stops = wanted.get("stop") or []
    if stops != (body.get("stop") or []):
        assert policy.judge(body | {"stop": stops}), "stop strings were dropped for nothing"


def _check_messages(body: Json, wanted: Json) -> None:
    everything = "\n".join(rules.text(turn.get("content")) for turn in body["messages"])
    for turn in wanted["messages"]:
        assert rules.text(turn["content"]) in everything
    for pick in (_images, _calls, _results):
        assert pick(body) == pick(wanted)
    spoken = [
        rules.text(turn["content"]) for turn in wanted["messages"] if turn["role"] != "system"
    ]
    pattern = ".*".join(re.escape(words) for words in spoken)
    assert re.search(pattern, everything, re.DOTALL), "the order has changed"


def _images(body: Json) -> list[Any]:
    return [part for _, part in rules.parts(body) if part["type"] != "text"]


def _calls(body: Json) -> list[Any]:
    return [call["function"] for turn in body["messages"] for call in rules.calls(turn)]


def _results(body: Json) -> list[Any]:
    return [rules.text(t["content"]) for t in body["messages"] if t["role"] == "tool"]


def _check_form(body: Json, wanted: Json) -> None:
    asked = wanted.get("response_format")
    if asked is None:
        assert "response_format" not in body
        return
    said = json.dumps(body["messages"]).replace("\\", "")
    schema = asked.get("json_schema", {}).get("schema")
    if schema is None:
        assert rules.form(body) in ("json_object", "json_schema") or "JSON" in said
        return
    names = [f'"{name}"' for name in schema.get("properties", {})]
    where = json.dumps(body.get("response_format", {})) + said
    assert all(name in where for name in names)


def test_five_refusals_in_turn(place: Place) -> None:
    """A stranger that refuses one thing after the other: right in the end, and then at once."""
    case = "chat_stream/options_mapped"
    azure = next(policy for policy in POLICIES if policy.model == "our-deployment")
    policy_model = f"{azure.model}-five"
    at = _place(azure)
    request = _load(case, "ollama_request.json") | {"model": f"strange-{at}/{policy_model}"}
    asked = place.services.asked[f"{at}/strange/{policy_model}"]
    first = place.client.post("/api/chat", json=request)
    assert first.status_code == 200, first.text
    assert len(asked) > 5
    assert [fine for _, fine in asked] == [False] * (len(asked) - 1) + [True]
    _check_reply(first, _load(case, "openai_request.json"), request)
    before = len(asked)
    again = place.client.post("/api/chat", json=request)
    assert again.status_code == 200
    assert len(asked) == before + 1
    _check_reply(again, _load(case, "openai_request.json"), request)


STRICT = matrix.section(
    "Strict services",
    "Each golden request (`tests/golden`) to each strict service (`tests/strict/policies.py`). A number "
    "is how often the service refused before the right answer came, known by its preset and, behind "
    "the slash where it differs, as a stranger; every next request is right at once. `no …` is a clear "
    "refusal: the service cannot do it.",
    ("case",),
    tuple(policy.title for policy in POLICIES),
)
PASSED = matrix.section(
    "Strict services, asked in OpenAI's way",
    "The same requests as a client of `/v1` sends them; it hears of stop strings that a service does not take.",
    ("case",),
    tuple(policy.title for policy in POLICIES),
)


def test_the_table_has_no_empty_cell() -> None:
    for one in (STRICT, PASSED):
        matrix.check(one, [(case,) for case in CASES])
