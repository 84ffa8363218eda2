"""What is passed through as a stream, under guardrails."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.interfaces import Judgement
from llmedge.guards.refusals import ContentBlocked, ContentUnreadable
from llmedge.guards.verdicts import Tally
from llmedge.model import Event, EventKind
from llmedge.operations import Operation
from llmedge.pipeline.guarded import guarded_stream
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

    def test_sounds(self) -> None:
        """Nobody reads them: they go on as they come, or are refused before the first."""
        script = [[Event(EventKind.CONTENT, b"ID3")], [Event(EventKind.DONE, b"")]]
        self.assertEqual(through(self.stream(script, Operation.AUDIO_SPEECH, False)), script)
        self.assertEqual(self.tally.unread, ["audio"])
        with self.assertRaises(ContentUnreadable):
            self.stream(script, Operation.AUDIO_SPEECH, False, on_unreadable="refuse")
