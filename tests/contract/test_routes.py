"""Every route of Ollama's table answers as the table says; everything else is 404 or 405.

The table is the reference's (ollama-api, section 1.1), with a request that succeeds for each row;
where the bridge may choose (section 7), the row has what it chose.
"""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from contract.conftest import Lab
from contract.strict_upstream import HEARD
from contract.talk import Ask

from ollama_bridge.server.app import ROUTES

TEXT, JSON, NDJSON, SSE = (
    "text/plain",
    "application/json",
    "application/x-ndjson",
    "text/event-stream",
)
HI = {"model": "coder", "messages": [{"role": "user", "content": "hi"}]}
PROMPT = {"model": "coder", "prompt": "hi"}
VECTORS = {"model": "embedder", "input": "hi"}
MADE = {"model": "made", "from": "coder"}
FILE = b"a file"
BLOB = f"/api/blobs/sha256:{hashlib.sha256(FILE).hexdigest()}"
NO_BLOB = f"/api/blobs/sha256:{'0' * 64}"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ncoder\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n'
)
WHOLE, STREAMED = {"stream": False}, {"stream": True}


class Row(NamedTuple):
    """A request, and the status, content type and beginning of its answer."""

    method: str
    path: str
    body: Any
    status: int
    kind: str
    starts: str = ""


ROWS = [
    Row("GET", "/", None, 200, TEXT, "Ollama is running"),
    Row("HEAD", "/", None, 200, TEXT),
    Row("GET", "/api/version", None, 200, JSON, '{"version":"'),
    Row("HEAD", "/api/version", None, 200, JSON),
    Row("GET", "/api/tags", None, 200, JSON, '{"models":[{"name":"'),
    Row("HEAD", "/api/tags", None, 200, JSON),
    Row("GET", "/api/ps", None, 200, JSON, '{"models":['),
    Row("GET", "/api/status", None, 200, JSON, '{"cloud":{"disabled":true,"source":"config"}}'),
    Row("POST", "/api/show", {"model": "coder"}, 200, JSON, '{"license":"'),
    Row("POST", "/api/generate", PROMPT, 200, NDJSON, '{"model":"coder","created_at":"'),
    Row("POST", "/api/generate", PROMPT | WHOLE, 200, JSON, '{"model":"coder","created_at":"'),
    Row("POST", "/api/chat", HI, 200, NDJSON, '{"model":"coder","created_at":"'),
    Row("POST", "/api/chat", HI | WHOLE, 200, JSON, '{"model":"coder","created_at":"'),
    Row("POST", "/api/embed", VECTORS, 200, JSON, '{"model":"embedder","embeddings":[['),
    Row("POST", "/api/embeddings", PROMPT | {"model": "embedder"}, 200, JSON, '{"embedding":['),
    Row("POST", "/api/pull", {"model": "coder"}, 200, NDJSON, '{"status":"pulling manifest"}\n'),
    Row("POST", "/api/pull", {"model": "coder"} | WHOLE, 200, JSON, '{"status":"success"}'),
    Row("POST", "/api/push", {"model": "coder"}, 200, NDJSON, '{"status":"retrieving manifest"}\n'),
    Row("POST", "/api/push", {"model": "coder"} | WHOLE, 400, JSON, '{"error":"'),
    Row("POST", "/api/create", MADE, 200, NDJSON, '{"status":"using existing layer sha256:'),
    Row("POST", "/api/create", MADE | WHOLE, 200, JSON, '{"status":"success"}'),
    Row("POST", "/api/copy", {"source": "coder", "destination": "twin"}, 200, TEXT),
    Row("DELETE", "/api/delete", {"model": "twin"}, 200, TEXT),
    Row("HEAD", NO_BLOB, None, 404, JSON),
    Row("POST", BLOB, FILE, 201, TEXT),
    Row("POST", BLOB, FILE, 200, TEXT),
    Row("HEAD", BLOB, None, 200, TEXT),
    Row("POST", "/api/me", None, 503, JSON, '{"error":"account unavailable"}'),
    Row("POST", "/api/signout", None, 401, JSON, '{"error":"you are not currently signed in"}'),
    Row("DELETE", "/api/user/keys/a2V5", None, 401, JSON, '{"error":"you are not currently'),
    Row(
        "POST",
        "/api/experimental/web_search",
        {"query": "x"},
        403,
        JSON,
        '{"error":"ollama cloud is',
    ),
    Row(
        "POST", "/api/experimental/web_fetch", {"url": "x"}, 403, JSON, '{"error":"ollama cloud is'
    ),
    Row(
        "GET", "/api/experimental/model-recommendations", None, 200, JSON, '{"recommendations":[]}'
    ),
    Row("POST", "/v1/chat/completions", HI, 200, JSON, '{"id": "'),
    Row("POST", "/v1/chat/completions", HI | STREAMED, 200, SSE, "data: {"),
    Row("POST", "/v1/completions", PROMPT, 200, JSON, '{"id": "'),
    Row("POST", "/v1/completions", PROMPT | STREAMED, 200, SSE, "data: {"),
    Row("POST", "/v1/embeddings", VECTORS, 200, JSON, '{"object": "list"'),
    Row("POST", "/v1/responses", VECTORS | {"model": "coder"}, 200, JSON, '{"id":"resp_'),
    Row(
        "POST",
        "/v1/responses",
        VECTORS | {"model": "coder"} | STREAMED,
        200,
        SSE,
        "event: response.",
    ),
    Row("GET", "/v1/models", None, 200, JSON, '{"object":"list","data":[{"id":"'),
    Row("GET", "/v1/models/coder", None, 200, JSON, '{"id":"coder","object":"model"'),
    Row("POST", "/v1/audio/transcriptions", FORM, 200, JSON, f'{{"text": "{HEARD}"}}'),
    Row("POST", "/v1/messages", HI | {"max_tokens": 99}, 200, JSON, '{"id":"msg_'),
    Row(
        "POST",
        "/v1/messages",
        HI | {"max_tokens": 99} | STREAMED,
        200,
        SSE,
        "event: message_start\n",
    ),
]

BEYOND = {
    "/v1/images/generations": "providers have it",
    "/v1/messages/count_tokens": "coding agents ask for it",
}
"""Routes that Ollama does not have at the version the bridge reports, and why they are there."""

UNROUTED = [
    "/nope",
    "/api",
    "/api/nope",
    "/v1",
    "/v1/moderations",
    "/api/web_search",
    "/api/upgrade",
    "/debug/pprof/",
    "/v1/engines",
    "/docs",
    "/openapi.json",
]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def ask(lab: Lab, talk: Callable[..., Ask]) -> Ask:
    return talk(lab.url, content_type="multipart/form-data; boundary=x")


def test_every_row_of_the_table(ask: Ask) -> None:
    """In the table's order: some rows need what the rows before them made."""
    wrong = []
    for row in ROWS:
        said = ask(row.method, row.path, row.body)
        text = said.body.decode()
        found = row._replace(status=said.status, kind=said.kind, starts=text[: len(row.starts)])
        if found != row or bool(text) != bool(row.starts):
            wrong.append((row, found, text[:200]))
    assert not wrong


def test_objects_are_compact_and_end_without_a_line_end(ask: Ask) -> None:
    for path in ("/api/version", "/api/tags", "/api/ps", "/v1/models"):
        said = ask("GET", path)
        assert said.headers["content-type"] == "application/json; charset=utf-8"
        assert said.body[:1] + said.body[-1:] == b"{}"
        assert b'": ' not in said.body


@pytest.mark.parametrize("path", sorted({row.path for row in ROWS}))
def test_other_methods_are_405(ask: Ask, path: str) -> None:
    """With the methods that would do, in `Allow`; HEAD gets no text."""
    allowed = {row.method for row in ROWS if row.path in {path, BLOB} and _same(path, row.path)}
    for method in set(METHODS) - allowed:
        said = ask(method, path)
        assert (said.status, said.kind) == (405, TEXT), method
        assert said.body == (b"" if method == "HEAD" else b"405 method not allowed")
        assert set(said.headers["allow"].split(", ")) == allowed


def _same(path: str, other: str) -> bool:
    """Blobs are one route, whatever their digest."""
    return path == other or path.startswith("/api/blobs/")


@pytest.mark.parametrize("path", UNROUTED)
def test_other_paths_are_404(ask: Ask, path: str) -> None:
    for method in METHODS:
        said = ask(method, path)
        assert (said.status, said.kind) == (404, TEXT), method
        assert said.body == (b"" if method == "HEAD" else b"404 page not found")


@pytest.mark.parametrize("path", ["/api/tags/", "//api/tags", "/api//tags", "/v1/models/"])
def test_slashes_too_many_redirect_nobody(ask: Ask, lab: Lab, path: str) -> None:
    """Ollama answers 301, after which many clients turn a POST into a GET."""
    assert ask("GET", lab.url + path).status == 200


def test_a_trailing_slash_keeps_the_body_of_a_post(ask: Ask) -> None:
    assert ask("POST", "/api/show/", {"model": "coder"}).status == 200
    assert ask("POST", "/v1/chat/completions/", HI).status == 200


def test_the_table_is_all_there_is(ask: Ask) -> None:
    """Every route of the bridge is a row here, or is named as going beyond the table."""
    paths = {row.path for row in ROWS}
    for route in ROUTES:
        head, tail, _ = route.partition("*")
        found = [path for path in paths if path == route or (tail and path.startswith(head))]
        assert found or route in BEYOND, route
    for path in BEYOND:
        assert ask("GET", path).status == 405
