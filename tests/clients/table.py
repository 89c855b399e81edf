"""The README's table of clients and features, written from what `make test-clients` found."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from clients.answers import CHECKS
from clients.install import ROOT, clients
from clients.outcomes import KNOWN, Outcomes, saved

README = ROOT / "README.md"
BEGIN, END = "<!-- clients -->", "<!-- /clients -->"


def written(outcomes: dict[str, Outcomes]) -> str:
    """The table, with a note for each cell that is not a plain yes."""
    notes: dict[str, int] = {}
    rows = [
        f"| {client.title} {client.version} | "
        + " | ".join(
            _cell(client.name, feature, outcomes[client.name], notes) for feature in CHECKS
        )
        + " |"
        for client in clients()
    ]
    head = ["| client | " + " | ".join(CHECKS) + " |", "| --- " * (len(CHECKS) + 1) + "|"]
    feet = ["", *(f"{number}. {_sentence(note)}" for note, number in notes.items())]
    return "\n".join([*head, *rows, *(feet if notes else [])])


def section(readme: str) -> str:
    """What stands between the two marks."""
    return readme.partition(BEGIN)[2].partition(END)[0].strip()


def _cell(name: str, feature: str, outcomes: Outcomes, notes: dict[str, int]) -> str:
    outcome = outcomes[feature]
    if outcome.ok:
        return "yes"
    reason = outcome.reason if outcome.ok is None else KNOWN.get((name, feature), "it fails")
    number = notes.setdefault(reason, len(notes) + 1)
    return f"{'n/a' if outcome.ok is None else 'no'} <sup>{number}</sup>"


def _sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def main() -> int:
    """Write it into the README."""
    readme = README.read_text(encoding="utf-8")
    if BEGIN not in readme or END not in readme:
        print(f"error: {README} lacks the lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    before, rest = readme.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    table = f"{BEGIN}\n{written(saved())}\n{END}"
    README.write_text(before + table + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
