"""What the bridge costs, held against gate and goal; the result goes into BENCHMARKS.md.

    python tests/perf/bench.py --harness FOLDER [--rounds 3] [--scenarios a1,p100] [--keep]

FOLDER holds `load.py`, `upstream.py` and `floor.py`: the load generator, the fake upstream and the
byte-forwarding proxy. In one run, one after the other in every round: the load straight at the
upstream, through the forwarder, through the bridge. Every response is checked. Machines are noisy:
read the ratios. Exit code 1 when a response was wrong or a gate was missed.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "BENCHMARKS.md"
SCENARIOS = "a1,a100,s10,b1,b100,s10,p100,s10,c1000s,d1,d8,s10,f1,f4,u10,k10,s10,c1000"
"""In this order; s10 takes a tenth of a second, in which a shared machine is not like the next: it is
measured at five moments of each round."""

KEY = "sk-proj-Zq3vN8xTgB1yWm7KdR5cJ0uHfL2pEoA9sVtXiQbMnYkUwGzDr4Ch6SjF"
"""Nobody's, of the length and with the letters of a real one: replies are searched for it."""

_UNIT = '''
_unscaled = embedding


@functools.lru_cache(maxsize=256)
def embedding(row, dim):
    """Vectors of length one, as real services send them: /api/embed owes that length."""
    values = _unscaled(row, dim)
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


'''
_MAIN = 'if __name__ == "__main__":'

Summary = dict[str, Any]
Figure = Callable[[Summary], float | None]


class Target(NamedTuple):
    """A figure, the most it may be and the most it should be."""

    what: str
    unit: str
    gate: float
    goal: float
    figure: Figure


def over_floor(scenario: str, figure: str) -> Figure:
    """The bridge's figure in multiples of the forwarder's."""
    return lambda run: _ratio(
        _of(run, scenario, "bridge", figure), _of(run, scenario, "floor", figure)
    )


def plain(scenario: str, figure: str) -> Figure:
    """The bridge's figure."""
    return lambda run: _of(run, scenario, "bridge", figure)


def over_direct(scenario: str, figure: str) -> Figure:
    """What the bridge adds to the same load straight at the upstream."""

    def added(run: Summary) -> float | None:
        ours, direct = (_of(run, scenario, who, figure) for who in ("bridge", "direct"))
        return None if ours is None or direct is None else ours - direct

    return added


def times_direct(scenario: str, figure: str) -> Figure:
    """The bridge's figure in multiples of the same load's straight at the upstream."""
    return lambda run: _ratio(
        _of(run, scenario, "bridge", figure), _of(run, scenario, "direct", figure)
    )


def incomplete(run: Summary) -> float | None:
    """How many of the thousand streams were not complete and correct, in the worst case."""
    rows = [row for row in run["rows"] if (row["scenario"], row["target"]) == ("c1000", "bridge")]
    return float(max(row["sent"] - row["ok"] for row in rows)) if rows else None


def start(run: Summary) -> float | None:
    """Seconds from the command to the first answer."""
    times = run["start"].get("bridge", {}).get("start_s")
    return statistics.median(times) if times else None


def idle(run: Summary) -> float | None:
    """Resident memory after the start, MB."""
    figure: float | None = run["start"].get("bridge", {}).get("idle_rss_mb")
    return figure


TARGETS = (
    Target(
        "p100: CPU per streamed chunk, one a read, over the forwarder's",
        " x",
        2.2,
        1.7,
        over_floor("p100", "cpu_us_chunk"),
    ),
    Target(
        "b100: the same, chunks back to back", " x", 2.0, 1.3, over_floor("b100", "cpu_us_chunk")
    ),
    Target("s10: CPU of a stream of one chunk", " ms", 0.20, 0.12, plain("s10", "cpu_ms_req")),
    Target("a1: added latency, median", " ms", 0.35, 0.20, plain("a1", "over_p50")),
    Target("a100: added latency, median", " ms", 20, 10, plain("a100", "over_p50")),
    Target("a100: added latency, p95", " ms", 40, 20, over_direct("a100", "lat_p95")),
    Target("p100: added to a chunk, median", " ms", 1.5, 1, plain("p100", "over_clat50")),
    Target("p100: added to a chunk, p99", " ms", 5, 2.5, plain("p100", "over_clat99")),
    Target("c1000s: 1,000 slow streams, added p99", " ms", 5, 1, plain("c1000s", "over_clat99")),
    Target("c1000: of 1,000 streams not complete and correct", "", 0, 0, incomplete),
    Target("c1000: wall time over direct", " x", 2, 1.3, times_direct("c1000", "wall_s")),
    Target("d1: CPU of /api/embed, 64 x 1536", " ms", 4, 2, plain("d1", "cpu_ms_req")),
    Target(
        "f1: CPU of a 10 MB image over the forwarder's", " x", 8, 4, over_floor("f1", "cpu_ms_req")
    ),
    Target("start to first /api/version", " s", 0.30, 0.10, start),
    Target("memory, idle", " MB", 80, 60, idle),
    Target("memory, after the load", " MB", 130, 90, plain("c1000", "rss_mb")),
)


def main() -> int:
    """Run the load, hold the figures against the targets, write the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        harness = prepared(Path(options.harness), Path(folder))
        targets = [floor(), bridge(Path(folder))]
        code, run = measured(harness, targets, options, starts=5)
    table, missed = _table(run)
    print("\n" + table)
    if not options.keep and options.scenarios == SCENARIOS:
        write("figures", f"{made(options.rounds)}\n\n{table}")
    return 1 if code or missed else 0


def prepared(harness: Path, folder: Path) -> Path:
    """A copy of the harness whose upstream sends vectors of length one."""
    if not (harness / "load.py").is_file():
        sys.exit(f"no load generator in {harness}: say where it is with --harness")
    copy = folder / "harness"
    copy.mkdir()
    for path in harness.iterdir():
        if path.is_file():
            text = path.read_text()
            if path.name == "upstream.py":
                assert _MAIN in text
                text = text.replace(_MAIN, _UNIT + _MAIN)
            (copy / path.name).write_text(text)
    return copy


def measured(
    harness: Path, targets: list[Any], options: argparse.Namespace, *, starts: int
) -> tuple[int, Summary]:
    """What the load generator says, and whether it was content."""
    file, out = harness / "targets.json", harness / "result.json"
    file.write_text(json.dumps(targets))
    command = [sys.executable, str(harness / "load.py"), "--targets", str(file), "--strict"]
    command += ["--rounds", options.rounds, "--scenarios", options.scenarios]
    command += ["--scale", options.scale, "--starts", str(starts), "--out", str(out)]
    code = subprocess.run(command, check=False).returncode
    run: Summary = json.loads(out.read_text())
    return code, run


def floor() -> dict[str, Any]:
    """The proxy that only forwards bytes."""
    command = [sys.executable, "{here}/floor.py", "{port}", "{upport}"]
    return {"name": "floor", "cmd": command, "api": "openai", "ready": "/v1/models"}


def bridge(folder: Path) -> dict[str, Any]:
    """The bridge, as its users start it, with files of its own."""
    program = str(Path(sys.executable).with_name("ollama-bridge"))
    return {
        "name": "bridge",
        "cmd": [program, "serve", "--port", "{port}"],
        "env": {
            "OPENAI_BASE_URL": "{upstream}",
            "OPENAI_API_KEY": KEY,
            "OLLAMA_BRIDGE_STATE": str(folder / "state"),
            "OLLAMA_BRIDGE_CONFIG": str(folder / "config.toml"),
        },
    }


def made(rounds: str) -> str:
    """When and where it was measured."""
    day = datetime.now(UTC).date().isoformat()
    return (
        f"{day}, Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores; "
        f"{rounds} rounds, medians; load average at the end {os.getloadavg()[0]:.1f}."
    )


def write(mark: str, text: str) -> None:
    """Replace what stands between a mark's two comments in BENCHMARKS.md."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    report = REPORT.read_text("utf-8")
    found = re.search(f"{begin}.*?{end}", report, re.DOTALL)
    assert found, f"BENCHMARKS.md has no {begin}"
    REPORT.write_text(report.replace(found[0], f"{begin}\n{text}\n{end}"), "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--harness", default="../shared/bench")
    parser.add_argument("--scenarios", default=SCENARIOS)
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--scale", default="1.0")
    parser.add_argument("--keep", action="store_true", help="leave BENCHMARKS.md as it is")
    return parser.parse_args()


def _table(run: Summary) -> tuple[str, int]:
    lines = ["| what | measured | gate | goal | |", "|---|---:|---:|---:|---|"]
    missed = 0
    for target in TARGETS:
        figure = target.figure(run)
        if figure is None:
            continue
        verdict = "goal" if figure <= target.goal else "gate" if figure <= target.gate else "MISSED"
        missed += verdict == "MISSED"
        limits = f"{target.gate:g}{target.unit} | {target.goal:g}{target.unit}"
        lines.append(f"| {target.what} | {figure:.3g}{target.unit} | {limits} | {verdict} |")
    return "\n".join(lines), missed


def _of(run: Summary, scenario: str, who: str, figure: str) -> float | None:
    value: float | None = run["summary"].get(scenario, {}).get(who, {}).get(figure)
    return value


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


if __name__ == "__main__":
    sys.exit(main())
