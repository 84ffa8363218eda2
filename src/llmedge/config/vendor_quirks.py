"""Where a vendor differs from the dialect it speaks, as far as a renderer can act on it."""

from __future__ import annotations

from collections.abc import Mapping

QUIRKS: Mapping[str, str] = {
    "max_tokens": "Wants max_tokens; max_completion_tokens is not in its API.",
    "no_developer_role": "Refuses the role developer, or its chat templates do not know it: say system.",
    "no_stream_options": "Refuses stream_options; usage comes with the last chunk all the same.",
    "no_n": "Answers with one choice only.",
    "no_logprobs": "Refuses logprobs and top_logprobs.",
    "no_logit_bias": "Refuses, or does not know, logit_bias.",
    "no_penalties": "Refuses frequency_penalty and presence_penalty.",
    "no_message_name": "Refuses name in a message.",
    "no_parallel_tool_calls": "Refuses parallel_tool_calls.",
    "random_seed": "Calls seed random_seed.",
    "tool_choice_any": "Says any where OpenAI says required.",
    "tool_choice_auto": "Takes no tool_choice but auto.",
    "tool_ids_9": "Wants tool call ids of nine characters, a-z, A-Z and 0-9.",
    "prefill_prefix": 'An answer begun in the request is continued if its message says "prefix": true.',
    "prefill_partial": 'An answer begun in the request is continued if its message says "partial": true.',
    "prefill_continue": "… if the request says continue_final_message: true and add_generation_prompt: false.",
    "thinking_back": "Wants the thinking of an earlier turn that called tools back, as reasoning_content.",
    "stateless_responses": "Its Responses API keeps nothing: no previous_response_id, no conversation.",
    "bare_responses": "Its Responses answers lack what SDKs read them by, such as output_index: they are written anew.",
    "beta_prefill": "prefill_prefix works behind {origin}/beta only.",
}
"""What may be among the quirks of a :class:`~llmedge.config.catalogue.Vendor`."""
