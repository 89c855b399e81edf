"""Programs that speak to Ollama, and what to set in each: data, one row a client.

`{address}` stands for the daemon's URL, `{model}` for the model to use.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Edit = tuple[tuple[str, ...], Any]
"""A key path in the client's settings file, and what belongs there."""


@dataclass(frozen=True, slots=True)
class Client:
    """How one client is told where its Ollama is."""

    title: str
    steps: tuple[str, ...]
    """What a person does, in order."""
    file: Callable[[Mapping[str, str]], Path] | None = None
    """Its settings, JSON or TOML; None when there is no file that another program may edit."""
    edits: tuple[Edit, ...] = ()


def _application_data(environ: Mapping[str, str]) -> Path:
    """Where programs keep their settings on this system."""
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def _vscode(environ: Mapping[str, str]) -> Path:
    return _application_data(environ) / "Code" / "User" / "settings.json"


def _zed(environ: Mapping[str, str]) -> Path:
    if sys.platform == "win32":
        return _application_data(environ) / "Zed" / "settings.json"
    config = environ.get("XDG_CONFIG_HOME") if sys.platform != "darwin" else None
    home = Path(environ.get("HOME") or Path.home())
    return Path(config or home / ".config") / "zed" / "settings.json"


def _claude_code(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("HOME") or Path.home())
    return Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "settings.json"


def _continue(environ: Mapping[str, str]) -> Path:
    """A file of ours beside the user's own: Continue reads every one in that folder."""
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("CONTINUE_GLOBAL_DIR") or home / ".continue")
    return folder / "models" / "ollama-bridge.yaml"


def _codex(environ: Mapping[str, str]) -> Path:
    """A profile of ours: Codex reads it over the user's own settings when it is asked for."""
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("CODEX_HOME") or home / ".codex")
    return folder / "ollama-bridge.config.toml"


_ELSEWHERE = (
    "If it runs on another machine or in a container: start the bridge with --host 0.0.0.0, set "
    "server.access_keys, and use this machine's name instead of 127.0.0.1."
)

CLIENTS: Mapping[str, Client] = {
    "vscode": Client(
        "VS Code (Copilot Chat)",
        (
            'Set "github.copilot.chat.byok.ollamaEndpoint" to {address} in settings.json.',
            "In the chat's model picker choose Manage Models, then Ollama, and tick the models.",
            "With the Ollama extension instead: it looks at 127.0.0.1:11434 by itself.",
        ),
        _vscode,
        ((("github.copilot.chat.byok.ollamaEndpoint",), "{address}"),),
    ),
    "zed": Client(
        "Zed",
        (
            'Set language_models > ollama > api_url to "{address}" in settings.json.',
            "Choose the model in the agent panel.",
        ),
        _zed,
        ((("language_models", "ollama", "api_url"), "{address}"),),
    ),
    "continue": Client(
        "Continue",
        (
            "Add to ~/.continue/config.yaml, under models:",
            "  - name: Ollama Bridge",
            "    provider: ollama",
            "    model: {model}",
            "    apiBase: {address}",
            "A file of its own in ~/.continue/models does the same. The command line takes it too:",
            "  cn --config ~/.continue/models/ollama-bridge.yaml",
        ),
        _continue,
        (  # JSON is YAML too; what is put last stands first
            (
                ("models",),
                [
                    {
                        "name": "Ollama Bridge",
                        "provider": "ollama",
                        "model": "{model}",
                        "apiBase": "{address}",
                    }
                ],
            ),
            (("schema",), "v1"),
            (("version",), "0.0.1"),
            (("name",), "Ollama Bridge"),
        ),
    ),
    "open-webui": Client(
        "Open WebUI",
        (
            "Start it with OLLAMA_BASE_URL={address},",
            "or add {address} under Admin Panel > Settings > Connections > Ollama API.",
            _ELSEWHERE,
        ),
    ),
    "jetbrains": Client(
        "JetBrains AI Assistant",
        (
            "Settings > Tools > AI Assistant > Models: enable Ollama.",
            "Set its URL to {address} and press Test Connection.",
        ),
    ),
    "home-assistant": Client(
        "Home Assistant",
        (
            "Settings > Devices & services > Add integration > Ollama.",
            "URL: {address}",
            _ELSEWHERE,
        ),
    ),
    "obsidian": Client(
        "Obsidian (Copilot plugin)",
        (
            "Settings > Copilot > Model > Add model: provider Ollama, model {model},",
            "base URL {address}",
        ),
    ),
    "codex": Client(
        "Codex",
        (
            "Start it like this:",
            "  CODEX_OSS_BASE_URL={address}/v1 codex --oss --local-provider ollama -m {model}",
            "With a profile of its own, which leaves your other settings as they are:",
            "  codex --profile ollama-bridge",
        ),
        _codex,
        (
            (("model",), "{model}"),
            (("model_provider",), "ollama-bridge"),
            (("model_providers", "ollama-bridge", "name"), "Ollama Bridge"),
            (("model_providers", "ollama-bridge", "base_url"), "{address}/v1"),
        ),
    ),
    "claude-code": Client(
        "Claude Code",
        (
            "Set these variables under env in settings.json, or in the shell:",
            "  ANTHROPIC_BASE_URL={address}",
            "  ANTHROPIC_AUTH_TOKEN=ollama",
            "  ANTHROPIC_MODEL={model}",
            "Choose a model that can use tools.",
        ),
        _claude_code,
        (
            (("env", "ANTHROPIC_BASE_URL"), "{address}"),
            (("env", "ANTHROPIC_AUTH_TOKEN"), "ollama"),
            (("env", "ANTHROPIC_MODEL"), "{model}"),
        ),
    ),
}


def filled(text: str, address: str, model: str) -> str:
    """The text with its places filled in."""
    return text.replace("{address}", address).replace("{model}", model)


def steps(client: Client, address: str, model: str) -> list[str]:
    """What a person does, for this daemon."""
    return [filled(step, address, model) for step in client.steps]


def edits(client: Client, address: str, model: str) -> list[tuple[tuple[str, ...], Any]]:
    """What a program would write into the client's file."""
    return [(path, _filled(value, address, model)) for path, value in client.edits]


def _filled(value: Any, address: str, model: str) -> Any:
    if isinstance(value, list):
        return [_filled(item, address, model) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, address, model) for key, item in value.items()}
    return filled(value, address, model)


def file(client: Client, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The client's settings file, whether or not it exists."""
    return client.file(environ) if client.file else None
