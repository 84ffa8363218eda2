"""``python -m benchmarks.hedging``: what hedging does to the slowest calls, and what it costs in extra ones.

Two targets whose time to first token has a heavy tail (log-normal around 0.4 s, and one call in fifty hangs for a
minute), 20,000 streams on a clock that is turned by hand: seconds here are the simulated ones.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.pipeline.harness import END, World, chunk
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from llmedge.config.sections.models import TargetEntry
from llmedge.errors import EdgeError

CALLS = 20_000
RATE = 20.0
"""Calls a second."""


class Slow:
    """A vendor with a heavy tail."""

    def __init__(self, name: str, clock: Any, random: Random) -> None:
        self.name = name
        self.asked = 0
        self._clock = clock
        self._random = random

    async def complete(self, call: Any, attempt: Any) -> Any:
        self.asked += 1
        seconds = self._random.lognormvariate(-0.9, 0.5)
        if self._random.random() < 0.02:
            seconds = 60.0
        await deferLater(self._clock, seconds)
        return Said()


class Said:
    """A stream that is there at once."""

    usage = None

    def __init__(self) -> None:
        self._batches = [[chunk("hello")], list(END)]

    async def next(self) -> Any:
        return self._batches.pop(0)

    def abort(self) -> None: ...


def run(hedge: Any) -> tuple[list[float], int, int]:
    """Seconds to the first token of each call, extra calls, failures."""
    entries = (TargetEntry("p0/x"), TargetEntry("p1/x"))
    world = World([], [], entries=entries, hedge=hedge, strategy="round_robin", stream_recovery="off")
    random = Random(7)
    vendors = [Slow(name, world.clock, random) for name in ("p0", "p1")]
    world.route.providers = {vendor.name: vendor for vendor in vendors}  # type: ignore[assignment,misc]
    took: list[float] = []
    failed: list[int] = []

    async def one() -> None:
        began = world.clock.seconds()
        try:
            reply = await world.route(world.call(stream=True, seconds=30.0))
        except EdgeError:
            failed.append(1)
            return
        took.append(world.clock.seconds() - began)
        while (await reply.read())[-1].frame != END[-1].frame:  # type: ignore[union-attr]
            pass

    async def bounded() -> None:
        """The deadline is the web layer's: a call ends after 30 s here as well."""
        asking = Deferred.fromCoroutine(one())
        late = world.clock.callLater(30.0, asking.cancel)
        try:
            await asking
        except BaseException:
            failed.append(1)
            took.append(30.0)
        finally:
            if late.active():
                late.cancel()

    for _ in range(CALLS):
        Deferred.fromCoroutine(bounded())
        world.clock.advance(1 / RATE)
        world.records.clear()
    world.clock.pump([1.0] * 70)
    return sorted(took), sum(vendor.asked for vendor in vendors) - CALLS, len(failed)


def main() -> None:
    print(f"{'hedge':>12}{'p50':>8}{'p90':>8}{'p99':>8}{'p99.9':>8}{'failed':>8}{'extra calls':>13}")
    for hedge in ("off", "tail", 3.0, 1.5):
        took, extra, failed = run(hedge)
        figures = [took[int(len(took) * share)] for share in (0.5, 0.9, 0.99, 0.999)]
        shown = "".join(f"{figure:8.2f}" for figure in figures)
        print(f"{hedge!s:>12}{shown}{failed:>8}{extra / CALLS:>12.1%}")


if __name__ == "__main__":
    main()
