"""Tools of /v1/messages: definitions, and the client's choice among them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ollama_bridge.errors import BadRequest, NotSupported
from ollama_bridge.translate import tools
from ollama_bridge.wire.anthropic import Block

_SERVER_TOOLS = (
    "web_search",
    "web_fetch",
    "code_execution",
    "tool_search",
    "advisor",
    "mcp_toolset",
)
"""Tools that Anthropic's own servers carry out, by the beginning of their type: left out."""

_TEXT = {"type": "string"}
_COMMAND = {
    "command": {**_TEXT, "description": "The command to run."},
    "restart": {"type": "boolean", "description": "Start the shell anew instead."},
}
_EDITS = ["view", "create", "str_replace", "insert"]
_EDITING = {
    "command": {**_TEXT, "enum": _EDITS, "description": "What to do with the file."},
    "path": {**_TEXT, "description": "Absolute path of the file or folder."},
    "file_text": {**_TEXT, "description": "For create: the whole content."},
    "old_str": {**_TEXT, "description": "For str_replace: text that occurs exactly once."},
    "new_str": {**_TEXT, "description": "For str_replace and insert: the new text."},
    "insert_line": {"type": "integer", "description": "For insert: after which line, from 0."},
    "insert_text": {**_TEXT, "description": "For insert: the text to insert."},
    "view_range": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "For view: first and last line, from 1; -1 is the end.",
    },
}
_KNOWN_TOOLS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bash_": (
        "Run a command in a shell that stays open between calls.",
        {"type": "object", "properties": _COMMAND},
    ),
    "text_editor_": (
        "Look at and change text files.",
        {"type": "object", "properties": _EDITING, "required": ["command", "path"]},
    ),
}
"""Tools the client carries out but does not describe, by the beginning of their type."""


def to_openai(given: Sequence[Block], choice: Block) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields of the body, and the client's tool names by the names sent where they differ.

    Tools of Anthropic's servers are left out: no other service can carry them out.
    """
    local = [
        {"function": _function(tool)}
        for tool in given
        if not str(tool.get("type") or "").startswith(_SERVER_TOOLS)
    ]
    sent, names = tools.to_openai(local)
    chosen = _choice(choice, [tool["function"]["name"] for tool in sent])
    return ({"tools": sent} | chosen if sent else {}), names


def _function(tool: Block) -> Block:
    name, kind = tool.get("name"), str(tool.get("type") or "custom")
    described, schema = tool.get("description"), tool.get("input_schema")
    if schema is None:
        known = next((known for head, known in _KNOWN_TOOLS.items() if kind.startswith(head)), None)
        if known is None and kind != "custom":
            raise NotSupported(
                f"tools of type {kind} are not supported: describe the tool with an input_schema"
            )
        described, schema = known or (described, {})
    if not isinstance(name, str) or not name:
        raise BadRequest("a tool needs a name")
    if not isinstance(schema, dict):
        raise BadRequest(f"the input_schema of tool {name} must be an object")
    text = described if isinstance(described, str) else ""
    return {"name": name, "description": text, "parameters": schema}


_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def _choice(choice: Block, sent: Sequence[str]) -> dict[str, Any]:
    """`tool_choice` and `parallel_tool_calls`; nothing of what the client leaves open."""
    fields: dict[str, Any] = {}
    kind = choice.get("type")
    if kind == "tool":
        fields["tool_choice"] = {"type": "function", "function": {"name": _chosen(choice, sent)}}
    elif kind is not None:
        if not isinstance(kind, str) or kind not in _CHOICES:
            raise BadRequest(f"tool_choice.type must be auto, any, tool or none, not {kind!r}")
        fields["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use") is True:
        fields["parallel_tool_calls"] = False
    return fields


def _chosen(choice: Block, sent: Sequence[str]) -> str:
    """The tool the model has to call; without it the answer would not be what was asked for."""
    name = str(choice.get("name") or "")
    if tools.sent_name(name) not in sent:
        raise NotSupported(
            f'tool_choice names "{name}", which is not among the tools the client carries out'
        )
    return tools.sent_name(name)
