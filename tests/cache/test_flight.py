"""A hundred equal calls at once: one is asked, all have the answer, and nobody depends on anybody."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.asked import NO_WISH, Asked
from llmedge.cache.flight import Flight
from llmedge.cache.refusals import FellBehind
from llmedge.call import Call
from llmedge.config.sections.cache import Cache
from llmedge.identity.configured import ANONYMOUS
from llmedge.model import Deadline, Event, EventKind
from llmedge.operations import Operation
from llmedge.record import Record, TraceContext
from llmedge.streams import ReplyStream
from tests.cache.test_endings import chat, delta, frames
from tests.fakes import Wire
from tests.pipeline.test_cached import DONE, GOOD, GOOD_STREAM, USAGE, Kept

MANY = 100
PRICE = '[prices."v/m"]\ninput = 1.0\noutput = 1.0\n'


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
                self.start(more=PRICE)
                access: Any = self.edge.site.edge.resource.inner
                access._traces, access._begin_trace = True, lambda _: TraceContext("a" * 32, "b" * 16)
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
                self.assertEqual((rest.trace.parent_id, rest.trace.span_id != "b" * 16), ("b" * 16, True))
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

    def test_failures(self) -> None:
        """Nobody waits for one after the other: where a second one has failed as well, each asks for itself."""
        self.start()
        wires = self.board(10)
        for answered in (1, 2):
            vendor = self.vendor()
            self.assertEqual(self.edge.reactor.tcpClients, [])
            vendor.answer(500, {"error": {"message": "down"}})
            self.assertEqual(sum(bool(wire.received()) for wire in wires), answered)
        self.assertEqual(len(self.edge.reactor.tcpClients) + bool(vendor.transport.value()), 8)

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

    def test_a_reader_that_comes_after_more_than_is_kept(self) -> None:
        """Where all of it comes at once: it asks for itself, and misses nothing."""
        self.start('max_entry = "2KiB"', PRICE)
        wires = self.board(3, stream=True)
        vendor = self.only()
        long = frames(delta(content="x"), *[delta(content=f"y{number}") for number in range(100)], delta("stop")) + DONE
        vendor.chunked("text/event-stream")
        for at in range(0, len(long), 500):
            vendor.protocol.dataReceived(b"")
            vendor.chunk(long[at : at + 500])
        vendor.say(b"0\r\n\r\n")
        for _ in range(3):
            self.edge.reactor.advance(0)
            if self.edge.reactor.tcpClients:
                vendor = self.vendor()
                vendor.chunked("text/event-stream")
                vendor.chunk(long)
                vendor.say(b"0\r\n\r\n")
        for wire in wires:
            self.assertEqual(wire.received().count(b'"y'), 100)
            self.assertIn(b"[DONE]", wire.received())

    def test_the_first_lags(self) -> None:
        """It is cut off, the others have all of it, and what that costs is in one record alone."""
        self.start('max_entry = "2KiB"', PRICE)
        slow, fast = self.board(2, stream=True)
        vendor = self.only()
        vendor.chunked("text/event-stream")
        vendor.chunk(frames(delta(content="x")))
        self.edge.reactor.advance(0)
        slow.transport.producer.pauseProducing()
        for _ in range(100):
            vendor.chunk(frames(delta(content="y" * 100)))
            self.edge.reactor.advance(0)
        with contextlib.suppress(RuntimeError):
            slow.transport.producer.resumeProducing()
        self.edge.reactor.advance(0)
        vendor.chunk(frames(delta("stop") | USAGE) + DONE)
        vendor.say(b"0\r\n\r\n")
        self.edge.reactor.advance(0)
        self.assertIn(b"[DONE]", fast.received())
        costs = [each.accounting.cost for each in (*self.edge.records, *self.alone)]
        self.assertEqual(sum(each or 0 for each in costs), 5_000_000, costs)

    def test_the_first_ones_time_is_up(self) -> None:
        """The others' is not: nobody is asked again."""
        for stream in (False, True):
            self.start()
            ask = self.asked | ({"stream": True} if stream else {})
            first = self.ask("/v1/chat/completions", ask, headers={"x-llmedge-timeout": "2"})
            others = self.board(3, stream)
            vendor = self.only()
            self.edge.reactor.advance(3)
            self.assertEqual(first.response().status, 504)
            if stream:
                vendor.chunked("text/event-stream")
                vendor.chunk(GOOD_STREAM)
                vendor.say(b"0\r\n\r\n")
            else:
                vendor.answer(200, GOOD)
            self.edge.reactor.advance(0)
            self.assertEqual(self.how(others), ["COLLAPSED"] * 3)
            self.assertEqual(self.edge.reactor.tcpClients, [])

    def test_heartbeats(self) -> None:
        """Who waits for another one's stream has them as that one has."""
        self.start()
        wires = self.board(2, stream=True)
        self.only()
        self.edge.reactor.pump([5.0] * 5)
        first, other = (wire.received().count(b"\n: ping") for wire in wires)
        self.assertGreater(first, 0)
        self.assertEqual(other, first)

    def test_the_first_leaves_a_vendor_that_tells_no_usage(self) -> None:
        """What it costs is estimated, as it would have been."""
        for stream in (False, True):
            self.start(more=PRICE)
            wires = self.board(2, stream)
            vendor = self.only()
            wires[0].leave()
            self.edge.reactor.advance(0)
            if stream:
                vendor.chunked("text/event-stream")
                vendor.chunk(frames(delta(content="fine " * 20), delta("stop")) + DONE)
                vendor.say(b"0\r\n\r\n")
            else:
                vendor.answer(200, chat("stop", content="fine " * 20))
            self.edge.reactor.advance(0)
            (rest,) = self.alone
            self.assertEqual((rest.outcome, rest.accounting.estimated), ("ok", True))
            self.assertGreater(rest.accounting.usage.output, 20)
            self.assertGreater(rest.accounting.cost, 20_000_000)

    def test_a_vendor_that_never_answers(self) -> None:
        """Has a call that nobody waits for no longer than one that somebody does."""
        for cache in ("finish = true", "ttl = 10\nstale_while_revalidate = 1000"):
            self.start(cache, "[server]\ntimeout = 100\n")
            if "finish" in cache:
                self.call().leave()
            else:
                _, vendor = self.answered()
                vendor.answer(200, GOOD)
                self.edge.reactor.advance(20)
                self.assertIn(b"STALE", self.call().received())
            self.edge.reactor.advance(0)
            vendor = self.vendor()
            self.edge.reactor.pump([10.0] * 9)
            self.assertFalse(vendor.transport.gone)
            self.edge.reactor.pump([10.0] * 2)
            self.assertEqual((vendor.transport.gone, len(self.alone)), (True, 1), cache)
            self.assertEqual(self.edge.service._process._cache.flights, {})

    def test_a_new_one_that_is_too_large(self) -> None:
        """Nobody waits for it: it is given up, and in one record."""
        for ended in (b"", frames(delta("stop") | USAGE) + DONE):
            self.start('max_entry = "1KiB"\nttl = 10\nstale_while_revalidate = 100')
            _, vendor = self.answered(True)
            vendor.chunk(GOOD_STREAM)
            vendor.say(b"0\r\n\r\n")
            self.edge.reactor.advance(20)
            self.assertIn(b"STALE", self.call(True).received())
            vendor = self.vendor()
            vendor.chunked("text/event-stream")
            vendor.chunk(frames(*[delta(content="x" * 100)] * 20) + ended)
            self.edge.reactor.advance(0)
            self.assertEqual(len(self.alone), 1, [each.outcome for each in self.alone])
            self.assertTrue(vendor.transport.gone or ended)


class Ends(SynchronousTestCase):
    """Of flights whose work does not do as it is told."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ends: list[Any] = []
        record = Record("r", "POST", "/", "p", 0.0)
        deadline = Deadline(self.clock, 60.0)
        call = Call(Operation.CHAT, "openai_chat", "m", {}, True, False, 1, ANONYMOUS, deadline, record)
        asked = Asked(b"", b"", call, Cache(max_entry=1000, finish=False), NO_WISH)
        self.flight = Flight(asked, self.ends.append)

    def test_a_stream_that_comes_after_all_have_left(self) -> None:
        """Is given up: nobody will read it."""
        stream = Scripted([])
        late: Deferred[Any] = Deferred()

        async def ask(call: Call) -> Any:
            with contextlib.suppress(CancelledError):
                await Deferred()
            return await late

        self.flight.start(ask)
        waiting = Deferred.fromCoroutine(self.flight.answer(self.flight.payer))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        late.callback(stream)
        self.assertTrue(stream.aborted)
        self.assertEqual(len(self.ends), 1)

    def test_what_was_not_kept(self) -> None:
        """Is missing in nobody's stream: who comes after it has nothing of this one."""
        batches = [[Event(EventKind.CONTENT, b"%d" % number * 600)] for number in range(5)]

        async def ask(call: Call) -> Any:
            await arrival
            return Scripted(batches)

        arrival: Deferred[None] = Deferred()
        self.flight.start(ask)
        read: list[bytes] = []

        async def first() -> None:
            rider: Any = await self.flight.answer(self.flight.payer)
            while (events := rider.read_now()) is not None:
                read.extend(event.frame for event in events)

        leading = Deferred.fromCoroutine(first())
        following = Deferred.fromCoroutine(self.flight.answer(msgspec.structs.replace(self.flight.record)))
        arrival.callback(None)
        self.successResultOf(leading)
        self.assertEqual(len(read), 5)
        self.failureResultOf(following, FellBehind)

    def test_a_stream_with_a_defect(self) -> None:
        """Ends it as any failure does: nobody waits for ever."""

        async def ask(call: Call) -> Any:
            return Scripted([ZeroDivisionError()])

        self.flight.start(ask)
        rider = self.successResultOf(Deferred.fromCoroutine(self.flight.answer(self.flight.payer)))
        self.assertRaises(ZeroDivisionError, rider.read_now)
        self.assertEqual(len(self.ends), 1)
        self.assertIsInstance(self.flight.error, ZeroDivisionError)


class Scripted(ReplyStream):
    aborted = False

    def __init__(self, script: list[Any]) -> None:
        self._script = script

    def read_now(self) -> Any:
        if not self._script:
            return None
        said = self._script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def on_readable(self, wake: Any) -> None: ...

    def abort(self) -> None:
        self.aborted = True
