"""Real clients, unmodified, each a process of its own, against a real daemon.

`make test-clients` installs them. A driver tells what its client got; the checks in answers.py say
whether that is right. The README's table is written from the same outcomes.
"""

import os
from collections.abc import Iterator

import pytest
from clients import outcomes, table
from clients.answers import CHECKS
from clients.asked import ASK, lab
from clients.install import clients
from clients.outcomes import KNOWN, Outcomes
from daemons import Home
from servers import served

pytestmark = pytest.mark.clients

CLIENTS = clients()
NAMES = [client.name for client in CLIENTS]

SETTINGS = """\
default_provider = "demo"

[providers.demo]

[providers.lab]
base_url = "{url}/v1"
key = "none"
"""


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a daemon that looks at nothing of this machine's settings."""
    home = Home(tmp_path_factory.mktemp("home"))
    with served(lab()) as url:
        home.write(SETTINGS.format(url=url))
        home.json("start", "--port", "0")
        yield f"http://127.0.0.1:{home.note()['port']}"
        assert home.run("stop").returncode == 0


@pytest.fixture(scope="module")
def found(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """What came of every feature, by client; only of those that are installed."""
    there = [client for client in CLIENTS if client.installed]
    found = outcomes.asked(there, ASK | {"url": bridge}, tmp_path_factory.mktemp("drivers"))
    if len(there) == len(CLIENTS):
        outcomes.save(found)
    return found


def _of(found: dict[str, Outcomes], name: str) -> Outcomes:
    if name not in found:
        reason = f"{name} is not installed: run `make test-clients`"
        pytest.fail(reason) if os.environ.get("CI_CLIENTS") else pytest.skip(reason)
    return found[name]


@pytest.mark.parametrize("feature", CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_feature_of_a_client(found: dict[str, Outcomes], name: str, feature: str) -> None:
    outcome = _of(found, name)[feature]
    if reason := KNOWN.get((name, feature)):
        assert outcome.ok is False, f"this works now; take it out of KNOWN: {reason}"
    else:
        assert outcome.ok is not False, outcome.reason


def test_the_readme_tells_what_came_out(found: dict[str, Outcomes]) -> None:
    for name in NAMES:
        _of(found, name)
    told = table.section(table.README.read_text(encoding="utf-8"))
    assert told == table.written(found), "the table in README.md is old: make client-table"
