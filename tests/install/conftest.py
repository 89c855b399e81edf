"""Building and installing takes minutes and a package index: only where it is asked for."""

import pytest

_ASKED_FOR = ("install", "bundle")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out of a run that does not name their mark, such as a plain `pytest`."""
    unasked = [mark for mark in _ASKED_FOR if mark not in config.option.markexpr]
    left_out = [item for item in items if any(map(item.get_closest_marker, unasked))]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
