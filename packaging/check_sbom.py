"""Check a list of libraries (CycloneDX, JSON): every dependency of pyproject.toml stands in it.

What this system does not install, by its marker, may be missing. Exit code 1 names what is wrong.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def faults(sbom: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """What is wrong with it, in sentences."""
    if sbom.get("bomFormat") != "CycloneDX":
        return ["it is no CycloneDX document"]
    parts = {_plain(part["name"]): part for part in sbom.get("components", ())}
    project = document["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tray"]]
    always = {_plain(re.split(r"[\s><=\[;]", one)[0]) for one in wanted if ";" not in one}
    said = [f"{name} is missing" for name in sorted(always - parts.keys())]
    said += [
        f"{part['name']} has no {key}"
        for part in parts.values()
        for key in ("version", "purl")
        if not part.get(key) and _plain(part["name"]) != _plain(project["name"])
    ]
    return said


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Check the file that is named; the exit code."""
    path = Path(sys.argv[1])
    sbom = json.loads(path.read_text("utf-8"))
    found = faults(sbom, tomllib.loads(PYPROJECT.read_text("utf-8")))
    for fault in found:
        print(f"{path}: {fault}", file=sys.stderr)
    if not found:
        print(f"{path}: {len(sbom['components'])} parts")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
