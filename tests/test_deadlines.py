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
