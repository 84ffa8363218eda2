"""Copies of calls for a target on trial: recorded, and never in anybody's way."""

from decimal import Decimal
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.prices import Price
from llmedge.errors import ConnectFailed, VendorRateLimited
from llmedge.pipeline import shadow
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.shadow import Shadows
from llmedge.record import Record
from llmedge.state.breaker import State
from llmedge.store.rows import row_of
from tests.pipeline.harness import ANSWER, END, Stream, Vendor, World, chunk
from tests.pipeline.test_prices import at_once, usd


class Shadowing(SynchronousTestCase):
    def world(self, *script: Any, share: float = 1.0) -> World:
        world = World((ANSWER,), shadow="s/new", shadow_share=share)
        self.vendor = Vendor("s", world.clock, script)
        self.records: list[Record] = []
        prices = Prices({"s/new": Price(Decimal(1), Decimal(1))}, {}, world.clock, at_once)
        deps = attrs.evolve(world.deps, providers={"s": self.vendor})
        world.route.shadows = Shadows(deps, prices, [self.records.append])
        return world

    def test_a_copy(self) -> None:
        """The client has its answer at once; the copy has a record of its own, as ``shadow``, with usage and
        cost, which no budget pays."""
        world = self.world(2.0, ANSWER)
        self.assertIs(self.successResultOf(world.ask()), ANSWER)
        self.assertEqual([str(each.target) for each in world.record.routing.attempts], ["p0/x"])
        world.clock.advance(2)
        (record,) = self.records
        self.assertEqual((record.operation, record.outcome, record.status), ("shadow", "ok", 200))
        self.assertEqual((str(record.routing.attempts[0].target), record.routing.attempts[0].kind), ("s/new", "shadow"))
        self.assertEqual((record.accounting.usage, record.accounting.cost), (ANSWER.usage, usd("0.000007")))
        self.assertEqual((row_of(record, "u").key_id, record.taken), ("shadow", None))
        self.assertEqual(world.clock.getDelayedCalls(), [])

    def test_a_stream(self) -> None:
        """Is read to its end."""
        world = self.world(lambda call: Stream(world.clock, [chunk("a")], 1.0, END))
        world.ask(stream=True)
        world.clock.advance(1)
        (record,) = self.records
        self.assertEqual((record.outcome, record.first_event, record.ended), ("ok", 0.0, 1.0))

    def test_what_is_cut_short(self) -> None:
        """The clients' deadline ends a copy, which says nothing of its deployment's health."""
        world = self.world(1000.0, ANSWER)
        for _ in range(20):
            world.ask()
            world.clock.advance(30)
        self.assertEqual({record.outcome for record in self.records}, {"aborted"})
        self.assertEqual(world.deployment("s/new").breaker.state, State.CLOSED)

    def test_failures(self) -> None:
        """Are on record, and nobody else notices; a defect is logged."""
        world = self.world(ConnectFailed("down", cause="refused"))
        self.assertIs(self.successResultOf(world.ask()), ANSWER)
        (record,) = self.records
        self.assertEqual(
            (record.outcome, record.routing.attempts[0].outcome, record.routing.attempts[0].cause),
            ("error", "connect", "refused"),
        )
        world = self.world(ValueError("a defect"))
        self.assertIs(self.successResultOf(world.ask()), ANSWER)
        self.assertEqual([each.outcome for each in self.records], ["defect"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_nobody_is_hammered(self) -> None:
        """A vendor that is out, or said when to come back, gets no copies; limits of a deployment hold for them."""
        down = ConnectFailed("down", cause="refused")
        for error, asked in ((VendorRateLimited("slow down", retry_after=60.0), 1), (down, 5)):
            world = self.world(error)
            for _ in range(20):
                self.assertIs(self.successResultOf(world.ask()), ANSWER)
            self.assertEqual(len(self.vendor.calls), asked)
            self.assertEqual(world.clock.getDelayedCalls(), [])
        world = self.world(1.0, ANSWER)
        world.deployments.configure(world.settings, {"new": Model((TargetEntry("s/new", max_concurrency=2),))})
        for _ in range(5):
            self.assertIs(self.successResultOf(world.ask()), ANSWER)
        self.assertEqual(self.vendor.under_way, 2)
        self.assertEqual([each.routing.attempts[0].cause for each in self.records], ["busy"] * 3)
        world.clock.advance(1)
        self.assertTrue(world.at_rest())

    def test_silence_has_an_end(self) -> None:
        """The call's own deadline."""
        world = self.world(Deferred())
        self.successResultOf(world.ask(seconds=5))
        world.clock.advance(5)
        self.assertEqual([each.outcome for each in self.records], ["aborted"])
        self.assertEqual(self.vendor.under_way, 0)

    def test_bounds(self) -> None:
        """A share of the calls, and never more than so many at once."""
        world = self.world(1.0, ANSWER, share=0.25)
        for _ in range(400):
            world.ask()
            world.clock.advance(1)
        self.assertLess(abs(len(self.records) - 100), 40)
        self.patch(shadow, "AT_ONCE", 3)
        world = self.world(1.0, ANSWER)
        for _ in range(10):
            world.ask()
        self.assertEqual(len(self.vendor.calls), 3)
        world.clock.advance(1)
        world.ask()
        self.assertEqual(len(self.vendor.calls), 4)
