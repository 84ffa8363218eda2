"""Which signal left a target alone, cut or queued for it: in the record, in the log, and in the client's error."""

from datetime import UTC, datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import TargetEntry
from llmedge.errors import ConnectFailed, EdgeError, TargetBusy, VendorUnavailable
from llmedge.pipeline import signals
from llmedge.pipeline.signals import Signals, limit_words
from llmedge.state.concurrency import FixedLimit
from llmedge.state.fair_queue import FairQueue
from tests.pipeline.harness import ANSWER, World

DOWN = ConnectFailed("is down")
OFF = {"hedge": "off", "retries": 0}


class Told(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []

        def keep(text: str, **values: Any) -> None:
            self.lines.append(text.format(**values))

        for level in ("warn", "info"):
            self.patch(signals.log, level, keep)

    def test_a_breaker(self) -> None:
        """By its share, or by a run; once for each opening, and when it is over."""
        script: list[tuple[Any, ...]] = [(ANSWER,), (DOWN,)] * 5 + [(DOWN,)] * 3 + [(ANSWER,)]
        world = World(script, (ANSWER,), settings=OFF | {"breaker_failures": 9, "breaker_max_open": 1})
        for _ in range(11):
            self.successResultOf(world.ask())
        self.assertEqual(self.lines, ["p0/x is left alone: 5 of 10 failed"])
        self.assertEqual(world.record.routing.skipped[0].why, "breaker: 5 of 10 failed")
        for _ in range(4):
            world.clock.advance(2.0)
            self.successResultOf(world.ask())
        self.assertEqual(self.lines[1:], ["p0/x is asked again"])
        world = World((DOWN,), settings=OFF | {"breaker_failures": 3})
        for _ in range(3):
            self.failureResultOf(world.ask())
        error = self.failureResultOf(world.ask(), TargetBusy).value
        self.assertIn("p0/x (breaker: 3 in a row failed)", error.message)
        self.assertEqual(self.lines[2:], ["p0/x is left alone: 3 in a row failed"])

    def test_a_probe(self) -> None:
        world = World([(DOWN,), (5.0, ANSWER)], settings=OFF | {"breaker_failures": 1})
        self.failureResultOf(world.ask())
        world.clock.advance(1.1)
        probe = world.ask()
        self.failureResultOf(world.ask())
        self.assertEqual(world.record.routing.skipped[0].why, "breaker: 1 in a row failed, one call tries")
        probe.cancel()
        self.failureResultOf(probe)

    def test_a_pause(self) -> None:
        """What the vendor asked for is said as it is."""
        world = World((VendorUnavailable("away", retry_after=86400.0),), settings=OFF)
        for _ in range(2):
            self.failureResultOf(world.ask())
        self.assertEqual(world.record.routing.skipped[0].why, "paused: Retry-After, 3600 s left")
        until = datetime.fromtimestamp(world.clock.seconds() + 3600, UTC).isoformat()
        self.assertEqual(self.lines, [f"p0/x asks to be left alone until {until}"])
        (standing,) = world.deployments.standings()
        self.assertEqual((standing.label, standing.state, standing.pause), ("p0/x", 0, 3600.0))

    def test_a_short_pause(self) -> None:
        """Is in the record, and nothing for the log."""
        world = World((VendorUnavailable("away", retry_after=6.5),), settings=OFF)
        for _ in range(2):
            self.failureResultOf(world.ask())
        self.assertEqual(world.record.routing.skipped[0].why, "paused: Retry-After, 6.5 s left")
        self.assertEqual(self.lines, [])

    def test_alone_and_paused(self) -> None:
        """Who has nobody else to ask tries it once in a minute, and a good answer ends the pause for all."""
        away = VendorUnavailable("away", retry_after=86400.0)
        world = World([(away,), (away,), (ANSWER,)], settings=OFF)
        for _ in range(100):
            world.ask().addErrback(lambda failure: failure.trap(EdgeError))
            world.clock.advance(2.0)
        asked = [each.started for record in world.records for each in record.routing.attempts]
        self.assertEqual([round(at - asked[0]) for at in asked[:3]], [0, 60, 120])
        self.assertGreater(len(asked), 40)

    def test_a_limit(self) -> None:
        """A learned one with what cut it. In the log not more often than it is read."""
        world = World((90.0, ANSWER), entries=(TargetEntry("p0/x", max_concurrency=1),), settings=OFF)
        first = world.ask()
        waiting = world.ask()
        world.pass_time(5.5)
        self.assertIn("(limit 1)", self.failureResultOf(waiting, TargetBusy).value.message)
        limit = world.deployment().queue.limit
        limit.why = "pace 5.1x"
        waiting = world.ask()
        world.pass_time(5.5)
        self.assertIn("(limit 1: pace 5.1x)", self.failureResultOf(waiting, TargetBusy).value.message)
        self.assertIn("(limit 1: pace 5.1x)", world.record.routing.skipped[0].why)
        first.cancel()
        self.failureResultOf(first)
        self.assertEqual(self.lines, ["p0/x is given fewer calls at once: limit 1: pace 5.1x"])

    def test_a_call_that_waited(self) -> None:
        """Its attempt says for what."""
        world = World((1.0, ANSWER), entries=(TargetEntry("p0/x", max_concurrency=1),), settings=OFF)
        for _ in range(2):
            world.ask()
        world.deployment().queue.limit.why = "pace 5.1x"
        world.pass_time(2.5)
        waited = [record.routing.attempts[0].queued_for for record in world.records]
        self.assertEqual(waited, ["", "limit 1: pace 5.1x"])

    def test_not_too_often(self) -> None:
        world = World((ANSWER,))
        queue = FairQueue(world.clock, FixedLimit(8))
        told = Signals("a/x", world.clock)
        told.limit(queue)
        self.assertEqual((self.lines, limit_words(queue)), ([], "limit 8"))
        for number in range(100):
            queue.limit.why = f"pace {number}.5x"
            told.limit(queue)
            told.limit(queue)
            world.clock.advance(0.25)
        self.assertEqual(self.lines[0], "a/x is given fewer calls at once: limit 8: pace 0.5x")
        self.assertEqual(len(self.lines), 3)
