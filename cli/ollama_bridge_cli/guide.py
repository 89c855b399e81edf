"""The guided set-up: provider, key, test, first model. Nothing is written before the end."""

import getpass
import os
import queue
import sys
import threading
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import typer

from ollama_bridge import config, editing, keyfile, keys
from ollama_bridge.config import DEFAULT_MODEL
from ollama_bridge.errors import BridgeError, KeyMissing, KeyringUnusable, SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import DEMO, PRESETS
from ollama_bridge.providers.provider import Provider

from . import blanks, render
from .session import Session

PLAIN = """\
To set up a service: ollama-bridge providers add NAME, then ollama-bridge keys set NAME.
On a terminal, `ollama-bridge setup` asks step by step."""

_SHOWN = 12
"""How many services are offered by number; all others go by name."""
_MODELS = 15
"""How many models are shown to choose from."""


def is_attended() -> bool:
    """Whether a person is there to be asked: a terminal on both sides, and no CI."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not os.environ.get("CI")


def is_fresh(user: Session) -> bool:
    """Whether nothing is set up: no settings file and no key variable."""
    return not user.config_path.exists() and not config.from_environment(os.environ)


def offer(user: Session) -> None:
    """Before a first start: set a service up? Without a word of anybody the start goes on."""
    if user.quiet or not is_attended() or not is_fresh(user):
        return
    user.say(
        "No service is set up yet. Press s and Enter to set one up, or only Enter to start with "
        f"the built-in demo; it starts by itself in {OFFER_SECONDS:g} s."
    )
    if _line_within(OFFER_SECONDS).strip().lower() in ("s", "y", "yes"):
        through(user)


OFFER_SECONDS = 15.0
"""A start may come from a script that runs on somebody's terminal: it never waits for ever."""


def _line_within(seconds: float) -> str:
    """What is typed in that time, up to Enter; "" when nothing is."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    # a thread, because Windows' terminals know no select
    threading.Thread(target=lambda: lines.put(sys.stdin.readline()), daemon=True).start()
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return ""


def through(user: Session) -> None:
    """Ask, test, and only then write; Ctrl-C before that leaves everything as it was."""
    user.say("This sets up one service. Ctrl-C leaves, and nothing is changed.\n")
    provider = _service(user)
    key, provider, models = _tested_key(user, provider)
    model = _model(user, models)
    _write(user, provider, key, model)
    user.tell_daemon()
    name = DEFAULT_MODEL if model else f"{provider.name}/MODEL"
    user.say(f"\nDone. Start with `ollama-bridge start`, then try `ollama-bridge run {name}`.")


def _service(user: Session) -> Provider:
    names = [name for name in PRESETS if name != DEMO]
    for number, name in enumerate(names[:_SHOWN], 1):
        user.say(f"{number:>3}  {name}")
    user.say(f"     also: {', '.join(names[_SHOWN:])}\n")
    while True:
        answer = typer.prompt("Service (number, name, or the address of your own)", err=True)
        text = answer.strip()
        if text.isdecimal() and 1 <= int(text) <= min(_SHOWN, len(names)):
            return _filled(user, PRESETS[names[int(text) - 1]])
        if text not in (DEMO, "") and (known := config.service(text, os.environ)):
            return _filled(user, known)
        if "://" in text:
            try:
                url = address.base_url(text)
            except ValueError as error:
                user.say(f"{error}")
                continue
            return _own(user, url)
        user.say(f"There is no service {text}.")


def _filled(user: Session, row: Provider) -> Provider:
    """The service at the address of this user, where each has one of their own."""
    if not row.blanks:
        return row
    while True:
        try:
            url = blanks.filled(row, {}, attended=True)
        except typer.BadParameter as error:
            user.say(error.message)
        else:
            return replace(row, url=url, blanks=())


def _own(user: Session, url: str) -> Provider:
    host = (urlsplit(url).hostname or "lab").split(".")[0]
    taken = user.load().providers if user.config_path.exists() else {}
    offered = "lab" if address.is_near(urlsplit(url).hostname or "") else host
    while True:
        name = typer.prompt("A name for it", default=offered, err=True).strip()
        row = Provider(name=name, url=url)
        try:
            config.check({"providers": {name: {"base_url": url}}}, user.config_path, {})
        except SettingsInvalid as error:
            user.say(error.message)
            continue
        if name not in taken or taken[name].url == url:
            return row
        user.say(f"{name} is {taken[name].url} already.")


def _tested_key(user: Session, provider: Provider) -> tuple[str, Provider, tuple[str, ...]]:
    """A key the service takes, or one that the user wants to keep all the same."""
    from ollama_bridge import probe  # HTTP; nothing else here needs it

    near = address.is_near(urlsplit(provider.url).hostname or "")
    while True:
        key = _typed_key(user, provider, optional=near)
        user.say(f"Asking {provider.name} ...")
        verdict = probe.ask(provider, key)
        user.say(f"{provider.name}: {verdict.result} {verdict.detail}".rstrip())
        if verdict.result == probe.VALID or typer.confirm(
            "Keep it all the same?", default=False, err=True
        ):
            row = provider if key else replace(provider, key="none")
            return key, row, verdict.models


def _typed_key(user: Session, provider: Provider, *, optional: bool) -> str:
    hint = " (Enter for none)" if optional else ""
    while True:
        typed = _unseen(f"Key for {provider.name}{hint}: ")
        if not typed.strip() and optional:
            return ""
        try:
            return keys.clean(typed, "The key")
        except KeyMissing as error:
            user.say(error.message)


def _unseen(question: str) -> str:
    """What is typed, without showing it: not even what comes right after the question.

    Typer's own prompt asks first and hides then.
    """
    try:
        return getpass.getpass(question)
    except EOFError:
        raise typer.Abort from None


def _model(user: Session, models: tuple[str, ...]) -> str:
    """The first model, or "" for none."""
    if not models:
        return ""
    user.say("")
    for number, name in enumerate(models[:_MODELS], 1):
        user.say(f"{number:>3}  {name}")
    more = f" of {len(models)}" if len(models) > _MODELS else ""
    while True:
        question = f"First model (number or name{more}; Enter for none)"
        text = typer.prompt(question, default="", show_default=False, err=True).strip()
        if not text or text in models:
            return str(text)
        if text.isdecimal() and 1 <= int(text) <= min(_MODELS, len(models)):
            return models[int(text) - 1]
        user.say(f"It has no model {text}.")


def _write(user: Session, provider: Provider, key: str, model: str) -> None:
    """All of it or nothing: what was written first is taken back when the rest fails."""
    in_file = False
    if key:
        try:
            user.keys().set(provider.name, key)
        except KeyringUnusable as error:
            user.say(error.message)
            question = "Keep the key in a plain file that only you can read?"
            if not typer.confirm(question, default=False, err=True):
                raise typer.Abort from None
            keyfile.write(user.config_path, provider.name, key)
            in_file = True
    try:
        editing.edit(user.config_path, _change(user, provider, model, in_file=in_file))
    except (BridgeError, KeyboardInterrupt):
        _take_back(user, provider, key, in_file=in_file)
        raise


def _change(user: Session, provider: Provider, model: str, *, in_file: bool) -> editing.Change:
    known = PRESETS.get(provider.name)
    table: dict[str, Any] = {}
    if known is not None and known.blanks:
        table["preset"] = known.name
    if known is None or known.url != provider.url:
        table["base_url"] = provider.url
    if in_file:
        table["key"] = keyfile.rule(provider.name)
    elif provider.key == "none":
        table["key"] = "none"
    target = f"{provider.name}/{model}" if model else ""
    return editing.with_provider(user.config_path, provider.name, table, target)


def _take_back(user: Session, provider: Provider, key: str, *, in_file: bool) -> None:
    if in_file:
        keyfile.remove(user.config_path, provider.name)
    elif key:
        user.keys().remove(provider.name)
    render.message("Nothing was kept.")
