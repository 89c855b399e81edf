"""Edits of the settings file: comments live, bad edits leave no trace, no writer loses."""

import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from daemons import Home
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_bridge import config, editing, files
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers.provider import Alias

WITH_COMMENTS = """\
# mine
default_provider = "groq"  # fast

[providers.groq]
[providers.lab]   # the box under the desk
base_url = "http://10.0.0.5:8000/v1"

[aliases]
small = "lab/tiny"  # for tests
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "config.toml"
    path.parent.mkdir()
    path.write_text(WITH_COMMENTS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "target"), [("llama", "groq/llama"), ("small", "small"), ("SMALL:latest", "small")]
)
def test_the_default_model_is_an_alias(file: Path, name: str, target: str) -> None:
    found = editing.set_default_model(file, name, "groq/llama", {})
    assert found.aliases["default"].targets == (target,)


def test_the_default_model_keeps_what_its_alias_holds(file: Path) -> None:
    with file.open("a") as text:
        text.write('[aliases.Default]\ntarget = ["lab/a", "lab/b"]\nsystem = "Short."\n')
    aliases = editing.set_default_model(file, "llama", "groq/llama", {}).aliases
    assert list(aliases) == ["small", "Default"]
    assert (aliases["Default"].targets, aliases["Default"].system) == (("groq/llama",), "Short.")


def test_comments_and_order_stay(file: Path) -> None:
    editing.set_alias(file, "llama3.2", ["groq/llama-3.3-70b"], {})
    editing.set_value(file, ("server", "port"), 1234, {})
    text = file.read_text()
    for line in WITH_COMMENTS.splitlines():
        assert line in text
    loaded = config.load(file, {})
    assert loaded.aliases["llama3.2"].targets == ("groq/llama-3.3-70b",)
    assert loaded.server.port == 1234


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    editing.set_alias(path, "a", ["b/c"], {})
    assert path.read_text() == '[aliases]\na = "b/c"\n'
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_wide_open_file_is_closed(file: Path) -> None:
    file.chmod(0o644)
    editing.set_alias(file, "a", ["b"], {})
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_still_points_at_the_file(file: Path) -> None:
    link = file.parent.parent / "link.toml"
    link.symlink_to(file)
    editing.set_alias(link, "a", ["b"], {})
    assert link.is_symlink()
    assert config.load(file, {}).aliases["a"].targets == ("b",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("server", "prot"), 1),
        (("server", "port"), "x"),
        (("default_provider",), "nobody"),
        (("providers", "lab", "key"), "sk-hush"),
        (("aliases", "small", "system"), "s"),
    ],
)
def test_a_bad_edit_changes_nothing(file: Path, key: tuple[str, ...], value: object) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        editing.set_value(file, key, value, {})
    assert "hush" not in caught.value.message
    assert file.read_text() == WITH_COMMENTS
    assert [path.name for path in file.parent.iterdir() if path.name.endswith("toml")] == [
        file.name
    ]


def test_a_file_that_is_broken_is_not_touched(file: Path) -> None:
    file.write_text("x = [")
    with pytest.raises(SettingsInvalid, match="not TOML"):
        editing.set_alias(file, "a", ["b"], {})
    assert file.read_text() == "x = ["


def test_a_wrong_setting_can_be_mended(file: Path) -> None:
    file.write_text("default_provider = 'gone'\n[providers.groq]\n")
    editing.unset_value(file, ("default_provider",), {})
    assert config.load(file, {}).default_provider == "groq"


def test_an_alias_with_more_keeps_it_when_retargeted(file: Path) -> None:
    whole = Alias(
        targets=("lab/a", "groq/b"),
        system="Be brief.",
        parameters={"temperature": 0.2},
        context_length=8192,
        capabilities=(),
        messages=({"role": "user", "content": "hi"},),
    )
    assert editing.set_alias(file, "coder", whole, {}).aliases["coder"] == whole
    again = editing.set_alias(file, "coder", ["lab/c"], {}).aliases["coder"]
    assert again.targets == ("lab/c",)
    assert again.system == "Be brief."
    assert again.capabilities == ()


def test_aliases_come_and_go(file: Path) -> None:
    editing.remove_alias(file, "small", {})
    assert config.load(file, {}).aliases == {}
    with pytest.raises(SettingsInvalid, match=r"aliases\.small is not set"):
        editing.remove_alias(file, "small", {})


def test_providers_come_and_go(file: Path) -> None:
    table = {"base_url": "http://h", "headers": {"X-Team": "a"}, "models": ["m"]}
    added = editing.add_provider(file, "new", table, {})
    assert added.providers["new"].url == "http://h/v1"
    assert dict(added.providers["new"].headers) == {"X-Team": "a"}
    with pytest.raises(SettingsInvalid, match="there already"):
        editing.add_provider(file, "new", table, {})
    left = editing.remove_provider(file, "groq", {})
    assert list(left.providers) == ["lab", "new"]
    assert left.default_provider == "lab", "the removed one was the default"
    with pytest.raises(SettingsInvalid, match="no provider groq"):
        editing.remove_provider(file, "groq", {})


def test_the_first_provider_of_a_file_hides_none_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    environ = {"GROQ_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:8000/v1"}
    before = config.load(path, environ)
    after = editing.add_provider(path, "lab", {"base_url": "http://h"}, environ)
    assert list(after.providers) == [*before.providers, "lab"]
    assert after.default_provider == before.default_provider
    assert after.providers["openai"] == before.providers["openai"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("server.port", ("server", "port")),
        ('aliases."llama3.2"', ("aliases", "llama3.2")),
        ("aliases.'a b'.target", ("aliases", "a b", "target")),
    ],
)
def test_dotted_keys(text: str, path: tuple[str, ...]) -> None:
    assert editing.key_path(text) == path


@pytest.mark.parametrize("text", ["", "a b", "a =", "a = 1\nb", "a..b", ".a", "[a]", "a = {}#"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="is no key"):
        editing.key_path(text)


def test_unset_through_a_value_is_refused(file: Path) -> None:
    with pytest.raises(SettingsInvalid, match="is not set"):
        editing.unset_value(file, ("default_provider", "x"), {})


_names = st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=_names, targets=st.lists(_names, min_size=1, max_size=3), system=st.text())
def test_any_alias_is_read_back_as_written(
    tmp_path: Path, name: str, targets: list[str], system: str
) -> None:
    system = system.replace("\r", "")  # TOML keeps no bare carriage return
    path = tmp_path / "any.toml"
    path.unlink(missing_ok=True)
    alias = Alias(targets=tuple(targets), system=system)
    assert editing.set_alias(path, name, alias, {}).aliases == {name: alias}
    assert tomllib.loads(path.read_text(encoding="utf-8"))["aliases"].keys() == {name}


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ollama_bridge import editing\n"
        "for i in range(15): editing.set_alias(Path(sys.argv[1]), f'{sys.argv[2]}{i}', ['a/b'])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(home.config), name], env=home.environ)
        for name in ("one", "two", "three")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(config.load(home.config, {}).aliases) == 45


def test_a_locked_file_is_reported(file: Path) -> None:
    with (
        files.locked(file),
        pytest.raises(SettingsInvalid, match="another program"),
        files.locked(file, patience=0.05),
    ):
        pytest.fail("two writers at once")
