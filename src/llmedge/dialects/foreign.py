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


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MARKS = _names(
    "*.cache_control *.prompt_cache_breakpoint *.phase *.caller *.defer_loading *.allowed_callers *.annotations"
)
_OPENAI = _names(
    """
    audio client_metadata extra_headers moderation prediction prompt_cache_options prompt_cache_retention
    safety_identifier

    citation_options disable_tool_validation include_reasoning models provider reasoning_format route session_id tags
    trace transforms usage

    cache_prompt cache_salt dry_base dry_multiplier dynatemp_exponent dynatemp_range id_slot keep_alive length_penalty
    min_p mirostat mirostat_eta mirostat_tau n_keep priority repeat_last_n repeat_penalty repetition_penalty request_id
    return_progress return_token_ids return_tokens_as_token_ids samplers timings_per_token top_a typical_p
    xtc_probability xtc_threshold

    ignore_eos min_tokens mm_processor_kwargs skip_special_tokens spaces_between_special_tokens
    top_n_sigma
    """
)
"""OpenAI's own; those of vendors that stand before others; how engines sample and work."""

HINTS: Mapping[str, frozenset[str]] = {
    "openai_chat": _MARKS
    | _OPENAI
    | _names(
        """
        chat_template_kwargs.* *.citations *.eager_input_streaming *.extra_content *.input_examples *.output_schema
        messages.audio messages.audio.* messages.content.image_url.format messages.id messages.parsed messages.partial
        messages.prefix messages.provider_specific_fields messages.reasoning messages.reasoning_details.*
        messages.search_results messages.thinking_blocks messages.tool_calls.* messages.tool_calls.extra_content.*
        messages.tool_calls.function.* messages.weight
        """
    ),
    "openai_text": _OPENAI | _names("best_of chat_template_kwargs prompt_cache_key top_k"),
    "openai_responses": _MARKS
    | _OPENAI
    | _names(
        """
        access_programs background_options chat_template_kwargs context_management frequency_penalty image include
        max_tool_calls presence_penalty reasoning.context reasoning.mode seed top_k truncation
        *.acknowledged_safety_checks *.async *.created_by *.detail *.end_turn *.environment *.execution *.extra_content
        *.logprobs *.max_output_length *.output_schema *.parsed *.parsed_arguments *.pending_safety_checks *.status
        input.metadata
        """
    ),
    "anthropic": _MARKS
    | _names(
        """
        anthropic_beta anthropic_version betas billing_policy container context_management diagnostics
        fallback_credit_token fallbacks inference_geo metadata.* output_config.task_budget speed thinking
        thinking.block_binding user_profile_id workspace_id
        *.citations *.scope *.toolset_name *.transformations tools.eager_input_streaming
        messages.clear_at messages.container messages.id messages.model messages.output_config messages.stop_details
        messages.stop_reason messages.stop_sequence messages.type messages.usage
        """
    ),
    "gemini": _names(
        """
        modelArmorConfig safetySettings
        generationConfig.audioTimestamp generationConfig.audioTranscriptionConfig generationConfig.enableAffectiveDialog
        generationConfig.enableEnhancedCivicAnswers generationConfig.imageConfig generationConfig.mediaResolution
        generationConfig.modelSelectionConfig generationConfig.routingConfig generationConfig.speechConfig
        generationConfig.translationConfig
        toolConfig.functionCallingConfig.streamFunctionCallArguments toolConfig.includeServerSideToolInvocations
        toolConfig.retrievalConfig
        tools.functionDeclarations.behavior tools.functionDeclarations.response
        tools.functionDeclarations.responseJsonSchema
        *.audioMetadata *.audioTranscription *.displayName *.documentMetadata *.mediaProcessing *.mediaResolution
        *.partMetadata *.partialArgs *.scheduling *.speechMetadata *.spreadsheetMetadata *.willContinue
        """
    ),
}
"""A client's dialect → its hints: paths without numbers; ``*.`` before a name that is one wherever it stands, ``.*``
behind an object of which all is."""

LOST: Mapping[str, frozenset[str]] = {
    "openai_chat": frozenset(),
    "openai_text": frozenset(),
    "openai_responses": _names("conversation previous_response_id prompt"),
    "anthropic": _names("thread"),
    "gemini": _names("cachedContent"),
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

MOST_NAMED = 100
"""Fields left out that are named: a client may make up as many as a body holds."""

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
        self._hints = HINTS[dialect]
        self._lost = LOST[dialect]

    def hint(self, path: str) -> None:
        """A field that is left out and named: all of its kind by one name."""
        path = _NUMBERS.sub("", path)
        if len(self.hints) < MOST_NAMED and path not in self.hints:
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
