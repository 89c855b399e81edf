"""start, stop, restart, reload, status, logs, serve: the daemon's life."""

import json
import time
from typing import Annotated, Any

import typer

from ollama_bridge import __version__, instance, log, process, version
from ollama_bridge.client import Client
from ollama_bridge.errors import BridgeError, NotRunning
from ollama_bridge.providers.presets import DEMO, PRESETS

from . import guide, render, session, spending
from .arguments import AsJson
from .session import Session

_LISTS_SECONDS = 5.0
"""How long `start` waits to tell what models there are."""

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the daemon.")]


def start(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here; like serve.")
    ] = False,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Start the daemon and return when it answers."""
    user = session.of(context)
    if foreground:
        _serve(user, host, port)
    try:
        running, fresh = user.client(), False
    except NotRunning:
        if not as_json:
            guide.offer(user)
        how = process.Start(user.config_flag, host, port, user.verbose)
        running, fresh = process.ensure(how, timeout)
    _tell_started(user, running, fresh=fresh, as_json=as_json)


def stop(
    context: typer.Context, timeout: Timeout = process.STOP_SECONDS, as_json: AsJson = False
) -> None:
    """Stop the daemon; it first finishes what it is answering."""
    user = session.of(context)
    was_running = process.stop(user.state, timeout, waiting=lambda n: user.say(waits(n)))
    if as_json:
        render.document({"running": False, "was_running": was_running})
    else:
        user.say("Stopped." if was_running else "Ollama Bridge was not running.")


def restart(context: typer.Context, timeout: Timeout = 30.0, as_json: AsJson = False) -> None:
    """Stop the daemon and start it again the way it was started."""
    user = session.of(context)
    running = process.restart(
        user.state,
        timeout,
        settings=user.config_flag,
        verbose=user.verbose,
        waiting=lambda n: user.say(waits(n)),
    )
    _tell_started(user, running, fresh=True, as_json=as_json)


def waits(answers: int) -> str:
    """What a stop says before it is done."""
    return f"Waiting for {render.count(answers, 'answer')} to be complete ..."


def reload(context: typer.Context) -> None:
    """Have the daemon read its settings and keys anew."""
    user = session.of(context)
    running = user.client()
    running.reload()
    user.say(f"Settings read anew from {running.daemon.config}")


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what the daemon does, with which providers."""
    user = session.of(context)
    try:
        running = user.client()
    except NotRunning:
        if as_json:
            render.document({"running": False})
        raise
    facts = _status(running)
    if as_json:
        render.document(facts)
        return
    render.facts(
        {
            "address": facts["address"],
            "version": facts["version"],
            "process": facts["pid"],
            "workers": [worker["pid"] for worker in facts["workers"]],
            "started": facts["started_at"],
            "settings": facts["config"],
            "problem": facts["settings_error"],
            "models": facts["models"],
            "requests": f"{facts['requests']} done, {facts['active']} running, "
            f"{facts['errors']} failed",
        }
    )
    render.result("")
    _providers(user, facts)
    for hint in _other_version(facts):
        user.say(hint)


def logs(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    number: Annotated[int, typer.Option("-n", min=0, help="How many old lines to show.")] = 50,
    only_path: Annotated[bool, typer.Option("--path", help="Show where the log is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the daemon's log."""
    path = session.of(context).state / log.NAME
    if only_path:
        render.document({"path": str(path)}) if as_json else render.result(str(path))
        return
    if not path.is_file():
        raise BridgeError(f"there is no log at {path} yet; start with `ollama-bridge start`")
    old, place = log.last(path, number)
    if as_json and not follow:
        render.document({"path": str(path), "lines": old})
        return
    for line in old:
        _print_line(line, as_json=as_json)
    if follow:
        for line in log.follow(path, place):
            _print_line(line, as_json=as_json)


def serve(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
    finish: Annotated[
        float | None,
        typer.Option(min=0, max=3600, help="Seconds answers have to be complete at the end."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, max=instance.MOST_WORKERS, help="Processes that share the port, as one daemon."
        ),
    ] = 1,
) -> None:
    """Run the daemon in the foreground, for service managers and containers."""
    if log_format not in log.FORMATS:
        raise typer.BadParameter("choose text or json", param_hint="--log-format")
    _serve(session.of(context), host, port, log_format, finish, workers)


def _serve(
    user: Session,
    host: str | None,
    port: int | None,
    log_format: str = "text",
    finish: float | None = None,
    workers: int = 1,
) -> None:
    from ollama_bridge import daemon  # no other command needs it

    options = daemon.Options(
        config_path=user.config_flag,
        host=host,
        port=port,
        log_format=log_format,
        verbose=user.verbose,
        finish=daemon.FINISH_SECONDS if finish is None else finish,
        workers=workers,
    )
    raise typer.Exit(daemon.serve(options))


def _print_line(line: str, *, as_json: bool) -> None:
    text = json.dumps({"schema": 1, "line": line}, ensure_ascii=False) if as_json else line
    render.result(text)  # at once, also into a pipe: nothing is held back


def _status(running: Client) -> dict[str, Any]:
    return {"running": True, "address": running.daemon.address} | running.status()


def _tell_started(user: Session, running: Client, *, fresh: bool, as_json: bool) -> None:
    facts = _when_listed(running)
    if as_json:
        render.document(facts | {"started": fresh})
        return
    verb = "answers" if fresh else "answers already"
    render.result(f"Ollama Bridge {verb} at {facts['address']}")
    _providers(user, facts)
    for hint in [*_other_version(facts), *_next_steps(facts, _example(running))]:
        user.say(hint)


def _other_version(facts: dict[str, Any]) -> list[str]:
    """What to do when the daemon was started by another version of this program."""
    daemon = str(facts["version"])
    if daemon == __version__:
        return []
    age = "older" if version.is_older(daemon, __version__) else "newer"
    said = f"The running daemon is {daemon}, {age} than this command ({__version__}); "
    return [said + "`ollama-bridge restart` starts this version."]


def _when_listed(running: Client) -> dict[str, Any]:
    """The status once every provider has told its models or failed to, or after a while."""
    deadline = time.monotonic() + _LISTS_SECONDS
    while True:
        facts = _status(running)
        waiting = [row for row in facts["providers"] if row["models"] is None and not row["error"]]
        if not waiting or time.monotonic() > deadline:
            return facts
        time.sleep(0.05)


def _providers(user: Session, facts: dict[str, Any]) -> None:
    rows = [
        [
            row["name"],
            _models(row),
            _load(row),
            spending.today(row),
            row["key_source"],
            row["url"],
            _problem(row),
        ]
        for row in facts["providers"]
    ]
    user.table(["provider", "models", "requests", "today", "key", "address", "problem"], rows)
    for hint in spending.hints(facts["providers"]):
        user.say(hint)


def _load(row: dict[str, Any]) -> str:
    waiting = f", {row['waiting']} waiting" if row["waiting"] else ""
    return f"{row['running']} of {row['limit']}{waiting}"


def _problem(row: dict[str, Any]) -> str:
    if said := spending.reached(row):
        return said
    if row["state"] == "ok":
        return str(row["error"] or "")
    then = f"asked again in {row['resting']:.0f} s" if row["resting"] else "being asked again"
    return f"did not answer {row['failures']} times in a row; {then}"


def _models(row: dict[str, Any]) -> str:
    return "?" if row["models"] is None else str(row["models"])


def _example(running: Client) -> str:
    """The first model that can chat, to be tried at once; "" while none is known."""
    try:
        models = running.tags()["models"]
    except BridgeError:  # what was to be told stands without it
        return ""
    able = [row["name"] for row in models if "completion" in row.get("capabilities", ())]
    return str(able[0]).removesuffix(":latest") if able else ""


def _next_steps(facts: dict[str, Any], example: str) -> list[str]:
    steps = []
    if facts["settings_error"]:
        steps.append(f"The settings file has a problem: {facts['settings_error']}")
    if [row["name"] for row in facts["providers"]] == [DEMO]:
        steps.append(
            "No API key was found, so the built-in demo answers. Store one with "
            f"`ollama-bridge keys set {next(iter(PRESETS))}`, "
            "or see `ollama-bridge providers add -h`."
        )
    if example:
        steps.append(f"Talk to a model: `ollama-bridge run {example}`.")
    steps.append("All models: `ollama-bridge models list`. Any Ollama client can use this address.")
    return steps
