"""Writing a reply: an answer in tokens, at once or as the events of a stream."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ollama_bridge.demo.models import CREATED
from ollama_bridge.demo.request import Body, Json, part, stops, whole_number
from ollama_bridge.demo.words import count, digest, tokens

Reply = dict[str, Json] | list[dict[str, Json]]
"""One object, or the events of a stream."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says: thoughts, then a call or text, each in tokens."""

    thoughts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    call: dict[str, Json] | None = None
    finish: str = "stop"

    @property
    def tokens(self) -> int:
        """All that was generated."""
        call = tokens(self.call["function"]["arguments"]) if self.call else []
        return len(self.thoughts) + len(self.words) + len(call)


def until_stop(text: str, body: Body) -> list[str]:
    """The tokens of the text before the first stop."""
    places = [place for stop in stops(body) if (place := text.find(stop)) >= 0]
    return tokens(text[: min(places)] if places else text)


def limited(answer: Answer, body: Body) -> Answer:
    """As much of the answer as the limit allows; thoughts count, as with real models."""
    limit = whole_number(body, "max_completion_tokens", 1)
    limit = limit or whole_number(body, "max_tokens", 1)
    if limit is None or answer.tokens <= limit:
        return answer
    left = max(0, limit - len(answer.thoughts))
    return Answer(answer.thoughts[:limit], answer.words[:left], finish="length")


def frame(body: Body, prefix: str, kind: str) -> dict[str, Json]:
    """What a reply, and every event of a stream, begins with."""
    name = f"{prefix}-{digest(repr(body))}"
    return {"id": name, "object": kind, "created": CREATED, "model": body["model"]}


def usage(prompt: Json, answer: Answer) -> dict[str, Json]:
    """How many tokens went in and out."""
    read = count(prompt)
    return {
        "prompt_tokens": read,
        "completion_tokens": answer.tokens,
        "total_tokens": read + answer.tokens,
        "completion_tokens_details": {"reasoning_tokens": len(answer.thoughts)},
    }


def written(body: Body, head: Body, used: Json, whole: Json, parts: Iterable[Json]) -> Reply:
    """The reply: one choice, or the parts of it if the request wants a stream."""
    if not body.get("stream"):
        return {**head, "choices": [whole], "usage": used}
    events = [{**head, "choices": [choice]} for choice in parts]
    if part(body, "stream_options").get("include_usage"):
        events.append({**head, "choices": [], "usage": used})
    return events


def ranked(word: str, top: int) -> list[dict[str, Json]]:
    """A made-up likelihood of the word itself, then of `top - 1` others that are less likely."""
    best = -int(digest(word)[:2], 16) / 256
    tokens = [word, *(f"{word}~{rank}" for rank in range(1, top))]
    return [
        {"token": token, "logprob": best - rank, "bytes": list(token.encode())}
        for rank, token in enumerate(tokens)
    ]
