"""Texts: cutting them into tokens, and finding what they are about."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from operator import itemgetter

from ollama_bridge.demo.request import Json

QUOTED = 400
"""Characters of the user's words that an answer repeats."""

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
_WORD = re.compile(r"[^\W_]+")
_WORD_OR_MARK = re.compile(r"[\w'-]+|\S")

_COMMON = frozenset(
    _WORD.findall("""
    a about all an and any are at be by can could did do does for from give has have hello here hey
    how i if in into is it its me my name no not now of on one or our please should so some tell
    thank thanks that the their them then there these they this to today tool tools use user using
    want was we were what when where which who why will with would yes you your
    """)
)
"""Words that tell nothing about what a text is about."""

_ORDERS = frozenset(
    _WORD.findall("""
    add ask book buy calculate call check compute convert create delete divide fetch find get list
    look make multiply open play read run search send set show translate turn write
    """)
)
"""Verbs that begin an order; a capital letter does not make them a name."""


def tokens(text: str) -> list[str]:
    """The words and marks, each with the space before it."""
    return _TOKEN.findall(text)


def count(value: Json) -> int:
    """Tokens in all texts of a JSON value but files."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(tokens(value))
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(count, value)) if isinstance(value, list) else 0


def quote(text: str) -> str:
    """The text in quotes, cut where it gets long."""
    return f"“{text if len(text) <= QUOTED else text[:QUOTED] + '…'}”"


def digest(text: str) -> str:
    """A short name for the text, always the same."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def said(text: str) -> set[str]:
    """Every word and mark, in lower case."""
    return {word.lower() for word in _WORD_OR_MARK.findall(text)}


def telling(text: str) -> list[str]:
    """The words that tell what the text is about, in lower case."""
    return [word for word in _WORD.findall(text.lower()) if word not in _COMMON]


def names(text: str) -> list[str]:
    """What looks like a name, the least likely last: one word at the start of a sentence."""
    found = [
        (len(run) == 1 and sentence.startswith(run[0]), " ".join(run))
        for sentence in re.split(r"[.!?\n]\s+", text)
        for run in _runs(sentence)
    ]
    return [name for _, name in sorted(found, key=itemgetter(0))]


def _runs(sentence: str) -> Iterator[list[str]]:
    """Neighbours with a capital letter, from the first that is no common word or order."""
    groups = itertools.groupby(_WORD_OR_MARK.findall(sentence), lambda word: word[0].isupper())
    for capital, words in groups:
        run = list(itertools.dropwhile(lambda word: word.lower() in _COMMON | _ORDERS, words))
        if capital and run:
            yield run
