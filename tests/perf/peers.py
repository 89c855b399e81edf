"""The bridge beside other programs of its kind; the result goes into BENCHMARKS.md.

    python tests/perf/peers.py --harness FOLDER [--rounds 2]

Each is installed into an environment of its own under `.bench` and run with its own defaults. Where
one breaks Ollama's protocol, its cost is measured all the same, and the table says so.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench

FOLDER = bench.ROOT / ".bench"
PEERS = {
    "oai2ollama": "oai2ollama==1.2.8",
    "ollama-openai-proxy": "ollama-openai-proxy==0.7.0",
    "ollama-proxy-plus": "ollama-proxy-plus==0.1.0",
    "litellm": "litellm[proxy]==1.106.2",
}
SCENARIOS = "p100,s10,a100"
FIGURES = {
    "CPU per chunk (p100), us": ("p100", "cpu_us_chunk", "{:.1f}"),
    "CPU of a one-chunk stream, ms": ("s10", "cpu_ms_req", "{:.2f}"),
    "added at 100 at once, median, ms": ("a100", "over_p50", "{:+.0f}"),
}


def main() -> int:
    """Install, run, compare, write."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        harness = bench.prepared(Path(options.harness), Path(folder))
        targets = [bench.floor(), bench.bridge(Path(folder)), *_peers(harness)]
        _, run = bench.measured(harness, targets, options, starts=1)
    table = _table(run)
    print("\n" + table)
    bench.write("peers", f"{bench.made(options.rounds)}\n\n{table}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--harness", default="../shared/bench")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--rounds", default="2")
    parser.add_argument("--scale", default="1.0")
    return parser.parse_args()


def _peers(harness: Path) -> list[Any]:
    known = {row["name"]: row for row in json.loads((harness / "targets.example.json").read_text())}
    installed = [name for name, package in PEERS.items() if _install(FOLDER / name, package)]
    for name in installed:
        program = FOLDER / name / "bin" / Path(known[name]["cmd"][0]).name
        known[name]["cmd"][0] = str(program)
    return [known[name] for name in installed]


def _install(folder: Path, package: str) -> bool:
    """Into an environment of its own, with the first Python that it takes."""
    done = folder / ".installed"
    if done.exists() and done.read_text() == package:
        return True
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", package]
    for python in (sys.executable, "python3.12", "python3.13"):
        made = _run([python, "-m", "venv", "--clear", str(folder)])
        if made and _run(pip):
            done.write_text(package)
            return True
    print(f"!! {package} cannot be installed here", file=sys.stderr)
    return False


def _run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:
        return False


def _table(run: bench.Summary) -> str:
    names = ["bridge", *PEERS]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for what, (scenario, figure, form) in FIGURES.items():
        rows = run["summary"][scenario]
        cells = [_cell(rows.get(name), figure, form) for name in names]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    rows = run["summary"]["p100"]
    ours = rows["bridge"]["cpu_us_chunk"]
    times = [_cell(rows.get(name), "cpu_us_chunk", "{:.1f} x", ours) for name in names[1:]]
    lines.append(f"| its CPU per chunk over the bridge's | 1 | {' | '.join(times)} |")
    starts = [run["start"].get(name, {}).get("start_s") for name in names]
    seconds = [f"{times[-1]:.2f}" if times else "-" for times in starts]
    return "\n".join([*lines, f"| start to first answer, s | {' | '.join(seconds)} |"])


def _cell(row: bench.Summary | None, figure: str, form: str, unit: float = 1.0) -> str:
    if row is None or row[figure] is None:
        return "failed"
    return form.format(row[figure] / unit) + ("*" if row["errors"] or row["warnings"] else "")


if __name__ == "__main__":
    sys.exit(main())
