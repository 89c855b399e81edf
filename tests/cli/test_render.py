"""Output by value."""

import json

import pytest

from ollama_bridge_cli import render


def test_a_document_begins_with_its_schema(capsys: pytest.CaptureFixture[str]) -> None:
    render.document({"name": "é", "schema": 2})
    text = capsys.readouterr().out
    assert json.loads(text) == {"schema": 2, "name": "é"}
    assert "é" in text


def test_a_table_in_a_pipe_is_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 300
    render.table(["name", "problem"], [["[bold]a[/bold]", long], ["b", ""]], color=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "PROBLEM"]
    assert lines[1].split() == ["[bold]a[/bold]", long]
    assert lines[2] == "b"


def test_facts_leave_out_what_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    render.facts({"a": 1, "none": None, "text": "", "list": ["x", "y"], "no": [], "t": {"k": 1}})
    assert capsys.readouterr().out == "a     1\nlist  x, y\nt     k = 1\n"


def test_zero_is_a_fact(capsys: pytest.CaptureFixture[str]) -> None:
    render.facts({"models": 0})
    assert capsys.readouterr().out == "models  0\n"


@pytest.mark.parametrize(("number", "text"), [(0, "0 models"), (1, "1 model"), (2, "2 models")])
def test_counts(number: int, text: str) -> None:
    assert render.count(number, "model") == text
