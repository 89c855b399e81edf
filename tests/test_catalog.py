"""Names: what is listed and what each name means."""

import re
import time
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_bridge.catalog import (
    DEFAULT_CONTEXT,
    Catalog,
    Entry,
    Known,
    Proof,
    invalid_name,
    tagged,
)
from ollama_bridge.errors import ModelNotFound
from ollama_bridge.providers.presets import PRESETS
from ollama_bridge.providers.provider import Alias, Provider
from ollama_bridge.translate.model_list import UpstreamModel


def catalog(
    lists: dict[str, list[str | UpstreamModel] | None],
    aliases: dict[str, Alias | str] | None = None,
    default: str = "",
    **changes: dict[str, object],
) -> Catalog:
    """A catalog of providers a, b … with these model ids; the first is the default."""
    return Catalog(
        {name: Provider(name, f"http://{name}/v1", **changes.get(name, {})) for name in lists},
        {
            name: None
            if ids is None
            else tuple(UpstreamModel(i) if isinstance(i, str) else i for i in ids)
            for name, ids in lists.items()
        },
        {n: Alias((a,)) if isinstance(a, str) else a for n, a in (aliases or {}).items()},
        default or next(iter(lists), ""),
    )


def meant(entry: Entry) -> str:
    return " ".join(entry.origins)


def listed(names: Catalog) -> list[str]:
    return [entry.name for entry in names.entries]


# Listing.


def test_aliases_then_bare_ids_then_the_others_with_their_provider() -> None:
    names = catalog(
        {"b": ["x"], "a": ["gpt-5", "llama3:8b", "deepseek/r1:free"]},
        {"coder": "b/x"},
        default="a",
    )
    assert listed(names) == [
        "coder:latest", "gpt-5:latest", "llama3:8b", "deepseek/r1:free", "b/x:latest",
    ]  # fmt: skip


def test_adding_a_provider_renames_nothing() -> None:
    before = catalog({"a": ["x", "b/y", "z"]})
    after = catalog({"a": ["x", "b/y", "z"], "b": ["x", "y", "z"]})
    for entry in before.entries:
        assert after.resolve(entry.name) == entry
    assert listed(after)[:3] == listed(before)


def test_every_listed_name_means_its_own_entry_and_is_listed_once() -> None:
    names = catalog(
        {"a": ["x", "X", "b/x", "x:latest", "y:free", "a/x"], "b": ["x", "b/x", "a/x", "X"]},
        {"x": "b/x", "b/X": "a/x"},
    )
    assert len(set(listed(names))) == len(listed(names))
    for entry in names.entries:
        assert names.resolve(entry.name) is entry
        assert names.resolve(entry.name.removesuffix(":latest")) is entry


def test_include_exclude_and_ids_of_the_settings() -> None:
    names = catalog(
        {"a": ["gpt-5", "GPT-5-audio", "tts-1", "o3"]},
        a={"include": ("gpt-*", "o?"), "exclude": ("*-audio*",), "models": ("mine", "o3", "tts-1")},
    )
    assert listed(names) == ["gpt-5:latest", "o3:latest", "mine:latest", "tts-1:latest"]


def test_ids_of_the_settings_are_listed_when_the_provider_cannot_list() -> None:
    names = catalog({"a": None}, a={"models": ("qwen3-coder",)})
    assert listed(names) == ["qwen3-coder:latest"]


def test_a_shadowed_model_is_listed_by_its_full_name() -> None:
    names = catalog({"a": ["x", "y"]}, {"x": "y"})
    assert listed(names) == ["x:latest", "a/x:latest", "y:latest"]
    assert meant(names.resolve("x")) == "a/y"
    assert meant(names.resolve("a/x")) == "a/x"


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("x", "x:latest"),
        ("x:7b", "x:7b"),
        ("vendor/x:free", "vendor/x:free"),
        ("host:80/x", "host:80/x:latest"),
        ("ft:gpt-4o:org::id", "ft:gpt-4o:org::id"),
        ("Mistral-7B/", "Mistral-7B/:latest"),
        ("x:latest", "x:latest"),
        # As they are, the `ollama` command would ask the user to sign in.
        ("qwen3:480b-cloud", "qwen3:480b-cloud:latest"),
        ("glm-4.6:Cloud", "glm-4.6:Cloud:latest"),
        ("my-cloud", "my-cloud:latest"),
        ("x:cloudy", "x:cloudy"),
    ],
)
def test_names_are_listed_with_a_tag_that_is_not_the_clouds(model_id: str, name: str) -> None:
    assert tagged(model_id) == name
    names = catalog({"a": [model_id]})
    assert listed(names) == [name]
    assert names.resolve(name).target.model == names.resolve(model_id).target.model == model_id


# Resolving.

LISTS = {
    "a": ["x", "both", "Only-A", "vendor/deep:free", "c/x"],
    "b": ["x", "only-b", "Big/One", "several", "d/none"],
    "c": ["x", "several", "meta-llama/llama-3", "@cf/m", "i" * 120],
}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("x", "a/x"),
        ("x:latest", "a/x"),
        ("x:LATEST", "a/x"),
        (" x ", "a/x"),
        ("a/x", "a/x"),
        ("b/x", "b/x"),
        ("b/x:latest", "b/x"),
        ("only-a", "a/Only-A"),
        ("ONLY-A:latest", "a/Only-A"),
        ("only-b", "b/only-b"),
        ("B/ONLY-B", "b/only-b"),
        ("big/one", "b/Big/One"),
        ("vendor/deep:free", "a/vendor/deep:free"),
        ("meta-llama/llama-3", "c/meta-llama/llama-3"),
        ("c/meta-llama/llama-3", "c/meta-llama/llama-3"),
        ("@cf/m", "c/@cf/m"),
        ("i" * 120, "c/" + "i" * 120),
        # The default provider's own id comes before provider/model …
        ("c/x", "a/c/x"),
        # … which comes before another provider's id.
        ("b/never-listed", "b/never-listed"),
        ("B/Never-Listed:latest", "b/Never-Listed"),
        ("c/nested/id:free", "c/nested/id:free"),
        ("alias", "b/x"),
        ("Alias:latest", "b/x"),
        # An alias comes before everything.
        ("both", "c/@cf/m"),
        ("a/both", "a/both"),
    ],
)
def test_a_name_means(name: str, target: str) -> None:
    names = catalog(LISTS, {"alias": "b/x", "both": "cc", "cc": "c/@cf/m"})
    assert meant(names.resolve(name)) == target


def test_a_provider_in_front_is_never_taken_for_part_of_another_ones_id() -> None:
    names = catalog({"a": ["z"], "router": ["openai/gpt"], "openai": None})
    assert meant(names.resolve("openai/gpt")) == "openai/gpt"
    assert meant(names.resolve("router/openai/gpt")) == "router/openai/gpt"


@pytest.mark.parametrize(
    "name", ["", " ", "nope", "nope/x", "b/", "/x", "x:7b", "a b", "../x", ":x"]
)
def test_an_unknown_name_is_not_found_and_said_as_it_was_asked(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog(LISTS).resolve(name)
    assert caught.value.message == f"model '{name}' not found"


def test_an_ambiguous_bare_id_names_the_choices() -> None:
    with pytest.raises(ModelNotFound) as caught:
        catalog(LISTS).resolve("several:latest")
    assert caught.value.message == (
        "model 'several:latest' not found; say which one: b/several:latest, c/several:latest"
    )


def test_exact_case_wins_and_other_cases_must_be_unambiguous() -> None:
    names = catalog({"a": ["gpt", "GPT", "solo"]})
    assert meant(names.resolve("gpt")) == "a/gpt"
    assert meant(names.resolve("GPT")) == "a/GPT"
    assert meant(names.resolve("SOLO")) == "a/solo"
    with pytest.raises(ModelNotFound, match=r"^model 'Gpt' not found; say which one: gpt, GPT"):
        names.resolve("Gpt")


@pytest.mark.parametrize("name", ["anything", "vendor/anything:free", "x" * 200, "anything:latest"])
def test_without_its_list_the_default_provider_gets_every_bare_id(name: str) -> None:
    names = catalog({"a": None, "b": ["known", "several"], "c": ["several"]})
    entry = names.resolve(name)
    assert meant(entry) == "a/" + name.removesuffix(":latest")
    assert entry.name == tagged(name)
    assert meant(names.resolve("known")) == "b/known"
    assert meant(names.resolve("several")) == "a/several"
    with pytest.raises(ModelNotFound):
        names.resolve("no spaces please")
    assert catalog({"a": [], "b": None}).resolve("b/y").target.model == "y"
    with pytest.raises(ModelNotFound):
        catalog({"a": [], "b": None}).resolve("y")


def test_a_catalog_of_nothing() -> None:
    empty = Catalog({}, {}, {}, "")
    assert empty.entries == ()
    with pytest.raises(ModelNotFound):
        empty.resolve("x")


@pytest.mark.parametrize(
    ("name", "invalid"),
    [
        ("", True), (" ", True), ("a b", True), ("a\tb", True), ("a\nb", True), (":x", True),
        ("../x", True), ("a/../b", True), (".x", True), ("-x", True), ("x:", True), ("..", True),
        ("x", False), (" x ", False), ("x:7b", False), ("@cf/meta/x", False), ("a/b/c/d/e", False),
        ("ft:gpt:org::id", False), ("y" * 300, False), ("/models/x.gguf", False), ("v1..2", False),
        ("~anthropic/claude", False), ("größe", False),
    ],
)  # fmt: skip
def test_invalid_names(name: str, invalid: bool) -> None:
    assert invalid_name(name) is invalid


# Aliases.


def test_an_alias_tries_its_targets_in_order_and_skips_what_nobody_has() -> None:
    names = catalog(LISTS, {"m": Alias(("nobody-has-this", "b/x", "only-a", "c/new"))})
    assert names.resolve("m").origins == ("b/x", "a/Only-A", "c/new")
    assert names.resolve("m").target.provider.name == "b"


def test_an_alias_of_an_alias_keeps_what_it_does_not_say() -> None:
    inner = Alias(
        ("b/x",), system="inner", template="T", parameters={"temperature": 0.2, "top_k": 5},
        context_length=1000, capabilities=("vision", "completion"), license="L",
        messages=({"role": "user", "content": "hi"},),
    )  # fmt: skip
    outer = Alias(("Inner",), system="outer", parameters={"top_k": 9})
    entry = catalog(LISTS, {"outer": outer, "inner": inner}).resolve("outer")
    assert meant(entry) == "b/x"
    assert entry.alias == replace(
        inner, targets=("Inner",), system="outer", parameters={"temperature": 0.2, "top_k": 9}
    )
    assert (entry.context_length, entry.context_source) == (1000, "settings")
    assert entry.capabilities == ("completion", "vision")
    assert entry.capabilities_source == "settings"


def test_an_alias_may_have_the_name_of_its_model() -> None:
    names = catalog({"a": ["x"], "b": ["y"]}, {"x": "x", "b/y": "b/y"})
    assert meant(names.resolve("x")) == "a/x"
    assert names.resolve("x").alias is not None
    assert names.resolve("a/x").alias is None
    assert meant(names.resolve("b/y")) == "b/y"


@pytest.mark.parametrize(
    ("aliases", "circle"),
    [
        ({"m": "m"}, "m -> m"),
        ({"m": "n", "n": "m"}, "m -> n -> m"),
        ({"m": "n", "n": "o", "o": "n"}, "m -> n -> o -> n"),
    ],
)
def test_a_circle_of_aliases_is_named(aliases: dict[str, str], circle: str) -> None:
    names = catalog({"a": ["x"]}, {**aliases, "fine": "x"})
    with pytest.raises(ModelNotFound) as caught:
        names.resolve("m:latest")
    assert caught.value.message.startswith("model 'm:latest' not found: ")
    assert circle in caught.value.message
    assert listed(names) == ["fine:latest", "x:latest"]


def test_an_alias_that_leads_nowhere_says_so_until_a_list_has_its_target() -> None:
    names = catalog({"a": ["x"]}, {"m": "later"})
    with pytest.raises(ModelNotFound, match=r"^model 'm' not found: .*\(later\)"):
        names.resolve("m")
    assert listed(names) == ["x:latest"]
    assert meant(names.replace_list("a", (UpstreamModel("later"),)).resolve("m")) == "a/later"


# What is known.

TOLD = UpstreamModel(
    "gpt-5-mini",
    created=1_700_000_000,
    context_length=5000,
    embedding_length=7,
    max_output=9,
    capabilities=frozenset({"completion"}),
    lacks=frozenset({"tools", "vision"}),
    family="gpt",
    parameter_size="1B",
    quantization="Q4",
    size=11,
    price_in=0.0,
    price_out=2.5,
)


def test_the_nearest_source_wins() -> None:
    names = catalog(
        {"a": [TOLD, "gpt-4o", "unheard-of-9b"]},
        {"mine": Alias(("gpt-4o",), context_length=77, capabilities=("completion",))},
    )
    mine, told, public, unknown = names.entries

    assert (mine.context_length, mine.context_source) == (77, "settings")
    assert (mine.capabilities, mine.capabilities_source) == (("completion",), "settings")

    assert (told.context_length, told.context_source) == (5000, "upstream")
    # The list is silent on thinking, which public facts know of.
    assert (told.capabilities, told.capabilities_source) == (("completion", "thinking"), "upstream")
    assert (told.created, told.embedding_length, told.max_output) == (1_700_000_000, 7, 9)
    assert (told.family, told.parameter_size, told.quantization, told.size) == (
        "gpt",
        "1B",
        "Q4",
        11,
    )
    assert (told.price_in, told.price_out, told.price_source) == (0.0, 2.5, "upstream")

    assert (public.context_length, public.context_source) == (128_000, "bundled facts")
    assert public.capabilities == ("completion", "tools", "vision")
    assert public.capabilities_source == "bundled facts"
    assert (public.max_output, public.output_source) == (16_384, "bundled facts")
    # what its maker asks says nothing of what this provider does
    assert (public.price_in, public.price_source) == (None, "")

    assert (unknown.context_length, unknown.context_source) == (DEFAULT_CONTEXT, "default")
    assert (unknown.capabilities, unknown.capabilities_source) == (
        ("completion", "tools"),
        "default",
    )
    assert (unknown.parameter_size, unknown.created) == ("9B", 0)


@pytest.mark.parametrize(
    ("model_id", "has", "lacks", "capabilities"),
    [
        ("chat-9", {"completion"}, set(), ("completion", "tools")),
        ("chat-9", {"completion", "insert"}, {"tools"}, ("completion", "insert")),
        (
            "chat-9",
            {"completion", "thinking", "vision"},
            set(),
            ("completion", "tools", "vision", "thinking"),
        ),
        ("chat-9", {"embedding"}, {"completion"}, ("embedding",)),
        ("chat-9", set(), {"completion"}, ()),
        ("chat-9", set(), {"tools"}, ("completion",)),
        ("mistral-embed", set(), {"completion", "tools"}, ("embedding",)),
        # The list knows better than the name.
        ("flux-9", {"completion"}, set(), ("completion", "tools")),
        ("deep-embed-chat", {"completion"}, {"embedding"}, ("completion", "tools")),
        # The `ollama` command refuses to chat with a model that has "image".
        ("pictures-9", {"completion", "image"}, set(), ("completion", "tools")),
        ("pictures-9", {"image"}, {"completion"}, ("image",)),
    ],
)
def test_lists_and_facts_complete_each_other(
    model_id: str, has: set[str], lacks: set[str], capabilities: tuple[str, ...]
) -> None:
    model = UpstreamModel(model_id, capabilities=frozenset(has), lacks=frozenset(lacks))
    assert catalog({"a": [model]}).entries[0].capabilities == capabilities


def test_digests_are_64_hex_distinct_and_the_same_in_every_process() -> None:
    names = catalog(LISTS, {"alias": "b/x", "other": "b/x"})
    digests = [entry.digest for entry in names.entries]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)
    assert len(set(digests)) == len(digests)
    assert digests == [e.digest for e in catalog(LISTS, {"alias": "b/x", "other": "b/x"}).entries]
    # Written down once: a change here makes every client forget what it knew.
    assert catalog({"a": ["x"]}).entries[0].digest == (
        "9b3cff2f432aa96c42433aa31517a88903342abc1e2ea64f3b5855948fb7283f"
    )


def test_a_digest_changes_with_what_clients_cache_by_it() -> None:
    def digest(model: UpstreamModel, alias: Alias | str = "x", name: str = "m") -> str:
        return catalog({"a": [model]}, {name: alias}).resolve(name).digest

    same = digest(UpstreamModel("x"))
    assert same == digest(UpstreamModel("x", created=5, owned_by="somebody"))
    changed = {
        digest(UpstreamModel("x", capabilities=frozenset({"vision"}))),
        digest(UpstreamModel("x", context_length=9)),
        digest(UpstreamModel("x"), Alias(("x",), system="s")),
        digest(UpstreamModel("x"), Alias(("x",), parameters={"top_k": 1})),
        digest(UpstreamModel("x"), Alias(("x",), capabilities=("completion",))),
        digest(UpstreamModel("x"), name="n"),
    }
    assert len(changed | {same}) == 7


# The catalog as a whole.


def test_replacing_a_list_leaves_the_old_catalog_alone() -> None:
    old = catalog({"a": ["x"], "b": None}, {"m": "x"})
    new = old.replace_list("b", (UpstreamModel("y"),))
    assert listed(old) == ["m:latest", "x:latest"]
    assert listed(new) == ["m:latest", "x:latest", "b/y:latest"]
    assert new.lists["b"] == (UpstreamModel("y"),)
    assert old.lists["b"] is None
    assert old.resolve("m") == new.resolve("m")
    with pytest.raises(FrozenInstanceError):
        old.entries[0].name = "z"  # type: ignore[misc]


# Machines that build are slow and shared.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

IDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20
)


@patient
@given(ids=st.lists(IDS), others=st.lists(IDS), aliases=st.dictionaries(IDS, IDS, max_size=4))
def test_any_ids_can_be_listed_and_found_again(
    ids: list[str], others: list[str], aliases: dict[str, str]
) -> None:
    names = catalog({"a": list(ids), "b": list(others)}, dict(aliases))
    assert len(set(listed(names))) == len(listed(names))
    for entry in names.entries:
        assert names.resolve(entry.name) is entry
        assert re.fullmatch(r"[0-9a-f]{64}", entry.digest)


@patient
@given(st.text())
def test_any_name_is_found_or_not_found(name: str) -> None:
    for names in (catalog(LISTS, {"m": "m"}), catalog({"a": None})):
        with suppress(ModelNotFound):
            assert isinstance(names.resolve(name), Entry)


def test_three_thousand_models_take_no_time_worth_noticing() -> None:
    many = [f"vendor{i % 40}/model-{i}-7b-instruct" for i in range(3000)]
    start = time.process_time()
    names = catalog({"a": many[:1500], "b": many[1500:]})
    built = time.process_time() - start
    assert len(names.entries) == 3000
    assert (
        built < 0.5
    )  # measured: 0.05 s at first, 0.03 s after that; the rest is for slow machines
    start = time.process_time()
    for _ in range(10_000):
        names.resolve("b/vendor39/model-2999-7b-instruct:latest")
    assert time.process_time() - start < 0.1  # measured: 0.1 µs each


def test_a_price_is_told_of_the_service_that_public_facts_know() -> None:
    row = replace(PRESETS["openai"], name="work")
    names = Catalog({"work": row}, {"work": (UpstreamModel("gpt-4o"),)}, {}, "work")
    (entry,) = names.entries
    assert (entry.price_in, entry.price_source) == (2.5, "bundled facts")
    local = replace(PRESETS["vllm"], models=("gpt-oss-120b",))
    (entry,) = Catalog({"vllm": local}, {}, {}, "vllm").entries
    assert entry.price_in is None


def test_what_was_tried_wins_over_what_is_listed() -> None:
    tested = Proof(
        has=frozenset({"completion", "vision"}), lacks=frozenset({"tools"}), embedding_length=9
    )
    provider = Provider("a", "http://a")
    listed = UpstreamModel(
        "m", capabilities=frozenset({"completion", "tools"}), lacks=frozenset({"vision"})
    )
    known = Known(tested={"a/m": tested, "b/m": Proof(lacks=frozenset({"completion"}))})
    names = Catalog(
        {"a": provider},
        {"a": (listed,)},
        {"mine": Alias(("m",), capabilities=("completion", "tools"))},
        "a",
        known=known,
    )
    mine, entry = names.entries
    assert (entry.capabilities, entry.capabilities_source) == (("completion", "vision"), "tested")
    assert (entry.embedding_length, entry.embedding_source) == (9, "tested")
    assert "tools" in entry.refuses
    assert "vision" not in entry.refuses
    assert (mine.capabilities, mine.capabilities_source) == (("completion", "tools"), "settings")
    before = Catalog({"a": provider}, {"a": (listed,)}, {}, "a").entries[0]
    assert before.digest != entry.digest, "clients that keep capabilities by digest look again"
