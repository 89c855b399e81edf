"""One row for each service that refuses much: what it refuses, in its own words.

The words marked R are those of a recorded refusal, reduced to what the service says; the others are
those of the service's documents and of public reports (the row of the quirks table is named).
"""

import json
from dataclasses import dataclass, field
from typing import Any

from strict import rules
from strict.rules import Answer, Body, Rule


@dataclass(frozen=True)
class Policy:
    """How one service judges a request."""

    title: str
    preset: str
    """The row of `providers.presets` that should know all of it beforehand; "" for none."""
    model: str
    rules: tuple[Rule, ...]
    completions: bool = False
    """Whether it has /v1/completions."""
    unable: dict[str, str] = field(default_factory=dict)
    """What it cannot do at all, with words of the refusal the client gets."""
    each_time: tuple[str, ...] = ()
    """Cases that are refused once with every request: the size of each prompt decides."""

    def judge(self, body: Body) -> Answer | None:
        """How a request is refused; None when it is not."""
        return rules.first(self.rules, body)


_BASE = ("model", "messages", "prompt", "stream", "max_tokens", "temperature", "top_p", "stop")
_TOOLS = ("tools", "tool_choice", "response_format")
_PENALTIES = ("presence_penalty", "frequency_penalty")
_ROLES = ("system", "user", "assistant", "tool")
_TURN = ("role", "content", "tool_calls", "tool_call_id", "name")
_NAME = r"[a-zA-Z0-9_-]{1,64}"
_AUDIO = {"audio": "input_audio"}
_RAW = {"raw": "/completions"}


def _openai(message: str, param: str | None = None, code: str | None = None) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return 400, {"error": error}


def _unsupported(key: str) -> Answer:
    """R openai."""
    said = f"Unsupported parameter: '{key}' is not supported with this model."
    return _openai(said, key, "unsupported_parameter")


def _default_only(key: str) -> Answer:
    said = f"Unsupported value: '{key}' does not support 0.5 with this model. Only the default (1) value is supported."
    return _openai(said, key, "unsupported_value")


def _openai_lost(at: int, call: str) -> Answer:
    return _openai(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {call}",
        f"messages.[{at}].role",
    )


def _openai_orphan(at: int, call: str) -> Answer:
    return _openai(
        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
        "with 'tool_calls'.",
        f"messages.[{at}].role",
    )


_ORDER = (
    rules.paired(_openai_lost, _openai_orphan),
    rules.arguments(_openai("Invalid 'messages[].tool_calls[].function.arguments'")),
    rules.roles(
        _ROLES, lambda at, role: _openai(f"Invalid value: '{role}'.", f"messages[{at}].role")
    ),
)
"""What nearly every service says of the order, the pairs and the ids of messages (B11)."""

_REASONING = (
    rules.no_key(
        "max_tokens",
        _openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
    ),
    rules.no_key("temperature", _default_only("temperature"), 1),
    rules.no_key("top_p", _unsupported("top_p"), 1),
    rules.no_key("presence_penalty", _unsupported("presence_penalty"), 0),
    rules.no_key("frequency_penalty", _unsupported("frequency_penalty"), 0),
    rules.no_key("logprobs", _unsupported("logprobs")),
    rules.no_key("top_logprobs", _unsupported("top_logprobs")),
    rules.no_key("seed", _unsupported("seed")),
    rules.no_key("stop", _unsupported("stop")),
    rules.says_json(
        _openai(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'.",
            "messages",
        )
    ),
    rules.function_names(
        _NAME,
        _openai(
            "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
            "tools[0].function.name",
            "invalid_value",
        ),
    ),
    rules.only_parts(
        ("text", "image_url"),
        lambda at, kind: _openai(
            f"Invalid value: '{kind}'. Supported values are: 'text' and 'image_url'.",
            f"messages[{at}].content[1].type",
            "invalid_value",
        ),
    ),
    rules.content_there(
        lambda at: _openai(
            "Invalid value for 'content': expected a string, got null.",
            f"messages.[{at}].content",
        ),
        beside_calls=False,
    ),
    *_ORDER,
)


def _efforts(*known: str) -> Rule:
    offered = ", ".join(f"'{level}'" for level in known)
    said = (
        "Unsupported value: 'reasoning_effort' does not support this level with this model. "
        f"Supported values are: {offered}."
    )
    answer = _openai(said, "reasoning_effort", "unsupported_value")
    return rules.no_key("reasoning_effort", answer, *known)


def _unrecognized(key: str) -> Answer:
    return _openai(f"Unrecognized request argument supplied: {key}")


_OPENAI_KEYS = (
    *(*_BASE, *_TOOLS, *_PENALTIES, "seed", "n", "logprobs", "top_logprobs", "logit_bias"),
    *("stream_options", "max_completion_tokens", "reasoning_effort", "parallel_tool_calls"),
)

OPENAI = Policy(
    "OpenAI reasoning",
    "openai",
    "gpt-5.4-mini",
    (
        rules.only_keys(_OPENAI_KEYS, _unrecognized),
        rules.effort_or_tools(
            _openai(
                "Function tools with reasoning_effort are not supported for this model in "
                "/v1/chat/completions. Please use /v1/responses instead.",
                "reasoning_effort",
            )
        ),
        _efforts("none", "low", "medium", "high", "xhigh"),
        *_REASONING,
    ),
    unable=_AUDIO | _RAW,
)

AZURE = Policy(
    "Azure",
    "azure",
    "our-deployment",  # hides the family (A1)
    (
        rules.only_keys(set(_OPENAI_KEYS) - {"stream_options"}, _unrecognized),  # A11
        _efforts("minimal", "low", "medium", "high"),
        *_REASONING,
    ),
    unable=_AUDIO | _RAW,
)


def _mistral(key: str, *place: str | int) -> Answer:
    detail = {
        "type": "extra_forbidden",
        "loc": ["body", *(place or (key,))],
        "msg": "Extra inputs are not permitted",
        "input": "x",
    }
    said = {"detail": [detail]}
    body = {"object": "error", "message": said, "type": "invalid_request_error", "code": None}
    return 422, body


def _mistral_order(message: str, code: str = "3230") -> Answer:
    said = {"object": "error", "message": message, "type": "invalid_request_message_order"}
    return 400, {**said, "param": None, "code": code, "raw_status_code": 400}


MISTRAL = Policy(
    "Mistral",
    "mistral",
    "mistral-small-latest",
    (
        rules.only_keys(
            (*_BASE, *_TOOLS, *_PENALTIES, "random_seed", "n", "logprobs", "parallel_tool_calls"),
            _mistral,
        ),
        rules.no_key(  # R mistral
            "logprobs",
            (
                400,
                {
                    "object": "error",
                    "message": "Logprobs are not enabled for this model",
                    "type": "invalid_request_invalid_args",
                    "code": "3051",
                    "param": None,
                },
            ),
        ),
        rules.message_keys(
            (*_TURN, "prefix"),
            lambda at, turn, key: _mistral(key, "messages", at, turn["role"], key),
        ),
        rules.call_ids(
            "[a-zA-Z0-9]{9}",
            lambda known: _mistral_order(
                f"Tool call id was {known} but must be a-z, A-Z, 0-9, with a length of 9.", "3280"
            ),
        ),
        rules.last(
            ("user", "tool"),
            _mistral_order(
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
                "assistant"
            ),
            prefix=True,
        ),
        rules.only_parts(
            ("text", "image_url", "input_audio"),
            lambda at, kind: _mistral(kind, "messages", at, "user", "content"),
        ),
        rules.paired(
            lambda at, call: _mistral_order("Not the same number of function calls and responses"),
            lambda at, call: _mistral_order(f"Unexpected tool call id {call} in tool results"),
        ),
        *_ORDER,
    ),
    unable={"thinking": "does not support thinking"} | _RAW,
)


def _groq(message: str) -> Answer:
    return 400, {"error": {"message": message, "type": "invalid_request_error"}}


GROQ = Policy(
    "Groq",
    "groq",
    "llama-3.3-70b",
    (
        rules.only_keys(
            {*_OPENAI_KEYS, "reasoning_format", "top_k"} - {"top_k", "min_p"},
            lambda key: _groq(f"property '{key}' is unsupported"),
        ),
        rules.no_key("logprobs", _groq("`logprobs` is not supported with this model")),
        rules.no_key("top_logprobs", _groq("`top_logprobs` is not supported with this model")),
        rules.message_keys(
            set(_TURN) - {"name"},
            lambda at, turn, key: _groq(
                f"'messages.{at}' : for 'role:{turn['role']}' the following must be "
                f"satisfied[('messages.{at}' : property '{key}' is unsupported)]"
            ),
        ),
        rules.at_most_stops(4, _groq("'stop' : maximum number of items is 4")),
        rules.no_form_beside_tools(
            _groq("json mode cannot be combined with tool/function calling")
        ),
        rules.no_form(
            "json_schema",
            _groq(
                "This model does not support response format `json_schema`. See supported models at "
                "https://console.groq.com/docs/structured-outputs#supported-models"
            ),
        ),
        rules.no_key(
            "reasoning_effort", _groq("`reasoning_effort` is not supported with this model")
        ),
        rules.plain_content(lambda at: _groq(f"messages[{at}].content must be a string")),
        *_ORDER,
    ),
    unable={"images": "does not support images", "thinking": "does not support thinking"} | _RAW,
)


def _deepseek(message: str) -> Answer:
    """R deepseek."""
    code = "invalid_request_error"
    return 400, {"error": {"message": message, "type": code, "param": None, "code": code}}


def _deepseek_unknown(at: int, kind: str, known: str = "`text`") -> Answer:
    return _deepseek(
        f"Failed to deserialize the JSON body into the target type: messages[{at}]: unknown variant "
        f"`{kind}`, expected {known} at line 1 column 231"
    )


DEEPSEEK = Policy(
    "DeepSeek",
    "deepseek",
    "deepseek-v4-flash",
    (
        rules.roles(
            _ROLES,
            lambda at, role: _deepseek_unknown(at, role, "one of `system`, `user`, `assistant`"),
        ),
        rules.only_parts(("text",), _deepseek_unknown),
        rules.no_form("json_schema", _deepseek("This response_format type is unavailable now")),
        rules.says_json(
            _deepseek(
                "Prompt must contain the word 'json' in some form to use 'response_format' of type "
                "'json_object'."
            )
        ),
        rules.needs_on_calls(
            "reasoning_content",
            _deepseek(
                "The `reasoning_content` in the thinking mode must be passed back to the API."
            ),
        ),
        *_ORDER,
    ),
    unable={"images": "does not support images"} | _RAW,
)


def _google(message: str) -> Answer:
    """R gemini-compat: a list of one error."""
    return 400, [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]


GEMINI = Policy(
    "Gemini",
    "gemini",
    "gemini-3-pro",
    (
        rules.only_keys(
            set(_OPENAI_KEYS) - {"seed", "logit_bias", "logprobs", "top_logprobs"} | {"extra_body"},
            lambda key: _google(
                f'Invalid JSON payload received. Unknown name "{key}": Cannot find field.'
            ),
        ),
        rules.no_form_beside_tools(  # R gemini-compat
            _google("Function calling with a response mime type: 'application/json' is unsupported")
        ),
        rules.no_schema_keys(
            ("$schema", "additionalProperties", "const", "exclusiveMinimum", "$ref", "$defs"),
            lambda key: _google(
                f'Invalid JSON payload received. Unknown name "{key}" at '
                "'tools[0].function_declarations[0].parameters': Cannot find field."
            ),
        ),
        rules.properties_there(
            _google("parameters.properties: should be non-empty for OBJECT type, it is missing")
        ),
        rules.signed_calls(
            _google(
                "Function call is missing a thought_signature in functionCall parts. This is required "
                "for tools to work correctly."
            )
        ),
        rules.only_parts(
            ("text", "image_url", "input_audio"), lambda at, kind: _google(f"Unknown part {kind}")
        ),
        *_ORDER,
    ),
    unable=_RAW,
)


def _cerebras(message: str) -> Answer:
    body = {"message": message, "type": "invalid_request_error", "param": "validation_error"}
    return 400, {**body, "code": "wrong_api_format"}


CEREBRAS = Policy(
    "Cerebras",
    "cerebras",
    "gpt-oss-120b",
    (
        rules.only_keys(
            set(_OPENAI_KEYS) - {*_PENALTIES, "logit_bias"},
            lambda key: _cerebras(f"property '{key}' is unsupported"),
        ),
        rules.message_keys(
            _TURN,
            lambda at, turn, key: _cerebras(
                f"body.messages.{at}.{turn['role']}.{key}: property "
                f"'body.messages.{at}.{turn['role']}.{key}' is unsupported"
            ),
        ),
        rules.roles(
            _ROLES, lambda at, role: _cerebras(f"messages.{at}.role: unsupported '{role}'")
        ),
        rules.at_most_stops(4, _cerebras("body.stop: List should have at most 4 items")),
        rules.no_form_beside_tools(
            _cerebras(
                "`tools` is incompatible with `response_format`: they are not supported together"
            )
        ),
        rules.plain_content(
            lambda at: _cerebras(f"body.messages.{at}.content: Input should be a valid string")
        ),
        *_ORDER,
    ),
    unable={"images": "does not support images"} | _RAW,
)


def _perplexity(message: str, kind: str = "invalid_message") -> Answer:
    return 400, {"error": {"message": message, "type": kind, "code": 400}}


PERPLEXITY = Policy(
    "Perplexity",
    "perplexity",
    "sonar",
    (
        rules.only_keys(
            (*_BASE, *_TOOLS, *_PENALTIES, "top_k", "reasoning_effort", "stream_options"),
            lambda key: _perplexity(f"Unexpected field '{key}' is not permitted", "bad_request"),
        ),
        rules.no_key("tools", _perplexity("Tool calling is not supported for this model.")),
        rules.no_form(
            "json_object",
            _perplexity(
                "response_format: type 'json_object' is not supported, expected one of 'text', "
                "'json_schema', 'regex'",
                "bad_request",
            ),
        ),
        rules.only_parts(
            ("text", "image_url"),
            lambda at, kind: _perplexity(f"messages[{at}]: content of type '{kind}' is unknown"),
        ),
        rules.alternating(
            _perplexity(
                "After the (optional) system message(s), user or tool message(s) should alternate with "
                "assistant message(s)."
            )
        ),
        rules.last(("user", "tool"), _perplexity("Last message must have role `user` or `tool`.")),
        *_ORDER,
    ),
    unable={
        "tools": "does not support tools",
        "prefill": "Last message must have role",
    }
    | _AUDIO
    | _RAW,
)


def _vllm(message: str) -> Answer:
    """R vllm."""
    return 400, {
        "error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    }


VLLM = Policy(
    "vLLM",
    "vllm",
    "local-model",
    (
        rules.no_key(
            "tools",
            _vllm(
                '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
            ),
        ),
        rules.no_system(_vllm("System role not supported")),
        rules.alternating(  # R vllm
            _vllm("Conversation roles must alternate user/assistant/user/assistant/...")
        ),
        rules.room(
            80,
            40,
            lambda asked: _vllm(
                f"'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum "
                "context length is 80 tokens and your request has 40 input tokens "
                f"({asked} > 80 - 40)."
            ),
        ),
        rules.only_parts(
            ("text",),
            lambda at, kind: _vllm("At most 0 image(s) may be provided in one prompt."),
        ),
        *_ORDER,
    ),
    completions=True,
    unable={"tools": "does not support tools", "images": "does not support images"},
    each_time=("chat_stream/options_mapped",),
)


def _lmstudio(message: str) -> Answer:
    return 400, {"error": message}


LMSTUDIO = Policy(
    "LM Studio",
    "lmstudio",
    "qwen3-4b",
    (
        rules.no_form(
            "json_object", _lmstudio("'response_format.type' must be 'json_schema' or 'text'")
        ),
        rules.one_system(
            _lmstudio(
                'Error rendering prompt with jinja template: "System message must be at the beginning."'
            )
        ),
        rules.only_parts(
            ("text", "image_url"),
            lambda at, kind: _lmstudio(
                "Invalid 'content': 'content' objects must have a 'type' field that is either 'text' "
                f"or 'image_url', not '{kind}'."
            ),
        ),
        *_ORDER,
    ),
    completions=True,
    unable=_AUDIO,
)


def _llamacpp(status: int, message: str) -> Answer:
    kind = "server_error" if status == 500 else "invalid_request_error"
    return status, {"error": {"code": status, "message": message, "type": kind}}


LLAMACPP = Policy(
    "llama.cpp",
    "llamacpp",
    "qwen3-4b.gguf",
    (
        rules.no_key("tools", _llamacpp(500, "tools param requires --jinja flag")),
        rules.no_form(
            "json_schema",
            _llamacpp(
                400,
                'response_format type must be one of "text" and "json_object", but got: json_schema',
            ),
        ),
        rules.only_parts(
            ("text",),
            lambda at, kind: _llamacpp(
                500,
                "image input is not supported - hint: if this is unexpected, you may need to provide "
                "the mmproj",
            ),
        ),
        rules.content_there(
            lambda at: _llamacpp(400, "Expected 'content' to be a string or an array, got null")
        ),
        *_ORDER,
    ),
    completions=True,
    unable={"tools": "does not support tools", "images": "does not support images"},
)


def _anthropic(message: str) -> Answer:
    code = "invalid_request_error"
    return 400, {"error": {"code": code, "message": message, "type": code, "param": None}}


def _behind_a_router(message: str) -> Answer:
    """The same as a router passes it on (G6b); R openrouter for the wrapping."""
    raw = json.dumps(
        {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    )
    metadata: dict[str, Any] = {"raw": raw, "provider_name": "Anthropic"}
    error = {"message": "Provider returned error", "code": 400, "metadata": metadata}
    return 400, {"error": error}


ANTHROPIC = Policy(
    "Anthropic-backed",
    "anthropic",
    "claude-sonnet-5",
    (
        rules.not_both(
            "temperature",
            "top_p",
            _behind_a_router(
                "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
            ),
        ),
        rules.some_text(
            lambda at: _behind_a_router(f"messages.{at}: text content blocks must be non-empty")
        ),
        rules.closed_objects(
            _behind_a_router(
                "output_format.schema: For 'object' type, 'additionalProperties' must be explicitly set "
                "to false"
            )
        ),
        rules.only_parts(
            ("text", "image_url"),
            lambda at, kind: _anthropic(
                f"messages.{at}.content: Input tag '{kind}' found is unknown"
            ),
        ),
        rules.images_as_declared(
            lambda at, kind: _anthropic(
                f"messages.{at}.content.0.image.source.base64: The image was specified using the "
                f"{kind} media type, but does not appear to be a {kind} image"
            )
        ),
        rules.call_ids(
            r"[a-zA-Z0-9_-]+",
            lambda known: _anthropic(
                "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            ),
        ),
        rules.paired(
            lambda at, call: _anthropic(
                f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {call}."
            ),
            lambda at, call: _anthropic(f"messages.{at}: unexpected `tool_use_id`: {call}"),
        ),
        rules.last(
            ("user", "tool"),
            _anthropic(
                "This model does not support assistant message prefill. The conversation must end with a "
                "user message."
            ),
        ),
        *_ORDER,
    ),
    unable={"prefill": "assistant message prefill"} | _AUDIO | _RAW,
)

POLICIES = (
    *(OPENAI, AZURE, MISTRAL, GROQ, DEEPSEEK, GEMINI, CEREBRAS, PERPLEXITY),
    *(VLLM, LMSTUDIO, LLAMACPP, ANTHROPIC),
)
