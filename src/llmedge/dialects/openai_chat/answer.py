"""Chat completions ↔ the IR (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import msgspec

from llmedge.dialects import ir, lenient
from llmedge.dialects.custom_tools import input_of
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.lenient import UNREADABLE, flat, text
from llmedge.dialects.openai_answer import check_answer
from llmedge.dialects.openai_chat.chunks import Choice, Message, citation, decode, label, logprobs, pieces
from llmedge.dialects.openai_chat.thoughts import vendor_thoughts
from llmedge.errors import UpstreamMalformed
from llmedge.model import Usage

_encode = msgspec.json.Encoder().encode

REASONS: dict[ir.FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
}


def finish_reason(finish: ir.FinishReason, refused: bool) -> str:
    """:param refused: there is a ``refusal``, which OpenAI ends with ``stop``; its SDK raises on ``content_filter``."""
    return "stop" if refused and finish == "refusal" else REASONS[finish]


# A vendor's answer


def parse(body: bytes) -> ir.Answer:
    """:raises UpstreamMalformed: it is not one. :raises VendorFailed: it is an error."""
    check_answer(body)
    try:
        whole = decode(body)
    except UNREADABLE:
        raise UpstreamMalformed("answered with something that is not an answer") from None
    choices = whole.said
    return ir.Answer(
        tuple(_choice(each, number) for number, each in enumerate(choices)),
        label(whole.id),
        label(whole.model),
        whole.seconds,
        whole.counted(),
        label(whole.service_tier),
    )


def _choice(choice: Choice, number: int) -> ir.Choice:
    message = next((each for each in (choice.message, choice.delta) if isinstance(each, Message)), Message())
    parts: list[ir.Part] = [*vendor_thoughts(message.thought, message.reasoning_details)]
    refused = flat(message.refusal)
    for kind, run in groupby(pieces(message.content), lambda piece: piece[0]):
        said = "".join(text for _, text in run)
        if kind == "refusal":
            refused += said
        else:
            parts.append(ir.Text(said) if kind == "text" else ir.Thinking(said))
    _cite(parts, message.annotations)
    if refused:
        parts.append(ir.Refusal(refused))
    if isinstance(message.audio, dict):
        source = ir.Source("base64", text(message.audio, "data"))
        parts.append(ir.Audio(source, text(message.audio, "transcript"), text(message.audio, "id")))
    calls = message.calls
    parts += [ir.ToolCall(each.identifier, each.name, each.whole_arguments, each.signature) for each in calls]
    finish, met = choice.ended(bool(calls), bool(refused))
    index = lenient.whole(choice.index)
    return ir.Choice(tuple(parts), finish, number if index is None else index, met, logprobs(choice))


def _cite(parts: list[ir.Part], annotations: Any) -> None:
    """Put the citations on the last text."""
    found = annotations if isinstance(annotations, list) else ()
    cites = tuple(cite for each in found if (cite := citation(each)) is not None)
    for place in reversed(range(len(parts))):
        if isinstance(last := parts[place], ir.Text):
            parts[place] = ir.Text(last.text, cites)
            break


# A client's answer


def render(answer: ir.Answer, context: ResponseContext) -> bytes:
    """Always with every field the API documents as required."""
    payload: dict[str, Any] = {
        "id": answer.id or context.id,
        "object": "chat.completion",
        "created": answer.created or context.created,
        "model": answer.model or context.model,
        "choices": [_render_choice(choice, context) for choice in answer.choices],
    }
    if answer.usage is not None:
        payload["usage"] = render_usage(answer.usage)
    if answer.service_tier:
        payload["service_tier"] = answer.service_tier
    return _encode(payload)


def _render_choice(choice: ir.Choice, context: ResponseContext) -> dict[str, Any]:
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
            calls.append(render_call(part, context.tools.get(part.name)))
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


def render_call(call: ir.ToolCall, tool: ir.Tool | None = None) -> dict[str, Any]:
    """One of ``tool_calls``; Google's own compatible API keeps the thought signature in the same place.

    :param tool: that is called, if the client knows it otherwise than as a function.
    """
    out: dict[str, Any] = {"id": call.id, "type": "function"}
    if tool is not None and tool.kind == "custom":
        out["type"], out["custom"] = "custom", {"name": call.name, "input": input_of(call.arguments)}
    else:
        out["function"] = {"name": call.name, "arguments": call.arguments}
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
