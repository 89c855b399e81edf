"""facts.json from the public models.dev database: bare facts, trimmed to what is used.

Strategy: many hosts list the same model. Its maker's own row wins; among hosts the most frequent
size and the majority on capabilities count. What a host itself says stays with that host: its
address, its key variable, and what it asks for each model.
"""

import json
import re
from collections.abc import Iterable, Mapping
from statistics import median_low, multimode
from typing import Any

from ollama_bridge.providers import address, facts
from ollama_bridge.providers.presets import PRESETS

SOURCE = "https://models.dev/api.json"
"""Where the database is published (MIT)."""

MAKERS = (
    "openai", "anthropic", "google", "mistral", "deepseek", "xai", "zai", "moonshotai", "minimax",
    "alibaba", "cohere", "perplexity", "llama", "upstage", "xiaomi", "stepfun", "inception", "nova",
    "morph", "sarvam",
)  # fmt: skip
"""Names in the database of those who make models, not only host them."""

# Embedding models as their makers' documentation describes them: most tokens of one text, length
# of the vector. The database tells neither reliably.
EMBEDDERS = {
    "all-minilm": (512, 384),
    "all-minilm-l6-v2": (256, 384),
    "all-mini-lm-l6-v2": (256, 384),
    "all-minilm-l12-v2": (128, 384),
    "all-mpnet-base-v2": (384, 768),
    "multi-qa-mpnet-base-dot-v1": (512, 768),
    "bge-small-en-v1-5": (512, 384),
    "bge-base-en-v1-5": (512, 768),
    "bge-large-en-v1-5": (512, 1024),
    "bge-large": (512, 1024),
    "bge-m3": (8192, 1024),
    "bge-multilingual-gemma2": (8192, 3584),
    "codestral-embed": (8192, 1536),
    "cohere-embed-v3-english": (512, 1024),
    "cohere-embed-v3-multilingual": (512, 1024),
    "cohere-embed-v-4-0": (128000, 1536),
    "embed-english-v3-0": (512, 1024),
    "embed-multilingual-v3-0": (512, 1024),
    "embed-english-light-v3-0": (512, 384),
    "embed-multilingual-light-v3-0": (512, 384),
    "embed-v4-0": (128000, 1536),
    "embeddinggemma": (2048, 768),
    "embeddinggemma-300m": (2048, 768),
    "e5-base-v2": (512, 768),
    "e5-large-v2": (512, 1024),
    "e5-small-v2": (512, 384),
    "e5-mistral-7b-instruct": (32768, 4096),
    "multilingual-e5-small": (512, 384),
    "multilingual-e5-base": (512, 768),
    "multilingual-e5-large": (512, 1024),
    "multilingual-e5-large-instruct": (512, 1024),
    "gemini-embedding-001": (2048, 3072),
    "gte-base-en-v1-5": (8192, 768),
    "gte-large-en-v1-5": (8192, 1024),
    "jina-embeddings-v2-base-en": (8192, 768),
    "jina-embeddings-v3": (8192, 1024),
    "jina-embeddings-v4": (32768, 2048),
    "mistral-embed": (8192, 1024),
    "mxbai-embed-large": (512, 1024),
    "mxbai-embed-large-v1": (512, 1024),
    "nomic-embed-text": (8192, 768),
    "nomic-embed-text-v1-5": (8192, 768),
    "nomic-embed-text-v2-moe": (512, 768),
    "qwen3-embedding-0-6b": (32768, 1024),
    "qwen3-embedding-4b": (32768, 2560),
    "qwen3-embedding-8b": (32768, 4096),
    "snowflake-arctic-embed": (512, 1024),
    "snowflake-arctic-embed-l-v2-0": (8192, 1024),
    "text-embedding-3-small": (8192, 1536),
    "text-embedding-3-large": (8192, 3072),
    "text-embedding-ada-002": (8192, 1536),
    "text-embedding-004": (2048, 768),
    "text-embedding-005": (2048, 768),
    "text-embedding-v3": (8192, 1024),
    "text-embedding-v4": (8192, 1024),
    "text-multilingual-embedding-002": (2048, 768),
    "titan-embed-text-v2": (8192, 1024),
    "voyage-3": (32000, 1024),
    "voyage-3-large": (32000, 1024),
    "voyage-3-5": (32000, 1024),
    "voyage-3-5-lite": (32000, 1024),
    "voyage-code-3": (32000, 1024),
}

COMPATIBLE = ("@ai-sdk/openai-compatible", "@ai-sdk/openai")
"""How the database marks services that speak OpenAI's API; all others have libraries of their own.
"""

LARGEST_CONTEXT = 20_000_000
"""Tokens; no model takes more."""

Row = dict[str, Any]

_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|\d\d-\d{4}|\d{4})$")


def text(database: Mapping[str, Row], source: str) -> str:
    """The file for this database, one row a line; raises ValueError when it is not one."""
    try:
        models, services = rows(database), offers(database)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it has not the form of models.dev ({error!r})") from error
    lines = [f"{json.dumps(name)}:{_compact(row)}" for name, row in sorted(models.items())]
    hosts = [f"{json.dumps(name)}:{_plain(row)}" for name, row in sorted(services.items())]
    head = f'{{"source":{json.dumps(source)},"models":{{'
    return "\n".join([head, ",\n".join(lines), '},"services":{', ",\n".join(hosts), "}}", ""])


def rows(database: Mapping[str, Row]) -> dict[str, list[Any]]:
    """One row per model key, as facts.py reads it."""
    found: dict[str, list[tuple[str, Row]]] = {}
    for host, entry in database.items():
        for model_id, model in entry["models"].items():
            found.setdefault(facts.key(model_id), []).append((host, model))
    models = {name: _row(name, offers) for name, offers in found.items() if _is_a_name(name)}
    for name in sorted(models):  # where only dated names are known, the last one stands for all
        undated = _DATE.sub("", name)
        if undated not in found and _is_a_name(undated):
            models[undated] = models[name]
    for name, (context, length) in EMBEDDERS.items():
        models[name] = [context, "e", None, length]
    return models


def offers(database: Mapping[str, Row]) -> dict[str, Row]:
    """One row per service that can be used; those of our presets need no address."""
    ours = {row.facts for row in PRESETS.values()}
    services = {name: _service(entry) for name, entry in database.items()}
    return {name: row for name, row in services.items() if row.get("url") or name in ours}


def _service(entry: Row) -> Row:
    url = entry.get("api") or ""
    usable = entry.get("npm") in COMPATIBLE and url.startswith("http") and "$" not in url
    variables = [name for name in entry.get("env", ()) if _KEY.search(name)]
    models = {model_id: _offer(model) for model_id, model in sorted(entry["models"].items())}
    service: Row = {"url": address.base_url(url)} if usable else {}
    if usable and variables:
        service["key"] = variables[0]
    return service | {"models": models}


_KEY = re.compile(r"KEY|TOKEN|PAT$")


def _offer(model: Row) -> list[Any]:
    cost = model.get("cost") or {}
    context = model["limit"].get("context") or None
    if context is not None and context > LARGEST_CONTEXT:
        context = None  # some hosts write 99999999 for what they do not know
    row = [context, cost.get("input"), cost.get("output")]
    while row and row[-1] is None:
        row.pop()
    return row


def _is_a_name(name: str) -> bool:
    """Routers and the like ("auto", "default") are no models."""
    return "-" in name or any(sign.isdigit() for sign in name)


def _row(name: str, offers: list[tuple[str, Row]]) -> list[Any]:
    makers = [model for host, model in offers if host in MAKERS]
    models = makers or [model for _, model in offers]
    letters = _letters(name, models)
    context = _usual(model["limit"].get("context") for model in models)
    if letters == "e":
        return [context, letters]
    if "c" not in letters:
        return [None, letters]
    output = _usual(model["limit"].get("output") for model in models)
    return [context, letters, output]


def _letters(name: str, models: list[Row]) -> str:
    special = facts.special_kind(name)
    if special is None or "image" in special:  # of pictures the database knows more than the name
        special = frozenset(_capabilities(models))
    return "".join(letter for letter, word in facts.LETTERS.items() if word in special)


def _capabilities(models: list[Row]) -> set[str]:
    if not _most(_chats(model) for model in models):
        pictures = _most("image" in model["modalities"]["output"] for model in models)
        return {"image"} if pictures else set()
    signs = {
        "tools": (model["tool_call"] for model in models),
        "thinking": (model["reasoning"] for model in models),
        "vision": ("image" in model["modalities"]["input"] for model in models),
    }
    return {"completion"} | {word for word, votes in signs.items() if _most(votes)}


def _chats(model: Row) -> bool:
    modalities = model["modalities"]
    return "text" in modalities["input"] and "text" in modalities["output"]


def _most(votes: Iterable[bool]) -> bool:
    counted = list(votes)
    return 2 * sum(counted) >= len(counted)


def _usual(sizes: Iterable[int | None]) -> int | None:
    modes = multimode(size for size in sizes if size)
    return median_low(modes) if modes else None


def _compact(row: list[Any]) -> str:
    while row[-1] is None:
        row = row[:-1]
    return _plain(row)


def _plain(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
