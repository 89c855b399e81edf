import pytest

from ollama_bridge import version


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.0", False),
        ("1.0", "1.0.1", True),
        ("1.0.0", "1.0.0", False),
        ("unknown", "0.1.0", True),
        ("0.2.0.dev1", "0.1.9", False),
    ],
)
def test_the_older_version(one: str, other: str, older: bool) -> None:
    assert version.is_older(one, other) is older
