"""What was spent before is asked for once, however many calls wait for it."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.budgets import Budget
from llmedge.model import Limits
from llmedge.state.funds import Fund
from llmedge.state.knowing import Knowing


class Asking(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[list[str]] = []
        self.answers: list[Deferred[None]] = []
        self.knowing = Knowing(self.ask)
        self.funds = {id: Fund(id, Limits(id, id), Budget(), Clock()) for id in "ab"}

    async def ask(self, funds: Sequence[Fund], patience: float) -> None:
        self.asked.append([fund.id for fund in funds])
        self.answers.append(answer := Deferred())
        await answer
        for fund in funds:
            fund.learn(1, 0)

    def ready(self, *ids: str) -> Deferred[None]:
        return self.knowing.ready([self.funds[id] for id in ids], 2.0)

    def test_many_at_once(self) -> None:
        """One question for the first, one for all who came while it was asked, about what is not known by then."""
        first, *others = [self.ready("a"), *(self.ready("a", "b") for _ in range(100))]
        self.assertEqual(self.asked, [["a"]])
        self.answers[0].callback(None)
        self.successResultOf(first)
        self.assertEqual(self.asked, [["a"], ["b"]])
        for each in others:
            self.assertNoResult(each)
        self.answers[1].callback(None)
        for each in others:
            self.successResultOf(each)
        self.successResultOf(self.ready("b"))
        self.assertEqual(len(self.asked), 2)

    def test_a_call_that_leaves(self) -> None:
        """Others have what was asked for it."""
        leaving, staying = self.ready("a"), self.ready("a")
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.answers[0].callback(None)
        self.successResultOf(staying)
        self.assertTrue(self.funds["a"].known)

    def test_a_question_that_fails(self) -> None:
        """Whoever waits goes on, and it is asked again for the next."""
        first = self.ready("a")
        self.answers[0].errback(RuntimeError("of the test"))
        self.successResultOf(first)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.ready("a")
        self.assertEqual(self.asked, [["a"], ["a"]])
