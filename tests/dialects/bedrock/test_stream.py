"""Streams of ConverseStream, read and written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.bedrock.eventstream import encode
from llmedge.dialects.bedrock.stream import frame
from llmedge.dialects.dialect import ResponseContext
from llmedge.errors import (
    EdgeError,
    UpstreamCut,
    UpstreamMalformed,
    VendorFailed,
    VendorRateLimited,
    VendorRefused,
    VendorRejectedCredentials,
    VendorUnavailable,
)
from llmedge.model import EventKind
from tests.dialects.bedrock.cases import (
    BEGIN,
    DIALECT,
    EVENTS,
    METADATA,
    REASONS,
    WHOLE,
    close,
    delta,
    start,
    stop,
    thought,
)


def read(*chunks: bytes, limit: int = 10_000) -> list[ir.StreamEvent]:
    decoder = DIALECT.decoder(choices=1, max_event=limit)
    events: list[ir.StreamEvent] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    if decoder.broken is not None:
        raise decoder.broken
    return events + decoder.end()


class Streams(SynchronousTestCase):
    maxDiff = None

    def test_a_whole_stream(self) -> None:
        """Thoughts with their signature in one piece, redacted ones, text, citations, parallel calls, usage."""
        self.assertEqual(read(WHOLE), EVENTS)

    def test_split_at_every_byte(self) -> None:
        """How bytes come in is no part of what they mean."""
        for at in range(len(WHOLE)):
            self.assertEqual(read(WHOLE[:at], WHOLE[at:]), EVENTS)
        self.assertEqual(read(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))), EVENTS)

    def test_nothing_owed_but_usage(self) -> None:
        """After messageStop the answer is complete, not before."""
        decoder = DIALECT.decoder(choices=1, max_event=10_000)
        decoder.feed(WHOLE[: -len(METADATA) - 1])
        self.assertFalse(decoder.complete)
        decoder.feed(WHOLE[-len(METADATA) - 1 : -len(METADATA)])
        self.assertTrue(decoder.complete)
        self.assertEqual(decoder.end(), [ir.End()])

    def test_encoded_and_read_again(self) -> None:
        """What we write is read back as it was said."""
        events = DIALECT.encoder(ResponseContext("m")).encode(EVENTS)
        self.assertIs(events[-1].kind, EventKind.DONE)
        self.assertEqual(read(*(event.frame for event in events)), EVENTS)

    def test_reasons(self) -> None:
        """Each reason to stop has its counterpart."""
        for reason, finish in REASONS.items():
            expected = [ir.Begin(), ir.Finish(finish), ir.End()]  # type: ignore[arg-type]
            self.assertEqual(read(BEGIN + stop(reason)), expected)
        stopped = stop("stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
        self.assertEqual(read(BEGIN + stopped)[1], ir.Finish("stop_sequence", stop_sequence="END"))

    def test_a_cut_is_never_an_end(self) -> None:
        """Wherever it is cut before messageStop is complete, or within the metadata: it is never taken for whole."""
        for end in range(len(WHOLE)):
            if end != len(WHOLE) - len(METADATA):
                self.assertRaises(UpstreamCut, read, WHOLE[:end])
        without = [event for event in EVENTS if not isinstance(event, ir.Counted)]
        self.assertEqual(read(WHOLE[: -len(METADATA)]), without)

    def test_every_flipped_byte_is_found(self) -> None:
        """Checksums are checked: what came before is given, then the failure."""
        middle = delta(0, text="Hello")
        for at in range(len(middle)):
            broken = bytearray(middle)
            broken[at] ^= 0x20
            decoder = DIALECT.decoder(choices=1, max_event=10_000)
            self.assertEqual(decoder.feed(BEGIN + bytes(broken) + stop()), [ir.Begin()])
            self.assertIsInstance(decoder.broken, UpstreamMalformed)
            self.assertRaises(UpstreamMalformed, decoder.feed, b"")
            self.assertRaises(UpstreamMalformed, decoder.end)

    def test_too_large(self) -> None:
        """An event over the bound is refused by its length, before it is waited for."""
        head = delta(0, text="x" * 500)[:12]
        self.assertRaises(UpstreamMalformed, read, BEGIN + head, limit=300)
        self.assertRaises(UpstreamMalformed, read, b"data: {}\n\n  ")  # not this framing at all

    def test_errors_in_the_stream(self) -> None:
        """A vendor's exception is raised with its words, or its name where it has none."""
        for name, kind, words in (
            ("throttlingException", VendorRateLimited, "slow down"),
            ("serviceUnavailableException", VendorUnavailable, "slow down"),
            ("modelStreamErrorException", VendorFailed, "slow down"),
            ("internalServerException", VendorFailed, "slow down"),
            ("modelTimeoutException", VendorFailed, "slow down"),
            ("validationException", VendorRefused, "slow down"),
            ("accessDeniedException", VendorRejectedCredentials, "refused the gateway's credentials"),
        ):
            for before in (b"", BEGIN + delta(0, text="Hi")):
                error = self.assertRaises(kind, read, before + frame(name, {"message": "slow down"}, "exception"))
                self.assertIn(words, error.message)
        plain = encode({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "boom"}, b"")
        self.assertIn("boom", self.assertRaises(VendorFailed, read, BEGIN + plain).message)
        said = self.assertRaises(VendorFailed, read, BEGIN + DIALECT.error_frame(EdgeError("ours")))
        self.assertIn("ours", said.message)
        silent = self.assertRaises(VendorFailed, read, frame("oddException", {}, "exception"))
        self.assertIn("oddException", silent.message)

    def test_what_breaks_the_protocol(self) -> None:
        """An event that makes no sense breaks the stream."""
        for bad in (
            frame("contentBlockDelta", {"delta": 5, "contentBlockIndex": 0}),
            encode({":message-type": "event", ":event-type": "contentBlockDelta"}, b"\xff"),
            delta(0, toolUse={"input": "{}"}),
            start(0, "t", "f") + start(0, "t", "f"),
            stop() + stop(),
            stop() + delta(0, text="more"),
            stop() + start(0, "t", "f"),
            thought(0, redactedContent="x") + thought(0, redactedContent="y") + close(0),
        ):
            self.assertRaises(UpstreamMalformed, read, BEGIN + bad)

    def test_what_is_passed_over(self) -> None:
        """New kinds of events, and the tools Bedrock runs itself."""
        server = start(0, "s", "web", type="server_tool_use") + delta(0, toolUse={"input": "{}"}) + close(0)
        result = frame("contentBlockStart", {"start": {"toolResult": {"toolUseId": "s"}}, "contentBlockIndex": 1})
        result += delta(1, toolResult=[{"text": "found"}]) + close(1)
        new = frame("initial-response", {}) + frame("contentBlockStart", {"start": {}, "contentBlockIndex": 2})
        expected = [
            ir.Begin(),
            ir.Open(0, "text"),
            ir.Delta(0, "Hi"),
            ir.Close(0),
            ir.Finish("stop"),
            ir.End(),
        ]
        self.assertEqual(read(new + BEGIN + server + result + delta(2, text="Hi") + close(9) + stop()), expected)

    def test_redacted_in_pieces(self) -> None:
        """The pieces are one thought."""
        events = read(BEGIN + thought(0, redactedContent="eA==") + thought(0, redactedContent="eQ==") + stop())
        self.assertEqual(events[1], ir.Open(0, "thinking", signature="eHk=", redacted=True))
