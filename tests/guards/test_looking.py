"""Detectors at requests: what was found clean is not looked at again, and no step is long."""

import json
from time import process_time
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import looking
from llmedge.guards.body import Body
from llmedge.guards.looking import Beginning, Clean, Look, in_turns
from llmedge.guards.registry import GuardTypes
from llmedge.guards.rules import GuardSet
from llmedge.guards.verdicts import Stop, Tally
from tests.guards.made import CANARY, Canaries, guard


class Conversation:
    """The same guardrails at one request after the other."""

    def __init__(self, *guards: Any, clean: Clean | None = None) -> None:
        self.held = GuardSet(guards)
        self.clean = clean or Clean()
        self.tallies: list[Tally] = []

    def steps(self, fields: dict[str, Any]) -> Any:
        raw = msgspec.json.decode(json.dumps(fields), type=dict[str, msgspec.Raw])
        self.body = Body(raw)
        self.tallies = [Tally(each, True) for each, _ in self.held.detectors]
        looking = [(tally, detector) for tally, (_, detector) in zip(self.tallies, self.held.detectors, strict=True)]
        return Look(self.body, self.held, looking, self.clean, None).steps()

    def look(self, *texts: Any) -> dict[str, int]:
        """At messages of these texts; the finds."""
        messages = [
            {"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(texts)
        ]
        for _ in self.steps({"messages": messages}):
            pass
        return self.tallies[0].finds or {}


LONG = "words and words " * 150


class Remembered(SynchronousTestCase):
    def test_only_what_is_new(self) -> None:
        """The next turn costs what is new in it: short conversations and long ones."""
        for text in ("short", LONG):
            detector = Canaries()
            conversation = Conversation(guard(detector, action="mask"))
            history = [f"{text} {number}" for number in range(20)]
            conversation.look(*history)
            before = detector.looked
            conversation.look(*history, "answer", "next")
            self.assertEqual(detector.looked - before, 2)
            conversation.look(*history, "answer", "next")
            self.assertEqual(detector.looked - before, 2)

    def test_finds_are_found_each_time(self) -> None:
        """Behind any beginning, and in it; in what came back, in masks and in shadow."""
        for mode in ("enforce", "shadow"):
            for place in (0, 5, 19):
                conversation = Conversation(guard(Canaries(), action="mask", mode=mode))
                history = [f"{LONG} {number}" for number in range(20)]
                conversation.look(*history)
                history[place] += CANARY
                for _ in range(3):
                    self.assertEqual(conversation.look(*history), {"CANARY": 1})
                    self.assertEqual(conversation.look(*history, "more", CANARY), {"CANARY": 2})
                    self.assertEqual(conversation.body.changed() is not None, mode == "enforce")

    def test_another_beginning_of_the_same_length(self) -> None:
        """A conversation that is another one somewhere in the middle is looked at."""
        conversation = Conversation(guard(Canaries()))
        history = [f"{LONG} {number}" for number in range(20)]
        conversation.look(*history)
        other = list(history)
        other[7] = other[7][: -len(CANARY)] + CANARY
        with self.assertRaises(Stop):
            conversation.look(*other, "and", "more")

    def test_not_by_others(self) -> None:
        """What one set of guardrails has found clean another has not; nor in another field."""
        clean = Clean()
        Conversation(guard(Canaries(), on=("system",)), clean=clean).look(CANARY)
        self.assertEqual(Conversation(guard(Canaries(), action="mask"), clean=clean).look(CANARY), {"CANARY": 1})
        conversation = Conversation(guard(Canaries(), on=("system",)), clean=clean)
        for _ in conversation.steps({"metadata": {"a": CANARY}}):
            pass
        with self.assertRaises(Stop):
            for _ in conversation.steps({"system": {"a": CANARY}}):
                pass

    def test_it_has_an_end(self) -> None:
        """Of what was not seen for longest half is forgotten."""
        clean = Clean(8)
        for number in range(100):
            clean.add(b"%d" % number, [])
            clean.begin(b"%d" % number, Beginning(1, b"", 1, []))
            self.assertIsNotNone(clean.known.get(b"%d" % number))
            self.assertLessEqual(len(clean.known) + len(clean._old), 8)
            self.assertLessEqual(len(clean.beginnings), 1)
        self.assertIsNone(clean.again(b"1"))
        self.assertIsNotNone(clean.again(b"95"))

    def test_pictures_are_remembered(self) -> None:
        """What is in a message that was seen before is told each time."""
        picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40000}}]
        conversation = Conversation(guard(Canaries()))
        for texts in ([picture], [picture], [picture, "a", "b"]):
            conversation.look(*texts)
            self.assertEqual(conversation.tallies[0].unread, ["image"])


class Turns(SynchronousTestCase):
    def test_what_is_in_many_pieces(self) -> None:
        """Large items of many small texts are read in a thread, and looked at in many steps."""
        parts = [{"type": "text", "text": "hello 12"} for _ in range(5000)]
        arguments = json.dumps({"rows": [{"a": "hello", "b": number} for number in range(5000)]})
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for message in ({"role": "user", "content": parts}, {"role": "assistant", "tool_calls": [call]}):
            conversation = Conversation(guard(Canaries()))
            steps = conversation.steps({"messages": [message]})
            reading = next(steps)
            self.assertEqual(reading(), conversation.body.units[0])
            self.assertGreater(len(list(steps)), 200)
        self.assertEqual([step for step in Conversation(guard(Canaries())).steps({"input": "a"}) if step], [])

    def test_no_step_is_long(self) -> None:
        """A megabyte is looked at in steps of less than two milliseconds; what looks like something in all its words in
        steps not much longer."""
        types = GuardTypes()
        made = [types[name].make(types[name].settings(name=name, type=name), None) for name in ("pii", "secrets")]
        usual = "In 2026 the 17 members met twice, and wrote to press@example.org: page 4, line 2. " * 12000
        dense = "Call +49 30 1234567 or 4111 1111 1111 1112, mail a@b, token=x y 10.1.2.3 " * 1500
        for text, most in ((usual, 0.002), (dense, 0.006)):
            for content in (text, [{"type": "text", "text": text}]):
                took = 1.0
                for _ in range(3):
                    if took >= most:
                        took = self.longest(made, {"messages": [{"role": "user", "content": content}]})
                self.assertLess(took, most)

    def longest(self, made: list[Any], fields: dict[str, Any]) -> float:
        """Of the steps that a request takes, in seconds; but for three, in which garbage may have been collected."""
        held = Conversation(*(guard(each, name=str(number), mode="shadow") for number, each in enumerate(made)))
        steps, took = held.steps(fields), []
        while True:
            begun = process_time()
            step = next(steps, self)
            if step is self:
                break
            took.append(process_time() - begun)
            if callable(step):  # in a thread
                step()
        self.assertGreater(len(took), 100)
        return sorted(took)[-4]

    def test_others_have_their_turn(self) -> None:
        clock = Clock()

        def steps() -> Any:
            for _ in range(3):
                begun = process_time()
                while process_time() - begun < 0.002:
                    pass
                yield

        others: list[Any] = []
        done = Deferred.fromCoroutine(in_turns(steps(), clock))
        clock.callLater(0, others.append, done.called)
        clock.advance(0)
        self.assertEqual((others, done.called), ([False], True))

    def test_what_takes_long_is_in_a_thread(self) -> None:
        done: list[str] = []
        self.patch(looking, "in_thread", lambda clock, step: succeed(done.append(step())))
        self.successResultOf(Deferred.fromCoroutine(in_turns(iter([None, lambda: "read", None]), Clock())))
        self.assertEqual(done, ["read"])
