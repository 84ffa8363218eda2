"""Hedging, on the real route: who is asked as well, when, and what is left behind."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.routing import Routing
from llmedge.errors import ConnectFailed, EdgeError, UpstreamCut, VendorRefused
from llmedge.pipeline.plan import Plan
from llmedge.pipeline.standings import UNLIMITED
from llmedge.state.breaker import State
from llmedge.state.usual import UsualTimes
from tests.pipeline.harness import ANSWER, ROLE, Stream, World, chunk

SILENT = 1e6
STREAM = 5 << 1


def stream_of(world: World, text: str) -> Stream:
    return Stream(world.clock, [ROLE], [chunk(text)])


class Races(SynchronousTestCase):
    def world(self, *vendors: tuple, **settings: object) -> World:
        return World(*vendors, settings={"retries": 0, "hedge": 1.0, "hedge_ratio": 1.0} | settings)

    def test_a_quick_answer_is_raced_by_nobody(self) -> None:
        world = self.world((0.9, ANSWER), (ANSWER,))
        asking = world.ask()
        world.pass_time(1)
        self.assertIs(self.successResultOf(asking), ANSWER)
        self.assertEqual(world.vendors[1].calls, [])
        self.assertTrue(world.at_rest())

    def test_the_first_answer_wins(self) -> None:
        """Whoever it is from; the other one is cut off, its slot given back, and the record says who answered."""
        for first, second, winner in ((3.0, 0.5, "p1"), (1.2, 0.5, "p0")):
            world = self.world((first, ANSWER), (second, ANSWER))
            asking = world.ask()
            world.pass_time(2)
            self.successResultOf(asking)
            by = world.record.routing.deciding_attempt
            assert by is not None
            self.assertEqual(by.target.provider, winner)
            self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "hedge"])
            self.assertEqual(sorted(each.outcome for each in world.record.routing.attempts), ["aborted", "ok"])
            self.assertTrue(world.at_rest())

    def test_the_loser_of_a_stream_is_aborted(self) -> None:
        world = self.world((), ())
        slow = Stream(world.clock, [ROLE], SILENT)
        world.vendors[0].scripts, world.vendors[1].scripts = [(slow,)], [(stream_of(world, "fast"),)]
        asking = world.ask(stream=True)
        world.pass_time(1.1)
        self.successResultOf(asking).abort()
        self.assertTrue(slow.aborted)
        self.assertTrue(world.at_rest())

    def test_it_is_on_record_while_two_may_be_waited_for(self) -> None:
        """And no longer: one alone need not be counted."""
        for script in (ANSWER, ConnectFailed("down")):
            world = self.world((2.0, script), (2.0, script))
            asking = world.ask()
            routing = world.record.routing
            self.assertTrue(routing.raced)
            world.pass_time(1.5)
            self.assertTrue(routing.raced)
            world.pass_time(2)
            asking.addErrback(lambda _: None)
            self.successResultOf(asking)
            self.assertFalse(routing.raced)

    def test_leaving_ends_all_of_them(self) -> None:
        """The client leaves while two are asked: both are cut off within the turn."""
        world = self.world((SILENT, ANSWER), (SILENT, ANSWER), (SILENT, ANSWER))
        asking = world.ask()
        world.pass_time(2.5)
        self.assertEqual([vendor.under_way for vendor in world.vendors], [1, 1, 1])
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual([each.outcome for each in world.record.routing.attempts], ["aborted"] * 3)
        self.assertTrue(world.at_rest())

    def test_a_failure_before_the_timer(self) -> None:
        """The next target is asked at once, as after any failure, and it too may be raced."""
        world = self.world((0.5, ConnectFailed("down", cause="refused")), (SILENT, ANSWER), (0.1, ANSWER))
        asking = world.ask()
        world.pass_time(1.7)
        self.successResultOf(asking)
        self.assertEqual(
            world.attempts(), [("p0", "first", "refused"), ("p1", "next", "aborted"), ("p2", "hedge", "ok")]
        )
        self.assertTrue(world.at_rest())

    def test_a_failure_while_the_other_runs(self) -> None:
        """It is waited for; its answer is the answer."""
        world = self.world((1.5, ConnectFailed("down")), (2.0, ANSWER))
        asking = world.ask()
        world.pass_time(2.9)
        self.assertNoResult(asking)
        world.pass_time(0.2)
        self.successResultOf(asking)
        self.assertTrue(world.at_rest())

    def test_a_hedge_that_fails_at_once(self) -> None:
        """The next one is asked instead: the first is as silent as before."""
        world = self.world((SILENT, ANSWER), (ConnectFailed("down"),), (ANSWER,))
        asking = world.ask()
        world.pass_time(1.1)
        self.successResultOf(asking)
        self.assertEqual([each.kind for each in world.record.routing.attempts], ["first", "hedge", "hedge"])
        self.assertTrue(world.at_rest())

    def test_all_fail(self) -> None:
        """Both errors are told: the second does not hide the first."""
        world = self.world((1.5, ConnectFailed("A is down.")), (1.5, UpstreamCut("B broke.")))
        asking = world.ask()
        world.pass_time(3)
        message = self.failureResultOf(asking, EdgeError).value.message
        self.assertIn("A is down.", message)
        self.assertIn("B broke.", message)
        self.assertTrue(world.at_rest())

    def test_a_refusal_is_final(self) -> None:
        """Whichever says so: the request is at fault."""
        world = self.world((SILENT, ANSWER), (VendorRefused("no"),))
        asking = world.ask()
        world.pass_time(1.1)
        self.failureResultOf(asking, VendorRefused)
        self.assertTrue(world.at_rest())

    def test_a_prompt_too_long_for_the_hedge_only(self) -> None:
        """Says nothing about the first, which may have the larger window."""
        world = self.world((3.0, ANSWER), (VendorRefused("no", code="context_length_exceeded"),))
        asking = world.ask()
        world.pass_time(3.1)
        self.successResultOf(asking)
        self.assertTrue(world.at_rest())

    def test_the_budget(self) -> None:
        """A few calls may be hedged, then a share of the traffic; the others wait for their target alone."""
        world = self.world((SILENT, ANSWER), (0.1, ANSWER), hedge_ratio=0.05)
        asking = [world.ask() for _ in range(40)]
        world.pass_time(1.5)
        answered = [each for each in asking if each.called]
        self.assertEqual(len(answered), 3)  # 1 that is always there, and 5 % of 40
        for each in asking:
            each.cancel()
            each.addErrback(lambda failure: failure.trap(CancelledError))
        self.assertTrue(world.at_rest())

    def test_a_target_known_to_be_out_is_left(self) -> None:
        """Once its breaker has opened, those that still wait for it go elsewhere: no budget holds them."""
        world = self.world((SILENT, ANSWER), (0.1, ANSWER), hedge_ratio=0.05)
        asking = [world.ask() for _ in range(40)]
        world.pass_time(1.5)
        self.assertLess(len([each for each in asking if each.called]), 40)
        for _ in range(5):
            ticket = world.deployment().breaker.begin()
            assert ticket is not None
            ticket.fail()
        self.assertIs(world.deployment().breaker.state, State.OPEN)
        world.clock.advance(0.9)  # they look again each second
        world.clock.advance(0.2)
        for each in asking:
            self.successResultOf(each)
        self.assertTrue(world.at_rest())

    def test_silence_opens_the_breaker(self) -> None:
        """A target that hangs, and is beaten by the next each time, is soon not asked any more."""
        world = self.world((SILENT, ANSWER), (0.1, lambda call: Stream(world.clock, [chunk("x")])), hedge="tail")
        for _ in range(5):
            asking = world.ask(stream=True)
            world.pass_time(10.5, 0.1)
            self.successResultOf(asking).abort()
        self.assertIs(world.deployment().breaker.state, State.OPEN)
        self.assertEqual({each.routing.attempts[0].cause for each in world.records}, {"silent"})
        asking = world.ask(stream=True)
        world.pass_time(0.2)
        self.successResultOf(asking).abort()
        self.assertEqual(world.record.routing.skipped[0].why, "breaker: 5 in a row failed")
        self.assertTrue(world.at_rest())

    def test_silence_until_the_deadline(self) -> None:
        """With nobody else to ask, calls that waited in vain count as well, if they are of several callers; impatient
        clients' do not, nor those of a single one, nor those of prompts that are much longer than the others'."""
        for seconds, callers, sizes, state in (
            (20.0, 2, [9], State.OPEN),
            (20.0, 1, [9], State.CLOSED),
            (20.0, 6, [9, 99, 999, 9999, 99999, 999999], State.CLOSED),
            (0.5, 2, [9], State.CLOSED),
        ):
            world = World((SILENT,))
            for number in range(6):
                call = world.call(seconds=seconds, caller=f"c{number % callers}")
                call.record.bytes_in = sizes[number % len(sizes)]
                asking: Any = Deferred.fromCoroutine(world.route(call))
                world.clock.callLater(seconds, asking.cancel)  # as EnforceDeadline does
                world.clock.advance(seconds)
                self.failureResultOf(asking, CancelledError)
            self.assertIs(world.deployment().breaker.state, state)
            self.assertEqual(world.deployment().queue.limit.value, UNLIMITED)  # it is no sign of load
            self.assertTrue(world.at_rest())

    def test_silence_while_others_are_answered(self) -> None:
        """It is the calls, then: long prompts, and who asks for them gives up early."""
        world = World((SILENT, ANSWER))
        long = [world.ask(seconds=20.0, caller=f"long{number}") for number in range(12)]
        world.clock.advance(10)
        world.vendors[0].scripts.append((ANSWER,))
        self.successResultOf(world.ask(caller="short"))
        world.clock.advance(9)
        for each in long:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertIs(world.deployment().breaker.state, State.CLOSED)

    def test_tail(self) -> None:
        """Patience is later than all calls but those that hang, once that is known; before, 10 s for a stream."""
        world = self.world((ANSWER,), (ANSWER,), hedge="tail", hedge_ratio=0.05)
        match = world.index.find("m")
        assert match is not None
        plan = Plan(world.deps, world.call(stream=True), match)
        option = plan.next()
        assert option is not None
        self.assertEqual(plan.patience(option), 10.0)
        whole = Plan(world.deps, world.call(), match)
        self.assertIsNone(whole.patience(option))
        world.deployment().usual.learn(plan.shape, 1.0, 0.0)
        for usual, slow, expected in (
            (0.3, 0.3, 0.6),  # no tail
            (0.3, 2.0, 2.3),  # a tenth takes 2 s: too many to be hedged
            (0.3, 0.8, 1.1),
            (0.001, 0.001, 0.1),
            (60.0, 60.0, 10.0),
        ):
            deployment = world.deployment()
            world.clock.advance(10_000)
            for number in range(100):
                deployment.tail.observe(slow if number % 10 == 0 else usual)
            found = plan.patience(option)
            assert found is not None
            self.assertLess(abs(found - expected), 0.1 * expected)

    def test_a_tail_is_cut(self) -> None:
        """Where three in a hundred take much longer, at twice the median: the budget is enough for them."""
        deployment = self.world((ANSWER,), (ANSWER,), hedge_ratio=0.05).deployment()
        for number in range(1000):
            deployment.tail.observe(30.0 if number % 33 == 0 else 0.3)
        for shape, seconds in ((STREAM, 1.0), (9 << 1 | 1, 20.0)):
            deployment.usual.learn(shape, seconds, 0.0)
            self.assertApproximates(deployment.patience(shape) or 0.0, 0.6 * seconds, 0.06 * seconds)

    def test_the_budget_decides(self) -> None:
        """Who may hedge a sixth of the calls need not wait for the slowest twentieth."""
        world = self.world((ANSWER,), (ANSWER,), hedge="tail", hedge_ratio=0.05)
        deployment = world.deployment()
        for number in range(1000):
            deployment.tail.observe(8.0 if number % 12 == 0 else 0.3)
        deployment.usual.learn(STREAM, 1.0, 0.0)
        self.assertGreater(deployment.patience(STREAM) or 0.0, 7.0)
        deployment.apply(Routing(hedge_ratio=0.15))
        world.clock.advance(1.1)
        self.assertLess(deployment.patience(STREAM) or 9.0, 0.7)

    def test_losers_are_known_to_be_slow(self) -> None:
        """What was waited for in vain would have taken longer: `latency` sends next to nothing to who loses each race,
        and the quantiles are not those of the winners."""
        slow, steady = (1.6, ANSWER), (0.3, ANSWER)
        world = World(slow, steady, settings={"hedge": 0.5, "hedge_ratio": 1.0, "retries": 0}, strategy="latency")
        for _ in range(60):
            world.ask()
            world.pass_time(1.0)
        begun = sum(record.routing.attempts[0].target.provider == "p0" for record in world.records)
        self.assertLess(begun, 9)
        deployment = world.deployment()
        deployment.apply(Routing(hedge_ratio=0.05))
        shape = 29 << 1
        deployment._usual = UsualTimes()
        deployment.usual.learn(shape, 1.0, 0.0)
        for _ in range(1000):
            deployment.tail.observe(0.3)
        for _ in range(100):
            deployment.waited_in_vain(shape, 0.7)
            deployment.waited_in_vain(shape, 0.2)  # says nothing
        world.clock.advance(1.1)
        self.assertApproximates(deployment.tail.at(0.95) or 0.0, 0.7, 0.04)
        self.assertApproximates(deployment.tail.at(0.01) or 0.0, 0.3, 0.02)

    def test_waiting_counts_once(self) -> None:
        """While two are waited for, the time is the same: overhead is never negative."""
        record = self.world((ANSWER,)).call().record
        record.routing.begin_wait(1.0)
        record.routing.begin_wait(2.0)
        record.routing.end_wait(3.0)
        record.routing.end_wait(4.0)
        record.routing.begin_wait(6.0)
        record.routing.end_wait(6.5)
        self.assertEqual(record.routing.waited, 3.5)

    def test_no_hedge(self) -> None:
        """``off`` is off; and where nobody is left, nobody is raced."""
        world = self.world((3.0, ANSWER), (ANSWER,), hedge="off")
        asking = world.ask()
        world.pass_time(2.9)
        self.assertNoResult(asking)
        self.assertEqual(world.vendors[1].calls, [])
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(world.at_rest())


class Cancelling(SynchronousTestCase):
    def test_at_any_moment(self) -> None:
        """Wherever the client leaves, slots, probes and timers are given back."""
        for tenth in range(80):
            world = World(
                (0.3, ConnectFailed("down")),
                [(0.7, UpstreamCut("cut")), (SILENT,)],
                [(1.1, ConnectFailed("down")), (0.4, ANSWER)],
                settings={"retries": 2, "hedge": 0.5, "retry_base": 1.0},
            )
            asking = world.ask()
            world.pass_time(tenth / 10)
            asking.cancel()
            asking.addErrback(lambda failure: failure.trap(CancelledError))
            self.assertTrue(world.at_rest(), tenth)
            self.assertTrue(all(each.outcome for each in world.record.routing.attempts), tenth)
