"""A short turn of every fuzz target; `make fuzz` gives them as long as one likes."""

import pytest

from fuzz.rounds import attack
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    attack(name, examples=60, number=1)  # always the same ones; `make fuzz` tries others
