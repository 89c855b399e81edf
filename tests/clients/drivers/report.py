"""What the Python drivers share: what to ask, and one line of JSON about each feature."""

import json
import sys
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

ASK = SimpleNamespace(**json.loads(sys.argv[1]))
"""The bridge's address, names of models, and questions; see `asked.py`."""

Detail = dict[str, Any]


def weather(city: str) -> str:
    """What the tool that the models are offered answers."""
    return f"It is sunny in {city}."


def report(features: dict[str, Callable[[], Detail] | str]) -> None:
    """Try each; a text in place of a function says why the client has no such thing."""
    for name, act in features.items():
        print(json.dumps({"feature": name, **_outcome(act)}), flush=True)


def caught(act: Callable[[], Any]) -> Exception:
    """The exception that it ends with; to end without one is a failure."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - libraries raise what they like
        return error
    raise AssertionError("no error was raised")


def _outcome(act: Callable[[], Detail] | str) -> Detail:
    if isinstance(act, str):
        return {"ok": None, "reason": act}
    try:
        return {"ok": True, "detail": act()}
    except Exception:  # noqa: BLE001 - what failed is for the test to say
        return {"ok": False, "reason": traceback.format_exc(limit=-3)}
