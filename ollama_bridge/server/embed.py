"""/api/embed and /api/embeddings."""

import asyncio
import functools
import re
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple

from ollama_bridge.catalog import Entry
from ollama_bridge.errors import BadRequest, ModelNotFound, UpstreamFailed
from ollama_bridge.server import native
from ollama_bridge.server.bridge import Bridge
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.inference import find
from ollama_bridge.server.routes import Routes
from ollama_bridge.server.sending import Errand
from ollama_bridge.translate import embed
from ollama_bridge.translate import native as passage
from ollama_bridge.translate.stats import Stopwatch, estimate
from ollama_bridge.wire import ollama

Answer = tuple[list[embed.Vector], int | None]
"""Vectors, and the tokens they cost where the upstream told."""

SHORTEST = 64
"""Characters below which a refused text is not cut any shorter."""

_DIMENSIONS = re.compile(r"(?i)dimension|matryoshka")
_TOO_MANY = re.compile(
    r"(?i)too many|batch|array|at most \d+ (?:input|item|text)|inputs? (?:limit|count)"
)
_TOO_LONG = re.compile(r"(?i)context|too long|maximum.{0,40}(?:tokens|length)|input is too large")

TOGETHER = 4
"""Batches of one request that are on their way at the same time."""


async def embed_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/embed: unit vectors; what Ollama cannot do is 400 there (ollama-api 5.1)."""
    watch = Stopwatch(bridge.monotonic)
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.EmbedRequest)
    if not request.model.strip():
        raise ModelNotFound(f"model '{request.model}' not found")
    texts = embed.inputs(request.input)
    entry = await _find(bridge, request.model)
    if not native.judges(entry):
        bridge.touch(entry, request.keep_alive)
    if not texts and not native.judges(entry):
        await exchange.answer(embed.to_ollama(request.model, [], 0, 0, 0))
        return

    truncate = request.truncate is not False

    async def attempt(errand: Errand) -> None:
        job = _Job(errand, truncate)
        vectors, tokens = await _vectors(job, texts, request.dimensions)
        vectors = embed.units(vectors, request.dimensions)
        counted = tokens if tokens is not None else estimate(sum(map(len, texts)))
        await exchange.answer(
            embed.to_ollama(request.model, vectors, watch.elapsed(), watch.load(), counted)
        )

    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    asking = native.by_kind(attempt, passage.EMBED, raw)
    await exchange.while_connected(errand.deliver(asking))


async def embeddings_route(bridge: Bridge, exchange: Exchange) -> None:
    """POST /api/embeddings: one vector, as the upstream sent it (ollama-api 5.2)."""
    watch = Stopwatch(bridge.monotonic)
    raw = await exchange.body()
    request = ollama.decode(raw, ollama.EmbeddingsRequest)
    if not request.model.strip():
        raise BadRequest("model is required")
    entry = await _find(bridge, request.model)
    if not native.judges(entry):
        bridge.touch(entry, request.keep_alive)
    if not request.prompt and not native.judges(entry):
        await exchange.answer(b'{"embedding":[]}')
        return

    async def attempt(errand: Errand) -> None:
        vectors, _ = await _vectors(_Job(errand, truncate=True), [request.prompt], 0)
        await exchange.answer(embed.to_ollama_legacy(vectors[0]))

    errand = Errand.of(bridge, exchange, entry, request.model, watch)
    asking = native.by_kind(attempt, passage.EMBEDDINGS, raw)
    await exchange.while_connected(errand.deliver(asking))


class _Job(NamedTuple):
    """What every batch of one request has in common."""

    errand: Errand
    truncate: bool


async def _find(bridge: Bridge, name: str) -> Entry:
    try:
        return await find(bridge, name)
    except ModelNotFound as error:
        raise ModelNotFound(f'model "{name}" not found, try pulling it first') from error


async def _vectors(job: _Job, texts: list[str], dimensions: int) -> Answer:
    """All vectors in the order of their texts, batch by batch, and the tokens they cost."""
    gate = asyncio.Semaphore(TOGETHER)

    async def one(batch: list[str]) -> Answer:
        async with gate:
            return await _batch(job, batch, dimensions)

    batches = embed.batches(texts, job.errand.embed_batch)
    answers = [await one(batches[0])] if len(batches) == 1 else await _all(map(one, batches))
    counts = [tokens for _, tokens in answers]
    total = None if None in counts else sum(count or 0 for count in counts)
    return [vector for vectors, _ in answers for vector in vectors], total


async def _all(jobs: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Every answer in order; the first failure stops the others and is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _batch(job: _Job, texts: list[str], dimensions: int) -> Answer:
    """One request; what the upstream refuses is asked for again in a form it takes."""
    body = embed.to_openai(job.errand.target.model, texts, dimensions)
    try:
        opened = await job.errand.open("/embeddings", body)
    except UpstreamFailed as error:
        again = functools.partial(_batch, job)
        if dimensions and _DIMENSIONS.search(error.detail):
            raise  # a lesson: the next attempt does not ask, and the cut is made here (I4)
        if len(texts) > 1 and _TOO_MANY.search(error.detail):  # halve, and remember (quirk I5)
            half = len(texts) // 2
            job.errand.learn_batch(half)
            return _joined(
                await again(texts[:half], dimensions), await again(texts[half:], dimensions)
            )
        if not _TOO_LONG.search(error.detail):
            raise
        longest = max(map(len, texts))
        if not job.truncate or longest < SHORTEST:
            raise BadRequest("the input length exceeds the context length") from error
        return await again([text[: longest // 2] for text in texts], dimensions)
    provider = job.errand.provider.name
    vectors, tokens = embed.vectors(await opened.whole(), provider)
    counted = tokens if tokens is not None else estimate(sum(map(len, texts)))
    job.errand.spent((counted, 0), estimated=tokens is None)
    if len(vectors) != len(texts):
        raise UpstreamFailed(
            f"{provider} sent {len(vectors)} embeddings for {len(texts)} inputs", passing=False
        )
    return vectors, tokens


def _joined(first: Answer, second: Answer) -> Answer:
    known = first[1] is not None and second[1] is not None
    return first[0] + second[0], (first[1] or 0) + (second[1] or 0) if known else None


ROUTES: Routes = {
    "/api/embed": {"POST": embed_route},
    "/api/embeddings": {"POST": embeddings_route},
}
