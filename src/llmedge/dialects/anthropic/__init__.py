"""Anthropic Messages, both directions: request, answer, stream, and the counting of tokens."""

from llmedge.dialects.anthropic.dialect import Anthropic

__all__ = ["Anthropic"]
