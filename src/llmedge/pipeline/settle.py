"""Write down how a call ended: usage, cost and outcome, on every way out."""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
from twisted.internet.defer import CancelledError

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError, TargetError
from llmedge.model import Answer, Event, Usage
from llmedge.operations import Operation
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.pipeline.tokens import rough
from llmedge.streams import Batch, FilteredStream, Meter, Reply, ReplyStream

KEPT = 1048576
"""Bytes of a stream without usage that are kept to count its tokens; what is beyond them is taken to be alike."""


class Settle(Stage):
    """The outermost stage: sees whatever the others did."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self.prices, self.tokens = deps.prices, deps.tokens
        self.reports_usage: set[str] = set()
        """Providers whose last stream told its usage: of their streams nothing need be kept."""

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        record = call.record
        if self.prices.catalogue is None:
            self.prices.warm()
        try:
            reply = await proceed(call)
        except CancelledError:
            raise  # who cancelled (the client, the deadline) says so in the record
        except EdgeError as error:
            record.fail(error)
            raise
        if not isinstance(reply, Answer):
            return SettledStream(reply, call, self)
        record.outcome = "ok"
        if call.operation is Operation.COUNT_TOKENS:
            return reply  # nothing was answered, and no vendor takes money for it
        usage = reply.usage
        if usage is None:
            if call.operation.passes_through:
                return reply  # pictures and sounds are not counted in words
            usage = await self.tokens.estimate(call, [reply.body], self.model(call))
        if self.prices.catalogue is None:
            await self.prices.ready()
        self.charge(call, usage)
        return reply

    def model(self, call: Call) -> str:
        """The model that answered, by its vendor's name."""
        by = call.record.routing.deciding_attempt
        return by.target.model if by is not None else call.model

    def charge(self, call: Call, usage: Usage) -> None:
        """Write down what was used, and what it costs."""
        accounting, routing = call.record.accounting, call.record.routing
        accounting.usage = usage
        by = routing.answered_by or routing.deciding_attempt
        if by is None or not call.operation.priced:
            return
        accounting.cost = by.cost = self.prices.price(by.target, usage)
        if len(routing.attempts) == 1:
            return
        for attempt in routing.attempts:  # what others used before they broke is paid for as well
            if attempt is by:
                continue
            used = attempt.usage
            if used is None and attempt.said:  # most vendors tell the usage last; an event says about a token
                used = attempt.usage = rough(call, 4 * attempt.said)
            if used is not None:
                more = attempt.cost = self.prices.price(attempt.target, used)
                if more is not None and accounting.cost is not None:
                    accounting.cost += more


class SettledStream(FilteredStream):
    """A stream that settles its record when it ends, breaks or is given up."""

    def __init__(self, stream: ReplyStream, call: Call, settle: Settle) -> None:
        super().__init__(stream)
        self._call = call
        self._settle = settle
        by = call.record.routing.deciding_attempt
        self._provider = by.target.provider if by is not None else ""
        self._estimates = not call.operation.passes_through
        kept = KEPT if self._estimates and self._provider not in settle.reports_usage else 0
        self.meter: Meter = Meter(kept)
        self._charged = False

    def on_end(self, events: Batch) -> Batch | Awaitable[Batch]:
        """The record is complete before the client is told of the end: it is read as soon as that has been."""
        usage = self.usage
        if self._estimates:
            (self._settle.reports_usage.discard if usage is None else self._settle.reports_usage.add)(self._provider)
        if (usage is None and self._estimates) or self._settle.prices.catalogue is None:
            return self._charge_later(events, usage)
        if usage is not None:
            self._settle.charge(self._call, usage)
        return self._charged_for(events)

    async def _charge_later(self, events: Batch, usage: Usage | None) -> Batch:
        if usage is None and self._estimates:
            if frames := self.meter.frames:
                missing = self.meter.length / sum(map(len, frames))
                model = self._settle.model(self._call)
                usage = await self._settle.tokens.estimate(self._call, frames, model, missing)
            else:
                usage = self._rough()
        await self._settle.prices.ready()
        if usage is not None:
            self._settle.charge(self._call, usage)
        return self._charged_for(events)

    def _charged_for(self, events: Batch) -> Batch:
        self._charged = True
        self.meter.frames = []
        record = self._call.record
        record.outcome = "ok"
        # Headers are out; a comment is seen by who looks for it, and by no SDK. Bytes of a sound take none.
        wanted = DIALECTS[self._call.dialect].comments and (self._estimates or record.stream)
        if record.accounting.cost is not None and wanted:
            note = f": x-llmedge-cost-usd {record.accounting.cost.normalize():f}\n".encode()
            last = events[-1]
            events[-1] = Event(last.kind, note + (last.frame or b"\n"))
        return events

    def on_error(self, error: EdgeError) -> None:
        self._charge_now()
        self._call.record.fail(error, error.outcome if isinstance(error, TargetError) else "error")

    def on_abort(self) -> None:
        if not self._charged:
            self._charge_now()

    def _charge_now(self) -> None:
        """Of a stream that was left or broke. Most vendors tell the usage last, some a first count at the beginning:
        what they did not get to tell is estimated."""
        self._charged = True
        usage, least = self.stream.usage, self._rough()
        if usage is None:
            usage = least if self.meter.count and self._estimates else None
        elif self._estimates and usage.output < least.output:
            usage = msgspec.structs.replace(usage, output=least.output, estimated=True)
        if usage is not None:
            self._settle.charge(self._call, usage)

    def _rough(self) -> Usage:
        """Frames differ by what is said in them: each is as much longer than the shortest one, which says about one
        token, as it says more."""
        meter = self.meter
        said = meter.length - meter.count * meter.shortest + 4 * meter.count if meter.count else 0
        return rough(self._call, said)
