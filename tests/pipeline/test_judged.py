"""Streams that are judged: by sentences, when they are whole, or afterwards."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.interfaces import GuardFailed, Judgement, Material
from llmedge.guards.refusals import ContentBlocked, GuardrailUnavailable
from llmedge.guards.verdicts import Tally
from llmedge.model import Event, EventKind
from llmedge.pipeline.guarded import guarded_stream
from tests.guards.made import Told, guard
from tests.pipeline.spoken import DIALECT_NAMES, Script, call_of, events_of, read
from tests.pipeline.test_guarded_stream import through

SENTENCES = ("text", ["One is ", "here. Two", " is not", ". Three\n", "and four"])


class Judged(SynchronousTestCase):
    def stream(self, dialect: str, mode: str, says: Any, *blocks: Any, **settings: Any) -> Any:
        clock = Clock()
        self.call = call_of(dialect, clock)
        self.told = Told(says)
        self.tally = Tally(guard(checker=self.told, on=("response",), stream=mode, **settings), False)
        self.script = events_of(self.call, blocks or [SENTENCES])
        self.vendor = Script(clock, *map(list, self.script))
        return guarded_stream(self.call, self.vendor, [self.tally], lambda: None)

    def texts(self) -> list[list[str]]:
        return [[place.text for place in material.places] for material in self.told.seen]

    def test_held_until_it_is_whole(self) -> None:
        """In every dialect: nothing is out before the verdict, and then the bytes are those of the vendor."""
        for dialect in DIALECT_NAMES:
            waiting: Deferred[Any] = Deferred()
            stream = self.stream(dialect, "hold", lambda material, waiting=waiting: waiting, timeout=9.0)
            self.assertIsNone(stream.read_now())
            self.assertEqual(self.texts(), [["One is here. Two is not. Three\nand four"]])
            self.assertEqual(self.told.seen[0].position, "end")
            waiting.callback(Judgement())
            out = stream.read_now()
            want = [event.frame for batch in self.script for event in batch]
            self.assertEqual([event.frame for event in out], want)

    def test_blocked_when_it_is_whole(self) -> None:
        """A refusal, since nothing is out; what the vendor used is charged as it told it."""
        for dialect in DIALECT_NAMES:
            stream = self.stream(dialect, "hold", lambda material: Judgement("block", reason="topic"))
            out = read(self.call, through(stream))
            self.assertIn(out.finish, ("filter", "refusal"), dialect)
            self.assertNotIn("is here", str(out))
            self.assertEqual((stream.usage.input, stream.usage.output), (3, 4))
            self.assertEqual((self.tally.verdict, self.tally.reason), ("block", "topic"))

    def test_who_only_tells_holds_nothing(self) -> None:
        """In shadow, and where a find is only told, it is asked when all of it is there."""
        for stream_mode in ("hold", "sentence"):
            for more in ({"mode": "shadow"}, {"action": "report"}):
                call = call_of("openai_chat", clock := Clock())
                told = Told(lambda material: Judgement("block"))
                tally = Tally(guard(checker=told, on=("response",), stream=stream_mode, **more), False)
                script = events_of(call, [SENTENCES])
                stream = guarded_stream(call, Script(clock, *map(list, script)), [tally], lambda: None)
                self.assertEqual(through(stream), script)
                self.assertEqual(
                    [place.text for place in told.seen[0].places], ["One is here. Two is not. Three\nand four"]
                )
                self.assertEqual((len(told.seen), tally.verdict), (1, more.get("action", "block")))

    def test_by_sentence(self) -> None:
        """Each waits for its verdict only; the checker sees what was before it."""
        stream = self.stream("openai_chat", "sentence", lambda material: Judgement())
        seen = []
        while (batch := stream.read_now()) is not None:
            seen.append("".join(text for _, text in read(self.call, [batch]).blocks))
            if batch[-1].kind is EventKind.DONE:
                break
        self.assertEqual([each for each in seen if each], ["One is here. Two", " is not. Three\n", "and four"])
        self.assertEqual([material.before for material in self.told.seen][1], "One is here. Two")
        self.assertEqual([material.position for material in self.told.seen][-1], "end")

    def test_a_later_sentence_is_blocked(self) -> None:
        """What is out is out: an error, no end, and nothing of that sentence."""
        for dialect in DIALECT_NAMES:

            def says(material: Material) -> Judgement:
                return Judgement("block" if "not" in material.places[0].text else "pass")

            stream = self.stream(dialect, "sentence", says)
            out: list[list[Event]] = []
            with self.assertRaises(ContentBlocked):
                while (batch := stream.read_now()) is not None:
                    out.append(batch)
            self.assertNotIn(" not", said_in(out))
            self.assertTrue(self.vendor.aborted)

    def test_changed(self) -> None:
        """Texts that the checker gives stand in the stead of what was said."""
        for dialect in DIALECT_NAMES:
            for mode in ("hold", "sentence"):

                def says(material: Material) -> Judgement:
                    return Judgement("change", texts=[place.text.upper() for place in material.places])

                out = read(self.call_after(dialect, mode, says), through(self.made))
                self.assertEqual("".join(text for _, text in out.blocks), "ONE IS HERE. TWO IS NOT. THREE\nAND FOUR")
                self.assertEqual(out.finish, "stop")

    def call_after(self, dialect: str, mode: str, says: Any) -> Any:
        self.made = self.stream(dialect, mode, says)
        return self.call

    def searching(self, mode: str, says: Any) -> str:
        """What goes on of a stream that cites something, and whose vendor searches the web."""

        def delta(index: int, kind: str, **more: str | dict[str, str]) -> Event:
            return event("delta", index=index, delta={"type": f"{kind}_delta", **more})

        def event(kind: str, **more: Any) -> Event:
            data = json.dumps({"type": f"content_block_{kind}", "index": 1, **more}).encode()
            return Event(EventKind.CONTENT, b"data: %b\n\n" % data)

        cited = {"type": "web_search_result_location", "url": "u", "title": "bad title", "cited_text": "bad quote"}
        call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
        pieces = [delta(1, "input_json", partial_json=each) for each in ('{"q": "a ba', 'd one"}')]
        stream = self.stream("anthropic", mode, says, ("text", ["hello"]))
        script = [each for batch in self.script for each in batch]
        at = next(at for at, each in enumerate(script) if b"content_block_stop" in each.frame)
        cites, own = delta(0, "citations", citation=cited), [event("start", content_block=call), *pieces, event("stop")]
        self.vendor.script[:] = [[*script[:at], cites, script[at], *own], script[at + 1 :]]
        return said_in(through(stream))

    def test_what_the_vendors_tools_are_asked(self) -> None:
        """And find, and what is cited: held and judged as all else; what comes in pieces is one text."""
        for mode in ("hold", "sentence", "after"):
            for bad in ("a bad one", "bad quote", "bad title"):
                judged = lambda m, bad=bad: Judgement("block" if bad in str(m.places) else "pass")  # noqa: E731
                self.assertEqual("bad quote" in self.searching(mode, judged), mode == "after", (mode, bad))
                self.assertEqual(self.tally.verdict, "block", (mode, bad))
                self.assertEqual([each.name for each in self.told.seen[-1].called], ["web_search"])

    def test_what_is_cited_is_changed(self) -> None:
        """What no dialect reads does not go on then."""
        changed = lambda m: Judgement("change", texts=[each.text.replace("bad", "good") for each in m.places])  # noqa: E731
        for mode in ("hold", "sentence"):
            out = self.searching(mode, changed)
            self.assertIn("good quote", out)
            self.assertNotIn("bad", out)

    def test_arguments_are_judged_whole(self) -> None:
        stream = self.stream("openai_chat", "sentence", lambda m: Judgement(), ("tool", ['{"a": "One. ', 'Two. "}']))
        through(stream)
        self.assertEqual(self.texts()[0], ['{"a": "One. Two. "}'])
        self.assertEqual(self.told.seen[0].called[0].name, "look_up")

    def test_afterwards(self) -> None:
        """Nothing waits but the end, nothing is stopped, and all is told."""
        stream = self.stream("openai_chat", "after", lambda material: Judgement("block"))
        out = read(self.call, through(stream))
        self.assertEqual(out.blocks, [("text", "One is here. Two is not. Three\nand four")])
        self.assertEqual(self.tally.verdict, "block")

    def test_cannot_say(self) -> None:
        for rule in ("closed", "open"):
            stream = self.stream("openai_chat", "hold", lambda m: GuardFailed("unavailable"), on_failure=rule)
            if rule == "closed":
                self.assertRaises(GuardrailUnavailable, through, stream)
                self.assertTrue(self.vendor.aborted)
            else:
                self.assertIn("is here", str(read(self.call, through(stream))))
            self.assertEqual(self.tally.cause, "unavailable")

    def test_too_much_to_hold(self) -> None:
        self.patch(__import__("llmedge.pipeline.judged", fromlist=["x"]), "HELD", 200)
        stream = self.stream("openai_chat", "hold", lambda m: Judgement())
        self.assertRaises(GuardrailUnavailable, through, stream)
        self.assertEqual(self.tally.cause, "too_large")
        stream = self.stream("openai_chat", "hold", lambda m: Judgement(), on_failure="open")
        self.assertIn("and four", str(read(self.call, through(stream))))

    def test_a_client_that_leaves(self) -> None:
        """Nobody is asked any longer."""
        cancelled: list[Any] = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        stream = self.stream("openai_chat", "hold", lambda m: waiting, timeout=9.0)
        self.assertIsNone(stream.read_now())
        stream.abort()
        self.assertEqual(cancelled, [waiting])
        self.assertTrue(self.vendor.aborted)


def said_in(batches: list[list[Event]]) -> str:
    return b"".join(event.frame for batch in batches for event in batch).decode()
