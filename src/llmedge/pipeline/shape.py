"""What decides how long a call takes, as far as that is known before."""

from __future__ import annotations

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS

Shape = int
"""Calls of one shape take about as long at one target: the same operation, whole or streamed, within a factor of four
in the bytes of the prompt and, of a whole answer, in the tokens wished for. Counted in bits: it is made and looked up
for every call."""


_LIMITS = frozenset(name for dialect in DIALECTS.values() for name in dialect.limits)


def shape_of(call: Call) -> Shape:
    prompt = call.record.bytes_in.bit_length() >> 1
    if call.stream:
        return (call.operation.number << 12 | prompt) << 1
    answer = 0 if _LIMITS.isdisjoint(call.fields) else (call.most_output() or 0).bit_length() >> 1
    return (call.operation.number << 12 | answer << 6 | prompt) << 1 | 1


def is_whole(shape: Shape) -> bool:
    """Until the whole answer; else until a stream's first content."""
    return bool(shape & 1)


def tokens_of(call: Call) -> int:
    """About how many tokens the call will use: four bytes each, and what may be written, if its client says."""
    return call.record.bytes_in // 4 + (call.most_output() or 0)
