"""What a client says, read: one more field or message than a plain request, in each dialect."""

from __future__ import annotations

import json
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.dialect import ClientDialect
from llmedge.dialects.registry import DIALECTS

PLAIN: dict[str, dict[str, Any]] = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "q"}]},
    "openai_text": {"model": "m", "prompt": "q"},
    "openai_responses": {"model": "m", "input": "q"},
    "anthropic": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "q"}]}]},
}


def parse(client: str, **fields: Any) -> ir.Request:
    """What a client of this dialect says with these fields beside the plain ones."""
    dialect = DIALECTS[client]
    assert isinstance(dialect, ClientDialect)
    raw = json.dumps(PLAIN[client] | fields, ensure_ascii=False).encode()
    return dialect.parse(dialect.parse_request(raw, model="m").fields)
