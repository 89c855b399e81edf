"""What a page on the web can try against the bridge, tried by a real browser.

Each attack runs twice: against the real daemon, where nothing may come of it and the log must say
who was turned away, and against the same application without its guard, where it must succeed. So an
attack that the browser itself stops, or that is badly made, is noticed.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from bridges import NoKeys
from daemons import Home, end, until_ready
from fake_upstream import Call, FakeUpstream
from servers import served

from browser.chromium import Browser, Page, browser, found
from ollama_bridge.config import Config
from ollama_bridge.providers.provider import Provider
from ollama_bridge.server import admin
from ollama_bridge.server.app import App, build
from ollama_bridge.server.guard import GO_ON, PREFLIGHT, Guard, Verdict

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(found() is None, reason="this machine has no Chromium"),
]

MARK = "secret"
"""Stands in whatever a page should not read."""
MODEL = f"{MARK}-model"
EVIL, FRIEND = "evil.example", "friend.example"
BOUND = 20.0

EVERYBODY = ((b"access-control-allow-origin", b"*"),)


class Upstream(FakeUpstream):
    """Counts whatever reaches it, lists of models too."""

    asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += scope["type"] == "http"
        await super().__call__(scope, receive, send)


async def answers(call: Call) -> None:
    message = {"role": "assistant", "content": f"a {MARK} answer"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.json({"choices": [choice], "text": MARK})


class NoGuard(Guard):
    """Lets everybody do everything."""

    def check(self, method: str, path: str, headers: Any) -> Verdict:
        if method == "OPTIONS":
            return Verdict(204, PREFLIGHT + EVERYBODY)
        return Verdict(headers=EVERYBODY)

    def admin(self, headers: Any, *tokens: str) -> Verdict:
        return GO_ON

    def page(self, headers: Any) -> Verdict:
        return GO_ON


class Open(App):
    """The application without its guard, also when the settings are read anew."""

    @property
    def _guard(self) -> Guard:
        return NoGuard((), "127.0.0.1", "box", lambda: ())

    @_guard.setter
    def _guard(self, guard: Guard) -> None:
        """Not taken."""


@dataclass
class Place:
    """A running bridge and what can be seen of it."""

    port: int
    upstream: Upstream
    settings: Path
    log: Path | None = None
    app: App | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def touched(self) -> tuple[int, str]:
        """What an attack would change: requests to the provider, and the settings."""
        return self.upstream.asked, self.settings.read_text()

    def refusals(self) -> list[str]:
        assert self.log
        return [line for line in self.log.read_text().splitlines() if " refused: " in line]


SETTINGS = """\
[server]
origins = ["http://friend.example:*"]
[providers.{mark}-lab]
base_url = "{url}/v1"
key = "none"
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A real daemon."""
    home = Home(tmp_path_factory.mktemp("home"))
    upstream = Upstream(answers, models=(MODEL,))
    with served(upstream) as url:
        home.write(SETTINGS.format(url=url, mark=MARK))
        child = home.daemon()
        try:
            until_ready(child)
            log = home.state / "ollama-bridge.log"
            place = Place(home.note()["port"], upstream, home.config, log)
            _until(lambda: MARK in httpx.get(f"{place.url}/api/tags", trust_env=False).text)
            yield place
        finally:
            end(child)


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The same application without its guard."""
    folder = tmp_path_factory.mktemp("unguarded")
    upstream = Upstream(answers, models=(MODEL,))
    with served(upstream) as url:
        name = f"{MARK}-lab"
        lab = Provider(name=name, url=f"{url}/v1", key="none")
        settings = folder / "config.toml"
        settings.touch()
        config = Config(path=settings, providers={name: lab}, default_provider=name)
        app = build(config, keys=NoKeys(), state=folder, token="token")
        app.__class__ = Open  # from here on `_guard` is that of the class
        with served(app) as address:
            place = Place(int(address.rpartition(":")[2]), upstream, settings, app=app)
            _until(lambda: MARK in httpx.get(f"{place.url}/api/tags", trust_env=False).text)
            yield place


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile"), EVIL, FRIEND) as one:
        yield one


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """The port of somebody's web server; it has the same blank page under every name."""

    async def blank(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        if scope["path"] == "/quiet":
            headers.append((b"referrer-policy", b"no-referrer"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BLANK.encode()})

    with served(blank) as address:
        yield int(address.rpartition(":")[2])


BLANK = "<!doctype html><title>a page</title><body>"

HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "stream": False}

TOOLS = """
const HERE = %(here)s, ASK = %(ask)s;
const read = (path, options) =>
    fetch(HERE + path, options).then(answer => answer.text()).catch(error => error.name);
const post = (path, body, more) => read(path, {method: "POST", body, ...more});
const JSON_TYPE = {"content-type": "application/json"};
const put = (kind, address) => new Promise(done => {
    const element = document.createElement(kind);
    element.onload = element.onerror = event => done(event.type);
    element.src = address;
    document.body.append(element);
});
const form = path => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "sink" + Math.random();
    document.body.append(frame);
    const one = document.createElement("form");
    Object.assign(one, {method: "post", enctype: "text/plain", action: HERE + path});
    one.target = frame.name;
    const field = document.createElement("input");
    field.name = ASK.slice(0, -1) + ',"more":"';
    field.value = '"}';
    one.append(field);
    document.body.append(one);
    setTimeout(() => { frame.onload = () => done("sent"); one.submit(); }, 100);
});
"""

SANDBOX = """
return await new Promise(done => {
    window.onmessage = event => done(event.data);
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    const work = fetch => fetch(HERE + "/api/chat", {method: "POST", body: ASK})
        .then(answer => answer.text()).catch(error => error.name)
        .then(said => parent.postMessage(said, "*"));
    frame.srcdoc = `<script>const HERE = ${JSON.stringify(HERE)}, ASK = ${JSON.stringify(ASK)};` +
        `(${work})(fetch)</` + "script>";
    document.body.append(frame);
});
"""

VOICE = f"""
const voice = new FormData();
voice.append("model", {MODEL!r});
voice.append("file", new Blob(["sound"]), "voice.wav");
return await post("/v1/audio/transcriptions", voice, {{mode: "no-cors"}});
"""

NAMED = f'{{"model": "mine", "from": "{MODEL}"}}'

ATTACKS = {
    # a name of the attacker's that now points here: to the browser it is the page's own server
    "rebinding: read": ("rebound", 'return await read("/api/tags")'),
    "rebinding: spend": ("rebound", 'return await post("/api/chat", ASK, {headers: JSON_TYPE})'),
    "rebinding: spend by v1": (
        "rebound",
        'return await post("/v1/chat/completions", ASK, {headers: JSON_TYPE})',
    ),
    "rebinding: change": ("rebound", f"return await post('/api/create', '{NAMED}')"),
    "rebinding: our routes": ("rebound", 'return await read("/_bridge/status")'),
    # a page of another origin
    "foreign: read": ("foreign", 'return await read("/api/tags")'),
    "foreign: use our routes": (
        "foreign",
        'return await post("/_bridge/reload", "", {mode: "no-cors"})',
    ),
    "foreign: JSON after a preflight": (
        "foreign",
        'return await post("/api/chat", ASK, {headers: JSON_TYPE})',
    ),
    "foreign: delete after a preflight": (
        "foreign",
        f'return await read("/api/delete", {{method: "DELETE", body: \'{{"model":"{MODEL}"}}\'}})',
    ),
    "foreign: events": (
        "foreign",
        (
            "return await new Promise(done => {"
            'new EventSource(HERE + "/v1/models/none-such").onerror = () => done("over")})'
        ),
    ),
    "foreign: WebSocket": (
        "foreign",
        (
            "return await new Promise(done => {"
            'new WebSocket(HERE.replace("http", "ws") + "/v1/models/none-such")'
            '.onclose = () => done("over")})'
        ),
    ),
    # requests that no browser asks leave for
    "simple: plain text": ("foreign", 'return await post("/api/chat", ASK)'),
    "simple: no-cors": ("foreign", 'return await post("/api/chat", ASK, {mode: "no-cors"})'),
    "simple: beacon": ("foreign", 'navigator.sendBeacon(HERE + "/api/chat", ASK)'),
    "simple: form": ("foreign", 'return await form("/api/chat")'),
    "simple: form by generate": ("foreign", 'return await form("/api/generate")'),
    "simple: form of a quiet page": ("quiet", 'return await form("/api/chat")'),
    "simple: file upload": ("foreign", VOICE),
    "simple: new model": (
        "foreign",
        f"return await post('/api/create', '{NAMED}', {{mode: 'no-cors'}})",
    ),
    # pages whose origin is null
    "null: sandbox": ("foreign", SANDBOX),
    "null: file": ("file", 'return await post("/api/chat", ASK)'),
    # requests that carry no origin at all; the name is unknown, so its provider would be asked
    "no origin: image": ("foreign", 'return await put("img", HERE + "/v1/models/none-such")'),
    "no origin: script": ("foreign", 'return await put("script", HERE + "/v1/models/none-such")'),
    "no origin: frame": ("foreign", 'return await put("iframe", HERE + "/v1/models/none-such")'),
    "no origin: no-cors": (
        "foreign",
        'return await read("/v1/models/none-such", {mode: "no-cors"})',
    ),
}


def attack(chromium: Browser, place: Place, site: int, name: str, folder: Path) -> str:
    """Carry one out; what the page could read, if anything."""
    kind, script = ATTACKS[name]
    where, html = f"http://{EVIL}:{site}/{kind}", None
    here = place.url
    if kind == "rebound":  # the page is there already, then its name is pointed here
        where, html = f"http://{EVIL}:{place.port}/", BLANK
        here = f"http://{EVIL}:{place.port}"
    elif kind == "file":
        file = folder / "page.html"
        file.write_text(BLANK)
        where = file.as_uri()
    tools = TOOLS % {"here": json.dumps(here), "ask": json.dumps(json.dumps(_asked(name)))}
    with chromium.page(where, html) as page:
        return str(page.run(tools + script))


def _asked(name: str) -> dict[str, Any]:
    return {**HELLO, "prompt": "hello"} if "generate" in name else HELLO


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_comes_of_it(
    chromium: Browser, guarded: Place, site: int, name: str, tmp_path: Path
) -> None:
    before, told = guarded.touched(), len(guarded.refusals())
    said = attack(chromium, guarded, site, name, tmp_path)
    _until(lambda: len(guarded.refusals()) > told)
    assert MARK not in said
    assert guarded.touched() == before


@pytest.mark.parametrize("name", ATTACKS)
def test_it_would_succeed_without_the_guard(
    chromium: Browser, unguarded: Place, site: int, name: str, tmp_path: Path
) -> None:
    assert unguarded.app
    unguarded.app.bridge._fetched.clear()  # lists are asked for again after some seconds only
    before = unguarded.touched()
    said = attack(chromium, unguarded, site, name, tmp_path)
    _until(lambda: MARK in said or unguarded.touched() != before)


OURS = 'id="filter"'
"""Stands in our page."""


def framed(chromium: Browser, place: Place, site: int) -> str:
    """What a frame with our page shows within another."""
    tools = TOOLS % {"here": json.dumps(place.url), "ask": "''"}
    with chromium.page(f"http://localhost:{site}/") as page:
        page.run(tools + 'return await put("iframe", HERE + "/_bridge/ui")')
        _until(lambda: len(page.frames()) == 1)
        return page.frames()[0]


def test_our_page_is_not_shown_in_a_frame(chromium: Browser, guarded: Place, site: int) -> None:
    assert OURS not in framed(chromium, guarded, site)


def test_our_page_itself_refuses_to_be_in_a_frame(
    chromium: Browser, unguarded: Place, site: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second defence, for browsers that do not tell who asks; and what it is worth."""
    assert OURS not in framed(chromium, unguarded, site)
    monkeypatch.delitem(admin._PAGE_HEADERS, "content-security-policy")
    assert OURS in framed(chromium, unguarded, site)


# what must go on working

ALLOWED = {
    "this machine's name": "http://localhost:{site}/",
    "this machine's address": "http://127.0.0.1:{site}/",
    "an origin of the settings": "http://friend.example:{site}/",
    "the bridge's own address": "http://127.0.0.1:{port}/",
}


@pytest.mark.parametrize("where", ALLOWED.values(), ids=ALLOWED)
def test_allowed_pages_are_answered(
    chromium: Browser, guarded: Place, site: int, where: str
) -> None:
    tools = TOOLS % {"here": json.dumps(guarded.url), "ask": json.dumps(json.dumps(HELLO))}
    asked = guarded.upstream.asked
    with chromium.page(where.format(site=site, port=guarded.port)) as page:
        assert MODEL in page.run(tools + 'return await read("/api/tags")')
        chat = 'return await post("/api/chat", ASK, {headers: JSON_TYPE})'
        assert f"a {MARK} answer" in page.run(tools + chat)
    assert guarded.upstream.asked > asked


def test_our_own_page_works(chromium: Browser, guarded: Place, tmp_path: Path) -> None:
    assert guarded.log
    note = json.loads((guarded.log.parent / "daemon.json").read_text())
    with chromium.page(f"{guarded.url}/_bridge/ui#token={note['token']}") as page:
        _until(lambda: f"{MARK}-lab" in page.run("return document.body.innerText"))


def test_a_link_may_be_followed(chromium: Browser, guarded: Place, site: int) -> None:
    """People look at http://127.0.0.1:11434/ to see whether it runs, also by a link."""
    with chromium.page(f"http://{EVIL}:{site}/") as page:
        page.run(f"setTimeout(() => {{ location.href = {json.dumps(guarded.url)} }}, 0)")
        _until(lambda: "Ollama is running" in _shown(page))


def _shown(page: Page) -> str:
    try:
        return str(page.run("return document.body.innerText"))
    except AssertionError as error:
        if "navigated" not in str(error):
            raise
        return ""  # the page is being left


def _until(true: Any) -> None:
    limit = time.monotonic() + BOUND
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.02)
