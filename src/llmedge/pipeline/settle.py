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
from llmedge.pipeline.meter import Meter, TextMeter
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.pipeline.tokens import rough
from llmedge.record import Attempt
from llmedge.streams import Batch, FilteredStream, Reply, ReplyStream


class Settle(Stage):
    """The outermost stage: sees whatever the others did."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self.prices, self.tokens = deps.prices, deps.tokens
        self.reports_usage: set[str] = set()
        """Providers whose last stream told its usage: of their streams no text need be read."""

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        record = call.record
        if self.prices.catalogue is None:
            self.prices.warm()
        try:
            reply = await proceed(call)
        except CancelledError:
            self.charge_in_vain(call)
            raise  # who cancelled (the client, the deadline) says so in the record
        except EdgeError as error:
            record.fail(error)
            self.charge_in_vain(call)
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
            usage = await self.tokens.estimate(call, reply.body, self.model(call))
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
        for attempt in routing.attempts:  # what others were put to work for is paid for as well
            if attempt is not by and self._used(call, attempt) and accounting.cost is not None:
                accounting.cost += attempt.cost or 0

    def charge_in_vain(self, call: Call) -> None:
        """Write down what vendors were put to work for whose answer nobody waited for, where none has answered."""
        accounting = call.record.accounting
        if call.operation is Operation.COUNT_TOKENS or call.operation.passes_through:
            return
        for attempt in call.record.routing.attempts:
            if self._used(call, attempt):
                accounting.usage = attempt.usage
                if attempt.cost is not None:
                    accounting.cost = attempt.cost + (accounting.cost or 0)

    def _used(self, call: Call, attempt: Attempt) -> bool:
        """Whether ``attempt``, which gave no whole answer, has used anything: what its vendor told, which most do last;
        else what it had said, and the prompt, also of one that was left at work."""
        used = attempt.usage
        if used is None and (attempt.said or _left_at_work(attempt)):
            used = attempt.usage = rough(call, attempt.said)
        if used is None:
            return False
        if call.operation.priced:
            attempt.cost = self.prices.price(attempt.target, used)
        return True


def _left_at_work(attempt: Attempt) -> bool:
    """Whether nobody waited any more for a vendor that had the request: a client that left, a limit of time, a race."""
    return attempt.connected is not None and (attempt.outcome == "aborted" or attempt.cause == "silent")


class SettledStream(FilteredStream):
    """A stream that settles its record when it ends, breaks or is given up."""

    def __init__(self, stream: ReplyStream, call: Call, settle: Settle) -> None:
        super().__init__(stream)
        self._call = call
        self._settle = settle
        by = call.record.routing.deciding_attempt
        self._provider = by.target.provider if by is not None else ""
        self._estimates = not call.operation.passes_through
        read = self._estimates and self._provider not in settle.reports_usage
        self.meter: Meter = TextMeter() if read else Meter()
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
            meter = self.meter
            if isinstance(meter, TextMeter):
                model = self._settle.model(self._call)
                usage = await self._settle.tokens.estimate(self._call, meter.text, model, meter.beyond)
            else:
                usage = rough(self._call, meter.said)
        await self._settle.prices.ready()
        if usage is not None:
            self._settle.charge(self._call, usage)
        return self._charged_for(events)

    def _charged_for(self, events: Batch) -> Batch:
        self._charged = True
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
        usage = self.stream.usage
        if self._estimates and self.meter.count:
            least = rough(self._call, self.meter.said)
            if usage is None:
                usage = least
            elif usage.output < least.output:
                usage = msgspec.structs.replace(usage, output=least.output, estimated=True)
        if usage is None:
            self._settle.charge_in_vain(self._call)
        else:
            self._settle.charge(self._call, usage)
