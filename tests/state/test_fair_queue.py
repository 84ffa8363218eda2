from collections import Counter
from random import Random

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import TargetBusy, TargetFull
from llmedge.state.concurrency import FixedLimit, LearnedLimit, Outcome
from llmedge.state.fair_queue import FairQueue, Slot
from llmedge.state.pacing import Pacer
from tests.effort import examples


class Queue(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.queue = FairQueue(self.clock, FixedLimit(1), length=4, max_wait=5.0)

    def acquire(self, caller: str = "a", wait: float = 60.0) -> Deferred[Slot]:
        return Deferred.fromCoroutine(self.queue.acquire(caller, wait))

    def empty(self) -> None:
        """Nothing is left behind."""
        self.assertEqual((self.queue.in_flight, self.queue.waiting, self.queue._callers), (0, 0, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_at_once(self) -> None:
        slot = self.successResultOf(self.acquire())
        self.assertEqual((self.queue.in_flight, slot.waited), (1, 0))
        slot.release()
        self.empty()

    def test_released_once(self) -> None:
        slot = self.successResultOf(self.acquire())
        slot.release(Outcome.OK)
        other = self.successResultOf(self.acquire())
        slot.release()
        self.assertEqual(self.queue.in_flight, 1)
        other.release()
        self.empty()

    def test_waits_its_turn(self) -> None:
        first = self.successResultOf(self.acquire())
        waiting = self.acquire()
        self.clock.advance(2)
        self.assertNoResult(waiting)
        first.release()
        slot = self.successResultOf(waiting)
        self.assertEqual(slot.waited, 2)
        slot.release()
        self.empty()

    def test_the_wait_is_bounded(self) -> None:
        """By the call's own time, and by ``max_wait``."""
        slot = self.successResultOf(self.acquire())
        short, long = self.acquire(wait=1.5), self.acquire()
        self.clock.advance(1.5)
        self.failureResultOf(short, TargetBusy)
        self.assertNoResult(long)
        self.clock.advance(3.5)
        self.failureResultOf(long, TargetBusy)
        self.failureResultOf(self.acquire(wait=0), TargetBusy)
        slot.release()
        self.empty()

    def test_callers_take_turns(self) -> None:
        """Not requests: who has three waiting delays another by one."""
        order: list[str] = []
        slot = self.successResultOf(self.acquire())
        for caller in "aaab":
            self.acquire(caller).addCallback(lambda slot, caller=caller: (order.append(caller), slot)[1])
        for _ in range(4):
            slot.release()
            slot = Slot(self.queue, 0, 0, 0)  # the one just given away
        slot.release()
        self.assertEqual(order, ["a", "b", "a", "a"])
        self.empty()

    def test_a_full_queue_has_room_for_others(self) -> None:
        """The caller that filled it loses its newest call to another caller, and is itself refused."""
        slot = self.successResultOf(self.acquire())
        greedy = [self.acquire("greedy") for _ in range(4)]
        self.failureResultOf(self.acquire("greedy"), TargetBusy)
        modest = self.acquire("modest")
        self.failureResultOf(greedy[3], TargetBusy)
        self.assertNoResult(modest)
        self.assertEqual(self.queue.waiting, 4)
        slot.release()
        for waiting in *greedy[:3], modest:
            waiting.addCallback(Slot.release)
        self.empty()

    def test_who_is_dropped_may_come_back_at_once(self) -> None:
        """From within its own failure, and the bound still holds."""
        slot = self.successResultOf(self.acquire())
        waiting = [self.acquire("greedy") for _ in range(4)]
        again: list[Deferred[Slot]] = []
        waiting[3].addErrback(lambda _: again.append(self.acquire("greedy")))
        waiting.append(self.acquire("modest"))
        self.assertEqual(self.queue.waiting, 4)
        self.failureResultOf(again[0], TargetBusy)
        slot.release()
        for each in waiting:
            each.addCallback(lambda slot: slot and slot.release())
        self.empty()

    def test_cancelled_while_waiting(self) -> None:
        slot = self.successResultOf(self.acquire())
        waiting = self.acquire()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        slot.release()
        self.empty()

    def test_thousands_that_end_at_once(self) -> None:
        """Each waiter gives its slot back in the moment it gets it: the stack does not grow with the queue."""
        self.queue.length = 5000
        slot = self.successResultOf(self.acquire())

        async def brief() -> None:
            (await self.queue.acquire("a", 9)).release()

        done = [Deferred.fromCoroutine(brief()) for _ in range(5000)]
        slot.release()
        for each in done:
            self.successResultOf(each)
        self.empty()

    def test_a_waiter_that_raises_harms_nobody(self) -> None:
        slot = self.successResultOf(self.acquire())
        bad = self.acquire()
        bad.addCallback(lambda slot: (slot.release(), 1 // 0))
        good = self.acquire()
        slot.release()
        self.failureResultOf(bad, ZeroDivisionError)
        self.successResultOf(good).release()
        self.empty()

    def test_nobody_overtakes(self) -> None:
        """With two free places and two waiting, the first one's next call does not take the second one's place."""
        self.queue.limit = limit = FixedLimit(1)
        slot = self.successResultOf(self.acquire())
        later: list[Deferred[Slot]] = []
        first = self.acquire().addCallback(lambda slot: (later.append(self.acquire()), slot)[1])
        second = self.acquire()
        limit.value = 2
        slot.release()
        slots = [self.successResultOf(first), self.successResultOf(second)]
        self.assertNoResult(later[0])
        for each in slots:
            each.release()
        self.successResultOf(later[0]).release()
        self.empty()

    def test_a_raised_limit_is_seen_by_the_next_call(self) -> None:
        self.queue.limit = limit = FixedLimit(1)
        slots = [self.successResultOf(self.acquire())]
        waiting = self.acquire()
        limit.value = 2
        newcomer = self.acquire()
        slots.append(self.successResultOf(waiting))
        self.assertNoResult(newcomer)
        slots[0].release()
        slots.append(self.successResultOf(newcomer))
        for each in slots:
            each.release()
        self.empty()

    def test_a_limit_that_grows_lets_several_in(self) -> None:
        self.queue.limit = limit = FixedLimit(1)
        slot = self.successResultOf(self.acquire())
        waiting = [self.acquire() for _ in range(4)]
        limit.value = 3
        slot.release()
        slots = [self.successResultOf(each) for each in waiting[:3]]
        self.assertNoResult(waiting[3])
        for each in slots:
            each.release()
        self.successResultOf(waiting[3]).release()
        self.empty()

    def test_who_comes_again_keeps_its_place(self) -> None:
        """A call that a vendor refused is next of its caller's, but takes no other caller's turn."""
        order: list[str] = []
        slot = self.successResultOf(self.acquire())
        for name, caller, again in (("a1", "a", False), ("b1", "b", False), ("a0", "a", True)):
            waiting = Deferred.fromCoroutine(self.queue.acquire(caller, 60.0, again))
            waiting.addCallback(lambda slot, name=name: (order.append(name), slot.release()))
        slot.release()
        self.assertEqual(order, ["a0", "b1", "a1"])
        self.empty()

    def test_how_fast_it_moves_after_an_outage(self) -> None:
        """Is not known from how seldom one tried during it."""
        pacer = Pacer(self.clock, Random(1))
        self.queue = FairQueue(self.clock, FixedLimit(8), 100, 60.0, pacer)
        pacer.pause(1.5, "Retry-After")
        waiting = [self.acquire() for _ in range(40)]
        for _ in range(4):
            self.clock.advance(1.5)
            slot = self.successResultOf(waiting.pop(0))
            pacer.pause(1.5, "Retry-After")
            slot.release()
        pacer.clear()
        for _ in range(8):
            self.clock.advance(0.1)
            pacer.delay()
        self.assertFalse(pacer.is_returning)
        self.assertEqual(self.queue.in_flight, 8)
        last = self.acquire(wait=5.0)
        self.assertNoResult(last)

    def test_a_wait_that_would_be_in_vain(self) -> None:
        """Once it is known how fast the queue moves, who would wait for longer than it can is refused at once, and told
        how much longer; another caller's turn comes sooner."""
        self.queue.length = 100
        slots = [self.successResultOf(self.acquire())]
        waiting = [self.acquire() for _ in range(22)]
        for _ in range(8):
            self.clock.advance(0.5)
            slots.pop().release()
            slots.append(self.successResultOf(waiting.pop(0)))
        error = self.failureResultOf(self.acquire(wait=4.0), TargetFull).value
        self.assertIn("has calls waiting for 6 s", error.message)
        assert error.retry_after is not None
        self.assertTrue(1.0 < error.retry_after < 3.0, error.retry_after)
        self.assertNoResult(other := self.acquire("other", wait=4.0))
        for each in (*waiting, other):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        slots.pop().release()
        self.empty()

    def test_it_is_paced(self) -> None:
        """Behind a pause calls come one, two, four, a tenth of a second apart, whatever places there are."""
        pacer = Pacer(self.clock, Random(1))
        self.queue = FairQueue(self.clock, FixedLimit(100), 100, 5.0, pacer)
        pacer.pause(2.0, "because")
        began: list[float] = []
        for _ in range(10):
            self.acquire().addCallback(lambda slot: (began.append(round(self.clock.seconds(), 1)), slot.release()))
        self.clock.pump([0.02] * 150)
        self.assertEqual(began, [2.0, 2.1, 2.1, *[2.2] * 4, *[2.3] * 3])
        self.empty()


@attrs.define(eq=False)
class Asked:
    """One call of the machine below."""

    caller: str
    until: float
    result: Deferred[Slot]
    slot: Slot | None = None
    over: bool = False


class Machine(RuleBasedStateMachine):
    """Callers come, wait, give up, are cancelled and end in any order, over a learned limit."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limit = LearnedLimit(self.clock, 8)
        self.queue = FairQueue(self.clock, self.limit, length=6, max_wait=4.0)
        self.calls: list[Asked] = []
        self.granted: list[Asked] = []

    def running(self) -> list[Asked]:
        return [call for call in self.calls if call.slot is not None]

    def waiting(self) -> list[Asked]:
        return [call for call in self.calls if call.slot is None and not call.over]

    @rule(caller=st.sampled_from("abc"), wait=st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    def acquire(self, caller: str, wait: float) -> None:
        call = Asked(
            caller, self.clock.seconds() + min(wait, 4.0), Deferred.fromCoroutine(self.queue.acquire(caller, wait))
        )
        self.calls.append(call)

        def got(slot: Slot) -> None:
            assert self.queue.in_flight <= self.limit.value, "one too many"
            call.slot = slot
            self.granted.append(call)

        def refused(failure: object) -> None:
            call.over = True

        call.result.addCallbacks(got, refused)
        if self.queue.in_flight < self.limit.value:
            assert call.slot is not None, "refused or kept waiting for nothing"

    @precondition(lambda self: self.running())
    @rule(data=st.data(), outcome=st.sampled_from(Outcome), latency=st.sampled_from([None, 0.1, 5.0]))
    def release(self, data: st.DataObject, outcome: Outcome, latency: float | None) -> None:
        call = data.draw(st.sampled_from(self.running()))
        waiting = self.waiting()
        turns = list(self.queue._callers)
        self.granted = []
        slot, call.slot, call.over = call.slot, None, True
        assert slot is not None
        if latency is not None:
            slot.answered(latency, outcome is Outcome.OK)
        if outcome is Outcome.OVERLOADED:
            slot.refused()
        slot.release(outcome)
        slot.release(Outcome.OVERLOADED)
        for got, turn in zip(self.granted, turns, strict=False):  # at most one each before anybody's second
            assert got.caller == turn
            assert got is next(other for other in waiting if other.caller == turn), "its oldest first"

    @precondition(lambda self: self.waiting())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting())).result.cancel()

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel_anything(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.calls)).result.cancel()

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 4.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def counts(self) -> None:
        waiting = self.waiting()
        assert self.queue.in_flight == len(self.running())
        assert self.queue.waiting == len(waiting) <= 6
        lines = {caller: len(line) for caller, line in self.queue._callers.items()}
        assert lines == Counter(call.caller for call in waiting)
        assert len(self.clock.getDelayedCalls()) == len(waiting)
        assert all(call.until > self.clock.seconds() - 1e-9 for call in waiting), "waited too long"
        if waiting:
            assert self.queue.in_flight >= self.limit.value, "a free slot while somebody waits"

    def teardown(self) -> None:
        while self.calls:
            call = self.calls.pop()
            call.result.cancel()
            if call.slot is not None:
                call.slot.release()
        assert (self.queue.in_flight, self.queue.waiting, self.queue._callers) == (0, 0, {})
        assert not self.clock.getDelayedCalls()


class Conformance(SynchronousTestCase):
    def test_any_order_of_events(self) -> None:
        """Never over the limit, no slot leaks, nobody waits beside a free slot."""
        run_state_machine_as_test(
            Machine, settings=settings(max_examples=examples(120), stateful_step_count=60, deadline=None)
        )
