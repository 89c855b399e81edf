"""The watch over the planted key: each way out is tried, and a test that uses it must fail."""

import os
import subprocess
import sys
from pathlib import Path

import planted
import pytest

ROOT = Path(__file__).parents[1]

LEAKY = '''
import base64, json, logging, subprocess, sys
import httpx, planted
from bridges import bridge_app
from daemons import Home, end, until_ready
from fake_upstream import FakeUpstream
from ollama_bridge.providers.provider import Provider
from servers import served

CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

async def echo(call):
    """A service that answers with the key it was sent, or a part of it."""
    said = call.headers["authorization"].removeprefix("Bearer ")
    said = {"part": said[10:30], "packed": base64.b64encode(said.encode()).decode()}.get(
        call.body["messages"][0]["content"], said
    )
    await call.start()
    await call.text(said, finish="stop")
    await call.write("data: [DONE]\\n\\n", more=False)

def asked(content="x"):
    with served(FakeUpstream(echo)) as url:
        app = bridge_app(Provider(name="fake", url=f"{url}/v1", key="none"))
        with served(app) as bridge:
            body = CHAT | {"messages": [{"role": "user", "content": content}]}
            reply = httpx.post(f"{bridge}/api/chat", json=body, trust_env=False)
            assert reply.status_code == 200, reply.text

def test_response(): asked()
def test_part(): asked("part")
def test_packed(): asked("packed")

async def test_response_without_a_server():
    with served(FakeUpstream(echo)) as url:
        app = bridge_app(Provider(name="fake", url=f"{url}/v1", key="none"))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.post("/api/chat", json=CHAT)).status_code == 200
        await app.bridge.aclose()

def test_response_of_a_process(tmp_path):
    home = Home(tmp_path)
    with served(FakeUpstream(echo)) as url:
        home.write(f'[providers.lab]\\nbase_url = "{url}/v1"\\n')
        child = home.daemon()
        try:
            until_ready(child)
            address = f"http://127.0.0.1:{home.note()['port']}/api/chat"
            assert httpx.post(address, json=CHAT, trust_env=False, timeout=30).status_code == 200
        finally:
            end(child)

def test_file(tmp_path):
    home = Home(tmp_path)
    home.state.mkdir()
    (home.state / "cache").write_text(planted.KEY)

def test_own_folder(tmp_path):
    (tmp_path / "core.1").write_bytes(b"\\0" * 100 + planted.KEY.encode())

def test_log():
    logging.getLogger("ollama_bridge").warning("key %s", planted.KEY)

def test_traceback():
    try:
        raise ValueError(planted.KEY)
    except ValueError:
        logging.getLogger("ollama_bridge").exception("failed")

def test_output():
    print(json.dumps({"key": planted.KEY}))

def test_command(tmp_path):
    Home(tmp_path).call("models", "show", planted.KEY)

def test_command_of_a_process(tmp_path):
    Home(tmp_path).run("providers", "show", planted.KEY)

def test_command_line():
    subprocess.run([sys.executable, "-c", "0", planted.KEY])

def test_errors_of_a_daemon(tmp_path):
    child = Home(tmp_path).daemon(OLLAMA_HOST=planted.KEY + ":x:y")
    child.communicate(timeout=60)
'''

CLEAN = """
import planted
def test_nothing(): assert planted.KEY
"""

NAMES = [line.split("(")[0].split()[-1] for line in LEAKY.splitlines() if "def test_" in line]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of them all."""
    folder = tmp_path_factory.mktemp("leaky")
    (folder / "test_leaky.py").write_text(LEAKY)
    (folder / "test_clean.py").write_text(CLEAN)
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    environ["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "cli", ROOT / "tests")))
    plugins = ["-p", "leaks", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rA", "--tb=short", *plugins),
            *("-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", str(folder)),
        ],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_way_out_is_watched(outcomes: str, name: str) -> None:
    assert f"ERROR test_leaky.py::{name}" in outcomes, outcomes[-4000:].replace(planted.KEY, "KEY")


def test_a_test_without_a_leak_passes(outcomes: str) -> None:
    assert "PASSED test_clean.py::test_nothing" in outcomes
    assert "ERROR test_clean.py" not in outcomes
