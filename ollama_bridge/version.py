"""Which of two versions of this program is the older one."""

import re


def is_older(version: str, than: str) -> bool:
    """By the numbers between the dots; what follows them does not count."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
