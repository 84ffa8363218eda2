"""What is passed through as a stream, under guardrails."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.interfaces import Judgement
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable, GuardrailUnavailable
from llmedge.guards.verdicts import Tally
from llmedge.model import Event, EventKind, Target
from llmedge.operations import Operation
from llmedge.pipeline import passed
from llmedge.pipeline.guarded import guarded_stream
from llmedge.record import Attempt
from tests.guards import made
from tests.guards.made import CANARY, Canaries, Told, guard
from tests.pipeline.spoken import Script
from tests.pipeline.test_guarded_stream import through


def event(kind: EventKind = EventKind.CONTENT, **data: Any) -> Event:
    return Event(kind, b"event: x\ndata: " + json.dumps(data).encode() + b"\n\n")


HEARD = [
    [event(type="transcript.text.delta", delta="to canary-17")],
    [event(type="transcript.text.delta", delta="@leak.example")],
    [event(type="transcript.text.done", text=f"to {CANARY}"), Event(EventKind.DONE, b"")],
]


class Passed(SynchronousTestCase):
    def stream(self, script: Any, operation: Operation, streamed: bool = True, **settings: Any) -> Any:
        clock = Clock()
        call = made.call({}, "passthrough", operation, clock, stream=streamed)
        checker = settings.pop("checker", None)
        detector = None if checker is not None else Canaries()
        self.tally = Tally(guard(detector, checker, on=("response",), **settings), False)
        self.over = 0

        def over() -> None:
            self.over += 1

        return guarded_stream(call, Script(clock, *map(list, script)), [self.tally], over)

    def test_masked(self) -> None:
        """What comes in pieces, and what says it once more at the end."""
        stream = self.stream(HEARD, Operation.AUDIO_TRANSCRIPTIONS, action="mask")
        said = b"".join(each.frame for batch in through(stream) for each in batch)
        self.assertNotIn(b"canary", said)
        self.assertEqual(said.count(b"to [CANARY]"), 2)
        self.assertEqual(said.count(b"event: x"), 2)
        self.assertTrue(self.over)

    def test_clean(self) -> None:
        script = [[event(type="transcript.text.delta", delta="hi"), Event(EventKind.DONE, b"")]]
        stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS)
        self.assertEqual(through(stream), script)

    def test_blocked(self) -> None:
        self.assertRaises(ContentBlocked, through, self.stream(HEARD, Operation.AUDIO_TRANSCRIPTIONS))
        told = Told(lambda material: Judgement("block"))
        stream = self.stream(HEARD, Operation.AUDIO_TRANSCRIPTIONS, checker=told)
        self.assertRaises(ContentBlocked, through, stream)
        self.assertEqual(told.seen[0].answer, [f"to {CANARY}"])

    def test_what_is_no_json(self) -> None:
        """Some servers send lines of text; what nobody can read is closed, or passes and is told."""
        text = f"to {CANARY}".encode()
        script = [[Event(EventKind.CONTENT, b"data: %b\ndata: more\n\n" % text), Event(EventKind.DONE, b"")]]
        stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS, action="mask")
        self.assertEqual(through(stream)[0][0].frame, b"data: to [CANARY]\ndata: more\n\n")
        for odd in (b'{"text": "%b", "n": NaN}' % text, text + b"\xff"):
            script = [[Event(EventKind.CONTENT, b"data: %b\n\n" % odd), Event(EventKind.DONE, b"")]]
            for rule in ("closed", "open"):
                stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS, action="mask", on_failure=rule)
                if rule == "open":
                    self.assertEqual(through(stream), script)
                else:
                    self.assertRaises(GuardrailUnavailable, through, stream)
                self.assertEqual(self.tally.cause, "answer")

    def test_bodies_that_are_no_events(self) -> None:
        """Texts that were heard, in whatever form, in pieces as they come from a socket, whether or not a stream was
        asked for."""
        for body, want in (
            (b"1\n00:00 --> 00:01\nto %b\n", b"1\n00:00 --> 00:01\nto [CANARY]\n"),
            (b"data: to %b", b"data: to [CANARY]"),
            (b'{"text": "to %b"}', b'{"text":"to [CANARY]"}'),
        ):
            said = body % CANARY.encode()
            pieces = [[Event(EventKind.CONTENT, said[at : at + 5])] for at in range(0, len(said), 5)]
            for streamed in (False, True):
                script = [*pieces, [Event(EventKind.DONE, b"")]]
                stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS, streamed, action="mask")
                self.assertEqual(b"".join(each.frame for batch in through(stream) for each in batch), want)
                stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS, streamed)
                self.assertRaises(ContentBlocked, through, stream)
                stream = self.stream(script, Operation.AUDIO_TRANSCRIPTIONS, streamed, mode="shadow")
                self.assertEqual(through(stream), [[each for batch in script for each in batch]])

    def test_pictures(self) -> None:
        """What its vendor calls one is one; of all else the length may change."""
        for kind, length in (("image/png", 3), ("text/plain", None)):
            call = made.call({}, "passthrough", Operation.IMAGES_GENERATIONS, clock := Clock())
            attempt = Attempt(Target("p", "m"), 0.0, content_type=kind, content_length=3)
            call.record.routing.attempts.append(attempt)
            script = [[Event(EventKind.CONTENT, b"PNG")], [Event(EventKind.DONE, b"")]]
            tally = Tally(guard(Canaries(), on=("response",)), False)
            through(guarded_stream(call, Script(clock, *script), [tally], lambda: None))
            self.assertEqual((attempt.content_length, bool(tally.unread)), (length, kind == "image/png"))

    def test_too_much_to_be_held(self) -> None:
        """Its vendor is let go of."""
        self.patch(passed, "HELD", 10)
        call = made.call({}, "passthrough", Operation.AUDIO_TRANSCRIPTIONS, clock := Clock(), stream=True)
        vendor = Script(clock, *map(list, HEARD))
        tally = Tally(guard(Canaries(), on=("response",)), False)
        self.assertRaises(GuardrailUnavailable, through, guarded_stream(call, vendor, [tally], lambda: None))
        self.assertTrue(vendor.aborted)

    def test_sounds(self) -> None:
        """Nobody reads them: they go on as they come, or are refused before the first."""
        script = [[Event(EventKind.CONTENT, b"ID3")], [Event(EventKind.DONE, b"")]]
        self.assertEqual(through(self.stream(script, Operation.AUDIO_SPEECH, False)), script)
        self.assertEqual(self.tally.unread, ["audio"])
        with self.assertRaises(ContentUnreadable):
            self.stream(script, Operation.AUDIO_SPEECH, False, on_unreadable="refuse")
