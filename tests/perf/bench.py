"""What the bridge costs beside a proxy that only forwards bytes; both in the same run.

    python tests/perf/bench.py --harness FOLDER [--rounds 3] [--scenarios a1,p100]

FOLDER holds `load.py`, `upstream.py` and `floor.py`: the load generator, the fake upstream and the
byte-forwarding proxy. Every response is checked. Machines are noisy: read the ratios, not the
figures. Exit code 1 when a response was wrong or a gate was missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

SCENARIOS = "a1,a100,s10,b1,b100,p100,f1,u10,k10"
"""Not d1 and d8: they want embeddings back unchanged, while /api/embed owes vectors of length one."""


class Gate(NamedTuple):
    """A figure of one scenario that must stay at or below a limit."""

    scenario: str
    figure: str
    over_floor: bool
    limit: float
    meaning: str


GATES = (
    Gate("p100", "cpu_us_chunk", True, 5.0, "CPU per chunk, one chunk a read, over the floor's"),
    Gate("s10", "cpu_ms_req", False, 0.6, "CPU of a streamed request, ms"),
    Gate("a100", "over_p50", False, 45.0, "added median at 100 concurrent, ms"),
)


def main() -> int:
    """Run the load, print the tables, hold the figures against the gates."""
    options = _options()
    harness = Path(options.harness).resolve()
    if not (harness / "load.py").is_file():
        print(f"no load generator in {harness}: say where it is with --harness", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        code, result = _measure(harness, Path(folder), options)
    return max(code, _report(result["summary"], result["start"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--harness", default="../shared/bench")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--scale", default="1.0")
    return parser.parse_args()


def _measure(harness: Path, folder: Path, options: argparse.Namespace) -> tuple[int, dict]:
    targets, out = folder / "targets.json", folder / "result.json"
    targets.write_text(json.dumps([_floor(), _bridge(folder)]))
    command = [sys.executable, str(harness / "load.py"), "--targets", str(targets), "--strict"]
    command += ["--rounds", options.rounds, "--scenarios", options.scenarios]
    command += ["--scale", options.scale, "--starts", "2", "--out", str(out)]
    code = subprocess.run(command, check=False).returncode
    return code, json.loads(out.read_text())


def _floor() -> dict:
    command = [sys.executable, "{here}/floor.py", "{port}", "{upport}"]
    return {"name": "floor", "cmd": command, "api": "openai", "ready": "/v1/models"}


def _bridge(folder: Path) -> dict:
    program = str(Path(sys.executable).with_name("ollama-bridge"))
    return {
        "name": "bridge",
        "cmd": [program, "serve", "--port", "{port}"],
        "env": {
            "OPENAI_BASE_URL": "{upstream}",
            "OPENAI_API_KEY": "sk-bench",
            "OLLAMA_BRIDGE_STATE": str(folder / "state"),
            "OLLAMA_BRIDGE_CONFIG": str(folder / "config.toml"),
        },
    }


def _report(summary: dict, start: dict) -> int:
    print("\n### Gates\n\n| what | measured | floor | limit | |\n|---|---:|---:|---:|---|")
    missed = [gate for gate in GATES if gate.scenario in summary and not _holds(gate, summary)]
    if "bridge" in start:
        idle = start["bridge"].get("idle_rss_mb", 0.0)
        first = sorted(start["bridge"]["start_s"])[len(start["bridge"]["start_s"]) // 2]
        print(f"\nStart to first answer {first:.2f} s, idle memory {idle:.0f} MB.")
    return 1 if missed else 0


def _holds(gate: Gate, summary: dict) -> bool:
    rows = summary[gate.scenario]
    ours, floor = rows["bridge"][gate.figure], rows.get("floor", {}).get(gate.figure)
    measured = ours / floor if gate.over_floor else ours
    good = measured <= gate.limit
    unit = " x" if gate.over_floor else ""
    below = "" if floor is None else f"{floor:.2f}"
    print(
        f"| {gate.scenario}: {gate.meaning} | {measured:.2f}{unit} | {below} "
        f"| {gate.limit}{unit} | {'good' if good else 'MISSED'} |"
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
