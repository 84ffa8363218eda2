"""One call under way for all who ask the same at once.

The first pays for it and has its attempts in its record. Who comes later waits, or reads along from the beginning of
its stream. Who leaves takes nothing from the others: where the first does, the call goes on in a record of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from llmedge.cache.asked import Asked
from llmedge.cache.refusals import FellBehind
from llmedge.cache.replay import like, signature
from llmedge.call import Call
from llmedge.driver import CoroutineDriver, Work
from llmedge.model import Answer, Event, EventKind, Usage
from llmedge.record import Accounting, Record, Routing
from llmedge.streams import Batch, Reply, ReplyStream, Wake, nobody


class Flight:
    """:param limit: bytes of a stream that are kept for who comes later, or lags behind.

    :param finish: it ends even where everybody has left.
    :ivar call: the call as it is asked, with a ``record`` that shares what happens to it with that of who pays.
    :ivar payer: the record of who pays; ``None``: that one has left.
    :ivar reply: what came of it; ``error``: why nothing did.
    :ivar complete: all that has come of its stream is here: who asks the same may come along, and it may be kept.
    :ivar estimated: what it has used, where nobody tells.
    :ivar whole: its answer is here, to the end.
    """

    reply: Reply | None = None
    error: BaseException | None = None
    complete = True
    whole = landed = False
    first = count = size = 0
    _waking = False
    estimated: Usage | None = None
    _cancel: Callable[[], None] | None = None
    _late: Any = None

    def __init__(self, asked: Asked, ended: Callable[[Flight], None]) -> None:
        call = asked.call
        self.asked = asked
        self.payer: Record | None = call.record
        self.record: Record = replace(call.record)
        self.call: Call = replace(call, record=self.record)
        self.finish = asked.policy.finish and asked.wish.store
        self.events: Batch = []
        self._ended = ended
        self._waiting: list[Deferred[None]] = []
        self._riders: list[Rider] = []

    # Before there is an answer

    def start(self, ask: Callable[[Call], Awaitable[Reply]]) -> None:
        """Have ``ask`` asked, for whoever comes."""
        driver = CoroutineDriver(_awaited(ask, self.call))
        self._cancel = driver.cancel
        driver.start(self._land_alone)
        self._allow_time()

    async def lead(self, ask: Callable[[Call], Awaitable[Reply]]) -> Reply:
        """What comes of asking ``ask``, for the first.

        :raises BaseException: what became of it instead.
        """
        record, work = self.asked.call.record, None
        try:
            asking = ask(self.call)
            if type(asking) is not CoroutineType:
                asking = _awaited(lambda call: asking, self.call)
            work = Work(asking, self._land_alone, self._wake_waiting)
            self._cancel = work.stop
            reply = await work
        except BaseException as error:
            if work is not None and work.alone:
                self._left(record)
            else:
                self._hand_over(record)
                self._land_in_vain(error)
            raise
        self._hand_over(record)
        self._land(reply)
        return reply if self.whole else self._ride(record)

    def _land(self, reply: Reply) -> None:
        self.landed, self._cancel = True, None  # it knows this flight
        if self.error is not None:  # all had left before
            if isinstance(reply, ReplyStream):
                reply.abort()
            return
        self.reply = reply
        if type(reply) is Answer:
            self.whole = True
            self._end(None)

    def _land_in_vain(self, error: BaseException | None) -> None:
        self.landed, self._cancel = True, None
        if self.error is None:
            self._end(error)

    def _land_alone(self, result: Any) -> None:
        """Who asked for it has gone, or was nobody."""
        if isinstance(result, Failure):
            self._land_in_vain(result.value)
        else:
            self._land(result)
        if self._waiting:
            self._wake_waiting()
        elif not self.whole and self.error is None and self._deserted:
            self._drain()

    def _wake_waiting(self) -> None:
        if self.landed and self._waiting:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    async def answer(self, record: Record) -> Reply:
        """What comes of it, for ``record``.

        :raises BaseException: what became of it instead.
        """
        if not self.landed:
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            try:
                await turn
            except CancelledError:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                self._left(record)
                raise
        if self.error is not None:
            raise self.error
        if type(self.reply) is Answer:
            return self.reply
        if self.count and not self.complete:
            raise FellBehind  # whoever was first has read more in one go than is kept
        return self._ride(record)

    def _ride(self, record: Record) -> Rider:
        rider = Rider(self, record)
        self._riders.append(rider)
        return rider

    # Its stream

    @property
    def usage(self) -> Usage | None:
        """As its vendor has told so far."""
        return None if self.reply is None else self.reply.usage

    def pull(self) -> Batch | None:
        """What comes next of its stream.

        :raises Exception: it broke.
        """
        if self.error is not None:
            raise self.error
        try:
            events = self._stream.read_now()
        except Exception as error:
            self._end(error)
            self._wake_later()
            raise
        if events is None:
            return None
        shared = len(self._riders) > 1
        if self.complete or shared:
            self._keep(events)
        self.count += len(events)
        if events[-1].kind is EventKind.DONE:
            self.whole = True
            self._end(None)
        elif not (self.complete or self._riders):
            self._stop()
        if shared:
            self._wake_later()
        return events

    @property
    def _stream(self) -> ReplyStream:
        assert self.reply is not None, "it has landed"
        return self.reply  # type: ignore[return-value]  # whoever reads along has seen that it is no answer

    def _keep(self, events: Batch) -> None:
        limit = self.asked.policy.max_entry
        if self.size > limit:
            self._trim(limit)
        self.events += events
        self.size += len(events[0].frame) if len(events) == 1 else _size(events)
        if self.size > limit:
            self.complete = False

    def _trim(self, limit: int) -> None:
        """Forget what all have read. Who is too far behind is not waited for."""
        while True:
            low = min([rider.at for rider in self._riders if not rider.lags], default=self.count)
            gone, self.events = self.events[: low - self.first], self.events[low - self.first :]
            self.first = low
            self.size -= _size(gone)
            if self.size <= limit:
                return
            for rider in self._riders:
                rider.lags = rider.lags or rider.at == low

    def readable(self, wake: Wake) -> None:
        """Have ``wake`` called when there is more of its stream."""
        self._stream.on_readable(wake)

    def wake_all(self) -> None:
        """There is more for all who read along."""
        self._waking = False
        for rider in list(self._riders):
            rider.wake()

    def _wake_later(self) -> None:
        """In a turn of the reactor's own: who is woken reads on, and may be in the middle of writing."""
        if not self._waking:
            self._waking = True
            self.call.deadline.clock.callLater(0, self.wake_all)

    def _drain(self) -> None:
        """Nobody reads it, and it is to end all the same."""
        try:
            while not self.whole and self.error is None and self.pull() is not None:
                pass
        except Exception:
            return  # it is in the record
        if not self.whole:
            self.readable(self._drain)

    # Its end

    def leave(self, rider: Rider) -> None:
        """``rider`` reads no further."""
        if rider in self._riders:
            self._riders.remove(rider)
            self._left(rider.record)

    def _left(self, record: Record) -> None:
        over = self.whole or self.error is not None
        first_waits = not self.landed and self.payer is not None and self.payer is not record
        if over or not (self._riders or self._waiting or self.finish or first_waits):
            if not over:
                self._stop()
            elif record is self.payer:
                self._hand_over(record)
            return
        if record is self.payer:
            self.payer = None  # its record ends here, and has nothing of what comes
            record.routing, record.facts = Routing(), dict(record.facts)
            record.taken, record.uid = None, ""
            self.record.accounting = Accounting()
        if not (self._riders or self._waiting or first_waits):
            self._allow_time()
        if not self._riders and self.reply is not None:
            self._drain()

    def _allow_time(self) -> None:
        """Nobody waits for it: no other deadline than this ends it."""
        if self._late is None and not self.whole and self.error is None:
            deadline = self.call.deadline
            self._late = deadline.clock.callLater(deadline.seconds, self._give_up)

    def _give_up(self) -> None:
        self._late = None
        if not (self._riders or self._waiting):
            self._stop()

    def _stop(self) -> None:
        if self.reply is not None:
            self._stream.abort()
        elif self._cancel is not None:
            self._cancel()
        if self.error is None:
            self._end(CancelledError())
        if self.payer is not None:
            self._hand_over(self.payer)

    def _hand_over(self, payer: Record) -> None:
        """What stages further in wrote into the record itself."""
        record = self.record
        payer.taken, payer.tokens_level, payer.uid = record.taken, record.tokens_level, record.uid

    @property
    def _deserted(self) -> bool:
        return self.payer is None and not self._riders

    def _end(self, error: BaseException | None) -> None:
        self.error = error
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self.reply is not None and type(self.reply) is not Answer:
            self.readable(nobody)  # it knows this flight
        self._ended(self)


def _size(events: Batch) -> int:
    return sum([len(event.frame) for event in events])


async def _awaited(ask: Callable[[Call], Awaitable[Reply]], call: Call) -> Reply:
    return await ask(call)


class Rider(ReplyStream):
    """The stream of a flight, as one of those reads it who asked for it. Only the first has it with the vendor's id.

    :ivar renamed: told of the id that its answer has here, and of its vendor's.
    :ivar at: how many events it has read. ``lags``: others are too far ahead to wait for it.
    """

    def __init__(self, flight: Flight, record: Record) -> None:
        self._flight = flight
        self.record = record
        self.at = 0
        self.lags = self._left = False
        self.wake: Wake = nobody
        self.renamed: Callable[[bytes, bytes], None] | None = None
        self._first = record is flight.payer
        self._ids: tuple[bytes, bytes] | None = None

    @property
    def usage(self) -> Usage | None:
        return self._flight.usage

    def read_now(self) -> Batch | None:
        flight = self._flight
        if self.lags:
            raise FellBehind
        if self.at == flight.count:  # nobody is ahead
            events = flight.pull()
            if events is None:
                return None
        else:
            events = flight.events[self.at - flight.first :]
        self.at = flight.count
        stream = flight.reply
        self.drained = stream.drained  # type: ignore[union-attr]
        return events if self._first else self._renamed(events)

    def _renamed(self, events: Batch) -> Batch:
        if self._ids is None:
            id, _ = signature(b"".join([event.frame for event in events]), True)
            self._ids = (id, like(id)) if id else (b"", b"")
            if id and self.renamed is not None:
                self.renamed(self._ids[1], id)
        old, new = self._ids
        return [Event(event.kind, event.frame.replace(old, new), event.count) for event in events] if old else events

    def on_readable(self, wake: Wake) -> None:
        self.wake = wake
        if not self._left:
            self._flight.readable(self._flight.wake_all)

    def abort(self) -> None:
        self._left = True
        self._flight.leave(self)
