"""What a refusal teaches: one more edit, by its name in `quirks`, for this provider and model.

Strategy: a rule is a pattern for the upstream's words and the edits that may help, in order. The
first edit that was not tried yet and really changes the body is the lesson, so that nothing is ever
asked a second time unchanged. Words about a wrong value of the client's teach nothing.
"""

import copy
import hashlib
import re
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import msgspec

from ollama_bridge.errors import Refusal
from ollama_bridge.providers import quirks
from ollama_bridge.providers.edits import shape, thoughts
from ollama_bridge.providers.edits.limits import LIMITS
from ollama_bridge.providers.edits.shape import Body

MOST = 8
"""Most lessons in one request."""

PLAIN = frozenset({400, 422})
TEMPLATE = frozenset({400, 422, 500})
"""Statuses of a server whose chat template stumbles, as well."""


ROUTE = frozenset({400, 403, 404, 405, 422, 501})
"""Statuses with which a model is said to be on another route."""


class Lesson(NamedTuple):
    """An edit to make before asking again."""

    quirk: str
    kept: bool = True
    """Whether it holds for later requests too, or hangs on this one's size or luck."""


class Rule(NamedTuple):
    """Edits that may help when all patterns are found in the upstream's words."""

    patterns: tuple[re.Pattern[str], ...]
    edits: tuple[str, ...]
    statuses: frozenset[int] = PLAIN
    kept: bool = True


def lesson(
    refusal: Refusal,
    body: Body,
    tried: Collection[str] = (),
    sent: Collection[bytes] = (),
    response: Body | None = None,
) -> Lesson | None:
    """What to do differently, if the refusal tells.

    `tried` are the lessons of this request, `sent` the marks of the bodies that were refused;
    `response` is the body as it was sent to /v1/responses, if it was.
    """
    if len(tried) >= MOST:
        return None
    refused = {mark(body), *sent}
    for found in _candidates(refusal, body, response):
        if found.quirk in tried:
            continue
        if _goes_elsewhere(found.quirk, body, response) or (
            mark(_edited(found.quirk, body)) not in refused
        ):
            return found
    return None


def _goes_elsewhere(name: str, body: Body, response: Body | None) -> bool:
    """Whether the same body is another request with this edit: on another route, or with less."""
    kind, _, path = name.partition(":")
    if kind == quirks.NOT_IN_RESPONSE:
        return response is not None and _value(response, path) is not None
    return kind == quirks.RESPONSES_ONLY and response is None and "messages" in body


def mark(body: Body) -> bytes:
    """The same for the same body, whatever the order of its fields."""
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()


def unable(refusal: Refusal, body: Body) -> str:
    """What was asked of the model that it cannot do at all: `tools`, `vision`, `thinking` or ""."""
    said = _said(refusal)
    for capability, pattern, needed in _UNABLE:
        if needed(body) and all(each.search(said) for each in pattern):
            return capability
    return ""


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_UNSUPPORTED = _words(
    r"unsupported|(?:not|n't) support|unrecogni[sz]ed|unknown|unexpected|\bextra\b|not permitted|"
    r"not allowed|not enabled|unavailable|not available|not accepted|not implemented|deprecated|"
    r"cannot find field|additional propert|in?valid (?:parameter|field|argument|request argument)"
)
_CHOICE = _words(
    r"unsupported|(?:not|n't) support|must be|should be|expected|one of|only|unknown variant|"
    r"unavailable|not available|not enabled|not implemented|not allowed|unrecogni[sz]ed|unknown|"
    r"\bextra\b|not permitted|invalid value|cannot|mandatory|required"
)
_SCHEMA_KEY = _words(
    r"\$schema|\$ref\b|\$defs|additionalProperties|exclusiveM\w+|patternProperties|propertyNames|"
    r"\bconst\b"
)

RULES: tuple[Rule, ...] = (
    Rule(
        (_words(r"v1/responses\b"), _words(r"\bonly\b|\buse\b|instead")),
        (quirks.RESPONSES_ONLY,),
        ROUTE,
    ),
    Rule(
        (_words(r"not (?:a chat model|accessible|supported)\b.*/chat/completions"),),
        (quirks.RESPONSES_ONLY,),
        ROUTE,
    ),
    Rule((_words(r"chat_?completions? operation does not work"),), (quirks.RESPONSES_ONLY,), ROUTE),
    Rule(
        (
            _words(
                r"encrypted.content.*could not be verified|signature.{0,40}(?:invalid|not valid)|"
                r"invalid.{0,20}signature|without its required following item"
            ),
        ),
        ("drop_in_messages:reasoning_details",),
        kept=False,
    ),
    Rule((_words(r"tool_use_failed|failed_generation"),), ("calmer",), kept=False),
    Rule((_words(r"max_completion_tokens"), _UNSUPPORTED), ("new_token_limit", "old_token_limit")),
    Rule((_words(r"\bmax_tokens\b"), _UNSUPPORTED), ("new_token_limit",)),
    Rule((_words(r"stream_options|include_usage"),), ("no_stream_options",)),
    Rule(
        (
            _words(r"^stream\b|\b(?:non-?)?stream(?:ing|ed)?\b"),
            _words(r"unsupported|(?:not|n't) support|verified|only|must|required|not allowed"),
        ),
        ("no_stream", "always_stream"),
    ),
    Rule((_words(r"developer"), _CHOICE), ("system_role", "fold_system"), TEMPLATE),
    Rule(
        (
            _words(r"system (?:role|prompt|instruction)s?|'system'|\"system\"|`system`"),
            _words(r"unsupported|(?:not|n't) support|not enabled|not allowed|unknown variant"),
        ),
        ("fold_system",),
        TEMPLATE,
    ),
    Rule((_words(r"only [^.]{0,60}roles? (?:is|are) supported"),), ("fold_system",), TEMPLATE),
    Rule(
        (_words(r"system messages?.{0,50}(?:begin|first|start|one|single)|multiple system"),),
        ("merge_system", "fold_system"),
        TEMPLATE,
    ),
    Rule(
        (_words(r"alternat|consecutive|(?:start|begin) with.{0,20}user|first message.{0,40}user"),),
        ("alternate",),
        TEMPLATE,
    ),
    Rule(
        (_words(r"last (?:role|message).{0,60}(?:user|tool|prefix)"),),
        ("prefix_last_assistant",),
        TEMPLATE,
    ),
    Rule((_words(r"contain the word|must contain.{0,20}json"),), ("say_json",)),
    Rule(
        (_words(r"additionalProperties.{0,60}(?:required|must|false)|open object"),),
        ("close_objects", "schema_to_object", "format_in_words"),
    ),
    Rule(
        (_SCHEMA_KEY, _words(r"unknown|unsupported|(?:not|n't) support|cannot find|not allowed")),
        ("plain_schemas",),
    ),
    Rule(
        (
            _words(
                r"properties.{0,40}(?:missing|non-?empty|required)|items.{0,30}missing|missing.{0,20}items"
            ),
        ),
        ("filled_schemas",),
    ),
    Rule(
        (
            _words(r"\btools?\b|\bfunction"),
            _words(r"json|response_?format|mime"),
            _words(r"unsupported|(?:not|n't) support|cannot|combin|compatible|together|\bboth\b"),
        ),
        ("format_beside_tools",),
    ),
    Rule((_words(r'one of "text" and "json_object"'),), ("schema_in_object",), TEMPLATE),
    Rule(
        (_words(r"^(?!.*invalid schema).*response_?format"), _words(r"json_schema"), _CHOICE),
        ("format_object", "json_by_schema"),
    ),
    Rule(
        (
            _words(
                r"^(?!.*invalid schema).*(?:response_?format|text\.format|json_schema|json_object|"
                r"json.mode|structured output)"
            ),
            _CHOICE,
        ),
        ("format_object", "schema_to_object", "format_in_words"),
    ),
    Rule(
        (_words(r"\btools?\b.{0,120}reasoning_effort|reasoning_effort.{0,120}\btools?\b"),),
        ("no_effort_with_tools",),
    ),
    Rule(
        (_words(r"\bstop\b"), _words(r"too long|too many|at most|maximum|up to|more than|limit")),
        ("first_four_stops", "no_stops"),
    ),
    Rule((_words(r"\bstop\b"), _UNSUPPORTED), ("no_stops",)),
    Rule(
        (
            _words(r"reasoning_content|thinking mode"),
            _words(r"passed back|must be (?:passed|provided|present)|missing|required"),
        ),
        ("thoughts_back",),
    ),
    Rule((_words(r"thought_?signature"), _words(r"missing|required|must")), ("signed_calls",)),
    Rule((_words(r"log_?probs"), _CHOICE), ("no_logprobs",)),
    Rule((_words(r"^n\b|'n'|`n`|\"n\""), _UNSUPPORTED), ("one_choice",)),
    Rule(
        (_words(r"call.?id"), _words(r"length|a-z|format|pattern|must")),
        ("nine_letter_ids",),
    ),
    Rule(
        (
            _words(r"text|content"),
            _words(r"non-?empty|(?:not|cannot) be empty|is empty|empty text"),
        ),
        ("no_empty_text",),
    ),
    Rule(
        (
            _words(r"content"),
            _words(r"null|none|valid string|be a string|required|missing|content type"),
        ),
        ("content_empty", "plain_content"),
    ),
    Rule((_words(r"dimension|matryoshka"),), ("drop:dimensions",)),
    Rule((_words(r"encoding.?format|base64"),), ("drop:encoding_format",)),
    Rule((_words(r"temperature.{0,30}top_p.{0,60}both|both.{0,30}temperature"),), ("drop:top_p",)),
)


def _candidates(refusal: Refusal, body: Body, response: Body | None) -> Iterator[Lesson]:
    """Every lesson this refusal may teach, the most certain first."""
    said = _said(refusal)
    if response is not None and refusal.status in PLAIN:
        yield from _of_response(refusal, response)
    for rule in RULES:
        if refusal.status in rule.statuses and all(each.search(said) for each in rule.patterns):
            yield from (Lesson(edit, rule.kept) for edit in rule.edits)
    if refusal.status in PLAIN:
        yield from _of_limits(said, body)
        yield from _of_effort(said, body)
        yield from _of_messages(refusal, body)
        yield from _of_fields(refusal, body)


# What was added on the way to /v1/responses.

_ADDED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("include", _words(r"\binclude\b|encrypted.content is not supported")),
    ("reasoning.summary", _words(r"reasoning\.summary|reasoning summar")),
    ("store", _words(r"\bstore\b")),
)
"""Fields that no client asked for, and how a refusal speaks of them."""


def _of_response(refusal: Refusal, response: Body) -> Iterator[Lesson]:
    said = _said(refusal)
    if not _CHOICE.search(said) and "verified" not in said:
        return
    for path, pattern in _ADDED:
        if _value(response, path) is not None and pattern.search(said):
            yield Lesson(f"{quirks.NOT_IN_RESPONSE}:{path}")


def _value(response: Body, path: str) -> object:
    found: object = response
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _said(refusal: Refusal) -> str:
    return f"{refusal.param} {refusal.code} {refusal.text}".strip()


def _edited(name: str, body: Body) -> Body:
    after = copy.deepcopy(body)
    quirks.named(name)(after)
    return after


# Limits of the answer's length (A15, G17, G17c).

_CONTEXT = _words(r"(?:maximum )?context (?:length|size|window)[^\d]{0,20}(\d+)")
_PROMPT = (
    _words(r"(\d+) in the messages"),
    _words(r"(\d+) (?:of )?(?:text )?input"),
    _words(r"prompt contains (?:at least )?(\d+)"),
    _words(r"(?:prompt|messages)[^\d]{0,30}(\d+) tokens"),
)
_HIGHEST = (
    _words(r"\[\s*\d+\s*,\s*(\d+)\s*\]"),
    _words(r"less than or equal to\W{0,3}(\d+)"),
    _words(r"at most\W{0,3}(\d+)"),
    _words(r"(?:<=|≤)\s*(\d+)"),
    _words(r"\d+ > (\d+)"),
    _words(r"maximum[^.\d]{0,60}(\d+)"),
)
_LOWEST = (
    _words(r"(?:>=|≥)\s*(\d+)"),
    _words(r"greater than or equal to\W{0,3}(\d+)"),
    _words(r"at least\W{0,3}(\d+)"),
)
_TOKENS = _words(
    r"max_(?:completion_|output_)?tokens|completion tokens|in the completion|output tokens"
)


def _of_limits(said: str, body: Body) -> Iterator[Lesson]:
    asked = next((body[key] for key in LIMITS if isinstance(body.get(key), int)), None)
    if asked is None or not _TOKENS.search(said):
        return
    if context := _CONTEXT.search(said):
        prompt = _first_number(_PROMPT, said)
        room = int(context[1]) - prompt if prompt is not None else 0
        if 1 <= room < asked:
            yield Lesson(f"most_tokens:{room}", kept=False)
        return
    highest, lowest = _first_number(_HIGHEST, said), _first_number(_LOWEST, said)
    if highest is not None and 1 <= highest < asked:
        yield Lesson(f"most_tokens:{highest}")
    if lowest is not None and asked < lowest < 10_000:
        yield Lesson(f"least_tokens:{lowest}")


def _first_number(patterns: tuple[re.Pattern[str], ...], said: str) -> int | None:
    found = next((match for each in patterns if (match := each.search(said))), None)
    return int(found[1]) if found and len(found[1]) < 10 else None


# Thinking (D9, D10, D15).

_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORT = _words(r"reasoning.?effort")
_OFFERED = re.compile(r"['\"`](none|minimal|low|medium|high|xhigh|max)['\"`]")
_THINKING = _words(r"reason|think|effort")


def _of_effort(said: str, body: Body) -> Iterator[Lesson]:
    """The nearest level that the upstream says it knows; else thinking is left as it is."""
    asked = body.get("reasoning_effort")
    if _EFFORT.search(said) and asked in _LEVELS:
        rank = _LEVELS.index(asked)
        known = [level for level in _LEVELS if level in _OFFERED.findall(said) and level != asked]
        if known:
            nearest = min(known, key=lambda level: abs(_LEVELS.index(level) - rank))
            yield Lesson(f"effort:{asked}={nearest}")
    if _THINKING.search(said) and _CHOICE.search(said):
        yield Lesson("thinking_stays")


# Keys of messages (B9, B10), then fields (0.2).

_QUOTED = re.compile(r"['\"`]([A-Za-z_]\w*)['\"`]")
_IN_MESSAGE = re.compile(r"messages?[.\[]\W?\d+[\w.\[\]'\"]*")
_NEEDED_IN_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_NEEDED = frozenset(
    {"model", "messages", "input", "prompt", "suffix", "tools", "tool_choice", "functions"}
    | {"function_call", "response_format", "stream", "stop", "n", "modalities", "audio", "echo"}
    | {"max_tokens", "max_completion_tokens", "max_output_tokens", "instructions", "text"}
    | thoughts.OFF.keys()
)
"""Fields without which the answer would be another than the one asked for: never left out."""

_PLAIN_WORDS = frozenset({"temperature", "seed", "store"})
"""Names without an underscore that mean nothing else in a sentence about a request."""


def _of_messages(refusal: Refusal, body: Body) -> Iterator[Lesson]:
    said = _said(refusal)
    if not _UNSUPPORTED.search(said) or not re.search("message|property", said):
        return
    there = {key for turn in shape.turns(body) for key in turn} - _NEEDED_IN_MESSAGE
    places = [refusal.param, *_IN_MESSAGE.findall(said)]
    named = _QUOTED.findall(said) + [word for place in places for word in re.findall(r"\w+", place)]
    yield from (Lesson(f"drop_in_messages:{key}") for key in named if key in there)


def _of_fields(refusal: Refusal, body: Body) -> Iterator[Lesson]:
    if not _UNSUPPORTED.search(_said(refusal)):
        return
    names = {_folded(key): key for key in body if key not in _NEEDED}
    for word in _named(refusal):
        if (key := names.get(_folded(word))) is not None:
            yield Lesson(f"drop:{key}")


def _named(refusal: Refusal) -> Iterator[str]:
    """Words that may be a field: the one named as such, those in quotes, those that look so."""
    yield re.split(r"[.\[]", refusal.param)[0]
    yield from _QUOTED.findall(refusal.text)
    for word in re.findall(r"\w+", refusal.text):
        if "_" in word or word in _PLAIN_WORDS or re.search(r"[a-z][A-Z]", word):
            yield word


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


# What a model cannot do at all (C17, D15, H4).


def _has_tools(body: Body) -> bool:
    return bool(body.get("tools"))


def _has_images(body: Body) -> bool:
    contents = [turn.get("content") for turn in shape.turns(body)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def _thinks(body: Body) -> bool:
    return any(key in body and body[key] != off for key, off in thoughts.OFF.items())


_UNABLE: tuple[tuple[str, tuple[re.Pattern[str], ...], Callable[[Body], bool]], ...] = (
    (
        "tools",
        (
            _words(
                r"tool choice requires|requires --jinja|cannot use tools|"
                r"(?:not|n't) support.{0,20}(?:tool|function)|"
                r"(?:tool|function)(?:s| use|s?[ _]calling| calls?)?\W{0,3}(?:is|are) "
                r"(?:not supported|unsupported)|no endpoints found that support .*tool"
            ),
        ),
        _has_tools,
    ),
    (
        "vision",
        (
            _words(
                r"image_url|image input|(?:not|n't) support (?:image|vision|multi-?modal)|"
                r"not a multimodal|at most 0 image|content.{0,40}(?:be a string|valid string)"
            ),
            _words(
                r"unknown variant|(?:not|n't) support|not a multi|at most 0|string|unsupported|"
                r"no endpoints"
            ),
        ),
        _has_images,
    ),
    ("thinking", (_words(r"reasoning|thinking|think\b"), _UNSUPPORTED), _thinks),
)


def describe(found: Lesson) -> str:
    """What is done about it, for the log."""
    return f"{found.quirk} ({quirks.meaning(found.quirk)})"
