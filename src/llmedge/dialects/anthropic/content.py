"""The parts of one message of the IR → content blocks."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.anthropic import citations
from llmedge.dialects.fitting.conversation import NOTHING
from llmedge.dialects.fitting.thinking import is_signed
from llmedge.dialects.rendering import RenderContext, unread, view
from llmedge.dialects.tool_ids import word_id

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""The media types the API takes (platform.claude.com/docs/en/build-with-claude/vision)."""


class Blocks:
    """Renders a message, and says what of it cannot be said."""

    def __init__(self, message: ir.Message, context: RenderContext) -> None:
        self._message = message
        self._context = context

    def _unsupported(self, part: ir.Part) -> None:
        self._context.unsupported(type(part).__name__, at=self._message.at)

    def system(self) -> list[dict[str, Any]]:
        """Texts only."""
        return self._those(ir.Text)

    def user(self) -> list[dict[str, Any]]:
        return self._those(ir.Text, ir.Image, ir.File)

    def assistant(self) -> list[dict[str, Any]]:
        return self._those(ir.Text, ir.ToolCall, ir.Thinking, ir.Refusal)

    def results(self) -> list[dict[str, Any]]:
        return self._those(ir.ToolResult)

    def _those(self, *kinds: type) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for part in self._message.parts:
            if not isinstance(part, kinds):
                self._unsupported(part)
            elif (block := self._part(part)) is not None:
                cache = getattr(part, "cache", "")
                if cache:
                    block["cache_control"] = {"type": "ephemeral"} | ({"ttl": cache} if cache != "5m" else {})
                out.append(block)
        return out

    def _part(self, part: ir.Part) -> dict[str, Any] | None:
        if isinstance(part, ir.Text):
            return self._text(part)
        if isinstance(part, ir.Image):
            return self._image(part)
        if isinstance(part, ir.File):
            return self._document(part)
        if isinstance(part, ir.ToolCall):
            return self._call(part)
        if isinstance(part, ir.ToolResult):
            return self._result(part)
        if isinstance(part, ir.Thinking):
            return self._thinking(part)
        assert isinstance(part, ir.Refusal)
        return {"type": "text", "text": part.text} if part.text else None

    def _text(self, part: ir.Text) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": part.text}
        # Only the model cites: elsewhere the API refuses them (API version 2026-10-21).
        cites = [_citation(cite) for cite in part.citations] if self._message.role == "assistant" else []
        if None in cites or len(cites) < len(part.citations):
            self._context.unsupported("Text.citations")
        if cites := [cite for cite in cites if cite is not None]:
            block["citations"] = cites
        return block

    def _image(self, part: ir.Image) -> dict[str, Any] | None:
        source = part.source
        out = self._source(source) if source.kind != "base64" or source.media_type in IMAGES else None
        if out is None:
            self._unsupported(part)
            return None
        return {"type": "image", "source": out}

    def _document(self, part: ir.File) -> dict[str, Any] | None:
        source = _as_text(part.source)
        out: dict[str, Any] | None
        if source.kind == "text":
            out = {"type": "text", "media_type": "text/plain", "data": source.data}
        elif source.kind != "base64" or source.media_type == "application/pdf":
            out = self._source(source)
        else:
            out = None
        if out is None:
            self._unsupported(part)
            return None
        block: dict[str, Any] = {"type": "document", "source": out}
        if part.name:
            block["title"] = part.name
        if part.context:
            block["context"] = part.context
        if part.cite:
            block["citations"] = {"enabled": True}
        return block

    def _source(self, source: ir.Source) -> dict[str, Any] | None:
        if source.kind == "base64":
            return {"type": "base64", "media_type": source.media_type, "data": source.data}
        if source.kind == "file":
            return {"type": "file", "file_id": source.data}
        if self._context.takes(source):
            return {"type": "url", "url": source.data}
        return None

    def _call(self, part: ir.ToolCall) -> dict[str, Any]:
        arguments = msgspec.Raw(part.arguments.encode())
        return {"type": "tool_use", "id": word_id(part.id), "name": part.name, "input": arguments}

    def _result(self, part: ir.ToolResult) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": word_id(part.id)}
        inner = Blocks(ir.Message("user", part.content, at=self._message.at), self._context).user()
        if len(inner) == 1 and inner[0]["type"] == "text" and len(inner[0]) == 2:
            block["content"] = inner[0]["text"]
        elif inner:
            block["content"] = inner
        elif part.error:
            block["content"] = NOTHING  # the API refuses an error that says nothing
        if part.error:
            block["is_error"] = True
        return block

    def _thinking(self, part: ir.Thinking) -> dict[str, Any] | None:
        if not is_signed(part):
            self._unsupported(part)
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _citation(cite: ir.Citation) -> dict[str, Any] | None:
    """One citation; ``None`` if it would lose something."""
    seen = view(cite)
    out = citations.render(seen, answer=False)
    return None if any(unread(seen)) else out


def _as_text(source: ir.Source) -> ir.Source:
    """A text file sent as base64 is a text, which is the one way the API takes it."""
    if source.kind == "base64" and source.media_type.startswith("text/"):
        try:
            return ir.Source("text", base64.b64decode(source.data, validate=True).decode(), source.media_type)
        except ValueError:
            pass
    return source
