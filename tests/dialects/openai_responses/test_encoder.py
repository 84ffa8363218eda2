"""The stream that a client gets from a vendor of another dialect."""

import json

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Begin, Close, Counted, Delta, End, Finish, Open, Sign, Text
from llmedge.model import EventKind
from tests.dialects.openai_responses.cases import BEGIN, COUNTED, DIALECT, RICH, decoded, encoded, output_text, parsed

TOLD = msgspec.structs.replace(BEGIN, service_tier="default")
"""What a client reads: a tier is always told."""


class Encoding(SynchronousTestCase):
    def test_every_event(self) -> None:
        """In full, for a short answer."""
        events: list[ir.StreamEvent] = [Begin("resp_1", "v", 9), Open(0, "text"), Delta(0, "Hi"), Close(0)]
        events += [Finish("length"), Counted(COUNTED), End()]
        out = DIALECT.encoder(ResponseContext("m", "7", 5)).encode(events)
        said = [json.loads(event.frame.split(b"\ndata: ")[1]) for event in out]
        for event, frame in zip(said, out, strict=True):
            self.assertTrue(frame.frame.startswith(b"event: %b\n" % event["type"].encode()))
        self.assertEqual([event["sequence_number"] for event in said], list(range(len(said))))
        whole = json.loads(
            DIALECT.render_answer(
                ir.Answer((ir.Choice((Text("Hi"),), "length"),), "resp_1", "v", 9, COUNTED),
                ResponseContext("m", "7", 5),
            )
        )
        begun = {**whole, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
        item = {"id": "msg_7_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        place = {"item_id": "msg_7_0", "output_index": 0, "content_index": 0}
        done = {**item, "status": "incomplete", "content": [output_text("Hi")]}
        self.assertEqual(
            said,
            [
                {"type": "response.created", "sequence_number": 0, "response": begun},
                {"type": "response.in_progress", "sequence_number": 1, "response": begun},
                {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item},
                {"type": "response.content_part.added", "sequence_number": 3, **place, "part": output_text("")},
                {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Hi", "logprobs": []},
                {"type": "response.output_text.done", "sequence_number": 5, **place, "text": "Hi", "logprobs": []},
                {"type": "response.content_part.done", "sequence_number": 6, **place, "part": output_text("Hi")},
                {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": done},
                {"type": "response.incomplete", "sequence_number": 8, "response": whole},
            ],
        )
        kinds = [event.kind for event in out]
        self.assertEqual(kinds, [EventKind.LIFECYCLE] * 4 + [EventKind.CONTENT] * 4 + [EventKind.DONE])

    def test_there_and_back(self) -> None:
        """What is encoded is decoded to the same."""
        self.assertEqual(decoded(encoded(RICH)), [TOLD, *RICH[1:]])

    def test_a_call_without_arguments_is_readable(self) -> None:
        """Clients read arguments as JSON."""
        stream = encoded([BEGIN, Open(0, "tool", 0, "c", "f"), Close(0), Finish("tool"), End()])
        self.assertEqual(stream.count(b'"arguments":"{}"'), 3)
        self.assertIn(Delta(0, "{}"), decoded(stream))

    def test_thought_signatures_of_calls(self) -> None:
        """Gemini wants them back: they are in the item, where clients that send items back unchanged keep them."""
        signed = ir.ToolCall("c", "f", "{}", "sig")
        answer = ir.Answer((ir.Choice((signed,), "tool"),), "resp_1", "m", 5, service_tier="default")
        body = DIALECT.render_answer(answer, ResponseContext("m"))
        self.assertEqual(DIALECT.parse_answer(body), answer)
        self.assertEqual(parsed(input=json.loads(body)["output"]).messages[0].parts, (signed,))
        end: list[ir.StreamEvent] = [Close(0), Finish("tool"), End()]
        events = [TOLD, Open(0, "tool", 0, "c", "f", "sig"), Delta(0, "{}"), *end]
        self.assertEqual(decoded(encoded(events)), events)
        events = [TOLD, Open(0, "tool", 0, "c", "f"), Sign(0, "sig"), Delta(0, "{}"), *end]  # known too late for that
        self.assertCountEqual(decoded(encoded(events)), events)

    def test_a_text_that_stays_open_keeps_its_message(self) -> None:
        """Each item is added and done once, whatever mixes."""
        events: list[ir.StreamEvent] = [BEGIN, Open(0, "text"), Open(1, "tool", 0, "c", "f"), Delta(1, "{}")]
        events += [Delta(0, "a"), Close(0), Close(1), Open(2, "refusal"), Delta(2, "No"), Close(2)]
        events += [Finish("tool"), End()]
        stream = encoded(events)
        self.assertEqual(stream.count(b"event: response.output_item.added"), 3)
        self.assertEqual(stream.count(b"event: response.output_item.done"), 3)
        final = json.loads(stream.rsplit(b"data: ", 1)[1])["response"]["output"]
        self.assertEqual([item["type"] for item in final], ["message", "function_call", "message"])
