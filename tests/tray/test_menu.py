"""Status in, entries out."""

from dataclasses import replace
from datetime import datetime

import pytest

from ollama_bridge_tray import menu
from ollama_bridge_tray.menu import Button, Entry
from ollama_bridge_tray.status import Failure, Phase, Provider, Status

UP = Status(
    Phase.RUNNING,
    address="http://127.0.0.1:11434",
    default_provider="lab",
    providers=(Provider("demo", 1), Provider("lab", 12), Provider("new")),
    models=("llama3.2", "demo/demo"),
)


def shown(seen: Status, *, at_login: bool = False) -> dict[str, Entry]:
    return {entry.text: entry for entry in menu.entries(seen, at_login=at_login)}


def lines(seen: Status) -> list[str]:
    """What stands above the first separator."""
    found = menu.entries(seen, at_login=False)
    return [entry.text for entry in found[: found.index(menu.SEPARATOR)]]


@pytest.mark.parametrize(
    ("seen", "headlines"),
    [
        (Status(), ["Ollama Bridge: stopped"]),
        (Status(problem="Port taken"), ["Ollama Bridge: stopped", "Port taken"]),
        (Status(Phase.STARTING), ["Ollama Bridge: starting"]),
        (Status(Phase.STOPPING), ["Ollama Bridge: stopping"]),
        (Status(Phase.SILENT, "It hangs"), ["Ollama Bridge: does not answer", "It hangs"]),
        (UP, ["Ollama Bridge: http://127.0.0.1:11434", "Idle"]),
    ],
)
def test_headlines(seen: Status, headlines: list[str]) -> None:
    assert lines(seen) == headlines
    assert all(shown(seen)[line].button is None for line in headlines)


def test_a_tooltip_has_room_for_so_much() -> None:
    assert menu.tooltip(UP) == "Ollama Bridge: http://127.0.0.1:11434\nIdle"
    long = replace(UP, running=("m" * 200,), address="http://" + "a" * 60)
    assert len(menu.tooltip(long)) == menu.LONGEST_TOOLTIP


@pytest.mark.parametrize(
    ("running", "second"),
    [
        ((), "Idle"),
        (("llama3.2",), "Answering: llama3.2"),
        (("a", "b"), "Answering: a, b (2 requests)"),
        (("a", "a", "b"), "Answering: a, b (3 requests)"),
    ],
)
def test_what_is_answered(running: tuple[str, ...], second: str) -> None:
    assert lines(replace(UP, running=running))[1] == second


def test_an_error_in_the_settings_stands_at_the_top() -> None:
    seen = replace(UP, settings_error="c.toml: not TOML", running=("a",))
    assert lines(seen)[1] == "The settings have an error; the old ones are in use"
    assert shown(seen)["Recent errors"].entries[0].value == "c.toml: not TOML"


@pytest.mark.parametrize(
    ("phase", "toggle", "restart"),
    [
        (Phase.STOPPED, Entry("Start", Button.START, default=True), None),
        (Phase.STARTING, Entry("Start"), None),
        (Phase.RUNNING, Entry("Stop", Button.STOP), Button.RESTART),
        (Phase.STOPPING, Entry("Stop"), None),
        (Phase.SILENT, Entry("Stop", Button.STOP), Button.RESTART),
    ],
)
def test_start_and_stop(phase: Phase, toggle: Entry, restart: Button | None) -> None:
    found = shown(replace(UP, phase=phase))
    assert found[toggle.text] == toggle
    assert found["Restart"].button is restart
    assert ("Start" in found) != ("Stop" in found)


@pytest.mark.parametrize("phase", Phase)
def test_the_rest_is_always_there(phase: Phase) -> None:
    found = shown(replace(UP, phase=phase))
    always = {
        "View logs": Button.OPEN_LOGS,
        "Edit settings": Button.OPEN_SETTINGS,
        "Start at login": Button.START_AT_LOGIN,
        "Quit tray": Button.QUIT,
        "Quit and stop bridge": Button.QUIT_AND_STOP,
    }
    assert {text: found[text].button for text in always} == always
    defaults = [text for text, entry in found.items() if entry.default]
    assert len(defaults) == (phase in (Phase.STOPPED, Phase.RUNNING))


def test_the_address_is_copied_while_there_is_one() -> None:
    assert shown(UP)["Copy server URL"] == Entry(
        "Copy server URL", Button.COPY, "http://127.0.0.1:11434", default=True
    )
    assert shown(Status())["Copy server URL"] == Entry("Copy server URL")


def test_start_at_login_is_checked() -> None:
    assert shown(UP, at_login=True)["Start at login"].checked is True
    assert shown(UP)["Start at login"].checked is False


def model(name: str, *, checked: bool = False) -> Entry:
    return Entry(name, Button.DEFAULT_MODEL, name, checked=checked, radio=True)


def test_models() -> None:
    seen = replace(UP, models=("default", "llama3.2", "demo/demo"), default_model="Demo/demo")
    assert shown(seen)["Models"].entries == (
        Entry('Clients that ask for "default" get:'),
        model("llama3.2"),
        model("demo/demo", checked=True),
    )
    assert [entry.checked for entry in shown(UP)["Models"].entries] == [None, False, False]
    assert shown(Status())["Models"].entries == ()


def test_hundreds_of_models_stand_below_their_providers() -> None:
    names = [f"model-{number}" for number in range(menu.MOST_OF_ONE + 7)]
    names += ["other/small", *[f"demo/{number}" for number in range(20)]]
    seen = replace(UP, models=tuple(names), default_model="demo/3")
    found = shown(seen)["Models"].entries
    assert [entry.text for entry in found] == [
        'Clients that ask for "default" get:',
        *["demo/3", "-"],
        *[f"lab: {menu.MOST_OF_ONE + 8} models", "demo: 20 models"],
    ]
    own = found[3].entries
    assert own[:-1] == tuple(map(model, names[: menu.MOST_OF_ONE]))
    assert own[-1] == Entry("… 8 more: ollama-bridge models alias default NAME")
    assert found[4].entries[3] == model("demo/3", checked=True)


def test_no_models_yet() -> None:
    assert shown(replace(UP, models=()))["Models"].entries == (Entry("No models yet"),)


def test_providers() -> None:
    assert shown(UP)["Providers"].entries == (
        Entry("The default provider, whose models have bare names:"),
        Entry("demo: 1 model", Button.DEFAULT_PROVIDER, "demo", checked=False, radio=True),
        Entry("lab: 12 models", Button.DEFAULT_PROVIDER, "lab", checked=True, radio=True),
        Entry("new: no list yet", Button.DEFAULT_PROVIDER, "new", checked=False, radio=True),
    )
    assert shown(Status())["Providers"].entries == ()


def test_a_provider_that_fails_says_so() -> None:
    seen = replace(UP, providers=(Provider("lab", 12, "key refused"),))
    assert shown(seen)["Providers"].entries[1].text == "lab: key refused"
    assert [entry.value for entry in shown(seen)["Recent errors"].entries] == ["key refused"]


def test_recent_errors_newest_first() -> None:
    failures = (
        Failure(1, "2026-01-02T03:04:05.123456789Z", "a", "first"),
        Failure(2, "no time", "", "second"),
    )
    seen = replace(UP, providers=(Provider("lab", None, "down"),), failures=failures)
    moment = datetime.fromisoformat("2026-01-02T03:04:05+00:00").astimezone()
    assert shown(seen)["Recent errors"].entries == (
        Entry("down", Button.COPY, "down"),
        menu.SEPARATOR,
        Entry("second", Button.COPY, "second"),
        Entry(f"{moment:%H:%M} a: first", Button.COPY, "a: first"),
    )
    assert shown(UP)["No errors"].entries == ()


def test_long_texts_are_cut_and_copied_whole() -> None:
    text = "no\nway " * 50
    (entry,) = shown(Status(problem=text))["Recent errors"].entries
    assert len(entry.text) == menu.LONGEST
    assert entry.text.endswith("…")
    assert "\n" not in entry.text
    assert entry.value == text
