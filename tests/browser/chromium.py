"""A real Chromium with an empty profile, driven over its DevTools protocol."""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE = 30.0
"""Seconds for one answer; a busy machine is slow."""

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-popup-blocking",
    # some versions ask before a page reaches this machine; what is tried here is our own defence
    "--disable-features=LocalNetworkAccessChecks",
    "--remote-debugging-port=0",
)


def found() -> str | None:
    """The program, if this machine has one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextlib.contextmanager
def browser(profile: Path, *names: str) -> Iterator["Browser"]:
    """A running browser for which each of `names` is 127.0.0.1 and all others are nowhere."""
    program = found()
    assert program
    rules = [*(f"MAP {name} 127.0.0.1" for name in names), "MAP * ~NOTFOUND"]
    rules += ["EXCLUDE localhost", "EXCLUDE 127.0.0.1"]
    process = subprocess.Popen(
        [
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            f"--host-resolver-rules={','.join(rules)}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # all of its processes end together
    )
    try:
        with connect(_address(profile, process), max_size=None) as channel:
            yield Browser(channel)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _address(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    note = profile / "DevToolsActivePort"
    end = time.monotonic() + PATIENCE
    while not (note.exists() and note.read_text().count("\n")):
        assert process.poll() is None, "the browser ended at once"
        assert time.monotonic() < end, "the browser did not start"
        time.sleep(0.05)
    port, path = note.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"


class Browser:
    """Opens pages."""

    def __init__(self, channel: ClientConnection) -> None:
        self._channel = channel
        self._number = 0

    @contextlib.contextmanager
    def page(self, url: str, html: str | None = None) -> Iterator["Page"]:
        """The page at that address; with `html` it has that text, and nobody is asked for it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        try:
            page.go(url, html)
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)

    def call(self, method: str, session: str = "", given: str = "", **params: Any) -> Any:
        """One order and its answer; a document that is asked for meanwhile is `given`."""
        number = self._send(method, session, params)
        end = time.monotonic() + PATIENCE
        while True:
            said = json.loads(self._channel.recv(timeout=max(0.1, end - time.monotonic())))
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]
            if said.get("method") == "Fetch.requestPaused":
                self._give(said["params"]["requestId"], session, given)

    def _give(self, request: str, session: str, html: str) -> None:
        answer = {
            "requestId": request,
            "responseCode": 200,
            "responseHeaders": [{"name": "content-type", "value": "text/html; charset=utf-8"}],
            "body": base64.b64encode(html.encode()).decode(),
        }
        self._send("Fetch.fulfillRequest", session, answer)

    def _send(self, method: str, session: str, params: dict[str, Any]) -> int:
        self._number += 1
        order = {"id": self._number, "method": method, "params": params}
        self._channel.send(json.dumps(order | ({"sessionId": session} if session else {})))
        return self._number


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def go(self, url: str, html: str | None = None) -> None:
        """Load an address, and wait until it is there."""
        if html is not None:
            only = [{"urlPattern": url, "resourceType": "Document"}]
            self._browser.call("Fetch.enable", self._session, patterns=only)
        self._browser.call("Page.navigate", self._session, html or "", url=url)
        self._until("document.readyState === 'complete' && location.href !== 'about:blank'")
        if html is not None:
            self._browser.call("Fetch.disable", self._session)

    def run(self, script: str) -> Any:
        """The value that a script returns; it may wait."""
        answer = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=f"(async () => {{{script}}})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def frames(self) -> list[str]:
        """What stands in the frames of other origins within the page."""
        call = self._browser.call
        found = [one for one in call("Target.getTargets")["targetInfos"] if one["type"] == "iframe"]
        texts = []
        for one in found:
            attached = call("Target.attachToTarget", targetId=one["targetId"], flatten=True)
            frame = Page(self._browser, attached["sessionId"])
            texts.append(frame.run("return document.documentElement.outerHTML"))
        return texts

    def _until(self, condition: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.run(f"return {condition}"):
            assert time.monotonic() < end, condition
            time.sleep(0.02)
