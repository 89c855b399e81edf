"""The names of models: what is listed, and which provider and model a name means.

Strategy: everything is worked out when a catalog is made. It never changes after that, so a
look-up is one dictionary access, and a new list or new settings mean a new catalog. A name means,
in this order: an alias, a model of the default provider, provider/model, the one model of that id.
"""

import hashlib
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from typing import Any, Protocol

from ollama_bridge.errors import ModelNotFound
from ollama_bridge.providers import facts
from ollama_bridge.providers.names import same_name, untagged
from ollama_bridge.providers.provider import OLLAMA, Alias, Provider, Target

CAPABILITIES = (
    "completion",
    "tools",
    "insert",
    "vision",
    "embedding",
    "thinking",
    "image",
    "audio",
)
"""Ollama's words, in Ollama's order."""

DEFAULT_CONTEXT = 32768
"""Tokens, for models of which nobody tells. VS Code's Copilot takes the same number when it is told
none and keeps 4096 of it for the answer; nearly every model of today has at least as much."""

_NEEDS_COMPLETION = frozenset({"tools", "insert", "vision", "thinking"})


class Listed(Protocol):
    """What a provider's list says of one model."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int | None: ...
    @property
    def context_length(self) -> int | None: ...
    @property
    def embedding_length(self) -> int | None: ...
    @property
    def max_output(self) -> int | None: ...
    @property
    def capabilities(self) -> frozenset[str] | None: ...
    @property
    def lacks(self) -> frozenset[str]: ...
    @property
    def family(self) -> str: ...
    @property
    def parameter_size(self) -> str: ...
    @property
    def quantization(self) -> str: ...
    @property
    def size(self) -> int | None: ...
    @property
    def price_in(self) -> float | None: ...
    @property
    def price_out(self) -> float | None: ...
    @property
    def row(self) -> dict[str, Any] | None: ...


List = tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a trial of a model showed; of all else it showed nothing."""

    has: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    embedding_length: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of models beside their providers' lists, by `provider/model`."""

    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Capabilities that turned out missing while they were used."""
    tested: Mapping[str, Proof] = field(default_factory=dict)
    public: facts.Table = field(default_factory=facts.bundled)
    """By ids alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model as clients see it, with what is known of it and from where."""

    name: str
    """As listed, with its tag."""
    targets: tuple[Target, ...]
    """Tried in this order; never empty."""
    capabilities: tuple[str, ...]
    capabilities_source: str
    """`settings`, `tested`, `upstream`, `bundled facts` (or `refreshed facts`) or `default`, in the
    order in which they are believed; so too for the other sources. Empty: nobody tells."""
    context_length: int
    context_source: str
    digest: str
    refuses: frozenset[str] = frozenset()
    """Capabilities the model is known not to have; of the others nobody tells."""
    alias: Alias | None = None
    embedding_length: int | None = None
    embedding_source: str = ""
    max_output: int | None = None
    output_source: str = ""
    created: int = 0
    """Seconds since the epoch; 0 when nobody tells."""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    size: int | None = None
    price_in: float | None = None
    """US dollars per million tokens; what this provider asks, not what others do."""
    price_out: float | None = None
    price_source: str = ""
    row: Mapping[str, Any] | None = None
    """What a real Ollama lists of it: told as it stands."""

    @property
    def target(self) -> Target:
        """The first of the targets."""
        return self.targets[0]

    @property
    def origins(self) -> tuple[str, ...]:
        """The targets as `provider/model`."""
        return tuple(f"{target.provider.name}/{target.model}" for target in self.targets)


def tagged(name: str) -> str:
    """The name as listed: with a tag.

    The `ollama` command takes a tag `cloud` or `…-cloud` for its vendor's hosted service and asks
    the user to sign in there, so such names get one tag more.
    """
    tag = name.rpartition("/")[2].partition(":")[2]
    return name if tag and not _CLOUD.search(tag) else f"{name}:latest"


_CLOUD = re.compile(r"(?:^|[:-])cloud$", re.IGNORECASE)


def invalid_name(name: str) -> bool:
    """Whether Ollama would call the name invalid instead of looking for it.

    Ids of providers break Ollama's own rules, so only what no id looks like counts. A name that is
    in the catalog is fine whatever it looks like: resolve first.
    """
    return _INVALID.search(name.strip()) is not None


_INVALID = re.compile(r"^$|\s|[\x00-\x1f\x7f]|^[:.-]|:$|(?:^|/)\.\.?(?:/|$)")


class Catalog:
    """All names there are. Immutable."""

    __slots__ = (
        "_ambiguous",
        "_broken",
        "_capitals",
        "_concealed",
        "_default",
        "_names",
        "aliases",
        "entries",
        "hidden",
        "known",
        "lists",
        "providers",
    )

    def __init__(
        self,
        providers: Mapping[str, Provider],
        lists: Mapping[str, List | None],
        aliases: Mapping[str, Alias],
        default_provider: str,
        hidden: Iterable[str] = (),
        known: Known | None = None,
    ) -> None:
        """`hidden` are models as `provider/model`; aliases reach them, names of clients do not."""
        self.known = known or Known()
        self.providers = providers
        self.lists = lists
        self.aliases = aliases
        self.hidden: frozenset[str] = frozenset()
        self._default = default_provider
        self._names: dict[str, Entry] = {}
        """By every spelling of a name, with and without `:latest`, in the case as listed."""
        self._capitals: dict[str, list[str]] = {}
        """Names that hold capitals, by their lower case."""
        self._ambiguous: dict[str, list[str]] = {}
        """Full names behind a bare id that several providers have."""
        self._broken: dict[str, str] = {}
        """What is wrong with aliases that lead nowhere."""
        self._concealed: dict[str, Entry] = {}
        """Hidden models by every spelling."""
        models = self._add_models()
        own = self._add_aliases()
        self.entries: tuple[Entry, ...] = (*own, *models)
        """In listing order: aliases, the default provider's models, the others'."""
        self._hide(frozenset(map(untagged, hidden)))

    def resolve(self, name: str) -> Entry:
        """The model of that name, in any spelling; raises ModelNotFound."""
        return self._names.get(name) or self._search(name)

    def find_hidden(self, name: str) -> Entry | None:
        """The hidden model of that name, in any spelling."""
        known = same_name(name.strip(), self._concealed)
        return self._concealed[known] if known else None

    def is_listed(self, entry: Entry) -> bool:
        """Whether the entry is one of a listing, not one that nobody told of."""
        return any(listed.name == entry.name for listed in self.entries)

    def replace_list(self, provider: str, models: List | None) -> "Catalog":
        """A catalog in which one provider has another list."""
        lists = {**self.lists, provider: models}
        names = self.aliases, self._default, self.hidden, self.known
        return Catalog(self.providers, lists, *names)

    def replace_names(self, aliases: Mapping[str, Alias], hidden: Iterable[str]) -> "Catalog":
        """A catalog with other aliases and hidden models."""
        return Catalog(self.providers, self.lists, aliases, self._default, hidden, self.known)

    def replace_known(self, known: Known) -> "Catalog":
        """A catalog that knows other things of its models."""
        names = self.aliases, self._default, self.hidden, known
        return Catalog(self.providers, self.lists, *names)

    def without(self, origin: str, capability: str) -> "Catalog":
        """A catalog in which one model, as `provider/model`, lacks a capability."""
        missing = self.known.lacking.get(origin, frozenset())
        if capability in missing:
            return self
        lacking = {**self.known.lacking, origin: missing | {capability}}
        return self.replace_known(replace(self.known, lacking=lacking))

    def concealed(self) -> tuple[Entry, ...]:
        """The hidden models, each once."""
        return tuple({entry.name: entry for entry in self._concealed.values()}.values())

    # Looking up.

    def _search(self, name: str) -> Entry:
        plain = untagged(name.strip())
        if reason := self._broken.get(plain):
            raise ModelNotFound(f"model '{name}' not found: {reason}")
        if entry := self._find(plain):
            return entry
        choices = self._ambiguous.get(plain.casefold()) or self._spellings(plain)
        hint = f"; say which one: {', '.join(choices)}" if choices else ""
        raise ModelNotFound(f"model '{name}' not found{hint}")

    def _find(self, plain: str) -> Entry | None:
        return self._names.get(plain) or self._of_any_case(plain) or self._unlisted(plain)

    def _of_any_case(self, plain: str) -> Entry | None:
        found = {self._names[name].name: self._names[name] for name in self._spellings(plain)}
        return next(iter(found.values())) if len(found) == 1 else None

    def _spellings(self, plain: str) -> list[str]:
        folded = plain.casefold()
        same = [folded] if folded in self._names else []
        return same + self._capitals.get(folded, [])

    def _unlisted(self, plain: str) -> Entry | None:
        """A model that no list holds, where its provider may know it nevertheless."""
        if invalid_name(plain):
            return None
        head, _, model = plain.partition("/")
        provider = self._provider(head)
        if provider and model:
            return self._unless_hidden(f"{provider.name}/{model}", provider, model)
        default = self.providers.get(self._default)
        if default and self.lists.get(self._default) is None and not self._spellings(plain):
            return self._unless_hidden(plain, default, plain)
        return None

    def _unless_hidden(self, name: str, provider: Provider, model: str) -> Entry | None:
        full = f"{provider.name}/{model}".casefold()
        if full in map(str.casefold, self.hidden):
            return None
        return self._entry(name, provider, model, None)

    def _provider(self, name: str) -> Provider | None:
        if name in self.providers:
            return self.providers[name]
        folded = name.casefold()
        found = [p for p in self.providers.values() if p.name.casefold() == folded]
        return found[0] if len(found) == 1 else None

    # Making.

    def _add_models(self) -> list[Entry]:
        taken = {untagged(name) for name in self.aliases}
        holders: dict[str, list[Entry]] = {}
        entries = []
        for provider, bare, model_id, listed in self._models():
            own = provider.name == self._default
            full = f"{provider.name}/{bare}"
            # A name may be wanted twice, and the first gets it: that adding a provider renames
            # nothing is a promise. The other model takes its second choice, if that is free.
            name, second = (bare, full) if own else (full, bare)
            if name in taken:
                name = second
            if name in taken:
                continue
            taken.add(name)
            entry = self._entry(name, provider, model_id, listed)
            entries.append(entry)
            self._add(entry, full)
            if own:
                self._add(entry, bare)
            else:
                holders.setdefault(bare, []).append(entry)
        for bare, found in holders.items():
            self._add_bare(bare, found)
        return entries

    def _entry(self, name: str, provider: Provider, model_id: str, listed: Listed | None) -> Entry:
        return _entry(name, provider, model_id, listed, self.known)

    def _add_bare(self, bare: str, found: list[Entry]) -> None:
        """A bare id means the one model that has it, unless it reads as provider/model."""
        if len(found) > 1:
            names = [entry.name for entry in found]
            self._ambiguous.setdefault(bare.casefold(), []).extend(names)
        elif bare.partition("/")[0] not in self.providers:
            self._add(found[0], bare)

    def _add(self, entry: Entry, spelling: str) -> None:
        """Note a spelling; an earlier meaning stays."""
        for name in (spelling, entry.name):
            if name not in self._names:
                self._names[name] = entry
                if (folded := name.casefold()) != name:
                    self._capitals.setdefault(folded, []).append(name)

    def _models(self) -> Iterator[tuple[Provider, str, str, Listed | None]]:
        """What the providers offer, the default one's first: provider, untagged id, id, row."""
        for name in sorted(self.providers, key=lambda name: name != self._default):
            provider = self.providers[name]
            known = set()
            for model_id, listed in _offered(provider, self.lists.get(name)):
                bare = untagged(model_id)
                if bare not in known:
                    known.add(bare)
                    yield provider, bare, model_id, listed

    def _hide(self, hidden: frozenset[str]) -> None:
        """Take the hidden models' names away; hiding one renames no other."""
        self.hidden = hidden
        if not hidden:
            return
        self.entries = tuple(entry for entry in self.entries if not _is_hidden(entry, hidden))
        for spelling, entry in list(self._names.items()):
            if _is_hidden(entry, hidden):
                self._concealed[spelling] = self._names.pop(spelling)
                if (folded := spelling.casefold()) != spelling:
                    self._capitals[folded].remove(spelling)
        for bare, choices in self._ambiguous.items():
            self._ambiguous[bare] = [name for name in choices if name in self._names]

    def _add_aliases(self) -> list[Entry]:
        known = {untagged(name): name for name in self.aliases}
        known = {name.casefold(): name for name in self.aliases} | known
        made: dict[str, Entry] = {}
        for name in self.aliases:
            try:
                self._follow(name, known, made, ())
            except ModelNotFound as error:
                self._broken[untagged(name)] = error.message
        for name, entry in made.items():
            for spelling in (untagged(name), entry.name):
                self._names.pop(spelling, None)
                self._add(entry, spelling)
        return [made[name] for name in self.aliases if name in made]

    def _follow(
        self, name: str, known: Mapping[str, str], made: dict[str, Entry], way: tuple[str, ...]
    ) -> Entry:
        """The entry of an alias; `known` are the aliases, `way` is how we came here."""
        if name in made:
            return made[name]
        way = (*way, name)
        found = []
        for target in self.aliases[name].targets:
            plain = untagged(target)
            inner = known.get(plain) or known.get(plain.casefold())
            if inner and inner != name and inner not in way:
                found.append(self._follow(inner, known, made, way))
            # An alias may have the name of the very model it stands for.
            elif inner in (None, name) and (entry := self._find(plain)):
                found.append(entry)
            elif inner:
                raise ModelNotFound(_CIRCLE.format(" -> ".join((*way, inner))))
        if not found:
            raise ModelNotFound(_NOWHERE.format(", ".join(self.aliases[name].targets)))
        made[name] = _alias_entry(name, self.aliases[name], found)
        return made[name]


_CIRCLE = "the aliases lead in a circle ({}); change one of them in the settings"
_NOWHERE = "no provider has what this alias stands for ({}); correct its target in the settings"


def _is_hidden(entry: Entry, hidden: frozenset[str]) -> bool:
    return entry.alias is None and untagged(entry.origins[0]) in hidden


def _offered(provider: Provider, models: List | None) -> Iterator[tuple[str, Listed | None]]:
    """The provider's list, filtered, and the models of the settings."""
    wanted, unwanted = _globs(provider.include), _globs(provider.exclude)
    for listed in models or ():
        if wanted.match(listed.id) and not unwanted.match(listed.id):
            yield listed.id, listed
    for model_id in provider.models:
        yield model_id, None


def _globs(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern for all of them; none of them match nothing."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)", re.IGNORECASE)


def _entry(
    name: str, provider: Provider, model_id: str, listed: Listed | None, known: Known
) -> Entry:
    """What is known of one model, the nearest source first."""
    table = known.public
    public, offer = table.of(model_id), table.offer(provider.facts, model_id)
    origin = f"{provider.name}/{model_id}"
    told = listed or _UNTOLD
    row = told.row if provider.kind == OLLAMA else None
    tested = known.tested.get(origin, _UNTESTED)
    missing = known.lacking.get(origin, frozenset()) | tested.lacks
    capabilities, capabilities_source = _capabilities(model_id, told, public, table.origin)
    if missing or tested.has:
        capabilities = _sensible(frozenset(capabilities) | tested.has - missing, missing)
        capabilities_source = "tested" if tested.has or tested.lacks else "upstream"
    facts_of = public or _UNKNOWN
    context, context_source = _first(
        (told.context_length, "upstream"),
        (offer.context_length, table.origin),
        (facts_of.context_length, table.origin),
        (DEFAULT_CONTEXT, "default"),
    )
    embedding, embedding_source = _first(
        (tested.embedding_length, "tested"),
        (told.embedding_length, "upstream"),
        (facts_of.embedding_length, table.origin),
    )
    output, output_source = _first(
        (told.max_output, "upstream"), (facts_of.max_output, table.origin)
    )
    listed_price = told.price_in is not None or told.price_out is not None
    price_in, price_out = (
        (told.price_in, told.price_out) if listed_price else (offer.price_in, offer.price_out)
    )
    priced = price_in is not None or price_out is not None
    price_source = ("upstream" if listed_price else table.origin) if priced else ""
    name = tagged(name)
    return Entry(
        name=name,
        targets=(Target(provider, model_id),),
        capabilities=capabilities,
        capabilities_source=capabilities_source,
        # what a local model can do depends on how it was made, and its server tells on the spot
        refuses=_refuses(told, None if provider.kind == OLLAMA else public)
        - frozenset(capabilities)
        | missing,
        context_length=context or DEFAULT_CONTEXT,
        context_source=context_source,
        digest=row["digest"]
        if row
        else _digest(name, provider.name, model_id, *capabilities, str(context)),
        embedding_length=embedding,
        embedding_source=embedding_source,
        max_output=output,
        output_source=output_source,
        created=told.created or 0,
        family=told.family,
        parameter_size=told.parameter_size or facts.size_in_name(model_id),
        quantization=told.quantization,
        size=told.size,
        price_in=price_in,
        price_out=price_out,
        price_source=price_source,
        row=row,
    )


def _first(*told: tuple[int | None, str]) -> tuple[int | None, str]:
    """The first source that tells, and what it tells."""
    return next(((value, source) for value, source in told if value), (None, ""))


class _Untold:
    """A model that no list describes."""

    id = family = parameter_size = quantization = ""
    created = context_length = embedding_length = max_output = size = None
    capabilities = price_in = price_out = row = None
    lacks = frozenset[str]()


_UNTOLD = _Untold()
_UNTESTED = Proof()
_UNKNOWN = facts.Facts(None, None, None, frozenset())


def _capabilities(
    model_id: str, told: Listed, known: facts.Facts | None, origin: str
) -> tuple[tuple[str, ...], str]:
    """What the list says, completed by what is known where the list is silent."""
    usual = facts.guess(model_id) if known is None else known.capabilities
    if told.capabilities is None:
        return _sensible(usual), "default" if known is None else origin
    has = told.capabilities
    if "completion" in has:
        usual = usual - {"embedding"} if "completion" in usual else facts.CHAT
    elif "embedding" in has:
        usual = frozenset()
    return _sensible((usual | has) - told.lacks), "upstream"


def _refuses(told: Listed, known: facts.Facts | None) -> frozenset[str]:
    """What the model is known not to do: its list denies it, or public facts do not have it."""
    return told.lacks if known is None else told.lacks | (_PUBLIC - known.capabilities)


_PUBLIC = frozenset({"completion", "tools", "thinking", "vision", "embedding"})
"""Capabilities that public facts tell of."""


@lru_cache(maxsize=256)
def _sensible(
    capabilities: frozenset[str], without: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """In Ollama's order, without what makes no sense together, and without what is missing."""
    capabilities -= without
    if "completion" in capabilities:
        # The `ollama` command refuses to chat with a model that makes pictures.
        return _ordered(capabilities - {"image"})
    return _ordered(capabilities - _NEEDS_COMPLETION)


def _ordered(capabilities: Container[str]) -> tuple[str, ...]:
    return tuple(word for word in CAPABILITIES if word in capabilities)


def _alias_entry(name: str, alias: Alias, found: list[Entry]) -> Entry:
    """The first target's entry under another name, with what the settings say on top."""
    first = found[0]
    if first.alias:
        alias = on_top(alias, first.alias)
    capabilities, capabilities_source = first.capabilities, first.capabilities_source
    refuses = first.refuses
    if alias.capabilities is not None:
        capabilities, capabilities_source = _ordered(alias.capabilities), "settings"
        refuses = frozenset(CAPABILITIES) - frozenset(alias.capabilities)
    context, context_source = first.context_length, first.context_source
    if alias.context_length:
        context, context_source = alias.context_length, "settings"
    name = tagged(name)
    targets = tuple(target for entry in found for target in entry.targets)
    names = (f"{target.provider.name}/{target.model}" for target in targets)
    return replace(
        first,
        name=name,
        targets=targets,
        alias=alias,
        capabilities=capabilities,
        capabilities_source=capabilities_source,
        refuses=refuses,
        context_length=context,
        context_source=context_source,
        digest=_digest(name, *names, *capabilities, str(context), _content(alias)),
    )


def on_top(outer: Alias, inner: Alias) -> Alias:
    """An alias of an alias keeps what it does not say itself."""
    return Alias(
        targets=outer.targets,
        system=outer.system or inner.system,
        template=outer.template or inner.template,
        parameters={**inner.parameters, **outer.parameters},
        context_length=outer.context_length or inner.context_length,
        capabilities=inner.capabilities if outer.capabilities is None else outer.capabilities,
        license=outer.license or inner.license,
        messages=outer.messages or inner.messages,
    )


def _content(alias: Alias) -> str:
    parameters = sorted(alias.parameters.items())
    messages = [sorted(message.items()) for message in alias.messages]
    return repr((alias.system, alias.template, parameters, messages, alias.license))


def _digest(*facts_of_model: str) -> str:
    """64 hex digits that stay the same from run to run and differ for every model.

    The provider's address is left out: the demo's changes with every start.
    """
    return hashlib.sha256("\n".join(facts_of_model).encode("utf-8", "replace")).hexdigest()
