"""Models that a client deleted: no name of theirs is left, no other name changes."""

from pathlib import Path

import pytest

from ollama_bridge import config, editing
from ollama_bridge.catalog import Catalog
from ollama_bridge.errors import ModelNotFound, SettingsInvalid
from ollama_bridge.providers.names import same_name
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.translate.model_list import UpstreamModel

ALIASES = {"own": Alias(("a/x",), system="s"), "bare": Alias(("x",))}


def catalog(
    hidden: tuple[str, ...] = (), lists: dict[str, tuple[str, ...] | None] | None = None
) -> Catalog:
    lists = lists or {"a": ("x", "Big:7b"), "b": ("x", "only"), "c": ("y",)}
    rows = {
        name: None if ids is None else tuple(map(UpstreamModel, ids)) for name, ids in lists.items()
    }
    providers = {name: Provider(name, f"http://{name}/v1") for name in lists}
    return Catalog(providers, rows, ALIASES, "a", hidden)


def listed(names: Catalog) -> list[str]:
    return [entry.name for entry in names.entries]


@pytest.mark.parametrize(
    ("hidden", "gone", "spellings"),
    [
        ("a/x", "x:latest", ["x", "X", "x:latest", "a/x", "A/X", "a/x:latest"]),
        ("a/x:latest", "x:latest", ["x", "a/x"]),
        ("a/Big:7b", "Big:7b", ["Big:7b", "big:7b", "a/Big:7b", "A/BIG:7B"]),
        ("b/only", "b/only:latest", ["only", "b/only", "B/Only:latest"]),
    ],
)
def test_every_spelling_is_gone_and_nothing_else(
    hidden: str, gone: str, spellings: list[str]
) -> None:
    before, after = catalog(), catalog((hidden,))
    assert listed(after) == [name for name in listed(before) if name != gone]
    for name in spellings:
        with pytest.raises(ModelNotFound):
            after.resolve(name)
        found = after.find_hidden(name)
        assert found is not None
        assert found.name == gone
    for entry in after.entries:
        assert after.resolve(entry.name) == before.resolve(entry.name)
        assert after.find_hidden(entry.name) is None


def test_aliases_reach_hidden_models() -> None:
    names = catalog(("a/x",))
    assert [names.resolve(alias).origins for alias in ALIASES] == [("a/x",), ("a/x",)]


def test_a_choice_is_not_offered_among_hidden_models() -> None:
    lists = {"a": ("z",), "b": ("x",), "c": ("x",)}
    with pytest.raises(ModelNotFound, match="b/x:latest, c/x:latest"):
        catalog(lists=lists).resolve("x")
    with pytest.raises(ModelNotFound, match=r"say which one: b/x:latest$"):
        catalog(("c/x",), lists).resolve("x")


def test_a_model_that_no_list_holds_stays_hidden() -> None:
    lists: dict[str, tuple[str, ...] | None] = {"a": None, "b": ("y",)}
    names = catalog(("a/x", "b/z"), lists)
    for name in ("x", "X", "a/x", "b/z"):
        with pytest.raises(ModelNotFound):
            names.resolve(name)
    assert names.resolve("a/other").origins == ("a/other",)
    assert names.resolve("other").origins == ("a/other",)


def test_new_lists_and_names_keep_what_is_hidden() -> None:
    names = catalog(("a/x",)).replace_list("a", (UpstreamModel("x"), UpstreamModel("new")))
    assert "x:latest" not in listed(names)
    assert "new:latest" in listed(names)
    names = names.replace_names({}, ())
    assert listed(names) == ["x:latest", "new:latest", "b/x:latest", "b/only:latest", "c/y:latest"]


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("x", ["X", "x"], "x"),
        ("x:latest", ["X", "x"], "x"),
        ("x", ["x:latest"], "x:latest"),
        ("x:latest", ["x", "x:latest"], "x:latest"),
        ("X:LATEST", ["x"], "x"),
        ("x", ["x:7b"], None),
        ("x", [], None),
    ],
)
def test_names_that_mean_the_same(name: str, names: list[str], found: str | None) -> None:
    assert same_name(name, names) == found


# the settings file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("# mine\n[providers.groq]\nkey = 'none'  # later\n", encoding="utf-8")
    return path


def test_hidden_models_come_and_go_in_the_file(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    for _ in range(2):
        assert editing.edit(file, editing.hiding("groq/a"), {}).hidden == {"groq/a"}
    assert editing.edit(file, editing.hiding("groq/b"), {}).hidden == {"groq/a", "groq/b"}
    assert 'hidden = ["groq/a", "groq/b"]' in file.read_text(encoding="utf-8")
    assert config.load(file, {}).hidden == {"groq/a", "groq/b"}
    assert editing.edit(file, editing.showing("groq/a:latest"), {}).hidden == {"groq/b"}
    assert editing.edit(file, editing.showing("groq/b"), {}).hidden == frozenset()
    assert editing.edit(file, editing.showing("groq/b"), {}).hidden == frozenset()
    after = file.read_text(encoding="utf-8")
    assert [line for line in after.splitlines() if line] == before.splitlines()


def test_forgetting_what_is_not_there_changes_nothing(file: Path) -> None:
    before = file.read_text(encoding="utf-8")
    assert editing.edit(file, editing.forgetting("nobody"), {}).aliases == {}
    assert file.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("value", ['"groq/a"', "[1]", '[""]', "{}"])
def test_what_is_no_list_of_names_is_refused(file: Path, value: str) -> None:
    file.write_text(f"hidden = {value}\n[providers.groq]\n", encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=r'hidden: found .*; allowed: a list of "provider/'):
        config.load(file, {})
