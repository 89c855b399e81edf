"""In CI every test runs: one that was skipped fails the run, unless its reason is listed here.

A test that needs a program skips politely where the program is missing. In CI that would hide a
missing installation for ever.
"""

import os
import re
from typing import Any

import pytest

ALLOWED = {
    r"this user may not mount a small disk": "containers often lack the right to mount",
    r"this machine has no IPv6": "networks of containers often have none",
}
"""Patterns of reasons, and why nothing is lost."""


def unexpected(reports: list[Any]) -> list[str]:
    """The skipped tests that nothing here allows, with their reasons."""
    told = [(report.nodeid, _reason(report)) for report in reports]
    return [
        f"{name}: {reason}"
        for name, reason in told
        if not any(re.search(pattern, reason) for pattern in ALLOWED)
    ]


def _reason(report: Any) -> str:
    found = report.longrepr
    text = found[2] if isinstance(found, tuple) else str(found)
    return text.removeprefix("Skipped: ")


def _found(config: pytest.Config) -> list[str]:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return []
    return unexpected(reporter.stats.get("skipped", []))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that passed fails after all."""
    if hasattr(session.config, "workerinput"):
        return  # the one who started it counts
    if session.exitstatus == pytest.ExitCode.OK and _found(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which and why."""
    if found := _found(config):
        terminalreporter.section("skipped, and in CI nothing may be (tests/skips.py)", red=True)
        for line in found:
            terminalreporter.write_line(line)
