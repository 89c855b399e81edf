"""What a client must have got, feature by feature: one check for each, on what its driver tells."""

import math
from collections.abc import Callable
from typing import Any

from clients.asked import ASK, FAILURE, PNG

from ollama_bridge.demo import embeddings
from ollama_bridge.demo.models import LABEL
from ollama_bridge.demo.words import tokens

Detail = dict[str, Any]

SAID = f"{LABEL}\n\nYou said: “{ASK['say']}”"
THOUGHT = f"The user wrote “{ASK['say']}”. No model runs here, so I repeat what I was sent."
PARIS, ROME = ["get_weather", {"city": "Paris"}], ["get_weather", {"city": "Rome"}]


def listing(detail: Detail) -> None:
    """The models are listed, by their names with or without tag."""
    names = {name.removesuffix(":latest") for name in detail["names"]}
    assert {"demo", "demo-embed", "lab/two-calls"} <= names
    assert "nope" not in names


def show(detail: Detail) -> None:
    """The size of the context or the capabilities, whichever the client reads."""
    known = {key: value for key, value in detail.items() if value is not None}
    assert known
    assert known.pop("context", 32768) == 32768
    assert "tools" in known.pop("capabilities", ["tools"])
    assert not known


def chat(detail: Detail) -> None:
    assert detail["text"] == SAID
    _counted(detail)


def stream(detail: Detail) -> None:
    """The same text in many pieces."""
    assert "".join(detail["pieces"]) == SAID
    assert len(detail["pieces"]) > 20
    _counted(detail)


def tools(detail: Detail) -> None:
    """One call, and an answer from its result; streamed too where the client can."""
    if "commands" in detail:
        _ran(detail, ["Paris"])
        return
    assert detail["calls"] == [PARIS]
    assert detail.get("streamed", [PARIS]) == [PARIS]
    assert detail["answer"] == f"The tool get_weather answered: “It is sunny in Paris.”\n\n{LABEL}"


def two_calls(detail: Detail) -> None:
    """Both calls apart, and each result under the id of its call."""
    if "commands" in detail:
        _ran(detail, ["Paris", "Rome"])
        return
    assert detail["calls"] == [PARIS, ROME]
    assert detail["answer"] == "Paris: It is sunny in Paris. | Rome: It is sunny in Rome."


def _ran(detail: Detail, cities: list[str]) -> None:
    """An agent runs commands, which is the tool that it has."""
    said = [f"It is sunny in {city}." for city in cities]
    assert len(detail["commands"]) == len(cities)
    ran = sorted(detail["commands"])  # they run at the same time, in shells with words of their own
    assert all(f"echo {text}" in one for text, one in zip(said, ran, strict=True))
    assert detail["answer"] == " | ".join(said)


def structured(detail: Detail) -> None:
    value = detail["value"]
    assert set(value) == {"name", "population", "languages"}
    assert value["name"] == "Canada"
    assert isinstance(value["population"], int)
    assert value["languages"]
    assert all(isinstance(language, str) for language in value["languages"])


def thinking(detail: Detail) -> None:
    """Thoughts apart from the text, and none when they are off."""
    assert detail["thinking"] == THOUGHT
    assert detail["text"] == SAID
    assert not detail.get("off")


def images(detail: Detail) -> None:
    assert f"You sent a file of type image/png, {len(PNG)} bytes." in detail["text"]


def vectors(detail: Detail) -> None:
    """The demo model's own numbers, in order."""
    reply = embeddings.respond({"model": ASK["embedder"], "input": ASK["texts"]})
    assert isinstance(reply, dict)
    wanted = [item["embedding"] for item in reply["data"]]
    assert len(detail["rows"]) == len(wanted)
    for row, want in zip(detail["rows"], wanted, strict=True):
        assert math.dist(row, want) < 1e-5


def error(detail: Detail) -> None:
    """The status and the sentence of an unknown model, as far as the client tells them."""
    assert detail.get("status", 404) == 404
    assert ASK["unknown"] in detail["text"]
    # the second is Ollama's word to those that pull what they do not find
    assert "not found" in detail["text"] or "file does not exist" in detail["text"]


def error_in_stream(detail: Detail) -> None:
    """Words that came before the error are there; the error ends the stream, with its sentence."""
    assert "".join(detail.get("pieces", ["All is well"])).strip() == "All is well"
    assert FAILURE in detail["text"]


CHECKS: dict[str, Callable[[Detail], None]] = {
    "list": listing,
    "show": show,
    "chat": chat,
    "stream": stream,
    "tools": tools,
    "two calls at once": two_calls,
    "structured output": structured,
    "thinking": thinking,
    "images": images,
    "embeddings": vectors,
    "error": error,
    "error in stream": error_in_stream,
}
"""The columns of the README's table, and what each of them demands."""


def _counted(detail: Detail) -> None:
    """Tokens as the upstream counted them, if the client tells."""
    read, written = detail.get("tokens") or (1, len(tokens(SAID)))
    assert read > 0
    assert written == len(tokens(SAID))
