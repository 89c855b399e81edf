"""What a real Ollama says, shortened: every checker must take these, or it is stricter than its client."""

from typing import Any

DIGEST = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama", "clip"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}
VERSION = {"version": "0.32.15"}
TAGS: dict[str, Any] = {
    "models": [
        {
            "name": "llama3.2:latest",
            "model": "llama3.2:latest",
            "modified_at": "2026-08-20T09:11:12.345678901-07:00",
            "size": 2019393189,
            "digest": DIGEST,
            "details": DETAILS,
            "capabilities": ["completion", "tools", "vision"],
        },
        {
            "name": "nomic-embed-text:latest",
            "model": "nomic-embed-text:latest",
            "modified_at": "2026-08-19T09:11:12.345678902Z",
            "size": 274302450,
            "digest": DIGEST[::-1],
            "details": DETAILS | {"family": "nomic-bert", "families": ["nomic-bert"]},
        },
    ]
}
PS: dict[str, Any] = {
    "models": [
        {
            "name": "llama3.2:latest",
            "model": "llama3.2:latest",
            "size": 3019393189,
            "digest": DIGEST,
            "details": DETAILS,
            "expires_at": "2026-08-20T09:16:12.345678901-07:00",
            "size_vram": 3019393189,
            "context_length": 4096,
        }
    ]
}
SHOW: dict[str, Any] = {
    "license": "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT",
    "modelfile": "# Modelfile\nFROM llama3.2\n",
    "parameters": 'stop                           "<|eot_id|>"\nnum_ctx                        8192',
    "template": "{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}{{ .Suffix }}",
    "system": "",
    "details": DETAILS,
    "model_info": {
        "general.architecture": "llama",
        "general.basename": "Llama-3.2",
        "general.parameter_count": 3212749888,
        "llama.context_length": 131072,
        "llama.embedding_length": 3072,
    },
    "capabilities": ["completion", "tools", "insert", "vision", "thinking"],
    "modified_at": "2026-08-20T09:11:12.345678901-07:00",
}
COUNTERS = {
    "total_duration": 5191566416,
    "load_duration": 2154458,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 383809000,
    "eval_count": 298,
    "eval_duration": 4799921000,
}
_HEAD = {"model": "llama3.2", "created_at": "2026-08-20T16:11:12.345678901Z"}
END = {"done": True, "done_reason": "stop", **COUNTERS}


def line(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One line of a chat."""
    rest = more or {"done": False}
    return {**_HEAD, "message": {"role": "assistant", "content": "", **message}, **rest}


def called(index: int, city: str) -> dict[str, Any]:
    """One tool call."""
    function = {"index": index, "name": "get_weather", "arguments": {"city": city}}
    return {"id": f"call_{index}", "function": function}


CHAT = [
    line({"thinking": "Hm."}),
    line({"content": "Good"}),
    line({"content": " day."}),
    line({}, **END),
]
CALLS = [
    line({"tool_calls": [called(0, "Paris")]}),
    line({"tool_calls": [called(1, "Rome")]}),
    line({}, **END),
]
WHOLE = line({"content": "Good day.", "thinking": "Hm."}, **END)
WHOLE_CALLS = line({"tool_calls": [called(0, "Paris"), called(1, "Rome")]}, **END)
GENERATE = [
    {**_HEAD, "response": "Good", "done": False},
    {**_HEAD, "response": " day.", "done": False},
    {**_HEAD, "response": "", **END},
]
LOADED = {**_HEAD, "response": "", "done": True, "done_reason": "load"}
PULL = [
    {"status": "pulling manifest"},
    {"status": "pulling a80c4f17acd5", "digest": f"sha256:{DIGEST}", "total": 9, "completed": 9},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
]
EMBED = {
    "model": "nomic-embed-text",
    "embeddings": [[0.6, 0.8], [0.8, 0.6]],
    "total_duration": 14143917,
    "load_duration": 1019500,
    "prompt_eval_count": 8,
}
ERROR = {"error": "model 'nope' not found"}
