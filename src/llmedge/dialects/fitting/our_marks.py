"""Marks of a prompt cache in a request that is translated, where its client set none."""

from __future__ import annotations

from typing import Any

from llmedge.config.prompt_caches import BYTES_A_TOKEN, PromptCache
from llmedge.dialects import ir
from llmedge.dialects.fitting.marks import marks_in


def set_marks(request: ir.Request, cache: PromptCache, ttl: str) -> ir.Request:
    """``request`` with a mark behind its tools, one behind the system prompt and one behind the user's last turn, each
    where what is before it is long enough; as it is, where the client set a mark of its own."""
    if any(marks_in(request)) or any(hint.rpartition(".")[2] == "cache_control" for hint in request.hints):
        return request
    ttl, least = cache.ttl(ttl), cache.least * BYTES_A_TOKEN
    tools = tuple(dict.fromkeys(request.tools))  # of two alike one is offered, which a mark must not hide
    size = sum(len(tool.name) + len(tool.description) + len(tool.schema) for tool in tools)
    if tools and cache.tools and size >= least:
        tools = (*tools[:-1], ir.replace(tools[-1], cache=ttl))
    messages = list(request.messages)
    begin = next((at for at, each in enumerate(messages) if each.role not in ("system", "developer")), len(messages))
    for first, last in ((0, begin), (begin, len(messages))):
        size += sum(_said(part) for message in messages[first:last] for part in message.parts)
        if size >= least:
            _mark_last(messages, first, last, ttl, (ir.Text, *_MEDIA) if cache.media else (ir.Text,))
    return ir.replace(request, tools=tools, messages=tuple(messages))


_MEDIA = (ir.Image, ir.File, ir.ToolResult)


def _said(part: ir.Part) -> int:
    """Characters of text, which is what is known to be tokens."""
    if isinstance(part, ir.ToolResult):
        return sum(map(_said, part.content))
    if isinstance(part, ir.ToolCall):
        return len(part.arguments)
    return len(getattr(part, "text", ""))


def _mark_last(messages: list[ir.Message], first: int, last: int, ttl: str, kinds: tuple[type, ...]) -> None:
    """Mark the last part that may be, in that range, of a message that is not the model's."""
    for at in range(last - 1, first - 1, -1):
        if messages[at].role == "assistant":
            continue
        parts = list(messages[at].parts)
        for place in range(len(parts) - 1, -1, -1):
            part: Any = parts[place]
            if type(part) in kinds and getattr(part, "text", ".").strip():
                parts[place] = ir.replace(part, cache=ttl)
                messages[at] = ir.replace(messages[at], parts=tuple(parts))
                return
