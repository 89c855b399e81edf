"""`/api/embed` and `/api/embeddings`: inputs to an upstream request, its reply to Ollama's answer.

Strategy: nearly every service sends unit vectors as plain lists of numbers. Such lists are cut out
and leave as the very bytes that came, once it is sure that they hold nothing but digits and the
signs around them; what is left of the reply is a short text. Reading and writing 100,000 floats
costs more than everything else together, and so does every reader that looks for their ends. A
model scales all its vectors or none, so the first and the last, which are read, tell whether they
have length one. All other forms (base64, one vector per token, odd field types) are read field by
field.
"""

import array
import base64
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeGuard

import msgspec
from msgspec import Struct

from ollama_bridge.errors import BadRequest, UpstreamFailed
from ollama_bridge.translate import failures

Json = Any

NEAR_ENOUGH = 1e-6
"""A length this close to one counts as one; Ollama's own float32 arithmetic is off by 5e-7."""

LISTS = 100_000
"""Most vectors of a reply that are passed on as they came."""

LARGEST = 1e9
"""No embedding holds a larger number: bytes that read so are not float32."""


class Vector:
    """One embedding: its numbers, or their JSON text, ready to send, to be read when asked for."""

    __slots__ = ("_numbers", "_provider", "text")

    def __init__(
        self, numbers: Sequence[float] = (), text: bytes = b"", provider: str = "the upstream"
    ) -> None:
        self.text = text
        self._provider = provider
        self._numbers = numbers

    @property
    def numbers(self) -> Sequence[float]:
        """Its components; raises UpstreamFailed for a text that is no list of numbers."""
        if not self._numbers:
            try:
                self._numbers = _list.decode(self.text)
            except msgspec.DecodeError as error:
                raise _unusable("an embedding is no list of numbers", self._provider) from error
        return self._numbers


def inputs(value: Json) -> list[str]:
    """The texts to embed; none means that the client only wants the model loaded."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise BadRequest("invalid input type")


def to_openai(model: str, inputs: list[str], dimensions: int) -> dict[str, Json]:
    """The upstream's request; `float` is asked for because clients of the SDK default to base64."""
    body: dict[str, Json] = {"model": model, "input": inputs, "encoding_format": "float"}
    if dimensions > 0:  # only if the client asked: most models refuse the field (quirk I4)
        body["dimensions"] = dimensions
    return body


def batches(inputs: list[str], size: int) -> list[list[str]]:
    """The inputs in order, no more than `size` in each request."""
    size = max(1, size)
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]


def vectors(body: bytes, provider: str = "the upstream") -> tuple[list[Vector], int | None]:
    """The reply's vectors in the order of the inputs, and its prompt tokens if it tells."""
    rest, texts = _cut(body)
    try:
        reply = _typed.decode(rest)
    except msgspec.ValidationError:
        return _tolerant(body, provider)
    except _NOT_JSON as error:
        raise failures.unreadable(body, provider) from error
    if reply.error or not texts:
        return _tolerant(body, provider)
    vectors = [
        Vector(text=texts[place], provider=provider)
        for item in reply.data
        for place in item.embedding
    ]
    return _ordered([item.index for item in reply.data], vectors), _usage(reply.usage)


def units(vectors: list[Vector], dimensions: int = 0) -> list[Vector]:
    """All vectors of one reply, each as `unit` makes it; raises UpstreamFailed."""
    ends = vectors[:: max(1, len(vectors) - 1)]
    if all(unit(vector, dimensions) is vector and any(vector.numbers) for vector in ends):
        return vectors
    return [unit(vector, dimensions) for vector in vectors]


def unit(vector: Vector, dimensions: int = 0) -> Vector:
    """The vector, cut to `dimensions` if that is shorter, with length one; zeros stay zeros."""
    if 0 < dimensions < len(vector.numbers):
        vector = Vector(vector.numbers[:dimensions])
    length = _length(vector.numbers)
    if abs(length - 1.0) <= NEAR_ENOUGH or length == 0.0:
        return vector
    return Vector([number / length for number in vector.numbers])


def is_floats(text: str) -> bool:
    """Whether base64 holds float32, OpenAI's own form, and not Perplexity's bytes."""
    try:
        return _decoded(text).typecode == "f"
    except ValueError:
        return False


def to_ollama(
    model: str, vectors: Sequence[Vector], total_ns: int, load_ns: int, prompt_tokens: int
) -> bytes:
    """The answer of `/api/embed`; without vectors it is the one that says the model is loaded."""
    head = b'{"model":%b,"embeddings":[' % _encode(model)
    if not vectors:
        return head + b"]}"
    tail = b'],"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d}' % (
        max(1, total_ns),  # clients index the counters unguarded, and Ollama leaves out zeros
        max(1, load_ns),
        max(1, prompt_tokens),
    )
    rows = [part for vector in vectors for part in (b",", _text(vector))]
    return b"".join([head, *rows[1:], tail])  # one copy of a megabyte, not three


def to_ollama_legacy(vector: Vector | None) -> bytes:
    """The answer of `/api/embeddings`, length as the upstream gave it; None for an empty prompt."""
    if vector is None:
        return b'{"embedding":[]}'
    _length(vector.numbers)  # JSON has no way to write what is not finite
    return b"".join((b'{"embedding":', _text(vector), b"}"))


class _Item(Struct, gc=False):
    embedding: tuple[int]
    index: Json = None


class _Reply(Struct, gc=False):
    data: list[_Item]
    usage: Json = None
    error: Json = None


_typed = msgspec.json.Decoder(_Reply)
_list = msgspec.json.Decoder(list[float])
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.Encoder().encode
_BLANKS = b" \n\r\t"
_NUMBERS = b"0123456789.,-+eE[]" + _BLANKS
_BEGIN = 256


def _cut(body: bytes) -> tuple[bytes, list[bytes]]:
    """The reply with a place number in every list of numbers, and these lists, without blanks.

    Every other list is left where it is. A list of numbers has no quotation mark, so one that is
    found within a text is no more than a part of it, and changes nothing there that is looked at.
    None is cut from a reply of more than LISTS.
    """
    rest: list[bytes] = []
    lists: list[bytes] = []
    done = last = 0
    while (end := body.find(b"]", last)) >= 0:
        begin = body.rfind(b"[", last, end)
        last = end + 1
        text = _without_blanks(body[begin:last]) if begin >= 0 else b""
        if len(text) <= len(b"[]") or text.translate(None, _NUMBERS):
            continue
        rest += (body[done:begin], b"[%d]" % len(lists))
        done = last
        lists.append(text)
        if len(lists) > LISTS:
            return body, []
    return b"".join((*rest, body[done:])), lists


def _without_blanks(text: bytes) -> bytes:
    """A list of numbers as Ollama writes it; b"" for one that is none.

    Who writes blanks writes them behind every number. Where nothing else stands between two, taking
    them out would make one number of both.
    """
    if not any(blank in text[:_BEGIN] for blank in _BLANKS):
        return text
    try:
        _list.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b""
    return text.translate(None, _BLANKS)


def _tolerant(body: bytes, provider: str) -> tuple[list[Vector], int | None]:
    """The same for a reply of any other form."""
    try:
        reply = msgspec.json.decode(body)
    except _NOT_JSON as error:
        raise failures.unreadable(body, provider) from error
    if isinstance(reply, dict) and reply.get("error"):
        raise failures.in_stream(reply["error"], provider)
    items = reply.get("data") if isinstance(reply, dict) else reply
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _unusable(f"it has no list of embeddings ({failures.sentence(reply)})", provider)
    try:
        found = [Vector(_numbers(item.get("embedding"))) for item in items]
    except ValueError as error:
        raise _unusable(str(error), provider) from error
    usage = reply.get("usage") if isinstance(reply, dict) else None
    return _ordered([item.get("index") for item in items], found), _usage(usage)


def _ordered(places: Sequence[Json], found: list[Vector]) -> list[Vector]:
    """The vectors by their `index`; as they came unless the indexes are 0, 1, 2 … in some order."""
    if sorted(place for place in places if _is_whole(place)) != list(range(len(found))):
        return found
    ordered = sorted(zip(places, found, strict=True), key=lambda pair: pair[0])
    return [vector for _, vector in ordered]


def _usage(usage: Json) -> int | None:
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    if isinstance(tokens, str) and tokens.isdecimal():
        return int(tokens)
    return tokens if _is_whole(tokens) else None


def _is_whole(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(value: Json) -> Sequence[float]:
    """One embedding in any of the forms in use; raises ValueError."""
    if isinstance(value, str) and value:
        return _decoded(value).tolist()
    if isinstance(value, list) and value:
        return _mean(value) if isinstance(value[0], list) else _floats(value)
    raise ValueError("an embedding is empty or missing")


def _floats(values: Json) -> list[float]:
    try:
        return msgspec.convert(values, list[float])
    except msgspec.ValidationError as error:
        raise ValueError(f"an embedding does not consist of numbers ({error})") from error


def _mean(rows: list[Json]) -> list[float]:
    """One vector for a text that came as one vector per token (llama-cpp-python does that)."""
    lists = [_floats(row) for row in rows]
    if not lists[0] or any(len(row) != len(lists[0]) for row in lists):
        raise ValueError("an embedding's rows are empty or differ in length")
    return [sum(column) / len(lists) for column in zip(*lists, strict=True)]


def _decoded(text: str) -> "array.array[Any]":
    """Numbers from base64: little-endian float32, or signed bytes, which Perplexity sends.

    Nothing in a reply tells which; but small negative bytes, read as float32, are huge numbers.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError("an embedding is neither a list of numbers nor base64") from error
    floats = array.array("f", data[: len(data) // 4 * 4])
    if sys.byteorder == "big":
        floats.byteswap()
    if len(data) % 4 or _has_huge(floats):
        return array.array("b", data)
    return floats


def _has_huge(numbers: Sequence[float]) -> bool:
    """Whether one is finite but out of all reason; infinity and NaN are another kind of mistake."""
    if math.hypot(*numbers) < LARGEST:
        return False
    return any(LARGEST < abs(number) < math.inf for number in numbers)


def _length(numbers: Sequence[float]) -> float:
    length = math.hypot(*numbers)
    if not math.isfinite(length):
        raise _unusable("an embedding holds a value that is not a finite number", "the upstream")
    return length


def _text(vector: Vector) -> bytes:
    return vector.text or _encode(vector.numbers)


def _unusable(reason: str, provider: str) -> UpstreamFailed:
    return UpstreamFailed(
        f"{provider} sent an embeddings reply that cannot be used: {reason}", passing=False
    )
