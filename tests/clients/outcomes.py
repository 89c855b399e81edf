"""Run the drivers and judge what they tell."""

import json
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clients.answers import CHECKS
from clients.install import HERE, Client

RESULTS = HERE / "results.json"
AT_ONCE = 2
LIMIT = 180
"""Seconds for one driver; the slowest take ten."""

KNOWN: dict[tuple[str, str], str] = {
    ("ai-sdk", "error in stream"): (
        "the provider reads over Ollama's error lines; the text just ends, with the finish reason "
        "`other`"
    ),
}
"""What does not work, by client and feature, and why that is not the bridge's fault."""

_MARK = '{"feature"'
"""What a driver's own lines begin with."""

_KEPT = ("SYSTEMROOT", "TEMP", "TMP", "LANG")


@dataclass(frozen=True)
class Outcome:
    """`ok` is None where the client has no such feature; the reason tells why, or what failed."""

    ok: bool | None
    reason: str = ""


Outcomes = dict[str, Outcome]


def asked(clients: Iterable[Client], ask: dict[str, Any], folder: Path) -> dict[str, Outcomes]:
    """What came of every feature, by client; each has a home folder of its own."""
    rows = list(clients)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda client: _outcomes(client, ask, folder / client.name), rows)
        return {client.name: outcome for client, outcome in zip(rows, found, strict=True)}


def save(outcomes: dict[str, Outcomes]) -> None:
    """Keep them for the table."""
    plain = {
        name: {key: asdict(each) for key, each in row.items()} for name, row in outcomes.items()
    }
    RESULTS.write_text(json.dumps(plain, indent=1), encoding="utf-8")


def saved() -> dict[str, Outcomes]:
    """Those of the last complete run."""
    plain = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {
        name: {key: Outcome(**each) for key, each in row.items()} for name, row in plain.items()
    }


def _outcomes(client: Client, ask: dict[str, Any], home: Path) -> Outcomes:
    home.mkdir()
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ |= {
        "PATH": client.path,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PYTHONUTF8": "1",
        "OLLAMA_HOST": ask["url"],
    }
    done = subprocess.run(
        [*client.command(), json.dumps(ask)],
        cwd=home,
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    # not `splitlines`: what the model said has other line ends in it; libraries may print, too
    lines = [json.loads(line) for line in done.stdout.split("\n") if line.startswith(_MARK)]
    told = {line["feature"]: line for line in lines}
    silent = {"ok": False, "reason": f"its driver told nothing about it:\n{done.stderr}"}
    return {feature: _judged(feature, told.get(feature, silent)) for feature in CHECKS}


def _judged(feature: str, line: dict[str, Any]) -> Outcome:
    if not line["ok"]:
        return Outcome(line["ok"], line["reason"])
    try:
        CHECKS[feature](line["detail"])
    except (AssertionError, KeyError, TypeError) as error:
        return Outcome(ok=False, reason=f"{type(error).__name__} {error}; it told {line['detail']}")
    return Outcome(ok=True)
