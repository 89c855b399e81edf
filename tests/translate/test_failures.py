"""Errors of every vendor's shape as one sentence and a status (upstream-quirks C17 to C21, G4 to G9)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_bridge.errors import BridgeError, ModelNotFound, NotSupported, UpstreamFailed
from ollama_bridge.translate import failures

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def refused(status: int, body: Any) -> BridgeError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failures.refused(status, data, provider="lab", model="m:1b")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ({"error": {"message": "Too long.", "type": "x", "param": None, "code": 7}}, "Too long."),
        ({"error": "Too long."}, "Too long."),
        ({"code": "Some code", "error": "Too long."}, "Too long."),  # xAI
        ({"detail": "Too long."}, "Too long."),  # Mistral, FastAPI
        ({"object": "error", "message": "Too long.", "type": "x", "code": "1500"}, "Too long."),
        ({"code": 400, "message": "Too long.", "type": "x"}, "Too long."),
        ([{"error": {"code": 400, "message": "Too long.", "status": "X"}}], "Too long."),  # G7
        ({"error": {"error": {"message": "Too long."}}}, "Too long."),
        ({"errors": [], "title": "Too long."}, "Too long."),
        (
            {"error": {"message": "", "code": "x"}, "message": "Too long."},
            '{"message": "", "code": "x"}',
        ),
        (
            {
                "detail": [
                    {"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"}
                ]
            },
            "body.messages.0: Field required",
        ),
        (
            {
                "error": {
                    "message": "Provider returned error",
                    "metadata": {"raw": '{"error":{"message":"Too long."}}', "provider_name": "X"},
                }
            },
            "Provider returned error: Too long.",
        ),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "Too long."}}},
            "Provider returned error: Too long.",
        ),
        ({"error": {"message": "x", "metadata": {"headers": {"a": "b"}}}}, "x"),
        ("Too long.", "Too long."),
        ("Too\n  long.\r\n", "Too long."),
        (
            (
                "<!DOCTYPE html><html><head><style>b{}</style><title>502</title></head>"
                "<body><h1>Bad&nbsp;Gateway</h1><script>x()</script></body></html>"
            ),
            "502 Bad Gateway",
        ),
        ("unexpected <|im_end|> after <think>", "unexpected <|im_end|> after <think>"),
        ({}, "no reason given"),
        ([], "no reason given"),
        (None, "no reason given"),
        ("", "no reason given"),
        (404, "404"),
        ("half an emoji \ud83d", "half an emoji ?"),
    ],
)
def test_sentence(error: Any, sentence: str):
    assert failures.sentence(error) == sentence


def test_a_sentence_has_an_end():
    assert len(failures.sentence("x" * 100_000)) == failures.LONGEST


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk-abcdef123456 is bad", "key [hidden] is bad"),
        ("key sk-proj-ab_cd-ef is bad", "key [hidden] is bad"),
        ("key sk-or-v1-0123456789abcdef.", "key [hidden]."),
        ("key gsk_0123456789abcdefghij", "key [hidden]"),
        ("key xai-0123456789abcdefghij", "key [hidden]"),
        ("key AIzaSyA0123456789abcdefghij", "key [hidden]"),
        ("Bearer abcdef0123456789abcdef", "[hidden]"),
        ("bearer authentication is required", "bearer authentication is required"),
        ("skateboarding and skyscrapers", "skateboarding and skyscrapers"),
        ("hf-inference and sk-SK", "hf-inference and sk-SK"),
    ],
)
def test_redact(text: str, shown: str):
    assert failures.redact(text) == shown


@pytest.mark.parametrize(
    ("upstream", "client"),
    [
        (400, 400),
        (401, 502),  # trap 11: clients take 401 for "sign in to Ollama"
        (402, 402),
        (403, 403),
        (404, 404),
        (405, 502),
        (407, 502),
        (408, 504),
        (409, 409),
        (413, 413),
        (422, 400),
        (429, 429),
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 504),
        (529, 503),
        (302, 502),
        (999, 502),
    ],
)
def test_status(upstream: int, client: int):
    error = refused(upstream, {"error": "some reason"})
    assert isinstance(error, UpstreamFailed)
    assert (error.status, error.upstream_status) == (client, upstream)
    assert error.message.startswith("lab: some reason")
    assert error.detail == "some reason"


def test_a_refused_key_says_what_to_do():
    message = refused(401, {"error": "bad key"}).message
    assert message == (
        "lab: bad key (upstream status 401: set a valid key with `ollama-bridge keys set lab`)"
    )


@pytest.mark.parametrize(
    ("body", "advised"),
    [
        (b"404 page not found", True),
        ({"detail": "Not Found"}, True),
        ({"error": {"message": "Invalid URL (POST /v1/v1/chat/completions)"}}, True),
        (b"", True),
        ({"error": {"message": "This is not a chat model"}}, False),
    ],
)
def test_a_wrong_address_says_what_to_do(body: Any, advised: bool):
    error = refused(404, body)
    assert isinstance(error, UpstreamFailed)
    assert ("check the base URL of provider lab" in error.message) is advised


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"message": "The model `m` does not exist or you do not have access."}}),
        (404, {"error": {"message": 'Model "m" not found. Your models: x'}}),
        (404, {"error": "model 'm' not found"}),
        (400, {"error": {"message": "Model Not Exist"}}),
        (400, {"message": "Invalid model: m", "type": "invalid_model"}),
        (400, {"error": {"message": "m is not a valid model ID", "code": 400}}),
        (400, {"error": {"message": "The model `m` has been decommissioned."}}),
        (400, {"error": {"message": "gone", "code": "model_decommissioned"}}),
        (404, {"error": {"message": "gone", "code": "model_not_found"}}),
        (404, {"error": {"message": "The model `m` has been deprecated, learn more"}}),
        (404, {"error": {"message": "No endpoints found for m:free."}}),
        (400, {"error": "Unknown model m"}),
    ],
)
def test_unknown_models(status: int, body: Any):
    error = refused(status, body)
    assert isinstance(error, ModelNotFound)
    assert error.status == 404
    assert error.message.startswith("model 'm:1b' not found (lab: ")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": "This model's maximum context length is 8 tokens; file not found"}),
        (400, {"error": "model m: unknown parameter top_k"}),
        (400, {"error": "Invalid model parameters"}),
        (400, {"error": "tool call id not found for the model"}),
        (503, {"error": "The model `m` does not exist yet, loading"}),
    ],
)
def test_other_refusals_are_not_about_the_name(status: int, body: Any):
    assert isinstance(refused(status, body), UpstreamFailed)


@pytest.mark.parametrize(
    ("status", "said", "feature"),
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice', "tools"),  # C17
        (400, "`tool calling` is not supported with this model", "tools"),
        (500, "tools param requires --jinja flag", "tools"),  # C18
        (500, "Cannot use tools with stream", "tools"),
        (404, "No endpoints found that support tool use.", "tools"),  # C21
        (400, "llama3 does not support tools", "tools"),
        (400, "messages[0]: unknown variant `image_url`, expected `text`", "images"),  # H4
        (500, "image input is not supported - hint: provide the mmproj", "images"),
        (400, "m is not a multimodal model", "images"),
        (404, "No endpoints found that support image input", "images"),
        (400, "Model m does not support parameter reasoningEffort.", "thinking"),  # D15
        (400, "m does not support thinking", "thinking"),
    ],
)
def test_what_a_model_cannot_do_is_said_in_ollamas_words(status: int, said: str, feature: str):
    error = refused(status, {"error": {"message": said}})
    assert isinstance(error, NotSupported)
    assert error.status == 400
    assert error.message == f'"m:1b" does not support {feature} (lab: {said})'


@pytest.mark.parametrize(
    ("error", "message", "status"),
    [
        ("out of memory", "lab: out of memory", 502),
        ({"message": "slow down", "code": 429}, "lab: slow down", 429),
        ({"message": "slow down", "code": "429"}, "lab: slow down", 429),
        ({"message": "bad key", "code": 401}, "lab: bad key", 502),
        ({"message": "odd", "code": 7}, "lab: odd", 502),
        ({"message": "odd", "code": "server_error", "status_code": 503}, "lab: odd", 503),
    ],
)
def test_errors_inside_a_reply(error: Any, message: str, status: int):
    broke = failures.in_stream(error, "lab")
    assert (broke.message, broke.status) == (message, status)


@given(
    status=st.integers(100, 999),
    body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_refusal_becomes_one_sentence(status: int, body: bytes):
    error = failures.refused(status, body, provider="lab", model="m")
    assert 400 <= error.status <= 599
    assert error.status != 401
    assert error.message == " ".join(error.message.split())
    assert "lab" in error.message
    error.message.encode()
