"""Vendors, or what stands before them, that compress although they were asked not to; and who send too much."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.fakes import Wire
from tests.web.test_odd_vendors import ANSWERS, CHAT, CLIENTS, TERMINAL, USAGE, VENDORS
from tests.web.through import TWO, Through

PATH = "/v1/chat/completions"


class Compressed(Through):
    def answer(self, status: int, body: bytes, kind: str = "application/json", coding: str = "gzip") -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-encoding: {coding}\r\n"
        self.vendor().say(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def put(self, client: str, model: str, stream: bool = False) -> Wire:
        path, body = CLIENTS[client]
        if client == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return self.ask(path.format(model) + verb, body)
        return self.ask(path, body | {"model": model, "stream": stream})

    def test_whole_answers(self) -> None:
        """From each vendor to each client."""
        for model, answer in ANSWERS.items():
            for client in CLIENTS:
                self.begin(VENDORS)
                wire = self.put(client, model)
                self.answer(200, gzip.compress(json.dumps(answer).encode()))
                response = wire.response()
                self.assertEqual(response.status, 200, (model, client))
                self.assertIn(b"fine", response.body)
                self.assertNotIn("content-encoding", response.headers)
                self.assertEqual(self.record.accounting.usage.output, 4)

    def test_streams(self) -> None:
        """For each client; a whole answer to who asked for a stream, too."""
        chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}]}
        stream = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk | {"usage": USAGE}).encode()
        whole = json.dumps(ANSWERS["chat"]).encode()
        for client in CLIENTS:
            for body, kind in ((stream, "text/event-stream"), (whole, "application/json")):
                self.begin(VENDORS)
                wire = self.put(client, "chat", stream=True)
                self.answer(200, gzip.compress(body), kind)
                response = wire.response()
                self.assertEqual(response.status, 200, (client, kind))
                self.assertIn(b"fine", response.body)
                self.assertTrue(any(word in response.body for word in TERMINAL), client)
                self.assertEqual((self.record.outcome, self.record.accounting.usage.output), ("ok", 4), client)

    def test_errors(self) -> None:
        """What they say is read, and where it cannot be, the status is."""
        error = json.dumps({"error": {"message": "slow down", "type": "t", "code": "c"}}).encode()
        for body, coding, words in (
            (gzip.compress(error), "gzip", "slow down"),
            (error[::-1], "br", "limiting the"),
        ):
            self.begin(VENDORS)
            wire = self.ask(PATH, CHAT | {"model": "chat"})
            self.answer(429, body, coding=coding)
            response = wire.response()
            self.assertEqual(response.status, 429, coding)
            self.assertIn(words, response.error["message"])

    def test_what_is_passed_through(self) -> None:
        """Clients of media get them as they are."""
        self.begin()
        wire = self.ask("/v1/audio/speech", {"model": "x", "input": "hi", "voice": "v"})
        self.answer(200, gzip.compress(b"RIFF" * 100), "audio/wav")
        response = wire.response()
        self.assertEqual((response.status, response.body), (200, b"RIFF" * 100))
        self.assertNotIn("content-encoding", response.headers)

    def test_lists_of_models(self) -> None:
        self.begin()
        wire = self.ask("/v1/models", method="GET")
        self.answer(200, gzip.compress(b'{"object": "list", "data": [{"id": "model-of-the-vendor"}]}'))
        self.assertIn(b"model-of-the-vendor", wire.response().body)

    def test_another_way(self) -> None:
        self.begin(VENDORS)
        wire = self.ask(PATH, CHAT | {"model": "chat"})
        self.answer(200, b"\x0b\x02\x80", coding="br")
        self.assertIn("compressed its answer although it was asked not to", wire.response().error["message"])


class TooLarge(Through):
    def announce(self, size: int, kind: str = "application/json") -> None:
        self.vendor().say(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n".encode())

    def test_announced(self) -> None:
        """It is known from the head: the next target has all the time there is."""
        for size in (67108865, 999999999999, 18446744073709551615):
            self.begin(toml=TWO)
            wire = self.ask(PATH, CHAT | {"model": "m"})
            self.announce(size)
            self.vendor().answer(200, ANSWERS["chat"])
            self.assertEqual(wire.response().status, 200)
            self.assertEqual([attempt.outcome for attempt in self.record.routing.attempts], ["too_large", "ok"])

    def test_in_vain(self) -> None:
        """The vendor has done the work, and would again: SDKs are told not to ask again."""
        self.begin()
        for path, body in (
            (PATH, CHAT),
            ("/v1/embeddings", {"input": ["hi"] * 2048}),
            ("/v1/images/generations", {"prompt": "a cat"}),
            ("/v1/messages", CHAT | {"max_tokens": 9}),
        ):
            wire = self.ask(path, body | {"model": "x"})
            self.announce(67108865)
            response = wire.response()
            self.assertEqual((response.status, response.headers["x-should-retry"]), (502, "false"), path)

    def test_events_in_vain(self) -> None:
        """Of pictures and of words."""
        for path, body in (("/v1/images/generations", {"prompt": "a cat"}), (PATH, CHAT)):
            self.begin("[upstream]\nmax_event_size = 1024\n")
            wire = self.ask(path, body | {"model": "x", "stream": True})
            self.vendor().chunked("text/event-stream")
            self.vendor().chunk(b"data: " + b"x" * 2000)
            response = wire.response()
            self.assertEqual((response.status, response.headers["x-should-retry"]), (502, "false"), path)
            self.assertIn("upstream.max_event_size", response.error["message"])

    def test_an_error(self) -> None:
        """Its status still counts."""
        self.begin()
        wire = self.ask(PATH, CHAT | {"model": "x"})
        self.vendor().say(b"HTTP/1.1 429 X\r\ncontent-length: 999999999999\r\n\r\n")
        self.assertEqual(wire.response().status, 429)

    def test_media_may_be_large(self) -> None:
        """They go by."""
        self.begin()
        wire = self.ask("/v1/audio/speech", {"model": "x", "input": "hi", "voice": "v"})
        self.announce(67108865, "audio/wav")
        self.vendor().say(b"RIFF")
        self.assertIn(b"content-length: 67108865", wire.received().lower())
