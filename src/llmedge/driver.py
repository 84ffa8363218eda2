"""Drives the coroutine that answers a request, or asks for an answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure


def _nobody(result: Any) -> None: ...


class CoroutineDriver:
    """Of a coroutine that awaits Deferreds: what ``Deferred.fromCoroutine`` does, without the context variables,
    the chaining and the second Deferred that make it a tenth of a call's cost.

    :ivar called: it has ended.
    """

    __slots__ = ("_coroutine", "_then", "_waiting", "called")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, Any]) -> None:
        self.called = False
        self._coroutine = coroutine
        self._waiting: Deferred[Any] | None = None
        self._then: Callable[[Any], None] = _nobody

    def start(self, then: Callable[[Any], None], result: object = None) -> None:
        """Begin; ``then`` is called at the end, with what came of it, or the Failure. It must not raise.

        :param result: of what it awaits, where it was begun already.
        """
        self._then = then
        self._resume(result)

    def cancel(self) -> None:
        """Have what is awaited raise ``CancelledError``, as cancelling a Deferred does."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _resume(self, result: object) -> None:
        """Resume it: what it awaited has fired."""
        self._waiting = None
        coroutine = self._coroutine
        thrown: BaseException | None = None
        try:
            if isinstance(result, Failure):
                thrown = result.value
                assert thrown is not None
                waiting = coroutine.throw(thrown)
            else:
                waiting = coroutine.send(None)
            while not isinstance(waiting, Deferred):  # of others' plugins: as with fromCoroutine, it gets that back
                waiting = coroutine.send(waiting)
        except StopIteration as end:
            self._end(end.value)
        except BaseException:
            self._end(Failure())  # type: ignore[no-untyped-call]  # twisted has no types here
        else:
            self._waiting = waiting
            waiting.addBoth(self._resume)
        finally:
            if isinstance(thrown, CancelledError):  # nobody reads its traceback, which knows all there is of a request
                thrown.__traceback__ = None
            del result, thrown  # an exception knows this frame, which must not know the exception

    def _end(self, result: Any) -> None:
        self.called = True
        then, self._then = self._then, _nobody  # it knows the request
        then(result)


class Work(Deferred[None]):
    """A coroutine that another one awaits, and that outlives it: it is begun by who needs it first, and others wait for
    it as well. As long as nobody is cancelled it is driven by whoever drives the other, who takes it for a
    Deferred; that costs a third of a driver and a Deferred of its own.

    :param ended: is told what came of it, or the Failure, where who awaited it was cancelled.
    :param after: is called each time that who awaits it has had its turn.
    :ivar alone: who awaited it was cancelled; it goes on, unless it is stopped.
    """

    alone = False
    _waiting: Deferred[Any] | None = None
    _then: Callable[[Any], None] = staticmethod(_nobody)
    _driver: CoroutineDriver | None = None

    def __init__(
        self,
        coroutine: Coroutine[Deferred[Any], Any, Any],
        ended: Callable[[Any], None],
        after: Callable[[], None],
    ) -> None:  # nothing of a Deferred's is used
        self._coroutine = coroutine
        self._ended, self._after = ended, after

    # For who awaits it

    def __await__(self) -> Work:  # type: ignore[override]
        return self

    __iter__ = __await__  # type: ignore[assignment]

    def send(self, value: object = None) -> Work:
        return self._wait(self._coroutine.send(None))

    __next__ = send

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Work:
        error = kind if value is None else value
        if self.alone:
            raise error
        return self._wait(self._coroutine.throw(error))

    def _wait(self, waiting: Any) -> Work:
        while not isinstance(waiting, Deferred):  # as in CoroutineDriver
            waiting = self._coroutine.send(waiting)
        self._waiting = waiting
        return self

    # For who drives that

    def addBoth(self, then: Callable[..., Any], *args: Any, **named: Any) -> Work:  # type: ignore[override]
        self._then = (lambda result: then(result, *args, **named)) if args or named else then
        assert self._waiting is not None
        self._waiting.addBoth(self._resume)
        return self

    def cancel(self) -> None:
        """Who awaits it is to end."""
        self.alone = True
        then, self._then = self._then, self._go_on
        then(Failure(CancelledError()))  # type: ignore[no-untyped-call]  # twisted has no types here

    def stop(self) -> None:
        """It is to end."""
        if self._driver is not None:
            self._driver.cancel()
        elif self._waiting is not None:
            self._waiting.cancel()

    def _resume(self, result: object) -> None:
        then, self._then = self._then, _nobody
        then(result)
        self._after()

    def _go_on(self, result: object) -> None:
        self._driver = CoroutineDriver(self._coroutine)
        self._driver.start(self._ended, result)
