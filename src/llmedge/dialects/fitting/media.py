"""Pictures, sounds and documents that a vendor takes: where they may be, and what they may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.rendering import RenderContext

Messages = tuple[ir.Message, ...]


def fit_media(messages: Messages, context: RenderContext) -> Messages:
    """Without those that are at a URL nobody should read (``file:``, ``gopher:``), or that are not what they are said
    to be: a page of HTML for a picture.

    :raises Unsupported: there is one, and it may not be left out.
    """
    if not any(isinstance(part, ir.Image | ir.Audio | ir.File) for each in messages for part in with_results(each)):
        return messages
    return tuple(ir.replace(each, parts=tuple(_taken(each.parts, each, context))) for each in messages)


def with_results(message: ir.Message) -> Iterator[ir.Part]:
    """The parts of a message, and those in its tools' results."""
    for part in message.parts:
        yield part
        if isinstance(part, ir.ToolResult):
            yield from part.content


def _taken(parts: Iterable[Any], message: ir.Message, context: RenderContext) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, ir.ToolResult):
            part = ir.replace(part, content=tuple(_taken(part.content, message, context)))
        elif isinstance(part, ir.Image | ir.Audio | ir.File) and (why := _refused(part := _plain(part), context)):
            context.unsupported(type(part).__name__, why, at=message.at)
            continue
        yield part


_TYPES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aac": "audio/aac",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
}
"""What clients say, and what vendors know of it (iana.org/assignments/media-types)."""


def _plain(part: Any) -> Any:
    """With its media type as vendors know it, without parameters."""
    source = part.source
    said = source.media_type.partition(";")[0].strip().lower()
    known = _TYPES.get(said, said)
    return part if known == source.media_type else ir.replace(part, source=ir.replace(source, media_type=known))


def _refused(part: ir.Image | ir.Audio | ir.File, context: RenderContext) -> str:
    """Why a medium cannot be sent; ``""``: it can."""
    source, limits = part.source, context.limits
    assert limits is not None
    if source.kind == "file" and source.data.startswith(limits.foreign_files):
        return "by the id of another vendor's file"
    if source.kind == "url":
        return "" if context.takes(source) else f"by a URL of {', '.join(limits.schemes)} only"
    if source.kind != "base64" or isinstance(part, ir.File) or not source.media_type:
        return ""
    kind = type(part).__name__.lower()
    if not source.media_type.startswith(f"{kind}/"):
        return f"it is of type {source.media_type}"
    if kind == "image" and limits.images and source.media_type not in limits.images:
        return f"it is of type {source.media_type}; {', '.join(limits.images)} will do"
    return ""
