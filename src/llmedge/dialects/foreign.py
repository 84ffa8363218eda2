"""What clients say that has no place in the IR, and what becomes of it: one table for all dialects.

A *hint* changes price, speed or bookkeeping and not what is asked: it is left out and named. What is *lost* is said to
the model in a way that only its own dialect has: it is never left out. All else is content, which the operator may have
left out. The names are those of the APIs' references: platform.openai.com/docs/api-reference,
platform.claude.com/docs/en/api, ai.google.dev/api, and of the vendors and engines who add to them (OpenRouter, Groq,
vLLM, llama.cpp). docs/translation.rst has the same table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from llmedge.dialects import ir

_ANYWHERE = "*.cache_control *.prompt_cache_breakpoint *.phase *.caller *.defer_loading *.allowed_callers *.annotations"
_OPENAI = (
    "prompt_cache_retention prompt_cache_options safety_identifier moderation client_metadata "
    "prediction audio extra_headers "
    # OpenRouter, Groq, LiteLLM
    "provider models route transforms usage include_reasoning reasoning_format citation_options "
    "disable_tool_validation session_id trace tags "
    # how engines sample, and how they work
    "min_p top_a typical_p repetition_penalty repeat_penalty repeat_last_n length_penalty mirostat mirostat_tau "
    "mirostat_eta dynatemp_range dynatemp_exponent xtc_probability xtc_threshold dry_multiplier dry_base samplers "
    "cache_prompt id_slot timings_per_token return_progress return_token_ids return_tokens_as_token_ids "
    "priority request_id cache_salt keep_alive n_keep"
)

HINTS: Mapping[str, str] = {
    "openai_chat": f"{_ANYWHERE} {_OPENAI} "
    "*.output_schema *.input_examples *.eager_input_streaming *.extra_content *.citations "
    "messages.id messages.weight messages.prefix messages.partial messages.thinking_blocks messages.search_results "
    "messages.provider_specific_fields messages.reasoning messages.audio messages.audio.* "
    "messages.tool_calls.* messages.tool_calls.extra_content.* messages.reasoning_details.* "
    "messages.content.image_url.format",
    "openai_text": f"{_OPENAI} prompt_cache_key best_of logprobs top_k",
    "openai_responses": f"{_ANYWHERE} {_OPENAI} access_programs background_options context_management image include "
    "max_tool_calls truncation seed top_k presence_penalty frequency_penalty reasoning.context reasoning.mode "
    "input.metadata *.async *.output_schema *.detail *.status *.end_turn *.created_by *.logprobs *.extra_content "
    "*.acknowledged_safety_checks *.pending_safety_checks *.max_output_length *.execution *.environment",
    "anthropic": f"{_ANYWHERE} context_management betas anthropic_beta anthropic_version billing_policy diagnostics "
    "fallbacks fallback_credit_token inference_geo speed user_profile_id workspace_id container thinking "
    "thinking.block_binding metadata.* output_config.task_budget tools.eager_input_streaming *.toolset_name "
    "*.citations *.transformations messages.id messages.clear_at messages.output_config",
    "gemini": "safetySettings modelArmorConfig toolConfig.retrievalConfig toolConfig.includeServerSideToolInvocations "
    "toolConfig.functionCallingConfig.streamFunctionCallArguments "
    "generationConfig.enableEnhancedCivicAnswers generationConfig.audioTimestamp generationConfig.mediaResolution "
    "generationConfig.speechConfig generationConfig.imageConfig generationConfig.routingConfig "
    "generationConfig.modelSelectionConfig generationConfig.enableAffectiveDialog "
    "generationConfig.audioTranscriptionConfig generationConfig.translationConfig "
    "tools.functionDeclarations.behavior tools.functionDeclarations.response "
    "tools.functionDeclarations.responseJsonSchema *.mediaResolution *.mediaProcessing *.partMetadata *.audioMetadata "
    "*.documentMetadata *.spreadsheetMetadata *.speechMetadata *.audioTranscription *.partialArgs *.willContinue "
    "*.scheduling *.displayName",
}
"""A client's dialect → its hints: paths without numbers, or ``*.`` and a name that is one wherever it stands."""

LOST: Mapping[str, str] = {
    "openai_chat": "",
    "openai_text": "",
    "openai_responses": "previous_response_id conversation prompt",
    "anthropic": "thread",
    "gemini": "cachedContent",
}
"""What refers to things said that only the client's own vendor keeps."""

USUAL: Mapping[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"],),
    "async": (False,),
    "background": (False,),
    "best_of": (1,),
    "caller": ({"type": "direct"},),
    "context": ("auto",),
    "defer_loading": (False,),
    "detail": ("auto",),
    "eager_input_streaming": (False,),
    "echo": (False,),
    "enableEnhancedCivicAnswers": (False,),
    "audioTimestamp": (False,),
    "mode": ("standard",),
    "phase": ("final_answer",),
    "scheduling": ("SCHEDULING_UNSPECIFIED",),
    "speed": ("standard",),
    "truncation": ("disabled",),
    "willContinue": (False,),
}
"""A field's name → values that need not be said, as that is how things are without."""

WHY_LOST: Mapping[str, str] = {
    "item_reference": "nothing is kept here: with store = false clients send the item itself",
    "previous_response_id": "nothing is kept here: the conversation has to be sent",
    "conversation": "nothing is kept here: the conversation has to be sent",
    "thread": "nothing is kept here: the conversation has to be sent",
}
"""A field, or the kind of an item → what its client can do."""

_NOTHING: tuple[Any, ...] = (None, "", [], {})
_decode = msgspec.json.Decoder().decode
_NUMBERS = re.compile(r"\[\d+\]")


def says_something(name: str, raw: bytes) -> bool:
    """Whether a field that nobody read says anything. ``raw`` is JSON."""
    value = _decode(raw)
    return value not in _NOTHING and value not in USUAL.get(name, ())


class Foreign(list[str]):
    """The paths of one request's fields that have no place in the IR. What is in the list itself is sorted by
    :data:`HINTS` and :data:`LOST` at the end; what a parser knows already goes to :ivar:`hints` or :ivar:`lost`.

    :param dialect: the client's.
    """

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self.hints: list[str] = []
        self.lost: list[str] = []
        self._hints = frozenset(HINTS[dialect].split())
        self._lost = frozenset(LOST[dialect].split())

    def hint(self, path: str) -> None:
        """A field that is left out and named: all of its kind by one name."""
        path = _NUMBERS.sub("", path)
        if path not in self.hints:
            self.hints.append(path)

    def placed(self, request: ir.Request) -> ir.Request:
        """``request`` with what was found."""
        extra: list[str] = []
        for path in self:
            plain = _NUMBERS.sub("", path)
            parent, _, name = plain.rpartition(".")
            if {plain, f"*.{name}", f"{parent}.*"} & self._hints:
                self.hint(plain)
            else:
                (self.lost if plain in self._lost else extra).append(path)
        if not (self.hints or extra or self.lost):
            return request
        return ir.replace(request, hints=tuple(self.hints), extra=tuple(extra), lost=tuple(self.lost))
