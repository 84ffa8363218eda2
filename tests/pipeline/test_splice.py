"""Going on where a broken answer stopped: exactly the whole answer, or an honest divergence."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.model import Usage
from llmedge.pipeline.splice import Continuation, Diverged, Splicer, spoken
from tests.effort import examples

BLOCK = st.tuples(
    st.sampled_from(["text", "thinking", "tool", "refusal"]),
    st.text(min_size=1, max_size=12),
    st.integers(0, 2),  # citations, or signatures
)
ANSWERS = st.lists(st.lists(BLOCK, min_size=1, max_size=4), min_size=1, max_size=3)


def atoms(answer: list[Any], names: str = "f") -> list[ir.StreamEvent]:
    """A whole answer, a character an event."""
    events: list[ir.StreamEvent] = [ir.Begin("id", "model")]
    for choice, blocks in enumerate(answer):
        for number, (kind, text, marks) in enumerate(blocks):
            tool = {"tool_id": f"call-{names}", "name": "f"} if kind == "tool" else {}
            events.append(ir.Open(number, kind, choice, **tool))
            events += [ir.Delta(number, letter, choice) for letter in text]
            for mark in range(marks):
                if kind == "text":
                    events.append(ir.Cite(number, ir.Citation("url", f"u{mark}"), choice))
                else:
                    events.append(ir.Sign(number, f"{names}{mark}", choice))
            events.append(ir.Close(number, choice))
        events.append(ir.Finish("stop", choice))
    return [*events, ir.Counted(Usage(1, 2)), ir.End()]


def framed(events: list[ir.StreamEvent], data: Any) -> list[ir.StreamEvent]:
    """The same answer, with its characters in other pieces."""
    out: list[ir.StreamEvent] = []
    for event in events:
        last = out[-1] if out else None
        if (
            isinstance(event, ir.Delta)
            and isinstance(last, ir.Delta)
            and (last.block, last.choice) == (event.block, event.choice)
            and data.draw(st.booleans())
        ):
            out[-1] = ir.Delta(event.block, last.text + event.text, event.choice)
        else:
            out.append(event)
    return out


def heard(events: list[ir.StreamEvent]) -> Any:
    """What a client makes of it: the same for the same answer, in whatever pieces. Begin and usage do not count."""
    blocks: dict[Any, Any] = {}
    finished: list[Any] = []
    for event in events:
        if isinstance(event, ir.Open):
            assert (event.choice, event.block) not in blocks, "opened twice"
            blocks[event.choice, event.block] = [event.kind, event.name, "", 0, 0]
        elif isinstance(event, ir.Delta):
            assert event.text
            assert not blocks[event.choice, event.block][4], "after its end"
            blocks[event.choice, event.block][2] += event.text
        elif isinstance(event, ir.Cite | ir.Sign):
            blocks[event.choice, event.block][3] += 1
        elif isinstance(event, ir.Close):
            blocks[event.choice, event.block][4] += 1
        elif isinstance(event, ir.Finish):
            finished.append((event.choice, event.reason))
    return blocks, finished, sum(isinstance(event, ir.End) for event in events)


class Splicing(SynchronousTestCase):
    @settings(max_examples=examples(200), deadline=None)
    @given(ANSWERS, st.data())
    def test_the_whole_answer(self, answer: list[Any], data: Any) -> None:
        """Cut anywhere, in whatever frames, and repeated in any others: exactly the whole answer, nothing twice."""
        whole = atoms(answer)
        cut = data.draw(st.integers(0, len(whole) - 1))
        seen = framed(whole[:cut], data)
        again = framed(atoms(answer, "g"), data)
        splicer = Splicer(seen)
        out: list[ir.StreamEvent] = []
        while again:
            size = data.draw(st.integers(1, len(again)))
            out += splicer.take(again[:size])
            again = again[size:]
        self.assertEqual(heard(seen + out), heard(whole))

    @settings(max_examples=examples(200), deadline=None)
    @given(ANSWERS, ANSWERS, st.data())
    def test_a_different_answer_diverges(self, answer: list[Any], other: list[Any], data: Any) -> None:
        """If it does not repeat what the client has, nothing of it is taken for the rest."""
        whole, different = atoms(answer), atoms(other)
        cut = data.draw(st.integers(1, len(whole) - 1))
        said = [event for event in whole[:cut] if not isinstance(event, ir.Begin | ir.Sign | ir.Cite)]
        theirs = [event for event in different if not isinstance(event, ir.Begin | ir.Sign | ir.Cite)]
        ended = [event for event in said if isinstance(event, ir.Finish)]
        assume(said != theirs[: len(said)] and not ended)
        splicer = Splicer(framed(whole[:cut], data))
        with self.assertRaises(Diverged):
            splicer.take(framed(different, data))

    def test_a_longer_text_where_the_block_was_closed(self) -> None:
        seen = [ir.Open(0, "text"), ir.Delta(0, "ab"), ir.Close(0)]
        self.assertRaises(Diverged, Splicer(seen).take, [ir.Open(0, "text"), ir.Delta(0, "abc")])

    def test_a_shorter_one(self) -> None:
        seen = [ir.Open(0, "text"), ir.Delta(0, "abc")]
        for end in (ir.Close(0), ir.Finish("stop")):
            self.assertRaises(Diverged, Splicer(seen).take, [ir.Open(0, "text"), ir.Delta(0, "ab"), end])

    def test_a_block_that_does_not_come_again(self) -> None:
        """A tool call that the client saw begin, and the other answer does without."""
        seen = [ir.Open(0, "text"), ir.Delta(0, "a"), ir.Close(0), ir.Open(1, "tool", name="f")]
        again = [ir.Open(0, "text"), ir.Delta(0, "a"), ir.Close(0), ir.Finish("stop")]
        self.assertRaises(Diverged, Splicer(seen).take, again)

    def test_another_tool(self) -> None:
        seen = [ir.Open(0, "tool", tool_id="1", name="f")]
        self.assertEqual(Splicer(seen).take([ir.Open(0, "tool", tool_id="2", name="f")]), [])
        self.assertRaises(Diverged, Splicer(seen).take, [ir.Open(0, "tool", tool_id="1", name="g")])

    def test_nothing_seen(self) -> None:
        """Everything is new."""
        whole = atoms([[("text", "abc", 0)]])
        self.assertEqual(Splicer([]).take(whole), whole[1:])


class Continuing(SynchronousTestCase):
    @settings(max_examples=examples(200), deadline=None)
    @given(st.text(min_size=1), st.text(min_size=1, alphabet="ab \n"), st.text(min_size=1), st.data())
    def test_joined(self, thought: str, first: str, rest: str, data: Any) -> None:
        """The rest is joined to the block the client knows; late thoughts are left out, blocks keep their order."""
        assume(first.strip())
        space = first[len(first.rstrip()) :]
        seen = [
            ir.Begin(),
            ir.Open(0, "thinking"),
            ir.Delta(0, thought),
            ir.Close(0),
            ir.Open(1, "text"),
            ir.Delta(1, first),
        ]
        self.assertEqual(spoken(seen), first)
        rest = rest.lstrip() or "x"
        more = [
            ir.Begin(),
            ir.Open(0, "thinking"),
            ir.Delta(0, "hm"),
            ir.Close(0),
            ir.Open(1, "text"),
            *(ir.Delta(1, letter) for letter in (space if data.draw(st.booleans()) else "") + rest),
            ir.Close(1),
            ir.Open(2, "tool", tool_id="t", name="f"),
            ir.Delta(2, "{}"),
            ir.Close(2),
            ir.Finish("tool"),
            ir.End(),
        ]
        out = Continuation(seen, space).take(framed(more, data))
        expected = [
            *seen,
            ir.Delta(1, rest),
            ir.Close(1),
            ir.Open(2, "tool", tool_id="t", name="f"),
            ir.Delta(2, "{}"),
            ir.Close(2),
            ir.Finish("tool"),
            ir.End(),
        ]
        self.assertEqual(heard(seen + out), heard(expected))

    def test_nothing_more_to_say(self) -> None:
        """The vendor finds the answer complete: the open block is closed."""
        seen = [ir.Open(0, "text"), ir.Delta(0, "all")]
        out = Continuation(seen, "").take([ir.Begin(), ir.Finish("stop"), ir.End()])
        self.assertEqual(out, [ir.Close(0), ir.Finish("stop"), ir.End()])

    def test_what_cannot_be_continued(self) -> None:
        """Several choices, tool calls, texts that are closed, nothing said."""
        text = [ir.Open(0, "text"), ir.Delta(0, "a")]
        for seen in (
            [],
            [ir.Open(0, "thinking"), ir.Delta(0, "a")],
            [*text, ir.Open(0, "text", 1)],
            [*text, ir.Close(0)],
            [*text, ir.Close(0), ir.Open(1, "tool", name="f")],
            [ir.Open(0, "tool", name="f")],
            [*text, ir.Finish("stop")],
        ):
            self.assertIsNone(spoken(seen), seen)
