"""How much a call may use at most, before it is made: what is held of a budget for it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmedge.call import Call, Candidate, Match
from llmedge.dialects import billing
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Usage
from llmedge.operations import Operation
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices

UNKNOWN_OUTPUT = 16_384
"""Tokens that an answer is limited to where neither the client nor the model's entry does."""
UNKNOWN_WINDOW = 1_000_000
_PICTURE = 3_000
"""Tokens of a picture, at most (platform.openai.com/docs/guides/images,
docs.anthropic.com/en/docs/build-with-claude/vision)."""
_PICTURE_OF_SMALL = 50_000
"""Of OpenAI's small models, which count 20 to 33 times as many for the same picture."""
_PICTURES = (b'"image_url"', b'"input_image"', b'"image"', b'"inline_data"', b'"inlineData"')
_ELSEWHERE = (b'"file_id"', b'"file_url"', b'"fileUri"', b'"file_uri"', b'"document"', b'"input_file"', b'"file_data"')
"""What stands for more than its own bytes say."""
_OF_ALL = (b"mage", b"nline", b"file", b"document")
"""One of these is in each of them: a text that has none need not be looked through for the others."""
_KEPT = frozenset({"previous_response_id", "conversation", "prompt", "cachedContent"})
"""Fields that stand for a conversation that the vendor keeps."""
_SILENT = {Operation.EMBEDDINGS, Operation.RERANK, Operation.MODERATIONS}
"""Operations that say nothing: they have no output."""


def input_bound(call: Call, window: int | None, model: str) -> int:
    """Tokens that are read at most: no token is shorter than a byte, and no prompt longer than the window."""
    most = window or UNKNOWN_WINDOW
    if not _KEPT.isdisjoint(call.fields):
        return most
    told = call.record.bytes_in
    for raw in call.fields.values():
        text = bytes(raw)
        for mark in _OF_ALL:
            if mark in text:
                break
        else:  # nearly always
            continue
        if any(mark in text for mark in _ELSEWHERE):
            return most
        small = "mini" in model or "nano" in model
        told += sum(map(text.count, _PICTURES)) * (_PICTURE_OF_SMALL if small else _PICTURE)
    return told if told < most or call.operation is Operation.EMBEDDINGS else most


def output_asked(call: Call) -> int | None:
    """Tokens that the client wants at most, of all answers together."""
    if call.operation in _SILENT:
        return 0
    asked = DIALECTS[call.dialect].asked_output(call.fields)
    return None if asked is None else asked * max(1, call.choices)


def everyone(models: ModelIndex, match: Match) -> Sequence[Candidate]:
    """All who may be asked for a model, its fallbacks included."""
    if not match.model.fallbacks and not match.model.context_fallbacks:
        return match.candidates
    found, names, seen = list(match.candidates), [*match.model.fallbacks, *match.model.context_fallbacks], set[str]()
    while names:
        if (name := names.pop()) not in seen and (other := models.find(name)) is not None:
            seen.add(name)
            found += other.candidates
            names += [*other.model.fallbacks, *other.model.context_fallbacks]
    return found


class Bound(msgspec.Struct):
    """At most so much, in picos: ``fixed``, and for each of ``output`` tokens what its share is.

    :ivar limited: the client or the model's entry bounds the output; else it has to be said to the vendor.
    """

    fixed: int
    output: int
    for_output: int
    limited: bool

    @property
    def amount(self) -> int:
        return self.fixed + self.for_output

    def fitting(self, left: int) -> int:
        """Tokens of output that ``left`` picos pay for."""
        if self.for_output == 0:
            return self.output if left >= self.fixed else -1
        return (left - self.fixed) * self.output // self.for_output if left >= self.fixed else -1


def bound(call: Call, models: ModelIndex, prices: Prices) -> Bound | None:
    """Of the dearest of those who may be asked; ``None``: of one of them the price is not known."""
    assert call.match is not None, "Admit found it"
    tier, asked = billing.asked_tier(call.fields), output_asked(call)
    most: Bound | None = None
    for candidate in everyone(models, call.match):
        target, capabilities = candidate.target, candidate.capabilities
        read = input_bound(call, capabilities.context, target.model)
        output = (capabilities.max_output or UNKNOWN_OUTPUT) * max(1, call.choices) if asked is None else asked
        fixed = prices.most(target, Usage(read, tier=tier))
        whole = prices.most(target, Usage(read, output, tier=tier))
        if fixed is None or whole is None:
            return None
        limited = asked is not None or capabilities.max_output is not None
        if most is None:
            most = Bound(fixed, output, whole - fixed, limited)
        else:
            most = Bound(
                max(most.fixed, fixed),
                max(most.output, output),
                max(most.for_output, whole - fixed),
                most.limited and limited,
            )
    return most
