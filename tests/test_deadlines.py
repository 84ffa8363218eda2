from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.deadlines import Deadlines


class Many(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[str] = []
        self.deadlines = Deadlines(self.clock, self.expired.append)

    def test_each_in_its_time(self) -> None:
        """Whatever the order in which they were set, moved and dropped."""
        for name, due in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("moved", 1.5), ("dropped", 1.2)):
            self.deadlines.set(name, due)
        self.deadlines.set("moved", 5.0)
        self.deadlines.drop("dropped")
        seen = []
        for _ in range(6):
            self.clock.advance(1)
            seen.append(list(self.expired))
        steps = [["a"], ["a", "b"], ["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c", "moved"]]
        self.assertEqual(seen[:5], steps)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer(self) -> None:
        """A thousand that end in time have cost one timer."""
        for number in range(1000):
            self.deadlines.set(str(number), 30.0 + number)
            self.deadlines.drop(str(number))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(30)
        self.assertEqual((self.expired, self.clock.getDelayedCalls()), ([], []))

    def test_what_comes_again(self) -> None:
        """That one is due again, later, makes no other wait for it."""
        beats: list[tuple[str, float]] = []

        def beat(name: str) -> None:
            beats.append((name, self.clock.seconds()))
            again.set(name, self.clock.seconds() + 10)

        again = Deadlines(self.clock, beat)
        again.set("a", 10.0)
        again.set("b", 11.0)
        self.clock.pump([0.5] * 44)
        self.assertEqual(beats, [("a", 10.0), ("b", 11.0), ("a", 20.0), ("b", 21.0)])

    def test_min_interval(self) -> None:
        """Looks are so far apart at least; nothing is late for more than that."""
        beats: list[float] = []
        many = Deadlines(self.clock, lambda name: beats.append(self.clock.seconds()), min_interval=0.5)
        for number in range(100):
            many.set(str(number), 1 + number / 100)
        self.clock.pump([0.01] * 300)
        self.assertEqual((len(beats), len(set(beats))), (100, 3))

    def test_others_go_on(self) -> None:
        """What one does at its end, or fails with, changes nothing for the others, but where it is meant to."""
        seen: list[str] = []

        def expire(name: str) -> None:
            seen.append(name)
            if name == "a":
                rough.drop("b")
                rough.move("c", 2.0)
                raise ValueError

        rough = Deadlines(self.clock, expire)
        for name in "abcd":
            rough.set(name, 1.0)
        self.clock.advance(1.5)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(seen, ["a", "d"])
        self.clock.advance(0.5)
        self.assertEqual(seen, ["a", "d", "c"])

    def test_closed_by_what_is_due(self) -> None:
        closing = Deadlines(self.clock, lambda _: closing.close())
        closing.set("a", 1.0)
        closing.set("b", 2.0)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_one_that_is_due_says_of_the_others(self) -> None:
        """They were due at the same time: one that is dropped or moved meanwhile is not due any more."""

        def expire(what: str) -> None:
            self.expired.append(what)
            deadlines.drop("dropped")
            deadlines.move("moved", 9.0)

        deadlines = Deadlines(self.clock, expire)
        for name in ("first", "dropped", "moved"):
            deadlines.set(name, 1.0)
        self.clock.advance(1)
        self.assertEqual(self.expired, ["first"])
        self.clock.advance(8)
        self.assertEqual(self.expired, ["first", "moved"])

    def test_a_failure_is_its_own(self) -> None:
        """It keeps nobody else from being due, now or later."""

        def expire(what: str) -> None:
            self.expired.append(what)
            if what == "bad":
                raise ValueError(what)

        deadlines = Deadlines(self.clock, expire)
        for name, due in (("bad", 1.0), ("good", 1.0), ("later", 2.0)):
            deadlines.set(name, due)
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.expired, ["bad", "good", "later"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
