"""Every command of the `ollama` command line: the requests it makes, in its order.

Source: ollama/ollama, cmd/cmd.go; the requests are those of the reference (ollama-api, section 12).
Go sends every field that has no `omitempty`, and each command but `-v` begins with HEAD /.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from contract.conftest import Lab
from contract.sequences import go_client, samples
from contract.sequences.go_client import CommandFailed, SignInWanted
from contract.strict_upstream import FAILURE, SPOKEN, THOUGHT
from contract.strictness import Case, every_rule_of
from contract.talk import Ask, Said

NOTHING = {"system": "", "template": "", "verbose": False, "options": None}
STREAM, OBJECT = "application/x-ndjson", "application/json"


class Command:
    """One run of `ollama`: it looks whether somebody is there, then asks."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        assert self("HEAD", "/").status < 400

    def __call__(self, method: str, path: str, body: Any = None, accept: str = OBJECT) -> Said:
        return self._ask(method, path, body, accept=accept)

    def show(self, **fields: Any) -> dict[str, Any]:
        """`ollama show` sends the name as `name`, all others as `model`."""
        said = self("POST", "/api/show", {"model": "", **NOTHING, "name": "", **fields})
        go_client.whole(said)
        reply: dict[str, Any] = go_client.SHOW(said.json())
        return reply

    def generate(self, name: str, prompt: str, **more: Any) -> list[dict[str, Any]]:
        body = {"model": name, "prompt": prompt, "suffix": "", "system": "", "template": ""}
        said = self("POST", "/api/generate", {**body, "options": {}, **more}, STREAM)
        lines: list[dict[str, Any]] = go_client.GENERATE(go_client.stream(said))
        return lines

    def chat(self, name: str, *turns: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        body = {"model": name, "messages": list(turns), "options": {}, **more}
        lines: list[dict[str, Any]] = go_client.CHAT(
            go_client.stream(self("POST", "/api/chat", body, STREAM))
        )
        return lines

    def progress(self, path: str, body: Any) -> list[str]:
        lines = go_client.PROGRESS(go_client.stream(self("POST", path, body, STREAM)))
        return [line["status"] for line in lines]

    def pull(self, name: str) -> list[str]:
        return self.progress(
            "/api/pull", {"model": "", "username": "", "password": "", "name": name}
        )

    def stop(self, name: str) -> None:
        self.show(model=name)
        (reply,) = self.generate(name, "", options=None, keep_alive="0s")
        assert reply["done_reason"] == "unload"

    def listed(self) -> list[str]:
        reply = go_client.TAGS(go_client.whole(self("GET", "/api/tags")))
        return [row["name"] for row in reply["models"]]

    def running(self) -> list[dict[str, Any]]:
        reply = go_client.PS(go_client.whole(self("GET", "/api/ps")))
        return list(reply["models"])


@pytest.fixture
def command(lab: Lab, talk: Callable[..., Ask]) -> Command:
    return Command(client(lab, talk))


@pytest.fixture
def own(own_lab: Lab, talk: Callable[..., Ask]) -> Command:
    """With models that may be made and removed."""
    return Command(client(own_lab, talk))


def client(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    agent = "ollama/0.32.15 (amd64 linux) Go/go1.26.0"
    return talk(lab.url, user_agent=agent, content_type="application/json")


# the checkers themselves


@every_rule_of(
    go_client.TAGS,
    go_client.PS,
    go_client.SHOW,
    go_client.CHAT,
    go_client.GENERATE,
    go_client.PROGRESS,
)
def test_broken_replies_are_refused(case: Case) -> None:
    case.prove()


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (200, b'{"error":"no luck"}\n', "no luck"),
        (404, b'{"error":"no luck"}', "no luck"),
        (500, b'{\n  "error": "no luck"\n}', "{"),
        (502, b"<html>", "<html>"),
        (400, b'{"error":{"message":"no luck"}}', '{"error": {"message": "no luck"}}'),
        (200, b'{"a":1}\nnot JSON\n', "invalid JSON in a line"),
        (200, b'{"a":"' + b"x" * go_client.LONGEST_LINE + b'"}\n', "bufio.Scanner: token too long"),
    ],
)
def test_a_stream_that_fails(status: int, body: bytes, text: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        go_client.stream(Said(status, {}, body))
    assert str(caught.value) == text


def test_what_the_client_takes_for_something_else() -> None:
    """An empty error is success to it, and every 401 a missing sign-in."""
    assert go_client.stream(Said(500, {}, b"")) == []
    for read in (go_client.stream, go_client.whole):
        with pytest.raises(SignInWanted):
            read(Said(401, {}, b'{"error":"bad key"}'))
    with pytest.raises(CommandFailed, match="no luck"):
        go_client.whole(Said(404, {}, b'{"error":"no luck"}'))
    assert go_client.whole(Said(200, {}, json.dumps(samples.VERSION).encode())) == samples.VERSION
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert go_client.until("2025-01-01T00:00:00Z", now) == "Stopping..."
    assert go_client.until("2026-01-01T00:05:00Z", now) == "from now"
    assert go_client.until("2318-01-01T00:00:00Z", now) == "Forever"


# the commands


def test_version(lab: Lab, talk: Callable[..., Ask]) -> None:
    """`ollama -v` asks at once, and warns when the numbers differ."""
    reply = go_client.whole(client(lab, talk)("GET", "/api/version"))
    assert reply["version"].replace(".", "").isdecimal()


def test_list(command: Command) -> None:
    assert {"coder:latest", "plain:latest", "embedder:latest", "poet:latest"} <= set(
        command.listed()
    )


def test_show(command: Command) -> None:
    reply = command.show(name="coder")
    assert reply["details"]["parameter_size"] == "7.6B"
    assert reply["model_info"]["qwen3.context_length"] == 131072
    assert "SYSTEM" in command.show(name="poet")["modelfile"]
    for flags in ({"verbose": True}, {"system": "x"}, {"template": "y"}):
        command.show(name="coder", **flags)
    with pytest.raises(CommandFailed, match="model 'nope:latest' not found"):
        command.show(name="nope")


@pytest.mark.parametrize("think", [{"think": True}, {"think": False}, {}], ids=str)
def test_run_with_a_prompt(command: Command, think: dict[str, Any]) -> None:
    """`ollama run coder "Good day."`: what the model can do decides what is sent."""
    assert "thinking" in command.show(model="coder")["capabilities"]
    lines = command.generate("coder", "Good day.", **think)
    assert "".join(line["response"] for line in lines) == SPOKEN
    thought = "".join(line.get("thinking", "") for line in lines)
    assert thought == ("" if think.get("think") is False else THOUGHT)
    assert "context" not in lines[-1]


def test_run_as_a_talk(command: Command) -> None:
    """Loaded with an empty prompt; then a chat for each turn, with all turns before it."""
    command.show(model="coder")
    command.show(model="coder")
    (loaded,) = command.generate("coder", "", options=None, think=True)
    assert (loaded["done"], loaded["done_reason"], loaded["response"]) == (True, "load", "")
    turns: list[dict[str, Any]] = []
    for words in ("Good day.", "Again."):
        turns.append({"role": "user", "content": words})
        lines = command.chat("coder", *turns, think=True)
        said = [line["message"] for line in lines]
        text = "".join(message["content"] for message in said)
        assert text == SPOKEN
        thought = "".join(message.get("thinking", "") for message in said)
        turns.append({"role": "assistant", "content": text, "thinking": thought})
    lines = command.chat(
        "coder", {"role": "user", "content": "As JSON."}, format="json", think=True
    )
    assert json.loads("".join(line["message"]["content"] for line in lines)) == {"city": "Paris"}
    assert all(lines[-1][name] > 0 for name in samples.COUNTERS), "what --verbose prints"


def test_run_with_a_picture(command: Command, lab: Lab) -> None:
    """A path in the prompt is read and sent along, because the model can see."""
    assert "vision" in command.show(model="coder")["capabilities"]
    command.chat("coder", {"role": "user", "content": "Look.", "images": ["iVBORw0KGgo="]})
    parts = lab.upstream.calls[-1].body["messages"][0]["content"]
    assert parts[1]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="


def test_run_an_embedder(command: Command) -> None:
    """Its capability makes the command ask for a vector instead of a talk."""
    assert command.show(model="embedder")["capabilities"] == ["embedding"]
    said = command("POST", "/api/embed", {"model": "embedder", "input": "Good day.", "options": {}})
    assert len(go_client.whole(said)["embeddings"]) == 1


def test_run_an_unknown_model(command: Command) -> None:
    """404 from show makes it pull; what the pull says makes it look for a cloud model, and end."""
    said = command("POST", "/api/show", {"model": "nope", **NOTHING, "name": ""})
    assert said.status == 404
    with pytest.raises(CommandFailed, match=r"^pull model manifest: file does not exist$"):
        command.pull("nope")
    said = command("POST", "/api/show", {"model": "nope:cloud", **NOTHING, "name": ""})
    assert said.status == 404


def test_run_a_model_that_breaks(command: Command) -> None:
    with pytest.raises(CommandFailed, match=FAILURE):
        command.chat("breaks", {"role": "user", "content": "x"})


def test_ps_and_stop(command: Command) -> None:
    command.generate("plain", "Good day.", keep_alive="10m")
    (row,) = [row for row in command.running() if row["name"] == "plain:latest"]
    assert go_client.until(row["expires_at"], datetime.now(UTC)) == "from now"
    command.generate("plain", "Good day.", keep_alive=-1)
    (row,) = [row for row in command.running() if row["name"] == "plain:latest"]
    assert go_client.until(row["expires_at"], datetime.now(UTC)) == "Forever"
    command.stop("plain")
    assert "plain:latest" not in [row["name"] for row in command.running()]
    with pytest.raises(CommandFailed, match="not found"):
        command.stop("nope")


def test_pull(command: Command) -> None:
    steps = command.pull("coder")
    assert (steps[0], steps[-1]) == ("pulling manifest", "success")
    assert any(step.startswith("pulling ") and len(step) == 20 for step in steps)


def test_push(command: Command) -> None:
    """Its library's host makes it ask who is signed in; that is answered without a sign-in."""
    with pytest.raises(CommandFailed, match=r"^account unavailable$"):
        go_client.whole(command("POST", "/api/me"))
    body = {"model": "", "username": "", "password": "", "name": "poet"}
    with pytest.raises(CommandFailed, match="cannot be pushed"):
        command.progress("/api/push", body)


def test_create_run_copy_remove(own: Command, own_lab: Lab) -> None:
    made = {
        "model": "pirate",
        "from": "coder",
        "system": "Talk like a pirate.",
        "parameters": {"temperature": 0.5, "stop": ["Arr"]},
        "messages": [{"role": "user", "content": "Ahoy"}, {"role": "assistant", "content": "Arr"}],
    }
    steps = own.progress("/api/create", made)
    assert (steps[0].split(":")[0], steps[-1]) == ("using existing layer sha256", "success")
    own.chat("pirate", {"role": "user", "content": "Hello."})
    sent = own_lab.upstream.calls[-1].body
    assert sent["messages"][0] == {"role": "system", "content": "Talk like a pirate."}
    assert (sent["temperature"], sent["stop"]) == (0.5, ["Arr"])
    copied = own("POST", "/api/copy", {"source": "pirate", "destination": "corsair"})
    assert go_client.whole(copied) is None
    assert {"pirate:latest", "corsair:latest"} <= set(own.listed())
    for name in ("pirate", "corsair:latest"):
        own.stop(name)
        removed = own("DELETE", "/api/delete", {"model": "", "name": name})
        assert (removed.status, go_client.whole(removed)) == (200, None)
    assert not {"pirate:latest", "corsair:latest"} & set(own.listed())
    with pytest.raises(CommandFailed, match="model 'pirate' not found"):
        go_client.whole(own("DELETE", "/api/delete", {"model": "", "name": "pirate"}))


def test_create_from_a_file(own: Command) -> None:
    """A FROM with a path uploads it first; then the command prints why that cannot be used."""
    weights = b"GGUF" + bytes(1000)
    digest = f"sha256:{hashlib.sha256(weights).hexdigest()}"
    assert own("HEAD", f"/api/blobs/{digest}").status == 404
    assert own("POST", f"/api/blobs/{digest}", weights).status == 201
    body = {"model": "mine", "files": {"model.gguf": digest}}
    with pytest.raises(CommandFailed, match="has no weights of its own"):
        own.progress("/api/create", body)
    assert "mine:latest" not in own.listed()


def test_save_in_a_talk(own: Command) -> None:
    """`/save mine` makes a model of the talk so far, `/load` shows and loads it."""
    turns = [
        {"role": "user", "content": "Call me Ada."},
        {"role": "assistant", "content": "Yes, Ada."},
    ]
    made = {"model": "mine", "from": "coder", "parameters": {}, "messages": turns}
    assert own.progress("/api/create", made)[-1] == "success"
    assert own.show(model="mine")["messages"] == turns
    assert own.generate("mine", "", options=None)[0]["done_reason"] == "load"


def test_sign_in_and_out(command: Command) -> None:
    """Both end with a sentence; only signing out may say that nobody is signed in."""
    with pytest.raises(CommandFailed, match=r"^account unavailable$"):
        go_client.whole(command("POST", "/api/me"))
    with pytest.raises(SignInWanted):
        go_client.whole(command("POST", "/api/signout"))


def test_the_menu(command: Command) -> None:
    """`ollama` alone: what it asks before it shows anything, and no cloud in it."""
    names = command.listed()
    for name in names:
        command.show(model=name)
    command.running()
    assert go_client.whole(command("GET", "/api/status"))["cloud"]["disabled"] is True
    path = "/api/experimental/model-recommendations"
    assert go_client.whole(command("GET", path)) == {"recommendations": []}
    with pytest.raises(CommandFailed, match=r"^account unavailable$"):
        go_client.whole(command("POST", "/api/me"))
    for path, body in (("web_search", {"query": "x"}), ("web_fetch", {"url": "x"})):
        with pytest.raises(CommandFailed, match=r"^ollama cloud is disabled: "):
            go_client.whole(command("POST", f"/api/experimental/{path}", body))


def test_launching_an_agent(command: Command) -> None:
    """`ollama launch` leaves the talking to the agent; each of the three ways answers."""
    turn = {"role": "user", "content": "hi"}
    for path, body in (
        ("/v1/messages", {"messages": [turn], "max_tokens": 99}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/chat/completions", {"messages": [turn]}),
    ):
        assert command("POST", path, {"model": "coder:latest", **body}).status == 200
