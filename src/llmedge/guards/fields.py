"""What a body's fields say: the one table of all dialects and operations. Each string that is not named here is a
text."""

from __future__ import annotations

from llmedge.guards.interfaces import Where


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIELDS: dict[str, tuple[Where, str, str]] = {
    **dict.fromkeys(
        ("system", "instructions", "systemInstruction", "system_instruction"), ("system", "system", "text")
    ),
    **dict.fromkeys(("tools", "functions"), ("tools", "", "description")),
    **dict.fromkeys(("response_format", "text", "generationConfig", "generation_config"), ("tools", "", "description")),
    **dict.fromkeys(("output_config", "output_format"), ("tools", "", "description")),
    **dict.fromkeys(("user", "safety_identifier", "metadata", "labels", "prompt_cache_key"), ("request", "", "name")),
    **dict.fromkeys(("messages", "contents", "content", "prompt"), ("request", "user", "text")),
    **dict.fromkeys(("input", "requests", "query", "documents"), ("request", "user", "input")),
}
"""A body's fields: where their texts are, whose, of what kind; others are the user's."""
NO_TEXT = _words(
    """
    model guardrails stream stream_options encoding_format voice size quality style background moderation n
    reasoning_effort verbosity service_tier serviceTier tool_choice function_call toolConfig tool_config modalities
    include truncation cachedContent cached_content safetySettings safety_settings prompt_cache_retention
    previous_response_id conversation container mcp_servers taskType task_type thinking reasoning context_management
    audio input_type logit_bias output_compression partial_images stream_format speed
    """
)
"""A body's fields that hold no text: words of the API, ids, numbers."""
STRUCTURE = _words(
    """
    type role id object model tool_call_id call_id tool_use_id toolUseId item_id approval_request_id response_id
    signature thoughtSignature thought_signature encrypted_content encrypted_index encrypted_stdout media_type
    mimeType mime_type format detail status finish_reason stop_reason finishReason stop_sequence service_tier phase
    namespace server_label authorization authorization_token server_url connector_id previous_response_id responseId
    modelVersion model_version system_fingerprint b64_json pattern $ref $schema $id ttl scope language taskType
    task_type blockReason severity probability category modality created obfuscation event_id itemId responseMimeType
    response_mime_type encoding caller partial_image_b64 truncation prompt_cache_retention createTime
    create_time
    """
)
"""Fields whose strings are none of what is said."""
NO_TREE = _words(
    """
    cache_control usage usageMetadata usage_metadata required propertyOrdering property_ordering headers embedding
    embeddings safetyRatings safety_ratings thinkingConfig thinking_config speechConfig speech_config allowed_callers
    responseModalities response_modalities allowed_tools incomplete_details
    """
)
"""Fields in which nothing is said at all."""
ECHOES = {"logprobs": None, "logprobsResult": None, "logprobs_result": None}
"""What says a text once more, token by token: it is left out where the text was changed."""
ROLES: dict[str, tuple[str, Where]] = {
    "system": ("system", "system"),
    "developer": ("developer", "system"),
    "user": ("user", "request"),
    "assistant": ("assistant", "history"),
    "model": ("assistant", "history"),
    "tool": ("tool", "tool_results"),
    "function": ("tool", "tool_results"),
}
RESULTS = ("tool_result", "program_output", "search_result")
KINDS = {
    "refusal": "refusal",
    "thinking": "thinking",
    "reasoning": "thinking",
    "reasoning_content": "thinking",
    "summary": "thinking",
    "transcript": "transcript",
    "filename": "file_name",
    "file_name": "file_name",
    "displayName": "file_name",
    "display_name": "file_name",
    "description": "description",
}
NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
"""Within a schema: what is in it has names of the client's."""
LONG = 10**6
"""Numbers from which one may be an id, a card …"""
LASTING = ("system", "instructions", "systemInstruction", "system_instruction", "tools", "functions")
"""Of no turn."""
OTHERS: tuple[Where, str, str] = ("request", "", "text")
CHOICES = ("choices", "candidates")
OFFERS = ("tools", "functions")
SCHEMAS = ("parameters", "input_schema", "parametersJsonSchema", "parameters_json_schema")
FREE = (
    *("metadata", "labels", "variables", "input_examples", "documents"),
    *("default", "example", "examples", "const", "enum"),
)
"""Of anybody's shape."""
ARGUMENTS = ("arguments", "input", "action", "actions", "operation")
REPEATED = _words(
    """
    instructions tools tool_choice text metadata user safety_identifier prompt_cache_key prompt reasoning
    """
)
"""What an answer of the Responses API repeats of its request."""
MEDIA_TYPES = ("media_type", "mimeType", "mime_type")
MEDIA = {
    "image_url": "image",
    "input_audio": "audio",
    "image": "image",
    "audio": "audio",
    **dict.fromkeys(("file_data", "file_url", "file_id", "fileUri", "file_uri", "fileId"), "file"),
}
