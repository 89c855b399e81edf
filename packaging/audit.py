"""Ask pip-audit about known weaknesses of the libraries that are installed with the program.

Exit code 0: none is known. 1: some are, and they are named. The advisory service is on the network:
when it cannot be asked nothing is known, which is said loudly, with exit code 0, 3 with --strict.
"""

import argparse
import json
import shlex
import subprocess
import sys
from typing import Any

NOT_ASKED = 3
OURS = "ollama-bridge"
_PATIENCE = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Audit; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail when nothing could be asked")
    parser.add_argument("--pip-audit", default="pip-audit", help="the command, with options")
    parser.add_argument("--path", required=True, help="the site-packages to look at")
    given = parser.parse_args(arguments)
    command = [
        *shlex.split(given.pip_audit),
        *("--format", "json", "--progress-spinner", "off", "--path", given.path),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - the command is the developer's own
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        said = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired) as error:
        return _not_asked(str(error), strict=given.strict)
    except (ValueError, KeyError, TypeError):
        return _not_asked(_last_line(done.stderr), strict=given.strict)
    others = [one for one in said if one.get("name") != OURS]
    if others and all("skip_reason" in one for one in others):
        return _not_asked(f"all {len(others)} were skipped", strict=given.strict)
    return _told(others)


def _told(dependencies: list[dict[str, Any]]) -> int:
    weak = [one for one in dependencies if one.get("vulns")]
    for one in weak:
        for found in one["vulns"]:
            fixed = ", ".join(found.get("fix_versions") or ()) or "no version yet"
            print(f"{one['name']} {one['version']}: {found['id']}, mended in {fixed}")
    skipped = [one for one in dependencies if "skip_reason" in one]
    for one in skipped:
        print(f"{one['name']}: not looked at ({one['skip_reason']})")
    asked = len(dependencies) - len(skipped)
    print(f"{asked} libraries audited, {len(weak)} with known weaknesses")
    return 1 if weak else 0


def _not_asked(reason: str, *, strict: bool) -> int:
    print(
        "NOT AUDITED: the advisory service could not be asked, so nothing is known about the "
        f"libraries ({reason or 'no reason given'}); run `make audit` where it can be reached",
        file=sys.stderr,
    )
    return NOT_ASKED if strict else 0


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
