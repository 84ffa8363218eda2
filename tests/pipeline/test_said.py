"""What is said in answers, seen by a filter."""

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.model import Answer
from llmedge.pipeline.said import SaidStream, said_in
from tests.pipeline.harness import END, ROLE, Stream, chunk, read
from tests.pipeline.test_content import call


class Words:
    """Counts words."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        self.count += sum(len(event.text.split()) for event in events if isinstance(event, ir.Delta))
        return events


class Shout:
    """Changes what is said, from the second time on."""

    calls = 0

    def __call__(self, events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
        self.calls += 1
        if self.calls < 3:
            return events
        return [
            msgspec.structs.replace(event, text=event.text.upper()) if isinstance(event, ir.Delta) else event
            for event in events
        ]


SCRIPT = ([ROLE], [chunk("one two ")], [chunk("three")], END)


class Streams(SynchronousTestCase):
    def stream(self, filter: Any) -> tuple[str, list[bytes]]:
        frames: list[bytes] = []
        stream = SaidStream(Stream(Clock(), *map(list, SCRIPT)), filter, call("openai_chat"))
        reading = Deferred.fromCoroutine(read(stream, lambda events: frames.extend(each.frame for each in events)))
        return self.successResultOf(reading), frames

    def test_what_is_left_alone_stays_bytes(self) -> None:
        words = Words()
        text, frames = self.stream(words)
        self.assertEqual((text, words.count), ("one two three", 3))
        self.assertEqual(frames, [event.frame for batch in SCRIPT for event in batch])

    def test_what_is_changed(self) -> None:
        """From the first change on the client gets what the filter made of it; the end stays whole."""
        text, frames = self.stream(Shout())
        self.assertEqual(text, "one two THREE")
        self.assertEqual(frames[-1], b"data: [DONE]\n\n")


class Answers(SynchronousTestCase):
    def test_a_whole_answer(self) -> None:
        """The same events as of a stream, tool calls too."""
        function = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        message = {"role": "assistant", "content": "one two three", "tool_calls": [function]}
        body = {"id": "c", "model": "up", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
        events = said_in(call("openai_chat"), Answer(json.dumps(body).encode()))
        words = Words()
        self.assertIs(words(events), events)
        self.assertEqual(words.count, 4)
        kinds = [type(event).__name__ for event in events]
        self.assertEqual(kinds, ["Begin", "Open", "Delta", "Close", "Open", "Delta", "Close", "Finish", "End"])
        self.assertIn(ir.Open(1, "tool", 0, "1", "f"), events)
