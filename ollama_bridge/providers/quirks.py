"""Small named edits of the request body for services that refuse what all others take.

Strategy: a body is the plain dict of one OpenAI request, edited in place just before it is sent.
What a client of the /v1 routes wrote itself may have any type. Messages are made
anew for each attempt; of any other value an edit replaces what it changes: all attempts share it.
A provider's row names its edits; the settings may name them too, so a private server needs no code.
What is learned from a refusal is one more name (`lessons`).
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate

from ollama_bridge.providers.edits import formats, limits, schemas, thoughts, turns
from ollama_bridge.providers.edits.shape import Body
from ollama_bridge.providers.provider import Provider

Edit = Callable[[Body], None]

RESPONSES_ONLY = "responses_only"
"""The edit that is no change of a body: it makes a request of another form of it."""

CHATS_ONLY = "chats_only"
"""Another of that kind."""

NOT_IN_RESPONSE = "not_in_response"
"""Begins the name of a field that is left out of that other form."""


def responses_only(_body: Body) -> None:
    """The model speaks only /v1/responses: chats are translated to that."""


def chats_only(_body: Body) -> None:
    """There are no text completions: they are asked for as chats."""


def not_in_response(_path: str, _body: Body) -> None:
    """A field of a chat that was translated to /v1/responses is refused there: it is left out."""


QUIRKS: Mapping[str, Edit] = {
    edit.__name__: edit
    for edit in (
        limits.new_token_limit,
        limits.old_token_limit,
        limits.random_seed,
        limits.strict_keys,
        limits.no_stream_options,
        limits.no_stream,
        limits.always_stream,
        limits.first_four_stops,
        limits.no_stops,
        limits.no_logprobs,
        limits.one_choice,
        limits.drop_reasoning_sampling,
        limits.calmer,
        turns.system_role,
        turns.merge_system,
        turns.fold_system,
        turns.alternate,
        turns.prefix_last_assistant,
        turns.content_null,
        turns.content_empty,
        turns.no_empty_text,
        turns.plain_content,
        turns.strict_messages,
        turns.nine_letter_ids,
        turns.thoughts_back,
        turns.signed_calls,
        thoughts.template_thinking,
        thoughts.reasoning_object,
        thoughts.thinking_switch,
        thoughts.enable_thinking,
        thoughts.parsed_reasoning,
        thoughts.no_effort_with_tools,
        thoughts.thinking_stays,
        formats.say_json,
        formats.format_object,
        formats.json_by_schema,
        formats.schema_in_object,
        formats.schema_to_object,
        formats.format_in_words,
        formats.format_beside_tools,
        formats.close_objects,
        schemas.plain_schemas,
        schemas.filled_schemas,
        responses_only,
        chats_only,
    )
}


_OF_MESSAGES = frozenset(name for name, edit in QUIRKS.items() if edit.__module__ == turns.__name__)


def lacks(_capability: str, _body: Body) -> None:
    """The model refused this; requests that need it are refused here."""


def embed_batch(_number: str, _body: Body) -> None:
    """Most inputs of one embeddings request."""


WITH_VALUE: Mapping[str, Callable[[str, Body], None]] = {
    edit.__name__: edit
    for edit in (
        limits.drop,
        limits.most_tokens,
        limits.least_tokens,
        turns.drop_in_messages,
        thoughts.effort,
        lacks,
        embed_batch,
        not_in_response,
    )
}
"""Edits that need to know one thing more, written after a colon: `drop:seed`."""

_NUMBERS = frozenset({"most_tokens", "least_tokens", "embed_batch"})
_NEVER_DROPPED = frozenset({"model", "messages", "input", "prompt"})

OBSERVED = frozenset(
    {"alternate", "calmer", "drop", "fold_system", "format_beside_tools", "lacks", "least_tokens"}
    | {"no_logprobs", "no_stops", "responses_only", "system_role", "thinking_stays"}
)
"""Edits whose reason, a real service's refusal, has been recorded.

The reasons of all others are documented, by vendors or in public reports, and not observed.
"""

NAMES = (*QUIRKS, *(f"{name}:…" for name in WITH_VALUE))
"""Every name, for those who may write one."""


def is_known(name: object) -> bool:
    """Whether a name means an edit."""
    if not isinstance(name, str):
        return False
    kind, colon, value = name.partition(":")
    if not colon:
        return name in QUIRKS
    if kind not in WITH_VALUE or not value or (kind == "drop" and value in _NEVER_DROPPED):
        return False
    return value.isdecimal() and len(value) < 10 if kind in _NUMBERS else True


@functools.lru_cache(maxsize=512)
def named(name: str) -> Edit:
    """The edit of a name that is known."""
    kind, colon, value = name.partition(":")
    return functools.partial(WITH_VALUE[kind], value) if colon else QUIRKS[name]


def meaning(name: str) -> str:
    """What an edit is for, in one sentence."""
    kind, colon, _ = name.partition(":")
    said = (WITH_VALUE[kind] if colon else QUIRKS[name]).__doc__ or ""
    return said.partition("\n")[0]


def standing(name: str) -> str:
    """Whether the reason of an edit was `observed` or is only `documented`."""
    return "observed" if name.partition(":")[0] in OBSERVED else "documented"


def explained(names: Iterable[str]) -> str:
    """Names with what they are for, on one line."""
    return " ".join(f"{name} ({meaning(name).rstrip('.')});" for name in names).rstrip(";")


def of(provider: Provider, model: str) -> tuple[str, ...]:
    """The edits that a provider's row has for one of its models."""
    if not provider.model_quirks:
        return provider.quirks
    more = _of_model(tuple(provider.model_quirks.items()), model)
    return provider.quirks + more if more else provider.quirks


@functools.lru_cache(maxsize=1024)
def _of_model(patterns: tuple[tuple[str, tuple[str, ...]], ...], model: str) -> tuple[str, ...]:
    fits = re.IGNORECASE
    return tuple(
        name
        for pattern, names in patterns
        if re.match(translate(pattern), model, fits)
        for name in names
    )


def apply(names: tuple[str, ...], body: Body) -> None:
    """Make the edits of these names: in this order, but those of the messages last.

    Others may put a sentence into the system text, wherever that is then to stand.
    """
    for edit in _edits(names):
        edit(body)


@functools.lru_cache(maxsize=512)
def _edits(names: tuple[str, ...]) -> tuple[Edit, ...]:
    return tuple(map(named, sorted(names, key=_OF_MESSAGES.__contains__)))
