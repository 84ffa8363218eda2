"""OpenAI Responses, both directions: request, answer, stream."""

from llmedge.dialects.openai_responses.dialect import OpenAIResponses

__all__ = ["OpenAIResponses"]
