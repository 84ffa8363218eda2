"""Citations ↔ the IR (platform.claude.com/docs/en/build-with-claude/citations)."""

from __future__ import annotations

from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.fields import Fields

_RANGES: dict[str, tuple[Any, str, str]] = {
    "char_location": ("char", "start_char_index", "end_char_index"),
    "page_location": ("page", "start_page_number", "end_page_number"),
    "content_block_location": ("block", "start_block_index", "end_block_index"),
}
_TYPES = {kind: (name, start, end) for name, (kind, start, end) in _RANGES.items()}


def parse(fields: Fields) -> ir.Citation | None:
    """One citation; ``None`` for a kind nobody else knows. Citations of search results are of kind ``block``, with
    the result's source as ``url`` and its number as ``document``."""
    kind = fields.text("type")
    cite = None
    if kind in _RANGES:
        unit, start, end = _RANGES[kind]
        cite = ir.Citation(
            unit,
            title=fields.text("document_title"),
            quote=fields.text("cited_text"),
            file=fields.text("file_id"),
            document=fields.integer("document_index"),
            start=fields.integer(start),
            end=fields.integer(end),
        )
    elif kind == "web_search_result_location":
        cite = ir.Citation(
            "url",
            url=fields.text("url"),
            title=fields.text("title"),
            quote=fields.text("cited_text"),
            opaque=fields.text("encrypted_index"),
        )
    elif kind == "search_result_location":
        cite = ir.Citation(
            "block",
            url=fields.text("source"),
            title=fields.text("title"),
            quote=fields.text("cited_text"),
            document=fields.integer("search_result_index"),
            start=fields.integer("start_block_index"),
            end=fields.integer("end_block_index"),
        )
    if cite is not None:
        fields.finish()
    return cite


def render(cite: ir.Citation, *, answer: bool) -> dict[str, Any] | None:
    """One citation with every field the API requires; ``None`` for one it has no kind for.

    :param answer: for a client. In a request only what the vendor gave can be said: a ``url`` with its ``opaque``,
        and never a ``file_id``, which the API does not take back.
    """
    if cite.kind == "url":
        if not (answer or cite.opaque):
            return None
        return {
            "type": "web_search_result_location",
            "cited_text": cite.quote,
            "encrypted_index": cite.opaque,
            "title": cite.title or None,
            "url": cite.url,
        }
    if cite.kind == "file":
        return None
    if cite.kind == "block" and cite.url:
        return {
            "type": "search_result_location",
            "cited_text": cite.quote,
            "end_block_index": cite.end or 0,
            "search_result_index": cite.document or 0,
            "source": cite.url,
            "start_block_index": cite.start or 0,
            "title": cite.title or None,
        }
    name, start, end = _TYPES[cite.kind]
    out: dict[str, Any] = {
        "type": name,
        "cited_text": cite.quote,
        "document_index": cite.document or 0,
        "document_title": cite.title or None,
        start: cite.start or 0,
        end: cite.end or 0,
    }
    file = cite.file  # where it cannot be said it may be missing: the number of the document says the same
    return out | {"file_id": file or None} if answer else out
