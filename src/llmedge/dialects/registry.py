"""The dialects there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.dialects.dialect import Dialect
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.openai_text import OpenAIText

CHAT = OpenAIChat()
DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (CHAT, OpenAIText())}
