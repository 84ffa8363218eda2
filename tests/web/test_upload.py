"""Uploads that are passed through: sent on while they come, or held."""

from __future__ import annotations

import json

from llmedge.web.upload import HELD
from tests.fakes import Edge, Wire, request
from tests.web.test_multipart import FILE, MODEL, body
from tests.web.test_multipart import TYPE as MULTIPART
from tests.web.through import TOML, TWO, Through

TYPE = {"content-type": MULTIPART}
TRANSCRIBE = "/v1/audio/transcriptions"


class _Uploading(Through):
    def upload(self, data: bytes, path: str = TRANSCRIBE, **headers: str) -> Wire:
        wire = self.edge.wire()
        sent = request(path=path, body=data, headers=TYPE | headers)
        for start in range(0, len(sent), 65536):
            wire.send(sent[start : start + 65536])
        return wire

    def head(self, length: int | None) -> bytes:
        framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        lines = [f"POST {TRANSCRIBE} HTTP/1.1", "host: localhost", f"content-type: {TYPE['content-type']}", framing]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Streamed(_Uploading):
    """What is sent on while it comes."""

    def test_a_large_one_goes_by(self) -> None:
        """Sent on while it comes, in both framings, and a second request follows on either connection."""
        for announced in (True, False):
            self.begin('[models.nick]\ntargets = ["v/whisper-1"]\n')
            data = body(MODEL + b"nick", FILE + b"s" * 3 * HELD)
            wire = self.edge.wire()
            wire.send(self.head(len(data) if announced else None))

            def send(piece: bytes, wire: Wire = wire, announced: bool = announced) -> None:
                wire.send(piece if announced else b"%x\r\n%b\r\n" % (len(piece), piece))

            send(data[: HELD // 2])
            self.assertEqual(self.edge.reactor.tcpClients, [])
            send(data[HELD // 2 : 2 * HELD])
            vendor = self.vendor()
            self.assertGreater(len(vendor.body), HELD)
            send(data[2 * HELD :])
            if not announced:
                wire.send(b"0\r\n\r\n")
            expected = body(MODEL + b"whisper-1", FILE + b"s" * 3 * HELD)
            self.assertEqual(vendor.body, expected)
            self.assertEqual(vendor.head[1].get("content-length"), str(len(expected)) if announced else None)
            vendor.answer(200, {"text": "hello"})
            self.assertEqual(wire.response().json(), {"text": "hello"})
            wire.send(request(path="/v1/moderations", body={"model": "m", "input": "x"}))
            self.assertEqual(json.loads(vendor.body), {"model": "m", "input": "x"})

    def test_backpressure(self) -> None:
        """A vendor that takes nothing pauses the client; going on lets it go on."""
        self.begin()
        data = body(MODEL + b"m", FILE + b"s" * 3 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[: HELD + 100])
        vendor = self.vendor()
        vendor.transport.producer.pauseProducing()
        wire.send(data[HELD + 100 : 2 * HELD])
        sent = len(vendor.body)
        wire.send(data[2 * HELD : 2 * HELD + 100000])
        self.assertEqual((wire.transport.producerState, len(vendor.body)), ("paused", sent))
        vendor.transport.producer.resumeProducing()
        self.assertEqual(wire.transport.producerState, "producing")
        wire.send(data[2 * HELD + 100000 :])
        self.assertEqual(vendor.body, data)
        self.assertIsNone(vendor.transport.producer)

    def test_a_vendor_that_takes_nothing(self) -> None:
        """After the idle time it is left, as silent."""
        self.begin("[upstream]\nidle_timeout = 5\n")
        data = body(MODEL + b"m", FILE + b"s" * 3 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[: HELD + 100])
        vendor = self.vendor()
        vendor.transport.producer.pauseProducing()
        wire.send(data[HELD + 100 : HELD + 200])
        self.edge.reactor.advance(5.1)
        self.assertTrue(vendor.transport.aborted)
        self.assertEqual((wire.response().status, self.record.routing.attempts[0].cause), (504, "silent"))

    def test_an_early_refusal_ends_it(self) -> None:
        """Nothing more is sent, the client hears at once, and neither connection is used again."""
        self.begin()
        data = body(MODEL + b"m", FILE + b"s" * 3 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[: 2 * HELD])
        vendor = self.vendor()
        vendor.answer(413, {"error": {"message": "too long", "code": "x"}})
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (413, "x"))
        self.assertEqual(response.headers["connection"], "close")
        self.assertTrue(vendor.transport.gone)
        self.assertEqual(len(self.edge.records), 1)

    def test_a_client_that_leaves(self) -> None:
        """The vendor's connection ends with it."""
        self.begin()
        data = body(MODEL + b"m", FILE + b"s" * 3 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[: 2 * HELD])
        vendor = self.vendor()
        wire.leave()
        self.assertTrue(vendor.transport.aborted)
        self.assertEqual(self.record.outcome, "client_closed")

    def test_the_deadline_begins_when_it_is_here(self) -> None:
        """The time of a slow upload is not the vendor's."""
        self.begin("[server]\ntimeout = 5\nbody_timeout = 20\n")
        data = body(MODEL + b"m", FILE + b"s" * 2 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[:-10])
        vendor = self.vendor()
        self.edge.reactor.advance(15)
        wire.send(data[-10:])
        self.assertEqual(vendor.body, data)
        self.edge.reactor.advance(4.9)
        self.assertEqual(wire.received(), b"")
        self.edge.reactor.advance(0.2)
        self.assertEqual((wire.response().status, vendor.transport.aborted), (504, True))

    def test_a_name_in_the_head(self) -> None:
        self.begin('[models."a b"]\ntargets = ["v/x"]\n')
        data = body(FILE + b"s" * 2 * HELD, MODEL + b"a b")
        query, header = f"{TRANSCRIBE}?model=a%20b", {"x-llmedge-model": "a b"}
        for path, headers in ((TRANSCRIBE, {}), (query, {}), (TRANSCRIBE, header)):
            self.upload(data, path, **headers)
            vendor = self.vendor()
            self.assertEqual(vendor.body, body(FILE + b"s" * 2 * HELD, MODEL + b"x"))
            self.assertEqual(vendor.head[0], f"POST {TRANSCRIBE} HTTP/1.1")
        response = self.upload(data, f"{TRANSCRIBE}?model=a", **{"x-llmedge-model": "b"}).response()
        self.assertEqual(response.status, 400)
        wire = self.upload(data, **{"x-llmedge-model": "caf\xe9"})  # latin-1; it cannot be the one in the body
        self.assertTrue(self.vendor().transport.aborted)
        self.assertEqual(wire.response().status, 400)

    def test_what_goes_wrong_on_the_way(self) -> None:
        """A second model far behind: the vendor's connection is cut before the end, the client is told."""
        self.begin()
        wire = self.upload(body(MODEL + b"m", FILE + b"s" * 3 * HELD, MODEL + b"evil"))
        vendor = self.vendor()
        self.assertEqual(wire.response().error["param"], "model")
        self.assertTrue(vendor.transport.aborted)
        self.assertNotIn(b"evil", vendor.transport.value())


class Uploads(_Uploading):
    def test_a_small_one(self) -> None:
        """Only the model's name changes on its way."""
        self.begin('[models.nick]\ntargets = ["v/whisper-1"]\n')
        wire = self.upload(body(FILE + b"sound", MODEL + b"nick"))
        vendor = self.vendor()
        line, fields = vendor.head
        expected = body(FILE + b"sound", MODEL + b"whisper-1")
        self.assertEqual((line, vendor.body), (f"POST {TRANSCRIBE} HTTP/1.1", expected))
        self.assertEqual((fields["content-length"], fields["content-type"]), (str(len(expected)), TYPE["content-type"]))
        self.assertEqual(fields["authorization"], "Bearer vendor-key")
        vendor.answer(200, b"hello\n", "text/plain; charset=utf-8")
        response = wire.response()
        self.assertEqual((response.status, response.body), (200, b"hello\n"))
        self.assertEqual(response.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual((self.record.operation, self.record.model), ("audio_transcriptions", "nick"))

    comes_at_once = False

    def test_only_what_is_held_can_be_sent_again(self) -> None:
        """A large one gets one attempt, unless all of it was here first."""
        for size, again in ((1000, True), (2 * HELD, self.comes_at_once)):
            self.begin(toml=TWO)
            data = body(MODEL + b"m", FILE + b"s" * size)
            wire = self.upload(data)
            self.vendor().answer(503, {"error": {"message": "busy"}})
            if again:
                vendor = self.vendor()
                self.assertEqual(vendor.body, body(MODEL + b"y", FILE + b"s" * size))
                vendor.answer(200, {"text": "hello"})
                self.assertEqual(wire.response().status, 200)
            else:
                self.assertEqual(self.edge.reactor.tcpClients, [])
                self.assertEqual(wire.response().status, 503)

    def test_nobody_was_reached(self) -> None:
        """Before anything was read beyond what is held, a large one can go elsewhere as well."""
        self.begin(toml=TWO)
        data = body(MODEL + b"m", FILE + b"s" * 2 * HELD)
        wire = self.upload(data)
        from twisted.internet.error import ConnectionRefusedError
        from twisted.python.failure import Failure

        self.edge.reactor.tcpClients.pop(0)[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        vendor = self.vendor()
        self.assertEqual(vendor.body, body(MODEL + b"y", FILE + b"s" * 2 * HELD))
        vendor.answer(200, {"text": "hello"})
        self.assertEqual(wire.response().status, 200)

    def test_refused_before_it_is_read(self) -> None:
        """By its length or its type."""
        self.begin("[server]\nmax_upload_size = 1000\nmax_request_size = 100\n")
        self.assertEqual(self.upload(body(MODEL + b"m", FILE + b"s" * 500)).transport.gone, False)
        self.vendor()
        wire = self.edge.wire()
        wire.send(self.head(1001))
        self.edge.reactor.advance(0)
        response = wire.response()
        self.assertEqual(response.status, 413)
        self.assertIn("max_upload_size", response.error["message"])
        for kind, status in (("multipart/form-data", 400), ("text/plain", 415), ("application/json", 400)):
            wire = self.edge.wire()
            wire.send(request(path=TRANSCRIBE, body=b"{}", content_type=kind))
            self.assertEqual(wire.response().status, status, kind)
        wire = self.edge.wire()
        wire.send(request(path=TRANSCRIBE, body=body(MODEL + b"m"), headers=TYPE | {"content-encoding": "gzip"}))
        self.assertEqual(wire.response().status, 415)

    def test_json_where_files_may_come(self) -> None:
        """OpenAI takes edits as JSON too, with pictures by their URLs."""
        self.begin()
        self.ask("/v1/images/edits", {"model": "m", "images": [{"image_url": "https://x.example"}]})
        self.assertEqual(json.loads(self.vendor().body)["images"], [{"image_url": "https://x.example"}])


class Reference(Uploads):
    """The same on the reference parser, which reads the body first."""

    comes_at_once = True

    def begin(self, more: str = "", toml: str = TOML) -> None:
        server = '[server]\nhttp_parser = "twisted"\n'
        self.edge = Edge(more.replace("[server]\n", server) + toml if "[server]" in more else server + more + toml)
