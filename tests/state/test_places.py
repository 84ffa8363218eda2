from twisted.trial.unittest import SynchronousTestCase

from llmedge.state.places import ENOUGH, SPAN, WAITED_FOR, Places


class Pairs(SynchronousTestCase):
    def setUp(self) -> None:
        self.places = Places()
        self.number = 0

    def pairs(self, count: int, more: int, fewer: int, now: float = 1.0) -> None:
        for _ in range(count):
            self.number += 2
            self.places.refused(self.number, more, self.number, now)
            self.places.accepted(self.number + 1, fewer)

    def test_too_little_is_known(self) -> None:
        self.pairs(ENOUGH - 1, 9, 8)
        self.assertEqual((self.places.found(), self.places.is_mixed), (0, False))

    def test_one_too_many(self) -> None:
        self.pairs(ENOUGH, 9, 8)
        self.pairs(ENOUGH, 12, 3)
        self.assertEqual((self.places.found(), self.places.is_mixed), (8, False))

    def test_whatever_is_under_way(self) -> None:
        self.pairs(ENOUGH, 9, 9)
        self.assertEqual((self.places.found(), self.places.is_mixed), (0, True))

    def test_a_load_that_rises(self) -> None:
        """Each one that is refused had one more under way than the next, but later ones are answered with many more."""
        for load in range(10, 30):
            self.pairs(1, load, load - 1)
        self.assertEqual(self.places.found(), 0)

    def test_what_is_being_refused_is_not_under_way(self) -> None:
        """Twenty come at once where there is room for eight: the ninth was one too many, and so were the others."""
        last = 20
        self.assertEqual([self.places.refused(number, number, last, 1.0) for number in range(9, 21)], [9] * 12)
        self.places.accepted(21, 8)

    def test_who_is_alone(self) -> None:
        """Nobody has fewer places than one: that is an outage."""
        self.pairs(ENOUGH, 9, 8)
        for number in range(100, 200):
            self.places.refused(number, 1, number, 2.0)
        self.assertEqual(self.places.found(), 8)

    def test_it_is_counted_anew(self) -> None:
        self.pairs(ENOUGH, 9, 8)
        self.pairs(1, 9, 8, now=1.0 + 2 * SPAN)
        self.assertEqual(self.places.found(), 0)

    def test_memory_is_bounded(self) -> None:
        for number in range(0, 10_000, 5):
            self.places.refused(number, 50, number + 400, 1.0)
        self.assertLessEqual(len(self.places.asked), WAITED_FOR)
        self.assertLessEqual(len(self.places._beside), WAITED_FOR)
