"""Which dialect serves which operation."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.dialects.dialect import Dialect
from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.openai_text import OpenAIText
from llmedge.model import Operation

OPENAI: Mapping[Operation, Dialect] = {
    Operation.CHAT: OpenAIChat(),
    Operation.TEXT: OpenAIText(),
}
