"""The parts of one message of the form → content blocks."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from llmedge.dialects import form
from llmedge.dialects.anthropic import citations
from llmedge.dialects.rendering import Saying, unread, view
from llmedge.dialects.tool_ids import word_id

IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""The media types the API takes (platform.claude.com/docs/en/build-with-claude/vision)."""

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def tool_input(arguments: str) -> msgspec.Raw | None:
    """A call's arguments as ``input``, byte for byte, none as an empty object; ``None`` if they are not an object."""
    arguments = arguments or "{}"
    try:
        _decode_object(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    return msgspec.Raw(arguments.encode())


def broken_input(arguments: str) -> dict[str, str]:
    """An ``input`` for arguments that are not a JSON object: no tool's, so that nothing is done by mistake, and nothing
    of what the model wrote is hidden."""
    return {"invalid_arguments": arguments}


class Blocks:
    """Renders a message, and says what of it cannot be said."""

    def __init__(self, message: form.Message, saying: Saying) -> None:
        self._message = message
        self._saying = saying

    def _cannot(self, what: str) -> None:
        self._saying.cannot(f"{self._message.at} ({what})")

    def system(self) -> list[dict[str, Any]]:
        """Texts only."""
        return self._those(form.Text)

    def user(self) -> list[dict[str, Any]]:
        return self._those(form.Text, form.Image, form.File)

    def assistant(self) -> list[dict[str, Any]]:
        return self._those(form.Text, form.ToolCall, form.Thinking, form.Refusal)

    def results(self) -> list[dict[str, Any]]:
        return self._those(form.ToolResult)

    def _those(self, *kinds: type) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for part in self._message.parts:
            if not isinstance(part, kinds):
                self._cannot(type(part).__name__.lower())
            elif (block := self._part(part)) is not None:
                cache = getattr(part, "cache", "")
                if cache:
                    block["cache_control"] = {"type": "ephemeral"} | ({"ttl": cache} if cache != "5m" else {})
                out.append(block)
        return out

    def _part(self, part: form.Part) -> dict[str, Any] | None:
        if isinstance(part, form.Text):
            return self._text(part)
        if isinstance(part, form.Image):
            return self._image(part)
        if isinstance(part, form.File):
            return self._document(part)
        if isinstance(part, form.ToolCall):
            return self._call(part)
        if isinstance(part, form.ToolResult):
            return self._result(part)
        if isinstance(part, form.Thinking):
            return self._thinking(part)
        assert isinstance(part, form.Refusal)
        return {"type": "text", "text": part.text} if part.text else None

    def _text(self, part: form.Text) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "text", "text": part.text}
        # Only the model cites: elsewhere the API refuses them (API version 2026-10-21).
        cites = [_citation(cite) for cite in part.citations] if self._message.role == "assistant" else []
        if None in cites or len(cites) < len(part.citations):
            self._cannot("citations")
        if cites := [cite for cite in cites if cite is not None]:
            block["citations"] = cites
        return block

    def _image(self, part: form.Image) -> dict[str, Any] | None:
        source = part.source
        said = self._source(source) if source.kind != "base64" or source.media_type in IMAGES else None
        if said is None:
            self._cannot("image")
            return None
        return {"type": "image", "source": said}

    def _document(self, part: form.File) -> dict[str, Any] | None:
        source = _as_text(part.source)
        said: dict[str, Any] | None
        if source.kind == "text":
            said = {"type": "text", "media_type": "text/plain", "data": source.data}
        elif source.kind != "base64" or source.media_type == "application/pdf":
            said = self._source(source)
        else:
            said = None
        if said is None:
            self._cannot("file")
            return None
        block: dict[str, Any] = {"type": "document", "source": said}
        if part.name:
            block["title"] = part.name
        if part.context:
            block["context"] = part.context
        if part.cite:
            block["citations"] = {"enabled": True}
        return block

    def _source(self, source: form.Source) -> dict[str, Any] | None:
        if source.kind == "base64":
            return {"type": "base64", "media_type": source.media_type, "data": source.data}
        if source.kind == "file":
            return {"type": "file", "file_id": source.data}
        if source.kind == "url" and source.data.startswith(("https://", "http://")):
            return {"type": "url", "url": source.data}
        return None

    def _call(self, part: form.ToolCall) -> dict[str, Any]:
        said: Any = tool_input(part.arguments)
        if said is None:
            self._cannot("a tool call's arguments that are not a JSON object")
            said = broken_input(part.arguments)
        return {"type": "tool_use", "id": word_id(part.id), "name": part.name, "input": said}

    def _result(self, part: form.ToolResult) -> dict[str, Any]:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": word_id(part.id)}
        inner = Blocks(form.Message("user", part.content, at=self._message.at), self._saying).user()
        if len(inner) == 1 and inner[0]["type"] == "text" and len(inner[0]) == 2:
            block["content"] = inner[0]["text"]
        elif inner:
            block["content"] = inner
        if part.error:
            block["is_error"] = True
        return block

    def _thinking(self, part: form.Thinking) -> dict[str, Any] | None:
        if not part.signature or part.id:  # only its own thoughts are taken back, and they have no ids
            self._cannot("thinking")
            return None
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _citation(cite: form.Citation) -> dict[str, Any] | None:
    """One citation; ``None`` if it would lose something."""
    seen = view(cite)
    said = citations.render(seen, answer=False)
    return None if any(unread(seen)) else said


def _as_text(source: form.Source) -> form.Source:
    """A text file sent as base64 is a text, which is the one way the API takes it."""
    if source.kind == "base64" and source.media_type.startswith("text/"):
        try:
            return form.Source("text", base64.b64decode(source.data, validate=True).decode(), source.media_type)
        except ValueError:
            pass
    return source
