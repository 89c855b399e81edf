"""Settings from file, environment and presets: what is accepted, what wins, what is refused."""

import re
from pathlib import Path

import pytest

from ollama_bridge import config, environment
from ollama_bridge.errors import SettingsInvalid
from ollama_bridge.providers import address
from ollama_bridge.providers.presets import PRESETS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(file: Path, text: str = "", **environ: str) -> config.Config:
    file.write_text(text, encoding="utf-8")
    return config.load(file, environ)


# without a file


def test_nothing_at_all_means_the_demo(file: Path) -> None:
    found = config.load(file, {})
    assert list(found.providers) == ["demo"]
    assert found.providers["demo"].url == "demo:"
    assert found.default_provider == "demo"
    assert (found.server.host, found.server.port) == ("127.0.0.1", 11434)


def test_a_key_in_the_environment_is_a_provider(file: Path) -> None:
    found = config.load(file, {"GROQ_API_KEY": "a", "OPENROUTER_API_KEY": "b"})
    assert list(found.providers) == ["openrouter", "groq"], "in the order of the presets"
    assert found.providers["groq"].url == PRESETS["groq"].url
    assert found.providers["groq"].key == "env:GROQ_API_KEY"
    assert found.default_provider == "openrouter"


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_key_variable_is_none(file: Path, value: str) -> None:
    assert list(config.load(file, {"OPENAI_API_KEY": value}).providers) == ["demo"]


def test_our_own_key_variable_is_enough(file: Path) -> None:
    assert list(config.load(file, {"OLLAMA_BRIDGE_KEY_MISTRAL": "k"}).providers) == ["mistral"]


def test_every_hosted_preset_can_be_found(file: Path) -> None:
    variables = {row.key_variable: "k" for row in PRESETS.values() if row.key_variable}
    blanks = {blank.variable: "acme" for row in PRESETS.values() for blank in row.blanks}
    found = config.load(file, variables | blanks)
    assert all("{" not in row.url for row in found.providers.values())
    assert set(found.providers) == {row.name for row in PRESETS.values() if row.key_variable}


def test_a_key_alone_is_not_enough_where_the_address_is_each_users_own(file: Path) -> None:
    found = config.load(file, {"AZURE_API_KEY": "k", "GROQ_API_KEY": "k"})
    assert list(found.providers) == ["groq"]
    found = config.load(file, {"AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "acme"})
    assert found.providers["azure"].url == "https://acme.openai.azure.com/openai/v1"
    assert found.providers["azure"].key == "env:AZURE_API_KEY"


def test_base_url_without_key(file: Path) -> None:
    found = config.load(file, {"OPENAI_BASE_URL": "http://localhost:8000/v1/"}).providers["openai"]
    assert (found.url, found.key) == ("http://localhost:8000/v1", "none")


def test_base_url_with_key(file: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://localhost:8000", "OPENAI_API_KEY": "k"}
    found = config.load(file, environ).providers["openai"]
    assert (found.url, found.key) == ("http://localhost:8000/v1", "env:OPENAI_API_KEY")


def test_base_url_moves_the_preset_in_a_file(file: Path) -> None:
    text = "[providers.openai]\n[providers.groq]"
    found = load(file, text, OPENAI_BASE_URL="http://localhost:8000/v1").providers
    assert found["openai"].url == "http://localhost:8000/v1"
    assert found["groq"].url == PRESETS["groq"].url


def test_a_base_url_in_the_file_stands_against_the_environment(file: Path) -> None:
    text = '[providers.openai]\nbase_url = "http://10.0.0.5:8000/v1"'
    found = load(file, text, OPENAI_BASE_URL="http://localhost:1/v1").providers["openai"]
    assert found.url == "http://10.0.0.5:8000/v1"


def test_a_providers_table_ends_zero_configuration(file: Path) -> None:
    assert list(load(file, "[providers.groq]", OPENAI_API_KEY="k").providers) == ["groq"]


# oddities belong to the service, not to the name


def test_quirks_stay_behind_when_the_address_is_another(file: Path) -> None:
    assert PRESETS["openai"].quirks
    found = load(file, '[providers.openai]\nbase_url = "http://localhost:8000"').providers["openai"]
    assert found.quirks == ()


def test_quirks_follow_the_address_to_another_name(file: Path) -> None:
    found = load(file, '[providers.work]\nbase_url = "https://api.openai.com/v1"').providers["work"]
    assert found.name == "work"
    assert found.quirks == PRESETS["openai"].quirks
    assert found.key_variable == "OPENAI_API_KEY"


def test_a_named_preset_keeps_all_but_the_address(file: Path) -> None:
    text = '[providers.lab]\npreset = "vllm"\nbase_url = "http://10.0.0.5:8000/v1"'
    found = load(file, text).providers["lab"]
    assert found.extra_options == PRESETS["vllm"].extra_options
    assert (found.url, found.key) == ("http://10.0.0.5:8000/v1", "none")


def test_a_local_server_elsewhere_is_still_that_kind_of_server(file: Path) -> None:
    text = '[providers.llamacpp]\nbase_url = "http://10.0.0.5:8080"'
    found = load(file, text).providers["llamacpp"]
    assert found.extra_options == PRESETS["llamacpp"].extra_options


def test_every_key_of_a_provider(file: Path) -> None:
    text = """
    [providers.lab]
    base_url = "http://10.0.0.5:8000/v1"
    key = "env:LAB_KEY"
    models = ["qwen3-coder"]
    include = ["q*"]
    exclude = ["*-audio*"]
    headers = { X-Team = "search" }
    quirks = ["random_seed"]
    model_quirks = { "*-pro" = ["responses_only", "drop:seed"] }
    connect_timeout = 3
    idle_timeout = 60.5
    """
    found = load(file, text).providers["lab"]
    assert found.key == "env:LAB_KEY"
    assert found.models == ("qwen3-coder",)
    assert (found.include, found.exclude) == (("q*",), ("*-audio*",))
    assert dict(found.headers) == {"X-Team": "search"}
    assert found.quirks == ("random_seed",)
    assert found.model_quirks == {"*-pro": ("responses_only", "drop:seed")}
    assert (found.connect_timeout, found.idle_timeout) == (3, 60.5)


def test_a_relative_key_file_lies_beside_the_settings(file: Path) -> None:
    text = '[providers.groq]\nkey = "file:groq.key"'
    assert load(file, text).providers["groq"].key == f"file:{file.parent / 'groq.key'}"


# aliases


def test_aliases_in_every_form(file: Path) -> None:
    text = """
    [aliases]
    "llama3.2" = "openai/gpt-5-mini"
    both = ["a/b", "c"]
    [aliases.coder]
    target = ["groq/x", "openai/y"]
    system = "You write Python."
    parameters = { temperature = 0.2, stop = ["a"] }
    context_length = 131072
    capabilities = ["completion", "tools"]
    """
    found = load(file, text).aliases
    assert found["llama3.2"].targets == ("openai/gpt-5-mini",)
    assert found["both"].targets == ("a/b", "c")
    assert found["coder"].targets == ("groq/x", "openai/y")
    assert found["coder"].parameters == {"temperature": 0.2, "stop": ["a"]}
    assert found["coder"].context_length == 131072
    assert found["coder"].capabilities == ("completion", "tools")
    assert found["llama3.2"].capabilities is None


# addresses, precedence


def test_the_default_provider_is_the_named_one_else_the_first(file: Path) -> None:
    tables = "[providers.groq]\n[providers.mistral]"
    assert load(file, tables).default_provider == "groq"
    assert load(file, f'default_provider = "mistral"\n{tables}').default_provider == "mistral"


def test_precedence_of_the_address(file: Path) -> None:
    text = '[server]\nhost = "10.1.1.1"\nport = 1'
    assert _address(load(file, text)) == ("10.1.1.1", 1)
    assert _address(load(file, text, OLLAMA_HOST="10.2.2.2:2")) == ("10.2.2.2", 2)
    ours = {"OLLAMA_BRIDGE_HOST": "10.3.3.3", "OLLAMA_BRIDGE_PORT": "3"}
    winner = load(file, text, OLLAMA_HOST="10.2.2.2:2", **ours)
    assert _address(winner) == ("10.3.3.3", 3)
    assert _address(config.listen_at(winner, "10.4.4.4", None)) == ("10.4.4.4", 3)
    assert _address(config.listen_at(winner, None, 4)) == ("10.3.3.3", 4)


def _address(settings: config.Config) -> tuple[str, int]:
    return settings.server.host, settings.server.port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("1.2.3.4", "1.2.3.4", 11434),
        ("example.com", "example.com", 11434),
        ("example.com:80", "example.com", 80),
        (":1234", "", 1234),
        ("0.0.0.0", "0.0.0.0", 11434),
        ("[::]", "::", 11434),
        ("::", "::", 11434),
        ("::1", "::1", 11434),
        ("[::1]", "::1", 11434),
        ("[::1]:1337", "::1", 1337),
        ("http://1.2.3.4", "1.2.3.4", 80),
        ("http://1.2.3.4:11434", "1.2.3.4", 11434),
        ("https://x/ollama", "x", 443),
        ("https://x:8443/ollama", "x", 8443),
        ("1.2.3.4:66000", "1.2.3.4", 11434),
        ("1.2.3.4:-1", "1.2.3.4", 11434),
        ("1.2.3.4:port", "1.2.3.4", 11434),
        ("http://1.2.3.4:66000", "1.2.3.4", 80),
        ("1.2.3.4:0", "1.2.3.4", 0),
        ("ollama.com", "ollama.com", 443),
        (" 1.2.3.4 ", "1.2.3.4", 11434),
    ],
)
def test_ollama_host(text: str, host: str, port: int) -> None:
    assert environment.address(text) == (host, port)


@pytest.mark.parametrize("value", ['"10.2.2.2:2"', " '10.2.2.2:2' "])
def test_quotes_around_a_variable_mean_nothing(file: Path, value: str) -> None:
    assert _address(load(file, OLLAMA_HOST=value)) == ("10.2.2.2", 2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("300ms", 0.3),
        ("1.5s", 1.5),
        ("0", 0),
        ("45", 45),
        ("-1", -1),
        ("-1m", -1),
        ("", 300),
        ("soon", 300),
        ("5 m", 300),
        ("10x", 300),
    ],
)
def test_ollama_keep_alive(file: Path, text: str, seconds: float) -> None:
    assert load(file, OLLAMA_KEEP_ALIVE=text).server.keep_alive == pytest.approx(seconds)


def test_origins_of_both_places_add_up(file: Path) -> None:
    text = '[server]\norigins = ["https://a.example"]'
    found = load(file, text, OLLAMA_ORIGINS="chrome-extension://*, http://b.example")
    assert found.server.origins == (
        "chrome-extension://*",
        "http://b.example",
        "https://a.example",
    )


# base URLs


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("http://h:8000/v1/", "http://h:8000/v1"),
        ("http://h:8000/v1/chat/completions", "http://h:8000/v1"),
        ("http://h:8000/v1/chat/completions/", "http://h:8000/v1"),
        ("http://h/v1/models", "http://h/v1"),
        ("http://h/v1/embeddings", "http://h/v1"),
        ("http://h/api/paas/v4", "http://h/api/paas/v4"),
        ("http://h/custom", "http://h/custom"),
        (' "http://h/v1" ', "http://h/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("https://api.perplexity.ai", "https://api.perplexity.ai"),
        ("https://api.perplexity.ai/chat/completions", "https://api.perplexity.ai"),
    ],
)
def test_base_urls_as_people_paste_them(pasted: str, meant: str) -> None:
    assert address.base_url(pasted) == meant
    assert address.base_url(meant) == meant, "saying it right changes nothing"


@pytest.mark.parametrize(
    ("pasted", "said"),
    [
        ("localhost:8000", 'as in "http://localhost:8000"'),
        ("ftp://h", "http:// or https://"),
        ("http://", "http:// or https://"),
        ("http://user:secret@h/v1", "keyring"),
        ("http://h/v1?api-version=1", "before ?"),
        ("http://h:99999/v1", "ort"),
    ],
)
def test_base_urls_that_are_none(pasted: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        address.base_url(pasted)
    assert "secret" not in str(caught.value)


# refusals


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = [", ["not TOML"]),
        ("prot = 1", ["prot: found an unknown key"]),
        ("provider = 1", ['did you mean "providers"?']),
        ("server = 5", ["server: found 5 (a whole number)", "a table: [server]"]),
        ("[server]\nport = 'a'", ['server.port: found "a" (a text)', "0 to 65535"]),
        ("[server]\nport = 70000", ["server.port: found 70000"]),
        ("[server]\nport = true", ["server.port: found true (true or false)"]),
        (
            "[server]\nprot = 1",
            ["server.prot", 'did you mean "port"?', "access_keys, behind_balancer, host"],
        ),
        ("[server]\norigins = ['example.com']", ["server.origins", "https://chat.example.com"]),
        ("[server]\norigins = ['http://*.*']", ["server.origins"]),
        ("[providers.lab]", ["providers.lab: found no base_url"]),
        ("[providers.opnai]", ['did you mean "openai"?']),
        ("providers.lab = 3", ["providers.lab: found 3"]),
        ("[providers.'a/b']\nbase_url='http://h'", ['providers."a/b"', "letters, digits"]),
        ("[providers.lab]\nbase_url = 'h:80'", ["providers.lab.base_url", "http://h:80"]),
        ("[providers.lab]\nbase_ulr = 'x'", ['did you mean "base_url"?']),
        ("[providers.lab]\npreset = 'gropq'", ['found "gropq"', "groq"]),
        ("[providers.groq]\nquirks = ['odd']", ["providers.groq.quirks", "random_seed"]),
        ("[providers.groq]\nmodel_quirks = ['no_stops']", ["model_quirks", "responses_only"]),
        ("[providers.groq.model_quirks]\n'*' = ['odd']", ["model_quirks", "responses_only"]),
        ("[providers.groq]\nidle_timeout = 0", ["idle_timeout: found 0"]),
        ("[providers.groq]\nidle_timeout = '5m'", ["idle_timeout", "seconds"]),
        ("[providers.groq]\nmodels = 'x'", ["models", "a list of texts"]),
        ("[aliases]\na = 3", ["aliases.a: found 3"]),
        ("[aliases]\na = []", ["aliases.a: found []"]),
        ("[aliases.'x y']\nsystem = 's'", ['aliases."x y": found no target']),
        ("[aliases.a]\ntarget = 'x'\ncapabilities = ['fly']", ["capabilities", "completion"]),
        ("[aliases.a]\ntarget = 'x'\ncontext_length = '8k'", ['"8k" (a text)', "tokens"]),
        ("default_provider = 'groq'", ["default_provider", '"groq"', "demo"]),
        ("default_provider = 'grok'\n[providers.groq]", ['did you mean "groq"?']),
    ],
)
def test_refusals_name_file_key_found_and_allowed(file: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(file, text)
    message = caught.value.message
    assert message.startswith(f"{file}: ")
    assert [part for part in parts if part not in message] == [], message
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "text",
    [
        "[providers.openai]\nkey = 'sk-hush'",
        "[providers.openai]\nkey = 'env:'",
        "[providers.openai]\nkey = 5",
        '[providers.openai]\nheaders = { X = "sk-hush\\u0000" }',
        '[providers.openai]\nheaders = { X = "sk-hush\\r\\nEvil: 1" }',
    ],
)
def test_what_may_be_secret_is_not_repeated(file: Path, text: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(file, text)
    assert "hush" not in caught.value.message
    assert "providers.openai." in caught.value.message


@pytest.mark.parametrize("value", ["x", "-1", "70000", "1.5", "²"])
def test_a_bad_port_variable_is_named(file: Path, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=f'OLLAMA_BRIDGE_PORT: found "{value}"'):
        load(file, OLLAMA_BRIDGE_PORT=value)


def test_a_bad_base_url_variable_is_named(file: Path) -> None:
    with pytest.raises(SettingsInvalid, match="OPENAI_BASE_URL: "):
        load(file, OPENAI_BASE_URL="localhost:8000")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_provider_at_our_own_address_is_refused(file: Path, host: str) -> None:
    text = f"[providers.ollama]\nbase_url = 'http://{host}:11434/v1'"
    with pytest.raises(SettingsInvalid, match="itself listens"):
        load(file, text)
    moved = load(file, text, OLLAMA_BRIDGE_PORT="11435")
    with pytest.raises(SettingsInvalid, match="itself listens"):
        config.listen_at(moved, None, 11434)


def test_the_same_port_elsewhere_is_no_loop(file: Path) -> None:
    text = "[server]\nhost = '192.0.2.1'\n[providers.ollama]"
    assert load(file, text).providers["ollama"].url == "http://127.0.0.1:11434/v1"


# the file itself


def test_a_byte_order_mark_is_no_matter(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 7\r\n")
    assert config.load(file, {}).server.port == 7


def test_a_file_that_is_not_utf8_is_named(file: Path) -> None:
    file.write_bytes(b"# caf\xe9")
    with pytest.raises(SettingsInvalid, match="UTF-8"):
        config.load(file, {})


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        config.load(tmp_path, {})


def test_the_variables_name_file_and_folder(tmp_path: Path) -> None:
    environ = {
        "OLLAMA_BRIDGE_CONFIG": str(tmp_path / "c"),
        "OLLAMA_BRIDGE_STATE": str(tmp_path / "s"),
    }
    assert config.config_file(environ) == tmp_path / "c"
    assert config.state_folder(environ) == tmp_path / "s"
    assert config.config_file({}).name == "config.toml"
    assert config.config_file({}).parent.name == "ollama-bridge"


# services of the public facts


def test_a_service_of_the_public_facts_by_its_name_alone(file: Path) -> None:
    found = load(file, "[providers.chutes]").providers["chutes"]
    assert (found.url, found.key_variable) == ("https://llm.chutes.ai/v1", "CHUTES_API_KEY")
    assert (found.facts, found.quirks) == ("chutes", ())
    named = load(file, '[providers.mine]\npreset = "chutes"').providers["mine"]
    assert (named.name, named.url, named.facts) == ("mine", found.url, "chutes")


def test_at_a_presets_address_it_has_the_presets_oddities(file: Path) -> None:
    found = load(file, "[providers.alibaba-cn]").providers["alibaba-cn"]
    assert found.url == "https://dashscope.aliyuncs.com/compatible-mode/v1"
    assert found.quirks == PRESETS["dashscope"].quirks


def test_a_presets_name_in_the_public_facts_is_its_name_too(file: Path) -> None:
    found = load(file, "[providers.google]").providers["google"]
    assert (found.url, found.quirks) == (PRESETS["gemini"].url, PRESETS["gemini"].quirks)


def test_a_variable_that_happens_to_be_set_adds_none_of_them(file: Path) -> None:
    assert list(config.load(file, {"CHUTES_API_KEY": "k"}).providers) == ["demo"]


def test_an_unknown_preset_is_refused(file: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r'"grok".*did you mean "groq"'):
        load(file, '[providers.x]\npreset = "grok"')
