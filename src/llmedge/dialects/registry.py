"""Which dialect serves which operation."""

from __future__ import annotations

from collections.abc import Mapping

from llmedge.dialects.openai_chat import OpenAIChat
from llmedge.dialects.openai_common import OpenAIDialect
from llmedge.dialects.openai_text import OpenAIText
from llmedge.model import Operation

OPENAI: Mapping[Operation, OpenAIDialect] = {
    Operation.CHAT: OpenAIChat(),
    Operation.TEXT: OpenAIText(),
}
