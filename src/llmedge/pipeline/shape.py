"""What decides how long a call takes, as far as that is known before."""

from __future__ import annotations

from typing import NamedTuple

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.operations import Operation


class Shape(NamedTuple):
    """Calls of one shape take about as long at one target: within a factor of four in their sizes.

    :ivar whole: until the whole answer; else until a stream's first content.
    :ivar prompt: half the bits of its size in bytes; ``answer``: of the tokens wished for, of a whole answer.
    """

    operation: Operation
    whole: bool
    prompt: int
    answer: int


def shape_of(call: Call) -> Shape:
    whole = not call.stream
    answer = _most_tokens(call).bit_length() >> 1 if whole else 0
    return Shape(call.operation, whole, call.record.bytes_in.bit_length() >> 1, answer)


def tokens_of(call: Call) -> int:
    """About how many tokens the call will use: four bytes each, and what may be written."""
    return call.record.bytes_in // 4 + _most_tokens(call)


def _most_tokens(call: Call) -> int:
    """How many tokens the answer may have, as the client wishes; 0: it does not say."""
    fields = call.fields
    for name in DIALECTS[call.dialect].limits:
        if name in fields:
            raw = bytes(fields[name])
            if raw.isdigit() and len(raw) < 16:
                return int(raw)
    return 0
