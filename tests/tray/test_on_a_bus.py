"""The tray as a process, seen and clicked by a panel on a private session bus."""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from daemons import Home
from tray.panels import Item, Panel, find

from ollama_bridge_tray import icon
from ollama_bridge_tray.status import Look, Phase, Status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is Linux's")


async def shows(panel: Panel, look: Look) -> bool:
    rgba = icon.drawn(look, 22).tobytes()
    argb = [bytes((rgba[at + 3], *rgba[at : at + 3])) for at in range(0, len(rgba), 4)]
    return await panel.pixels(22) == b"".join(argb)


async def test_a_stopped_bridge(panel: Panel, tray) -> None:
    await tray.start()
    assert await tray.said() == "The icon is in the panel."
    name = await panel.take()
    assert name.startswith("org.kde.StatusNotifierItem-")
    menu = await panel.until_shown("Ollama Bridge: stopped")
    assert [item["label"] or item["type"] for item in menu["below"]] == [
        "Ollama Bridge: stopped",
        "separator",
        *["Start", "Restart", "separator"],
        *["Models", "Providers", "No errors", "separator"],
        *["Copy server URL", "Open page", "View logs", "Edit settings", "Start at login"],
        "separator",
        *["Quit tray", "Quit and stop bridge"],
    ]
    assert [item["label"] for item in menu["below"] if item["label"] and item["enabled"]] == [
        *["Start", "View logs", "Edit settings", "Start at login"],
        *["Quit tray", "Quit and stop bridge"],
    ]
    assert find(menu, "Start at login")["toggle-state"] == 0
    assert await panel.see("Title") == "Ollama Bridge: stopped"
    assert await panel.see("Status") == "Active"
    assert await panel.see("Category") == "ApplicationStatus"
    assert (await panel.see("ToolTip"))[2] == "Ollama Bridge: stopped"
    assert await shows(panel, Look.STOPPED)
    sizes = [(wide, high) for wide, high, _ in await panel.see("IconPixmap")]
    assert (16, 16) in sizes
    assert (64, 64) in sizes


async def test_start_stop_and_quit(panel: Panel, tray, user: Home) -> None:
    user.write('[providers.demo]\n[aliases]\npoet_one = "demo/demo"\n')
    await tray.start()
    await panel.take()
    await panel.click("Start")
    menu = await panel.until_shown("Ollama Bridge: http://127.0.0.1:", "Stop")
    address = find(menu, "Ollama Bridge: ")["label"].removeprefix("Ollama Bridge: ")
    assert await panel.see("Title") == f"Ollama Bridge: {address}"
    assert tuple(await panel.see("ToolTip"))[2:] == (f"Ollama Bridge: {address}", "Idle")
    status = json.loads((await asyncio.to_thread(user.run, "status", "--json")).stdout)
    assert status["address"] == address
    menu = await panel.until(lambda menu: find(find(menu, "Providers"), "demo: 2") is not None)
    models = find(menu, "Models")
    assert find(models, "poet")["label"] == "poet__one", "one underscore marks a shortcut"
    provider = find(find(menu, "Providers"), "demo: 2 models")
    assert (provider["toggle-type"], provider["toggle-state"]) == ("radio", 1)
    assert await shows(panel, Look.RUNNING)

    await panel.click("Stop")
    await panel.until_shown("Ollama Bridge: stopped", "Start")
    assert not user.state.joinpath("daemon.json").exists()

    await panel.click("Quit tray")
    assert await tray.ended() == (0, "")


async def test_quit_and_stop(panel: Panel, tray, user: Home) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: http")
    await panel.click("Quit and stop bridge")
    assert await tray.ended() == (0, "")
    assert not user.state.joinpath("daemon.json").exists()


async def test_it_follows_whoever_starts_and_stops(panel: Panel, tray, user: Home) -> None:
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: stopped")
    await asyncio.to_thread(user.run, "start")
    await panel.until_shown("Ollama Bridge: http")
    await asyncio.to_thread(user.run, "stop")
    await panel.until_shown("Ollama Bridge: stopped")


def test_it_looks_often_enough_to_follow_within_two_seconds() -> None:
    from ollama_bridge_tray import follow, tray

    assert tray._PAUSE <= 1
    assert follow._PATIENCE < 2


def test_what_is_seen_while_a_button_is_at_work_is_no_news(tmp_path: Path) -> None:
    """A daemon that is just starting holds its lock and does not answer yet."""
    from ollama_bridge_tray import hosts
    from ollama_bridge_tray.tray import Tray

    hosts.import_pystray()  # without a display
    from pystray._base import Icon

    one = Tray(tmp_path, Icon, lambda: None)
    one._doing = Phase.STARTING

    def look() -> Status:
        one._doing = None  # the button is done while we still look
        return Status(Phase.SILENT, "it hangs")

    one._follower.look = look
    seen = one._look()
    assert (seen.phase, seen.problem) == (Phase.STARTING, "")
    assert one._look().phase is Phase.SILENT


async def test_a_crash_is_told_once_and_start_mends_it(panel: Panel, tray, user: Home) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: http")
    os.kill(user.note()["pid"], signal.SIGKILL)
    await panel.until_shown("Ollama Bridge: stopped", "It ended unexpectedly")
    assert await shows(panel, Look.ERROR)
    assert "ended unexpectedly" in await panel.noted()
    await panel.click("Start")
    await panel.until_shown("Ollama Bridge: http")
    assert await shows(panel, Look.RUNNING)
    assert panel.told() == []


async def test_restart_keeps_the_flags(panel: Panel, tray, user: Home) -> None:
    other = user.folder / "other.toml"
    other.write_text('[aliases]\nmine = "demo/demo"\n')
    user.run("--config", str(other), "start", "--host", "localhost")
    before = user.note()
    await tray.start()
    await panel.take()
    await panel.until_shown("Stop")
    await panel.click("Restart")
    await panel.until(lambda menu: find(menu, "Ollama Bridge: starting") is not None)
    await panel.until(lambda menu: find(find(menu, "Models"), "mine") is not None)
    after = user.note()
    assert after["id"] != before["id"]
    assert [after[key] for key in ("config", "host")] == [str(other), "localhost"]


async def test_failed_requests_are_told_once_each(panel: Panel, tray, user: Home) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: http", "No errors")  # the daemon has been seen
    for _ in range(2):
        await asyncio.to_thread(_ask_for, user, "nobody")
    await panel.until(
        lambda menu: len((find(menu, "Recent errors") or {"below": ()})["below"]) == 2
    )
    assert "nobody" in await panel.noted()
    await asyncio.to_thread(_ask_for, user, "nothing")
    assert "nothing" in await panel.noted(), "the same error again was no news"


def _ask_for(user: Home, model: str) -> None:
    note = user.note()
    url = f"http://127.0.0.1:{note['port']}/api/chat"
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, body.encode())
    error.value.close()


async def test_what_is_answered_now(panel: Panel, tray, user: Home) -> None:
    asked = asyncio.Event()

    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()).startswith(b"POST"):
            await asked.wait()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(think, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/v1"
        user.write(
            "[providers.demo]\n[providers.slow]\n"
            f'base_url = "{url}"\nkey = "none"\nmodels = ["snail"]\n'
        )
        await tray.start("--start")
        await panel.take()
        await panel.until_shown("Idle")
        asking = asyncio.ensure_future(asyncio.to_thread(_ask_for, user, "slow/snail"))
        await panel.until_shown("Answering: slow/snail")
        assert await shows(panel, Look.BUSY)
        asked.set()
        await asking
        await panel.until_shown("Idle", "Recent errors")


async def test_a_key_that_takes_its_time_is_no_silence(panel: Panel, tray, user: Home) -> None:
    gate = user.folder / "gate"
    os.mkfifo(gate)
    user.write(
        '[providers.demo]\n[providers.slow]\nbase_url = "http://127.0.0.1:9/v1"\n'
        f'key = "command:cat {gate}"\nmodels = ["snail"]\n'
    )
    await tray.start("--start")
    await panel.take()
    await panel.until_shown("Idle")
    status = json.loads((await asyncio.to_thread(user.run, "status", "--json")).stdout)
    assert [row["key_source"] for row in status["providers"]] == ["none", "not told yet"]
    await asyncio.to_thread(gate.write_text, "key\n")


async def test_the_default_provider_is_switched(panel: Panel, tray, user: Home) -> None:
    user.write('# mine\n[providers.demo]\n[providers.other]\npreset = "demo"\n')
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until(lambda menu: find(find(menu, "Providers"), "other") is not None)
    await panel.click("Providers", "other")
    await panel.until(lambda menu: find(find(menu, "Providers"), "other")["toggle-state"] == 1)
    assert "other is the default provider now" in await panel.noted()
    assert 'default_provider = "other"' in user.config.read_text()
    assert "# mine" in user.config.read_text()


async def test_the_default_model_is_switched(panel: Panel, tray, user: Home) -> None:
    user.write('[providers.demo]\n[providers.other]\npreset = "demo"\n')
    user.run("start")
    await tray.start()
    await panel.take()
    await _choose(panel, user, "other/demo", "other/demo")
    await _choose(panel, user, "demo-embed", "demo/demo-embed")


async def _choose(panel: Panel, user: Home, name: str, origin: str) -> None:
    await panel.until(lambda menu: find(find(menu, "Models"), name) is not None)
    await panel.click("Models", name)
    assert f'ask for "default" get {name} now' in await panel.noted()
    menu = await panel.until(lambda menu: _is_on(find(find(menu, "Models"), name)))
    assert [item["label"] for item in find(menu, "Models")["below"] if _is_on(item)] == [name]
    assert f'default = "{origin}"' in user.config.read_text()
    shown = await asyncio.to_thread(user.run, "models", "show", "default")
    assert origin in shown.stdout


def _is_on(item: Item) -> bool:
    return item.get("toggle-state") == 1


async def test_a_start_that_fails_says_why(panel: Panel, tray, user: Home) -> None:
    user.write("no toml")
    await tray.start()
    await panel.take()
    await panel.click("Start")
    assert "config.toml" in await panel.noted()
    menu = await panel.until_shown("Ollama Bridge: stopped", "Recent errors", "Start")
    assert await shows(panel, Look.ERROR)
    assert find(menu, "Start")["enabled"]


async def test_settings_broken_while_it_runs(panel: Panel, tray, user: Home) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Idle")
    user.write("no toml")
    user.run("reload")
    await panel.until_shown("The settings have an error")
    assert await shows(panel, Look.ERROR)
    assert "config.toml" in await panel.noted()


async def test_the_page_is_opened(panel: Panel, tray, user: Home) -> None:
    seen = user.folder / "opened"
    browser = user.folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(0o755)
    user.environ |= {"BROWSER": str(browser), "WAYLAND_DISPLAY": "wayland-0"}
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: http")
    await panel.click("Open page")
    async with asyncio.timeout(20):
        while not seen.exists():
            await asyncio.sleep(0.02)
    note = user.note()
    address = seen.read_text().strip()
    assert address.startswith(f"http://127.0.0.1:{note['port']}/_bridge/ui#token=")
    assert note["token"] not in address


async def test_without_a_browser_it_says_so(panel: Panel, tray, user: Home) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Ollama Bridge: http")
    await panel.click("Open page")
    assert "ollama-bridge ui" in await panel.noted()


async def test_start_at_login(panel: Panel, tray, user: Home) -> None:
    entry = user.folder / "config" / "autostart" / "ollama-bridge-tray.desktop"
    await tray.start()
    await panel.take()
    await panel.click("Start at login")
    await panel.until(lambda menu: find(menu, "Start at login")["toggle-state"] == 1)
    assert str(user.state) in entry.read_text()
    await panel.click("Start at login")
    await panel.until(lambda menu: find(menu, "Start at login")["toggle-state"] == 0)
    assert not entry.exists()


async def test_a_panel_that_starts_again_gets_the_icon_again(
    panel: Panel, tray, session_bus: str
) -> None:
    await tray.start()
    name = await panel.take()
    panel.end()
    again = await Panel.started(session_bus)
    assert await again.take() == name
    await again.until_shown("Ollama Bridge: stopped")
    again.end()


async def test_a_panel_may_come_later(tray, session_bus: str) -> None:
    await tray.start("--wait", "20")
    late = await Panel.started(session_bus)
    await late.take()
    late.end()


async def test_there_is_one_icon(panel: Panel, tray, user: Home) -> None:
    await tray.start()
    await tray.said()
    second = await asyncio.to_thread(user.run, "tray")
    assert (second.returncode, second.stdout, second.stderr) == (
        0,
        "The icon is there already.\n",
        "",
    )


async def test_the_command_returns_and_the_icon_stays(panel: Panel, user: Home) -> None:
    done = await asyncio.to_thread(user.run, "tray")
    assert (done.returncode, done.stdout, done.stderr) == (0, "The icon is in the panel.\n", "")
    await panel.take()
    await panel.click("Quit tray")


async def test_the_command_can_also_set_the_login(panel: Panel, user: Home) -> None:
    done = await asyncio.to_thread(user.run, "tray", "--install-autostart")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "The icon will be there after each login.",
        "The icon is in the panel.",
    ]
    await panel.take()
    menu = await panel.until_shown("Start at login")
    assert find(menu, "Start at login")["toggle-state"] == 1
    await panel.click("Quit tray")


async def test_the_bridge_can_start_with_the_icon(panel: Panel, tray) -> None:
    await tray.start("--start")
    await panel.take()
    await panel.until_shown("Ollama Bridge: http")


async def test_a_click_on_an_entry_that_is_gone_does_nothing(
    panel: Panel, tray, user: Home
) -> None:
    user.run("start")
    await tray.start()
    await panel.take()
    old = find(await panel.until_shown("Stop"), "Stop")["number"]
    user.run("stop")
    await panel.until_shown("Ollama Bridge: stopped", "Start")
    await panel.click_number(old)
    await panel.click("Quit tray")
    assert await tray.ended() == (0, "")
    assert not user.state.joinpath("daemon.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_takes_it_away(panel: Panel, tray, number: signal.Signals) -> None:
    await tray.start()
    await panel.take()
    tray.process.send_signal(number)
    assert await tray.ended() == (0, "")


async def test_no_panel_is_one_sentence(tray) -> None:
    await tray.start("--wait", "0")
    code, errors = await tray.ended()
    assert code == 1
    assert errors.startswith("error: this desktop shows no tray icons; ")
    assert len(errors.splitlines()) == 1


async def test_no_session_is_one_sentence(user: Home) -> None:
    done = await asyncio.to_thread(user.run, "tray", DBUS_SESSION_BUS_ADDRESS="")
    assert done.returncode == 1
    assert done.stderr.startswith("error: this desktop shows no tray icons; ")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(user: Home) -> None:
    missing = user.folder / "missing" / "PIL"
    missing.mkdir(parents=True)
    missing.joinpath("__init__.py").write_text("raise ImportError")
    paths = os.pathsep.join([str(missing.parent), user.environ["PYTHONPATH"]])
    done = user.run("tray", PYTHONPATH=paths)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the tray icon needs more packages; run `")
    assert "'ollama-bridge[tray]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def test_idle_it_costs_next_to_nothing(panel: Panel, tray, user: Home) -> None:
    import psutil

    user.run("start")
    await tray.start()
    await panel.take()
    await panel.until_shown("Idle")
    process = psutil.Process(tray.process.pid)
    before = sum(process.cpu_times()[:2])
    await asyncio.sleep(5)  # what is measured is time itself
    assert sum(process.cpu_times()[:2]) - before < 0.05 * 3, "1 %, and three for busy machines"
