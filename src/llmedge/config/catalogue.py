"""The vendors we know: where they are, how they know their callers, what they speak and where they differ.

Data and a few lookups, no I/O. Read from the vendors' own pages in November 2026; each entry names its page.

A path stands behind the base URL; one that begins with ``{origin}`` stands at the root of the base URL's host
instead. ``{model}`` is the model's name, percent-encoded; ``{api_version}``, ``{project}`` and ``{location}`` are
options of the vendors that have them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from llmedge.config.capabilities import Capabilities, capabilities_of
from llmedge.config.vendor_entry import Vendor
from llmedge.operations import ENDPOINTS, Operation

_OPENAIS = {each.dialect: each.path.removeprefix("/v1") for each in ENDPOINTS if each.dialect.startswith("openai_")}
_PASSED = {each.value: each.endpoints[0].path.removeprefix("/v1") for each in Operation if each.passes_through}
_STANDARD = _OPENAIS | _PASSED
DIALECTS = (*_OPENAIS, "anthropic", "gemini", "bedrock")


def capabilities(vendor: str, model: str) -> Capabilities:
    """What ``model`` can do at ``vendor``; of a vendor not in the catalogue, what the model's name tells."""
    known = VENDORS.get(vendor)
    return capabilities_of(model, known.capabilities if known else Capabilities())


AUDIO = "audio_speech audio_transcriptions audio_translations"


def paths(names: str, before: str = "", after: str = "", **more: str) -> dict[str, str]:
    """OpenAI's own paths for the words of ``names``, and ``more``. ``chat`` is ``openai_chat`` and so on."""
    full = (name if name in _STANDARD else f"openai_{name}" for name in names.split())
    return {name: f"{before}{_STANDARD[name]}{after}" for name in full} | more


def _quirks(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _gemini(before: str, after: str) -> dict[str, str]:
    return {"gemini": f"{before}/models/{{model}}:{after}"}


_OPENAI = Capabilities(tools=True, json_object=True, json_schema=True, system=True, prefill=False)
_OPEN = Capabilities(tools=True, json_object=True, json_schema=True, system=True)
_OPENAIS_OWN = {
    "tools": 128,
    "n": 128,
    "metadata": (16, r"(?s:.){1,64}", r"(?s:.){0,512}"),
    "images": ("image/jpeg", "image/png", "image/gif", "image/webp"),
}
"""developers.openai.com/api/reference: chat/create, responses/create; pictures: …/api/docs/guides/images-vision."""
_ENGINE = {"stops": None, "user": 0, "temperature": (0, math.inf), "max_tokens": 1}
"""Limits of a server of the user's own: what OpenAI limits, it does not."""
_LOCAL = frozenset({"no_developer_role"})  # chat templates know system, user, assistant and tool
_VERTEX = "/v1/projects/{project}/locations/{location}/publishers"

_LISTED = (
    Vendor(
        name="openai",
        base_url="https://api.openai.com/v1",
        source="https://developers.openai.com/api/reference/overview",
        paths=paths(f"chat text embeddings responses moderations images_generations images_edits {AUDIO}"),
        models=(
            *("gpt-*", "chatgpt-*", "o[0-9]", "o*-*", "text-embedding-3-*", "text-embedding-ada-*"),
            *("omni-moderation-*", "text-moderation-*", "tts-*", "whisper-*", "dall-e-*"),
        ),
        quirks=_quirks("prompt_cache_key encrypted_thoughts stored_metadata allowed_tools"),
        limits=_OPENAIS_OWN,
        capabilities=_OPENAI,
    ),
    Vendor(
        name="anthropic",
        base_url="https://api.anthropic.com",
        source="https://platform.claude.com/docs/en/api/overview",
        auth="x-api-key",
        paths={"anthropic": "/v1/messages"},
        count_tokens="/v1/messages/count_tokens",
        models_path="/v1/models",
        models_shape="anthropic",
        models=("claude-*",),
        headers={"anthropic-version": "2023-06-01"},
        capabilities=Capabilities(tools=True, system=True, audio=False, embeddings=False),
    ),
    Vendor(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com",
        source="https://ai.google.dev/api",
        price_name="google",
        otel_name="gcp.gemini",
        auth="x-goog-api-key",
        paths=_gemini("/v1beta", "generateContent"),
        stream_paths=_gemini("/v1beta", "streamGenerateContent?alt=sse"),
        count_tokens="/v1beta/models/{model}:countTokens",
        models_path="/v1beta/models",
        models_shape="gemini",
        models=("gemini-*",),
        capabilities=_OPEN,
    ),
    Vendor(
        name="azure",
        base_url="",  # https://RESOURCE.openai.azure.com; Claude: https://RESOURCE.services.ai.azure.com
        source="https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle",
        otel_name="azure.ai.openai",
        env=("AZURE_OPENAI_API_KEY",),
        auth="api-key",
        models_path="",
        paths=paths(
            f"chat text embeddings responses images_generations images_edits {AUDIO}",
            before="/openai/v1",
            anthropic="/anthropic/v1/messages",
        ),
        quirks=_quirks("prompt_cache_key encrypted_thoughts stored_metadata allowed_tools"),
        limits=_OPENAIS_OWN,
        capabilities=_OPENAI,
        anywhere=True,
    ),
    Vendor(
        name="bedrock",
        base_url="",  # https://bedrock-runtime.REGION.amazonaws.com
        source="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html",
        price_name="aws",
        otel_name="aws.bedrock",
        env=("AWS_BEARER_TOKEN_BEDROCK",),
        auth="sigv4",  # or bearer, once there is a key: …/userguide/api-keys-use.html
        models_path="",
        paths={"bedrock": "/model/{model}/converse"},
        stream_paths={"bedrock": "/model/{model}/converse-stream"},
        count_tokens="/model/{model}/count-tokens",
        # structured output: docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
        capabilities=Capabilities(tools=True, json_object=False, json_schema=True, system=True),
        anywhere=True,
    ),
    Vendor(
        name="vertex",
        base_url="",  # https://LOCATION-aiplatform.googleapis.com, https://aiplatform.googleapis.com for global
        source="https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest",
        price_name="google",
        otel_name="gcp.vertex_ai",
        auth="oauth",
        models_path="",
        paths=_gemini(f"{_VERTEX}/google", "generateContent"),
        stream_paths=_gemini(f"{_VERTEX}/google", "streamGenerateContent?alt=sse"),
        count_tokens=f"{_VERTEX}/google/models/{{model}}:countTokens",
        quirks=_quirks("no_store"),  # google-genai says so
        capabilities=_OPEN,
        anywhere=True,
        variants={
            "claude-*": Vendor(
                name="vertex",
                base_url="",
                source="https://platform.claude.com/docs/en/api/claude-on-vertex-ai",
                auth="oauth",
                models_path="",
                paths={"anthropic": f"{_VERTEX}/anthropic/models/{{model}}:rawPredict"},
                stream_paths={"anthropic": f"{_VERTEX}/anthropic/models/{{model}}:streamRawPredict"},
                count_tokens=f"{_VERTEX}/anthropic/models/count-tokens:rawPredict",  # the model is in the body
            )
        },
    ),
    Vendor(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        source="https://console.groq.com/docs/openai",
        paths=paths(f"chat responses {AUDIO}"),
        # console.groq.com/docs/api-reference; what it does not know is a 400: github.com/livekit/agents/pull/1276,
        # github.com/CherryHQ/cherry-studio/issues/11435
        quirks=_quirks("no_n no_logprobs no_logit_bias no_message_name no_refusal no_store no_metadata no_verbosity"),
        limits={"tools": 128},
        capabilities=Capabilities(tools=True, json_object=True, system=True),
    ),
    Vendor(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        source="https://docs.mistral.ai/api",
        otel_name="mistral_ai",
        paths=paths("chat embeddings moderations audio_transcriptions"),
        models=("mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*"),
        # github.com/mistralai/client-python, models/chatcompletionrequest.py: any other field is a 422; ids: the API's
        # error 3280; documents: docs.mistral.ai/capabilities/document, github.com/danny-avila/LibreChat/pull/12144
        quirks=_quirks(
            "max_tokens no_developer_role no_stream_options no_logprobs no_logit_bias random_seed tool_choice_any "
            "tool_ids_9 prefill_prefix no_user_after_tool no_assistant_last greedy_alone no_message_name no_refusal "
            "no_silent_assistant no_user no_store no_service_tier no_verbosity prompt_cache_key document_url"
        ),
        # temperature: the API's 422; efforts: docs.mistral.ai/capabilities/reasoning/adjustable
        limits={"temperature": (0, 1.5), "efforts": ("none", "high"), "stops": None, "top_p": (0.001, 1)},
        capabilities=_OPEN,
    ),
    Vendor(
        name="deepseek",
        base_url="https://api.deepseek.com",
        source="https://api-docs.deepseek.com/quick_start/pricing",
        paths=paths(
            "chat responses", openai_text="{origin}/beta/completions", anthropic="{origin}/anthropic/v1/messages"
        ),
        models=("deepseek-*",),
        quirks=_quirks("max_tokens no_developer_role prefill_prefix beta_prefill thinking_back"),
        limits={"stops": 16, "tools": 128},  # api-docs.deepseek.com/api/create-chat-completion
        capabilities=Capabilities(tools=True, json_object=True, json_schema=False, system=True, audio=False),
    ),
    Vendor(
        name="together",
        base_url="https://api.together.ai/v1",
        source="https://docs.together.ai/docs/inference/openai-compatibility",
        paths=paths(f"chat text embeddings images_generations {AUDIO} rerank"),
        models_shape="array",
        quirks=_quirks("max_tokens top_k"),  # docs.together.ai/reference/chat-completions-1
    ),
    Vendor(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        paths=paths("chat text embeddings responses rerank", anthropic="/messages"),
        quirks=_quirks("top_k"),  # docs.fireworks.ai/api-reference/post-chatcompletions, of top_k up to 100
        limits={"top_k": (1, 100)},
    ),
    Vendor(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        source="https://openrouter.ai/docs/api-reference/overview",
        paths=paths("chat text embeddings responses", anthropic="/messages"),
        quirks=_quirks("stateless_responses top_k"),  # openrouter.ai/docs/api-reference/parameters
        limits={"user": 128},
        capabilities=Capabilities(tools=True, system=True),
    ),
    Vendor(
        name="xai",
        base_url="https://api.x.ai/v1",
        source="https://docs.x.ai/developers/rest-api-reference",  # its /v1/messages is deprecated, so not here
        price_name="x-ai",
        otel_name="x_ai",
        paths=paths("chat text responses images_generations"),
        models=("grok-*",),
        limits={"tools": 200},  # docs.x.ai/docs/guides/function-calling
        capabilities=_OPENAI,
    ),
    Vendor(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        source="https://inference-docs.cerebras.ai/resources/openai",
        paths=paths("chat text"),
        # what it does not know is a 400: github.com/Gitlawb/openclaude/issues/740
        quirks=_quirks("no_developer_role no_logit_bias no_penalties no_refusal no_store no_metadata no_verbosity"),
    ),
    Vendor(
        name="perplexity",
        base_url="https://api.perplexity.ai/v1",
        source="https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview",  # chat ended 2026-09-27
        models_path="",
        paths=paths("responses embeddings"),
        capabilities=Capabilities(tools=True, system=True, prefill=False, audio=False),
    ),
    Vendor(
        name="cohere",
        base_url="https://api.cohere.ai/compatibility/v1",
        source="https://docs.cohere.com/docs/compatibility-api",
        env=("COHERE_API_KEY", "CO_API_KEY"),
        paths=paths("chat embeddings", rerank="{origin}/v2/rerank"),
        versions={"/v1/rerank": "{origin}/v1/rerank"},  # with return_documents, which version 2 has not
        models_path="{origin}/v1/models",
        models_shape="cohere",
        models=("command-*",),
        quirks=_quirks("max_tokens no_n no_logit_bias no_parallel_tool_calls"),
        # docs.cohere.com/reference/chat, …/docs/temperature; efforts: …/docs/compatibility-api
        limits={
            "temperature": (0, 1),
            "top_p": (0.01, 0.99),
            "presence_penalty": (0, 1),
            "frequency_penalty": (0, 1),
            "stops": 5,
            "efforts": ("none", "high"),
        },
        capabilities=_OPENAI,
    ),
    Vendor(
        name="nvidia",
        base_url="https://integrate.api.nvidia.com/v1",
        source="https://docs.api.nvidia.com/nim/reference/llm-apis",  # reranking is on another host
        price_name="",
        paths=paths("chat text embeddings"),
        quirks=_quirks("max_tokens input_type"),
    ),
    Vendor(
        name="huggingface",
        base_url="https://router.huggingface.co/v1",
        price_name="huggingface_*",  # the vendors behind it
        source="https://huggingface.co/docs/inference-providers/tasks/chat-completion",
        env=("HF_TOKEN",),
        paths=paths("chat responses"),
        quirks=_quirks("max_tokens stateless_responses"),
    ),
    Vendor(
        name="sambanova",
        base_url="https://api.sambanova.ai/v1",
        source="https://docs.sambanova.ai/docs/en/features/openai-compatibility",
        price_name="",
        paths=paths("chat text embeddings responses audio_transcriptions audio_translations", anthropic="/messages"),
        quirks=_quirks("max_tokens no_n no_logprobs no_logit_bias no_penalties top_k"),  # …/api-reference
    ),
    Vendor(
        name="moonshot",
        base_url="https://api.moonshot.ai/v1",  # in China https://api.moonshot.cn/v1, with keys of its own
        source="https://platform.kimi.ai/docs/api/overview",
        price_name="moonshotai",
        paths=paths("chat responses", anthropic="{origin}/anthropic/v1/messages"),
        models=("kimi-*", "moonshot-*"),
        quirks=_quirks("no_developer_role prefill_partial thinking_back"),
        # platform.kimi.ai/docs/api/chat; a tool's name: …/docs/guide/use-kimi-api-to-complete-tool-calls
        limits={"temperature": (0, 1), "n": 5, "stops": 5, "tool_name": r"[a-zA-Z_][a-zA-Z0-9_-]{0,62}"},
        capabilities=Capabilities(tools=True, json_object=True, system=True),
    ),
    Vendor(
        name="dashscope",
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",  # a key belongs to one region
        source="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        price_name="",
        paths=paths(
            "chat text embeddings",
            anthropic="{origin}/apps/anthropic/v1/messages",
            rerank="{origin}/compatible-api/v1/reranks",
        ),
        models=("qwen-*",),
        quirks=_quirks("max_tokens no_developer_role prefill_partial top_k"),
        # alibabacloud.com/help/en/model-studio/qwen-api-reference: below 2, above 0, seeds of 31 bits
        limits={"temperature": (0, 1.99), "top_p": (0.001, 1), "n": 4, "seed": (0, 2**31 - 1)},
        capabilities=Capabilities(tools=True, json_object=True, system=True),
    ),
    Vendor(
        name="zhipu",
        base_url="https://api.z.ai/api/paas/v4",  # in China https://open.bigmodel.cn/api/paas/v4
        source="https://docs.z.ai/guides/develop/openai/python",
        price_name="zhipuai",
        env=("ZAI_API_KEY",),
        models_path="",
        paths=paths("chat embeddings", anthropic="{origin}/api/anthropic/v1/messages"),
        models=("glm-*",),
        quirks=_quirks("max_tokens no_developer_role no_penalties no_message_name tool_choice_auto thinking_back"),
        # docs.z.ai/api-reference/llm/chat-completion
        limits={"temperature": (0, 1), "top_p": (0.01, 1), "stops": 1, "user": 128, "user_least": 6},
    ),
    Vendor(
        name="ollama",
        base_url="http://127.0.0.1:11434/v1",
        source="https://docs.ollama.com/api/openai-compatibility",
        price_name="",
        paths=paths("chat text embeddings responses audio_speech audio_transcriptions", anthropic="/messages"),
        models=("*",),
        limits=_ENGINE,
        quirks=_LOCAL | {"max_tokens", "no_n", "no_logit_bias", "stateless_responses"},
        capabilities=_OPENAI,
        anywhere=True,
    ),
    Vendor(
        name="vllm",
        base_url="",
        source="https://docs.vllm.ai/en/latest/serving/online_serving/",
        price_name="",
        paths=paths(
            "chat text embeddings responses audio_transcriptions audio_translations rerank", anthropic="/messages"
        ),
        count_tokens="/messages/count_tokens",
        quirks=_LOCAL | {"prefill_continue", "top_k"},
        limits=_ENGINE | {"top_p": (0.001, 1)},  # docs.vllm.ai/en/latest/api/vllm/sampling_params: above 0
        capabilities=_OPEN,
        anywhere=True,
    ),
    Vendor(
        name="llamacpp",
        base_url="http://127.0.0.1:8080/v1",
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        price_name="",
        paths=paths("chat text embeddings responses audio_transcriptions rerank", anthropic="/messages"),
        count_tokens="/messages/count_tokens",
        quirks=_LOCAL | {"bare_responses", "top_k"},
        limits=_ENGINE,
        capabilities=_OPEN,
        anywhere=True,
    ),
    Vendor(
        name="lmstudio",
        base_url="http://127.0.0.1:1234/v1",
        source="https://lmstudio.ai/docs/developer/openai-compat",
        price_name="",
        paths=paths("chat text embeddings responses", anthropic="/messages"),
        quirks=_LOCAL | {"max_tokens", "top_k"},
        limits=_ENGINE,
        capabilities=_OPENAI,
        anywhere=True,
    ),
)

VENDORS: Mapping[str, Vendor] = {vendor.name: vendor for vendor in _LISTED}
"""By name, in the order in which they are asked for a model of theirs."""
