"""None of the ways in which an answer can go wrong is kept, whole or as a stream; what is right is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed

from llmedge.cache.entry import Entry
from tests.cache.test_endings import CALL, chat, delta, frames
from tests.fakes import Wire
from tests.web.through import TOML, Asked, Through

ASKED = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
DONE = b"data: [DONE]\n\n"
GOOD = chat("stop", content="fine") | USAGE
GOOD_STREAM = frames(delta(content="fine"), delta("stop")) + DONE


class Kept(Through):
    cache = "[rate_limit]\nenabled = false\n[cache]\nenabled = true\n{}\n[routing]\nretries = 0\n"

    def start(self, cache: str = "", more: str = "") -> None:
        self.begin(self.cache.format(cache), TOML + more)

        self.alone: list[Any] = []
        """Records of calls that go on though nobody asks for them any more."""
        self.edge.service.graph.pipeline.deps.observers.append(self.alone.append)

    def call(self, stream: bool = False) -> Wire:
        return self.ask("/v1/chat/completions", ASKED | ({"stream": True} if stream else {}))

    def answered(self, stream: bool = False) -> tuple[Wire, Asked]:
        wire = self.call(stream)
        vendor = self.vendor()
        if stream:
            vendor.chunked("text/event-stream")
        return wire, vendor

    def kept(self, stream: bool = False) -> bool:
        """Whether the next one has its answer at once."""
        self.edge.reactor.advance(0)
        wire = self.call(stream)
        found = bool(wire.received()) and b"X-Llmedge-Cache: HIT" in wire.received()
        wire.leave()
        self.edge.reactor.advance(0)
        return found

    def whole(self, answer: Any, status: int = 200, cache: str = "") -> bool:
        self.start(cache)
        _, vendor = self.answered()
        vendor.answer(status, answer)
        return self.kept()

    def streamed(self, body: bytes, cache: str = "", ended: bool = True) -> bool:
        self.start(cache)
        _, vendor = self.answered(True)
        vendor.chunk(body)
        if ended:
            vendor.say(b"0\r\n\r\n")
        return self.kept(True)


class Wrong(Kept):
    def test_whole(self) -> None:
        self.assertTrue(self.whole(GOOD))
        for answer in (
            chat("length", content="fine"),
            chat("content_filter", content="fine"),
            chat("stop", content=None, refusal="no"),
            chat("stop", content=""),
            chat("tool_calls", content=None, tool_calls=CALL),
            {"error": {"message": "behind a status of 200"}},
            b"no json",
        ):
            self.assertFalse(self.whole(answer), answer)
        for status in (400, 401, 404, 413, 422, 429, 500, 503, 529):
            self.assertFalse(self.whole({"error": {"message": "no"}}, status), status)

    def test_streams(self) -> None:
        self.assertTrue(self.streamed(GOOD_STREAM))
        for body in (
            frames(delta(content="fine"), delta("length")) + DONE,
            frames(delta(content="fine"), delta("content_filter")) + DONE,
            frames(delta(refusal="no"), delta("stop")) + DONE,
            frames(delta(role="assistant"), delta("stop")) + DONE,
            frames(delta(tool_calls=CALL), delta("tool_calls")) + DONE,
            frames(delta(content="fine"), {"error": {"message": "overloaded"}}),
            frames(delta(content="fine")) + b"data: {no json\n\n" + DONE,
            frames(delta(content="fine")),
        ):
            self.assertFalse(self.streamed(body), body)

    def test_a_stall(self) -> None:
        self.start()
        _, vendor = self.answered(True)
        vendor.chunk(frames(delta(content="fine")))
        self.edge.reactor.advance(3600)
        self.assertFalse(self.kept(True))

    def test_a_client_that_left(self) -> None:
        """Its vendor is told, and nothing is kept of what it had said; unless it is to be ended for the next one."""
        for cache, kept in (("", False), ("finish = true", True)):
            self.start(cache)
            wire, vendor = self.answered(True)
            vendor.chunk(frames(delta(content="fine")))
            wire.leave()
            self.edge.reactor.advance(0)
            self.assertEqual(vendor.transport.gone, not kept)
            if kept:
                vendor.chunk(frames(delta("stop")) + DONE)
                vendor.say(b"0\r\n\r\n")
                (first,), (rest,) = self.edge.records, self.alone
                self.assertEqual((first.outcome, first.accounting.cost), ("client_closed", None))
                self.assertEqual((rest.outcome, len(rest.routing.attempts)), ("ok", 1))
                self.assertNotEqual(first.request_id, rest.request_id)
            self.assertEqual(self.kept(True), kept)

    def test_a_client_that_left_and_wants_nothing_kept(self) -> None:
        """Its call is ended for nobody."""
        self.start("finish = true")
        wire = self.ask("/v1/chat/completions", ASKED, headers={"cache-control": "no-store"})
        vendor = self.vendor()
        wire.leave()
        self.edge.reactor.advance(0)
        self.assertTrue(vendor.transport.gone)

    def test_too_large(self) -> None:
        """Passes, and is not kept."""
        cache = 'max_entry = "1KiB"'
        self.assertFalse(self.whole(chat("stop", content="x" * 2000), cache=cache))
        self.assertFalse(self.streamed(frames(*[delta(content="x" * 50)] * 40, delta("stop")) + DONE, cache))
        self.assertIn(b"[DONE]", self.sent)

    @property
    def sent(self) -> bytes:
        wire, vendor = self.answered(True)
        vendor.chunk(frames(*[delta(content="x" * 50)] * 40, delta("stop")) + DONE)
        vendor.say(b"0\r\n\r\n")
        return wire.received()

    def test_by_wish(self) -> None:
        """Answers that call a tool."""
        tool = chat("tool_calls", content=None, tool_calls=CALL)
        self.assertTrue(self.whole(tool, cache="tool_calls = true"))
        self.assertFalse(self.whole(chat("length", content=None, tool_calls=CALL), cache="tool_calls = true"))


class Fallbacks(Kept):
    more = (
        '[providers.w]\nbase_url = "http://127.0.0.1:8/v1"\n'
        '[models.m]\ntargets = ["v/x"]\nfallbacks = ["n"]\n[models.n]\ntargets = ["w/y"]\n'
    )

    def test_not_kept(self) -> None:
        """Unless that is said: the model asked for may be back."""
        for cache, kept in (("", False), ("fallbacks = true", True)):
            self.start(cache, self.more)
            wire, vendor = self.answered()
            vendor.answer(404, {"error": {"message": "gone"}})
            self.edge.reactor.advance(1)
            self.vendor().answer(200, GOOD)
            self.assertEqual(wire.response().headers["x-llmedge-fallback"], "n")
            self.assertEqual(self.kept(), kept)


class Stale(Kept):
    def test_the_last_resort(self) -> None:
        """An answer that is no longer fresh, where every target failed."""
        self.start("ttl = 10\nstale_if_error = 100")
        _, vendor = self.answered()
        vendor.answer(200, GOOD)
        for after, expected in ((20, "STALE"), (100, "")):
            self.edge.reactor.advance(after)
            wire = self.call()
            self.vendor().answer(500, {"error": {"message": "down"}})
            self.edge.reactor.advance(1)
            response = wire.response()
            self.assertEqual(response.headers.get("x-llmedge-cache", ""), expected or "MISS")
            self.assertEqual(response.status, 200 if expected else 502)
        self.assertEqual([record.accounting.cost for record in self.edge.records[1:2]], [0])

    def test_who_takes_nothing_that_old(self) -> None:
        """Is told of the failure."""
        self.start("ttl = 10\nstale_if_error = 100")
        _, vendor = self.answered()
        vendor.answer(200, GOOD)
        self.edge.reactor.advance(20)
        for said in ("max-age=15", "min-fresh=1"):
            wire = self.ask("/v1/chat/completions", ASKED, headers={"cache-control": said})
            self.vendor().answer(500, {"error": {"message": "down"}})
            self.edge.reactor.advance(1)
            self.assertEqual(wire.response().status, 502, said)

    def test_who_wants_nothing_kept(self) -> None:
        """Has nobody asked on his account for what would not be."""
        self.start("ttl = 10\nstale_while_revalidate = 100")
        _, vendor = self.answered()
        vendor.answer(200, GOOD)
        self.edge.reactor.advance(20)
        wire = self.ask("/v1/chat/completions", ASKED, headers={"cache-control": "no-store"})
        self.vendor().answer(200, GOOD)
        response = wire.response()
        self.assertEqual((response.headers["x-llmedge-cache"], self.alone), ("MISS", []))

    def test_what_is_told_of_a_new_one(self) -> None:
        self.start("ttl = 10\nstale_if_error = 100")
        told = []
        for headers in ({}, {}, {"cache-control": "no-cache"}):
            wire = self.ask("/v1/chat/completions", ASKED, headers=headers)
            self.vendor().answer(200, GOOD)
            told.append(wire.response().headers["cache-status"].partition("; ")[2])
            self.edge.reactor.advance(20)
        self.assertEqual(told, ["fwd=miss; stored", "fwd=stale; stored", "fwd=request; stored"])

    def test_another_one_has_a_new_one(self) -> None:
        """What is shared is newer than what is here, and nobody is asked."""
        self.start("ttl = 10\nstale_while_revalidate = 100")
        _, vendor = self.answered()
        vendor.answer(200, GOOD)
        state = self.edge.service._process._cache
        ((key, slot),) = state.memory._slots.items()
        self.edge.reactor.advance(20)
        newer = msgspec.structs.replace(slot.entry, stored=self.edge.reactor.seconds() - 1)
        state.shared = Other({key: newer})
        response = self.call().response()
        self.assertEqual(response.headers["cache-status"].rpartition("=")[2], "redis")
        self.assertEqual((response.headers["x-llmedge-cache"], response.headers["age"]), ("HIT", "1"))
        state.shared = Other({key: slot.entry})
        self.assertEqual(self.call().response().headers["x-llmedge-cache"], "HIT")

    def test_while_a_new_one_is_asked_for(self) -> None:
        """Whoever comes meanwhile has the old one at once; once it is here, the new one. One asks."""
        self.start("ttl = 10\nstale_while_revalidate = 100")
        _, vendor = self.answered()
        vendor.answer(200, GOOD)
        self.edge.reactor.advance(20)
        for _ in range(3):
            response = self.call().response()
            self.assertEqual((response.headers["x-llmedge-cache"], response.status), ("STALE", 200))
        self.assertRegex(response.headers["cache-status"], r"hit; ttl=-\d+")
        self.assertEqual(len(self.edge.records), 4)
        self.vendor().answer(200, chat("stop", content="new") | USAGE)
        self.edge.reactor.advance(0)
        self.assertEqual([(each.outcome, len(each.routing.attempts)) for each in self.alone], [("ok", 1)])
        response = self.call().response()
        self.assertEqual(response.headers["x-llmedge-cache"], "HIT")
        self.assertIn("new", json.loads(response.body)["choices"][0]["message"]["content"])


class Other:
    """What others share."""

    def __init__(self, entries: dict[bytes, Entry]) -> None:
        self._entries = entries

    def get(self, key: bytes) -> Deferred[Entry | None] | None:
        return succeed(self._entries.get(key))

    def put(self, key: bytes, entry: Entry) -> None: ...


class Untold(Kept):
    def test_a_vendor_that_tells_no_usage(self) -> None:
        """What its answer would have cost is estimated, for hits and for who joined; with a charge it is charged."""
        for charge in ("none", "full"):
            for stream in (False, True):
                self.start(f'charge = "{charge}"', '[prices."v/m"]\ninput = 1.0\noutput = 1.0\n')
                wires = [self.call(stream), self.call(stream)]
                vendor = self.vendor()
                if stream:
                    vendor.chunked("text/event-stream")
                    vendor.chunk(frames(delta(content="fine " * 20), delta("stop")) + DONE)
                    vendor.say(b"0\r\n\r\n")
                else:
                    vendor.answer(200, chat("stop", content="fine " * 20))
                for _ in range(500):  # it is counted in a thread
                    self.edge.reactor.advance(0)
                    if len(self.edge.records) == 2:
                        break
                wires.append(self.call(stream))
                self.assertIn(b"X-Llmedge-Cache: HIT", wires[2].received())
                self.assertEqual({wire.response().status for wire in wires[:2]}, {200})
                _, joined, hit = self.edge.records
                for record in (joined, hit):
                    spared = record.accounting.spared
                    self.assertEqual((spared.estimated, spared.output), (True, 25), (charge, stream))
                    amount = record.accounting.saved if charge == "none" else record.accounting.cost
                    self.assertEqual(amount, (spared.input + spared.output) * 1_000_000)


class SentOn(Kept):
    def test_headers(self) -> None:
        """Of the client's that its vendor sees: what it answers may depend on them."""
        other = '[providers.w]\nbase_url = "http://127.0.0.1:8"\nclient_headers = ["x-other"]\n'
        self.start(more=f'client_headers = ["x-tenant"]\n{other}')
        found = []
        for headers in ({}, {"x-tenant": "a"}, {"x-tenant": "b"}, {"x-tenant": "a", "x-other": "c"}):
            wire = self.ask("/v1/chat/completions", ASKED, headers=headers)
            if not wire.received():
                self.vendor().answer(200, GOOD)
            found.append(wire.response().headers["x-llmedge-cache"])
        self.assertEqual(found, ["MISS", "MISS", "MISS", "HIT"])


class Off(Kept):
    def test_its_field(self) -> None:
        """Is taken out where nothing is cached for a key or a model, too."""
        self.start(more='[models.m]\ntargets = ["v/x"]\ncache = false\n')
        self.ask("/v1/chat/completions", ASKED | {"cache": {"ttl": 5}})
        self.assertNotIn("cache", json.loads(self.vendor().body))
