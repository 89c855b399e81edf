"""Model management: what Ollama says while it pulls and creates, and what a create asks for.

A model of the user's own is a name, a model it stands for and settings on top. Whatever would need
weights is refused with the reason; what is kept but has no effect is said in the progress.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from ollama_bridge.errors import BadOption, BadRequest, NotSupported
from ollama_bridge.translate import lines, options
from ollama_bridge.wire import ollama

Own = dict[str, Any]
"""What a create sets, by the names an alias has for it."""

NO_MANIFEST = "pull model manifest: file does not exist"
"""What a pull says of a model that nobody has; the `ollama` command looks for these words."""

STUB_SIZE = 384
"""Bytes of the description that is all there is to pull."""

LIMIT = 1024 * 1024
"""Most bytes that one model of the user's own may put into the settings file."""

PULLING = "pulling manifest"
WRITING = "writing manifest"
SUCCESS = "success"

_WHY = (
    "Ollama Bridge answers with models that run elsewhere and has no weights of its own; "
    "create the model FROM a name that `ollama list` shows"
)
_REFUSED: Mapping[str, str] = {
    "files": f"model files cannot be imported: {_WHY}",
    "adapters": f"adapters cannot be applied: {_WHY}",
    "draft_files": f"draft models cannot be imported: {_WHY}",
    "quantize": f"a model cannot be quantized: {_WHY}",
    "quantization": f"a model cannot be quantized: {_WHY}",
    "draft_quantize": f"a draft model cannot be quantized: {_WHY}",
    "remote_host": "remote_host is not supported: make that server a provider with "
    "`ollama-bridge providers add`, then create the model FROM one of its names",
}
_WITHOUT_EFFECT: Mapping[str, str] = {
    "template": "the template is kept and shown, but the provider applies its own",
    "renderer": "the renderer is not kept: the provider has its own",
    "parser": "the parser is not kept: the provider has its own",
    "requires": "the required version is not kept: it is about Ollama's own engine",
}
_INFO = frozenset({"capabilities", "context_length"})
"""What of `info` a model of the user's own can say itself; the rest is the base model's."""

_ROLES = frozenset({"system", "user", "assistant", "tool"})


# progress


def status(text: str, **more: Any) -> bytes:
    """One progress line."""
    return f"{lines.encoded({'status': text, **more})}\n".encode()


def pulled(digest: str, size: int | None) -> Iterator[bytes]:
    """The progress of a pull once the model is known: everything is there already."""
    whole = size or STUB_SIZE
    yield status(f"pulling {digest[:12]}", digest=f"sha256:{digest}", total=whole, completed=whole)
    yield status("verifying sha256 digest")
    yield status(WRITING)
    yield status(SUCCESS)


def layers(base: str, own: Own) -> Iterator[bytes]:
    """The progress of a create: the base model's digest, then one layer for each thing set."""
    yield status(f"using existing layer sha256:{base}")
    for name, value in own.items():
        content = lines.encoded([name, value]).encode()
        yield status(f"creating new layer sha256:{hashlib.sha256(content).hexdigest()}")


def remarks(request: ollama.CreateRequest) -> Iterator[bytes]:
    """A line for each thing that was asked for and has no effect."""
    for name, remark in _WITHOUT_EFFECT.items():
        if getattr(request, name):
            yield status(f"note: {remark}")
    for name in sorted((request.info or {}).keys() - _INFO):
        yield status(f"note: {name} is not kept: the base model's own is shown")


# create


def check(request: ollama.CreateRequest) -> None:
    """Refuse what cannot be made, in Ollama's order (ollama-api 6.3)."""
    for files in (request.files, request.adapters, request.draft_files):
        _check_files(files or {})
    for name, reason in _REFUSED.items():
        if getattr(request, name):
            raise NotSupported(reason)
    if not request.from_:
        raise BadRequest("neither 'from' or 'files' was specified")


def own(request: ollama.CreateRequest, known: Collection[str]) -> Own:
    """What the request sets; `known` are the capabilities there are. Raises BadRequest."""
    info = request.info or {}
    given: Own = {
        "template": request.template,
        "system": request.system,
        "license": _license(request.license),
        "parameters": _parameters(request.parameters or {}),
        "messages": tuple(_message(turn) for turn in request.messages or ()),
        "context_length": _context(info.get("context_length")),
        "capabilities": _capabilities(info.get("capabilities"), known),
    }
    filled = {name: value for name, value in given.items() if value}
    if len(lines.encoded(filled)) > LIMIT:
        raise BadRequest(
            f"what the model brings along is larger than {LIMIT // 2**20} MiB, the most the "
            "settings file takes; leave out images or shorten the messages"
        )
    return filled


def _check_files(files: Mapping[str, str]) -> None:
    for path, digest in files.items():
        if path != "." and any(part in {"", ".", ".."} for part in path.split("/")):
            raise BadRequest("file path must be relative")
        if not digest:
            raise BadRequest("invalid digest format")


def _license(given: Any) -> str:
    """All licenses in one text, as /api/show tells them."""
    texts = given if isinstance(given, list) else [given or ""]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest("license must be a string or a list of strings")
    return "\n".join(texts)


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """Checked now, so that a wrong type does not spoil every chat later."""
    kept = {name: value for name, value in given.items() if value is not None}
    try:
        options.to_openai(kept, {})
    except BadOption as error:
        raise BadRequest(error.message) from error
    for name, value in kept.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float) for item in items):
            raise BadRequest(f'parameter "{name}" must be a number, a string, a boolean or a list')
    return kept


def _message(turn: ollama.Message) -> Own:
    if turn.role not in _ROLES:
        raise BadRequest('message role must be one of "system", "user", "assistant" or "tool"')
    said: Own = msgspec.to_builtins(turn)
    kept = {name: value for name, value in said.items() if value}
    if _has_null(kept):
        raise BadRequest(
            "a message's tool call holds null, which the settings file cannot keep; leave it out"
        )
    return {"role": turn.role, "content": turn.content} | kept


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _context(given: Any) -> int | None:
    if given is None or given == 0:
        return None
    whole = isinstance(given, int | float) and not isinstance(given, bool) and given == int(given)
    if not whole or given < 0:
        raise BadRequest("context_length must be a whole number of tokens")
    return int(given)


def _capabilities(given: Any, known: Collection[str]) -> tuple[str, ...] | None:
    words = given or []
    if not isinstance(words, list) or not all(word in known for word in words):
        raise BadRequest(f"capabilities must be a list of {', '.join(known)}")
    return tuple(words) or None
