"""Messages in the order and the form vendors take; each promise for the vendors it is made for."""

from __future__ import annotations

import itertools
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import Capabilities
from llmedge.dialects import ir
from llmedge.dialects.fitting import conversation as words
from llmedge.dialects.fitting.conversation import fit_messages
from tests.dialects.fitting.common import VENDORS, body, call, context, dialect_of, result, say, user

PICTURE = ir.Image(ir.Source("base64", "aGk=", "image/png"))
PDF = ir.File(ir.Source("base64", "aGk=", "application/pdf"), "a.pdf")
Shape = list[tuple[str, list[str]]]


def fit(*messages: ir.Message, quirks: str = "", **known: Any) -> tuple[ir.Message, ...]:
    capabilities = Capabilities(**known)
    return fit_messages(messages, context("anthropic", capabilities=capabilities), frozenset(quirks.split()))


def shape(messages: tuple[ir.Message, ...]) -> Shape:
    """Who says what: texts, names of calls, and of results with what they give."""

    def of(part: ir.Part) -> str:
        if isinstance(part, ir.Text):
            return part.text
        if isinstance(part, ir.ToolCall):
            return f"call {part.id}"
        if isinstance(part, ir.ToolResult):
            return f"{part.id}: {''.join(each.text for each in part.content if isinstance(each, ir.Text))}"
        return type(part).__name__

    return [(each.role, [of(part) for part in each.parts]) for each in messages]


class Pairs(SynchronousTestCase):
    """platform.openai.com/docs/guides/function-calling, platform.claude.com/docs/en/agents-and-tools/tool-use"""

    def test_results_go_behind_their_calls(self) -> None:
        """In whatever order they come, and whatever is said between."""
        calls = say("assistant", call("a"), call("b"))
        given = [say("tool", result("a", "1")), say("tool", result("b", "2")), say("user", "and"), say("system", "s")]
        for order in itertools.permutations(given):
            said = shape(fit(say("user", "q"), calls, *order))
            self.assertEqual(said[:2], [("user", ["q"]), ("assistant", ["call a", "call b"])])
            role, results = said[2]
            self.assertEqual((role, sorted(results)), ("tool", ["a: 1", "b: 2"]))
            rest = [(each.role, [part.text for part in each.parts]) for each in order if each.role != "tool"]  # type: ignore[union-attr]
            self.assertEqual(said[3:], rest)

    def test_several_turns(self) -> None:
        """Each result goes to the first call of its id that has none."""
        turn = (say("user", "q"), say("assistant", call("a")), say("tool", result("a", "1")))
        again = (say("user", "r"), say("assistant", call("a")), say("tool", result("a", "2")))
        said = shape(fit(*turn, *again))
        self.assertEqual(said[2], ("tool", ["a: 1"]))
        self.assertEqual(said[4:], [("assistant", ["call a_1"]), ("tool", ["a_1: 2"])])

    def test_no_id(self) -> None:
        """One is made, the same in both."""
        said = shape(fit(say("user", "q"), say("assistant", call("")), say("tool", result("", "1"))))
        self.assertEqual(said[1:], [("assistant", ["call call_0"]), ("tool", ["call_0: 1"])])

    def test_a_result_without_its_call(self) -> None:
        """What was cut off at the beginning, or given twice, is told by the user."""
        said = shape(fit(say("tool", result("a", "1")), say("user", "q")))
        self.assertEqual(said, [("user", [words.RESULT, "1"]), ("user", ["q"])])
        twice = say("tool", result("a", "1"), result("a", "2"))
        said = shape(fit(say("user", "q"), say("assistant", call("a")), twice))
        self.assertEqual(said[2:], [("tool", ["a: 1"]), ("user", [words.RESULT, "2"])])

    def test_a_call_without_its_result(self) -> None:
        """It was given up; the last one may still be answered by nobody."""
        said = shape(fit(say("user", "q"), say("assistant", call("a"), call("b")), say("tool", result("b", "2"))))
        self.assertEqual(said[2:], [("tool", ["b: 2", f"a: {words.NO_RESULT}"])])
        said = shape(
            fit(
                say("user", "q"),
                say("assistant", call("a"), call("b")),
                say("tool", result("b", "2")),
                say("user", "r"),
            )
        )
        self.assertEqual(said[2:], [("tool", ["b: 2", f"a: {words.NO_RESULT}"]), ("user", ["r"])])
        said = shape(fit(say("user", "q"), say("assistant", call("a")), say("user", "stop that")))
        self.assertEqual(said[2:], [("tool", [f"a: {words.NO_RESULT}"]), ("user", ["stop that"])])
        self.assertEqual(shape(fit(say("user", "q"), say("assistant", call("a"))))[1:], [("assistant", ["call a"])])

    def test_every_vendor_gets_whole_pairs(self) -> None:
        """Half of one is what they refuse."""
        request = ir.Request(
            (
                say("user", "q"),
                say("assistant", call("c1"), call("c2")),
                say("user", "r"),
                say("tool", result("zz", "late")),
            ),
            (ir.Tool("f"),),
        )
        for vendor in VENDORS:
            said = json.dumps(body(vendor, request))
            for word in (words.NO_RESULT, words.RESULT, "late"):
                self.assertIn(word, said, vendor)
            self.assertNotIn('"zz"', said, vendor)

    def test_many_of_one_id(self) -> None:
        """Thousands of calls without an id, each with its result: none is looked at twice."""
        turns = [
            each
            for number in range(4000)
            for each in (say("assistant", call("")), say("tool", result("", str(number))))
        ]
        said = fit(say("user", "q"), *turns)
        given = [part for message in said for part in message.parts if isinstance(part, ir.ToolResult)]
        self.assertEqual([part.content for part in given], [(ir.Text(str(number)),) for number in range(4000)])
        self.assertEqual(len({part.id for part in given}), 4000)

    def test_broken_arguments(self) -> None:
        """An object, in which they are whole."""
        for arguments, said in (
            ("", "{}"),
            (" ", "{}"),
            ('{"a": 1.0}', '{"a": 1.0}'),
            ('{"a":', '{"invalid_arguments":"{\\"a\\":"}'),
            ("[1]", '{"invalid_arguments":"[1]"}'),
        ):
            (message,) = fit(say("assistant", call("a", arguments=arguments)))
            self.assertEqual(message.parts, (call("a", arguments=said),))


class Order(SynchronousTestCase):
    def test_system_in_the_middle(self) -> None:
        """It stays where it is, as the user's; the ones before the conversation stay the system's."""
        messages = (
            say("system", "a"),
            say("developer", "b"),
            say("user", "q"),
            say("system", "c"),
            say("developer", "d", PICTURE),
        )
        said = shape(fit(*messages, quirks="system_first"))
        self.assertEqual(
            said[:4], [("system", ["a"]), ("developer", ["b"]), ("user", ["q"]), ("user", ["<system>\nc\n</system>"])]
        )
        self.assertEqual(said[4], ("user", ["<system>", "d", "Image", "</system>"]))
        for quirks in ("system_first system_messages", ""):
            self.assertEqual(fit(*messages, quirks=quirks), messages)

    def test_the_user_begins(self) -> None:
        """Where the assistant does, or where nobody says a word."""
        begin = ("user", [words.BEGIN])
        for messages, said in (
            ((say("assistant", "hi"), say("user", "q")), [begin, ("assistant", ["hi"]), ("user", ["q"])]),
            ((say("system", "s"), say("assistant", "hi")), [("system", ["s"]), begin, ("assistant", ["hi"])]),
            ((say("system", "s"),), [("system", ["s"]), begin]),
            ((say("user", "q"), say("assistant", "hi")), [("user", ["q"]), ("assistant", ["hi"])]),
        ):
            self.assertEqual(shape(fit(*messages, quirks="user_first")), said)
            self.assertEqual(fit(*messages), messages)
        for vendor, first in (("anthropic", "messages"), ("gemini", "contents"), ("bedrock", "messages")):
            said = body(vendor, ir.Request((say("system", "s"), say("assistant", "hi"))))
            self.assertEqual(said[first][0]["role"], "user")

    def test_an_answer_that_is_begun(self) -> None:
        """Without white space at its end; where the model goes on with none, the user asks it to."""
        for text, left in (("a \n", "a"), ("a", "a"), (" a", " a")):
            said = fit(say("user", "q"), say("assistant", text), quirks="claude_prefill")
            self.assertEqual(shape(said)[1:], [("assistant", [left])])
        said = fit(say("user", "q"), say("assistant", "a "), quirks="claude_prefill", prefill=False)
        self.assertEqual(shape(said)[1:], [("assistant", ["a "]), ("user", [words.GO_ON])])
        self.assertEqual(shape(fit(say("assistant", "a "), say("user", "q"), quirks="claude_prefill"))[0][1], ["a "])
        self.assertEqual(fit(quirks="claude_prefill"), ())

    def test_turns_in_one(self) -> None:
        """Gemini refuses a call that does not follow the user's turn."""
        messages = (
            say("user", "q"),
            say("assistant", "let me see"),
            say("assistant", call("a")),
            say("tool", result("a")),
        )
        said = body("gemini", ir.Request(messages))["contents"]
        self.assertEqual([each["role"] for each in said], ["user", "model", "user"])
        self.assertEqual([list(part) for part in said[1]["parts"]], [["text"], ["functionCall"]])
        self.assertEqual(fit(*messages), messages)

    def test_mistral(self) -> None:
        """Between a result and the user somebody says a word: the API's error 3230."""
        turn = (say("user", "q"), say("assistant", call("a")), say("tool", result("a", "1")))
        said = shape(fit(*turn, say("user", "r"), quirks="no_user_after_tool"))
        self.assertEqual(said[3:], [("assistant", [words.ACKNOWLEDGED]), ("user", ["r"])])
        self.assertEqual(fit(*turn, say("assistant", "x"), quirks="no_user_after_tool")[3:], (say("assistant", "x"),))
        with_picture = (*turn[:2], say("tool", result("a", PICTURE)), say("user", "r"))
        said = shape(fit(*with_picture, quirks="no_user_after_tool text_results"))
        self.assertEqual([role for role, _ in said[2:]], ["tool", "assistant", "user", "user"])


class Parts(SynchronousTestCase):
    def test_media_beside_results(self) -> None:
        """The pictures go behind all results, and a result that was one says so."""
        messages = (
            say("user", "q"),
            say("assistant", call("a"), call("b")),
            say("tool", result("a", PICTURE), result("b", "x", PDF, "y")),
        )
        said = shape(fit(*messages, quirks="text_results"))
        self.assertEqual(
            said[2:], [("tool", [f"a: {words.SEE_BESIDE}", "b: xy"]), ("user", [words.BESIDE, "Image", "File"])]
        )
        self.assertEqual(fit(*messages), messages)

    def test_texts_that_say_nothing(self) -> None:
        """None is sent; white space is where it is taken; a message is not empty for it but where it was."""
        blank = say("user", "", " ", "a")
        self.assertEqual(shape(fit(blank)), [("user", [" ", "a"])])
        self.assertEqual(shape(fit(blank, quirks="no_blank_text")), [("user", ["a"])])
        self.assertEqual(shape(fit(say("user", "a"), say("assistant", " "), quirks="no_blank_text")), [("user", ["a"])])
        self.assertEqual(shape(fit(say("user", " "), quirks="no_blank_text")), [("user", [])])
        messages = fit(say("assistant", call("a")), say("tool", result("a", "", " ", "x")), quirks="no_blank_text")
        self.assertEqual(messages[1].parts, (result("a", "x"),))

    def test_documents(self) -> None:
        """What is said of one is a text before it; one that is a text is no more; each has a name where it has to."""
        note = ir.File(ir.Source("text", "body"), "n.txt", "about it")
        quirks = "no_document_context no_text_documents file_names"
        self.assertEqual(shape(fit(say("user", note), quirks=quirks)), [("user", ["n.txt\nabout it\nbody"])])
        (message,) = fit(say("user", ir.replace(PDF, name="", context="c")), quirks=quirks)
        self.assertEqual(message.parts, (ir.Text("c"), ir.replace(PDF, name="document.pdf")))
        asked = fit_messages(
            (say("user", ir.replace(note, cite=True)),), context("gemini", "drop"), frozenset(quirks.split())
        )
        self.assertEqual(shape(asked), [("user", ["n.txt\nabout it\nbody"])])

    def test_a_text_beside_documents(self) -> None:
        """Bedrock wants one in the same message."""
        (message,) = fit(say("user", PDF), quirks="text_beside_files")
        self.assertEqual(message.parts, (PDF, ir.Text(words.ATTACHED)))
        for kept in (say("user", PDF, "x"), say("user", PICTURE), say("tool", result("a", PDF))):
            self.assertEqual(body_of_bedrock(kept).count(words.ATTACHED), 0)

    def test_names_of_who_speaks(self) -> None:
        """As OpenAI's pattern has them."""
        for name, said in (("bob", "bob"), ("Bob Ö.", "Bob_Ö."), ("a<b|c\\d/e>", "a_b_c_d_e_"), ("x" * 70, "x" * 64)):
            (message,) = fit(ir.replace(say("user", "a"), name=name))
            self.assertEqual(message.name, said)

    def test_nothing_to_do(self) -> None:
        """The same messages, for every vendor."""
        messages = (say("system", "s"), say("user", "q"), say("assistant", call("a")), say("tool", result("a", "1")))
        for vendor in VENDORS:
            self.assertEqual(fit_messages(messages, context(vendor), dialect_of(vendor).needs), messages)


def body_of_bedrock(message: ir.Message) -> str:
    before = (say("assistant", call("a")),) if message.role == "tool" else ()
    return json.dumps(body("bedrock", ir.Request((*user().messages, *before, message))))
