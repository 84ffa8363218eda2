"""Limits, leases, and what a failure is written down as."""

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import RoutingHints
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.routing import Routing as Settings
from llmedge.errors import (
    ConnectFailed,
    EdgeError,
    TargetBusy,
    VendorFailed,
    VendorRateLimited,
    VendorRefused,
    VendorUnavailable,
)
from llmedge.model import Usage
from llmedge.operations import Operation
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.verdicts import VERDICTS
from llmedge.state.breaker import State
from llmedge.state.concurrency import FixedLimit, LearnedLimit
from tests.pipeline.harness import ANSWER, World

OFF = {"hedge": "off", "retries": 0}
CHAT = 5 << 1 | 1


class Limits(SynchronousTestCase):
    def test_one_target_by_two_names(self) -> None:
        """Has one limit, the lowest, whoever asks: by alternating names nobody gets past it."""
        world = World(
            (ANSWER,),
            entries=(TargetEntry("p0/x", rpm=2, weight=2),),
            models={"other": Model((TargetEntry("p0/x", rpm=5, max_concurrency=3),))},
            settings=OFF,
        )
        for model in ("m", "p0/x"):
            self.successResultOf(world.ask(model=model))
        for model in ("m", "other", "p0/x"):
            self.failureResultOf(world.ask(model=model), TargetBusy)
        self.assertEqual(world.deployment().queue.limit.value, 3)

    def test_what_is_learned_outlives_a_reload(self) -> None:
        """New limits and settings come into force at the next call; the rest stays."""
        world = World((ConnectFailed("is down"),), settings=OFF)
        deployment = world.deployment()
        deployment.pace.observe(3.0)
        models = {"m": Model((TargetEntry("p0/x", max_concurrency=7),))}
        world.deployments.configure(world.settings, models)
        self.assertIs(world.deployment(), deployment)
        self.assertEqual(deployment.queue.limit.value, 7)
        for _ in range(2):
            self.failureResultOf(world.ask())
        world.deployments.configure(Settings(adaptive=False, breaker_failures=3, queue=7, queue_wait=1.0), models)
        self.assertIs(world.deployment(), deployment)
        self.assertIsInstance(deployment.queue.limit, FixedLimit)
        self.assertEqual((deployment.queue.limit.value, deployment.queue.length, deployment.queue.max_wait), (7, 7, 1))
        self.assertIs(deployment.breaker.state, State.CLOSED)
        self.failureResultOf(world.ask())
        self.assertIs(deployment.breaker.state, State.OPEN)

    def test_names_of_clients_push_nobody_out(self) -> None:
        """A pattern's names are without number: what is configured, and what has calls under way, is not forgotten."""
        world = World((1.0, ANSWER), settings=OFF, models={"c-*": Model((TargetEntry("p0/*"),))})
        busy, idle = world.ask(model="c-busy"), world.deployments.get("p0/c-idle")
        kept = [world.deployment(), world.deployment("p0/c-busy")]
        for number in range(1100):
            world.deployments.get(f"p0/c-{number}")
        self.assertEqual(len(world.deployments.all()), 1000)
        self.assertIs(world.deployment(), kept[0])
        self.assertIs(world.deployment("p0/c-busy"), kept[1])
        self.assertIsNot(world.deployment("p0/c-idle"), idle)
        world.pass_time(1)
        self.successResultOf(busy)

    def test_a_higher_limit_is_for_who_waits_too(self) -> None:
        """Calls do not wait for one to end where a reload has made room."""
        world = World((1.0, ANSWER), entries=(TargetEntry("p0/x", max_concurrency=1),), settings=OFF)
        asking = [world.ask() for _ in range(3)]
        self.assertEqual(world.vendors[0].under_way, 1)
        world.deployments.configure(world.settings, {"m": Model((TargetEntry("p0/x", max_concurrency=3),))})
        self.assertEqual(world.vendors[0].under_way, 3)
        world.pass_time(1)
        for each in asking:
            self.successResultOf(each)
        self.assertTrue(world.at_rest())

    def test_adaptive(self) -> None:
        """From its refusals the deployment's own limit is known, and outlives a reload with another bound."""
        world = World((ANSWER,), settings=OFF)
        limit = world.deployment().queue.limit
        self.assertIsInstance(limit, LearnedLimit)
        for number in range(1, 15, 2):
            limit.refused(number, 9, number)
            limit.answered(number + 1, (8, 8), 0.5, True)
        self.assertEqual(limit.value, 8)
        models = {"m": Model((TargetEntry("p0/x", max_concurrency=50),))}
        world.deployments.configure(world.settings, models)
        self.assertIs(world.deployment().queue.limit, limit)
        self.assertEqual(limit.value, 8)

    def test_long_answers_are_no_slow_ones(self) -> None:
        """Pace is for the answer's length, and each operation has its own: an embedding is no chat."""
        world = World((ANSWER,), settings=OFF)
        deployment = world.deployment()
        told: list[tuple[float, object]] = []
        self.patch(deployment.queue.limit, "answered", lambda number, load, latency, kind: told.append((latency, kind)))
        embeddings = deployment.breaker_of(Operation.EMBEDDINGS)
        for whole, breaker, seconds, tokens in (
            (True, deployment.breaker, 1.0, 50),
            (True, deployment.breaker, 10.0, 950),
            (False, deployment.breaker, 0.5, 0),
            (True, embeddings, 0.05, 0),
        ):
            lease = deployment.lease_now(CHAT if whole else CHAT - 1, breaker)
            assert lease is not None
            lease.answered(world.clock.seconds(), seconds, tokens)
            lease.end(None)
        self.assertEqual(told, [(0.01, True), (0.01, True), (0.01, False), (0.001, embeddings)])

    def test_concurrency(self) -> None:
        """So many at once, never more; the others wait their turn, within bounds and the deadline."""
        world = World(
            (1.0, ANSWER),
            entries=(TargetEntry("p0/x", max_concurrency=2),),
            settings=OFF | {"queue": 2, "queue_wait": 1.5},
        )
        calls = [world.ask(caller=f"c{number}") for number in range(6)]
        self.assertEqual(world.vendors[0].under_way, 2)
        for refused in calls[4:]:
            self.assertIn("full queue", self.failureResultOf(refused, TargetBusy).value.message)
        world.pass_time(2.1)
        for call in calls[:4]:
            self.successResultOf(call)
        self.assertEqual([round(record.routing.waited, 1) for record in world.records[:4]], [0.0, 0.0, 1.0, 1.0])
        self.assertEqual(
            [round(record.routing.attempts[0].queued, 1) for record in world.records[:4]], [0.0, 0.0, 1.0, 1.0]
        )
        self.assertTrue(world.at_rest())

    def test_waits_in_vain_are_told(self) -> None:
        """Of who got no place, and of who left: the longest waits must not be missing in what is counted."""
        world = World(
            (9.0, ANSWER), entries=(TargetEntry("p0/x", max_concurrency=1),), settings=OFF | {"queue_wait": 2}
        )
        world.ask()
        waiting, leaving = world.ask(), world.ask()
        world.pass_time(1)
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        world.pass_time(1.1)
        self.failureResultOf(waiting, TargetBusy)
        waits = [[round(each.queued, 1) for each in record.routing.skipped] for record in world.records]
        self.assertEqual(waits, [[], [2.0], [1.0]])

    def test_the_queue_is_left_in_time(self) -> None:
        world = World((9.0, ANSWER), entries=(TargetEntry("p0/x", max_concurrency=1),), settings=OFF)
        world.ask()
        late, hasty = world.ask(), world.ask()
        hasty.cancel()
        self.failureResultOf(hasty, CancelledError)
        world.pass_time(5.1)
        self.failureResultOf(late, TargetBusy)
        self.assertEqual(world.records[1].routing.attempts, [])
        world.pass_time(5)
        self.assertTrue(world.at_rest())

    def test_busy_and_others_left(self) -> None:
        """Nobody waits while another target is free."""
        world = World(
            (1.0, ANSWER),
            (0.1, ANSWER),
            entries=(TargetEntry("p0/x", max_concurrency=1), TargetEntry("p1/x")),
            settings=OFF,
        )
        first, second = world.ask(), world.ask()
        world.pass_time(0.2)
        self.successResultOf(second)
        self.assertEqual(world.records[1].routing.skipped[0].target, "p0/x")
        world.pass_time(1)
        self.successResultOf(first)

    def test_busy_and_then_nobody_left(self) -> None:
        """Who was turned away because others were left gets to wait when they are not, even without retries."""
        world = World(
            (1.0, ANSWER),
            (ConnectFailed("down"),),
            entries=(TargetEntry("p0/x", max_concurrency=1), TargetEntry("p1/x")),
            settings=OFF,
        )
        first, second = world.ask(), world.ask()
        world.pass_time(2.1)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual([each.kind for each in world.records[1].routing.attempts], ["next", "next"])
        self.assertTrue(world.at_rest())

    def test_tokens_a_minute(self) -> None:
        """What was not used is given back, what failed before the vendor did anything wholly."""
        fields = {"max_tokens": b"600"}
        world = World(
            [(ANSWER,), (ConnectFailed("down", cause="refused"),), (ANSWER,), (ANSWER,)],
            entries=(TargetEntry("p0/x", tpm=1000),),
            settings=OFF,
        )
        self.successResultOf(world.ask(fields=fields))  # used 7
        self.failureResultOf(world.ask(fields=fields), ConnectFailed)
        self.successResultOf(world.ask(fields=fields))
        self.assertEqual(world.record.routing.attempts[0].usage, Usage(3, 4))
        self.successResultOf(world.ask(fields=fields))


class Health(SynchronousTestCase):
    def test_what_counts(self) -> None:
        """Each verdict opens the breaker, or does not, as the table says (part 2 of it)."""
        from llmedge.errors import TargetError

        for cause, verdict in VERDICTS.items():
            if cause in ("context_length", "content_filter", "client"):
                continue
            error = TargetError("it failed", cause=cause)
            world = World((error,), settings=OFF)
            for _ in range(6):
                world.ask().addErrback(lambda failure: failure.trap(TargetError, TargetBusy))
            opened = world.deployment().breaker.state is State.OPEN
            self.assertEqual(opened, verdict.unhealthy, cause)
            asked = 5 if opened or cause == "status_429" else 6  # so many of those in a row, and it pauses
            self.assertEqual(len(world.vendors[0].calls), asked, cause)
            world.pass_time(5.1)
            self.assertTrue(world.at_rest())

    def test_one_call_that_fails_again_and_again(self) -> None:
        """It may be the call: it counts once. A connection that fails is no call's doing."""
        for error, calls in ((VendorFailed("no", cause="malformed"), 5), (ConnectFailed("no", cause="refused"), 2)):
            world = World((error,), settings=OFF | {"retries": 2})
            for number in range(calls):
                self.assertIs(world.deployment().breaker.state, State.CLOSED, (error, number))
                world.ask().addErrback(lambda failure: failure.trap(EdgeError))
                world.pass_time(0.8)
            self.assertIs(world.deployment().breaker.state, State.OPEN, error)
            world.pass_time(10)
            self.assertTrue(world.at_rest())

    def test_each_operation_has_its_own(self) -> None:
        """What cannot be embedded says nothing of chats, whose limits it shares; legacy completions are chats."""
        world = World((ANSWER,), entries=(TargetEntry("p0/x", max_concurrency=1),))
        deployment = world.deployment()
        breaker = deployment.breaker_of(Operation.EMBEDDINGS)
        for _ in range(5):
            lease = deployment.lease_now(CHAT, breaker)
            assert lease is not None
            self.assertIsNone(deployment.lease_now(CHAT, deployment.breaker))
            lease.failed(VERDICTS["malformed"], 0.1)
        self.assertIs(breaker.state, State.OPEN)
        self.assertIsNone(deployment.lease_now(CHAT, breaker))
        self.assertIs(deployment.breaker.state, State.CLOSED)
        self.assertIs(deployment.breaker_of(Operation.TEXT), deployment.breaker)
        self.assertIs(deployment.breaker_of(Operation.RERANK).state, State.CLOSED)
        self.assertEqual([figure[:3] for figure in world.deployments.standings()], [("p0/x", 2, 0)])
        world.deployments.configure(Settings(breaker_open=3.0))
        self.assertEqual({each.settings.open_time for each in deployment.breakers}, {3.0})
        self.successResultOf(world.ask())

    def test_the_clients_fault(self) -> None:
        """However many, they say nothing about the target."""
        world = World((VendorRefused("no"),), settings=OFF)
        for _ in range(50):
            self.failureResultOf(world.ask(), VendorRefused)
        self.assertIs(world.deployment().breaker.state, State.CLOSED)

    def test_cooldown(self) -> None:
        """A Retry-After is kept by all calls, is never shortened by a shorter one, and is told."""
        errors = [(VendorUnavailable("away", retry_after=60.0),), (VendorUnavailable("away", retry_after=1.0),)]
        world = World(errors, settings=OFF)
        one, two = world.ask(), world.ask()
        for each in (one, two):
            each.addErrback(lambda failure: failure.trap(VendorUnavailable, VendorRateLimited))
        self.assertEqual(len(world.vendors[0].calls), 1)
        deployment = world.deployment()
        deployment.pacer.pause(1.0, "Retry-After")
        self.assertAlmostEqual(deployment.available_at(deployment.breaker), 60.0)
        world.clock.advance(30)
        error = self.failureResultOf(world.ask(), VendorRateLimited).value
        self.assertEqual(error.retry_after, 30.0)

    def test_who_comes_while_it_is_out(self) -> None:
        """Waits for the next look at it, where nobody else is left. Not for ever, and not with ``retries = 0``."""
        down = ConnectFailed("down", cause="refused")
        for script in ((down,), (ANSWER,)):
            world = World([(down,), script], settings={"breaker_failures": 1})
            self.failureResultOf(world.ask(hints=RoutingHints(retries=0)), EdgeError)
            self.failureResultOf(world.ask(hints=RoutingHints(retries=0)), TargetBusy)
            asking = [world.ask() for _ in range(5)]
            world.pass_time(0.7)
            self.assertEqual(len(world.vendors[0].calls), 1)
            world.pass_time(2.5)
            for each in asking:
                if script == (ANSWER,):
                    self.assertIs(self.successResultOf(each), ANSWER)
                else:
                    self.failureResultOf(each, EdgeError)
            self.assertTrue(world.at_rest())
            if script == (down,):
                self.assertLess(len(world.vendors[0].calls), 5)

    def test_who_comes_while_it_refuses_our_key(self) -> None:
        """Is told at once: that stays so until somebody changes it."""
        refused = VendorFailed("wrong key", cause="credentials", status=502)
        world = World([(refused,), (ANSWER,)], settings={"breaker_failures": 1})
        self.failureResultOf(world.ask(), EdgeError)
        self.failureResultOf(world.ask(), EdgeError)
        self.assertEqual(len(world.vendors[0].calls), 1)

    def test_recovery(self) -> None:
        """Back within seconds of the vendor: one probe at a time, and its first word closes the breaker."""
        error: Any = ConnectFailed("down", cause="refused")
        down = [True]
        world = World((lambda call: error if down[0] else ANSWER,), settings=OFF)
        for _ in range(300):  # a call each 0.1 s
            world.ask().addErrback(lambda failure: failure.trap(ConnectFailed, TargetBusy))
            world.clock.advance(0.1)
        self.assertLess(len(world.vendors[0].calls), 40)
        down[0] = False
        back = world.clock.seconds()
        while world.deployment().breaker.state is not State.CLOSED:
            world.ask().addErrback(lambda failure: failure.trap(TargetBusy))
            world.clock.advance(0.1)
        self.assertLess(world.clock.seconds() - back, 1.2)
        self.assertTrue(world.at_rest())

    def test_told_of_changes(self) -> None:
        told: list[Any] = []
        world = World((ANSWER,))
        deployments = Deployments(world.clock, world.random, lambda *change: told.append(change))
        breaker = deployments.get("a/b").breaker
        for _ in range(5):
            ticket = breaker.begin()
            assert ticket is not None
            ticket.fail()
        self.assertEqual(told, [("a/b", State.CLOSED, State.OPEN)])
