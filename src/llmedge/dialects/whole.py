"""A whole answer as the events of a stream: of a vendor that does not stream although it was asked to, say."""

from __future__ import annotations

from llmedge.dialects import ir
from llmedge.errors import VendorFailed


def events_of(answer: ir.Answer) -> list[ir.StreamEvent]:
    """The events, each part in one piece.

    :raises VendorFailed: a part has no place in a stream.
    """
    events: list[ir.StreamEvent] = [ir.Begin(answer.id, answer.model, answer.created, answer.service_tier)]
    for choice in answer.choices:
        logprobs = choice.logprobs
        for block, part in enumerate(choice.parts):
            opened, text = _block(part, block, choice.index)
            events.append(opened)
            if text:
                events.append(ir.Delta(block, text, choice.index, logprobs if opened.kind == "text" else None))
                logprobs = None if opened.kind == "text" else logprobs
            if isinstance(part, ir.Text):
                events += [ir.Cite(block, cite, choice.index) for cite in part.citations]
            elif isinstance(part, ir.Thinking) and part.signature and not opened.redacted:
                events.append(ir.Sign(block, part.signature, choice.index))
            events.append(ir.Close(block, choice.index))
        events.append(ir.Finish(choice.finish, choice.index, choice.stop_sequence))
    return events + ([ir.Counted(answer.usage)] if answer.usage is not None else []) + [ir.End()]


def _block(part: ir.Part, block: int, choice: int) -> tuple[ir.Open, str]:
    """How a part of an answer opens its block, and the text in it."""
    if isinstance(part, ir.Text):
        return ir.Open(block, "text", choice), part.text
    if isinstance(part, ir.ToolCall):
        return ir.Open(block, "tool", choice, part.id, part.name, part.signature), part.arguments or "{}"
    if isinstance(part, ir.Thinking):
        signature = part.signature if part.redacted else ""
        return ir.Open(block, "thinking", choice, redacted=part.redacted, signature=signature), part.text
    if isinstance(part, ir.Refusal):
        return ir.Open(block, "refusal", choice), part.text
    if isinstance(part, ir.Audio):
        return ir.Open(block, "audio", choice), part.source.data
    raise VendorFailed("answered with something that a stream in the client's dialect has no place for")
