"""Deployments that are left alone are looked after, where the configuration wants it."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import RoutingHints
from llmedge.config.sections.models import TargetEntry
from llmedge.errors import ConnectFailed, EdgeError, ValidationError
from llmedge.pipeline.health import PATIENCE, HealthChecks
from llmedge.state.breaker import State
from tests.pipeline.harness import ANSWER, World


class Vendor:
    """A provider that says when asked whether it is there."""

    def __init__(self, name: str, *answers: Any, checkable: bool = True) -> None:
        self.name = name
        self.answers = list(answers)
        self.asked = 0
        self.checkable = checkable

    async def check(self) -> None:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Deferred):
            await answer
        elif answer is not None:
            raise answer


class Checks(SynchronousTestCase):
    def start(self, *answers: Any, seconds: float = 2.0, **more: Any) -> tuple[World, Vendor, HealthChecks]:
        """A world whose one deployment has been failing, looked after."""
        world = World([])
        vendor = Vendor("p0", *answers, **more)
        checks = HealthChecks(world.deployments, {"p0": vendor}, seconds, world.clock)  # type: ignore[dict-item]
        checks.start()
        self.addCleanup(checks.stop)
        self.breaker = world.deployments.get("p0/x").breaker
        for _ in range(5):
            ticket = self.breaker.begin()
            assert ticket is not None
            ticket.fail()
        self.assertIs(self.breaker.state, State.OPEN)
        return world, vendor, checks

    def test_a_vendor_that_is_back(self) -> None:
        """It is found out without a call, and no longer asked."""
        world, vendor, _ = self.start(ConnectFailed("no"), None)
        world.clock.pump([2.0] * 8)
        self.assertIs(self.breaker.state, State.CLOSED)
        self.assertEqual(vendor.asked, 2)

    def test_silence_is_no_answer(self) -> None:
        """And one question at a time."""
        world, vendor, _ = self.start(Deferred(), None)
        world.clock.advance(2)
        world.clock.advance(2)
        self.assertEqual(vendor.asked, 1)
        world.clock.advance(PATIENCE)
        self.assertIs(self.breaker.state, State.OPEN)
        world.clock.pump([2.0] * 5)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_a_look_in_vain_changes_nothing(self) -> None:
        """Calls try as they would without: neither a place nor time is taken from them."""
        for look in (ConnectFailed("no"), Deferred()):
            world, vendor, _ = self.start(*[look] * 60, seconds=0.25)
            for _ in range(10):
                world.clock.advance(1.0)
                self.assertEqual(self.breaker.blocked_by(), "")
                ticket = self.breaker.begin()
                assert ticket is not None
                ticket.fail()
            world.clock.pump([0.25] * 4)
            self.assertGreater(vendor.asked, 1)
            ticket = self.breaker.begin()
            assert ticket is not None
            ticket.succeed()
            self.assertIs(self.breaker.state, State.CLOSED)

    def test_who_cannot_be_asked_is_not(self) -> None:
        for more in ({"checkable": False}, {"seconds": 0.0}):
            world, vendor, _ = self.start(**more)
            world.clock.pump([2.0] * 5)
            self.assertEqual(vendor.asked, 0)

    def test_a_defect_is_logged(self) -> None:
        world, _, _ = self.start(ValueError("a defect"))
        world.clock.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_stopped(self) -> None:
        world, vendor, checks = self.start()
        checks.stop()
        checks.stop()
        world.clock.pump([2.0] * 5)
        self.assertEqual((vendor.asked, world.clock.getDelayedCalls()), (0, []))


class Tags(SynchronousTestCase):
    ENTRIES = (TargetEntry("p0/x"), TargetEntry("p1/x", tags=("eu", "zdr")))

    def test_only_targets_that_have_them(self) -> None:
        world = World([(ANSWER,)], [(ANSWER,)], entries=self.ENTRIES)
        self.assertIs(self.successResultOf(world.ask(hints=RoutingHints(tags=frozenset({"eu"})))), ANSWER)
        self.assertEqual([str(attempt.target) for attempt in world.records[-1].routing.attempts], ["p1/x"])

    def test_nobody_has_them(self) -> None:
        world = World([(ANSWER,)], [(ANSWER,)], entries=self.ENTRIES)
        error = self.failureResultOf(world.ask(hints=RoutingHints(tags=frozenset({"us"}))), EdgeError).value
        self.assertIsInstance(error, ValidationError)
        self.assertEqual(error.param, "x-llmedge-tags")
