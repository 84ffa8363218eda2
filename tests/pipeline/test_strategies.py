"""Who is asked first, and how the load is shared."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import RoutingHints
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.prices import Price
from llmedge.operations import Operation
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.shape import shape_of
from llmedge.pipeline.strategies import Strategies
from tests.pipeline.harness import ANSWER, World
from tests.pipeline.test_prices import at_once

A, B, C = (f"p{number}/x" for number in range(3))


class Strategy(SynchronousTestCase):
    def world(self, *weights: float, **model: Any) -> World:
        entries = tuple(TargetEntry(f"p{number}/x", weight=weight) for number, weight in enumerate(weights))
        return World(*[(ANSWER,) for _ in weights], entries=entries, **model)

    def order(self, world: World, **call: Any) -> list[str]:
        match = world.index.find("m")
        assert match is not None
        found = world.strategies.order("m", match.model, match.candidates, world.call(**call))
        return [candidate.name for candidate in found]

    def firsts(self, world: World, times: int, **call: Any) -> Counter[str]:
        return Counter(self.order(world, **call)[0] for _ in range(times))

    def open(self, world: World, name: str) -> None:
        for _ in range(5):
            ticket = world.deployment(name).breaker.begin()
            assert ticket is not None
            ticket.fail()

    def test_priority(self) -> None:
        """As configured, always."""
        self.assertEqual(self.order(self.world(1, 5, 0)), [A, B, C])

    def test_weighted(self) -> None:
        """In proportion (chi-squared, p = 0.001 with 2 degrees of freedom), and everybody is in the order."""
        world = self.world(1, 3, 6, strategy="weighted")
        counts = self.firsts(world, 10_000)
        expected = {A: 1000, B: 3000, C: 6000}
        self.assertLess(sum((counts[name] - share) ** 2 / share for name, share in expected.items()), 13.8)
        self.assertEqual(sorted(self.order(world)), [A, B, C])

    def test_no_weight(self) -> None:
        """A weight of 0 gets calls only when the others are out, in each strategy that shares."""
        for strategy in ("weighted", "round_robin", "least_busy", "latency", "cost"):
            world = self.world(1, 0, 1, strategy=strategy)
            counts = self.firsts(world, 300)
            self.assertNotIn(B, counts, strategy)
            self.assertEqual(self.order(world)[-1], B)

    def test_round_robin(self) -> None:
        """In turn; one without weight, or out for now, does not give its turns to its neighbour alone."""
        self.assertEqual(self.firsts(self.world(1, 1, 1, strategy="round_robin"), 30), {A: 10, B: 10, C: 10})
        self.assertEqual(self.firsts(self.world(1, 0, 1, strategy="round_robin"), 30), {A: 15, C: 15})
        world = self.world(1, 1, 1, strategy="round_robin")
        self.open(world, A)
        self.assertEqual(self.firsts(world, 30), {B: 15, C: 15})
        self.assertEqual(len(self.order(world)), 3)

    def test_least_busy(self) -> None:
        """By calls under way in proportion to weight; equals share."""
        world = self.world(1, 1, strategy="least_busy")
        self.assertLess(abs(self.firsts(world, 1000)[A] - 500), 80)
        world.deployment(A).queue.in_flight = 1
        self.assertEqual(self.firsts(world, 10), {B: 10})
        world = self.world(4, 1, strategy="least_busy")
        world.deployment(A).queue.in_flight, world.deployment(B).queue.in_flight = 3, 1
        self.assertEqual(self.firsts(world, 10), {A: 10})

    def test_latency(self) -> None:
        """The quickest by peak-EWMA; one whose breaker is open is not chosen first."""
        world = self.world(1, 1, strategy="latency")
        world.deployment(A).pace.observe(2.0)
        world.deployment(B).pace.observe(0.1)
        self.assertEqual(self.firsts(world, 20), {B: 20})
        self.open(world, B)
        self.assertEqual(self.firsts(world, 20), {A: 20})

    def test_latency_by_shape(self) -> None:
        """Who had long prompts is no slower for that; and who is slow only with those gets the short ones."""
        world = self.world(1, 1, strategy="latency")
        short, long = world.call(), world.call()
        long.record.bytes_in = 100_000
        for call, name, seconds in ((long, A, 9.0), (short, A, 0.5), (short, B, 1.0), (long, B, 4.0)):
            deployment = world.deployment(name)
            deployment.pace.observe(deployment.usual.learn(shape_of(call), seconds, 0.0))
        match = world.index.find("m")
        assert match is not None
        for call, first in ((short, A), (long, B)):
            found = world.strategies.order("m", match.model, match.candidates, call)
            self.assertEqual(found[0].name, first)

    def test_health_is_of_the_operation(self) -> None:
        """One that cannot embed is first for chats, and one that is out for chats is for embeddings."""
        world = self.world(1, 1, strategy="latency")
        world.deployment(A).pace.observe(0.1)
        world.deployment(B).pace.observe(2.0)
        match = world.index.find("m")
        assert match is not None
        for out, other in ((Operation.EMBEDDINGS, Operation.CHAT), (Operation.CHAT, Operation.EMBEDDINGS)):
            breaker = world.deployment(A).breaker_of(out)
            for _ in range(5):
                ticket = breaker.begin()
                assert ticket is not None
                ticket.fail()
            firsts = {}
            for operation in (out, other):
                call = world.call().changed(operation=operation)
                firsts[operation] = world.strategies.order("m", match.model, match.candidates, call)[0].name
            self.assertEqual(firsts, {out: B, other: A})
            world.clock.advance(2)
            ticket = breaker.begin()
            assert ticket is not None
            ticket.succeed()

    def test_cost(self) -> None:
        """The cheapest first, what has no price last."""
        world = self.world(1, 1, 1, strategy="cost")
        prices = {B: Price(Decimal(5), Decimal(5)), C: Price(Decimal(1), Decimal(1))}
        world.strategies = Strategies(world.deployments, Prices(prices, {}, Clock(), at_once), world.random)
        self.assertEqual(self.order(world), [C, B, A])

    def test_sticky_by_header(self) -> None:
        """One key, one target; keys are spread by weight; when a target goes, only its keys move."""
        world = self.world(1, 1, 2, sticky="header:x-session")

        def order(key: str) -> list[str]:
            return self.order(world, hints=RoutingHints(header=lambda name: key if name == "x-session" else None))

        orders = {str(key): order(str(key)) for key in range(2000)}
        self.assertEqual(orders["7"], order("7"))
        counts = Counter(found[0] for found in orders.values())
        expected = {A: 500, B: 500, C: 1000}
        self.assertLess(sum((counts[name] - share) ** 2 / share for name, share in expected.items()), 13.8)
        smaller = self.world(1, 1, sticky="header:x-session")
        for key, found in orders.items():
            if found[0] != C:
                hints = RoutingHints(header=lambda name, key=key: key)
                self.assertEqual(self.order(smaller, hints=hints)[0], found[0])

    def test_sticky_without_a_key(self) -> None:
        """The strategy decides."""
        self.assertEqual(self.firsts(self.world(1, 1, sticky="header:x", strategy="round_robin"), 10), {A: 5, B: 5})

    def test_sticky_by_prompt(self) -> None:
        """A conversation stays where it began, however it grows."""
        world = self.world(1, 1, 1, sticky="prompt")
        spread = set()
        for number in range(50):
            messages = [{"role": "user", "content": f"question {number}"}]
            first = self.order(world, fields={"messages": msgspec.Raw(msgspec.json.encode(messages))})
            spread.add(first[0])
            for turn in range(4):
                messages += [{"role": "assistant", "content": "so"}, {"role": "user", "content": f"and {turn}"}]
                raw = msgspec.Raw(msgspec.json.encode(messages))
                self.assertEqual(self.order(world, fields={"messages": raw}), first)
        self.assertEqual(spread, {A, B, C})
        system = msgspec.Raw(b'"you are a cat"')
        same = {
            tuple(self.order(world, dialect="anthropic", fields={"system": system, "messages": turn}))
            for turn in (msgspec.Raw(b"[%d]" % number) for number in range(20))
        }
        self.assertEqual(len(same), 1)


class Index(SynchronousTestCase):
    def test_wildcards(self) -> None:
        """What a pattern sends on is a deployment of its own, by its own name."""
        world = World((ANSWER,), models={"claude-*": Model((TargetEntry("p0/*"),))})
        self.successResultOf(world.ask(model="claude-9"))
        self.assertEqual(str(world.record.routing.attempts[0].target), "p0/claude-9")
        self.assertEqual([each.name for each in world.deployments.all()], ["p0/claude-9"])
        self.assertEqual(world.deployments.label("p0/claude-9"), "p0/*")
