"""OpenAI chat completions, both directions: request, answer, stream."""

from llmedge.dialects.openai_chat.dialect import OpenAIChat

__all__ = ["OpenAIChat"]
