"""Streams that are asked for what is there, and say when it is worth asking again.

For a stream whose events come one by one that is a few plain calls an event, where awaiting each would be a coroutine
a layer, and a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from llmedge.model import Event, EventStream, Usage


class PolledStream(EventStream, Protocol):
    """One that can also be polled. Whoever polls does not call ``next``.

    :ivar dry: after a batch: nothing more is there, and what is to come will be told; it need not be polled again for
        that.
    """

    dry: bool

    def poll(self) -> list[Event] | None:
        """The next batch, if it is here; ``None``: it is to come.

        :raises EdgeError: the stream broke.
        """

    def listen(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called whenever ``poll`` may give more than when it was last asked in vain."""


def polled(stream: EventStream) -> PolledStream:
    """``stream`` itself if it can be polled, else something around it that can."""
    return cast(PolledStream, stream) if hasattr(stream, "poll") else Pulled(stream)


class Later:
    """Something awaited whose result is asked for by ``poll``.

    :param wake: called when it is there, unless it was there at once.
    """

    def __init__(self, work: Any, wake: Callable[[], None]) -> None:
        self._wake: Callable[[], None] | None = None
        self._result: list[Any] = []
        self._work: Deferred[Any] = Deferred.fromCoroutine(work)
        self._work.addBoth(self._done)
        self._wake = wake

    @property
    def here(self) -> bool:
        """It has ended, one way or the other."""
        return bool(self._result)

    @property
    def found(self) -> Any:
        """What came of it, where it came to a good end and to anything."""
        result = self._result[0] if self._result else None
        return None if isinstance(result, Failure) else result

    def take(self) -> Any:
        """What came of it; only where it is ``here``.

        :raises BaseException: what it raised.
        """
        result = self._result[0]
        if isinstance(result, Failure):
            raise cast(BaseException, result.value)
        return result

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._wake = None
        self._work.cancel()

    def _done(self, result: Any) -> None:
        self._result.append(result)
        if self._wake is not None:
            self._wake()


class Pulled:
    """A stream that has only ``next``, as one that can be polled."""

    dry = False

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._wake: Callable[[], None] = lambda: None
        self._coming: Later | None = None

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    @property
    def skipped(self) -> int:
        return getattr(self._stream, "skipped", 0)

    async def next(self) -> list[Event]:
        return await self._stream.next()

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def poll(self) -> list[Event] | None:
        coming = self._coming
        if coming is None:
            coming = self._coming = Later(self._stream.next(), lambda: self._wake())
        if not coming.here:
            return None
        self._coming = None
        events: list[Event] = coming.take()
        return events

    def abort(self) -> None:
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.cancel()
        self._stream.abort()
