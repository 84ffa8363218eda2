"""What is known between calls, bounded, and what is shown of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic import state
from llmedge.cache.semantic.state import SemanticState, learned_by, missing, pair_of
from llmedge.config.sections.semantic import Semantic
from tests.pipeline.meaning import Aside


class State(SynchronousTestCase):
    def state(self, **settings: object) -> SemanticState:
        return SemanticState(Semantic(**settings), Aside())  # type: ignore[arg-type]

    def test_pairs(self) -> None:
        """Whichever comes first; nothing can be moved from one part to another."""
        self.assertEqual(pair_of(b"p", b"", "a", "b"), pair_of(b"p", b"", "b", "a"))
        others = [pair_of(b"p", b"", "a", "b"), pair_of(b"q", b"", "a", "b"), pair_of(b"p", b"x", "a", "b")]
        self.assertEqual(len({*others, pair_of(b"p", b"", "ab", ""), pair_of(b"", b"p", "a", "b")}), 5)

    def test_verdicts(self) -> None:
        """That two differ stays, whoever says otherwise later; only so many are remembered."""
        known = self.state()
        known.learn(b"a", True)
        known.learn(b"a", False)
        known.learn(b"a", True)
        self.assertIs(known.verdict(b"a"), False)
        self.assertIsNone(known.verdict(b"b"))
        self.patch(state, "VERDICTS", 10)
        for number in range(30):
            known.learn(b"%d" % number, True)
            known.verdict(b"a")
        self.assertIsNotNone(known.verdict(b"29"))
        self.assertLessEqual(len(known._verdicts), 11)

    def test_audits(self) -> None:
        """Only so many; of what nobody knows any more nothing is noted."""
        self.patch(state, "AUDITS", 3)
        known = self.state()
        for number in range(5):
            known.audit(b"%d" % number, "strict", "key:a", "m")
        self.assertEqual(len(known._audits), 3)
        known.note(b"0", "strict", True)
        self.assertEqual((known.right, known.wrong), (0, 0))
        known.note(b"4", "strict", False)
        self.assertEqual(known.standing()["audits"][0]["wrong"], 1)

    def test_another_configuration(self) -> None:
        """The mode may change and what was shown stays; a model or a judge may not."""
        one = Semantic(mode="shadow")
        self.assertEqual(learned_by(one), learned_by(Semantic(mode="strict", audit=0.5, wrong=0.1)))
        self.assertNotEqual(learned_by(one), learned_by(Semantic(judge="j")))
        self.assertNotEqual(learned_by(one), learned_by(Semantic(embeddings="e")))
        known = self.state()
        audit = known.audit(b"p", "strict", "key:a", "m")
        for _ in range(60):
            known.note(b"p", "strict", True)
        self.assertFalse(audit.serving)
        known.use(Semantic(mode="strict", wrong=0.05))
        self.assertTrue(audit.serving)

    def test_metrics(self) -> None:
        """None of them costs a call anything, and none has more than a few values."""
        known = self.state()
        known.audit(b"p", "strict", "key:a", "m")
        known.note(b"p", "strict", True)
        known.note(b"p", "strict", False)
        samples = {
            (each.name, *each.labels.values()): each.value for family in known.collect() for each in family.samples
        }
        self.assertEqual(samples["llm_cache_semantic_audit_total", "right"], 1)
        self.assertEqual(samples["llm_cache_semantic_audit_total", "wrong"], 1)
        self.assertEqual(samples["llm_cache_semantic_questions",], 0)

    def test_packages(self) -> None:
        """Numbers are compared whoever makes them; the bundled model needs more."""
        self.assertEqual(missing(Semantic()), [])
        self.patch(state, "find_spec", lambda name: None)
        self.assertEqual(missing(Semantic(embeddings="e")), ["numpy"])
        self.assertEqual(len(missing(Semantic())), 5)
