"""Who waited for a deployment that comes back is let in by and by."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.ramp import Ramp


class Ramps(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.ramp = Ramp()
        self.ramp.begin(self.now)

    def let_in(self, most: int = 100) -> int:
        """How many may begin now."""
        for number in range(most):
            if not self.ramp.is_on or self.ramp.delay(self.now):
                return number
            self.ramp.let_in()
        return most

    def after(self, seconds: float) -> int:
        self.now += seconds
        return self.let_in()

    def refuse(self, calls: int = 1, others: bool = True) -> list[bool]:
        return [self.ramp.refused(self.now, self.now, others) for _ in range(calls)]

    def test_rounds(self) -> None:
        """One, two, four, each a tenth of a second after the other, or longer than failures take."""
        self.assertEqual([self.let_in(), self.after(0.05), self.after(0.05), self.after(0.1)], [1, 0, 2, 4])
        for took, seconds in ((0.01, 0.1), (0.4, 0.6), (30.0, 1.0)):
            self.ramp.longer_than(took)
            self.ramp.begin(self.now)
            self.let_in()
            self.assertAlmostEqual(self.ramp.delay(self.now), seconds)

    def test_answers(self) -> None:
        """One that begins is good for two."""
        self.let_in()
        self.assertTrue(self.ramp.answered())
        self.assertEqual(self.let_in(), 2)

    def test_it_ends(self) -> None:
        """Where nobody was held up for a whole round."""
        self.let_in()
        self.now += 0.1
        self.assertEqual((self.let_in(1), self.ramp.is_on), (1, True))
        self.now += 0.2
        self.let_in(1)
        self.assertFalse(self.ramp.is_on)
        self.assertEqual((self.ramp.answered(), self.refuse()), (False, [False]))

    def test_as_many_as_it_takes(self) -> None:
        """Where more than half of a round is refused, one is let in for each that ends; and one more at times."""
        self.let_in()
        self.after(0.1)
        self.assertEqual(self.after(0.1), 4)
        self.assertEqual(self.refuse(2), [True, True])
        self.assertEqual(self.after(0.1), 8, "half of them: it may be by chance")
        self.refuse(5)
        self.assertEqual((self.let_in(), self.ramp.answered(), self.let_in()), (0, False, 0))
        self.ramp.ended()
        self.assertEqual((self.let_in(), self.after(0.1)), (1, 0))
        for seconds in (0.1, 0.4, 0.8, 1.6, 2.0, 2.0):
            self.assertEqual((self.after(seconds - 0.01), self.after(0.011)), (0, 1), seconds)
            self.refuse()

    def test_it_takes_more(self) -> None:
        """One more is not refused: rounds grow again."""
        self.let_in()
        self.refuse()
        self.assertEqual((self.after(0.2), self.after(0.2), self.after(0.1)), (1, 2, 4))
        self.ramp.ended()
        self.assertEqual(self.let_in(), 0)

    def test_another_reason(self) -> None:
        """A refusal alone, or by chance, is none for want of places: nobody is held up longer for it."""
        self.let_in()
        self.assertEqual(self.refuse(1, others=False), [False])
        self.assertEqual(self.after(0.1), 2)
        self.refuse(2)
        self.assertEqual(self.refuse(1, others=False), [False])
        self.assertEqual((self.after(0.1), self.after(0.1)), (2, 4))

    def test_old_news(self) -> None:
        """Who had begun before tells nothing."""
        self.let_in()
        self.assertFalse(self.ramp.refused(self.now, self.now - 1.0, True))
        self.assertEqual(self.after(0.1), 2)

    def test_a_clock_set_back(self) -> None:
        """Holds nobody up."""
        self.let_in()
        self.now -= 600.0
        self.assertEqual(self.let_in(1), 1)
