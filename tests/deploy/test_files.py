"""packaging/: the container file, the manifests and the nginx example, by other people's judgement."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ollama_bridge import config

pytestmark = pytest.mark.nginx

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
DOCKERFILE = PACKAGING / "container/Dockerfile"
COMPOSE = PACKAGING / "container/compose.yaml"
KUBERNETES = PACKAGING / "kubernetes/ollama-bridge.yaml"
YAML = (COMPOSE, KUBERNETES)
USER = 10001


def tool(name: str) -> str:
    """A linter, from the environment that `make test-packaging` makes."""
    found = shutil.which(name, path=os.environ.get("PACKAGING_TOOLS", "/nowhere"))
    if found is None:
        pytest.skip(f"{name} is not installed (make test-packaging)")
    return found


def read(file: Path) -> list[Any]:
    """The documents of a YAML file, read by the linters' own library."""
    code = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))"
    with file.open() as text:
        said = subprocess.run(
            [tool("python"), "-c", code], stdin=text, capture_output=True, check=True
        )
    documents: list[Any] = json.loads(said.stdout)
    return documents


def passes(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint() -> None:
    passes(tool("hadolint"), "--failure-threshold", "info", str(DOCKERFILE))


@pytest.mark.parametrize("file", YAML, ids=lambda file: file.name)
def test_yamllint(file: Path) -> None:
    passes(tool("yamllint"), "--strict", str(file))


def test_the_compose_file_fits_its_schema() -> None:
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_manifest_fits_the_schemas(version: str) -> None:
    passes(tool("kubernetes-validate"), "--strict", "-k", version, str(KUBERNETES))


def test_a_manifest_that_is_wrong_does_not(tmp_path: Path) -> None:
    """The tool is one that can say no."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(KUBERNETES.read_text().replace("minReplicas: 2", "minReplica: 2"))
    with pytest.raises(AssertionError, match="minReplica"):
        passes(tool("kubernetes-validate"), "--strict", str(wrong))


# what no schema knows


@pytest.fixture
def manifest() -> dict[str, Any]:
    return {row["kind"]: row for row in read(KUBERNETES)}


def test_the_parts_of_the_manifest_fit_each_other(manifest: dict[str, Any]) -> None:
    pod = manifest["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for kind, path in (
        ("Deployment", ("selector", "matchLabels")),
        ("Service", ("selector",)),
        ("PodDisruptionBudget", ("selector", "matchLabels")),
        ("NetworkPolicy", ("podSelector", "matchLabels")),
    ):
        found = manifest[kind]["spec"]
        for part in path:
            found = found[part]
        assert found == labels, kind
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    (served,) = manifest["Service"]["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/api/version", "port": port["name"]}
    target = manifest["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == manifest["Deployment"]["metadata"]["name"]
    volumes = {row["name"]: row for row in pod["spec"]["volumes"]}
    assert {row["name"] for row in container["volumeMounts"]} == set(volumes)
    assert volumes["settings"]["configMap"]["name"] == manifest["ConfigMap"]["metadata"]["name"]
    finish = float(container["args"][container["args"].index("--finish") + 1])
    assert finish + 5 + 10 <= pod["spec"]["terminationGracePeriodSeconds"]


def test_the_settings_of_the_manifest_are_valid(manifest: dict[str, Any], tmp_path: Path) -> None:
    document = tomllib.loads(manifest["ConfigMap"]["data"]["config.toml"])
    settings = config.check(document, tmp_path / "config.toml", {"OPENAI_API_KEY": "x"})
    assert settings.server.behind_balancer
    assert settings.server.access_keys == ("team",)


def test_the_pod_and_the_container_agree(manifest: dict[str, Any]) -> None:
    told = container_file()
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    assert told.user == f"{pod['securityContext']['runAsUser']}:{USER}" == f"{USER}:{USER}"
    mounts = {row["mountPath"] for row in pod["containers"][0]["volumeMounts"]}
    assert Path(told.environment["OLLAMA_BRIDGE_CONFIG"]).parent.as_posix() in mounts
    assert any(told.environment["OLLAMA_BRIDGE_STATE"].startswith(mount) for mount in mounts)
    port = int(told.environment["OLLAMA_BRIDGE_PORT"])
    assert pod["containers"][0]["ports"][0]["containerPort"] == port
    assert told.exposed == str(port)


# the container file, done step by step where there is no container engine


class ContainerFile:
    """What a Dockerfile says, as far as ours goes."""

    def __init__(self, text: str) -> None:
        self.copied: list[list[str]] = []
        """Of the first stage: sources, then the place."""
        self.run: list[str] = []
        self.environment: dict[str, str] = {}
        self.user = self.exposed = ""
        self.entry: list[str] = []
        self.command: list[str] = []
        self.health: list[str] = []
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            word, _, rest = line.strip().partition(" ")
            self._take(word, " ".join(rest.split()))

    def _take(self, word: str, rest: str) -> None:
        if word == "COPY" and not rest.startswith("--from"):
            self.copied.append(rest.split())
        elif word == "RUN":
            self.run.append(rest)
        elif word == "ENV":
            self.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
        elif word == "USER":
            self.user = rest
        elif word == "EXPOSE":
            self.exposed = rest
        elif word == "HEALTHCHECK":
            self.health = json.loads(rest[rest.index("CMD ") + 4 :])
        elif word == "ENTRYPOINT":
            self.entry = json.loads(rest)
        elif word == "CMD":
            self.command = json.loads(rest)


def container_file() -> ContainerFile:
    return ContainerFile(DOCKERFILE.read_text())


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users can look into."""
    folder = Path(tempfile.mkdtemp(prefix="container-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _as_user(place: Path, python: Path) -> dict[str, Any]:
    """To run as the container does: as a user that owns nothing, where that can be tried here."""
    if os.geteuid() != 0:
        return {}
    other = {"user": USER, "group": USER, "extra_groups": []}
    with contextlib.suppress(OSError):
        if subprocess.run([python, "-c", ""], check=False, cwd=place, **other).returncode == 0:
            return other
    return {}


def test_the_container_file_step_by_step(place: Path) -> None:
    told = container_file()
    build, installed, state = place / "build", place / "opt", place / "var"
    build.mkdir()
    for *sources, to in told.copied:
        for source in sources:
            found = ROOT / source
            goal = build / to / found.name if to == "./" else build / to
            if found.is_dir():
                shutil.copytree(found, goal, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(found, goal)

    def here(text: str) -> str:
        text = text.replace("/opt/ollama-bridge", str(installed))
        return text.replace("/var/lib/ollama-bridge", str(state)).replace("/etc/", f"{place}/etc/")

    making = re.sub(r"^python\b", sys.executable, here(told.run[0]))
    assert "venv" in making
    subprocess.run(["sh", "-ec", making], cwd=build, check=True)
    shutil.rmtree(build)  # nothing of it may be needed later
    python = installed / "bin/python"
    other = _as_user(place, python)
    state.mkdir(mode=0o700)
    if other:
        os.chown(state, USER, USER)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    environ = {name: here(value) for name, value in told.environment.items()}
    environ |= {"OLLAMA_BRIDGE_PORT": port}
    environ["PATH"] = environ["PATH"].replace("$PATH", os.environ["PATH"])
    run = {"env": environ, "cwd": place, **other}
    daemon = subprocess.Popen(
        [str(installed / "bin" / told.entry[0]), *told.entry[1:], *told.command],
        stderr=subprocess.PIPE,
        text=True,
        **run,
    )
    health = [str(python), *told.health[1:2], told.health[2].replace(told.exposed, port)]
    try:
        assert daemon.stderr is not None
        first = json.loads(daemon.stderr.readline())
        assert f"listens on http://127.0.0.1:{port}" in first["message"]
        assert subprocess.run(health, check=False, **run).returncode == 0
        body = {"model": "demo", "stream": False, "messages": [{"role": "user", "content": "hi"}]}
        url = f"http://127.0.0.1:{port}/api/chat"
        with urllib.request.urlopen(url, json.dumps(body).encode()) as reply:
            assert json.loads(reply.read())["done"] is True
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert subprocess.run(health, check=False, capture_output=True, **run).returncode != 0
    finally:
        daemon.kill()
        daemon.communicate()


def test_the_build_gets_what_it_copies_and_no_more() -> None:
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for *sources, _ in container_file().copied for source in sources}
    assert "*" in ignored
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)
