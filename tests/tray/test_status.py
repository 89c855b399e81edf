"""What a daemon tells, what the icon shows for it, and what is news."""

from dataclasses import replace

import pytest

from ollama_bridge_tray import status
from ollama_bridge_tray.status import Failure, Look, News, Phase, Provider, Status

UP = Status(Phase.RUNNING, instance="a", providers=(Provider("demo", 2),), default_provider="demo")
DOWN = (Provider("demo", 2), Provider("lab", None, "cannot be reached"))


@pytest.mark.parametrize(
    ("seen", "look"),
    [
        (Status(), Look.STOPPED),
        (Status(problem="ended"), Look.ERROR),
        (Status(Phase.STARTING), Look.STARTING),
        (Status(Phase.STOPPING), Look.STARTING),
        (Status(Phase.SILENT), Look.ERROR),
        (UP, Look.RUNNING),
        (replace(UP, running=("demo",)), Look.BUSY),
        (replace(UP, settings_error="not TOML"), Look.ERROR),
        (replace(UP, providers=DOWN), Look.RUNNING),
        (replace(UP, providers=DOWN, default_provider="lab"), Look.ERROR),
        (replace(UP, providers=DOWN[1:], default_provider="none"), Look.ERROR),
        (replace(UP, providers=()), Look.RUNNING),
    ],
)
def test_look(seen: Status, look: Look) -> None:
    assert seen.look is look


TOLD = {
    "schema": 1,
    "instance": "abc",
    "config": "/c.toml",
    "settings_error": None,
    "default_provider": "demo",
    "default_model": "lab/x",
    "providers": [{"name": "demo", "url": "http://x", "models": None, "error": None}],
    "models": 2,
    "answering": ["demo"],
    "requests": 7,
    "errors": 1,
    "failures": [{"number": 1, "time": "2026-01-02T03:04:05Z", "model": "x", "error": "no"}],
}


def test_what_a_daemon_tells() -> None:
    assert status.running("http://here", TOLD, ["demo"]) == Status(
        phase=Phase.RUNNING,
        instance="abc",
        address="http://here",
        config="/c.toml",
        default_provider="demo",
        default_model="lab/x",
        providers=(Provider("demo"),),
        models=("demo",),
        running=("demo",),
        failures=(Failure(1, "2026-01-02T03:04:05Z", "x", "no"),),
    )


def test_a_daemon_of_another_version_may_tell_less() -> None:
    assert status.running("http://here", {}, []) == Status(Phase.RUNNING, address="http://here")


def failed(*numbered: tuple[int, str], instance: str = "a") -> Status:
    failures = tuple(Failure(number, "", "m", error) for number, error in numbered)
    return replace(UP, instance=instance, failures=failures)


def test_a_trouble_is_told_once_and_again_when_it_comes_back() -> None:
    news = News()
    broken = replace(UP, settings_error="line 3")
    seen = [UP, broken, broken, UP, broken, replace(UP, settings_error="line 4")]
    assert [news.read(one) for one in seen] == [[], ["line 3"], [], [], ["line 3"], ["line 4"]]


def test_each_source_of_trouble_is_told() -> None:
    news = News()
    seen = replace(UP, settings_error="line 3", providers=DOWN)
    assert news.read(seen) == ["line 3", "cannot be reached"]
    assert news.read(Status(problem="It ended")) == ["It ended"]


def test_a_failure_is_told_once() -> None:
    news = News()
    assert news.read(UP) == []
    assert news.read(failed((1, "no key"))) == ["m: no key"]
    assert news.read(failed((1, "no key"))) == []
    assert news.read(failed((1, "no key"), (2, "no key"))) == [], "the same again is no news"
    assert news.read(failed((2, "no key"), (3, "slow"), (4, "slow"))) == ["m: slow"]


def test_old_failures_are_no_news_to_a_new_tray() -> None:
    news = News()
    assert news.read(failed((1, "no key"))) == []
    assert news.read(failed((1, "no key"), (2, "slow"))) == ["m: slow"]


def test_a_new_daemon_counts_from_one() -> None:
    news = News()
    news.read(failed((5, "no key")))
    assert news.read(Status()) == []
    assert news.read(failed((1, "no key"), instance="b")) == ["m: no key"]


def test_a_failure_without_a_model() -> None:
    assert status.of(Failure(1, "", "", "bad request")) == "bad request"
