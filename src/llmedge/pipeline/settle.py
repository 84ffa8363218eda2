"""Write down how a call ended: usage, cost and outcome, on every way out."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.defer import CancelledError

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError, TargetError
from llmedge.model import Answer, Event, Usage
from llmedge.money import text
from llmedge.operations import COUNT_TOKENS
from llmedge.pipeline.books import Books, asked_units
from llmedge.pipeline.meter import TextMeter
from llmedge.pipeline.stage import Handler, Stage, StageDeps
from llmedge.pipeline.tokens import rough
from llmedge.streams import Batch, FilteredStream, Reply, ReplyStream

BEGINNING = 4096
"""Bytes of an event that are kept to see which model answers."""


class Settle(Stage):
    """The outermost stage: sees whatever the others did."""

    def __init__(self, deps: StageDeps) -> None:
        super().__init__(deps)
        self.prices, self.tokens, self.books = deps.prices, deps.tokens, Books(deps.prices)
        self.reports_usage: set[str] = set()
        """Providers whose last stream told its usage: of their streams no text need be read."""

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        record = call.record
        try:
            reply = await proceed(call)
        except CancelledError:
            self.books.enter_vain(call)
            raise  # who cancelled (the client, the deadline) says so in the record
        except EdgeError as error:
            record.fail(error)
            self.books.enter_vain(call)
            raise
        if not isinstance(reply, Answer):
            return SettledStream(reply, call, self)
        record.outcome = "ok"
        if call.operation is COUNT_TOKENS:
            return reply  # nothing was answered, and no vendor takes money for it
        usage = reply.usage
        if usage is None:
            if call.operation.passes_through:
                usage = asked_units(call)  # pictures and sounds are not counted in words
            else:
                usage = await self.tokens.estimate(call, reply.body, self.model(call))
        if self.prices.catalogue is None:
            await self.prices.ready()
        self.books.enter_answer(call, usage, reply.body)
        return reply

    def model(self, call: Call) -> str:
        """The model that answered, by its vendor's name."""
        by = call.record.routing.deciding_attempt
        return by.target.model if by is not None else call.model


class SettledStream(FilteredStream):
    """A stream that settles its record when it ends, breaks or is given up."""

    def __init__(self, stream: ReplyStream, call: Call, settle: Settle) -> None:
        super().__init__(stream)
        self._call = call
        self._settle = settle
        by = call.record.routing.deciding_attempt
        self._provider = by.target.provider if by is not None else ""
        self._estimates = not call.operation.passes_through
        if self._estimates and self._provider not in settle.reports_usage:
            self.meter: TextMeter | None = TextMeter()
        if settle.prices.listed and by is not None and settle.prices.seeks_model(by.target):
            self.on_events = self._look
        self._begun = b""
        self._charged = False

    def _look(self, events: Batch) -> Batch:
        """Keep the first events: they say which model answers."""
        self._begun = b"".join([event.frame[:BEGINNING] for event in events[:8]])
        self.on_events = None
        return events

    def on_end(self, events: Batch) -> Batch | Awaitable[Batch]:
        """The record is complete before the client is told of the end: it is read as soon as that has been."""
        usage = self.usage
        if self._estimates:
            (self._settle.reports_usage.discard if usage is None else self._settle.reports_usage.add)(self._provider)
        elif usage is None:
            usage = asked_units(self._call)
        if (usage is None and self._estimates) or self._settle.prices.catalogue is None:
            return self._charge_later(events, usage)
        return self._charged_for(events, usage)

    async def _charge_later(self, events: Batch, usage: Usage | None) -> Batch:
        call, meter = self._call, self.meter
        if usage is None and self._estimates:
            if meter is not None:
                usage = await self._settle.tokens.estimate(call, meter.text, self._settle.model(call), meter.beyond)
            else:
                by = call.record.routing.deciding_attempt
                usage = rough(call, 0 if by is None else by.said)
        await self._settle.prices.ready()
        return self._charged_for(events, usage)

    def _charged_for(self, events: Batch, usage: Usage | None) -> Batch:
        self._charged = True
        record = self._call.record
        self._settle.books.enter_answer(self._call, usage, self._begun)
        record.outcome = "ok"
        # Headers are out; a comment is seen by who looks for it, and by no SDK. Bytes of a sound take none.
        wanted = DIALECTS[self._call.dialect].comments and (self._estimates or record.stream)
        if wanted and (cost := record.accounting.known_cost) is not None:
            note = f": x-llmedge-cost-usd {text(cost)}\n".encode()
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
        """Of a stream that was left or broke: what each attempt told or said until then is in the record."""
        self._charged = True
        self._settle.books.enter_vain(self._call)
