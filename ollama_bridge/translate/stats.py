"""Token counts, measured durations and the reason an answer ended.

Ollama drops zero counters, but clients crash without them (reference trap 33): every figure here
is a positive integer. Durations are nanoseconds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ollama_bridge.wire import openai

CHARACTERS_PER_TOKEN = 4

LENGTH = frozenset({"length", "max_tokens", "model_length", "MAX_TOKENS", "max_output_tokens"})
"""Finish reasons that mean a token limit; all others that are no failure mean `stop`."""

FAILED: Mapping[str, str] = {
    "error": "the upstream reported an error and stopped",
    "abort": "the upstream aborted the answer",
    "network_error": "the upstream had a network error and stopped",
    "insufficient_system_resource": "the upstream ran out of resources and stopped",
    "sensitive": "the upstream withheld the answer as sensitive",
}
"""Finish reasons that mean the answer is not complete (DeepSeek, Z.ai, OpenRouter)."""


def done_reason(finish: str | None) -> str:
    """Ollama knows only `stop` and `length`; tool calls end with `stop` too."""
    return "length" if finish in LENGTH else "stop"


class Ending:
    """How an answer ended, for writers that tell more of it than Ollama does."""

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self.finish = ""
        """The upstream's own word."""
        self.stop = ""
        """The stop string of the client's that ended it, where somebody tells."""
        self._stops = stops

    def stopped_by(self, named: object) -> None:
        """What ended it; servers also name the tokens of their templates."""
        if isinstance(named, str) and named in self._stops:
            self.stop = named


class Stats(NamedTuple):
    """The counters of the last line, in Ollama's order."""

    total_duration: int
    load_duration: int
    prompt_eval_count: int
    prompt_eval_duration: int
    eval_count: int
    eval_duration: int


class Stopwatch:
    """When a request came, was sent on and had its first token, by the clock it is given."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.begun = self._sent = now()
        self.first = 0

    def sent(self) -> None:
        """The request is on its way to the upstream."""
        self._sent = self._now()

    def token(self) -> None:
        """The first token has come."""
        self.first = self._now()

    def until_first(self) -> int:
        """Nanoseconds from the request to the first token; 0 while there is none."""
        return self.first - self.begun if self.first else 0

    def elapsed(self) -> int:
        """Nanoseconds since the request came."""
        return max(1, self._now() - self.begun)

    def load(self) -> int:
        """Nanoseconds the bridge itself took before the upstream had the request."""
        return max(1, self._sent - self.begun)

    def stats(
        self, prompt_tokens: int, eval_tokens: int, timings: openai.Timings | None = None
    ) -> Stats:
        """All counters; llama.cpp's own timings win over ours."""
        end = self._now()
        first = self.first or end
        prompt, evaluation = first - self._sent, end - first
        if timings and timings.prompt_ms and timings.predicted_ms:
            prompt, evaluation = _nanoseconds(timings.prompt_ms), _nanoseconds(timings.predicted_ms)
        return Stats(
            total_duration=max(1, end - self.begun),
            load_duration=self.load(),
            prompt_eval_count=max(1, prompt_tokens),
            prompt_eval_duration=max(1, prompt),
            eval_count=max(1, eval_tokens),
            eval_duration=max(1, evaluation),
        )


def estimate(characters: int) -> int:
    """Tokens in a text of this length, roughly; for upstreams that do not tell."""
    return max(1, characters // CHARACTERS_PER_TOKEN)


def _nanoseconds(milliseconds: float) -> int:
    return max(1, int(milliseconds * 1_000_000))
