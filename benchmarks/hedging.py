"""``python -m benchmarks.hedging``: what hedging does to the slowest calls, and what it costs in extra ones.

Two targets in turn whose time to first content has a tail, 20,000 streams and as many whole answers on a clock that
jumps from one event to the next: seconds here are the simulated ones. ``--quick`` asks a tenth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.pipeline.harness import END, Stream, World, chunk
from tests.state.test_simulation import HeapClock
from twisted.internet.defer import CancelledError, Deferred

from llmedge.errors import EdgeError
from llmedge.model import Answer, Usage

RATE = 20.0
"""Calls a second."""
DEADLINE = 30.0
ANSWER = Answer(b"{}", Usage(3, 4))

Tail = Callable[[Random], float]
"""Draws the seconds of one call."""

TAILS: dict[str, Tail] = {
    "log-normal around 0.4 s": lambda random: random.lognormvariate(-0.9, 0.5),
    "0.3 s, 2 % take 8 s": lambda random: 8.0 if random.random() < 0.02 else 0.3 * random.uniform(0.8, 1.2),
    "0.3 s, 4 % take 8 s": lambda random: 8.0 if random.random() < 0.04 else 0.3 * random.uniform(0.8, 1.2),
    "0.3 s, 8 % take 8 s": lambda random: 8.0 if random.random() < 0.08 else 0.3 * random.uniform(0.8, 1.2),
    "log-normal, 2 % hang": lambda random: 60.0 if random.random() < 0.02 else random.lognormvariate(-0.9, 0.5),
    "prompts: 80 % 0.3 s, 20 % 3 s": lambda random: (3.0 if random.random() < 0.2 else 0.3) * random.uniform(0.8, 1.2),
    "0.3 s, no tail": lambda random: 0.3 * random.uniform(0.9, 1.1),
}


class Slow:
    """A vendor with a tail."""

    def __init__(self, clock: HeapClock, random: Random, tail: Tail) -> None:
        self.asked = 0
        self._clock, self._random, self._tail = clock, random, tail

    async def complete(self, call: Any, attempt: Any) -> Any:
        self.asked += 1
        await self._clock.sleep(self._tail(self._random))
        return Stream(self._clock, [chunk("hello")], END) if call.stream else ANSWER  # type: ignore[arg-type]


def run(hedge: Any, tail: Tail, stream: bool, calls: int, seed: int = 7) -> tuple[list[float], int]:
    """Seconds to the first content of each call, and the extra calls."""
    world = World((), (), clock=HeapClock(), hedge=hedge, strategy="round_robin", stream_recovery="off")
    clock, random = world.clock, Random(seed)
    world.deps.providers.update({name: Slow(clock, random, tail) for name in world.deps.providers})  # type: ignore
    took: list[float] = []

    async def one() -> None:
        began = clock.seconds()
        asking = world.ask(stream=stream, seconds=DEADLINE)
        late = clock.callLater(DEADLINE, asking.cancel)  # as the web layer does
        try:
            reply = await asking
        except (EdgeError, CancelledError):
            took.append(DEADLINE)
            return
        finally:
            late.cancel()
        took.append(clock.seconds() - began)
        if stream:
            while (await reply.read())[-1] is not END[-1]:
                pass

    def arrive(left: int) -> None:
        Deferred.fromCoroutine(one())
        world.records.clear()
        if left > 1:
            clock.callLater(random.expovariate(RATE), arrive, left - 1)

    arrive(calls)
    clock.run()
    return sorted(took), sum(vendor.asked for vendor in world.deps.providers.values()) - calls  # type: ignore


def figures(calls: int) -> Iterator[str]:
    """Lines of a table."""
    yield f"{'tail':<30}{'':>8}{'hedge':>8}{'p50':>8}{'p90':>8}{'p99':>8}{'p99.9':>8}{'extra calls':>13}"
    for name, tail in TAILS.items():
        for stream in (True, False):
            for hedge in ("off", "tail", 1.0):
                took, extra = run(hedge, tail, stream, calls)
                shown = "".join(f"{took[int(len(took) * share)]:8.2f}" for share in (0.5, 0.9, 0.99, 0.999))
                kind = "streams" if stream else "whole"
                yield f"{name:<30}{kind:>8}{hedge!s:>8}{shown}{extra / calls:>12.1%}"


def main() -> None:
    for line in figures(2_000 if "--quick" in sys.argv else 20_000):
        print(line, flush=True)


if __name__ == "__main__":
    main()
