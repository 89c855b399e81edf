"""Well-known services, one row each. To add a provider, add a row here and nothing elsewhere.

Hosted services come first, in the order in which the first one found becomes the default; then the
servers people run themselves. A row holds only what differs from a plain OpenAI-compatible server.
A hundred more services, without oddities that we know of, are in facts.json.
"""

from collections.abc import Mapping
from dataclasses import replace

from ollama_bridge.providers.provider import EFFORTS, OLLAMA, Blank, Provider

DEMO = "demo"
"""The built-in offline service; its address is known only once the daemon listens."""

DEMO_URL = "demo:"

URL_VARIABLES: Mapping[str, str] = {"OPENAI_BASE_URL": "openai"}
"""Environment variables that move a preset to another address, as its own tools let them."""

_TOP_K_AND_MIN_P = {"top_k": "top_k", "min_p": "min_p"}
_REPETITION = {**_TOP_K_AND_MIN_P, "repeat_penalty": "repetition_penalty"}
_LLAMA_CPP = {
    **_TOP_K_AND_MIN_P,
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
}

_CAN_STOP_THINKING = {**EFFORTS, "off": "none"}

_NO_CHAT = dict.fromkeys(("*codex*", "*-pro", "*-pro-2*", "*deep-research*"), ("responses_only",))
"""Families that have never had chat completions (A9); others are learned when they refuse."""

# OpenAI's own models, whoever hosts them.
_OPENAI_MODELS = (
    "new_token_limit",
    "drop_reasoning_sampling",
    "first_four_stops",
    "say_json",
    "content_null",
)

_AZURE_RESOURCE = Blank("resource", "AZURE_RESOURCE_NAME", "resource name")
_AZURE_HOSTS = ("services.ai.azure.com", "cognitiveservices.azure.com")

_HOSTED = (
    Provider(
        name="openai",
        url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        quirks=_OPENAI_MODELS,
        model_quirks=_NO_CHAT,
        embed_batch=2048,
        responses=True,
    ),
    Provider(
        name="openrouter",
        url="https://openrouter.ai/api/v1",
        listing="models?output_modalities=text,embeddings",  # else none that embeds (J6)
        key_variable="OPENROUTER_API_KEY",
        quirks=("first_four_stops", "reasoning_object"),
        efforts=_CAN_STOP_THINKING,
        extra_options=_REPETITION,
    ),
    Provider(
        name="anthropic",
        url="https://api.anthropic.com/v1",
        key_variable="ANTHROPIC_API_KEY",
        headers={"anthropic-version": "2023-06-01"},  # its model list refuses to answer without
    ),
    Provider(
        name="gemini",
        facts="google",
        url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        quirks=("plain_schemas", "format_beside_tools", "signed_calls"),
        embed_batch=100,
    ),
    Provider(
        name="groq",
        url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        quirks=(
            "first_four_stops",
            "no_logprobs",
            "strict_messages",
            "parsed_reasoning",
            "format_beside_tools",
        ),
    ),
    Provider(
        name="deepseek",
        url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        quirks=(
            "thinking_switch",
            "schema_to_object",
            "say_json",
            "system_role",
            "thoughts_back",
        ),
        efforts=_CAN_STOP_THINKING,
    ),
    Provider(
        name="mistral",
        url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        quirks=(
            "old_token_limit",
            "random_seed",
            "no_stream_options",
            "strict_keys",
            "system_role",
            "strict_messages",
            "nine_letter_ids",
            "prefix_last_assistant",
        ),
    ),
    Provider(
        name="xai",
        url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
    ),
    Provider(
        name="together",
        facts="togetherai",
        url="https://api.together.xyz/v1",
        hosts=("api.together.ai",),
        key_variable="TOGETHER_API_KEY",
        quirks=("system_role",),
        extra_options=_REPETITION,
    ),
    Provider(
        name="fireworks",
        facts="fireworks-ai",
        url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        quirks=("system_role",),
        extra_options=_REPETITION,
    ),
    Provider(
        name="deepinfra",
        url="https://api.deepinfra.com/v1/openai",
        key_variable="DEEPINFRA_API_KEY",
        quirks=("system_role",),
        extra_options=_REPETITION,
    ),
    Provider(
        name="cerebras",
        url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        quirks=("new_token_limit", "first_four_stops", "system_role", "strict_messages"),
    ),
    Provider(
        name="sambanova",
        url="https://api.sambanova.ai/v1",
        key_variable="SAMBANOVA_API_KEY",
        quirks=("system_role",),
    ),
    Provider(
        name="perplexity",
        url="https://api.perplexity.ai",  # no version segment
        key_variable="PERPLEXITY_API_KEY",
        quirks=("system_role", "alternate"),
    ),
    Provider(
        name="dashscope",
        facts="alibaba",
        url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        hosts=("dashscope.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        key_variable="DASHSCOPE_API_KEY",
        quirks=("enable_thinking", "say_json", "system_role"),
        efforts=_CAN_STOP_THINKING,
        embed_batch=10,
    ),
    Provider(
        name="moonshot",
        facts="moonshotai",
        url="https://api.moonshot.ai/v1",
        hosts=("api.moonshot.cn",),
        key_variable="MOONSHOT_API_KEY",
        quirks=("thinking_switch", "system_role"),
        efforts=_CAN_STOP_THINKING,
    ),
    Provider(
        name="zai",
        url="https://api.z.ai/api/paas/v4",
        hosts=("open.bigmodel.cn",),
        key_variable="ZAI_API_KEY",
        quirks=("thinking_switch", "system_role"),
        efforts=_CAN_STOP_THINKING,
    ),
    Provider(
        name="minimax",
        url="https://api.minimax.io/v1",
        hosts=("api.minimaxi.com",),
        key_variable="MINIMAX_API_KEY",
        quirks=("system_role",),
    ),
    Provider(
        name="nvidia",
        url="https://integrate.api.nvidia.com/v1",
        key_variable="NVIDIA_API_KEY",
        quirks=("system_role",),
    ),
    Provider(
        name="huggingface",
        url="https://router.huggingface.co/v1",
        key_variable="HF_TOKEN",
        quirks=("system_role",),
    ),
    Provider(
        name="vercel",
        url="https://ai-gateway.vercel.sh/v1",
        key_variable="AI_GATEWAY_API_KEY",
    ),
    Provider(
        name="github",
        facts="github-models",
        url="https://models.github.ai/inference",
        listing="../catalog/models",
        # not GITHUB_TOKEN: every CI job has one, for its repository, and did not mean us
        key_variable="GITHUB_MODELS_TOKEN",
    ),
    Provider(
        name="azure",  # the v1 form (K4); its models are the names of the user's deployments (K5)
        url="https://{resource}.openai.azure.com/openai/v1",
        blanks=(_AZURE_RESOURCE,),
        hosts=_AZURE_HOSTS,
        listing="",
        key_variable="AZURE_API_KEY",
        key_header="api-key",
        quirks=_OPENAI_MODELS,
        model_quirks=_NO_CHAT,
        embed_batch=2048,
        responses=True,
    ),
    Provider(
        name="azure-deployments",  # the older form, for resources that have no other (K3)
        facts="azure",
        url="https://{resource}.openai.azure.com/openai",
        blanks=(_AZURE_RESOURCE,),
        hosts=_AZURE_HOSTS,
        model_path="/deployments/{model}",
        listing="",
        query={"api-version": "2024-10-21"},
        key_variable="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        quirks=_OPENAI_MODELS,
        embed_batch=2048,
    ),
    Provider(
        name="github-copilot",
        url="https://api.githubcopilot.com",  # no version segment
        hosts=(
            "api.individual.githubcopilot.com",
            "api.business.githubcopilot.com",
            "api.enterprise.githubcopilot.com",
        ),
        key_variable="COPILOT_GITHUB_TOKEN",  # of a device login; personal tokens are refused
        # it answers integrations that it knows, and pictures only when they are announced
        headers={"Copilot-Integration-Id": "vscode-chat", "Copilot-Vision-Request": "true"},
        quirks=("first_four_stops",),
    ),
    Provider(
        name="cloudflare",
        facts="cloudflare-workers-ai",
        url="https://api.cloudflare.com/client/v4/accounts/{account}/ai/v1",
        blanks=(Blank("account", "CLOUDFLARE_ACCOUNT_ID", "account id"),),
        listing="../models/search?per_page=1000",
        key_variable="CLOUDFLARE_API_TOKEN",
        quirks=("system_role",),
        extra_options=_REPETITION,
    ),
    Provider(
        name="databricks",
        url="https://{workspace}/serving-endpoints",
        blanks=(Blank("workspace", "DATABRICKS_HOST", "host of the workspace"),),
        hosts=("cloud.databricks.com", "azuredatabricks.net", "gcp.databricks.com"),
        listing="/api/2.0/serving-endpoints",
        key_variable="DATABRICKS_TOKEN",
        quirks=("system_role", "no_empty_text"),
    ),
    Provider(
        name="snowflake",
        url="https://{account}.snowflakecomputing.com/api/v2/cortex/v1",
        blanks=(Blank("account", "SNOWFLAKE_ACCOUNT", "account identifier"),),
        listing="",
        key_variable="SNOWFLAKE_PAT",
        quirks=("new_token_limit", "system_role", "no_empty_text"),
    ),
)

_LOCAL = (
    Provider(
        name="vllm",
        url="http://127.0.0.1:8000/v1",
        key="none",
        quirks=("template_thinking", "system_role"),
        efforts=_CAN_STOP_THINKING,
        extra_options=_REPETITION,
    ),
    Provider(
        name="sglang",
        url="http://127.0.0.1:30000/v1",
        key="none",
        quirks=("template_thinking", "system_role"),
        efforts=_CAN_STOP_THINKING,
        extra_options=_REPETITION,
    ),
    Provider(
        name="llamacpp",
        url="http://127.0.0.1:8080/v1",
        running="../props",  # its list tells the window of the training, not the one it runs with
        key="none",
        quirks=("template_thinking", "system_role"),
        efforts=_CAN_STOP_THINKING,
        extra_options=_LLAMA_CPP,
    ),
    Provider(
        name="lmstudio",
        url="http://127.0.0.1:1234/v1",
        listing="../api/v0/models",  # its own: kinds, and the window that is loaded (J4)
        key="none",
        quirks=("system_role", "json_by_schema"),
        extra_options={"top_k": "top_k", "repeat_penalty": "repeat_penalty"},
    ),
    Provider(
        name="koboldcpp",
        url="http://127.0.0.1:5001/v1",
        key="none",
        quirks=("system_role",),
        extra_options={
            **_TOP_K_AND_MIN_P,
            "typical_p": "typical",
            "repeat_penalty": "rep_pen",
            "repeat_last_n": "rep_pen_range",
            "mirostat": "mirostat",
            "mirostat_tau": "mirostat_tau",
            "mirostat_eta": "mirostat_eta",
        },
    ),
    Provider(
        name="jan",
        url="http://127.0.0.1:1337/v1",
        key="none",
        quirks=("system_role",),
        extra_options=_LLAMA_CPP,
    ),
    Provider(
        name="localai",
        url="http://127.0.0.1:8080/v1",
        key="none",
        quirks=("system_role",),
        extra_options=_LLAMA_CPP,
    ),
    Provider(
        name="docker",  # Docker Model Runner, with its TCP port open
        url="http://127.0.0.1:12434/engines/v1",
        key="none",
        quirks=("template_thinking", "system_role"),
        efforts=_CAN_STOP_THINKING,
        extra_options=_LLAMA_CPP,
    ),
    Provider(
        name="litellm",  # the proxy; it has keys of its own when one is set there
        url="http://127.0.0.1:4000/v1",
        quirks=("system_role",),
        responses=True,
    ),
    Provider(
        name="ollama",
        url="http://127.0.0.1:11434/v1",
        key="none",
        kind=OLLAMA,
        responses=True,
    ),
    Provider(name=DEMO, url=DEMO_URL, key="none"),
)

PRESETS: Mapping[str, Provider] = {
    row.name: replace(row, facts=row.facts or row.name) for row in (*_HOSTED, *_LOCAL)
}
