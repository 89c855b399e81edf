"""A server with the manners of a real Ollama: its routes, lists and streams, byte for byte."""

import json
from typing import Any

from fake_upstream import Call

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
VERSION = "0.32.15"

LLAMA = {
    "name": "llama3.2:latest",
    "model": "llama3.2:latest",
    "modified_at": "2025-05-04T17:37:44.706015396-07:00",
    "size": 2019393189,
    "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
    "details": {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "3.2B",
        "quantization_level": "Q4_K_M",
    },
}
SHOWN = {
    "license": "LLAMA 3.2",
    "modelfile": "FROM llama3.2:latest",
    "parameters": 'stop                           "<|eot_id|>"\ntemperature                    0.7',
    "template": "{{ .Prompt }}",
    "details": LLAMA["details"],
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    "capabilities": ["completion", "tools"],
    "modified_at": LLAMA["modified_at"],
}
END = {
    "done_reason": "stop",
    "done": True,
    "total_duration": 4883583458,
    "load_duration": 1334875,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342546000,
    "eval_count": 282,
    "eval_duration": 4535599000,
}
CALL = {"id": "call_ab12cd34", "function": {"index": 0, "name": "f", "arguments": {"done": True}}}
PULL = (
    {"status": "pulling manifest"},
    {"status": "pulling 7cd4618c1faf", "digest": "sha256:7cd4", "total": 8153, "completed": 8153},
    {"status": "verifying sha256 digest"},
    {"status": "writing manifest"},
    {"status": "success"},
)
WORDS = ("The", " sky", " is \u2028", 'blue "model":"x"')


class FakeOllama:
    """ASGI; `broken` cuts streams after that many lines; every request is noted in `calls`."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {"llama3.2:latest": LLAMA}
        self.calls: list[Call] = []
        self.broken: int | None = None
        self.refusal: tuple[int, dict[str, Any]] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        call = Call(scope["path"], headers, json.loads(body) if body else None, send, receive)
        route = _ROUTES[scope["path"]]
        if route not in (FakeOllama.version, FakeOllama.tags, FakeOllama.ps):
            self.calls.append(call)
        if self.refusal and scope["method"] == "POST":
            status, said = self.refusal
            await call.json(said, status)
            return
        await route(self, call)

    def bodies(self, path: str) -> list[Any]:
        """What was asked of a route."""
        return [call.body for call in self.calls if call.path == path]

    async def version(self, call: Call) -> None:
        await _whole(call, {"version": VERSION})

    async def tags(self, call: Call) -> None:
        await _whole(call, {"models": [*self.models.values()]})

    async def ps(self, call: Call) -> None:
        loaded = {"expires_at": "2026-08-08T00:07:26.817827822+02:00", "size_vram": 5964735424}
        kept = {key: value for key, value in LLAMA.items() if key != "modified_at"}
        await _whole(call, {"models": [kept | loaded]})

    async def show(self, call: Call) -> None:
        if self._found(call.body["model"]):
            await _whole(call, SHOWN)
        else:
            await call.json({"error": f"model '{call.body['model']}' not found"}, 404)

    async def chat(self, call: Call) -> None:
        model = call.body["model"]
        if not self._found(model):
            await call.json({"error": f"model '{model}' not found"}, 404)
            return
        if not call.body.get("messages"):
            said = {"role": "assistant", "content": ""}
            reason = "unload" if call.body.get("keep_alive") == 0 else "load"
            await _whole(
                call, {**_head(model), "message": said, "done_reason": reason, "done": True}
            )
            return
        parts: list[dict[str, Any]] = [
            {"role": "assistant", "content": word, **({"tool_calls": [CALL]} if tools else {})}
            for word, tools in _with_tools(call)
        ]
        if call.body.get("stream") is False:
            text = "".join(part["content"] for part in parts)
            message = parts[-1] | {"content": text}
            await _whole(call, {**_head(model), "message": message, **END})
            return
        lines = [{**_head(model), "message": part, "done": False} for part in parts]
        end = {**_head(model), "message": {"role": "assistant", "content": ""}, **END}
        await self._stream(call, [*lines, end])

    async def generate(self, call: Call) -> None:
        model = call.body["model"]
        lines = [{**_head(model), "response": word, "done": False} for word in WORDS]
        if call.body.get("stream") is False:
            await _whole(call, {**_head(model), "response": "".join(WORDS), **END})
        else:
            await self._stream(call, [*lines, {**_head(model), "response": "", **END}])

    async def embed(self, call: Call) -> None:
        reply = {"model": call.body["model"], "embeddings": [[0.6, -0.8]], "prompt_eval_count": 8}
        await _whole(call, reply)

    async def embeddings(self, call: Call) -> None:
        await _whole(call, {"embedding": [0.5670403, 0.009260174]})

    async def completions(self, call: Call) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}}
        reply = {"model": call.body["model"], "choices": [choice | {"finish_reason": "stop"}]}
        await call.json(reply)

    async def pull(self, call: Call) -> None:
        name = call.body["model"]
        if name == "nothing":
            lines = [PULL[0], {"error": "pull model manifest: file does not exist"}]
            await self._stream(call, lines)
            return
        self.models[name] = LLAMA | {"name": name, "model": name}
        await self._progress(call, PULL)

    async def remove(self, call: Call) -> None:
        for name in (call.body["model"], f"{call.body['model']}:latest"):
            if self.models.pop(name, None):
                await call.start(200, "")
                await call.write(b"", more=False)
                return
        await call.json({"error": f"model '{call.body['model']}' not found"}, 404)

    async def copy(self, call: Call) -> None:
        name = call.body["destination"]
        self.models[name] = LLAMA | {"name": name, "model": name}
        await call.start(200, "")
        await call.write(b"", more=False)

    async def create(self, call: Call) -> None:
        name = call.body["model"]
        self.models[name] = LLAMA | {"name": name, "model": name}
        await self._progress(call, [{"status": "creating system layer"}, PULL[-1]])

    def _found(self, name: str) -> bool:
        return bool({name, f"{name}:latest"} & self.models.keys())

    async def _progress(self, call: Call, lines: Any) -> None:
        if call.body.get("stream") is False:
            await _whole(call, lines[-1])
        else:
            await self._stream(call, lines)

    async def _stream(self, call: Call, lines: Any) -> None:
        await call.start(200, NDJSON)
        for number, line in enumerate(lines):
            if number == self.broken:
                raise ConnectionAbortedError("as asked")
            await call.write(encoded(line) + b"\n")
        await call.write(b"", more=False)


def encoded(value: Any) -> bytes:
    """JSON as Go writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _head(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": "2023-12-12T14:13:43.416799Z"}


def _with_tools(call: Call) -> list[tuple[str, bool]]:
    return [("", True)] if call.body.get("tools") else [(word, False) for word in WORDS]


async def _whole(call: Call, value: Any) -> None:
    await call.start(200, JSON)
    await call.write(encoded(value), more=False)


_ROUTES = {
    "/api/version": FakeOllama.version,
    "/api/tags": FakeOllama.tags,
    "/api/ps": FakeOllama.ps,
    "/api/show": FakeOllama.show,
    "/api/chat": FakeOllama.chat,
    "/api/generate": FakeOllama.generate,
    "/api/embed": FakeOllama.embed,
    "/api/embeddings": FakeOllama.embeddings,
    "/api/pull": FakeOllama.pull,
    "/api/push": FakeOllama.pull,
    "/api/delete": FakeOllama.remove,
    "/api/copy": FakeOllama.copy,
    "/api/create": FakeOllama.create,
    "/v1/chat/completions": FakeOllama.completions,
}
