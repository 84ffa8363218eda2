"""What models can do, by the pattern of their names. Data; whoever knows better says so in ``[models]``.

Sources are the makers' own model pages, named with each family, as of November 2026. ``None`` is "not known".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Capabilities:
    """What a model can do, where the catalogue is wrong or does not know."""

    context: int | None = option(kinds.integer(1), None, "Tokens of prompt and answer together.")
    max_output: int | None = option(kinds.integer(1), None, "Tokens of the longest answer.")
    tools: bool | None = option(kinds.boolean, None, "Calls tools.")
    parallel_tools: bool | None = option(kinds.boolean, None, "Calls several tools in one answer.", heeded=False)
    vision: bool | None = option(kinds.boolean, None, "Takes images.", heeded=False)
    audio: bool | None = option(kinds.boolean, None, "Takes audio.", heeded=False)
    files: bool | None = option(kinds.boolean, None, "Takes documents, such as PDF.", heeded=False)
    json_object: bool | None = option(kinds.boolean, None, "Can be held to JSON.")
    json_schema: bool | None = option(kinds.boolean, None, "Can be held to a JSON schema.")
    thinking: bool | None = option(kinds.boolean, None, "Reasons before it answers.")
    prefill: bool | None = option(kinds.boolean, None, "Continues an answer begun in the request.")
    system: bool | None = option(kinds.boolean, None, "Takes a system prompt.", heeded=False)
    embeddings: bool | None = option(kinds.boolean, None, "Makes embeddings, and no text.", heeded=False)

    def over(self, other: Capabilities) -> Capabilities:
        """``other``, with what is known here in the place of what is said there."""
        known = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return attrs.evolve(other, **known) if known else other


_NAMES = tuple(field.name for field in attrs.fields(Capabilities))


def capabilities_of(model: str, vendor: Capabilities) -> Capabilities:
    """What ``model`` can do at a vendor whose own answer is ``vendor``.

    All patterns that match speak, the longest last. What the vendor's API cannot do (``False``) no model of it can.
    """
    name = plain(model)
    found = vendor
    for pattern, said in _SORTED:
        if fnmatchcase(name, pattern):
            found = said.over(found)
    barred = {field: False for field in _NAMES if getattr(vendor, field) is False}
    return attrs.evolve(found, **barred) if barred else found


def plain(model: str) -> str:
    """The name patterns are about: lower case, without the publisher some vendors put in front.

    ``meta-llama/Llama-3.3-70B`` and ``us.anthropic.claude-opus-4-6-v1`` are known by what comes last.
    """
    return _PUBLISHER.sub("", model.lower().rpartition("/")[2])


_PUBLISHER = re.compile(
    r"^(?:[a-z]{2,6}(?:-gov)?\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\."
)


def _chat(context: int | None = None, max_output: int | None = None, **known: bool) -> Capabilities:
    """A model that calls tools and takes a system prompt, as nearly all do."""
    return Capabilities(context, max_output, **_TALKS | known)


def _embedding(context: int) -> Capabilities:
    nothing: dict[str, Any] = dict.fromkeys(_NAMES[2:], False)
    return Capabilities(context, **nothing | {"embeddings": True})


_TALKS: dict[str, bool] = {"tools": True, "system": True, "embeddings": False}
_JSON: dict[str, bool] = {"json_object": True, "json_schema": True}
_GPT: dict[str, bool] = _JSON | {"parallel_tools": True, "vision": True, "audio": False, "prefill": False}
_O: dict[str, bool] = _JSON | {"vision": True, "thinking": True, "audio": False, "prefill": False}
_GEMINI: dict[str, bool] = _JSON | {"parallel_tools": True, "vision": True, "audio": True, "files": True}
_CLAUDE: dict[str, bool] = {"parallel_tools": True, "vision": True, "audio": False, "files": True, "json_object": False}

_KNOWN: Mapping[str, Capabilities] = {
    # developers.openai.com/api/docs/models
    "gpt-*": _chat(**_GPT),
    "chatgpt-4o*": _chat(128_000, 16_384, **_GPT | {"tools": False}),
    "gpt-3.5*": Capabilities(16_385, 4_096, vision=False, json_schema=False, thinking=False, files=False),
    "gpt-4*": Capabilities(8_192, 8_192, vision=False, json_object=False, json_schema=False, thinking=False),
    "gpt-4-32k*": Capabilities(32_768),
    "gpt-4-turbo*": Capabilities(128_000, 4_096, vision=True, json_object=True),
    "gpt-4o*": Capabilities(128_000, 16_384, vision=True, files=True, json_object=True, json_schema=True),
    "gpt-4o*audio*": Capabilities(audio=True, vision=False),
    "gpt-4.1*": Capabilities(1_047_576, 32_768, vision=True, files=True, json_object=True, json_schema=True),
    "gpt-4.5*": Capabilities(128_000, 16_384, vision=True, json_object=True, json_schema=True),
    "gpt-5*": Capabilities(400_000, 128_000, thinking=True, files=True),
    "gpt-5*chat*": Capabilities(128_000, 16_384, thinking=False),
    "gpt-5.4* gpt-5.5* gpt-5.6*": Capabilities(1_050_000),
    "gpt-5.4-mini* gpt-5.4-nano*": Capabilities(400_000),
    "gpt-6*": Capabilities(1_050_000, 128_000, thinking=True, files=True),
    "gpt-oss*": Capabilities(131_072, 131_072, thinking=True, vision=False, files=False),
    "gpt-audio*": Capabilities(128_000, 16_384, audio=True, vision=False),
    "o1*": _chat(200_000, 100_000, parallel_tools=False, **_O),
    "o1-mini*": Capabilities(
        128_000, 65_536, tools=False, vision=False, json_schema=False, json_object=False, system=False
    ),
    "o1-preview*": Capabilities(128_000, 32_768, tools=False, vision=False, json_schema=False, system=False),
    "o3* o4-mini*": _chat(200_000, 100_000, parallel_tools=True, files=True, **_O),
    "o3-mini*": Capabilities(vision=False, files=False),
    "text-embedding-3-* text-embedding-ada-*": _embedding(8_192),
    # platform.claude.com/docs/en/about-claude/models/overview; prefill and 4.6: …/models/whats-new-claude-4-6
    # (what continues an assistant's turn does so without thinking only: …/build-with-claude/extended-thinking)
    "claude-*": _chat(1_000_000, 128_000, json_schema=True, thinking=True, prefill=False, **_CLAUDE),
    "claude-2*": _chat(200_000, 4_096, tools=False, vision=False, json_schema=False, thinking=False, prefill=True),
    "claude-4-*": Capabilities(200_000, 32_000, prefill=True),
    "claude-3-*": Capabilities(200_000, 4_096, json_schema=False, thinking=False, prefill=True),
    "claude-3[.-]5*": Capabilities(200_000, 8_192),
    "claude-3[.-]7*": Capabilities(200_000, 64_000, thinking=True),
    "claude-haiku-4*": Capabilities(200_000, 64_000, prefill=True),
    "claude-sonnet-4*": Capabilities(200_000, 64_000, json_schema=False, prefill=True),
    "claude-opus-4*": Capabilities(200_000, 32_000, json_schema=False, prefill=True),
    "claude-opus-4[.-]1* claude-sonnet-4[.-]5*": Capabilities(json_schema=True),
    "claude-opus-4[.-]5*": Capabilities(200_000, 64_000, json_schema=True),
    "claude-sonnet-4[.-][6-9]*": Capabilities(1_000_000, 64_000, json_schema=True, prefill=False),
    "claude-opus-4[.-][6-9]*": Capabilities(1_000_000, 128_000, json_schema=True, prefill=False),
    # ai.google.dev/gemini-api/docs/models
    "gemini-*": _chat(1_048_576, 65_536, thinking=True, **_GEMINI),
    "gemini-1.5* gemini-2.0*": Capabilities(1_048_576, 8_192, thinking=False),
    "gemini-1.5-pro*": Capabilities(2_097_152, 8_192),
    "gemini-*-tts*": Capabilities(8_192, 16_384, tools=False, vision=False, json_schema=False, json_object=False),
    "gemini-embedding*": _embedding(2_048),
    "gemini-embedding-2*": _embedding(8_192),
    "gemma-3*": _chat(131_072, 8_192, vision=True, thinking=False),
    "gemma-4*": _chat(262_144, vision=True, thinking=True),
    # llama.com/docs/model-cards-and-prompt-formats; hosts often serve less
    "*llama-[34]* *llama[34]* *llama-v3*": _chat(8_192, audio=False, thinking=False),
    "*llama-3[.][123]* *llama3[.][123]* *llama-v3p[123]*": Capabilities(131_072, vision=False),
    "*llama-3[.]2*vision* *llama3[.]2-vision*": Capabilities(vision=True),
    "*llama-4-scout*": Capabilities(10_485_760, vision=True, parallel_tools=True),
    "*llama-4-maverick* *llama4*": Capabilities(1_048_576, vision=True, parallel_tools=True),
    # docs.mistral.ai/getting-started/models; prefix: docs.mistral.ai/capabilities/completion/prefix
    # who thinks: docs.mistral.ai/capabilities/reasoning
    "mistral-* ministral-* devstral-*": _chat(131_072, parallel_tools=True, prefill=True, thinking=False, **_JSON),
    "mistral-small-latest mistral-small-26* mistral-medium-latest": Capabilities(thinking=True),
    "mistral-medium-3-5*": Capabilities(262_144, thinking=True),
    "mistral-small-2603* devstral-2512*": Capabilities(262_144),
    "mistral-medium* mistral-small*": Capabilities(vision=True),
    "mistral-large-2512* ministral-*-2512*": Capabilities(262_144, vision=True),
    "mistral-large-4*": Capabilities(1_048_576, vision=True),
    "mistral-embed* codestral-embed*": _embedding(8_192),
    "magistral-*": _chat(131_072, parallel_tools=True, thinking=True, prefill=True, **_JSON),
    "codestral-*": _chat(256_000, parallel_tools=True, prefill=True, vision=False, thinking=False, **_JSON),
    "pixtral-*": _chat(131_072, parallel_tools=True, vision=True, prefill=True, thinking=False, **_JSON),
    "voxtral-*": _chat(32_768, audio=True, thinking=False, **_JSON),
    "*mixtral-8x7b*": _chat(32_768, vision=False, thinking=False),
    "*mixtral-8x22b*": _chat(65_536, vision=False, thinking=False),
    # api-docs.deepseek.com/quick_start/pricing (1M in, 384K out, prefix in beta); older names: its change log
    "deepseek-*": _chat(131_072, parallel_tools=True, prefill=True, json_object=True, json_schema=False),
    "deepseek-chat*": Capabilities(131_072, 8_192, thinking=False, vision=False),
    "deepseek-reasoner* deepseek-r1*": Capabilities(131_072, 65_536, thinking=True, vision=False),
    "deepseek-v3*": Capabilities(131_072, vision=False),
    "deepseek-v4*": Capabilities(1_000_000, 384_000, thinking=True),
    "deepseek-v4-pro*": Capabilities(vision=False),
    "deepseek-flash*": Capabilities(1_000_000, 384_000, thinking=True, vision=True),
    # qwen.readthedocs.io and alibabacloud.com/help/en/model-studio/models; hosts often serve less
    "qwen*": _chat(parallel_tools=True),
    "qwen2.5*": Capabilities(131_072, 8_192, thinking=False),
    "qwen3*": Capabilities(131_072, thinking=True),
    "qwen3.[5-9]*": Capabilities(262_144, vision=True),
    "qwen*-vl-* qwen*-vl": Capabilities(vision=True),
    "qwq*": _chat(131_072, thinking=True, vision=False),
    # docs.x.ai/developers/models
    "grok-*": _chat(131_072, parallel_tools=True, prefill=False, **_JSON),
    "grok-2*": Capabilities(32_768, thinking=False),
    "grok-2-vision*": Capabilities(vision=True),
    "grok-3*": Capabilities(131_072, thinking=False, vision=False),
    "grok-3-mini*": Capabilities(thinking=True),
    "grok-4*": Capabilities(256_000, thinking=True, vision=True),
    "grok-4*fast*": Capabilities(2_000_000),
    "grok-4*non-reasoning*": Capabilities(thinking=False),
    "grok-4[.]20* grok-4[.]3*": Capabilities(1_000_000),
    "grok-4[.][5-7]*": Capabilities(500_000),
    "grok-code*": Capabilities(256_000, thinking=True, vision=False),
    "grok-build*": Capabilities(256_000, thinking=True),
    # docs.cohere.com/docs/models
    "command-*": _chat(128_000, 4_096, prefill=False, vision=False, thinking=False, **_JSON),
    "command-a*": Capabilities(256_000, 8_000),
    "command-a-vision*": Capabilities(128_000, 8_000, tools=False, vision=True),
    "command-a-reasoning*": Capabilities(256_000, 32_000, thinking=True),
    "embed-v4*": _embedding(128_000),
    "embed-*-v3*": _embedding(512),
    # docs.perplexity.ai (search is built in, tools are not)
    "sonar*": _chat(128_000, tools=False, json_schema=True, prefill=False),
    "sonar-pro*": Capabilities(200_000, 8_000),
    "sonar-reasoning* sonar-deep-research*": Capabilities(thinking=True),
    # platform.kimi.ai/docs/models; partial mode: platform.kimi.ai/docs/guide/use-partial-mode-feature-of-kimi-api
    "kimi-*": _chat(262_144, parallel_tools=True, prefill=True),
    "kimi-k2[.][5-9]*": Capabilities(thinking=True, vision=True),
    "kimi-k3*": Capabilities(1_048_576, thinking=True, vision=True),
    "moonshot-v1-8k*": _chat(8_192, prefill=True),
    "moonshot-v1-32k*": _chat(32_768, prefill=True),
    "moonshot-v1-128k*": _chat(131_072, prefill=True),
    # docs.z.ai/guides/overview
    "glm-*": _chat(128_000, json_object=True, thinking=True, prefill=False),
    "glm-4[.][67]* glm-5*": Capabilities(200_000),
    "glm-5[.][2-9]*": Capabilities(1_000_000),
    # docs.aws.amazon.com/nova/latest/userguide/what-is-nova.html
    "nova-micro*": _chat(128_000, 10_000, vision=False, thinking=False, prefill=True),
    "nova-lite* nova-pro*": _chat(300_000, 10_000, vision=True, files=True, thinking=False, prefill=True),
}
"""Patterns of plain names → what is known of such models."""

MODEL_CAPABILITIES = {pattern: said for patterns, said in _KNOWN.items() for pattern in patterns.split()}
_SORTED = sorted(MODEL_CAPABILITIES.items(), key=lambda item: len(item[0]))
