"""One kind of stream: a reply whose events are read as they come, and filters on it.

A stream is polled: its reader asks for what is here, in plain calls, and is woken when there is more. So an event
costs a few calls, where awaiting it would cost each layer a coroutine and a Deferred.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from llmedge.errors import EdgeError
from llmedge.model import Answer, Event, EventKind, Usage

Wake = Callable[[], None]
Batch = list[Event]
"""The events that one read of the vendor's socket brought; never empty."""


def nobody() -> None:
    """Wakes nobody: for a stream without a reader."""


class ReplyStream(ABC):
    """A streamed answer. It ends in exactly one way: its last batch ends with DONE, or :meth:`read_now` raises, or
    :meth:`abort` is called.

    :ivar drained: after a batch: nothing more is here, and the reader will be woken for what is to come.
    """

    drained: bool = False

    @property
    def usage(self) -> Usage | None:
        """The tokens its vendor has told of so far."""
        return None

    @abstractmethod
    def read_now(self) -> Batch | None:
        """The next batch; ``None``: it is to come.

        :raises EdgeError: the stream broke; what came before stays valid.
        """

    @abstractmethod
    def on_readable(self, wake: Wake) -> None:
        """Have ``wake`` called when :meth:`read_now`, which gave ``None`` last, may give more."""

    @abstractmethod
    def abort(self) -> None:
        """Stop the vendor's work now. Harmless after the end."""

    async def read(self) -> Batch:
        """The next batch, once it is here; errors as for :meth:`read_now`."""
        while (events := self.read_now()) is None:
            arrival: Deferred[None] = Deferred()
            self.on_readable(lambda waiter=arrival: waiter.called or waiter.callback(None))  # type: ignore[misc]
            try:
                await arrival
            finally:
                self.on_readable(nobody)
        return events


class WholeStream(ReplyStream):
    """An answer that is all here, as a stream."""

    def __init__(self, events: Batch, usage: Usage | None) -> None:
        self._events: Batch | None = events
        self._usage = usage

    @property
    def usage(self) -> Usage | None:
        return self._usage

    def read_now(self) -> Batch | None:
        events, self._events = self._events, None
        return events

    def on_readable(self, wake: Wake) -> None:
        """Nothing is to come."""

    def abort(self) -> None:
        """The vendor's work is done."""


Reply = Answer | ReplyStream


class Later:
    """Something awaited, whose result is asked for.

    :param wake: called when it is here, unless it is here at once.
    """

    def __init__(self, work: Any, wake: Wake) -> None:
        self._wake = nobody
        self._result: list[Any] = []
        self._work: Deferred[Any] = ensureDeferred(work)
        self._work.addBoth(self._done)
        self._wake = wake

    @property
    def here(self) -> bool:
        """It has ended, one way or the other."""
        return bool(self._result)

    def take(self) -> Any:
        """What came of it; only where it is :attr:`here`, and once.

        :raises BaseException: what it raised.
        """
        result = self._result.pop()
        if isinstance(result, Failure):
            raise cast(BaseException, result.value)
        return result

    def cancel(self) -> None:
        """Nobody waits for it any more. A stream that it has found is given up."""
        self._wake = nobody
        self._work.cancel()
        if self._result and isinstance(self._result[0], ReplyStream):
            self._result[0].abort()

    def _done(self, result: Any) -> None:
        self._result.append(result)
        self._wake()


class AwaitedStream(ReplyStream):
    """A stream whose batches are awaited one by one, by :meth:`next_batch`."""

    _wake: Wake = nobody
    _coming: Later | None = None

    @abstractmethod
    async def next_batch(self) -> Batch:
        """The next batch, once it is here; errors as for :meth:`read_now`."""

    def read_now(self) -> Batch | None:
        if self._coming is None:
            self._coming = Later(self.next_batch(), lambda: self._wake())
        if not self._coming.here:
            return None
        coming, self._coming = self._coming, None
        events: Batch = coming.take()
        return events

    def on_readable(self, wake: Wake) -> None:
        self._wake = wake

    def abort(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()


class Measures(Protocol):
    """Looks at the events that go by."""

    def add(self, events: Batch) -> None: ...


class FilteredStream(ReplyStream):
    """A stream around another that looks at what goes by, or changes it. A stage overrides the hooks it needs.

    :ivar stream: the one inside.
    """

    on_events: Callable[[Batch], Batch | Awaitable[Batch]] | None = None
    """Gets each batch, the last one too; gives what goes on, maybe nothing, now or later."""

    meter: Measures | None = None
    """Measures what comes, before :attr:`on_events` sees it."""

    def __init__(self, stream: ReplyStream, held: Batch | None = None) -> None:
        """:param held: events that were read from ``stream`` already, and come first."""
        self.stream = stream
        self._wake: Wake = nobody
        self._coming: Later | Batch | None = held

    def on_end(self, events: Batch) -> Batch | Awaitable[Batch]:
        """Gets the last batch, as :attr:`on_events` gave it; gives what goes on, now or later."""
        return events

    def on_error(self, error: EdgeError) -> Awaitable[ReplyStream] | None:
        """The stream broke. Gives another one that goes on in its place; ``None`` lets it break."""

    def on_abort(self) -> None:
        """Nobody wants more of it. Called after its end, too."""

    @property
    def usage(self) -> Usage | None:
        return self.stream.usage

    def read_now(self) -> Batch | None:
        while True:
            coming = self._coming
            if coming is None:
                try:
                    events = self.stream.read_now()
                except EdgeError as error:
                    other = self.on_error(error)
                    if other is None:
                        raise
                    self._coming = Later(other, self._woken)
                    continue
                if events is None:
                    return None
            elif isinstance(coming, Later):
                if not coming.here:
                    return None
                self._coming = None
                found = coming.take()
                if isinstance(found, ReplyStream):
                    self.stream = found
                    found.on_readable(self._wake)
                elif found:
                    self.drained = False
                    return cast(Batch, found)
                continue
            else:
                events, self._coming = coming, None
            if self.meter is not None:
                self.meter.add(events)
            filtered: Batch | Awaitable[Batch] = events
            if self.on_events is not None:
                filtered = self.on_events(events)
            if events[-1].kind is EventKind.DONE:
                filtered = self.on_end(filtered) if isinstance(filtered, list) else self._end_later(filtered)
            if not isinstance(filtered, list):
                self._coming = Later(filtered, self._woken)
            elif filtered:
                self.drained = coming is None and self.stream.drained
                return filtered

    def on_readable(self, wake: Wake) -> None:
        self._wake = wake
        self.stream.on_readable(wake)

    def abort(self) -> None:
        coming, self._coming = self._coming, None
        if isinstance(coming, Later):
            coming.cancel()
        self.stream.abort()
        self.on_abort()

    def _woken(self) -> None:
        self._wake()

    async def _end_later(self, coming: Awaitable[Batch]) -> Batch:
        going = self.on_end(await coming)
        return going if isinstance(going, list) else await going
