"""A message's thoughts: ``reasoning_content`` (or ``reasoning``), and with their proofs ``reasoning_details``,
OpenRouter's way to carry signatures (openrouter.ai/docs/use-cases/reasoning-tokens). Requests and answers have them
alike."""

from __future__ import annotations

from typing import Any

import msgspec

from llmedge.dialects import ir, lenient
from llmedge.dialects.fields import Fields


def parse_thoughts(message: Fields) -> list[ir.Thinking]:
    """A client's."""
    text = message.text("reasoning_content") or message.text("reasoning")
    message.ignore("reasoning")
    return _together(text, [_detail(each) for each in message.objects("reasoning_details")])


def vendor_thoughts(text: str, details: Any) -> list[ir.Thinking]:
    """A vendor's, who may add kinds of details.

    :param details: ``reasoning_details``, decoded.
    """
    found = [read_detail(each) for each in (details if isinstance(details, list) else ())]
    return _together(text, [thought for thought in found if thought.text or thought.signature])


def read_detail(detail: Any) -> ir.Thinking:
    """One of a vendor's ``reasoning_details``, or a piece of one."""
    if lenient.text(detail, "type") == "reasoning.encrypted":
        return ir.Thinking(signature=lenient.text(detail, "data"), redacted=True, id=lenient.text(detail, "id"))
    text = lenient.text(detail, "text") or lenient.text(detail, "summary")
    return ir.Thinking(text, lenient.text(detail, "signature"), id=lenient.text(detail, "id"))


def _together(text: str, details: list[ir.Thinking]) -> list[ir.Thinking]:
    """What is said in both places is one thought."""
    out = "".join(detail.text for detail in details)
    if not text or out == text:
        return details
    if not out:
        for number, detail in enumerate(details):
            if not detail.redacted:  # the thought's signature alone
                details[number] = msgspec.structs.replace(detail, text=text)
                return details
    return [ir.Thinking(text), *details]


def _detail(fields: Fields) -> ir.Thinking:
    kind = fields.text("type")
    fields.ignore("index", "format")
    if kind == "reasoning.encrypted":
        thought = ir.Thinking(signature=fields.text("data"), redacted=True, id=fields.text("id"))
    else:
        text = fields.text("text") or fields.text("summary")
        thought = ir.Thinking(text, fields.text("signature"), id=fields.text("id"))
    fields.finish()
    return thought
