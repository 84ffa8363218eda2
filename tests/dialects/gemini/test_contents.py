"""Contents as Google's clients send them: in pieces, twice, in either alphabet of base64."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from tests.dialects.fitting.common import body, user
from tests.dialects.parsing import parse

CALL = {"functionCall": {"id": "c", "name": "f", "args": {}}}
RESULT = {"functionResponse": {"id": "c", "name": "f", "response": {"output": "r"}}}


def said(*contents: tuple[str, list[dict[str, Any]]]) -> list[tuple[str, tuple[ir.Part, ...]]]:
    request = parse("gemini", contents=[{"role": role, "parts": parts} for role, parts in contents])
    return [(message.role, message.parts) for message in request.messages]


class Contents(SynchronousTestCase):
    def test_a_turn_in_pieces(self) -> None:
        """What the model said in a row is one message; pieces that say nothing are none."""
        thought, signed = {"text": "t", "thought": True}, {"text": "u", "thought": True, "thoughtSignature": "Uw=="}
        call, result = ir.ToolCall("c", "f", "{}"), ir.ToolResult("c", (ir.Text("r"),), "f")
        self.assertEqual(
            said(
                ("user", [{"text": "q"}]),
                ("model", [thought]),
                ("model", [signed]),
                ("model", [CALL]),
                ("model", [{"text": ""}]),
                ("user", [RESULT]),
                ("model", []),
            ),
            [
                ("user", (ir.Text("q"),)),
                ("assistant", (ir.Thinking("tu", "Uw=="), call)),
                ("tool", (result,)),
            ],
        )

    def test_what_the_user_says_stays_apart(self) -> None:
        """Only the model's turns are put together."""
        self.assertEqual(len(said(("user", [{"text": "a"}]), ("user", [{"text": "b"}]))), 2)
        self.assertEqual(said(("model", [{"text": ""}])), [("assistant", ())])

    def test_a_result_that_comes_twice(self) -> None:
        """Is one; of a call with the same id, later, it is another's."""
        result = ir.ToolResult("c", (ir.Text("r"),), "f")
        for again in ([("user", [RESULT, RESULT])], [("user", [RESULT]), ("user", [RESULT])]):
            self.assertEqual(said(("model", [CALL]), *again)[1:], [("tool", (result,))])
        later = said(("model", [CALL]), ("user", [RESULT]), ("model", [CALL]), ("user", [RESULT]))
        self.assertEqual([role for role, _ in later], ["assistant", "tool", "assistant", "tool"])

    def test_alphabets(self) -> None:
        """Data goes on in the alphabet that all vendors take."""
        for name in ("inlineData", "inline_data"):
            ((_, (part,)),) = said(("user", [{name: {"mimeType": "image/png", "data": "_-8="}}]))
            self.assertEqual(part, ir.Image(ir.Source("base64", "/+8=", "image/png")))
        media = {
            "functionResponse": {"name": "f", "parts": [{"inlineData": {"mimeType": "image/png", "data": "_-8="}}]}
        }
        ((_, (found,)),) = said(("user", [media]))
        assert isinstance(found, ir.ToolResult)
        self.assertEqual(found.content, (ir.Image(ir.Source("base64", "/+8=", "image/png")),))

    def test_thoughts_of_other_vendors(self) -> None:
        """OpenAI's have ids: what they say stays, without their proof. What is left of nothing is left out."""
        thought = ir.Thinking("t", "gAAA", id="rs_1")
        for parts, kept in (
            ((thought, ir.Text("a")), [{"text": "t", "thought": True}, {"text": "a"}]),
            ((ir.Thinking(signature="no base64!", redacted=True),), None),
            ((), None),
        ):
            request = ir.Request((*user().messages, ir.Message("assistant", parts), *user().messages))
            contents = body("gemini", request)["contents"]
            self.assertEqual([each["parts"] for each in contents[1:-1]], [kept] if kept else [])
