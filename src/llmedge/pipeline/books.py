"""What was used and what it costs: of each attempt that may be billed, in its record, and of all of them together."""

from __future__ import annotations

import msgspec

from llmedge.call import Call
from llmedge.dialects import billing
from llmedge.model import Usage
from llmedge.operations import Operation
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.tokens import rough
from llmedge.record import Attempt

_decode_text = msgspec.json.Decoder(str).decode
_AT_WORK = frozenset({"silent", "stall", "cut", "malformed", "too_large", "unusable", "media_type"})
"""Causes of failure whose vendor had the request and worked on it."""


class Books:
    """Keeps the accounts of calls. A row's sum is that of its attempts, whatever became of them."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices

    def enter_answer(self, call: Call, usage: Usage | None) -> None:
        """Write down a call that was answered, and what others were put to work for.

        :param usage: of the answer; ``None``: nobody can tell.
        """
        routing, accounting = call.record.routing, call.record.accounting
        by = routing.answered_by or routing.deciding_attempt
        accounting.usage = usage
        if by is None:
            return
        by.usage = usage
        self._price(by)
        accounting.cost, accounting.unpriced = by.cost, by.unpriced
        if len(routing.attempts) > 1:
            self._sum(call, by)

    def enter_vain(self, call: Call) -> None:
        """Write down a call that nobody got a whole answer to: what vendors had told, or had said, and the prompt of
        those that were left at work. Nobody takes money for counting tokens."""
        if call.operation is not Operation.COUNT_TOKENS:
            self._sum(call, None)

    def _sum(self, call: Call, by: Attempt | None) -> None:
        accounting = call.record.accounting
        total = None
        for attempt in call.record.routing.attempts:
            if attempt is not by:
                self._enter(call, attempt)
                if by is None and attempt.usage is not None:
                    accounting.usage = attempt.usage
            if attempt.cost is not None:
                total = attempt.cost + (total or 0)
            if attempt.unpriced:
                accounting.unpriced = True
        accounting.cost = total

    def _enter(self, call: Call, attempt: Attempt) -> None:
        """An attempt that gave nobody a whole answer."""
        used, said = attempt.usage, attempt.said
        at_work = _is_at_work(attempt)
        if used is None and not said and not at_work:
            return
        if call.operation.passes_through:
            attempt.usage = used or asked_units(call, estimated=True)
        elif used is None:
            attempt.usage = rough(call, said)
        elif said and used.output < (least := rough(call, said).output):  # some tell a first count at the beginning
            attempt.usage = msgspec.structs.replace(used, output=least, estimated=True)
        if attempt.usage is not None and attempt.usage.estimated and (tier := billing.asked_tier(call.fields)):
            attempt.usage = msgspec.structs.replace(attempt.usage, tier=tier)
        self._price(attempt)

    def _price(self, attempt: Attempt) -> None:
        attempt.cost = cost = self.prices.price(attempt.target, attempt.usage)
        attempt.unpriced = cost is None


def asked_units(call: Call, estimated: bool = False) -> Usage | None:
    """What a request is paid by, where that is not what its answer is: the characters of a text to be spoken."""
    if call.operation is not Operation.AUDIO_SPEECH or "input" not in call.fields:
        return None
    try:
        return Usage(characters=len(_decode_text(call.fields["input"])), estimated=estimated)
    except msgspec.DecodeError:
        return None


def _is_at_work(attempt: Attempt) -> bool:
    """Whether its vendor had the request, and nobody took back what was asked: a client left, a limit of time passed,
    another one won a race, its answer broke off."""
    if attempt.connected is None:
        return False
    return attempt.outcome in ("ok", "aborted") or attempt.cause in _AT_WORK
