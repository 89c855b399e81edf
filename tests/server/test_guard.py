"""Origin, Host and token: every row of the reference's access tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.origins import check
from ollama_bridge.server.guard import Guard

HOST = b"127.0.0.1:11434"
KEY = "s3cret"
LOCAL = ("203.0.113.7", "2001:db8::7", "fe80::1%eth0")


def make(*origins, host="127.0.0.1", host_name="Box", addresses=lambda: LOCAL):
    return Guard(origins, host, host_name, addresses)


def request(host=HOST, origin=None, authorization=None):
    """Headers as an ASGI server hands them over."""
    fields = ((b"host", host), (b"origin", origin), (b"authorization", authorization))
    return [(b"accept", b"*/*"), *((name, value) for name, value in fields if value is not None)]


def values(verdict, name):
    return [value for key, value in verdict.headers if key == name]


NAMES = [
    b"localhost",
    b"localhost:11434",
    b"LocalHost:1",
    b"localhost:",
    b"box",
    b"BOX:11434",
    b"app.localhost",
    b"printer.local:80",
    b"host.docker.internal:11434",
    b"Host.Docker.Internal",
    b"",
]
NEAR = [
    b"127.0.0.1",
    b"127.0.0.1:11434",
    b"127.9.9.9:80",
    b"[::1]:11434",
    b"[::1]",
    b"::1",
    b"0.0.0.0:11434",
    b"[::]:11434",
    b"10.1.2.3",
    b"172.16.0.1",
    b"172.31.255.255:1",
    b"192.168.1.20:11434",
    b"[fd12::1]:80",
    b"[::ffff:127.0.0.1]:80",
    b"[::ffff:192.168.1.1]",
    b"203.0.113.7:11434",
    b"[2001:db8::7]:11434",
    b"[fe80::1]:11434",
]
FOREIGN = [
    b"evil.example",
    b"evil.example:11434",
    b"localhost.evil.example",
    b"notlocalhost",
    b"local",
    b"evil.local.example",
    b"8.8.8.8",
    b"[2001:db8::8]:80",
    b"172.32.0.1",
    b"172.15.0.1",
    b"169.254.1.1",
    b"127.0.0.1.evil.example",
    b"127.0.0.1:80:80",
    b"[::1]evil",
    b"[::1",
    b"127.1",
    b"0177.0.0.1",
    b"localhost.",
    b"\xff\xfe",
]


@pytest.mark.parametrize("host", [*NAMES, *NEAR])
def test_hosts_of_this_machine_go_on(host):
    guard = make()
    for _ in range(2):  # judged, then remembered
        verdict = guard.check("POST", "/api/chat", request(host))
        assert verdict.allowed
        assert verdict.headers == ()


@pytest.mark.parametrize("host", FOREIGN)
def test_other_hosts_are_refused_without_a_word_to_the_client(host):
    guard = make()
    for _ in range(2):
        verdict = guard.check("GET", "/", request(host))
        assert (verdict.status, verdict.headers) == (403, ())
        assert "localhost" in verdict.reason


def test_a_request_without_host_goes_on():
    assert make().check("GET", "/", [(b"accept", b"*/*")]).allowed


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "some-name"]
)
def test_host_is_judged_on_a_loopback_listener(host):
    assert make(host=host).check("GET", "/", request(b"evil.example")).status == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "", "192.168.1.20", "2001:db8::7"])
def test_host_is_not_judged_on_any_other_listener(host):
    guard = make(host=host)
    assert guard.check("GET", "/", request(b"evil.example")).allowed
    assert guard.check("OPTIONS", "/", request(b"localhost")).allowed


def test_interfaces_are_asked_again_as_they_come_and_go():
    now = []
    guard = make(addresses=lambda: now)
    assert guard.check("GET", "/", request(b"203.0.113.7")).status == 403
    now.append("203.0.113.7")
    assert guard.check("GET", "/", request(b"203.0.113.7")).allowed
    now.clear()
    assert guard.check("GET", "/", request(b"203.0.113.7")).status == 403


def test_interfaces_are_asked_for_unknown_addresses_only():
    asked = []
    guard = make(addresses=lambda: asked.append(1) or ())
    for host in (*NAMES, b"127.0.0.1", b"10.1.2.3", b"evil.example"):
        guard.check("GET", "/", request(host))
    assert asked == []
    guard.check("GET", "/", request(b"8.8.8.8"))
    assert asked == [1]


def test_only_so_many_hosts_are_remembered():
    guard = make()
    for number in range(3000):
        assert guard.check("GET", "/", request(b"evil-%d.example" % number)).status == 403
        assert guard.check("GET", "/", request()).allowed
    assert len(vars(guard)["_known"]) <= 256


@pytest.mark.parametrize("host", NAMES)
def test_options_without_origin_by_name_is_answered_204(host):
    verdict = make().check("OPTIONS", "/api/chat", request(host))
    assert (verdict.status, verdict.headers) == (204, ())


@pytest.mark.parametrize("host", NEAR)
def test_options_without_origin_by_address_goes_on(host):
    assert make().check("OPTIONS", "/api/chat", request(host)).allowed


@pytest.mark.parametrize("host", FOREIGN)
def test_options_without_origin_by_a_foreign_host_is_refused(host):
    assert make().check("OPTIONS", "/api/chat", request(host)).status == 403


BUILT_IN = [
    b"http://localhost",
    b"https://localhost",
    b"http://localhost:3000",
    b"https://localhost:3000",
    b"http://127.0.0.1",
    b"https://127.0.0.1:8443",
    b"http://0.0.0.0",
    b"http://0.0.0.0:5173",
    b"app://obsidian.md",
    b"app://",
    b"file://",
    b"tauri://localhost",
    b"vscode-webview://1f2e",
    b"vscode-file://vscode-app",
]
NOT_BUILT_IN = [
    b"https://evil.example",
    b"http://localhost.evil.example",
    b"http://localhosts",
    b"http://[::1]",
    b"http://[::1]:3000",
    b"null",
    b"chrome-extension://abcdef",
    b"moz-extension://abcdef",
    b"safari-web-extension://abcdef",
    b"HTTP://LOCALHOST",
    b"http://192.168.1.20:3000",
    b"http://evil.example?http://localhost",
    b"\xff",
]


@pytest.mark.parametrize("origin", BUILT_IN)
def test_built_in_origins(origin):
    verdict = make().check("POST", "/api/chat", request(origin=origin))
    assert verdict.allowed
    assert verdict.headers == ((b"vary", b"Origin"), (b"access-control-allow-origin", origin))


@pytest.mark.parametrize("origin", NOT_BUILT_IN)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS"])
def test_other_origins_are_refused_for_every_method(origin, method):
    verdict = make().check(method, "/api/tags", request(origin=origin))
    assert (verdict.status, verdict.headers) == (403, ())
    assert "OLLAMA_ORIGINS" in verdict.reason


@pytest.mark.parametrize("scheme", [b"http://", b"https://"])
@pytest.mark.parametrize("host", [b"[::1]:11434", b"192.168.1.20:11434", b"mybox.local"])
def test_a_page_of_our_own_host_is_no_foreign_page(scheme, host):
    verdict = make().check("GET", "/api/tags", request(host, scheme + host))
    assert verdict.allowed
    assert verdict.headers == ()


def test_a_rebound_name_passes_as_own_page_but_not_as_host():
    verdict = make().check("GET", "/", request(b"evil.example", b"http://evil.example"))
    assert verdict.status == 403
    verdict = make().check("OPTIONS", "/", request(b"evil.example", b"http://evil.example"))
    assert verdict.status == 403


def test_an_allowed_page_with_a_foreign_host_is_refused_with_its_headers():
    """The origin's gate comes first and has written its headers by then."""
    verdict = make().check("GET", "/", request(b"evil.example", b"http://localhost"))
    assert verdict.status == 403
    assert values(verdict, b"access-control-allow-origin") == [b"http://localhost"]


@pytest.mark.parametrize(
    ("site", "mode", "goal", "allowed"),
    [
        (b"cross-site", b"no-cors", b"image", False),
        (b"cross-site", b"no-cors", b"script", False),
        (b"cross-site", b"no-cors", b"empty", False),
        (b"cross-site", b"navigate", b"iframe", False),
        (b"cross-site", b"navigate", b"object", False),
        (b"cross-site", b"navigate", b"document", True),  # a link that somebody followed
        (b"cross-site", b"cors", b"empty", True),  # extensions; pages would have an Origin
        (b"same-site", b"no-cors", b"image", True),
        (b"same-origin", b"no-cors", b"image", True),
        (b"none", b"navigate", b"document", True),
        (None, b"cors", None, True),  # Node's fetch
    ],
)
def test_what_pages_elsewhere_embed(site, mode, goal, allowed):
    fields = ((b"sec-fetch-site", site), (b"sec-fetch-mode", mode), (b"sec-fetch-dest", goal))
    headers = request() + [(name, value) for name, value in fields if value]
    assert make().check("GET", "/v1/models/none", headers).allowed is allowed
    assert make("*").check("GET", "/v1/models/none", headers).allowed


def test_an_empty_origin_is_none():
    assert make().check("GET", "/", request(origin=b"")).headers == ()


ALLOWED_HEADERS = (
    b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
    b"X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    b"X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
    b"X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    b"X-Stainless-Runtime-Version,X-Stainless-Timeout"
)


@pytest.mark.parametrize("host", [HOST, b"evil.example"])
def test_preflight(host):
    verdict = make().check("OPTIONS", "/nowhere", request(host, b"http://localhost:3000"))
    assert verdict.status == 204
    assert verdict.headers == (
        (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
        (b"access-control-allow-headers", ALLOWED_HEADERS),
        (b"access-control-max-age", b"43200"),
        (b"vary", b"Origin"),
        (b"vary", b"Access-Control-Request-Method"),
        (b"vary", b"Access-Control-Request-Headers"),
        (b"access-control-allow-origin", b"http://localhost:3000"),
    )


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("https://my.example", b"https://my.example", True),
        ("https://my.example", b"https://my.example:8443", False),
        ("https://MY.example", b"https://my.example", True),  # exact ones are lower-cased
        ("https://MY.example:*", b"https://my.example:1", False),  # those with * are not
        ("chrome-extension://*", b"chrome-extension://abcdef", True),
        ("chrome-extension://abc", b"chrome-extension://abc", True),
        ("moz-extension://*", b"chrome-extension://abcdef", False),
        ("https://*.my.example", b"https://app.my.example", True),
        ("https://*.my.example", b"http://app.my.example", False),
        ("https://*.my.example", b"https://my.example", False),
        ("*.my.example", b"http://app.my.example", True),
        ("*.my.example", b"http://app.my.example.evil", False),
        (" https://my.example ", b"https://my.example", True),
    ],
)
def test_configured_origins(pattern, origin, allowed):
    verdict = make(pattern).check("GET", "/", request(origin=origin))
    assert verdict.allowed is allowed
    assert make(pattern).check("GET", "/", request(origin=b"http://localhost:1")).allowed


def test_star_allows_every_page_and_names_none():
    guard = make("*")
    normal = guard.check("GET", "/", request(origin=b"null"))
    assert normal.allowed
    assert normal.headers == ((b"access-control-allow-origin", b"*"),)
    preflight = guard.check("OPTIONS", "/", request(origin=b"https://evil.example"))
    assert preflight.status == 204
    assert values(preflight, b"access-control-allow-origin") == [b"*"]
    assert values(preflight, b"access-control-max-age") == [b"43200"]
    assert values(preflight, b"vary") == []


@pytest.mark.parametrize(
    "origins",
    [
        ["*"],
        ["http://a", "https://b:1", "app://*", "*.example"],
        ["chrome-extension://a", "safari-extension://a", "moz-extension://a"],
        ["ms-browser-extension://a"],
        [],
    ],
)
def test_usable_origins(origins):
    check(origins)


@pytest.mark.parametrize(
    "origin",
    ["my.example", "", " ", "ftp://a", "safari-web-extension://a", "app://a", "HTTP://a", "null"],
)
def test_origins_that_stop_ollama_for_want_of_a_scheme(origin):
    with pytest.raises(SettingsInvalid, match="has no \\*") as caught:
        check(["http://fine", origin])
    assert f'"{origin.strip()}"' in caught.value.message
    with pytest.raises(SettingsInvalid):
        make(origin)


@pytest.mark.parametrize("origin", ["http://*.a.*", "**"])
def test_origins_that_stop_ollama_for_too_many_stars(origin):
    with pytest.raises(SettingsInvalid, match="more than one \\*"):
        check([origin])


@pytest.mark.parametrize("host", [HOST, b"127.0.0.1", b"localhost:1", b"LOCALHOST", b"[::1]:11434"])
@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer "])
def test_admin_with_the_token(host, scheme):
    headers = request(host, None, scheme + KEY.encode())
    assert make().admin(headers, KEY).allowed
    assert make(host="0.0.0.0").admin(headers, KEY).allowed


def test_admin_from_our_own_page():
    own = request(HOST, b"http://" + HOST, b"Bearer " + KEY.encode())
    assert make().admin(own, KEY).allowed


@pytest.mark.parametrize(
    ("host", "origin", "authorization", "reason"),
    [
        (HOST, None, None, "token"),
        (HOST, None, b"", "token"),
        (HOST, None, b"Bearer", "token"),
        (HOST, None, b"Bearer ", "token"),
        (HOST, None, b"Bearer wrong", "token"),
        (HOST, None, b"Bearer s3cret2", "token"),
        (HOST, None, b"Basic s3cret", "token"),
        (HOST, None, b"s3cret", "token"),
        (HOST, None, b"Bearer s3cr\xe9t", "token"),
        (b"", None, b"Bearer s3cret", "Host"),
        (b"box", None, b"Bearer s3cret", "Host"),
        (b"0.0.0.0", None, b"Bearer s3cret", "Host"),
        (b"192.168.1.20", None, b"Bearer s3cret", "Host"),
        (b"app.localhost", None, b"Bearer s3cret", "Host"),
        (b"evil.example", None, b"Bearer s3cret", "Host"),
        (HOST, b"http://localhost:3000", b"Bearer s3cret", "Origin"),
        (HOST, b"null", b"Bearer s3cret", "Origin"),
        (HOST, b"vscode-webview://1f2e", b"Bearer s3cret", "Origin"),
    ],
)
@pytest.mark.parametrize("listener", ["127.0.0.1", "0.0.0.0"])
def test_admin_refusals(host, origin, authorization, reason, listener):
    verdict = make("*", host=listener).admin(request(host, origin, authorization), KEY)
    assert (verdict.status, verdict.headers) == (403, ())
    assert reason in verdict.reason
    assert KEY not in verdict.reason


def test_admin_without_a_token_of_our_own_lets_nobody_in():
    assert make().admin(request(HOST, None, b"Bearer "), "").status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_page_is_granted_our_own_routes_whatever_the_origins(method):
    headers = request(origin=b"http://localhost:3000")
    assert make("*").check(method, "/_bridge/status", headers).status == 403
    assert make("*").check(method, "/_bridge/status", request()).allowed


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(["GET", "OPTIONS"]))
def test_any_bytes_get_a_verdict(host, origin, method):
    guard = make()
    verdict = guard.check(method, "/", request(host, origin))
    assert verdict == guard.check(method, "/", request(host, origin))
    assert verdict.status in {0, 204, 403}
    assert guard.admin(request(host, origin, host), KEY).status == 403
