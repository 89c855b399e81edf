"""Learning from refusals: what a provider said no to is not asked of that model again.

Strategy: an attempt that was refused before the client heard anything is made again with one edit
more, as long as the refusal teaches one (`providers.lessons`). A repeated attempt starts from the
request, so the body is made anew; every lesson is an edit like those of the provider's row. What
helped is kept in memory until new settings come. A model without lessons costs one look-up.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from ollama_bridge.errors import BridgeError, NotSupported, Refusal
from ollama_bridge.providers import lessons, quirks
from ollama_bridge.providers.provider import Target
from ollama_bridge.server.flow import Sink
from ollama_bridge.translate import passage

MODELS = 1000
"""Most models of which anything is remembered."""

LESSONS = 32
"""Most lessons of one model."""

NO_ROUTE = frozenset({404, 405, 501})
"""Statuses of a server that has no such route."""

LACKS = "lacks:"
"""Begins the name of a lesson that no edit can mend: `lacks:tools`."""

Body = dict[str, Any]
Key = tuple[str, str]

_log = logging.getLogger("ollama_bridge")


def key(target: Target) -> Key:
    """What lessons hold for."""
    return target.provider.name, target.model


class Memory:
    """The lessons of every model; gone with the daemon, or when new settings come."""

    def __init__(self) -> None:
        self._names: dict[Key, tuple[str, ...]] = {}

    def of(self, target: Target) -> tuple[str, ...]:
        """The lessons of a model, in the order in which they were learned."""
        return self._names.get((target.provider.name, target.model), ())

    def add(self, target: Target, name: str) -> None:
        """One more lesson; of those with a number the last one holds."""
        kind, colon, value = name.partition(":")
        replaced = f"{kind}:" if colon and value.isdecimal() else None
        known = [
            old
            for old in self.of(target)
            if old != name and not (replaced and old.startswith(replaced))
        ]
        if len(self._names) >= MODELS and key(target) not in self._names:
            del self._names[next(iter(self._names))]
        self._names[key(target)] = (*known, name)[-LESSONS:]

    def keep(self, providers: Collection[str]) -> None:
        """Forget what was learned of all other providers."""
        self._names = {key: names for key, names in self._names.items() if key[0] in providers}

    def lacking(self) -> dict[str, frozenset[str]]:
        """Capabilities that turned out missing, by `provider/model`."""
        found = {
            "/".join(key): frozenset(
                name.removeprefix(LACKS) for name in names if name.startswith(LACKS)
            )
            for key, names in self._names.items()
        }
        return {origin: missing for origin, missing in found.items() if missing}

    def all(self) -> Mapping[Key, tuple[str, ...]]:
        """Everything that is known, by provider and model."""
        return dict(self._names)


class Course:
    """What one request has learned of the target it asks now."""

    def __init__(self, target: Target) -> None:
        self.key = key(target)
        self.names: list[str] = []
        """In order; applied to each further attempt."""
        self.kept: list[str] = []
        """Those to be remembered once an answer comes."""
        self.body: Body | None = None
        """The request as it was sent last."""
        self.response: Body | None = None
        """The same as it went to /v1/responses, if it did."""
        self.before: BridgeError | None = None
        """The refusal that sent the request there."""
        self.is_back = False
        """There is no such route after all."""
        self._refused: list[bytes] = []
        """Marks of what was sent in vain."""
        self.said = b""
        """A reply that was read out of a refusal."""

    def names_for(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """The edits for the next attempt, after those that are known for good."""
        return (*known, *(name for name in self.names if name not in known))

    def learn(self, refusal: Refusal) -> lessons.Lesson | None:
        """Take what the refusal teaches."""
        if self.body is None:
            return None
        passage.decode(self.body)
        if self.response is not None and self._is_in_vain(refusal):
            refusal = self._back(refusal)
        tried = [*self.names, quirks.RESPONSES_ONLY] if self.is_back else self.names
        found = lessons.lesson(refusal, self.body, tried, self._refused, self.response)
        self._refused.append(lessons.mark(self.body))
        if found is not None:
            self.names.append(found.quirk)
            if found.kept:
                self.kept.append(found.quirk)
        return found

    def _is_in_vain(self, refusal: Refusal) -> bool:
        """Whether the service has no such route, or says there what it said before."""
        before = self.before.refusal if self.before is not None else None
        return refusal.status in NO_ROUTE or (before is not None and before.text == refusal.text)

    def _back(self, refusal: Refusal) -> Refusal:
        """The service has no such route after all: what it said about the chat is all there is."""
        if quirks.RESPONSES_ONLY not in self.names or self.before is None:
            return refusal
        for names in (self.names, self.kept):
            names.remove(quirks.RESPONSES_ONLY)
        self.is_back, self.response = True, None
        return self.before.refusal or refusal


def prepare(body: Body, names: tuple[str, ...], course: Course | None) -> None:
    """Make the edits of these names, just before the body is sent."""
    if course is not None:
        course.body, course.response = body, None
    if names:
        passage.decode(body)
        quirks.apply(names, body)


def told(target: Target, found: lessons.Lesson, refusal: Refusal) -> None:
    """A line in the log: something that a client wrote is sent in another way."""
    _log.info(
        "%s/%s refused a request (%s); asking again with %s",
        target.provider.name,
        target.model,
        refusal.text,
        lessons.describe(found),
    )


def inability(
    error: BridgeError, body: Body | None, name: str, provider: str
) -> NotSupported | None:
    """The error, if the model cannot do at all what was asked; in Ollama's words."""
    refusal = error.refusal
    if refusal is None or body is None:
        return None
    capability = lessons.unable(refusal, body)
    if not capability:
        return None
    feature = "images" if capability == "vision" else capability
    unable = NotSupported(f'"{name}" does not support {feature} ({provider}: {refusal.text})')
    unable.capability = capability
    unable.refusal = refusal
    return unable


class Said:
    """A reply that is here already, in the form of one still to be read."""

    kind = "application/json"
    streamed = False

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        """The whole of it; b"" at the end."""
        body, self._body = self._body, b""
        return body

    async def push(self, sink: Sink) -> None:
        """The same to a sink."""
        if (slow := sink.take(await self.read())) is not None:
            await slow

    async def whole(self) -> bytes:
        """The whole of it."""
        return await self.read()

    def hide(self, said: bytes) -> bytes:
        """There is no key in it."""
        return said

    def ended(self) -> bool:
        """There is nothing more to come."""
        return True

    async def aclose(self, patience: float = 0.0) -> None:
        """Nothing is held open."""
