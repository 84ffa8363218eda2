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
        self.open()
        self.until_available()
        silent = self.begin()
        self.clock.advance(SETTINGS.probe_timeout)
        second = self.begin()
        silent.fail()
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        second.succeed()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_open_time_doubles_to_a_cap_and_starts_over(self) -> None:
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

    def test_cool_down(self) -> None:
        """``Retry-After`` holds whatever the state; a newer, shorter one takes nothing away."""
        self.breaker.cool_down(1060)
        self.breaker.cool_down(1005)
        self.assertEqual((self.breaker.blocked_by(), self.breaker.available_at()), ("cooldown", 1060))
        self.clock.advance(59.9)
        self.assertIsNone(self.breaker.begin())
        self.clock.advance(0.1)
        self.begin().succeed()
        self.assertEqual(self.seen, [])

    def test_cool_down_while_open(self) -> None:
        self.open()
        self.breaker.cool_down(1030)
        self.assertEqual(self.breaker.available_at(), 1030)
        self.until_available()
        self.begin().succeed()
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_a_mad_retry_after_is_bounded(self) -> None:
        self.breaker.cool_down(1e12)
        self.assertEqual(self.until_available(), 3600)
        self.assertTrue(self.breaker.allow())

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
    def test_back_within_ten_seconds(self, seed: int, outage: float, every: float) -> None:
        """However long the outage, with any traffic, it is closed 10 s after the vendor is back."""
        clock = Clock()
        breaker = CircuitBreaker(clock, Random(seed))
        probes = 0
        while clock.seconds() < outage:
            if ticket := breaker.begin():
                probes += 1
                ticket.fail()
            clock.advance(every)
        self.assertLess(probes, 5 + 4 + outage / 6.4 + 1)  # and nobody was hammered
        while breaker.state is not State.CLOSED:
            if ticket := breaker.begin():
                ticket.succeed()
            clock.advance(every)
        self.assertLess(clock.seconds() - outage, 10 + every)


@attrs.define(eq=False)
class Mark:
    """The model's ticket."""

    real: Ticket
    era: int
    settled: bool = False


class Model(RuleBasedStateMachine):
    """The breaker against one that keeps every event in a list and looks at all of them each time."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.settings = BreakerSettings(jitter=0.0, consecutive_failures=4, minimum_calls=6, reset_after=12.0)
        self.clock = Clock()
        self.changes: list[tuple[State, State]] = []
        self.real = CircuitBreaker(
            self.clock, Random(0), self.settings, lambda before, after: self.changes.append((before, after))
        )
        self.state = State.CLOSED
        self.era = 0
        self.events: list[tuple[float, bool | None]] = []  # None: a success is taken back
        self.breaks = 0
        self.until = self.cool = self.probe_since = 0.0
        self.probe: Mark | None = None
        self.openings = 0
        self.closed_at = 0.0

    @property
    def now(self) -> float:
        return self.clock.seconds()

    def blocked(self) -> str:
        if self.now < self.cool:
            return "cooldown"
        if self.state is State.OPEN and self.now < self.until:
            return "open"
        if self.probe is not None and self.now < self.probe_since + self.settings.probe_timeout:
            return "probe"
        return ""

    def change(self, state: State) -> None:
        self.state = state
        self.era += 1
        self.events = []
        self.breaks = 0
        self.probe = None

    def open(self) -> None:
        self.until = self.now + min(8.0, 2.0**self.openings)
        self.openings += 1
        self.change(State.OPEN)

    def recent(self) -> tuple[int, int]:
        recent = [ok for at, ok in self.events if int(at) > int(self.now) - 10]
        return recent.count(False), recent.count(True) - recent.count(None)

    def failed(self) -> None:
        self.events.append((self.now, False))
        row = [ok for _, ok in self.events if ok is not None][-self.settings.consecutive_failures :]
        failures, successes = self.recent()
        calls = failures + max(0, successes)
        in_a_row = len(row) == self.settings.consecutive_failures and not any(row)
        in_a_row = in_a_row or self.breaks >= self.settings.consecutive_failures
        too_many = calls >= self.settings.minimum_calls and failures * 2 >= calls
        if in_a_row or too_many:
            if self.now - self.closed_at >= self.settings.reset_after:
                self.openings = 0
            self.open()

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 7.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)  # all of it exact in binary: model and breaker see the same edges

    @rule(target=tickets)
    def begin(self) -> Mark | None:
        real = self.real.begin()
        assert (real is None) == bool(self.blocked())
        if real is None:
            return None
        if self.state is State.OPEN:
            self.change(State.HALF_OPEN)
        mark = Mark(real, self.era)
        if self.state is State.HALF_OPEN:
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
        if self.state is State.CLOSED:
            if ok:
                self.events.append((self.now, True))
            elif ok is False:
                self.failed()
        elif ok:
            self.closed_at = self.now
            self.change(State.CLOSED)
        elif mark is self.probe:
            if ok is None:
                self.probe = None
            else:
                self.open()

    @rule()
    def late_failure(self) -> None:
        self.real.note_failure()
        if self.state is State.CLOSED:
            if self.recent()[1] >= 1:
                self.events.append((self.now, None))
            self.breaks += 1
            self.failed()

    @rule()
    def whole(self) -> None:
        self.real.note_whole()
        self.breaks = 0

    @rule(count=st.integers(2, 6), ok=st.booleans())
    def burst(self, count: int, ok: bool) -> None:
        for _ in range(count):
            self.settle(self.begin(), ok)

    @rule(seconds=st.sampled_from([-1.0, 0.5, 3.0, 20.0]))
    def cool_down(self, seconds: float) -> None:
        before = self.real.available_at()
        self.real.cool_down(self.now + seconds)
        self.cool = max(self.cool, self.now + seconds)
        assert self.real.available_at() >= before

    @invariant()
    def agrees(self) -> None:
        assert self.real.state is self.state, (self.real.state, self.state)
        assert self.real.blocked_by() == self.blocked()
        assert (self.real.available_at() > self.now) == bool(self.blocked())
        for (_, after), (before, _) in zip(self.changes, self.changes[1:], strict=False):
            assert after is before
        assert len(self.changes) == self.era


class Conformance(SynchronousTestCase):
    def test_against_a_model(self) -> None:
        run_state_machine_as_test(
            Model, settings=settings(max_examples=examples(120), stateful_step_count=60, deadline=None)
        )
