"""When it is shown that few enough answers are wrong, and when it is not any more."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.audit import UNHEARD, WINDOW, Audit, is_proven, upper_bound


class Bound(SynchronousTestCase):
    def test_how_many_it_takes(self) -> None:
        """For one in a hundred: 299 with none, 473 with one wrong (the tables of Clopper and Pearson)."""
        for audited, wrong, proven in ((298, 0, False), (299, 0, True), (472, 1, False), (473, 1, True), (0, 0, False)):
            self.assertEqual(is_proven(audited, wrong, 0.01), proven, (audited, wrong))
        self.assertFalse(is_proven(3, 3, 0.01))

    def test_the_bound(self) -> None:
        for audited, wrong, bound in ((300, 0, 0.00994), (475, 1, 0.00995), (38, 0, 0.0758), (100, 5, 0.1023)):
            self.assertAlmostEqual(upper_bound(audited, wrong), bound, 4)
        self.assertEqual((upper_bound(0, 0), upper_bound(4, 4)), (1.0, 1.0))

    def test_it_is_one(self) -> None:
        """Of caches of which one answer in fifty is wrong, one in twenty at most is taken for a good one after 299."""
        random, taken = Random(5).random, 0
        for _ in range(400):
            taken += not any(random() < 0.0101 for _ in range(299))
        self.assertLess(taken / 400, 0.09)


class Audits(SynchronousTestCase):
    def audit(self, right: int, most: float = 0.01) -> Audit:
        audit = Audit(most)
        for _ in range(right):
            audit.note(True)
        return audit

    def test_serves_once_it_is_proven(self) -> None:
        audit = self.audit(298)
        self.assertFalse(audit.serving)
        audit.note(True)
        self.assertTrue(audit.serving)
        self.assertEqual((audit.right, audit.wrong, audit.pauses), (299, 0, 0))

    def test_pauses_and_comes_back(self) -> None:
        """One wrong after three hundred: it has to be shown anew, with one among 473."""
        audit = self.audit(300)
        audit.note(False)
        self.assertEqual((audit.serving, audit.pauses), (False, 1))
        for _ in range(171):
            audit.note(True)
        self.assertFalse(audit.serving)
        audit.note(True)
        self.assertEqual((audit.serving, audit.pauses), (True, 1))

    def test_what_was_long_ago_does_not_help(self) -> None:
        """However long all was right: three wrong ones in a row end it."""
        audit = self.audit(10_000)
        self.assertEqual(audit.right, WINDOW)
        for wrong, serving in ((1, True), (2, True), (3, False)):
            audit.note(False)
            self.assertEqual((audit.wrong, audit.serving), (wrong, serving))

    def test_nobody_compares(self) -> None:
        """For a while: then it stops, until somebody does again."""
        audit = self.audit(299)
        for _ in range(UNHEARD - 1):
            audit.miss()
        self.assertTrue(audit.serving)
        audit.miss()
        self.assertEqual((audit.serving, audit.pauses), (False, 1))
        audit.note(True)
        self.assertTrue(audit.serving)

    def test_another_share(self) -> None:
        audit = self.audit(60)
        audit.bear(0.05)
        self.assertTrue(audit.serving)
        audit.bear(0.01)
        self.assertFalse(audit.serving)
