"""Gemini's generateContent and streamGenerateContent, both directions: request, answer, stream; and countTokens."""

from llmedge.dialects.gemini.dialect import Gemini

__all__ = ["Gemini"]
