"""Three commands to a model: `providers add`, `keys set`, `models list`, for any address.

The services are real servers: each has its list at one path alone and answers 404 to all others.
"""

import json
from typing import Any

import pytest
from daemons import Home
from servers import served

from ollama_bridge import locate
from ollama_bridge.providers.provider import Provider

KEY = "sk-hush-0123456789"


class Service:
    """A service with its base URL at `base`; with a key it wants it before all else."""

    def __init__(self, base: str, key: str = "", *, guards_all: bool = False) -> None:
        self.base, self.key, self.guards_all = base, key, guards_all
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        shown = dict(scope["headers"]).get(b"authorization", b"").decode()
        self.asked.append((path, shown))
        await receive()
        status, reply = self._reply(path, shown)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(reply).encode()})

    def _reply(self, path: str, shown: str) -> tuple[int, Any]:
        ours = path.startswith(f"{self.base}/")
        if self.key and shown != f"Bearer {self.key}" and (ours or self.guards_all):
            return 401, {"error": {"message": "no key"}}
        if path == f"{self.base}/models":
            return 200, {"object": "list", "data": [{"id": "acme-1"}, {"id": "acme-2"}]}
        return 404, {"detail": "Not Found"}


PASTED = [
    # base of the service, what is pasted behind its host
    ("/v1", ""),
    ("/v1", "/"),
    ("/v1", "/v1"),
    ("/v1", "/v1/"),
    ("/v1", "/v1/chat/completions"),
    ("/v1", "/v1/models"),
    ("", ""),
    ("", "/v1"),
    ("", "/chat/completions"),
    ("/api/v1", ""),
    ("/openai/v1", "/openai"),
    ("/llm/v2", "/llm/v2/"),
    ("/llm/v2", "/llm/v2/chat/completions"),
    ("/llm", "/llm/"),
    ("/llm/v1", "/llm"),
    ("/llm", "/llm/v1"),
]


@pytest.mark.parametrize(("base", "pasted"), PASTED)
@pytest.mark.parametrize("key", ["", KEY], ids=["open", "with a key"])
def test_the_base_url_is_found_behind_whatever_is_pasted(base: str, pasted: str, key: str) -> None:
    with served(Service(base, key)) as url:
        row = Provider(name="lab", url=f"{url}/v1")
        found = locate.find(row, url + pasted, key)
        assert found == locate.Found(url + base, "openai", locate.LISTS, 2)
        # where only the service's own paths want a key, they are told apart without one
        if key and base and not pasted.startswith(f"{base}/v1"):
            found = locate.find(row, url + pasted, "")
            assert (found.url, found.proof) == (url + base, locate.WANTS_KEY)


@pytest.mark.parametrize(
    ("base", "pasted"),
    [("/v1", ""), ("/v1", "/v1/"), ("", "/v1/"), ("/llm/v2", "/llm/v2/chat/completions")],
)
def test_three_commands_for_an_address_that_nobody_has_heard_of(
    user: Home, base: str, pasted: str
) -> None:
    with served(Service(base, KEY)) as url:
        added = user.run("providers", "add", "lab", url + pasted)
        assert added.returncode == 0, added.stderr
        done = user.run("keys", "set", "lab", "--stdin", stdin=f"{KEY}\n")
        assert done.returncode == 0, done.stderr
        user.json("start", "--port", "0")
        listed = user.run("models", "list").stdout
    assert "acme-1" in listed
    assert "acme-2" in listed
    (row,) = _rows(user)
    assert row["url"] == url + base


def test_two_commands_where_no_key_is_wanted(home: Home) -> None:
    with served(Service("")) as url:
        added = home.call("providers", "add", "lab", url)
        assert f"2 models at {url}" in added.stderr
        home.json("start", "--port", "0")
        assert "acme-1" in home.run("models", "list").stdout


def _rows(home: Home) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = home.json("providers", "list")["providers"]
    return rows


def test_where_every_path_wants_a_key_the_right_one_is_found_with_it(user: Home) -> None:
    service = Service("/api/v1", KEY, guards_all=True)
    with served(service) as url:
        added = user.run("providers", "add", "lab", url)
        assert "wants a key" in added.stderr
        assert f"{url}/v1" in added.stderr
        done = user.run("keys", "set", "lab", "--stdin", stdin=f"{KEY}\n")
        assert f"listed at {url}/api/v1" in done.stderr
        user.json("start", "--port", "0")
        assert "acme-1" in user.run("models", "list").stdout


def test_a_preset_at_an_address_of_ones_own(user: Home) -> None:
    with served(Service("/v1", KEY)) as url:
        added = user.run("providers", "add", "gpu", url, "--preset", "vllm", "--key", "keyring")
        assert added.returncode == 0, added.stderr
        user.run("keys", "set", "gpu", "--stdin", stdin=f"{KEY}\n")
        user.json("start", "--port", "0")
        assert "acme-1" in user.run("models", "list").stdout
        shown = user.json("providers", "show", "gpu")
    assert (shown["base_url"], "template_thinking" in shown["quirks"]) == (f"{url}/v1", True)


def test_a_known_service_and_a_running_daemon(user: Home) -> None:
    """The preset's own commands; its address leads to a server here."""
    with served(Service("/v1", KEY)) as url:
        user.environ["OPENAI_BASE_URL"] = url
        user.write("[providers.demo]\n")
        user.json("start", "--port", "0")
        assert user.run("providers", "add", "openai").returncode == 0
        assert user.run("keys", "set", "openai", "--stdin", stdin=f"{KEY}\n").returncode == 0
        assert "openai/acme-1" in user.run("models", "list").stdout


def test_an_address_where_nobody_is_gets_added_with_a_warning(home: Home) -> None:
    done = home.call("providers", "add", "lab", "http://127.0.0.1:9/x")
    assert done.exit_code == 0
    assert "Nothing there answers" in done.stderr
    assert "refused" in done.stderr
    with served(Service("/elsewhere")) as url:
        done = home.call("providers", "add", "other", url)
    assert f"{url}/v1: status 404" in done.stderr


def test_a_base_url_is_taken_as_it_stands(home: Home) -> None:
    service = Service("")
    with served(service) as url:
        home.call("providers", "add", "lab", "--base-url", f"{url}/v1")
    assert service.asked == []
    (row,) = _rows(home)
    assert row["url"] == f"{url}/v1"


@pytest.mark.parametrize("text", ["10.0.0.5:8000", "ftp://x", "http://u:p@x/", "http://x/?a=b"])
def test_what_is_no_address(home: Home, text: str) -> None:
    done = home.call("providers", "add", "lab", text)
    assert done.exit_code == 5
    assert "allowed: an address like" in done.stderr
    assert not home.config.exists()


async def _ollama(scope: Any, receive: Any, send: Any) -> None:
    replies = {
        "/": (b"text/plain", b"Ollama is running"),
        "/api/version": (b"application/json", b'{"version":"0.12.0"}'),
        "/v1/models": (b"application/json", b'{"object":"list","data":[{"id":"llama3.2"}]}'),
        "/api/tags": (b"application/json", b'{"models":[{"name":"llama3.2","model":"llama3.2"}]}'),
    }
    if scope["type"] != "http":
        return
    await receive()
    kind, body = replies.get(scope["path"], (b"text/plain", b"404 page not found"))
    status = 200 if scope["path"] in replies else 404
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("pasted", ["", "/", "/v1", "/api", "/api/tags", "/api/chat"])
def test_a_real_ollama_is_known_as_one(home: Home, pasted: str) -> None:
    with served(_ollama) as url:
        done = home.call("providers", "add", "box", url + pasted)
        assert done.exit_code == 0, done.stderr
    shown = home.json("providers", "show", "box")
    assert (shown["kind"], shown["base_url"]) == ("ollama", f"{url}/v1")


# services whose address has a part of each user's own


def test_blanks_from_a_flag_and_from_the_environment(home: Home) -> None:
    done = home.call("providers", "add", "azure", "--set", "resource=acme", "--model", "my-gpt")
    assert done.exit_code == 0, done.stderr
    home.call("providers", "add", "cloudflare", CLOUDFLARE_ACCOUNT_ID="0a1b")
    rows = {row["name"]: row for row in _rows(home)}
    assert rows["azure"]["url"] == "https://acme.openai.azure.com/openai/v1"
    assert "accounts/0a1b/ai/v1" in rows["cloudflare"]["url"]


def test_without_them_the_sentence_tells_how(home: Home) -> None:
    done = home.call("providers", "add", "snowflake")
    assert done.exit_code == 2
    assert "--set account=VALUE" in " ".join(done.stderr.split())
    assert not home.config.exists()
    done = home.call("providers", "add", "groq", "--set", "account=x")
    assert done.exit_code == 2
    assert "its address is complete" in " ".join(done.stderr.split())
    home.write("[providers.azure]\n")
    done = home.call("config", "validate")
    assert done.exit_code == 5
    assert "AZURE_RESOURCE_NAME" in done.stderr
