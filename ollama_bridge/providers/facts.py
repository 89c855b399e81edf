"""What is publicly known of models and services, where their own lists say nothing.

Strategy: facts.json holds one row per model under a plain key: the last segment of the id in lower
case, every run of signs a "-". A look-up makes the same key and drops what hosts add at its end
(dates, `-latest`, `-fp8`) one by one until a row fits. Ids without a row are judged by name.
Beside the models stand the services, each with its address and what it asks for each model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pkgutil import get_data
from typing import Any, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

LETTERS = {
    "c": "completion",
    "t": "tools",
    "v": "vision",
    "e": "embedding",
    "h": "thinking",
    "i": "image",
}
"""How facts.json abbreviates capabilities."""

CHAT = frozenset({"completion", "tools"})
"""What an unknown model is taken for: most can call tools, and clients hide those that cannot."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One model as its maker describes it; None where that is not known."""

    context_length: int | None
    embedding_length: int | None
    max_output: int | None
    capabilities: frozenset[str]


class Offer(NamedTuple):
    """One model as one service offers it; None where that is not known."""

    context_length: int | None = None
    price_in: float | None = None
    """US dollars per million tokens."""
    price_out: float | None = None


class Service(msgspec.Struct, frozen=True):
    """One service as public facts describe it."""

    url: str = ""
    """Its base URL; empty where none is known."""
    key: str = ""
    """The environment variable its users usually set."""
    models: dict[str, list[float | None]] = {}
    """What it offers, by id: the fields of an Offer."""


class _File(msgspec.Struct):
    source: str
    models: dict[str, list[Any]]
    services: dict[str, Service] = {}


class Table:
    """The public facts of one day. Never changes; look-ups are remembered."""

    def __init__(self, file: _File, origin: str) -> None:
        self.origin = origin
        """In two words where these facts come from, as `models show` tells it."""
        self.source = file.source
        """The same in full."""
        self.services: Mapping[str, Service] = file.services
        self._rows = file.models
        self._keyed: dict[str, dict[str, list[float | None]]] = {}
        self._found: dict[str, Facts | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, model_id: str) -> Facts | None:
        """What is known of the model, by any id that hosts give it."""
        if model_id not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            row = _nearest(key(model_id), self._rows)
            self._found[model_id] = None if row is None else _facts(*row)
        return self._found[model_id]

    def offer(self, service: str, model_id: str) -> Offer:
        """What the service of that name asks for the model, and how much of it it takes."""
        known = self.services.get(service)
        if known is None:
            return _NOTHING
        row = known.models.get(model_id)
        if row is None:
            if service not in self._keyed:
                self._keyed[service] = {key(name): row for name, row in known.models.items()}
            row = _nearest(key(model_id), self._keyed[service])
        return _NOTHING if row is None else _offer(*row)


def read(text: bytes, origin: str) -> Table:
    """The facts of a file; raises ValueError when it is not one."""
    file = msgspec.json.decode(text, type=_File)
    for name, row in file.models.items():
        try:
            _facts(*row)
        except (TypeError, KeyError) as error:
            raise ValueError(f"the row of {name} cannot be read") from error
    return Table(file, origin)


@cache
def bundled() -> Table:
    """The facts that came with this version."""
    text = get_data(__package__, "facts.json") or b""
    return Table(msgspec.json.decode(text, type=_File), "bundled facts")


def of(model_id: str) -> Facts | None:
    """What the bundled facts know of the model, by any id that hosts give it."""
    return bundled().of(model_id)


def _nearest(name: str, rows: Mapping[str, T]) -> T | None:
    """The row of that key, or of what it is without the ends that hosts add."""
    while name not in rows:
        name, _, added = name.rpartition("-")
        if not _ADDED.fullmatch(added):
            return None
    return rows[name]


_REMEMBERED = 8192
_NOTHING = Offer()


def _offer(
    context: float | None = None, price_in: float | None = None, price_out: float | None = None
) -> Offer:
    return Offer(int(context) if context else None, price_in, price_out)


@lru_cache(maxsize=8192)
def guess(model_id: str) -> frozenset[str]:
    """What the name alone gives away about the capabilities."""
    meanings = _meanings(key(model_id))
    if not meanings:
        return CHAT
    kind = _kind(meanings)
    return CHAT.union(meanings) if kind is None else kind


def special_kind(name: str) -> frozenset[str] | None:
    """Capabilities of a model whose key says that it is no chat model; None for the others."""
    return _kind(_meanings(name))


@lru_cache(maxsize=8192)
def size_in_name(model_id: str) -> str:
    """The number of parameters, where the id tells: 70B; "" where it does not."""
    found = _PARAMETERS.search(model_id)
    return found[1].upper() if found else ""


@lru_cache(maxsize=8192)
def key(model_id: str) -> str:
    """The id as facts.json spells it."""
    last = model_id.lower().rstrip("/").rpartition("/")[2]
    if last.startswith("ft:"):  # a fine-tune of one's own: ft:BASE:ORGANISATION::ID
        last = last.split(":")[1]
    if model_id.startswith("accounts/"):  # hosts that sort by account write no dots: llama-v3p1-8b
        last = _POINT.sub("-", last).replace("llama-v", "llama-")
    if "." in last or last.startswith("meta-"):
        last = _MAKER.sub("", last)
    last = last.translate(_SIGNS).strip("-")
    return last if "--" not in last else re.sub("-+", "-", last)


_SIGNS = str.maketrans(dict.fromkeys("._:@+ ,()[]", "-"))
_POINT = re.compile(r"(?<=\d)p(?=\d)")

# Makers as a prefix with dots ("us.anthropic.claude-…"), and the one that doubles its model's name.
_MAKER = re.compile(r"^(?:[a-z]{2,}\.)+(?=[a-z])|^meta-(?=llama)")

# What hosts add at the end: parts of dates and versions, channels, routing, tuning, precisions.
_ADDED = re.compile(
    r"0|\d{2,8}|v\d+|latest|preview|exp|beta|stable"
    r"|free|nitro|floor|exacto|extended|online|thinking|turbo|fast|maas|tee|lora"
    r"|instruct|it|chat|hf"
    r"|fp\d+|bf16|int\d|nvfp4|mxfp4|awq|gptq|gguf|mlx|i?q\d\w*|[klms]|\d+bit"
)

_PARAMETERS = re.compile(r"[-_:](\d{1,4}(?:\.\d+)?[bm])(?![a-z0-9])", re.IGNORECASE)

# What a part of a name, between dashes, gives away. The dashes keep "influx-7b" off the pictures.
_WORDS = {
    "none": "rerank moderation -whisper -tts- -speech- -transcribe- -realtime- -sora- -veo-",
    "embedding": "embed -bge- -e5- -gte- minilm -mini-lm- mpnet -voyage-",
    "image": "-image- -dall-e- -imagen- -stable-diffusion -flux-",
    # These came before chat and know no tools.
    "completion": "-davinci- -babbage- -gpt-3-5-turbo-instruct",
    "vision": "vision llava pixtral moondream internvl minicpm-v -vl- 5vl-",
    "thinking": "think reason magistral qwq -r1-",
}
_MEANS = [(word, meaning) for meaning, words in _WORDS.items() for word in words.split()]

# No chat models; the first that fits ("bge-reranker" makes no vectors).
_KINDS = {
    "none": frozenset[str](),
    "embedding": frozenset({"embedding"}),
    "image": frozenset({"image"}),
    "completion": frozenset({"completion"}),
}


def _meanings(name: str) -> list[str]:
    padded = f"-{name}-"
    return [meaning for word, meaning in _MEANS if word in padded]


def _kind(meanings: list[str]) -> frozenset[str] | None:
    return next((kind for meaning, kind in _KINDS.items() if meaning in meanings), None)


def _facts(
    context: int | None, letters: str, output: int | None = None, embedding: int | None = None
) -> Facts:
    capabilities = frozenset(LETTERS[letter] for letter in letters)
    return Facts(context, embedding, output, capabilities)
