"""What is made of pairs of questions that somebody has labelled."""

from __future__ import annotations

from functools import cache

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic.trial import Pair, outcomes, read, summed
from tests.cache.semantic.test_embedder import model
from tests.cache.semantic.test_guards import PAIRS


class Trial(SynchronousTestCase):
    def test_our_pairs(self) -> None:
        """With the bundled model: strict serves nothing wrong and three in five; with a judge that knows, more than
        four in five, and what the guards let through is the judge's."""
        pairs = read(PAIRS.read_bytes().splitlines())
        embed = cache(model())
        found = list(outcomes(pairs, embed, 0.75, lambda pair: pair.same))
        strict = summed((each.pair, each.strict) for each in found)
        verified = summed((each.pair, each.verified) for each in found)
        self.assertEqual((strict.wrong, verified.wrong), (0, 0))
        self.assertGreater(strict.recall, 0.6)
        self.assertGreater(verified.recall, 0.8)
        believing = list(outcomes(pairs, embed, 0.75, lambda pair: True))
        self.assertGreater(summed((each.pair, each.verified) for each in believing).wrong, 0)
        self.assertEqual([each.why for each in found if each.pair.before_a == "Name two planets."], ["conversation"])

    def test_the_judge(self) -> None:
        """Is asked of what the guards and the threshold let through only; who says nothing has said no."""
        asked: list[Pair] = []
        pairs = [
            Pair("How do I feed a fox?", "How do I feed a bear?", False),
            Pair("What is 1 + 1?", "What is 1 + 2?", False),
        ]
        found = list(outcomes(pairs, model(), 0.3, asked.append))  # type: ignore[arg-type]
        self.assertEqual(asked, pairs[:1])
        self.assertEqual(
            [(each.why, each.strict, each.verified) for each in found],
            [("judge", False, False), ("numbers", False, False)],
        )
        self.assertEqual([each.why for each in outcomes(pairs[:1], model(), 0.999, lambda pair: True)], ["likeness"])

    def test_lines(self) -> None:
        """What else they have is left alone; one that is none is told by its number."""
        lines = [b'{"id": 1, "a": "x", "b": "y", "same": true}', b"", b'{"a": "x", "b": "y"}']
        self.assertEqual(read(lines[:2]), [Pair("x", "y", True)])
        self.assertRaisesRegex(ValueError, "line 3: .*same", read, lines)

    def test_nothing(self) -> None:
        self.assertEqual(summed([]).recall, 0.0)
