"""Write down how a call ended: usage and outcome, on every way out."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from llmedge.errors import EdgeError, ElsewhereError
from llmedge.model import Answer, Call, Event, EventKind, EventStream, Record, Reply, Usage
from llmedge.pipeline.stage import Handler


class Settle:
    """The outermost stage: sees whatever the others did."""

    async def __call__(self, call: Call, proceed: Handler) -> Reply:
        record = call.record
        try:
            reply = await proceed(call)
        except CancelledError:
            raise  # who cancelled (the client, the deadline) says so in the record
        except EdgeError as error:
            record.fail(error)
            raise
        if isinstance(reply, Answer):
            record.usage = reply.usage
            record.outcome = "ok"
            return reply
        return SettledStream(reply, record)


class SettledStream:
    """A stream that settles its record when it ends, breaks or is given up."""

    def __init__(self, stream: EventStream, record: Record) -> None:
        self._stream = stream
        self._record = record

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next(self) -> list[Event]:
        try:
            events = await self._stream.next()
        except EdgeError as error:
            self._record.usage = self._stream.usage
            self._record.fail(error, error.outcome if isinstance(error, ElsewhereError) else "error")
            raise
        if events[-1].kind is EventKind.DONE:
            self._record.usage = self._stream.usage
            self._record.outcome = "ok"
        return events

    def abort(self) -> None:
        self._stream.abort()
        if not self._record.outcome:
            self._record.usage = self._stream.usage
