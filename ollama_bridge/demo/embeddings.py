"""Embeddings: texts that share words, or parts of words, are near to each other."""

import base64
import hashlib
import math
import struct
from collections.abc import Callable, Iterator, Mapping

from ollama_bridge.demo import models, request
from ollama_bridge.demo.models import DIMENSIONS
from ollama_bridge.demo.reply import Reply
from ollama_bridge.demo.request import Body, Json, is_whole, listed
from ollama_bridge.demo.words import count, telling
from ollama_bridge.errors import BadRequest


def respond(body: Body) -> Reply:
    """Answer a request to /v1/embeddings."""
    model, texts = models.asked(body), _inputs(body.get("input"))
    dimensions = request.whole_number(body, "dimensions", 1, DIMENSIONS) or DIMENSIONS
    form = _FORMS.get(str(body.get("encoding_format") or "float"))
    if form is None:
        raise BadRequest("'encoding_format' must be 'float' or 'base64'")
    data = [
        {"object": "embedding", "index": index, "embedding": form(_vector(text, dimensions))}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": count(texts), "total_tokens": count(texts)}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _inputs(value: Json) -> list[str]:
    """The texts to embed; a list of token numbers counts as a text of these numbers."""
    values = listed(value) or [value]
    return [_input(item) for item in ([values] if all(map(is_whole, values)) else values)]


def _input(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(map(is_whole, value)):
        return " ".join(map(str, value))
    raise BadRequest("'input' must be a string, an array of strings or of tokens, and not empty")


def _vector(text: str, dimensions: int) -> list[float]:
    """A unit vector, cut to so many dimensions."""
    sums = [0.0] * DIMENSIONS
    for feature, weight in _features(text):
        digest = hashlib.blake2b(feature.encode(), digest_size=48).digest()
        for high, low, amount in zip(digest[::3], digest[1::3], digest[2::3], strict=True):
            sums[(high << 8 | low) % DIMENSIONS] += weight * (amount - 127.5)
    length = math.hypot(*sums[:dimensions])
    if not length:
        return [1.0] + [0.0] * (dimensions - 1)
    return [round(number / length, 8) for number in sums[:dimensions]]


def _features(text: str) -> Iterator[tuple[str, float]]:
    """The words that tell something, and every three letters of them at a lower weight."""
    for word in telling(text) or [text.lower()]:
        yield word, 1.0
        marked = f"<{word}>"
        yield from ((marked[at : at + 3], 0.5) for at in range(len(marked) - 2))


def _in_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


_FORMS: Mapping[str, Callable[[list[float]], Json]] = {"float": list, "base64": _in_base64}
