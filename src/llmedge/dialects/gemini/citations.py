"""What an answer leans on, and the likelihood of its tokens ↔ the IR.

``groundingMetadata`` tells the pages found by search and which bytes of which part they support,
``citationMetadata`` which bytes of the answer recite a source (ai.google.dev/api/generate-content#GroundingMetadata,
#CitationMetadata). The IR counts characters of the answer's text.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.lenient import UNREADABLE


class _Web(msgspec.Struct):
    uri: str = ""
    title: str = ""


class _Source(msgspec.Struct, rename="camel"):
    web: _Web | None = None
    retrieved_context: _Web | None = None
    maps: _Web | None = None


class _Segment(msgspec.Struct, rename="camel"):
    part_index: int = 0
    start_index: int = 0
    end_index: int | None = None


class _Support(msgspec.Struct, rename="camel"):
    segment: _Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class _Grounding(msgspec.Struct, rename="camel"):
    grounding_chunks: list[_Source] | None = None
    grounding_supports: list[_Support] | None = None


class _Recited(msgspec.Struct, rename="camel"):
    start_index: int = 0
    end_index: int | None = None
    uri: str = ""
    title: str = ""


class _Recitation(msgspec.Struct, rename="camel"):
    citation_sources: list[_Recited] | None = None
    citations: list[_Recited] | None = None
    """Vertex AI's name of them."""


NULL = msgspec.Raw(b"null")

_T = TypeVar("_T")


def _read(decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw) -> _T | None:
    """``None`` for what is not as it should be: an answer is not worth less for it."""
    try:
        return decoder.decode(raw)
    except UNREADABLE:
        return None


_groundings = msgspec.json.Decoder(_Grounding | None)
_recitations = msgspec.json.Decoder(_Recitation | None)


def parse_citations(
    grounding_metadata: msgspec.Raw, citation_metadata: msgspec.Raw, texts: list[str | None]
) -> list[ir.Citation]:
    """In the order of the supports; pages that support nothing in particular at the end.

    :param texts: of the candidate's parts, ``None`` for a part that is no text of the answer.
    """
    grounding, recitation = _read(_groundings, grounding_metadata), _read(_recitations, citation_metadata)
    citations: list[ir.Citation] = []
    if grounding is not None and grounding.grounding_chunks:
        pages = [each.web or each.retrieved_context or each.maps or _Web() for each in grounding.grounding_chunks]
        used: set[int] = set()
        for support in grounding.grounding_supports or ():
            for index in support.grounding_chunk_indices or ():
                if 0 <= index < len(pages):
                    used.add(index)
                    start, end = _range(support.segment, texts)
                    page = pages[index]
                    citations.append(ir.Citation("url", page.uri, page.title, text_start=start, text_end=end))
        rest = [page for index, page in enumerate(pages) if index not in used and page.uri]
        citations += [ir.Citation("url", page.uri, page.title) for page in rest]
    if recitation is not None:
        whole = "".join(text or "" for text in texts)
        for out in recitation.citation_sources or recitation.citations or ():
            if out.uri:
                start, end = _characters(whole, out.start_index, out.end_index)
                citations.append(ir.Citation("url", out.uri, out.title, text_start=start, text_end=end))
    return citations


def _range(segment: _Segment | None, texts: list[str | None]) -> tuple[int | None, int | None]:
    if segment is None or segment.end_index is None or not 0 <= segment.part_index < len(texts):
        return None, None
    before = sum(len(text or "") for text in texts[: segment.part_index])
    start, end = _characters(texts[segment.part_index] or "", segment.start_index, segment.end_index)
    return (None, None) if end is None else (before + (start or 0), before + end)


def _characters(text: str, start: int, end: int | None) -> tuple[int | None, int | None]:
    """A range of bytes as one of characters."""
    if end is None or start < 0 or end < start:
        return None, None
    raw = text.encode()
    return len(raw[:start].decode(errors="ignore")), len(raw[:end].decode(errors="ignore"))


def render_citations(citations: list[ir.Citation], texts: list[str | None]) -> dict[str, Any] | None:
    """``groundingMetadata``; only citations of URLs can be said.

    :param texts: of the candidate's parts, as in :func:`parse_citations`.
    """
    pages: list[dict[str, Any]] = []
    supports: list[dict[str, Any]] = []
    for cite in citations:
        if not cite.url:
            continue
        page = {"web": {"uri": cite.url, "title": cite.title}}
        if page not in pages:
            pages.append(page)
        if cite.text_start is not None and cite.text_end is not None:
            segment = _segment(cite.text_start, cite.text_end, texts)
            supports.append({"segment": segment, "groundingChunkIndices": [pages.index(page)]})
    if not pages:
        return None
    return {"groundingChunks": pages} | ({"groundingSupports": supports} if supports else {})


def _segment(start: int, end: int, texts: list[str | None]) -> dict[str, Any]:
    """In the part where the range begins."""
    before, number = 0, 0
    for index, text in enumerate(texts):
        if text is None:
            continue
        if start < before + len(text):
            number = index
            break
        before, number = before + len(text), index
    else:
        before -= len(texts[number] or "") if texts else 0
    text = (texts[number] if texts else "") or ""
    first, last = max(0, start - before), max(0, end - before)
    return {
        "partIndex": number,
        "startIndex": len(text[:first].encode()),
        "endIndex": len(text[:last].encode()),
        "text": text[first:last],
    }


# Likelihoods (ai.google.dev/api/generate-content#LogprobsResult)


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(msgspec.Struct):
    candidates: list[_Token] | None = None


class _Logprobs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Top] | None = None


_likelihoods = msgspec.json.Decoder(_Logprobs | None)


def parse_logprobs(raw: msgspec.Raw) -> tuple[ir.TokenLogprob, ...] | None:
    """The tokens, each with the likeliest alternatives of its step."""
    payload = None if raw == NULL else _read(_likelihoods, raw)
    if payload is None or payload.chosen_candidates is None:
        return None
    tops = payload.top_candidates or []
    tokens: list[ir.TokenLogprob] = []
    for index, chosen in enumerate(payload.chosen_candidates):
        top = (tops[index].candidates or []) if index < len(tops) else []
        likeliest = tuple(ir.TokenLogprob(each.token, each.log_probability) for each in top)
        tokens.append(ir.TokenLogprob(chosen.token, chosen.log_probability, top=likeliest))
    return tuple(tokens)


def render_logprobs(tokens: tuple[ir.TokenLogprob, ...]) -> dict[str, Any]:
    """``logprobsResult``."""
    out: dict[str, Any] = {"chosenCandidates": [_token(token) for token in tokens]}
    if any(token.top for token in tokens):
        out["topCandidates"] = [{"candidates": [_token(each) for each in token.top]} for token in tokens]
    return out


def _token(token: ir.TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logProbability": token.logprob}
