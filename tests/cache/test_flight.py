"""A hundred equal calls at once: one is asked, all have the answer, and nobody depends on anybody."""

from __future__ import annotations

import contextlib
from typing import Any

from tests.cache.test_endings import delta, frames
from tests.fakes import Wire
from tests.pipeline.test_cached import DONE, GOOD, USAGE, Kept

MANY = 100


class Together(Kept):
    def board(self, number: int = MANY, stream: bool = False) -> list[Wire]:
        return [self.call(stream) for _ in range(number)]

    def only(self) -> Any:
        """The vendor's one connection."""
        vendor = self.vendor()
        self.assertEqual(self.edge.reactor.tcpClients, [])
        return vendor

    def how(self, wires: list[Wire]) -> list[str]:
        return [wire.response().headers["x-llmedge-cache"] for wire in wires]

    def test_whole(self) -> None:
        """A hundred records; the first pays."""
        self.start(more='[prices."v/m"]\ninput = 1.0\noutput = 1.0\n')
        wires = self.board()
        self.only().answer(200, GOOD | {"id": "chatcmpl-123456"})
        bodies = {wire.received().partition(b"\r\n\r\n")[2] for wire in wires}
        self.assertEqual(len(bodies), MANY)  # each has an id of its own
        self.assertEqual(self.how(wires), ["MISS", *["COLLAPSED"] * (MANY - 1)])
        records = self.edge.records
        self.assertEqual((len(records), {each.outcome for each in records}), (MANY, {"ok"}))
        self.assertEqual([each.accounting.cost for each in records], [5_000_000, *[0] * (MANY - 1)])
        self.assertEqual({each.accounting.saved for each in records[1:]}, {5_000_000})
        self.assertEqual(self.alone, [])
        self.assertEqual(self.edge.service._process._cache.flights, {})

    def test_a_stream(self) -> None:
        """Who comes later has it from its beginning, as it comes."""
        self.start()
        wires = self.board(3, stream=True)
        vendor = self.only()
        vendor.chunked("text/event-stream")
        vendor.chunk(frames({"id": "chatcmpl-123456"} | delta(content="one")))
        self.edge.reactor.advance(0)
        wires += self.board(2, stream=True)
        self.edge.reactor.advance(0)
        self.assertTrue(all(b"one" in wire.received() for wire in wires))
        vendor.chunk(frames({"id": "chatcmpl-123456"} | delta("stop", content="two")) + DONE)
        vendor.say(b"0\r\n\r\n")
        self.edge.reactor.advance(0)
        self.assertEqual(self.how(wires), ["MISS", *["COLLAPSED"] * 4])
        self.assertEqual({each.outcome for each in self.edge.records}, {"ok"})
        self.assertTrue(self.kept(True))

    def test_the_first_leaves(self) -> None:
        """At any time; the others have all of it, and what it costs is in a record of its own, once."""
        for stream in (False, True):
            for said in (0, 1) if stream else (0,):
                self.start(more='[prices."v/m"]\ninput = 1.0\noutput = 1.0\n')
                wires = self.board(stream=stream)
                vendor = self.only()
                if said:
                    vendor.chunked("text/event-stream")
                    vendor.chunk(frames(delta(content="one")))
                    self.edge.reactor.advance(0)
                wires.pop(0).leave()
                self.edge.reactor.advance(0)
                self.assertFalse(vendor.transport.gone)
                if stream:
                    if not said:
                        vendor.chunked("text/event-stream")
                    vendor.chunk(frames(delta(content="two"), delta("stop") | USAGE) + DONE)
                    vendor.say(b"0\r\n\r\n")
                else:
                    vendor.answer(200, GOOD)
                self.edge.reactor.advance(0)
                self.assertEqual(self.how(wires), ["COLLAPSED"] * (MANY - 1))
                first, *others = self.edge.records
                self.assertEqual((first.outcome, first.accounting.cost), ("client_closed", None), (stream, said))
                self.assertEqual({(each.outcome, each.accounting.cost) for each in others}, {("ok", 0)})
                (rest,) = self.alone
                self.assertEqual((rest.outcome, rest.accounting.cost, rest.status), ("ok", 5_000_000, 200))
                self.assertTrue(self.kept(stream))

    def test_all_leave(self) -> None:
        """The vendor is told at once; the first pays for what it had said."""
        for stream in (False, True):
            self.start()
            wires = self.board(3, stream)
            vendor = self.only()
            if stream:
                vendor.chunked("text/event-stream")
                vendor.chunk(frames(delta(content="one two three")))
                self.edge.reactor.advance(0)
            for wire in reversed(wires):
                self.assertFalse(vendor.transport.gone)
                wire.leave()
                self.edge.reactor.advance(0)
            self.assertTrue(vendor.transport.gone)
            self.assertEqual([each.outcome for each in self.edge.records], ["client_closed"] * 3)
            self.assertEqual(self.alone, [])
            self.assertIsNotNone(self.edge.records[-1].accounting.usage)
            self.assertEqual(self.edge.service._process._cache.flights, {})

    def test_a_failure(self) -> None:
        """Is the first one's alone: another one asks, and the others wait for that."""
        self.start()
        wires = self.board(3)
        self.only().answer(400, {"error": {"message": "not you"}})
        self.assertEqual(wires[0].response().status, 400)
        self.assertEqual([wire.received() for wire in wires[1:]], [b"", b""])
        self.vendor().answer(200, GOOD)
        self.assertEqual(self.how(wires[1:]), ["MISS", "COLLAPSED"])

    def test_a_stream_that_breaks(self) -> None:
        """For all who read it, visibly."""
        self.start(more='[models.m]\ntargets = ["v/m"]\nstream_recovery = "off"\n')
        wires = self.board(3, stream=True)
        vendor = self.only()
        vendor.chunked("text/event-stream")
        vendor.chunk(frames(delta(content="one")))
        self.edge.reactor.advance(0)
        vendor.transport.loseConnection()
        self.edge.reactor.advance(0)
        for wire in wires:
            self.assertIn(b'"error"', wire.received())
            self.assertNotIn(b"[DONE]", wire.received())
        self.assertEqual({each.outcome for each in self.edge.records} - {"cut", "error"}, set())
        self.assertFalse(self.kept(True))

    def test_a_deadline_each(self) -> None:
        self.start()
        first = self.call()
        self.only()
        self.edge.reactor.advance(1)
        short = self.ask("/v1/chat/completions", self.asked, headers={"x-llmedge-timeout": "2"})
        self.edge.reactor.advance(3)
        self.assertEqual(short.response().status, 504)
        self.vendor().answer(200, GOOD)
        self.assertEqual(self.how([first]), ["MISS"])

    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}

    def test_who_wants_it_anew(self) -> None:
        """Joins nobody; nor does anybody where that is off."""
        self.start()
        self.call()
        self.vendor()
        self.ask("/v1/chat/completions", self.asked, headers={"cache-control": "no-cache"})
        self.assertEqual(len(self.edge.reactor.tcpClients), 1)
        self.start("coalesce = false")
        self.board(3)
        self.assertEqual(len(self.edge.reactor.tcpClients), 3)

    def test_a_reader_that_lags(self) -> None:
        """Others do not wait for it, and what it has not read is not kept for ever."""
        self.start('max_entry = "2KiB"')
        slow, fast = self.board(2, stream=True)
        vendor = self.only()
        vendor.chunked("text/event-stream")
        vendor.chunk(frames(delta(content="x")))
        self.edge.reactor.advance(0)
        slow.transport.producer.pauseProducing()
        for _ in range(100):
            vendor.chunk(frames(delta(content="y" * 100)))
            self.edge.reactor.advance(0)
        vendor.chunk(frames(delta("stop")) + DONE)
        vendor.say(b"0\r\n\r\n")
        self.edge.reactor.advance(0)
        self.assertIn(b"[DONE]", fast.received())
        with contextlib.suppress(RuntimeError):  # its connection is closed by that, which the transport in memory minds
            slow.transport.producer.resumeProducing()
        self.edge.reactor.advance(0)
        self.assertIn(b"read too slowly", slow.received())
        self.assertTrue(slow.transport.gone)

    def test_other_questions(self) -> None:
        """Have nothing to do with it."""
        self.start()
        self.call()
        self.ask("/v1/chat/completions", self.asked | {"seed": 1})
        self.assertEqual(len(self.edge.reactor.tcpClients), 2)
