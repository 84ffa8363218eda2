import json
from fnmatch import fnmatchcase
from typing import Any

import attrs
import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.sections.models import Model
from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import NotFound, PermissionDenied
from llmedge.model import Caller, Deadline
from llmedge.operations import Operation
from llmedge.pipeline.admit import Admit
from llmedge.pipeline.models import ModelIndex
from llmedge.record import Record
from llmedge.state.items import ItemMemory
from tests.pipeline.test_settle import stage_deps


class Admission(SynchronousTestCase):
    def ask(self, caller: Caller, model: str = "known") -> Any:
        record = Record("r", "POST", "/x", "p", 0.0)
        call = Call(Operation.CHAT, "openai_chat", model, {}, False, False, 1, caller, Deadline(Clock(), 9), record)
        index = ModelIndex({"known": Model(targets=())}, {})
        deps = stage_deps(index, ItemMemory(Clock()))
        return Admit(deps)(call, lambda call: call.model)  # type: ignore[arg-type,return-value]

    def test_what_a_caller_may(self) -> None:
        self.assertEqual(self.ask(Caller("a", ("kn*",))), "known")
        self.assertRaises(PermissionDenied, self.ask, Caller("a", ("other",)))
        self.assertRaises(PermissionDenied, self.ask, Caller("a", scopes=frozenset({"admin"})))
        self.assertRaises(NotFound, self.ask, Caller("a"), "unknown")


class Recall(SynchronousTestCase):
    """What a translated Responses answer said stands where its client sends an id."""

    def begin(self) -> None:
        index = ModelIndex({"m": Model(targets=())}, {})
        items = ItemMemory(Clock())
        self.admit = Admit(stage_deps(index, items))

    def ask(self, input: Any, caller: str = "a", dialect: str = "openai_responses", **fields: Any) -> Call:
        raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in {"input": input, **fields}.items()}
        record = Record("r", "POST", "/x", "p", 0.0)
        asked = Call(Operation.CHAT, dialect, "m", raw, False, False, 1, Caller(caller), Deadline(Clock(), 9), record)
        admitted: Any = self.admit(asked, lambda call: call)  # type: ignore[arg-type,return-value]
        return admitted  # type: ignore[no-any-return]

    def test_an_item_by_its_id(self) -> None:
        """For the caller who was told it, and where others are, the reference stays."""
        self.begin()
        context = ResponseContext("m", "r-1", remember=self.ask("hi").remember)
        answer = ir.Answer((ir.Choice((ir.Thinking("hm"), ir.Text("Paris")), "stop"),), "resp_same")
        responses: Any = DIALECTS["openai_responses"]
        output = json.loads(responses.render_answer(answer, context))["output"]
        references = [{"type": "item_reference", "id": each["id"]} for each in output]
        said = self.ask([*references, {"role": "user", "content": "More"}]).said()
        self.assertEqual(said.messages[0].parts, (ir.Thinking("hm"), ir.Text("Paris")))
        self.assertEqual((said.messages[1].parts, said.lost), ((ir.Text("More"),), ()))
        other = self.ask(references, caller="b").said()
        self.assertEqual(other.lost, ("input[1] (item_reference)",))

    def test_who_wants_nothing_stored(self) -> None:
        self.begin()
        self.assertIsNone(self.ask("hi", store=False).remember)
        self.assertIsNone(self.ask("hi", dialect="openai_chat").remember)

    def test_what_cannot_be_read(self) -> None:
        """Is refused where the input is read."""
        self.begin()
        for odd in ("item_reference", {"item_reference": 1}, ["item_reference", 5]):
            self.assertEqual(json.loads(bytes(self.ask(odd).fields["input"])), odd)


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
