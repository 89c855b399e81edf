"""The two models: one that chats, one that makes embeddings."""

from ollama_bridge.demo.request import Body, Json
from ollama_bridge.errors import BadRequest, ModelNotFound

CHAT, EMBED = "demo", "demo-embed"
DIMENSIONS = 384
CREATED = 1_750_000_000
"""A fixed date, so that answers and the list of models never change."""

LABEL = (
    "This is Ollama Bridge's built-in demo model; "
    "add a provider with `ollama-bridge providers add` to talk to a real one."
)

_HEAD = {"object": "model", "created": CREATED, "owned_by": "ollama-bridge"}

MODELS: tuple[dict[str, Json], ...] = (
    {
        "id": CHAT,
        **_HEAD,
        "context_length": 32768,
        "capabilities": ["completion", "tools", "insert", "vision", "thinking"],
        "supported_parameters": [
            *("logprobs", "max_tokens", "reasoning", "response_format", "stop"),
            *("structured_outputs", "tool_choice", "tools", "top_logprobs"),
        ],
    },
    {
        "id": EMBED,
        **_HEAD,
        "type": "embeddings",
        "context_length": 8192,
        "dimensions": DIMENSIONS,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["embeddings"]},
        "supported_parameters": ["dimensions", "encoding_format"],
    },
)


def named(name: str) -> dict[str, Json]:
    """The model of this name."""
    for model in MODELS:
        if model["id"] == name:
            return model
    raise ModelNotFound(f"The model `{name}` does not exist; this service has {CHAT} and {EMBED}")


def asked(body: Body) -> str:
    """The model that a request names."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise BadRequest("you must provide a model parameter")
    return str(named(name)["id"])


def talker(body: Body) -> str:
    """The model that a request names, if it makes text."""
    name = asked(body)
    if name == EMBED:
        raise BadRequest(f"{EMBED} makes embeddings and no text; use {CHAT}")
    return name
