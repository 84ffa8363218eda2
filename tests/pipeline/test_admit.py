from fnmatch import fnmatchcase
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.models import Model
from llmedge.errors import NotFound, PermissionDenied
from llmedge.model import Caller, Deadline
from llmedge.operations import Operation
from llmedge.pipeline.admit import Admit
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.stage import StageDeps
from llmedge.pipeline.tokens import TokenCounter
from llmedge.record import Record
from tests.pipeline.test_prices import at_once


class Admission(SynchronousTestCase):
    def ask(self, caller: Caller, model: str = "known") -> Any:
        record = Record("r", "POST", "/x", "p", 0.0)
        call = Call(Operation.CHAT, "openai_chat", model, {}, False, False, 1, caller, Deadline(Clock(), 9), record)
        index = ModelIndex({"known": Model(targets=())}, {})
        deps = StageDeps(index, Prices({}, {}, Clock(), at_once), TokenCounter(at_once))
        return Admit(deps)(call, lambda call: call.model)  # type: ignore[arg-type,return-value]

    def test_what_a_caller_may(self) -> None:
        self.assertEqual(self.ask(Caller("a", ("kn*",))), "known")
        self.assertRaises(PermissionDenied, self.ask, Caller("a", ("other",)))
        self.assertRaises(PermissionDenied, self.ask, Caller("a", scopes=frozenset({"admin"})))
        self.assertRaises(NotFound, self.ask, Caller("a"), "unknown")


class Patterns(SynchronousTestCase):
    @given(st.lists(st.text("ab-.*?[]!\n|", max_size=5), max_size=4), st.text("ab-.[]!\n|", max_size=6))
    def test_as_fnmatch_has_it(self, patterns: list[str], model: str) -> None:
        """Compiled together, patterns allow what any of them allows; the case counts."""
        caller = Caller("a", tuple(patterns))
        self.assertIs(caller.may_use(model), any(fnmatchcase(model, pattern) for pattern in patterns))

    def test_the_predicate_is_no_part_of_it(self) -> None:
        """Callers that may do the same are equal, and can be evolved."""
        caller = Caller("a", ("gpt-*",))
        self.assertEqual(caller, Caller("a", ("gpt-*",)))
        self.assertFalse(caller.may_use("GPT-5"))
        self.assertTrue(attrs.evolve(caller, models=("*",)).may_use("GPT-5"))
        self.assertNotIn("may_use", repr(caller))
