"""Durations; the values and texts are those of Go 1.26's time.ParseDuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.errors import BadRequest
from ollama_bridge.wire import duration

MINUTE = 60 * 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5m", 5 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("300ms", 300_000_000),
        ("1.5h", 90 * MINUTE),
        (".5s", 500_000_000),
        ("5.s", 5 * 10**9),
        ("+3s", 3 * 10**9),
        ("-1m", -MINUTE),
        ("7ns", 7),
        ("2us", 2_000),
        ("2\u00b5s", 2_000),
        ("2\u03bcs", 2_000),
        ("1.0000000001h", 3_600_000_000_360),
        ("0.3333333333333333333333h", 1_200_000_000_000),
        ("9223372036854775807ns", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
    ],
)
def test_texts_go_reads(text, nanoseconds):
    assert duration.nanoseconds(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        (".", 'time: invalid duration "."'),
        ("m", 'time: invalid duration "m"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("10x", 'time: unknown unit "x" in duration "10x"'),
        ("1 h", 'time: unknown unit " h" in duration "1 h"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ('1"', 'time: unknown unit "\\"" in duration "1\\""'),
        ("é\n", r'time: invalid duration "\xc3\xa9\x0a"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("99999999999999999999s", 'time: invalid duration "99999999999999999999s"'),
        ("9223372036s9223372036s", 'time: invalid duration "9223372036s9223372036s"'),
    ],
)
def test_texts_go_refuses(text, message):
    with pytest.raises(BadRequest) as refused:
        duration.nanoseconds(text)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (300, 300.0),
        (0.5, 0.5),
        (1800.0, 1800.0),
        (-1, -1.0),
        (-0.1, -1.0),
        (1e300, -1.0),
        (10**400, -1.0),
        ("0", 0.0),
        ("5m", 300.0),
        ("300ms", 0.3),
        ("-1m", -1.0),
    ],
)
def test_keep_alive(value, seconds):
    found = duration.seconds(value)
    assert (found, type(found)) == (seconds, float)


@pytest.mark.parametrize(
    ("value", "go_type"),
    [(True, "bool"), ([], "[]interface {}"), ({}, "map[string]interface {}")],
)
def test_keep_alive_of_another_type(value, go_type):
    with pytest.raises(BadRequest) as refused:
        duration.seconds(value)
    assert refused.value.message == f"Unsupported type: '{go_type}'"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 300.0),
        ("10m", 600.0),
        ("30", 30.0),
        ("0", 0.0),
        ("-1", -1.0),
        (" '24h' ", 86400.0),
        ("soon", 300.0),
        ("9" * 30, 300.0),
    ],
)
def test_environment(text, seconds):
    assert duration.environment(text) == seconds


@given(st.text(alphabet='0123456789.+-hmsnuµx \n"\\é', max_size=12) | st.text())
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        assert abs(duration.nanoseconds(text)) <= 2**63
    except BadRequest as refused:
        assert len(refused.message.splitlines()) == 1  # noqa: PT017


def test_an_endless_text_is_refused_at_once():
    with pytest.raises(BadRequest, match="invalid duration") as refused:
        duration.nanoseconds("1s" * 1_000_000)
    assert len(refused.value.message) < 2000
