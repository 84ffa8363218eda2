"""Reasons to end an answer that say that there is none: the vendor failed, or the model did.

Vendors tell failures in the place of a good end, behind a status of 200. What they mean is said in their own
references: OpenRouter's and Mistral's ``error``, DeepSeek's ``insufficient_system_resource``, Zhipu's
``network_error``, ``abort`` of vLLM and SGLang, Google's and Bedrock's calls that could not be read.
"""

from __future__ import annotations

from typing import Any

from llmedge.dialects import ir
from llmedge.errors import VendorFailed

_FAILED = {"error", "failed", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}
_UNUSABLE = {
    "malformed_function_call",
    "malformed_response",
    "malformed_model_output",
    "malformed_tool_use",
    "missing_thought_signature",
    "too_many_tool_calls",
    "unexpected_tool_call",
}
"""The model wrote something that its vendor could not read: asked again, it may do better."""


def with_calls(finish: ir.FinishReason, called: bool) -> ir.FinishReason:
    """An answer that calls a tool ends to have it called, whatever its vendor says: some models on Bedrock say
    ``end_turn`` (strands-agents/harness-sdk#767), some servers of chats ``stop``."""
    return "tool" if finish == "stop" and called else finish


def check_end(reason: Any) -> None:
    """:param reason: a vendor's reason. Google's compatible API writes ``function_call_filter: MALFORMED_…``.
    :raises VendorFailed: it is not the end of an answer.
    """
    if not isinstance(reason, str):
        return
    word = reason.rpartition(":")[2].strip().lower()
    if word in _FAILED:
        raise VendorFailed(f"failed while answering: it ended with the reason '{word}'")
    if word in _UNUSABLE:
        raise VendorFailed(f"gave no answer: it ended with the reason '{word}'", cause="unusable")
