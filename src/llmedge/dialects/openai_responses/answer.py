"""Whole answers ↔ the IR (platform.openai.com/docs/api-reference/responses/object)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.fields import AnswerFields, Fields
from llmedge.dialects.openai_chat.chunks import tokens
from llmedge.dialects.openai_responses.calls import CALLED, FUNCTION, PREFIXES, arguments_in, item_of
from llmedge.dialects.openai_responses.envelope import Envelope, ended, failure, finish_of, parse_usage
from llmedge.dialects.openai_responses.items import parse_text, parse_thought
from llmedge.dialects.openai_responses.tools import CALLS, name_of
from llmedge.errors import UpstreamMalformed

_encode = msgspec.json.Encoder().encode


# A vendor's answer


def check(body: bytes) -> Fields:
    """The fields of a whole answer.

    :raises UpstreamMalformed: it is not one.
    :raises VendorFailed: it failed, or is an error object behind a status of 200.
    """
    top = AnswerFields.of_answer(body)
    status = top.text("status")
    if status in ("failed", "cancelled") or (top.has("error") and not top.has("output")):
        raise failure(top.value("error"), cancelled=status == "cancelled")
    if top.raw("output")[:1] not in (b"[", b"{"):
        raise UpstreamMalformed("answered without output")
    return top


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    top = check(body)
    status = top.text("status") or "completed"
    if status not in ("completed", "incomplete"):
        raise UpstreamMalformed(f"answered with a response that is {status}")
    parts: list[ir.Part] = []
    logprobs: list[ir.TokenLogprob] = []
    for item in top.objects("output"):
        parts += _parts(item, logprobs)
    finish = finish_of(
        status,
        incomplete_reason(top),
        any(isinstance(part, ir.ToolCall) for part in parts),
        any(isinstance(part, ir.Refusal) for part in parts),
    )
    choice = ir.Choice(tuple(parts), finish, logprobs=tuple(logprobs) or None)
    tier = top.text("service_tier")
    return ir.Answer(
        (choice,),
        top.text("id"),
        top.text("model"),
        max(0, top.integer("created_at") or 0),
        parse_usage(top.raw("usage"), tier),
        "" if tier == "auto" else tier,
    )


def incomplete_reason(response: Fields) -> str:
    """Why a response is incomplete."""
    details = response.object("incomplete_details")
    return details.text("reason") if details is not None else ""


def _parts(item: Fields, logprobs: list[ir.TokenLogprob]) -> list[ir.Part]:
    """Nothing for calls of the vendor's own tools: they were not asked for."""
    kind = item.text("type")
    if kind in CALLED:
        return [call_of(item)]
    if kind == "reasoning":
        thought = parse_thought(item)
        return [thought] if thought.text or thought.signature else []
    parts: list[ir.Part] = []
    if kind == "message":
        if item.is_text("content"):
            return [ir.Text(text)] if (text := item.text("content")) else []
        for each in item.objects("content"):
            if each.text("type") == "refusal":
                if refusal := each.text("refusal"):
                    parts.append(ir.Refusal(refusal))
            elif each.text("type") in TEXTS and each.has("text"):
                logprobs += tokens(each.value("logprobs"))
                if (part := parse_text(each)).text:
                    parts.append(part)
    return parts


TEXTS = ("output_text", "text")


def call_of(item: Fields) -> ir.ToolCall:
    """An item that calls a tool; a thought signature is where Google's compatible API has it in chats."""
    extra = item.object("extra_content")
    google = extra.object("google") if extra is not None else None
    signature = google.text("thought_signature") if google is not None else ""
    identifier = item.text("call_id") if item.is_text("call_id") else ""
    kind = item.text("type")
    return ir.ToolCall(identifier, CALLS.get(kind) or name_of(item), arguments_in(item, kind), signature)


# A client's answer


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    """The API gives one answer; of several, the first is given."""
    envelope = Envelope(context, answer.id, answer.model, answer.created, answer.service_tier)
    choice = answer.choices[0] if answer.choices else ir.Choice((), "stop")
    refused = any(isinstance(part, ir.Refusal) for part in choice.parts)
    status, reason = ended(choice.finish, refused)
    output: list[dict[str, Any]] = []
    texts: list[ir.Part] = []
    logprobs = choice.logprobs or ()
    for part in (*choice.parts, None):
        if isinstance(part, ir.Text | ir.Refusal):
            texts.append(part)
            continue
        if texts:
            content = render_texts(texts, logprobs)
            if any(isinstance(each, ir.Text) for each in texts):
                logprobs = ()
            output.append(message_item(envelope.item_id("msg", len(output)), "completed", content))
            texts = []
        if isinstance(part, ir.Thinking):
            output.append(thought_item(part.id or envelope.item_id("rs", len(output)), part.text, part.signature))
        elif isinstance(part, ir.ToolCall):
            tool = context.tools.get(part.name, FUNCTION)
            call = ir.replace(part, arguments=part.arguments or "{}")
            output.append(item_of(envelope.item_id(PREFIXES[tool.kind], len(output)), call, tool))
    if output and output[-1]["type"] == "message":
        output[-1]["status"] = status
    envelope.remember(output)
    return _encode(envelope.body(status, output, answer.usage, reason))


def message_item(id: str, status: str, content: list[Any]) -> dict[str, Any]:
    """An item of ``output``."""
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": content}


def thought_item(id: str, text: str, signature: str) -> dict[str, Any]:
    """An item of ``output``; what is thought is the summary, which is what clients show."""
    out: dict[str, Any] = {
        "id": id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}] if text else [],
    }
    if signature:
        out["encrypted_content"] = signature
    return out


def render_texts(parts: Sequence[ir.Part], logprobs: tuple[ir.TokenLogprob, ...] | None = None) -> list[dict[str, Any]]:
    """The content of a message: texts and refusals.

    :param logprobs: of the first text; ``None`` in requests, which have none.
    """
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ir.Text):
            content.append(text_part(part.text, render_annotations(part), logprobs))
            logprobs = None if logprobs is None else ()
        elif isinstance(part, ir.Refusal):
            content.append({"type": "refusal", "refusal": part.text})
    return content


def text_part(
    text: str, annotations: list[dict[str, Any]], logprobs: tuple[ir.TokenLogprob, ...] | None = ()
) -> dict[str, Any]:
    """A part of a message's content."""
    out: dict[str, Any] = {"type": "output_text", "text": text, "annotations": annotations}
    if logprobs is not None:
        out["logprobs"] = render_tokens(logprobs)
    return out


def render_annotations(text: ir.Text) -> list[dict[str, Any]]:
    """The citations that can be said."""
    return [out for cite in text.citations if (out := render_citation(cite, len(text.text)))]


def render_citation(cite: ir.Citation, length: int) -> dict[str, Any] | None:
    """One of ``annotations``, or ``None``: only URLs and files with an id can be cited.

    :param length: of the text that cites, so far.
    """
    start = 0 if cite.text_start is None else cite.text_start
    if cite.url:
        end = length if cite.text_end is None else cite.text_end
        return {
            "type": "url_citation",
            "start_index": start,
            "end_index": end,
            "url": cite.url,
            "title": cite.title,
        }
    if cite.file:
        return {"type": "file_citation", "index": start, "file_id": cite.file, "filename": cite.title}
    return None


def render_tokens(items: tuple[ir.TokenLogprob, ...], top: bool = True) -> list[Any]:
    """The items of ``logprobs``. OpenAI has no bytes in the events of a stream, Open Responses requires them."""
    out: list[Any] = []
    for item in items:
        rendered: dict[str, Any] = {"token": item.token, "logprob": item.logprob}
        rendered["bytes"] = list(item.token.encode() if item.bytes is None else item.bytes)
        if top:
            rendered["top_logprobs"] = render_tokens(item.top, False)
        out.append(rendered)
    return out
