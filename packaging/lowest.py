"""Print the lowest versions that pyproject.toml allows, as constraints for pip.

Only what the program itself needs, and its extra `tray`: the tools of its tests may be newer.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[^]]*\])?\s*>=\s*(?P<lowest>[\w.]+)[^;]*(?P<marker>;.*)?"
)


def constraints(document: dict[str, Any]) -> list[str]:
    """One line for each direct dependency; raises ValueError for one without a lowest version."""
    project = document["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tray"]]
    lines = []
    for requirement in wanted:
        found = _REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f'"{requirement}" in pyproject.toml names no lowest version (>=)')
        lines.append(f"{found['name']}=={found['lowest']}{found['marker'] or ''}")
    return lines


if __name__ == "__main__":
    print(*constraints(tomllib.loads(PYPROJECT.read_text("utf-8"))), sep="\n")
