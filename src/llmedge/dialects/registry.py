"""The dialects there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.dialects.anthropic import Anthropic
from llmedge.dialects.bedrock import Bedrock
from llmedge.dialects.dialect import Dialect
from llmedge.dialects.gemini import Gemini
from llmedge.dialects.gemini_embeddings import GeminiEmbeddings
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.openai_embeddings import OpenAIEmbeddings
from llmedge.dialects.openai_responses import OpenAIResponses
from llmedge.dialects.openai_text import OpenAIText
from llmedge.dialects.passthrough import PassedThrough

CHAT = OpenAIChat()
PASSED = PassedThrough()
_CHATS = (CHAT, OpenAIText(), OpenAIResponses(), Anthropic(), Gemini(), Bedrock())
_ALL = (*_CHATS, OpenAIEmbeddings(), GeminiEmbeddings(), PASSED)
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
