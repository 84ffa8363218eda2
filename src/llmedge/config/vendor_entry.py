"""What the catalogue says of a vendor, and the words it says it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from llmedge.config.capabilities import Capabilities
from llmedge.operations import Operation

OPERATIONS = tuple(each.value for each in Operation if each.passes_through)
"""What is passed through, never translated."""

AUTHS = ("bearer", "x-api-key", "x-goog-api-key", "api-key", "sigv4", "oauth")

QUIRKS: Mapping[str, str] = {
    "max_tokens": "Wants max_tokens; max_completion_tokens is not in its API.",
    "no_developer_role": "Refuses the role developer, or its chat templates do not know it: say system.",
    "no_stream_options": "Refuses stream_options; usage comes with the last chunk all the same.",
    "no_n": "Answers with one choice only.",
    "no_logprobs": "Refuses logprobs and top_logprobs.",
    "no_logit_bias": "Refuses, or does not know, logit_bias.",
    "no_penalties": "Refuses frequency_penalty and presence_penalty.",
    "no_message_name": "Refuses name in a message.",
    "no_silent_assistant": "Refuses an assistant's message without content and calls.",
    "no_refusal": "Refuses refusal in a message: what the model refused is said as its text.",
    "no_user": "Refuses user.",
    "no_metadata": "Refuses metadata.",
    "stored_metadata": "Refuses metadata of what is not stored.",
    "no_service_tier": "Refuses service_tier.",
    "no_verbosity": "Refuses verbosity.",
    "no_parallel_tool_calls": "Refuses parallel_tool_calls.",
    "top_k": "Takes top_k, which OpenAI does not.",
    "greedy_alone": "Refuses top_p beside a temperature of 0.",
    "random_seed": "Calls seed random_seed.",
    "tool_choice_any": "Says any where OpenAI says required.",
    "tool_choice_auto": "Takes no tool_choice but auto.",
    "tool_ids_9": "Wants tool call ids of nine characters, a-z, A-Z and 0-9.",
    "no_user_after_tool": "Refuses a user message right behind a tool's.",
    "no_assistant_last": "Refuses an assistant's message as the last, but for one that begins the answer.",
    "prefill_prefix": 'An answer begun in the request is continued if its message says "prefix": true.',
    "prefill_partial": 'An answer begun in the request is continued if its message says "partial": true.',
    "prefill_continue": "… if the request says continue_final_message: true and add_generation_prompt: false.",
    "allowed_tools": "Takes a tool_choice of type allowed_tools in chats.",
    "input_type": "Wants to know of embeddings what they are for: input_type query or passage.",
    "thinking_back": "Wants the thinking of an earlier turn that called tools back, as reasoning_content.",
    "encrypted_thoughts": "Refuses an earlier thought that it did not encrypt itself.",
    "prompt_cache_key": "Takes prompt_cache_key in chats.",
    "document_url": "Takes a document, of whatever source, as document_url.",
    "stateless_responses": "Its Responses API keeps nothing: no previous_response_id, no conversation.",
    "no_store": "Refuses store.",
    "bare_responses": "Its Responses answers lack what SDKs read them by, such as output_index: they are written anew.",
    "beta_prefill": "prefill_prefix works behind {origin}/beta only.",
}
"""Where a vendor differs from the dialect it speaks, as far as a renderer can act on it."""


@attrs.frozen(eq=False)
class Vendor:
    """One vendor.

    :ivar base_url: ``""`` where only the user can say it.
    :ivar env: variables its key may be in, the first that is set counts; ``NAME_API_KEY`` by default, where it has a
        place on the internet.
    :ivar auth: how the key is shown, one of :data:`AUTHS`.
    :ivar paths: dialect → path, the preferred dialect first; and operation → path, of what is passed through.
    :ivar stream_paths: dialect → path, where a streamed call has another one.
    :ivar versions: a path of ours → path, where the vendor has the same operation in the version asked for there.
    :ivar count_tokens: where it counts tokens itself, in its first dialect that is not OpenAI's.
    :ivar models_path: where it lists its models, if it does.
    :ivar models_shape: how: openai, anthropic, gemini, cohere or array (OpenAI's without what is around it).
    :ivar models: patterns of the names that go there when its key is in the environment.
    :ivar headers: sent with each request.
    :ivar quirks: of :data:`QUIRKS`.
    :ivar limits: of values, where they differ from those of OpenAI's dialects: fields of
        :class:`~llmedge.config.limits.Limits`.
    :ivar capabilities: of its models, where nothing else is known; ``False`` is what its API cannot do at all.
    :ivar anywhere: it is a server of the user's own, so a base URL does not make it another vendor.
    :ivar variants: pattern of model names → the vendor it is for these, behind the same base URL.
    :ivar price_name: its id in genai-prices, which has list prices; ``""`` where it has none. What a model's name says
        behind a colon stands for ``*``.
    :ivar otel_name: ``gen_ai.provider.name`` in traces (github.com/open-telemetry/semantic-conventions-genai);
        ``""``: what the provider is called.
    :ivar rehearsal: it answers by itself: nobody is asked.
    :ivar source: the page all this is from.
    """

    name: str
    base_url: str
    source: str
    env: tuple[str, ...] = attrs.field(default=attrs.Factory(lambda self: self._variables(), takes_self=True))
    auth: str = "bearer"
    paths: Mapping[str, str] = attrs.field(factory=dict)
    stream_paths: Mapping[str, str] = attrs.field(factory=dict)
    versions: Mapping[str, str] = attrs.field(factory=dict)
    count_tokens: str = ""
    models_path: str = "/models"
    models_shape: str = "openai"
    models: tuple[str, ...] = ()
    headers: Mapping[str, str] = attrs.field(factory=dict)
    quirks: frozenset[str] = frozenset()
    limits: Mapping[str, Any] = attrs.field(factory=dict)
    capabilities: Capabilities = Capabilities(tools=True, json_object=True, system=True, prefill=False)
    anywhere: bool = False
    variants: Mapping[str, Vendor] = attrs.field(factory=dict)
    price_name: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    otel_name: str = attrs.field(default=attrs.Factory(lambda self: self.name, takes_self=True))
    rehearsal: bool = False

    def _variables(self) -> tuple[str, ...]:
        return (f"{self.name.upper()}_API_KEY",) if self.base_url.startswith("https:") else ()

    @property
    def dialects(self) -> dict[str, str]:
        """Dialect → path, what is passed through left out."""
        return {name: path for name, path in self.paths.items() if name not in OPERATIONS}

    @property
    def passthrough(self) -> dict[str, str]:
        """Operation → path, of what is passed through."""
        return {name: path for name, path in self.paths.items() if name in OPERATIONS}
