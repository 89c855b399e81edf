"""Who may call: Ollama's rules for Origin and Host, and the token of our own routes.

Strategy: a page on the web can make a browser send requests to this machine. Origin says which page
does; Host says under which name it reached us, which unmasks a foreign name that was pointed here
(DNS rebinding). Both are judged before the route is looked up, Origin first, and a refusal has no
body. What a page only embeds (an image, a script, a frame) has no Origin; there the browser's own
word on who asks is taken (Fetch Metadata). A request without Origin and with a Host already met
costs three dictionary look-ups.
"""

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ollama_bridge.origins import Origins

Header = tuple[bytes, bytes]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

REQUEST_HEADERS = (
    b"Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
    b"X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    b"X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,X-Stainless-Package-Version,"
    b"X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,"
    b"X-Stainless-Runtime-Version,X-Stainless-Timeout"
)
"""What a page may send; Anthropic's own headers are not among them, as in Ollama."""

PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"access-control-allow-headers", REQUEST_HEADERS),
    (b"access-control-max-age", b"43200"),
)
VARY_NORMAL: tuple[Header, ...] = ((b"vary", b"Origin"),)
VARY_PREFLIGHT: tuple[Header, ...] = (
    *VARY_NORMAL,
    (b"vary", b"Access-Control-Request-Method"),
    (b"vary", b"Access-Control-Request-Headers"),
)

SUFFIXES = (".localhost", ".local", ".internal")
"""Names under these never come from the public name service, `host.docker.internal` for one."""

PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
"""Go's notion of a private address; Python's `is_private` has many more."""

REMEMBERED = 256
"""Host values whose verdict is kept."""

OURS = "/_bridge/"

EMBEDDED = "an image, a script or a frame of a page elsewhere on the web"
"""What asks without an Origin and gets nothing, for the log."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a request: it goes on, or is answered at once with an empty body."""

    status: int = 0
    """The status to answer with; 0 lets the request go on."""
    headers: tuple[Header, ...] = ()
    """For the answer, whoever gives it."""
    reason: str = ""
    """Why it was refused and what to do, for the log: Ollama sends no text."""

    @property
    def allowed(self) -> bool:
        """Whether the request goes on."""
        return not self.status


GO_ON = Verdict()
NOTHING_TO_SAY = Verdict(204)


class Guard:
    """Judges requests by their headers alone."""

    def __init__(
        self,
        origins: Sequence[str],
        host: str,
        host_name: str,
        addresses: Callable[[], Iterable[str]],
    ) -> None:
        """`host` is the address listened on, `addresses` tells those of all local interfaces."""
        self._origins = Origins(origins)
        self._local_only = _is_local_only(host)
        self._names = frozenset({"", "localhost", host_name.lower()})
        self._addresses = addresses
        self._known: dict[bytes, Verdict] = {}

    def check(self, method: str, path: str, headers: Iterable[Header]) -> Verdict:
        """Ollama's two gates for any route, known or not."""
        fields = dict(headers)
        host = fields.get(b"host", b"")
        if origin := fields.get(b"origin"):
            return self._from_page(method, path, origin, host)
        if fields.get(b"sec-fetch-site") == b"cross-site" and self._is_embedded(fields):
            return _refused(f"it is {EMBEDDED}")
        if method != "OPTIONS":
            return self._known.get(host) or self._host(host)
        if self._local_only and self._is_name(_name(host)):
            return NOTHING_TO_SAY  # Ollama answers so by name only; by address it is a 404 or 405
        return self._host(host)

    def admin(self, headers: Iterable[Header], *tokens: str) -> Verdict:
        """The gate of our own routes: `page`, and one of the tokens."""
        verdict = self.page(headers)
        given = dict(headers).get(b"authorization", b"")
        if verdict.allowed and not any(_has_token(given, token) for token in tokens):
            return _refused(f"{OURS} needs the token that the state file daemon.json holds")
        return verdict

    def page(self, headers: Iterable[Header]) -> Verdict:
        """The gate of our own page: this machine only, and no page but our own."""
        fields = dict(headers)
        host, origin = fields.get(b"host", b""), fields.get(b"origin", b"")
        name = _name(host)
        address = _address(name)
        if name != "localhost" and not (address and address.is_loopback):
            return _refused(f"Host {_show(host)} is not loopback: call {OURS} at 127.0.0.1")
        if origin and not _is_own(origin, host):
            return _refused(f"Origin {_show(origin)} may not call {OURS}")
        return GO_ON

    def _is_embedded(self, fields: dict[bytes, bytes]) -> bool:
        """Whether a page of another site asks for something that it could not read anyway.

        Ollama answers these. Their senders cannot tell the difference, but each could make the
        bridge ask a provider for its list. A link that somebody follows is a document, and goes on.
        """
        mode, goal = fields.get(b"sec-fetch-mode"), fields.get(b"sec-fetch-dest")
        embedded = mode == b"no-cors" or (mode == b"navigate" and goal != b"document")
        return embedded and not self._origins.all

    def _from_page(self, method: str, path: str, origin: bytes, host: bytes) -> Verdict:
        if _is_own(origin, host):
            return self._host(host)
        if path.startswith(OURS) or not self._origins.allow(origin):
            return _refused(
                f"Origin {_show(origin)} is not allowed: "
                "add it to server.origins in the settings or to OLLAMA_ORIGINS"
            )
        if method == "OPTIONS":
            return Verdict(204, self._preflight(origin))
        verdict = self._host(host)
        return Verdict(verdict.status, self._normal(origin), verdict.reason)

    def _normal(self, origin: bytes) -> tuple[Header, ...]:
        return self._named(origin, VARY_NORMAL)

    def _preflight(self, origin: bytes) -> tuple[Header, ...]:
        return PREFLIGHT + self._named(origin, VARY_PREFLIGHT)

    def _named(self, origin: bytes, vary: tuple[Header, ...]) -> tuple[Header, ...]:
        if self._origins.all:
            return ((b"access-control-allow-origin", b"*"),)
        return (*vary, (b"access-control-allow-origin", origin))

    def _host(self, host: bytes) -> Verdict:
        if verdict := self._known.get(host):
            return verdict
        name = _name(host)
        address = _address(name)
        if not self._local_only or self._is_name(name) or (address and _is_near(address)):
            return self._remember(host, GO_ON)
        if address:  # not remembered: the machine may join and leave networks
            own = address in (_address(local.partition("%")[0]) for local in self._addresses())
            return GO_ON if own else _bad_host(host)
        return self._remember(host, _bad_host(host))

    def _remember(self, host: bytes, verdict: Verdict) -> Verdict:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[host] = verdict
        return verdict

    def _is_name(self, name: str) -> bool:
        return name in self._names or name.endswith(SUFFIXES)


def _is_local_only(host: str) -> bool:
    """Whether only this machine can connect; Ollama assumes so of a name, and so do we."""
    address = _address(host.strip("[]"))
    return bool(host) and (address is None or address.is_loopback)


_HOST = re.compile(r"\[([^\[\]]*)\](?::[^:]*)?|([^:\[\]]*)(?::[^:]*)?")


def _name(host: bytes) -> str:
    """The Host header without port and brackets, in lower case."""
    text = host.decode("latin-1").lower()
    match = _HOST.fullmatch(text)
    return (match[1] or match[2] or "") if match else text


def _address(name: str) -> Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_near(address: Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    return any(address in network for network in PRIVATE)


def _is_own(origin: bytes, host: bytes) -> bool:
    """Whether the page was served under the very name that it calls now."""
    return origin in (b"http://" + host, b"https://" + host)


def _has_token(authorization: bytes, token: str) -> bool:
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        return False
    return hmac.compare_digest(given.strip(), token.encode())


def _bad_host(host: bytes) -> Verdict:
    return _refused(
        f"Host {_show(host)} does not name this machine: use localhost or an IP address"
    )


def _refused(reason: str) -> Verdict:
    return Verdict(403, reason=reason)


def _show(value: bytes) -> str:
    return repr(value[:100].decode("latin-1"))
