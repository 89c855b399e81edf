"""SECURITY.md: every test it names exists, and every number that bounds something stands in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ROOT / "ollama_bridge"
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", TEXT)))

PLACES = (
    *(CODE / name for name in ("server", "wire", "translate", "providers")),
    *(CODE / f"{name}.py" for name in ("daemon", "keys", "listening", "log", "spending")),
)
"""Where clients' and providers' bytes go, and what is kept of them."""

NO_BOUNDS = {
    "providers.database.LARGEST_CONTEXT": "what is believed of a model",
    "server.admin._SOURCE_SECONDS": "how long the status waits for a key's source",
    "server.anthropic.PING_EVERY": "a rhythm",
    "server.bridge.STALE": "an age",
    "server.bridge.RETRY": "an age",
    "server.bridge.FIRST_LIST": "how long a list is waited for",
    "server.bridge.UNDATED": "a date that is told",
    "server.callers._PATIENCE": "how long the kernel is waited for",
    "server.callers._THE_KERNEL": "a number of the protocol",
    "server.crowd.AT_ONCE": "how many are taken in one turn",
    "server.http1.JOINED": "a choice between two ways of writing",
    "server.straight.JOINED": "a choice between two ways of writing",
    "server.manage.PAUSE": "a rhythm",
    "server.models.PATIENCE": "how long a list is waited for",
    "server.models.PATIENCE_AT_START": "how long a list is waited for",
    "server.native.PATIENCE": "how long a list is waited for",
    "server.pool._NEXT_ADDRESS": "a rhythm",
    "server.proxied.LOOK": "a rhythm",
    "server.upstream.SHORTEST_KEY": "what counts as a secret",
    "server.siblings.LOOK_SECONDS": "how long another worker is waited for",
    "translate.embed._BEGIN": "where blanks are looked for",
    "translate.embed.LISTS": "a choice between two ways of reading",
    "translate.embed.NEAR_ENOUGH": "arithmetic",
    "translate.embed.LARGEST": "arithmetic",
    "translate.manage.STUB_SIZE": "a size that is told",
    "translate.models.STUB_SIZE": "a size that is told",
    "translate.models.FOREVER": "a date that is told",
    "translate.model_list.YEAR_5000": "arithmetic",
    "translate.reply.MISTAKES": "how often a guess may fail",
    "translate.reply.UNLIKELY": "a value of the protocol",
    "translate.responses_passage._LOOK_BACK": "bytes of a mark",
    "translate.responses_passage._BYTES_PER_TOKEN": "an estimate",
    "translate.stats.CHARACTERS_PER_TOKEN": "an estimate",
    "wire.base64._PIECE": "a step",
    "wire.openai.PIECE": "a choice between two ways of reading",
    "wire.responses.LEAST_TOKENS": "a value of the protocol",
    "wire.retry_after._EPOCH": "arithmetic",
    "wire.duration.DEFAULT": "a value of the protocol",
    "wire.duration.FOREVER": "a value of the protocol",
    "log._LAST_WORDS": "how long somebody is waited for",
    "daemon._LOCK_SECONDS": "how long a lock is waited for",
    "daemon._KEEP_ALIVE_SECONDS": "a rhythm",
    "daemon._INTERRUPTED": "an exit code",
    "keys._SHOWN": "characters that are shown",
    "keys._LONG_ENOUGH": "characters that are needed",
    "log.SOON": "a rhythm",
}
"""Other numbers, and what they are."""
UNITS = re.compile(
    r"_LF|_CR|_SECOND|NANOSECONDS|_INT64|_NETLINK_\w+|_SOCK_\w+|_REQUEST|_ANY_\w+"
    r"|_TRIM_THRESHOLD|_TOP_PAD|_MMAP_THRESHOLD|_IN_HEAP|_MARGIN"
)
"""Names of the system's and of arithmetic."""


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.UnaryOp) and _is_number(node.operand)


def _numbers_of(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            names, values = [target], [node.value]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                names, values = target.elts, node.value.elts
            for name, value in zip(names, values, strict=True):
                if isinstance(name, ast.Name) and name.id.isupper() and _is_number(value):
                    yield name.id


def _constants() -> Iterator[str]:
    files = [
        file for place in PLACES for file in ([place] if place.is_file() else place.rglob("*.py"))
    ]
    for file in sorted(files):
        module = ".".join(file.relative_to(CODE).with_suffix("").parts)
        yield from (f"{module}.{name}" for name in _numbers_of(file))


CONSTANTS = [name for name in _constants() if not UNITS.fullmatch(name.rpartition(".")[2])]


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_bound_is_named(name: str) -> None:
    assert (f"`{name}`" in TEXT) != (name in NO_BOUNDS), f"{name}: SECURITY.md or NO_BOUNDS"


def test_every_name_exists() -> None:
    named = set(
        re.findall(r"`((?:server|wire|translate|providers|daemon|keys|log)\.[\w.]+)`", TEXT)
    )
    assert named <= set(CONSTANTS)
    assert set(NO_BOUNDS) <= set(CONSTANTS)


@pytest.mark.parametrize("test", TESTS)
def test_every_test_exists(test: str) -> None:
    file, _, name = test.partition("::")
    code = (ROOT / file).read_text("utf-8")
    assert not name or re.search(rf"^(?:async )?def {name}\(", code, re.MULTILINE)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.endswith("| test |")])
def test_every_row_is_whole(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert all(cells)
    assert "`tests/" in cells[-1]
