"""Answers to fitted requests as answers to the client's own: names of tools, stop sequences."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.limits import LIMITS, Limits
from llmedge.dialects import ir
from llmedge.dialects.fitting.restore import Restored, restored
from llmedge.dialects.fitting.tools import names_for
from tests.effort import examples


def texts(events: list[ir.StreamEvent], choice: int = 0) -> str:
    return "".join(each.text for each in events if isinstance(each, ir.Delta) and each.choice == choice)


def streamed(pieces: list[str], choice: int = 0) -> list[ir.StreamEvent]:
    """One text in these pieces."""
    deltas = [ir.Delta(0, piece, choice) for piece in pieces if piece]
    return [ir.Open(0, "text", choice), *deltas, ir.Close(0, choice), ir.Finish("stop", choice)]


def whole(text: str, *more: ir.Part, logprobs: tuple[ir.TokenLogprob, ...] | None = None) -> ir.Choice:
    return ir.Choice((ir.Text(text), *more), "stop", logprobs=logprobs)


class Names(SynchronousTestCase):
    def test_the_clients_own(self) -> None:
        """Whole and streamed, each of several that begin alike."""
        names = ["x" * 70 + "a", "x" * 70 + "b", "fine"]
        made = names_for(names, LIMITS["openai_chat"].tool_name)
        request = ir.Request((), tuple(map(ir.Tool, names)))
        restore = restored(request, LIMITS["openai_chat"], frozenset(), 1)
        assert restore is not None
        calls = tuple(ir.ToolCall(str(number), made.get(name, name), "{}") for number, name in enumerate(names))
        answer = restore.answer(ir.Answer((ir.Choice(calls, "tool"),)))
        self.assertEqual([part.name for part in answer.choices[0].parts if isinstance(part, ir.ToolCall)], names)
        events = restore.events(
            [ir.Open(number, "tool", 0, "i", made.get(name, name)) for number, name in enumerate(names)]
        )
        self.assertEqual([event.name for event in events if isinstance(event, ir.Open)], names)

    def test_nothing_to_undo(self) -> None:
        request = ir.Request((), (ir.Tool("f"),), stop=("a",))
        self.assertIsNone(restored(request, LIMITS["openai_chat"], frozenset(), 1))
        self.assertIsNotNone(restored(request, LIMITS["openai_chat"], frozenset({"no_stop"}), 1))


class Stops(SynchronousTestCase):
    def test_every_split_of_a_text(self) -> None:
        """It ends before the first that is complete, the longest of two, wherever the pieces are cut; what only begins
        like one is told."""
        for text, stops, said, found in (
            ("one END two", ("END",), "one ", "END"),
            ("aabaab", ("aab",), "", "aab"),
            ("ababac", ("abac",), "ab", "abac"),
            ("xENxEND", ("END", "zz"), "xENx", "END"),
            ("abcd", ("bcd", "bc"), "a", "bc"),
            ("abcd", ("bc", "abc"), "", "abc"),
            ("a EN", ("END",), "a EN", ""),
            ("", ("END",), "", ""),
        ):
            for cuts in itertools.combinations(range(1, len(text) or 1), 2):
                pieces = [text[a:b] for a, b in zip((0, *cuts), (*cuts, len(text)), strict=True)]
                self.check(pieces, stops, said, found)
            self.check(list(text), stops, said, found)
            self.check([text], stops, said, found)
            choice = Restored({}, stops, 1).answer(ir.Answer((whole(text),))).choices[0]
            got = "".join(part.text for part in choice.parts if isinstance(part, ir.Text))
            self.assertEqual((got, choice.stop_sequence), (said, found))
            self.assertEqual(choice.finish, "stop_sequence" if found else "stop")

    def test_likelihoods_in_a_stream(self) -> None:
        """Each token's is told with its text, or behind it, and none of what is cut."""
        tokens = [ir.TokenLogprob(text, -1.0) for text in ("a", " E", "NX", " E", "ND", "b")]
        for stops, expected in ((("END",), "a| E|NX| "), (("ENDE",), "a| E|NX| E|ND|b"), (("zz",), "a| E|NX| E|ND|b")):
            restore = Restored({}, stops, 1)
            deltas = [ir.Delta(0, token.token, 0, (token,)) for token in tokens]
            out = restore.events([ir.Open(0, "text"), *deltas, ir.Close(0), ir.Finish("stop")])
            told = [each for event in out if isinstance(event, ir.Delta) for each in event.logprobs or ()]
            self.assertEqual(texts(out), expected.replace("|", ""))
            self.assertEqual([each.token for each in told], [each.token for each in tokens[: len(told)]])
            self.assertEqual(len(told), expected.count("|") + 1)

    def test_what_else_is_open(self) -> None:
        """A call that a text follows before its arguments are whole ends with the answer."""
        begun = [ir.Open(0, "tool", 0, "a", "f"), ir.Delta(0, '{"a"'), ir.Open(1, "text"), ir.Delta(1, "xEND")]
        out = Restored({}, ("END",), 1).events([*begun, ir.Delta(0, ":1}")])
        self.assertEqual(out[-4:], [ir.Close(0), ir.Close(1), ir.Finish("stop_sequence", 0, "END"), ir.End()])

    def check(self, pieces: list[str], stops: tuple[str, ...], said: str, found: str) -> None:
        restore = Restored({}, stops, 1)
        events = [out for event in streamed(pieces) for out in restore.events([event])]
        self.assertEqual(texts(events), said, pieces)
        finish = [event for event in events if isinstance(event, ir.Finish)]
        self.assertEqual([each.stop_sequence for each in finish], [found], pieces)
        self.assertEqual(restore.cut, bool(found))
        self.assertEqual(isinstance(events[-1], ir.End), bool(found))
        closes = [event for event in events if isinstance(event, ir.Close)]
        self.assertEqual(len(closes), 1)
        self.assertNotIn("", [event.text for event in events if isinstance(event, ir.Delta)])

    @settings(max_examples=examples(200), deadline=None)
    @given(st.lists(st.text("ab", max_size=4)), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
    def test_streamed_as_whole(self, pieces: list[str], stops: list[str]) -> None:
        """Whatever the text and the stops."""
        choice = Restored({}, tuple(stops), 1).answer(ir.Answer((whole("".join(pieces)),))).choices[0]
        said = "".join(part.text for part in choice.parts if isinstance(part, ir.Text))
        self.assertEqual(texts(Restored({}, tuple(stops), 1).events(streamed(pieces))), said)

    def test_several_answers(self) -> None:
        """Each ends for itself; the vendor's work when all have."""
        restore = Restored({}, ("S",), 2)
        first = restore.events(streamed(["aS", "b"], 0)[:3])
        self.assertEqual((texts(first), restore.cut), ("a", False))
        second = restore.events(streamed(["b", "c"], 1)[:3])
        self.assertEqual((texts(second, 1), restore.cut), ("bc", False))
        third = restore.events([ir.Delta(0, "S", 1), ir.Delta(0, "never", 1), ir.Delta(0, "never", 0)])
        self.assertEqual(third, [ir.Close(0, 1), ir.Finish("stop_sequence", 1, "S"), ir.End()])
        self.assertTrue(restore.cut)
        self.assertEqual(restore.events([ir.End()]), [])

    def test_what_is_no_text(self) -> None:
        """Thoughts and arguments may say what they like."""
        restore = Restored({}, ("S",), 1)
        events: list[ir.StreamEvent] = [
            ir.Open(0, "thinking"),
            ir.Delta(0, "S"),
            ir.Close(0),
            ir.Open(1, "tool", 0, "i", "f"),
            ir.Delta(1, '{"S":1}'),
            ir.Close(1),
        ]
        self.assertEqual(restore.events(events), events)
        parts = (ir.Thinking("S"), ir.ToolCall("i", "f", '{"S":1}'))
        answer = ir.Answer((ir.Choice(parts, "tool"),))
        self.assertEqual(restore.answer(answer), answer)

    def test_what_comes_after_is_cut_off(self) -> None:
        """Calls, too; and the log probabilities with the text."""
        tokens = tuple(ir.TokenLogprob(each, -1.0) for each in ("one ", "S", " two"))
        choice = whole("one S two", ir.ToolCall("i", "f", "{}"), logprobs=tokens)
        (cut,) = Restored({}, ("S",), 1).answer(ir.Answer((choice,))).choices
        self.assertEqual((cut.parts, cut.logprobs, cut.finish), ((ir.Text("one "),), tokens[:1], "stop_sequence"))

    def test_too_many_for_the_vendor(self) -> None:
        """Those it was told it looks for itself."""
        request = ir.Request((), stop=("a", "b", "c"))
        restore = restored(request, Limits(stops=2), frozenset(), 1)
        assert restore is not None
        self.assertEqual(texts(restore.events(streamed(["xaxbxcx"]))), "xaxbx")
