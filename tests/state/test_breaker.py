from math import log
from random import Random

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.breaker import BreakerSettings, CircuitBreaker, State, Ticket
from tests.effort import examples

SETTINGS = BreakerSettings()


class Breaking(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.seen: list[tuple[State, State]] = []
        self.breaker = self.make()

    def make(self, **changes: float) -> CircuitBreaker:
        return CircuitBreaker(
            self.clock,
            Random(1),
            attrs.evolve(SETTINGS, **changes),
            lambda before, after: self.seen.append((before, after)),
        )

    def begin(self) -> Ticket:
        ticket = self.breaker.begin()
        assert ticket is not None
        return ticket

    def open(self) -> None:
        """Fail until it opens, whatever it is."""
        for _ in range(5):
            if self.breaker.state is not State.OPEN:
                self.begin().fail()
        self.assertIs(self.breaker.state, State.OPEN)

    def until_available(self) -> float:
        wait = self.breaker.available_at() - self.clock.seconds()
        self.clock.advance(wait)
        return wait

    def test_consecutive_failures_open(self) -> None:
        for _ in range(4):
            self.begin().fail()
        self.assertTrue(self.breaker.allow())
        self.begin().fail()
        self.assertFalse(self.breaker.allow())
        self.assertIsNone(self.breaker.begin())
        self.assertEqual(self.breaker.blocked_by(), "open")
        self.assertEqual(self.seen, [(State.CLOSED, State.OPEN)])

    def test_failure_rate_opens(self) -> None:
        """Half of the calls fail, never many in a row: it opens with the tenth call and not before."""
        for call in range(9):
            self.begin().fail() if call % 2 else self.begin().succeed()
        self.assertIs(self.breaker.state, State.CLOSED)
        self.begin().fail()
        self.assertIs(self.breaker.state, State.OPEN)

    def test_failures_grow_old(self) -> None:
        for _ in range(4):
            self.begin().fail()
        self.begin().succeed()
        self.clock.advance(10)
        for _ in range(5):
            self.begin().succeed()
        for _ in range(4):
            self.begin().fail()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_a_run_that_is_chance(self) -> None:
        """Five in a row are an outage where nothing fails else, and nothing unusual where a third of the calls do."""
        for one_in, most in ((0, 5), (10, 7), (3, 14), (2, 21)):
            self.breaker = self.make(minimum_calls=10**6)
            for call in range(1, 301):
                self.begin().fail() if one_in and call % one_in == 0 else self.begin().succeed()
            run = 0
            while self.breaker.state is State.CLOSED:
                self.begin().fail()
                run += 1
            self.assertTrue(max(5, most - 2) <= run <= most, (one_in, run))
            self.assertEqual(self.breaker.blocked_by(last=True), "open")

    def test_failures_are_told_first(self) -> None:
        """Of calls that began together those that fail end sooner: they are no run before the others have ended."""
        together = [self.begin() for _ in range(40)]
        for ticket in together[::3]:
            ticket.fail(0.01)
        self.assertEqual(self.breaker.blocked_by(last=True), "")
        for ticket in together:
            ticket.succeed()
        self.until_available()
        self.begin().succeed()
        self.assertIs(self.breaker.state, State.CLOSED)
        for ticket in [self.begin() for _ in range(40)]:  # and in the order they began, they are one
            ticket.fail(0.01)
        self.assertEqual(self.breaker.blocked_by(last=True), "open")

    def test_who_has_nobody_else_asks_on(self) -> None:
        """Half of the calls fail: out for who has others; the last one is asked, and what it says counts."""
        for call in range(10):
            self.begin().fail() if call % 2 else self.begin().succeed()
        self.assertEqual((self.breaker.blocked_by(), self.breaker.blocked_by(last=True)), ("open", ""))
        self.assertEqual(self.breaker.available_at(last=True), 0.0)
        self.assertEqual(self.breaker.why, "5 of 10 failed")
        self.assertIsNone(self.breaker.begin())
        for _ in range(40):
            ticket = self.breaker.begin(last=True)
            if ticket is None:
                break
            ticket.fail()
        self.assertEqual(self.breaker.blocked_by(last=True), "open")  # nothing succeeds any more
        self.assertIn("in a row", self.breaker.why)
        self.until_available()
        self.begin().succeed()
        self.assertEqual((self.breaker.state, self.breaker.is_down), (State.CLOSED, False))

    def test_an_opening_leaves_enough_to_judge_by(self) -> None:
        """The calls after a closing are counted anew: not one of the old ones, nor five of the next ten in a row."""
        for call in range(10):
            self.begin().fail() if call % 2 else self.begin().succeed()
        self.until_available()
        self.begin().succeed()
        for _ in range(5):
            self.begin().fail()
            self.assertIs(self.breaker.state, State.CLOSED)

    def test_a_long_probe_is_a_good_one(self) -> None:
        """Whole answers take long: a probe that lives four times as long as failures took, and a second, is one."""
        for took, alive in ((0.01, 1.0), (0.4, 1.6)):
            self.breaker = self.make()
            for _ in range(5):
                self.begin().fail(took)
            self.until_available()
            self.begin()
            self.clock.advance(alive - 0.1)
            self.assertEqual(self.breaker.blocked_by(), "probe")
            self.assertAlmostEqual(self.breaker.available_at() - self.clock.seconds(), 0.1)
            self.clock.advance(0.1)
            self.begin()
            self.assertIs(self.breaker.state, State.CLOSED)

    def test_one_probe_at_a_time(self) -> None:
        self.open()
        self.until_available()
        probe = self.begin()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        self.assertEqual((self.breaker.begin(), self.breaker.blocked_by()), (None, "probe"))
        probe.succeed()
        self.assertIs(self.breaker.state, State.CLOSED)
        self.assertEqual(self.seen[1:], [(State.OPEN, State.HALF_OPEN), (State.HALF_OPEN, State.CLOSED)])

    def test_a_lost_probe_frees_its_place(self) -> None:
        """Cancelled, nobody knows: the next call is the probe."""
        self.open()
        self.until_available()
        self.begin().abandon()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        self.begin().succeed()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_a_silent_probe_does_not_hold_up_recovery(self) -> None:
        """After ``probe_timeout`` the next one goes; what becomes of the first no longer does harm."""
        for _ in range(5):
            self.begin().fail(1.0)
        self.until_available()
        silent = self.begin()
        self.clock.advance(SETTINGS.probe_timeout)
        second = self.begin()
        silent.fail()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        second.succeed()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_it_is_seen_to_be_there(self) -> None:
        """By a look that is no call: then calls may begin, but for where a call has just failed, or is trying."""
        self.breaker.seen()
        self.assertEqual(self.seen, [])
        self.open()
        self.breaker.seen()
        self.assertIs(self.breaker.state, State.OPEN)
        self.until_available()
        probe = self.begin()
        self.breaker.seen()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        probe.abandon()
        self.breaker.seen()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_open_time_doubles_to_a_cap_and_starts_over(self) -> None:
        self.breaker = self.make(max_open_time=8.0)
        waits = []
        self.open()
        for _ in range(6):
            waits.append(self.until_available())
            self.begin().fail()
        for wait, most in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
            self.assertLessEqual(wait, most)
            self.assertGreaterEqual(wait, most * 0.8)
        self.until_available()
        self.begin().succeed()
        self.clock.advance(29)
        self.open()
        self.assertGreater(self.until_available(), 6)  # it flaps: the time stays long
        self.begin().succeed()
        self.clock.advance(30)
        self.open()
        self.assertLessEqual(self.until_available(), 1)

    def test_jitter_spreads_processes(self) -> None:
        ends = set()
        for seed in range(50):
            self.breaker = CircuitBreaker(self.clock, Random(seed))
            self.open()
            ends.add(round(self.breaker.available_at(), 3))
        self.assertGreater(len(ends), 40)

    def test_old_news(self) -> None:
        """What began before a change of state says nothing about after it."""
        before = [self.begin() for _ in range(20)]
        self.open()
        until = self.breaker.available_at()
        before[0].fail()
        before[1].succeed()
        self.assertEqual((self.breaker.state, self.breaker.available_at()), (State.OPEN, until))
        self.until_available()
        probe = self.begin()
        before[2].fail()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        probe.succeed()
        for ticket in before:
            ticket.fail()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_only_the_first_word_counts(self) -> None:
        for _ in range(3):
            ticket = self.begin()
            ticket.abandon()
            for _ in range(10):
                ticket.fail()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_cut_streams_open_it(self) -> None:
        """Each call gave its first token and was then cut: as many in a row as of any failure."""
        for _ in range(4):
            self.begin().succeed()
            self.breaker.note_failure()
        self.breaker.note_whole()
        for _ in range(5):
            self.assertIs(self.breaker.state, State.CLOSED)
            self.begin().succeed()
            self.breaker.note_failure()
        self.assertIs(self.breaker.state, State.OPEN)

    def test_a_cut_stream_is_one_call(self) -> None:
        """Not a success and a failure: two thirds of the streams are cut, and that is over the rate."""
        for number in range(12):
            if self.breaker.state is State.CLOSED:
                self.begin().succeed()
                if number % 3:
                    self.breaker.note_failure()
                else:
                    self.breaker.note_whole()
        self.assertIs(self.breaker.state, State.OPEN)

    def test_a_clock_set_back_opens_the_way(self) -> None:
        """A jump of the wall clock must not keep a deployment out for its length."""
        self.open()
        self.clock.rightNow -= 600
        self.begin().succeed()
        self.assertIs(self.breaker.state, State.CLOSED)

    @settings(max_examples=examples(60), deadline=None)
    @given(st.integers(0, 2**32), st.floats(1, 300), st.floats(0.05, 1.0))
    def test_back_within_a_second(self, seed: int, outage: float, every: float) -> None:
        """However long the outage, with any traffic, it is closed a second after the vendor is back."""
        clock = Clock()
        breaker = CircuitBreaker(clock, Random(seed))
        probes = 0
        while clock.seconds() < outage:
            if ticket := breaker.begin():
                probes += 1
                ticket.fail()
            clock.advance(every)
        self.assertLess(probes, 5 + outage / 0.8 + 1)  # and nobody was hammered
        while breaker.state is not State.CLOSED:
            if ticket := breaker.begin():
                ticket.succeed()
            clock.advance(every)
        self.assertLessEqual(clock.seconds() - outage, 1.001 + 2 * every)


@attrs.define(eq=False)
class Mark:
    """The model's ticket."""

    real: Ticket
    era: int
    number: int
    settled: bool = False


class Model(RuleBasedStateMachine):
    """The breaker against one that keeps every event in a list and looks at all of them each time."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.settings = BreakerSettings(
            jitter=0.0, consecutive_failures=4, minimum_calls=6, reset_after=12.0, max_open_time=8.0, alive_after=99.0
        )
        self.clock = Clock()
        self.changes: list[tuple[State, State]] = []
        self.real = CircuitBreaker(
            self.clock, Random(0), self.settings, lambda before, after: self.changes.append((before, after))
        )
        self.state = State.CLOSED
        self.era = self.count = 0
        self.down = False
        self.events: list[tuple[float, bool | None]] = []  # None: a success is taken back
        self.breaks = self.row = 0
        self.begun: list[Mark] = []
        self.before = 0
        self.until = self.probe_since = 0.0
        self.probe: Mark | None = None
        self.openings = 0
        self.closed_at = 0.0

    @property
    def now(self) -> float:
        return self.clock.seconds()

    def blocked(self, last: bool = False) -> str:
        if last and not self.down:
            return ""
        if self.state is State.OPEN and self.now < self.until:
            return "open"
        if self.probe is not None and self.now < self.probe_since + self.settings.probe_timeout:
            return "probe"
        return ""

    def change(self, state: State) -> None:
        self.state = state
        self.count += 1
        self.probe = None

    def open(self) -> None:
        self.until = self.now + min(8.0, 2.0**self.openings)
        self.openings += 1
        self.change(State.OPEN)

    def close(self) -> None:
        self.closed_at = self.now
        self.events = [(self.now, True)]
        self.breaks = self.row = 0
        self.era += self.down
        self.down = False
        self.change(State.CLOSED)

    def recent(self) -> tuple[int, int]:
        recent = [ok for at, ok in self.events if int(at) > int(self.now) - 10]
        return recent.count(False), recent.count(True) - recent.count(None)

    def older(self, mark: int) -> int:
        under_way = [each for each in self.begun if not each.settled]
        return len(under_way) - (len(self.begun) - mark)

    def failed(self, mark: int) -> None:
        self.events.append((self.now, False))
        if not self.row:
            self.before = self.older(mark)
        self.row += 1
        run = max(self.row, self.breaks)
        failures, successes = self.recent()
        successes = max(0, successes)
        calls = failures + successes
        others = max(0, failures - run)
        share = max(0.05, (others + 1) / (others + successes + 2))
        no_chance = not successes or run * log(share) <= log(1e-6)
        down = run >= max(4, 4 * (self.older(mark) - self.before)) and no_chance
        too_many = calls >= self.settings.minimum_calls and failures * 2 >= calls
        if not down and not (too_many and self.state is State.CLOSED):
            return
        if self.state is State.CLOSED and self.now - self.closed_at >= self.settings.reset_after:
            self.openings = 0
        self.era += down
        self.down = down
        self.open()

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 7.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)  # all of it exact in binary: model and breaker see the same edges

    @rule(target=tickets, last=st.booleans())
    def begin(self, last: bool) -> Mark | None:
        real = self.real.begin(last)
        assert (real is None) == bool(self.blocked(last))
        if real is None:
            return None
        probing = self.state is not State.CLOSED and not self.blocked()
        if probing and self.state is State.OPEN:
            self.change(State.HALF_OPEN)
        mark = Mark(real, self.era, len(self.begun) + 1)
        self.begun.append(mark)
        if probing:
            self.probe, self.probe_since = mark, self.now
        return mark

    @rule(mark=tickets, ok=st.sampled_from([True, False, False, None]))
    def settle(self, mark: Mark | None, ok: bool | None) -> None:
        if mark is None:
            return
        {True: mark.real.succeed, False: mark.real.fail, None: mark.real.abandon}[ok]()
        first, mark.settled = not mark.settled, True
        if not first or mark.era != self.era:
            return
        probe = mark is self.probe
        if probe and ok is None:
            self.probe = None
        if self.down:
            if ok:
                self.close()
            elif probe and ok is False:
                self.open()
        elif ok:
            self.events.append((self.now, True))
            self.row = 0
            if probe:
                self.close()
        elif ok is False:
            self.failed(mark.number)
            if probe and self.probe is mark:
                self.open()

    @rule()
    def late_failure(self) -> None:
        self.real.note_failure()
        if self.state is State.CLOSED:
            if self.recent()[1] >= 1:
                self.events.append((self.now, None))
            self.breaks += 1
            self.failed(sum(each.settled for each in self.begun))

    @rule()
    def whole(self) -> None:
        self.real.note_whole()
        self.breaks = 0

    @rule(count=st.integers(2, 6), ok=st.booleans())
    def burst(self, count: int, ok: bool) -> None:
        for _ in range(count):
            self.settle(self.begin(last=False), ok)

    @invariant()
    def agrees(self) -> None:
        assert self.real.state is self.state, (self.real.state, self.state)
        assert self.real.blocked_by() == self.blocked()
        assert (self.real.available_at() > self.now) == bool(self.blocked())
        for (_, after), (before, _) in zip(self.changes, self.changes[1:], strict=False):
            assert after is before
        assert self.real.blocked_by(last=True) == self.blocked(last=True)
        assert len(self.changes) == self.count


class Conformance(SynchronousTestCase):
    def test_against_a_model(self) -> None:
        run_state_machine_as_test(
            Model, settings=settings(max_examples=examples(120), stateful_step_count=60, deadline=None)
        )
