"""Whatever is sent gets an answer or a refusal, and no crash."""

import asyncio
import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_bridge.demo import app

KEYS = re.findall(
    r"\S+",
    """
    model messages role content type text image_url url tools function name description parameters
    properties required items enum anyOf allOf $ref $defs minimum multipleOf minItems tool_choice
    stop max_tokens response_format json_schema schema stream stream_options prompt suffix input
    dimensions encoding_format tool_calls id tool_call_id reasoning_effort logprobs top_logprobs
    input_audio data format file default const uniqueItems prefixItems maxItems exclusiveMinimum
    """,
)
WORDS = [
    "demo",
    "demo-embed",
    "user",
    "tool",
    "object",
    "array",
    "integer",
    "auto",
    "required",
    "#/a",
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4) | st.sampled_from(WORDS)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "tool", "assistant", "x"]), "content": values}
    ),
    min_size=1,
    max_size=2,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["demo", "demo-embed"])},
    optional={
        "messages": messages | values,
        "tools": st.lists(st.fixed_dictionaries({"function": values})) | values,
        "response_format": st.fixed_dictionaries(
            {
                "type": st.just("json_schema"),
                "json_schema": st.fixed_dictionaries(
                    {"schema": st.dictionaries(st.sampled_from(KEYS), values)}
                ),
            }
        )
        | values,
        **{
            key: values
            for key in KEYS
            if key not in ("model", "messages", "tools", "response_format")
        },
    },
)
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


@settings(max_examples=150, deadline=None)
@given(bodies | values, st.sampled_from(PATHS))
def test_any_json_gets_an_answer_or_a_refusal(body, path):
    status, reply = asyncio.run(exchange(path, json.dumps(body).encode()))
    assert status in {200, 400, 404}
    assert reply


@given(st.binary(), st.sampled_from(PATHS))
def test_any_bytes_get_an_answer_or_a_refusal(body, path):
    status, reply = asyncio.run(exchange(path, body))
    assert status in {400, 404}
    assert reply


async def exchange(path, body):
    """One request by bare ASGI, its body in two parts: status and reply."""
    half = len(body) // 2
    parts = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:]},
    ]
    sent = []
    never = asyncio.Event()

    async def receive():
        if parts:
            return parts.pop(0)
        await never.wait()
        raise AssertionError

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": path}, receive, send)
    assert sent[-1].get("more_body", False) is False
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_deep_nesting_is_no_crash(client):
    deep = b'{"model":"demo","messages":' + b"[" * 900 + b"]" * 900 + b"}"
    reply = await client.post("/v1/chat/completions", content=deep)
    assert reply.status_code == 400
    deep = b'{"model":"demo","messages":[{"role":"user"}],"tools":' + b"[" * 900 + b"]" * 900 + b"}"
    reply = await client.post("/v1/chat/completions", content=deep)
    assert reply.status_code in {200, 400}
