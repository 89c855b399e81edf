"""What several tests share."""

from collections import Counter

import pytest
from hypothesis import settings

pytest_plugins = ["bridges", "buses", "leaks", "screens", "skips"]

settings.register_profile("patient", deadline=None)  # busy machines are slow, not wrong
settings.load_profile("patient")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many recordings were replayed, by kind: nobody should have to believe it."""
    kinds = Counter(
        f"{value} {outcome}"
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "recording"
    )
    if kinds:
        counts = ", ".join(f"{kind}: {number}" for kind, number in sorted(kinds.items()))
        terminalreporter.write_line(f"recordings replayed, {kinds.total()}: {counts}")
