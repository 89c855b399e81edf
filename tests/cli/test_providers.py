"""providers add, list, show, test, remove."""

from cli.test_keys import LIST, SECRET, service
from daemons import Home

from ollama_bridge import config


def test_a_known_service_needs_only_its_name(home: Home) -> None:
    done = home.call("providers", "add", "groq")
    assert done.exit_code == 0
    assert "keys set groq" in done.stderr, "what is missing still"
    assert list(config.load(home.config, {}).providers) == ["groq"]


def test_any_other_needs_an_address(home: Home) -> None:
    done = home.call("providers", "add", "lab")
    assert done.exit_code == 5
    assert "no base_url" in done.stderr
    assert not home.config.exists()
    done = home.call(
        *("providers", "add", "lab", "--base-url", "http://10.0.0.5:8000/v1/chat/completions"),
        *("--key", "none", "--model", "a", "--model", "b"),
    )
    assert done.exit_code == 0, done.stderr
    row = config.load(home.config, {}).providers["lab"]
    assert (row.url, row.key, row.models) == ("http://10.0.0.5:8000/v1", "none", ("a", "b"))


def test_a_kind_of_server(home: Home) -> None:
    home.call("providers", "add", "box", "--preset", "vllm", "--base-url", "http://box:8000")
    assert config.load(home.config, {}).providers["box"].extra_options


def test_twice_is_refused(home: Home) -> None:
    home.call("providers", "add", "groq")
    done = home.call("providers", "add", "groq")
    assert done.exit_code == 5
    assert "config set providers.groq.KEY VALUE" in done.stderr


def test_a_pasted_key_is_not_written(home: Home) -> None:
    done = home.call("providers", "add", "groq", "--key", "sk-hush")
    assert done.exit_code == 5
    assert "hush" not in done.stderr
    assert "keys set" in done.stderr
    assert not home.config.exists()


def test_list_with_and_without_a_daemon(home: Home) -> None:
    home.write("[providers.demo]\n")
    (row,) = home.json("providers", "list")["providers"]
    assert (row["name"], row["default"], row["models"]) == ("demo", True, None)
    home.json("start", "--port", "0")
    (row,) = home.json("providers", "list")["providers"]
    assert (row["name"], row["models"], row["error"]) == ("demo", 2, None)
    line = home.run("providers", "list").stdout.splitlines()[1]
    assert line.split()[:3] == ["demo", "(default)", "2"]


def test_show(home: Home) -> None:
    home.write('[providers.groq]\nkey = "env:MINE"\n')
    found = home.json("providers", "show", "groq", MINE="hush")
    assert (found["name"], found["key_source"]) == ("groq", "environment MINE")
    assert "hush" not in str(found)
    done = home.run("providers", "show", "grok")
    assert done.returncode == 5
    assert "there are: groq" in done.stderr


def test_a_running_daemon_follows(home: Home) -> None:
    home.json("start", "--port", "0")
    # nobody listens at port 9
    home.run("providers", "add", "lab", "--base-url", "http://127.0.0.1:9", "--key", "none")
    assert [row["name"] for row in home.json("status")["providers"]] == ["lab"]
    done = home.run("providers", "remove", "lab")
    assert "keys remove lab" in done.stderr
    assert [row["name"] for row in home.json("status")["providers"]] == ["demo"]


def test_a_service_is_tried_without_a_daemon(home: Home) -> None:
    keyed = {"/v1/models": (200, LIST), "open": False}
    with service(keyed) as (good, asked), service({"/v1/models": (401, "no")}) as (bad, _):
        home.write(
            f'[providers.good]\nbase_url = "{good}/v1"\nkey = "env:LAB"\n'
            f'[providers.bad]\nbase_url = "{bad}/v1"\nkey = "env:LAB"\n'
            '[providers.gone]\nbase_url = "http://127.0.0.1:9/v1"\nkey = "none"\n'
        )
        done = home.run("providers", "test", LAB=SECRET)
        (row,) = home.json("providers", "test", "good", LAB=SECRET)["providers"]
    assert done.returncode == 1
    _, *lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines] == [
        ("good", "valid"),
        ("bad", "refused"),
        ("gone", "unreachable"),
    ]
    assert (row["result"], row["chat_models"]) == ("valid", ["gpt-4o-mini"])
    assert f"Bearer {SECRET}" in asked
    assert SECRET not in done.stdout + done.stderr
    assert home.run("providers", "test", "nobody").returncode == 5
