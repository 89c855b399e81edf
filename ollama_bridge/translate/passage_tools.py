"""Tools on their way through /v1: what Ollama takes and other servers refuse is put right.

Strategy: looking is cheap, because only two keys of each schema are read; the tools stay the bytes
they came in unless one of them has to change. What else may be wrong is the upstream's to say.
"""

from typing import Any

import msgspec

from ollama_bridge.translate.passage import Request

_ABSENT = msgspec.UNSET


class _Schema(msgspec.Struct):
    type: Any = _ABSENT
    properties: msgspec.Raw | msgspec.UnsetType = _ABSENT

    def whole(self) -> bool:
        """An object schema needs both keys (upstream-quirks C16)."""
        return self.type == "object" and self.properties is not _ABSENT


class _Function(msgspec.Struct):
    parameters: _Schema | msgspec.UnsetType | None = _ABSENT

    def fine(self) -> bool:
        """Whether there is a whole schema, or none."""
        return self.parameters is _ABSENT or (
            isinstance(self.parameters, _Schema) and self.parameters.whole()
        )


class _Tool(msgspec.Struct):
    function: _Function | None = None

    def fine(self) -> bool:
        return self.function is None or self.function.fine()


_tools = msgspec.json.Decoder(list[_Tool])

_USELESS_WITHOUT = ("tools", "tool_choice", "parallel_tool_calls")


def mend(request: Request) -> None:
    """No empty list of tools, and no tool with half a schema for its parameters."""
    sent = request.fields.get("tools")
    if not isinstance(sent, msgspec.Raw):
        return
    if not request.given("tools"):
        for key in _USELESS_WITHOUT:
            request.fields.pop(key, None)
        return
    try:
        fine = all(tool.fine() for tool in _tools.decode(sent))
    except (ValueError, RecursionError):
        return
    if not fine:
        request.fields["tools"] = [_mended(tool) for tool in request.value("tools")]


def _mended(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if function and "parameters" in function:
        schema = {"type": "object", "properties": {}} | (function["parameters"] or {})
        return {**tool, "function": {**function, "parameters": schema}}
    return tool
