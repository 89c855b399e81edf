"""When two names mean one model: with and without `:latest`, and in any case."""

from collections.abc import Iterable


def untagged(name: str) -> str:
    """The name without `:latest`, which says nothing."""
    return name[:-7] if name[-7:].lower() == ":latest" else name


def same_name(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that a client means by `name`: best in the same case, else in any."""
    bare = {known: untagged(known) for known in names}
    if name in bare:
        return name
    plain = untagged(name)
    exact = [known for known, other in bare.items() if other == plain]
    found = exact or [k for k, other in bare.items() if other.casefold() == plain.casefold()]
    return found[0] if found else None
