"""Chat completions ↔ the IR (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.fields import Fields
from llmedge.dialects.openai_answer import check_answer, parse_usage
from llmedge.dialects.openai_chat.thoughts import parse_thoughts
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode

FINISH: dict[str, ir.FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
"""OpenAI's reasons and ours. What a vendor adds to them counts as ``stop``."""

REASONS: dict[ir.FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "malformed": "stop",
}


def finish_reason(finish: ir.FinishReason, refused: bool) -> str:
    """:param refused: there is a ``refusal``, which OpenAI ends with ``stop``; its SDK raises on ``content_filter``."""
    return "stop" if refused and finish == "refusal" else REASONS[finish]


# A vendor's answer


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    check_answer(body)
    top = Fields.of_answer(body)
    choices = tuple(_choice(each, number) for number, each in enumerate(top.objects("choices")))
    usage = top.raw("usage")
    return ir.Answer(
        choices,
        top.text("id"),
        top.text("model"),
        top.integer("created") or 0,
        parse_usage(usage) if usage else None,
        top.text("service_tier"),
    )


def _choice(fields: Fields, number: int) -> ir.Choice:
    message = fields.object("message") or Fields({})
    parts: list[ir.Part] = [*parse_thoughts(message)]
    text = message.text("content")
    citations = tuple(cite for each in message.objects("annotations") if (cite := citation(each)) is not None)
    if text:
        parts.append(ir.Text(text, citations))
    if refusal := message.text("refusal"):
        parts.append(ir.Refusal(refusal))
    if (audio := message.object("audio")) is not None:
        source = ir.Source("base64", audio.text("data"))
        parts.append(ir.Audio(source, audio.text("transcript"), audio.text("id")))
    for call in message.objects("tool_calls"):
        function = call.object("function")
        if function is not None:
            arguments = function.text("arguments") or "{}"
            parts.append(ir.ToolCall(call.text("id"), function.text("name"), arguments, _signature(call)))
    finish = FINISH.get(fields.text("finish_reason"), "stop")
    if finish == "stop" and any(isinstance(part, ir.ToolCall) for part in parts):
        finish = "tool"  # some vendors say stop
    if finish == "stop" and any(isinstance(part, ir.Refusal) for part in parts):
        finish = "refusal"
    logprobs = fields.object("logprobs")
    index = fields.integer("index")
    return ir.Choice(
        tuple(parts),
        finish,
        number if index is None else index,
        logprobs=None if logprobs is None or not logprobs.has("content") else tokens(logprobs.objects("content")),
    )


def _signature(call: Fields) -> str:
    extra = call.object("extra_content")
    google = extra.object("google") if extra is not None else None
    return google.text("thought_signature") if google is not None else ""


def citation(fields: Fields) -> ir.Citation | None:
    """One of ``annotations``."""
    if (url := fields.object("url_citation")) is not None:
        return ir.Citation(
            "url",
            url=url.text("url"),
            title=url.text("title"),
            text_start=url.integer("start_index"),
            text_end=url.integer("end_index"),
        )
    return None


def _bytes(item: Fields) -> tuple[int, ...] | None:
    value = item.value("bytes")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(each, int) for each in value):
        item.fail("bytes", "must be a list of numbers")
    return tuple(value)


def tokens(items: list[Fields]) -> tuple[ir.TokenLogprob, ...]:
    """The items of ``logprobs.content`` or of ``top_logprobs``."""
    return tuple(
        ir.TokenLogprob(
            item.text("token"),
            item.number("logprob") or 0.0,
            _bytes(item),
            tokens(item.objects("top_logprobs")),
        )
        for item in items
    )


# A client's answer


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    """Always with every field the API documents as required."""
    payload: dict[str, Any] = {
        "id": answer.id or context.id,
        "object": "chat.completion",
        "created": answer.created or context.created,
        "model": answer.model or context.model,
        "choices": [_render_choice(choice) for choice in answer.choices],
    }
    if answer.usage is not None:
        payload["usage"] = render_usage(answer.usage)
    if answer.service_tier:
        payload["service_tier"] = answer.service_tier
    return _encode(payload)


def _render_choice(choice: ir.Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    texts: list[str] = []
    thoughts: list[ir.Thinking] = []
    annotations: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in choice.parts:
        if isinstance(part, ir.Text):
            before = sum(map(len, texts))
            annotations += [
                rendered
                for cite in part.citations
                if (rendered := render_citation(cite, before, before + len(part.text)))
            ]
            texts.append(part.text)
        elif isinstance(part, ir.Thinking):
            thoughts.append(part)
        elif isinstance(part, ir.Refusal):
            message["refusal"] = (message["refusal"] or "") + part.text
        elif isinstance(part, ir.ToolCall):
            calls.append(render_call(part))
        elif isinstance(part, ir.Audio):
            message["audio"] = {
                "id": part.id,
                "data": part.source.data,
                "expires_at": 0,
                "transcript": part.transcript,
            }
    if texts:
        message["content"] = "".join(texts)
    if annotations:
        message["annotations"] = annotations
    if thoughts:
        if thinking := "".join(thought.text for thought in thoughts):
            message["reasoning_content"] = thinking
        details = [detail for thought in thoughts if (detail := thought_detail(thought))]
        if details:
            message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    reason = finish_reason(choice.finish, message["refusal"] is not None)
    out: dict[str, Any] = {"index": choice.index, "message": message, "finish_reason": reason}
    out["logprobs"] = None if choice.logprobs is None else {"content": render_tokens(choice.logprobs), "refusal": None}
    return out


def render_call(call: ir.ToolCall) -> dict[str, Any]:
    """One of ``tool_calls``; Google's own compatible API keeps the thought signature in the same place."""
    out: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature:
        out["extra_content"] = {"google": {"thought_signature": call.signature}}
    return out


def thought_detail(thought: ir.Thinking) -> dict[str, Any] | None:
    """One of ``reasoning_details``, for what ``reasoning_content`` cannot say: a signature, a redacted thought."""
    if thought.redacted:
        return {"type": "reasoning.encrypted", "data": thought.signature}
    if thought.signature:
        return {"type": "reasoning.text", "text": thought.text, "signature": thought.signature}
    return None


def render_citation(cite: ir.Citation, start: int, end: int) -> dict[str, Any] | None:
    """One of ``annotations``; only citations of URLs can be said. ``start`` and ``end``: of the text that cites."""
    if not cite.url:
        return None
    return {
        "type": "url_citation",
        "url_citation": {
            "url": cite.url,
            "title": cite.title,
            "start_index": start if cite.text_start is None else cite.text_start,
            "end_index": end if cite.text_end is None else cite.text_end,
        },
    }


def render_tokens(items: tuple[ir.TokenLogprob, ...], top: bool = True) -> list[dict[str, Any]]:
    """The items of ``logprobs.content``."""
    return [
        {"token": item.token, "logprob": item.logprob, "bytes": None if item.bytes is None else list(item.bytes)}
        | ({"top_logprobs": render_tokens(item.top, False)} if top else {})
        for item in items
    ]


def render_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's usage object."""
    prompt: dict[str, int] = {"cached_tokens": usage.cached, "audio_tokens": usage.audio_input}
    if usage.cache_write:
        prompt["cache_write_tokens"] = usage.cache_write
    completion: dict[str, int] = {"reasoning_tokens": usage.reasoning, "audio_tokens": usage.audio_output}
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
