"""What drives a coroutine that answers does what twisted's own way does."""

from collections.abc import Callable, Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.driver import CoroutineDriver


class Bare:
    """Yields what no Deferred is, as ``asyncio.sleep(0)`` does."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield "back")


class Ends(SynchronousTestCase):
    def both(self, play: Callable[[Callable[[Any], None], Callable[[], None], Callable[[Any], Any]], None]) -> Any:
        """What happens when ``play`` starts and cancels a coroutine; the same for both."""
        outcomes = []
        for mine in (True, False):
            seen: list[Any] = []
            running: list[Any] = []

            def told(result: Any, seen: list[Any] = seen) -> None:
                seen.append(result.type if isinstance(result, Failure) else result)

            def start(coroutine: Any, mine: bool = mine, running: list[Any] = running, told: Any = told) -> None:
                if mine:
                    running.append(CoroutineDriver(coroutine))
                    running[0].start(told)
                else:
                    running.append(Deferred.fromCoroutine(coroutine))
                    running[0].addBoth(told)

            play(start, lambda running=running: running[0].cancel(), seen.append)  # type: ignore[misc]
            outcomes.append(seen)
        self.assertEqual(outcomes[0], outcomes[1])
        return outcomes[0]

    def test_what_is_awaited(self) -> None:
        """Fired, failed, chained, paused, or nothing of twisted's at all."""

        def play(start: Any, cancel: Any, note: Any) -> None:
            paused: Deferred[int] = succeed(1)
            paused.pause()
            outer: Deferred[Any] = Deferred()
            inner: Deferred[int] = Deferred()
            outer.addCallback(lambda _: inner)

            async def work() -> None:
                note(await succeed(0))
                note(await paused)
                note(await outer)
                note(await Bare())
                try:
                    await fail(ValueError())
                except ValueError:
                    note("failed")
                for number in range(5000):
                    await succeed(number)

            start(work())
            paused.unpause()
            outer.callback(None)
            note("fired")
            inner.callback(2)

        self.assertEqual(self.both(play), [0, 1, "fired", 2, "back", "failed", None])

    def test_cancelled(self) -> None:
        """Once and again; and where that is not taken for an end."""

        def play(start: Any, cancel: Any, note: Any) -> None:
            async def work() -> None:
                try:
                    await Deferred()
                except CancelledError:
                    note("once")
                await Deferred()

            start(work())
            cancel()
            cancel()

        self.assertEqual(self.both(play), ["once", CancelledError])
