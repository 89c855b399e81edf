"""How long a server asks to be left alone: checklist line 17, quirks G11 to G13."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.wire import retry_after

NOW = 1_790_000_000.0
"""Monday, 21 September 2026, 14:13:20 GMT."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "150"}, 0.15),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "9", "retry-after-ms": "150"}, 0.15),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:40 GMT"}, 20.0),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "-1", "x-ratelimit-reset": "3"}, 3.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": " 4 "}, 4.0),
        ({"x-ratelimit-reset": "1m2.5s"}, 62.5),
        ({"x-ratelimit-reset": "172ms"}, 0.172),
        ({"x-ratelimit-reset": "7"}, 7.0),
        ({"x-ratelimit-reset": "1790000012"}, 12.0),
        ({"x-ratelimit-reset": "1790000012500"}, 12.5),
        ({"x-ratelimit-reset-requests": "6m0s"}, None),
    ],
)
def test_each_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after.seconds(headers, NOW) == seconds


@given(st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset"]), st.text())
def test_no_text_breaks_it(name: str, text: str) -> None:
    found = retry_after.seconds({name: text}, NOW)
    assert found is None or found > 0
