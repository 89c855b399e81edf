"""Checks of providers, keys and aliases."""

from collections.abc import Iterator

from ollama_bridge import probe
from ollama_bridge.doctor import on_machine
from ollama_bridge.doctor.finding import Finding, fault, hint, ok
from ollama_bridge.doctor.situation import Situation
from ollama_bridge.errors import BridgeError, KeyMissing, KeyringUnusable, ModelNotFound
from ollama_bridge.keys import UNUSABLE
from ollama_bridge.probe import Verdict
from ollama_bridge.providers.provider import Provider

_ONLINE_SECONDS = 8.0
_OTHER_WAYS = 'put the key into the environment, or set key = "env:NAME" or "file:PATH"'


def keyring(here: Situation) -> Iterator[Finding]:
    """The system's keyring answers."""
    try:
        here.keys.named("doctor")
    except KeyringUnusable as error:
        says = error.message.partition("; ")[0]
        if needed := _in_keyring(here):
            yield fault(f"{says}; {', '.join(needed)} may need it", f"unlock it, or {_OTHER_WAYS}")
        else:
            yield hint(f"{says}; nothing needs it now", _OTHER_WAYS)
    except KeyMissing:  # it answered: there is no such entry
        yield ok("it answers")
    else:
        yield ok("it answers")


def _in_keyring(here: Situation) -> list[str]:
    """The providers whose key nothing but the keyring can have."""
    found = here.good_settings
    rows = [row for row in found.providers.values() if row.key == "keyring"] if found else []
    return [row.name for row in rows if here.keys.source(row) == UNUSABLE]


def keys(here: Situation) -> Iterator[Finding]:
    """Every provider has a key, or wants none."""
    found = here.good_settings
    for row in found.providers.values() if found else ():
        try:
            here.keys.get(row)
        except KeyringUnusable:
            continue  # told once, by the keyring's own check
        except KeyMissing as error:
            says, _, remedy = error.message.partition(": ")
            default = found is not None and row.name == found.default_provider
            make = fault if default else hint
            kind = ", the default" if default else ""
            yield make(f"{says}{kind}", remedy)
        else:
            yield ok(f"{row.name}: {here.keys.source(row)}")


def providers(here: Situation) -> Iterator[Finding]:
    """The daemon gets each provider's list of models."""
    rows = here.status.get("providers", ())
    for row in rows:
        if row["error"]:
            yield fault(f"{row['name']}: {row['error']}", _REMEDY.format(**row))
        else:
            models = "no list yet" if row["models"] is None else f"{row['models']} models"
            yield ok(f"{row['name']}: {models}")
    if not rows:
        yield ok("told when the daemon runs, or by `ollama-bridge doctor --online`")


def limits(here: Situation) -> Iterator[Finding]:
    """Limits for a day are not reached, and count every model."""
    found = here.good_settings
    names = [row.name for row in found.providers.values() if row.limits.any] if found else []
    rows = [row for row in here.status.get("providers", ()) if row["limits"]]
    if not names:
        yield ok("none are set")
    elif not rows:
        yield ok(f"set for {', '.join(names)}; looked at when the daemon runs")
    for row in rows:
        reached = [limit["limit"] for limit in row["limits"] if limit["reached"]]
        if reached:
            yield fault(
                f"{row['name']}: {', '.join(reached)} is reached, so it is not asked until "
                "midnight",
                f"ollama-bridge config set providers.{row['name']}.limits.{reached[0]} NUMBER",
            )
        if row["uncounted"]:
            yield hint(
                f"{row['name']}: the limit in money does not count {len(row['uncounted'])} models "
                f"whose price nobody tells, {row['uncounted'][0]} among them",
                "say what they cost, in dollars for a million tokens in and out: ollama-bridge "
                f"config set providers.{row['name']}.limits.fallback_price '[IN, OUT]'",
            )
        if not reached and not row["uncounted"]:
            yield ok(f"{row['name']}: {', '.join(limit['limit'] for limit in row['limits'])}")


_REMEDY = (
    "look whether {url} is right and reachable (`ollama-bridge providers show {name}`), and "
    "the key valid (`ollama-bridge keys set {name}`)"
)


def online(here: Situation) -> Iterator[Finding]:
    """Each provider answers, and takes the key."""
    found = here.good_settings
    if not here.online or found is None:
        yield ok("not asked; `ollama-bridge doctor --online` does")
        return
    for row in found.providers.values():
        if row.url.startswith("http"):
            yield from _asked(here, row)


def aliases(here: Situation) -> Iterator[Finding]:
    """Every alias leads to a model."""
    found = here.good_settings
    own = found.aliases if found else {}
    if here.running is None:
        yield ok(f"{len(own)}; tried when the daemon runs" if own else "none")
        return
    for name, alias in own.items():
        targets = ", ".join(alias.targets)
        try:
            here.running.show(name)
        except ModelNotFound:
            yield fault(
                f"{name}: no provider has {targets}",
                f"ollama-bridge models alias {name} PROVIDER/MODEL, with a name of "
                "`ollama-bridge models list`",
            )
        except BridgeError as error:
            yield fault(f"{name}: {error.message}", "ollama-bridge logs")
        else:
            yield ok(f"{name}: {targets}")
    if not own:
        yield ok("none")


def _asked(here: Situation, row: Provider) -> Iterator[Finding]:
    """A few calls, as `keys test` makes them; they cost one token at most."""
    try:
        key = here.keys.get(row)
    except BridgeError:
        return  # told by another check
    found = probe.ask(row, key, _ONLINE_SECONDS)
    if off := on_machine.clock_is_off(here, found.date):
        yield off
    yield _judged(row, found)


_LINE = "look at the address, the network and the proxy variables"


def _judged(row: Provider, found: Verdict) -> Finding:
    if found.result == probe.VALID:
        return hint(f"{row.name} answers, {found.detail}") if found.detail else _answers(row)
    if found.result == probe.REFUSED:
        return fault(
            f"{row.name} refuses the key ({found.detail})", f"ollama-bridge keys set {row.name}"
        )
    if found.result == probe.NO_QUOTA:
        return fault(
            f"{row.name} takes the key, but it has no quota left ({found.detail})",
            "add credit or raise the limit in your account there, or use another service: "
            "ollama-bridge config set default_provider NAME",
        )
    return _unanswered(row, found)


def _answers(row: Provider) -> Finding:
    return ok(f"{row.name} answers")


def _unanswered(row: Provider, found: Verdict) -> Finding:
    if found.status == 0:
        why = found.detail.removeprefix(f"{row.url}: ")
        return fault(f"{row.name} at {row.url} cannot be reached: {why}", _LINE)
    if found.status >= 500:
        return fault(
            f"{row.name} does not answer ({found.detail})", "try again later; see its status page"
        )
    if found.status < 400:
        return fault(
            f"{row.name} at {row.url} sends us elsewhere (status {found.status})",
            "correct its base_url: the address itself must answer",
        )
    return hint(
        f"{row.name} has no list of models (status {found.status})",
        f'name them: [providers.{row.name}] models = ["..."]',
    )
