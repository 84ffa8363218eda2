"""Embeddings are kept one by one: only those that are missing are asked for."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes import Wire
from tests.pipeline.test_cached import Kept

PRICE = '[prices."v/e"]\ninput = 1.0\noutput = 1.0\n'
GEMINI = '[providers.v]\ndialect = "gemini"\nbase_url = "http://127.0.0.1:9"\nmodels = ["*"]\n'


class Items(Kept):
    def send(self, input: Any, **more: Any) -> Wire:
        return self.ask("/v1/embeddings", {"model": "e", "input": input} | more)

    def answer(self, *numbers: float, usage: int = 0) -> Any:
        """What the vendor was asked for."""
        vendor = self.vendor()
        asked = json.loads(vendor.body)
        data = [{"object": "embedding", "index": index, "embedding": [n]} for index, n in enumerate(numbers)]
        used = {"usage": {"prompt_tokens": usage, "total_tokens": usage}} if usage else {}
        vendor.answer(200, {"object": "list", "data": data[::-1], "model": "e-1", **used})
        return asked["input"]

    def vectors(self, wire: Wire) -> list[Any]:
        response = wire.response()
        self.assertEqual(response.status, 200, response.body)
        self.said = json.loads(response.body)
        self.head = response.headers
        self.assertEqual([each["index"] for each in self.said["data"]], list(range(len(self.said["data"]))))
        return [each["embedding"][0] for each in self.said["data"]]

    def test_what_is_missing(self) -> None:
        """Is asked for, and put where it belongs; usage is what was asked, the rest is saved."""
        self.start(more=PRICE)
        wire = self.send(["aa", "bb"])
        self.assertEqual(self.answer(1.0, 2.0, usage=8), ["aa", "bb"])
        self.vectors_as_they_came(wire, [2.0, 1.0])
        wire = self.send(["cc", "bb", "aa", "dd"])
        self.assertEqual(self.answer(3.0, 4.0, usage=6), ["cc", "dd"])
        self.assertEqual(self.vectors(wire), [3.0, 2.0, 1.0, 4.0])
        self.assertEqual(self.said["usage"], {"prompt_tokens": 6, "total_tokens": 6})
        self.assertEqual((self.said["model"], self.said["object"]), ("e-1", "list"))
        self.assertEqual(self.head["cache-status"], "llmedge; fwd=partial")
        self.assertEqual((self.record.accounting.cost, self.record.accounting.saved), (6_000_000, 8_000_000))
        wire = self.send(["dd", "aa"])
        self.assertEqual(self.vectors(wire), [4.0, 1.0])
        self.assertEqual((self.head["x-llmedge-cache"], self.said["usage"]["prompt_tokens"]), ("HIT", 0))
        self.assertEqual((self.record.accounting.cost, self.record.accounting.saved), (0, 7_000_000))

    def vectors_as_they_came(self, wire: Wire, expected: list[float]) -> None:
        """Nothing is put together where all was asked for: the vendor's bytes."""
        found = [each["embedding"][0] for each in json.loads(wire.response().body)["data"]]
        self.assertEqual(found, expected)

    def test_one(self) -> None:
        """Alone or in a list, as a text or as its tokens."""
        self.start()
        self.send("aa")
        self.assertEqual(self.answer(1.0), "aa")
        self.assertEqual(self.vectors(self.send(["aa", "aa"])), [1.0, 1.0])
        self.send([5, 6])
        self.assertEqual(self.answer(2.0), [5, 6])
        self.assertEqual(self.vectors(self.send([[5, 6]])), [2.0])
        wire = self.send(["aa", "zz", "zz"])
        self.assertEqual(self.answer(3.0), ["zz"])
        self.assertEqual(self.vectors(wire), [1.0, 3.0, 3.0])

    def test_settings_count(self) -> None:
        self.start()
        self.send("aa", dimensions=3)
        self.answer(1.0)
        for more in ({}, {"dimensions": 4}, {"encoding_format": "base64"}, {"model": "e2"}):
            wire = self.send("aa", **more)
            self.assertEqual(wire.received(), b"", more)
            wire.leave()
            self.edge.reactor.tcpClients.clear()

    def test_an_answer_to_something_else(self) -> None:
        """Is passed on where it is all of it, and kept never."""
        self.start()
        wire = self.send(["aa", "bb"])
        self.answer(1.0)
        self.assertEqual(len(json.loads(wire.response().body)["data"]), 1)
        self.send(["aa"])
        self.answer(1.0)
        wire = self.send(["aa", "bb", "cc"])
        self.answer(1.0)
        self.assertEqual(wire.response().status, 502)

    def test_equal_ones_under_way(self) -> None:
        self.start()
        wires = [self.send(["aa", "bb"]) for _ in range(3)]
        self.answer(1.0, 2.0)
        self.assertEqual(self.edge.reactor.tcpClients, [])
        self.assertEqual({wire.response().status for wire in wires}, {200})

    def test_whole(self) -> None:
        """Where items are not kept, the request is."""
        self.start("embeddings = false")
        self.send(["aa"])
        self.answer(1.0)
        self.assertEqual(self.send(["aa"]).response().headers["x-llmedge-cache"], "HIT")
        self.assertEqual(self.send(["aa", "bb"]).received(), b"")

    def test_texts_written_otherwise(self) -> None:
        """Quotes as .NET writes them, and what two readers may understand differently, of which nothing is kept."""
        self.start()
        for _ in range(2):
            wire = self.ask("/v1/embeddings", b'{"model":"e","input":["say \\u0022hi\\u0022"]}')
            if self.edge.reactor.tcpClients:
                self.answer(1.0)
        self.assertEqual((self.vectors(wire), self.head["x-llmedge-cache"]), ([1.0], "HIT"))
        wire = self.ask("/v1/embeddings", b'{"model":"e","input":[{"text":"a","text":"b"}]}')
        self.answer(1.0)
        self.assertEqual(wire.response().status, 200)

    def test_empty_vectors(self) -> None:
        """Are passed on, and not kept."""
        self.start()
        for wrong in ([], None):
            self.send("aa")
            self.vendor().answer(200, {"object": "list", "data": [{"index": 0, "embedding": wrong}], "model": "e-1"})
            self.assertEqual(self.send("aa").received(), b"")
            self.vendor().answer(200, {"object": "list", "data": [], "model": "e-1"})

    def test_what_is_spared(self) -> None:
        """By a call that found some, and waited with another for the rest: all of it, as the metric has it."""
        self.start(more=PRICE)
        self.send("aa")
        self.answer(1.0, usage=3)
        wires = [self.send(["aa", "bb"]) for _ in range(2)]
        self.assertEqual(self.answer(2.0, usage=4), ["bb"])
        self.assertEqual([self.vectors(wire) for wire in wires], [[1.0, 2.0]] * 2)
        first, second = self.edge.records[-2:]
        self.assertEqual((first.accounting.cost, first.accounting.saved), (4_000_000, 3_000_000))
        self.assertEqual((second.accounting.cost, second.accounting.saved), (0, 7_000_000))
        self.assertEqual(second.accounting.spared.input, 7)
        self.assertEqual(self.edge.service._process._cache.saved, 10_000_000)
        self.assertEqual(self.head["x-llmedge-cache"], "COLLAPSED")

    def test_gemini(self) -> None:
        """Each request of a batch."""
        self.begin(self.cache.format(""), GEMINI)

        def batch(*texts: str) -> Wire:
            requests = [{"model": "models/e", "content": {"parts": [{"text": text}]}} for text in texts]
            return self.ask("/v1beta/models/e:batchEmbedContents", {"requests": requests})

        batch("aa", "bb")
        self.vendor().answer(200, {"embeddings": [{"values": [1.0]}, {"values": [2.0]}]})
        wire = batch("bb", "cc", "aa")
        vendor = self.vendor()
        self.assertEqual(len(json.loads(vendor.body)["requests"]), 1)
        vendor.answer(200, {"embeddings": [{"values": [3.0]}]})
        found = json.loads(wire.response().body)["embeddings"]
        self.assertEqual([each["values"][0] for each in found], [2.0, 3.0, 1.0])

    def test_only_what_is_kept(self) -> None:
        self.start()
        wire = self.ask("/v1/embeddings", {"model": "e", "input": "a"}, headers={"cache-control": "only-if-cached"})
        self.assertEqual(wire.response().status, 504)
