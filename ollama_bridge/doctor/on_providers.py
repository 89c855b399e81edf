"""Checks of providers, keys, aliases and the tray."""

import importlib.util
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from ollama_bridge import __version__
from ollama_bridge.doctor import on_machine
from ollama_bridge.doctor.finding import Finding, fault, hint, ok
from ollama_bridge.doctor.situation import Situation
from ollama_bridge.errors import BridgeError, KeyMissing, KeyringUnusable, ModelNotFound
from ollama_bridge.providers.presets import DEMO
from ollama_bridge.providers.provider import Provider

_ONLINE_SECONDS = 8.0
_REFUSED = (401, 403)
_OTHER_WAYS = 'put the key into the environment, or set key = "env:NAME" or "file:PATH"'


def keyring(here: Situation) -> Iterator[Finding]:
    """The system's keyring answers."""
    found = here.good_settings
    rows = found.providers.values() if found else ()
    needed = [row.name for row in rows if row.key == "keyring" and row.name != DEMO]
    try:
        here.keys.named("doctor")
    except KeyringUnusable as error:
        says = error.message.partition("; ")[0]
        if needed:
            yield fault(f"{says}; {', '.join(needed)} may need it", f"unlock it, or {_OTHER_WAYS}")
        else:
            yield hint(f"{says}; nothing needs it now", _OTHER_WAYS)
    except KeyMissing:  # it answered: there is no such entry
        yield ok("it answers")
    else:
        yield ok("it answers")


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


def tray(here: Situation) -> Iterator[Finding]:
    """The icon would be shown."""
    if importlib.util.find_spec("pystray") is None:
        yield ok("not installed")
    elif not here.platform.startswith("linux"):
        yield ok("the system shows icons")
    elif not here.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        yield hint("there is no desktop session here: no tray icon", _NO_ICON)
    elif not _has_watcher():
        yield hint(
            "this desktop shows no tray icons", f"on GNOME the AppIndicator extension; {_NO_ICON}"
        )
    else:
        yield ok("the panel shows icons")


_NO_ICON = "the bridge works without it"


def _has_watcher() -> bool:
    """Whether a panel takes icons, asked with what the keyring's library brings along."""
    try:
        from jeepney import DBusAddress, new_method_call
        from jeepney.io.blocking import open_dbus_connection
    except ImportError:
        return True  # nobody can tell
    bus = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    name = ("org.kde.StatusNotifierWatcher",)
    try:
        with open_dbus_connection(bus="SESSION") as connection:
            asked = new_method_call(bus, "NameHasOwner", "s", name)
            return bool(connection.send_and_get_reply(asked, timeout=2).body[0])
    except Exception:  # noqa: BLE001 - a bus that does not answer shows no icons either
        return False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key along to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none: the status is the answer."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _asked(here: Situation, row: Provider) -> Iterator[Finding]:
    """One call for the list of models, with the key, as any client would."""
    try:
        key = here.keys.get(row)
    except BridgeError:
        return  # told by another check
    headers = {"User-Agent": f"ollama-bridge/{__version__}", **row.headers}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{row.url}/models", headers=headers)  # noqa: S310 - http
    try:
        with _OPENER.open(request, timeout=_ONLINE_SECONDS) as reply:
            status, date = reply.status, reply.headers.get("Date", "")
    except urllib.error.HTTPError as error:
        status, date = error.code, error.headers.get("Date", "")
        error.close()
    except (OSError, ValueError) as error:
        yield fault(f"{row.name} at {row.url} cannot be reached: {_reason(error)}", _LINE)
        return
    if off := on_machine.clock_is_off(here, date):
        yield off
    yield _judged(row, status)


_LINE = "look at the address, the network and the proxy variables"


def _judged(row: Provider, status: int) -> Finding:
    if status in _REFUSED:
        return fault(
            f"{row.name} refuses the key (status {status})", f"ollama-bridge keys set {row.name}"
        )
    if status >= 500 or status == 429:
        return fault(
            f"{row.name} answers with status {status}", "try again later; see its status page"
        )
    if status >= 400:
        return hint(
            f"{row.name} has no list of models (status {status})",
            f'name them: [providers.{row.name}] models = ["..."]',
        )
    if status >= 300:
        return fault(
            f"{row.name} at {row.url} sends us elsewhere (status {status})",
            "correct its base_url: the address itself must answer",
        )
    return ok(f"{row.name} answers")


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({reason.verify_message})"
    text = getattr(reason, "strerror", None) or str(reason)
    return text or type(reason).__name__
