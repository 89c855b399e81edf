"""Rounds of fuzzing, target by target, until the time is up: `python -m fuzz.rounds --seconds 60`."""

import argparse
import itertools
import random
import time
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.targets import TARGETS

ROUND = 100
"""Examples of one target before the next has its turn."""


def attack(name: str, examples: int, number: int | None = None) -> None:
    """Try that many inputs; raises with the smallest that fails. `number` repeats a round."""
    target = TARGETS[name]

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(target.inputs)
    def holds(value: Any) -> None:
        target.check(value)

    (seed(number)(holds) if number is not None else holds)()


def main() -> int:
    """Rounds until the time is up; 1 at the first failure, with its seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--begin", type=int, help="the same rounds for the same number")
    parser.add_argument("--seed", type=int, help="repeat one round of one target")
    given_ = parser.parse_args()
    names = given_.target or list(TARGETS)
    if given_.seed is not None:
        attack(names[0], ROUND, given_.seed)
        return 0
    end = time.monotonic() + given_.seconds
    tried: Counter[str] = Counter()
    numbers = random.Random(given_.begin)
    for name in itertools.cycle(names):
        if time.monotonic() > end and len(tried) == len(names):
            break
        number = numbers.randrange(2**32)
        try:
            attack(name, ROUND, number)
        except BaseException:
            print(f"\n{name}: to repeat it: --target '{name}' --seed {number}\n", flush=True)
            raise
        tried[name] += ROUND
    for name, count in tried.items():
        print(f"{name}: {count} inputs, nothing found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
