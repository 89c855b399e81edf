"""Counters, durations and reasons for the end (upstream-quirks G1 to G3, M; ollama-api trap 33)."""

import pytest

from ollama_bridge.translate import stats
from ollama_bridge.wire.openai import Timings

ENDS = {
    "stop": (
        "stop",
        "eos",
        "eos_token",
        "stop_sequence",
        "end_turn",
        "COMPLETE",
        "tool_calls",
        "tool_call",
        "function_call",
        "content_filter",
        "",
        None,
        "whatever comes next year",
    ),
    "length": ("length", "max_tokens", "model_length", "MAX_TOKENS"),
}


@pytest.mark.parametrize(
    ("finish", "reason"), [(finish, reason) for reason, all_ in ENDS.items() for finish in all_]
)
def test_done_reason(finish: str | None, reason: str):
    assert stats.done_reason(finish) == reason


def test_failed_answers_have_no_done_reason():
    wanted = {"error", "abort", "network_error", "insufficient_system_resource", "sensitive"}
    assert set(stats.FAILED) == wanted


def _watch(*times: int) -> stats.Stopwatch:
    ticks = iter(times)
    return stats.Stopwatch(lambda: next(ticks))


def test_durations():
    watch = _watch(1000, 1010, 1500, 2500)
    watch.sent()
    watch.token()
    assert watch.until_first() == 500
    assert watch.stats(20, 30) == stats.Stats(
        total_duration=1500,
        load_duration=10,
        prompt_eval_count=20,
        prompt_eval_duration=490,
        eval_count=30,
        eval_duration=1000,
    )


def test_llama_cpp_knows_better():
    watch = _watch(0, 1, 5, 9)
    watch.sent()
    watch.token()
    found = watch.stats(1, 1, Timings(prompt_ms=1.5, predicted_ms=0.25))
    assert (found.prompt_eval_duration, found.eval_duration) == (1_500_000, 250_000)
    assert found.total_duration == 9


@pytest.mark.parametrize("timings", [None, Timings(), Timings(0.0, 0.0), Timings(1.0, None)])
def test_nothing_is_ever_zero(timings: Timings | None):
    """Ollama leaves zeros out, and clients crash on what is missing."""
    found = _watch(7, 7).stats(0, 0, timings)
    assert all(isinstance(value, int) and value > 0 for value in found)


@pytest.mark.parametrize(("characters", "tokens"), [(0, 1), (3, 1), (4, 1), (8, 2), (4000, 1000)])
def test_estimate(characters: int, tokens: int):
    assert stats.estimate(characters) == tokens
