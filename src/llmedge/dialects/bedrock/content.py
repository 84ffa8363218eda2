"""Content blocks ↔ parts of the IR: what requests and answers share.

Source: docs.aws.amazon.com/bedrock/latest/APIReference, ``API_runtime_ContentBlock`` and what it links to. A block
is an object with one field, named after its kind. A cache point is a block of its own; in the IR it is a mark on
the part before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields
from llmedge.dialects.fitting.conversation import NOTHING
from llmedge.dialects.lenient import arguments, broken_input, raw_object
from llmedge.dialects.rendering import unread, view
from llmedge.dialects.tool_ids import word_id

IMAGES = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
DOCUMENTS = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
AUDIO = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "opus": "audio/opus",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "pcm": "audio/pcm",
    "webm": "audio/webm",
    "mka": "audio/x-matroska",
    "mp4": "audio/mp4",
    "mkv": "audio/x-matroska",
    "mpeg": "audio/mpeg",
    "mpga": "audio/mpeg",
    "x-aac": "audio/aac",
}
"""Bedrock's names of formats. Of several for one media type the first is said."""

Refuse = Callable[..., None]
"""Called with the leaf, or kind of part, of a message that cannot be said; and why."""


def _name_of(formats: dict[str, str], media_type: str) -> str:
    return next((name for name, each in formats.items() if each == media_type), "")


# Blocks → parts


def parse_blocks(blocks: list[Fields], unread: list[str]) -> list[ir.Part]:
    """The parts of a message. Paths of what has no place in the IR go into ``unread``."""
    parts: list[ir.Part] = []
    for block in blocks:
        if (point := block.object("cachePoint")) is not None:
            ttl = cache_point(point)
            if parts and hasattr(parts[-1], "cache"):
                parts[-1] = msgspec.structs.replace(parts[-1], cache=ttl)
            else:
                unread.append(point.path)
        elif (part := _parse_block(block, unread)) is not None:
            parts.append(part)
        block.finish()
    return [part for part in parts if part != ir.Text("")]


def cache_point(point: Fields) -> str:
    """How long to keep the prompt up to here."""
    point.ignore("type")
    ttl = point.text("ttl") or "5m"
    point.finish()
    return ttl


def _parse_block(block: Fields, unread: list[str]) -> ir.Part | None:
    if block.has("text"):
        return ir.Text(block.text("text"))
    part: ir.Part | None = None
    if (fields := block.object("image")) is not None:
        part = _image(fields)
    elif (fields := block.object("document")) is not None:
        part = _document(fields)
    elif (fields := block.object("audio")) is not None:
        source = _source(fields, AUDIO)
        part = None if source is None else ir.Audio(source)
    elif (fields := block.object("toolUse")) is not None:
        if fields.has("type"):  # the vendor runs it itself: no call for the client
            unread.append(fields.path)
            return None
        given = arguments(fields.raw("input")) or "{}"
        part = ir.ToolCall(fields.text("toolUseId"), fields.text("name", None), given)
    elif (fields := block.object("toolResult")) is not None:
        part = _tool_result(fields, unread)
    elif (fields := block.object("reasoningContent")) is not None:
        if fields.has("redactedContent"):
            part = ir.Thinking(signature=fields.text("redactedContent"), redacted=True)
        else:
            thought = fields.object("reasoningText") or Fields({})
            part = ir.Thinking(thought.text("text"), thought.text("signature"))
            thought.finish()
    elif (fields := block.object("citationsContent")) is not None:
        text = "".join(each.text("text") for each in fields.objects("content"))
        part = ir.Text(text, tuple(citation(each) for each in fields.objects("citations")))
    if fields is not None:
        fields.finish()
    return part


def _source(fields: Fields, formats: dict[str, str]) -> ir.Source | None:
    """``None`` for a source that has no place in the IR; it stays unread."""
    name = fields.text("format")
    media_type = formats.get(name, "")
    if name and not media_type:
        fields.fail("format", f"must be one of {', '.join(formats)}")
    source = fields.object("source")
    if source is None:
        fields.fail("source", "is required")
    if source.has("bytes"):
        parsed = ir.Source("base64", source.text("bytes"), media_type)
    elif (location := source.object("s3Location")) is not None:
        parsed = ir.Source("url", location.text("uri", None), media_type)
        location.finish()
    elif source.has("text"):
        parsed = ir.Source("text", source.text("text"), media_type)
    else:
        source.finish()
        return None
    source.finish()
    return parsed


def _image(fields: Fields) -> ir.Image | None:
    source = _source(fields, IMAGES)
    return None if source is None else ir.Image(source)


def _document(fields: Fields) -> ir.File | None:
    source = _source(fields, DOCUMENTS)
    citations = fields.object("citations")
    cite = citations is not None and bool(citations.boolean("enabled"))
    name, context = fields.text("name"), fields.text("context")
    return None if source is None else ir.File(source, name, context, cite)


def _tool_result(fields: Fields, unread: list[str]) -> ir.ToolResult:
    content: list[ir.Text | ir.Image | ir.File] = []
    for block in fields.objects("content"):
        part = ir.Text(block.raw("json").decode()) if block.has("json") else _parse_block(block, unread)
        if isinstance(part, ir.Text | ir.Image | ir.File) and part != ir.Text(""):
            content.append(part)
        block.finish()
    return ir.ToolResult(fields.text("toolUseId", None), tuple(content), error=fields.text("status") == "error")


_PLACES: dict[str, Any] = {"documentChar": "char", "documentPage": "page", "documentChunk": "block"}


def citation(fields: Fields) -> ir.Citation:
    """One of ``citations``, or of a stream the delta ``citation``. A search result's place is in blocks, with a URL."""
    title, quote = fields.text("title"), "".join(each.text("text") for each in fields.objects("sourceContent"))
    url = fields.text("source")
    location = fields.object("location") or Fields({})
    if (web := location.object("web")) is not None:
        return ir.Citation("url", url=web.text("url"), title=title, quote=quote)
    if (place := location.object("searchResultLocation")) is not None:
        number, kind = place.integer("searchResultIndex"), _PLACES["documentChunk"]
    else:
        name = next((name for name in _PLACES if location.has(name)), "")
        place = location.object(name) if name else None
        if place is None:
            return ir.Citation("url", url=url, title=title, quote=quote)
        number, kind = place.integer("documentIndex"), _PLACES[name]
    return ir.Citation(
        kind,
        url=url,
        title=title,
        quote=quote,
        document=number,
        start=place.integer("start"),
        end=place.integer("end"),
    )


# Parts → blocks


class Blocks:
    """Writes the blocks of one request or answer. Bedrock wants documents' names to differ."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def render(self, part: ir.Part, refuse: Refuse) -> list[dict[str, Any]]:
        """The blocks of one part, its cache point included; none if it cannot be said."""
        blocks = [block] if (block := self._block(part, refuse)) is not None else []
        if blocks and (ttl := getattr(part, "cache", "")):
            blocks += render_cache_point(ttl, refuse)
        return blocks

    def _block(self, part: ir.Part, refuse: Refuse) -> dict[str, Any] | None:
        if isinstance(part, ir.Text):
            return render_text(part, refuse)
        if isinstance(part, ir.ToolCall):
            return {"toolUse": {"toolUseId": word_id(part.id), "name": part.name, "input": _arguments(part)}}
        if isinstance(part, ir.ToolResult):
            return {"toolResult": self._result(part, refuse)}
        if isinstance(part, ir.Thinking):
            if part.redacted:
                return {"reasoningContent": {"redactedContent": part.signature}}
            thought = {"text": part.text} | ({"signature": part.signature} if part.signature else {})
            return {"reasoningContent": {"reasoningText": thought}}
        if isinstance(part, ir.Image):
            return self._medium("image", IMAGES, part.source, refuse)
        if isinstance(part, ir.Audio):
            if part.id:  # which stands for its data
                refuse("Audio.id")
                return None
            return self._medium("audio", AUDIO, part.source, refuse)
        if isinstance(part, ir.File):
            return self._document(part, refuse)
        refuse(type(part).__name__)
        return None

    def _medium(self, kind: str, formats: dict[str, str], source: ir.Source, refuse: Refuse) -> dict[str, Any] | None:
        name = _name_of(formats, source.media_type)
        out = _render_source(source) if source.kind != "text" else None
        if out is None or not name:
            refuse(kind.capitalize(), _cannot(source, out))
            return None
        return {kind: {"format": name, "source": out}}

    def _document(self, part: ir.File, refuse: Refuse) -> dict[str, Any] | None:
        source = part.source
        name = _name_of(DOCUMENTS, source.media_type)
        out = _render_source(source)
        if out is None or (not name and (source.kind == "base64" or source.media_type)):
            refuse("File", _cannot(source, out))
            return None
        document: dict[str, Any] = {"name": self._document_name(part.name, name), "source": out}
        if name:
            document["format"] = name
        if part.context:
            document["context"] = part.context
        if part.cite:
            document["citations"] = {"enabled": True}
        return {"document": document}

    def _document_name(self, name: str, extension: str) -> str:
        """A name Bedrock takes: letters, digits, single spaces, ``-()[]``, 200 characters; no other's name."""
        if extension and name.lower().endswith(f".{extension}"):
            name = name[: -len(extension) - 1]
        name = " ".join(re.sub(r"[^A-Za-z0-9\s()\[\]-]", "-", name).split())[:190].rstrip() or "Document"
        unique, number = name, 1
        while unique in self._names:
            number += 1
            unique = f"{name} {number}"
        self._names.add(unique)
        return unique

    def _result(self, part: ir.ToolResult, refuse: Refuse) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        for each in part.content:
            if each.cache:
                refuse("Text.cache")
            if isinstance(each, ir.Text) and each.citations:
                refuse("Text.citations")
                each = ir.Text(each.text)
            if (block := self._block(each, refuse)) is not None:
                content.append(block)
        if not content:  # which Bedrock refuses of an error, and some models of any result
            content.append({"text": NOTHING})  # github.com/strands-agents/harness-sdk/issues/2122
        result: dict[str, Any] = {"toolUseId": word_id(part.id), "content": content}
        if part.error:
            result["status"] = "error"
        return result


def render_text(part: ir.Text, refuse: Refuse) -> dict[str, Any]:
    """A text's block, ``citationsContent`` where it cites."""
    if not part.citations:
        return {"text": part.text}
    citations = [_render_citation(cite, refuse) for cite in part.citations]
    return {"citationsContent": {"content": [{"text": part.text}], "citations": citations}}


def render_cache_point(ttl: str, refuse: Refuse) -> list[dict[str, Any]]:
    if ttl not in ("5m", "1h"):
        refuse("Text.cache")
        return []
    return [{"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl != "5m" else {})}]


def _arguments(call: ir.ToolCall) -> Any:
    return raw_object(call.arguments or "{}") or broken_input(call.arguments)


def _cannot(source: ir.Source, rendered: Any) -> str:
    """Why a medium cannot be said."""
    return "only what is sent along" if rendered is None else f"its type is {source.media_type or 'not said'}"


def _render_source(source: ir.Source) -> dict[str, Any] | None:
    if source.kind == "base64":
        return {"bytes": source.data}
    if source.kind == "url" and source.data.startswith("s3://"):
        return {"s3Location": {"uri": source.data}}
    return {"text": source.data} if source.kind == "text" else None


def _render_citation(cite: ir.Citation, refuse: Refuse) -> dict[str, Any]:
    seen = view(cite)
    out = citation_fields(seen)
    if cite.kind == "file" or any(unread(seen)):
        refuse("Text.citations")
    return out


def citation_fields(cite: ir.Citation) -> dict[str, Any]:
    """A citation's object, in a whole answer and in a stream."""
    out: dict[str, Any] = {}
    if cite.title:
        out["title"] = cite.title
    if cite.quote:
        out["sourceContent"] = [{"text": cite.quote}]
    if cite.kind == "url":
        if cite.url:
            out["location"] = {"web": {"url": cite.url}}
        return out
    if cite.url:
        out["source"] = cite.url
    name = next((name for name, kind in _PLACES.items() if kind == cite.kind), "")
    index = "documentIndex"
    if cite.kind == "block" and cite.url:
        name, index = "searchResultLocation", "searchResultIndex"
    if name:
        place = {index: cite.document, "start": cite.start, "end": cite.end}
        out["location"] = {name: {key: value for key, value in place.items() if value is not None}}
    return out
