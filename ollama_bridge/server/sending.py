"""One request on its way up: what every route that asks a model does the same way.

Strategy: a route says in an `Attempt` how it asks one target and gives its answer. `deliver` makes
the attempts, target by target, for as long as the client has not been told anything.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from ollama_bridge import spending
from ollama_bridge.catalog import Entry
from ollama_bridge.errors import BridgeError, LimitReached, NotSupported, UpstreamFailed
from ollama_bridge.providers import quirks
from ollama_bridge.providers.provider import Provider, Target
from ollama_bridge.server import learning, patience
from ollama_bridge.server.bridge import Bridge, Upstream
from ollama_bridge.server.exchange import Exchange
from ollama_bridge.server.learning import Course
from ollama_bridge.server.pump import Opened
from ollama_bridge.server.translated import Translated
from ollama_bridge.translate import chat_as_responses, passage, printed_calls, thoughts, tools
from ollama_bridge.translate.generate import CHAT
from ollama_bridge.translate.responses import PATH as RESPONSES
from ollama_bridge.translate.responses_as_chat import Chunks
from ollama_bridge.translate.stats import Stopwatch
from ollama_bridge.wire.stamp import NANOSECONDS


class Errand(NamedTuple):
    """Who asks which model; what becomes of it is noted for the log."""

    bridge: Bridge
    exchange: Exchange
    entry: Entry
    name: str
    """What the client calls the model."""
    watch: Stopwatch
    target: Target
    """The one that is asked now."""

    @classmethod
    def of(
        cls, bridge: Bridge, exchange: Exchange, entry: Entry, name: str, watch: Stopwatch
    ) -> "Errand":
        """An errand to the model's first target."""
        return cls(bridge, exchange, entry, name, watch, entry.target)

    @property
    def provider(self) -> Provider:
        """The one that is asked now."""
        return self.target.provider

    def deliver(self, attempt: "Attempt") -> Coroutine[Any, Any, None]:
        """Answer by the first target that can, trying them in order; the last one's error stands.

        Once the client has been told anything there is no second attempt (upstream-quirks 0.7).
        While there is another target nobody waits for this one: pauses are for the last.
        """
        if len(self.entry.targets) == 1:
            return self.patiently(attempt)
        return self._by_the_first(attempt)

    async def _by_the_first(self, attempt: "Attempt") -> None:
        *others, last = self._in_order()
        for target in others:
            try:
                return await self._replace(target=target).attempted(attempt)
            except BridgeError as error:
                if self.exchange.started or not patience.may_fare_better(error):
                    raise
        return await self._replace(target=last).patiently(attempt)

    def _in_order(self) -> Sequence[Target]:
        """The targets as they are tried: those that have been failing come last.

        One whose limit for today is reached is only there where no other is left, to say so.
        """
        is_reached = self.bridge.spending.is_reached
        targets = self.entry.targets
        targets = tuple(t for t in targets if not is_reached(t.provider)) or targets
        lane = self.bridge.lane
        return sorted(targets, key=lambda target: lane(target.provider).is_open())

    async def patiently(self, attempt: "Attempt") -> None:
        """Try again what may pass by itself, with pauses."""
        tries = 0
        while True:
            try:
                return await self.attempted(attempt)
            except UpstreamFailed as error:
                chance = self.bridge.chance()
                wait = patience.pause(error, tries, self.provider.retries, chance)
                if self.exchange.started or wait is None:
                    raise
                self.exchange.log["tries"] = tries + 2
            await self.bridge.sleep(wait)
            tries += 1

    async def attempted(self, attempt: "Attempt") -> None:
        """One attempt, in its turn; the provider's lane learns how it went."""
        bridge, provider = self.bridge, self.target.provider
        bridge.spending.check(provider)
        lane = bridge.lane(provider)
        await lane.enter()
        try:
            await self.taught(attempt)
        except LimitReached:
            raise  # nobody was asked
        except BridgeError as error:
            lane.failed(error)
            raise
        else:
            lane.worked()
        finally:
            lane.leave()

    async def taught(self, attempt: "Attempt") -> None:
        """An attempt, made again with what each refusal teaches; never twice the same."""
        exchange = self.exchange
        course = exchange.course
        if course is None or course.key != learning.key(self.target):
            course = exchange.course = Course(self.target)
        try:
            while True:
                try:
                    return await attempt(self)
                except BridgeError as error:
                    if exchange.started or not self._learn(course, error):
                        raise
        finally:
            if exchange.started:
                for name in course.kept:
                    self.bridge.learn(self.target, name)

    def _learn(self, course: Course, error: BridgeError) -> bool:
        """Whether the request can be made in another way now; raises what says it better."""
        refusal = error.refusal
        if refusal is None:
            return False
        was_back = course.is_back
        if (found := course.learn(refusal)) is not None:
            learning.told(self.target, found, refusal)
            if found.quirk == quirks.RESPONSES_ONLY:
                course.before = error
            return True
        if course.before is not None and course.is_back and not was_back:
            raise course.before from error  # what came after it was about another route
        if refusal.generation and not course.said:
            course.said = printed_calls.reply(refusal.generation, course.body or {})
            return bool(course.said)
        unable = learning.inability(error, course.body, self.name, self.provider.name)
        if unable is None:
            return False
        self.bridge.lose(self.target, unable.capability)
        if isinstance(error, NotSupported):
            return False
        raise unable from error

    async def open(self, path: str, body: dict[str, Any]) -> Opened:
        """The reply to a JSON body, once its status is known to be good.

        The body is edited into what this provider and model take.
        """
        course = self.exchange.course
        if course is not None and course.said:
            return learning.Said(course.said)
        names = self.edits
        if _ends_in_result(body):  # what led to the call may have been told to another process
            await self.bridge.siblings.ask("heard")
        if self.bridge.recollection and "messages" in body:
            find = functools.partial(self.bridge.recollection.find, self.provider.name)
            passage.decode(body)
            thoughts.restore(body, find, text="thoughts_back" in names)
        learning.prepare(body, names, course)
        self._spend()
        if path == CHAT and quirks.RESPONSES_ONLY in names:
            return await self._translated(body, names)
        route = self.provider.route(path, self.target.model)
        return await self._sent(lambda upstream: upstream.open(route, body, model=self.name))

    async def _translated(self, body: dict[str, Any], names: Sequence[str]) -> Opened:
        """The reply to a chat that is asked for in the other form, and read as one of a chat."""
        passage.decode(body)
        parted = (name.partition(":") for name in names)
        left_out = [path for kind, _, path in parted if kind == quirks.NOT_IN_RESPONSE]
        sent = chat_as_responses.to_responses(body, left_out)
        if self.exchange.course is not None:
            self.exchange.course.response = sent
        opened = await self._sent(lambda up: up.open(RESPONSES, sent, model=self.name))
        options = body.get("stream_options")
        chunks = Chunks(
            self.target.model,
            stops=_texts(body.get("stop")),
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            created=self.bridge.clock() // NANOSECONDS,
        )
        return Translated(opened, chunks)

    async def ask(self, method: str, path: str, content: bytes) -> Opened:
        """The reply of a real Ollama's own API, once its status is known to be good."""
        self._spend()
        return await self.look_up(method, path, content)

    async def look_up(self, method: str, path: str, content: bytes) -> Opened:
        """The same for what asks no model, and so costs nothing."""
        sent = self.target.model
        return await self._sent(
            lambda upstream: upstream.ask(method, path, content, model=self.name, sent=sent)
        )

    @property
    def edits(self) -> tuple[str, ...]:
        """Names of all that is done differently for this target."""
        provider, model = self.target.provider, self.target.model
        names = quirks.of(provider, model) + self.bridge.memory.of(self.target)
        course = self.exchange.course
        return course.names_for(names) if course is not None and course.names else names

    def keep(self, calls: Sequence[tools.Call], found: thoughts.Thoughts) -> None:
        """Keep the thoughts behind calls, for when their results are sent."""
        self.bridge.keep(self.provider.name, calls, found)

    @property
    def embed_batch(self) -> int:
        """Most inputs of one embeddings request to this model."""
        known = (name.partition(":") for name in self.bridge.memory.of(self.target))
        learned = [int(number) for kind, _, number in known if kind == "embed_batch"]
        return min([self.provider.embed_batch, *learned])

    def learn_batch(self, size: int) -> None:
        """Requests with more inputs than that were refused."""
        if 0 < size < self.embed_batch:
            self.bridge.learn(self.target, f"embed_batch:{size}")

    async def open_form(self, path: str, kind: str, content: bytes) -> Opened:
        """The reply to a body of another content type."""
        self._spend()
        route = self.provider.route(path, self.target.model)
        return await self._sent(
            lambda upstream: upstream.open_form(route, kind, content, model=self.name)
        )

    def spent(self, tokens: tuple[int, int], *, estimated: bool = False) -> None:
        """Note what an answer cost: tokens in and out; for the log and for the day's limits."""
        provider, log = self.target.provider, self.exchange.log
        before = log.get("tokens", (0, 0))
        log["tokens"] = before[0] + tokens[0], before[1] + tokens[1]
        if estimated:
            log["estimated"] = True
        usd = spending.cost(*tokens, *self._prices(), provider.limits)
        more = spending.Spent(0, *tokens, usd or 0.0, int(estimated), int(usd is None))
        self.bridge.spending.answered(provider.name, more)

    def spent_unpriced(self) -> None:
        """Note an answer that is not paid for by tokens, such as a picture."""
        self.bridge.spending.answered(self.provider.name, spending.Spent(unpriced=1))

    def _prices(self) -> tuple[float | None, float | None]:
        entry = self.entry
        if self.target is entry.target:
            return entry.price_in, entry.price_out
        return self.bridge.prices(self.target)

    def _spend(self) -> None:
        """One more request to the provider; raises LimitReached."""
        book, provider = self.bridge.spending, self.target.provider
        book.check(provider)
        book.sent(provider.name)

    async def _sent(self, ask: Callable[[Upstream], Awaitable[Opened]]) -> Opened:
        exchange, provider = self.exchange, self.target.provider
        exchange.answered_by = f"{provider.name}/{self.target.model}"
        log = exchange.log
        log["model"], log["provider"] = self.name, provider.name
        upstream = await self.bridge.upstream(provider)
        self.watch.sent()
        try:
            opened = await ask(upstream)
        except UpstreamFailed as error:
            log["upstream"] = error.upstream_status
            if error.upstream_status == 401:  # the next request reads the key again
                await self.bridge.forget(provider)
            raise
        log["upstream"] = 200
        return opened


def _texts(given: Any) -> list[str]:
    """Stop strings, of which a client may also give one alone."""
    found = given if isinstance(given, list) else [given]
    return [text for text in found if isinstance(text, str) and text]


def _ends_in_result(body: dict[str, Any]) -> bool:
    """Whether a tool's result is sent."""
    turns = body.get("messages")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, dict) and last.get("role") == "tool"


Attempt = Callable[[Errand], Awaitable[None]]
"""Asks the errand's target and answers the client; raises before the first byte or not at all."""
