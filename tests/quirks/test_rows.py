"""No row of the quirks reference and no line of its checklist is without a test that exists."""

import ast
import functools
import re
from pathlib import Path

import matrix
import pytest
from quirks import rows

TESTS = Path(__file__).parents[1]
REFERENCE = TESTS.parent.parent / "shared" / "reference" / "upstream-quirks.md"

ALL = {row: tests for section in rows.SECTIONS for row, tests in section.items()}


@functools.cache
def _functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text("utf-8"))
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, found))


def _check(test: str) -> None:
    name, _, word = test.removesuffix("]").partition("[")
    file, _, function = name.partition("::")
    assert function in _functions(TESTS / file), f"{test} does not exist"
    assert word in (TESTS / file).read_text("utf-8") or _is_golden(word), test


def _is_golden(word: str) -> bool:
    return any((TESTS / "golden").glob(f"{word}*"))


@pytest.mark.parametrize("row", ALL | rows.OPTIONS)
def test_a_row_has_tests(row: str) -> None:
    tests = (ALL | rows.OPTIONS)[row]
    assert tests, "name a test, or say in UNPROVEN why there is none"
    for test in tests:
        _check(test)


@pytest.mark.parametrize("number", rows.CHECKLIST)
def test_a_line_has_tests(number: str) -> None:
    line = rows.CHECKLIST[number]
    assert line.says
    assert line.tests
    for test in line.tests:
        _check(test)
    TABLE.see((number,), "what", line.says.replace("|", "/"))
    TABLE.see((number,), "proved by", ", ".join(f"`{test}`" for test in line.tests))


TABLE = matrix.section(
    "Checklist",
    "The things a bridge to such services has to get right, and the tests that prove it "
    "(`tests/quirks/rows.py`, which names the tests of every single quirk as well).",
    ("line",),
    ("what", "proved by"),
)


def test_the_table_has_no_empty_cell() -> None:
    matrix.check(TABLE, [(number,) for number in rows.CHECKLIST])


def test_no_row_is_left_out() -> None:
    """The reference is the list of what there is."""
    if not REFERENCE.is_file():
        pytest.skip(f"no {REFERENCE.name} beside the project")
    text = REFERENCE.read_text("utf-8")
    told = set(re.findall(r"^\| ([A-L]\d+[a-c]?) \|", text, re.MULTILINE))
    assert told == set(ALL) | set(rows.UNPROVEN)
    assert not set(ALL) & set(rows.UNPROVEN)
    checklist = text.partition("## O.")[2]
    assert re.findall(r"^(\d+[a-c]?)\. ", checklist, re.MULTILINE) == list(rows.CHECKLIST)


def test_why_a_row_is_unproven() -> None:
    assert all(len(reason) > 20 for reason in rows.UNPROVEN.values())
