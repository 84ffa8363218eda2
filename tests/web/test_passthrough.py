"""Endpoints that are passed through: the whole gateway in memory, between a client and a vendor that are bytes."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.web.upload import HELD
from tests.fakes import Edge, Transport, Wire, request
from tests.web.test_multipart import FILE, MODEL, body
from tests.web.test_multipart import TYPE as MULTIPART

TOML = """
[providers.v]
base_url = "http://127.0.0.1:9/v1"
api_key = "vendor-key"
models = ["*"]
"""
TWO = """
[providers.v]
base_url = "http://127.0.0.1:9/v1"
[providers.w]
base_url = "http://127.0.0.1:8/other"
[models.m]
targets = [{ target = "v/x", weight = 1 }, { target = "w/y", weight = 1 }]
strategy = "priority"
"""
TYPE = {"content-type": MULTIPART}
TRANSCRIBE = "/v1/audio/transcriptions"


class Asked:
    """One connection to the vendor."""

    def __init__(self, edge: Edge) -> None:
        factory = edge.reactor.tcpClients.pop(0)[2]
        self.transport = Transport()
        self.transport.protocol = self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    @property
    def head(self) -> tuple[str, dict[str, str]]:
        top = self.transport.value().partition(b"\r\n\r\n")[0].decode()
        line, *fields = top.split("\r\n")
        return line, dict(field.split(": ", 1) for field in fields)

    @property
    def body(self) -> bytes:
        _, fields = self.head
        rest = self.transport.value().partition(b"\r\n\r\n")[2]
        if "transfer-encoding" not in fields:
            return rest
        whole = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return whole

    def say(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def answer(self, status: int, document: Any, kind: str = "application/json") -> None:
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.transport.clear()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
        self.say(head.encode() + data)

    def chunked(self, kind: str) -> None:
        self.say(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode())

    def chunk(self, data: bytes) -> None:
        self.say(b"%x\r\n%b\r\n" % (len(data), data))


class Through(SynchronousTestCase):
    toml = TOML

    def begin(self, more: str = "", toml: str = TOML) -> None:
        self.edge = Edge(more + toml)

    def ask(self, path: str, document: Any = None, **kw: Any) -> Wire:
        wire = self.edge.wire()
        wire.send(request(path=path, body=document, **kw))
        return wire

    def vendor(self) -> Asked:
        """Its newest connection."""
        if self.edge.reactor.tcpClients:
            self.last = Asked(self.edge)
        return self.last

    @property
    def record(self) -> Any:
        return self.edge.records[-1]


class Json(Through):
    def test_as_it_came(self) -> None:
        """Only the model is replaced, the answer is untouched, and everything is on record."""
        self.begin('[models.nick]\ntargets = ["v/real"]\n')
        raw = b'{"model":"nick", "query":"q","documents":["a", {"text":1.50}],"odd":{"x":[1e2]}}'
        for path in ("/v1/images/generations", "/v1/audio/speech", "/v1/moderations"):
            wire = self.ask(path, raw)
            vendor = self.vendor()
            line, fields = vendor.head
            self.assertEqual((line, fields["authorization"]), (f"POST {path} HTTP/1.1", "Bearer vendor-key"))
            self.assertIn(b'"documents":["a", {"text":1.50}]', vendor.body)
            self.assertEqual(json.loads(vendor.body), json.loads(raw) | {"model": "real"})
            vendor.answer(200, b'{"results": [ 1.0 ]}', "application/json; charset=utf-8")
            response = wire.response()
            self.assertEqual((response.status, response.body), (200, b'{"results": [ 1.0 ]}'))
            self.assertEqual(response.headers["x-llmedge-model"], "real")
            self.assertEqual((self.record.route, self.record.model_label), (path, "nick"))
            self.assertEqual(self.record.operation, path[4:].replace("/", "_"))
            self.assertEqual(
                (self.record.outcome, self.record.accounting.usage, self.record.stream), ("ok", None, False)
            )

    def test_moderations_need_no_model(self) -> None:
        self.begin()
        self.ask("/v1/moderations", {"input": "x"})
        self.assertEqual(json.loads(self.vendor().body), {"input": "x", "model": "omni-moderation-latest"})
        self.assertEqual(self.ask("/v1/rerank", {"query": "x"}).response().error["param"], "model")

    def test_a_vendor_without_it(self) -> None:
        """OpenAI has no reranking: said so, and not asked."""
        self.begin()
        response = self.ask("/v1/rerank", {"model": "m"}).response()
        self.assertEqual((response.status, response.error["code"]), (400, "VALIDATION_ERROR"))
        self.assertEqual(self.edge.reactor.tcpClients, [])
        self.begin('[providers.c]\nvendor = "cohere"\napi_key = "k"\nbase_url = "http://127.0.0.1:9/v1"\n')
        self.ask("/v1/rerank", {"model": "c/rerank-v4"})
        self.assertEqual(self.vendor().head[0], "POST /v2/rerank HTTP/1.1")

    def test_usage(self) -> None:
        """As each operation tells it; where it is seconds or nothing, none is made up."""
        self.begin()
        for said, counted in (
            ({"usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}}, (7, 9, 0)),
            ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, (3, 0, 0)),
            ({"usage": {"total_tokens": 5}}, (5, 0, 0)),
            ({"usage": {"input_tokens": 7, "input_token_details": {"audio_tokens": 4}}}, (7, 0, 4)),
            ({"meta": {"tokens": {"input_tokens": 2, "output_tokens": 0}}}, (2, 0, 0)),
            ({"usage": {"type": "duration", "seconds": 9}}, None),
            ({"usage": "?"}, None),
            ({}, None),
        ):
            self.ask("/v1/moderations", {"model": "m"})
            self.vendor().answer(200, {"data": []} | said)
            usage = self.record.accounting.usage
            self.assertEqual(usage and (usage.input, usage.output, usage.audio_input), counted, said)

    def test_errors(self) -> None:
        """A vendor's refusal is the client's; a failure asks the next target."""
        self.begin(toml=TWO)
        wire = self.ask("/v1/images/generations", {"model": "m", "prompt": "p"})
        self.vendor().answer(500, {"error": {"message": "down"}})
        second = self.vendor()
        self.assertEqual(second.head[0], "POST /other/images/generations HTTP/1.1")
        self.assertEqual(json.loads(second.body), {"model": "y", "prompt": "p"})
        second.answer(400, {"error": {"message": "no such size", "code": "bad", "param": "size"}})
        response = wire.response()
        self.assertEqual((response.status, response.error["code"], response.error["param"]), (400, "bad", "size"))
        for document, kind in (
            ({"error": {"message": "not really"}}, "application/json"),
            (b"{nope", "application/json"),
            (b"<html>", "text/html"),
            (b"x", "application/zip"),
            (b"x", "audio/mp3\x0b"),
        ):
            self.begin()
            wire = self.ask("/v1/images/generations", {"model": "m", "prompt": "p"})
            self.vendor().answer(200, document, kind)
            self.assertEqual(wire.response().status, 502, (document, kind))

    def test_keys_and_models(self) -> None:
        """The key's models hold here as well."""
        self.begin('[[auth.keys]]\nname = "a"\nkey = "k"\nmodels = ["tts-*"]\n')
        self.assertEqual(self.ask("/v1/audio/speech", {"model": "tts-1"}).response().status, 401)
        key = {"x-api-key": "k"}
        self.assertEqual(self.ask("/v1/audio/speech", {"model": "x"}, headers=key).response().status, 403)
        self.ask("/v1/audio/speech", {"model": "tts-1"}, headers=key)
        self.vendor()


class Media(Through):
    SPEECH: dict[str, Any] = {"model": "tts-1", "input": "hi", "voice": "alloy"}

    def test_bytes_as_they_come(self) -> None:
        self.begin()
        wire = self.ask("/v1/audio/speech", self.SPEECH)
        vendor = self.vendor()
        vendor.chunked("audio/mpeg")
        self.assertEqual(wire.received(), b"")  # the status waits for content
        vendor.chunk(b"ID3")
        self.assertTrue(wire.received().endswith(b"3\r\nID3\r\n"))
        vendor.chunk(b"data: not an event\n\n")
        vendor.say(b"0\r\n\r\n")
        response = wire.response()
        self.assertEqual((response.status, response.headers["content-type"]), (200, "audio/mpeg"))
        self.assertEqual((response.body, response.complete), (b"ID3data: not an event\n\n", True))
        self.assertEqual((self.record.outcome, self.record.stream, self.record.accounting.usage), ("ok", False, None))

    def test_the_length_is_kept(self) -> None:
        self.begin()
        wire = self.ask("/v1/audio/speech", self.SPEECH)
        self.vendor().answer(200, b"RIFF" * 1000, "audio/wav")
        response = wire.response()
        self.assertEqual((response.headers["content-length"], response.body), ("4000", b"RIFF" * 1000))

    def test_a_cut_is_no_end(self) -> None:
        """However it was framed: the client's connection ends with the answer unfinished, and nothing is added."""
        for head in (b"content-length: 9", b"transfer-encoding: chunked"):
            self.begin()
            wire = self.ask("/v1/audio/speech", self.SPEECH)
            vendor = self.vendor()
            vendor.say(b"HTTP/1.1 200 OK\r\ncontent-type: audio/wav\r\n" + head + b"\r\n\r\n")
            vendor.say(b"RIFF" if b"length" in head else b"4\r\nRIFF\r\n")
            vendor.transport.loseConnection()
            response = wire.response()
            self.assertEqual((response.complete, response.body, wire.transport.gone), (False, b"RIFF", True))
            self.assertEqual((self.record.outcome, self.record.error_code), ("cut", "UPSTREAM_ERROR"))

    def test_a_cut_before_the_first_byte_is_a_status(self) -> None:
        self.begin()
        wire = self.ask("/v1/audio/speech", self.SPEECH)
        vendor = self.vendor()
        vendor.chunked("audio/wav")
        vendor.transport.loseConnection()
        self.assertEqual(wire.response().status, 502)

    def test_backpressure(self) -> None:
        """A client that takes nothing pauses the vendor."""
        self.begin()
        wire = self.edge.wire()
        wire.transport.high_water = 100000
        wire.send(request(path="/v1/audio/speech", body=self.SPEECH))
        vendor = self.vendor()
        vendor.chunked("audio/wav")
        for _ in range(5):
            vendor.chunk(b"x" * 60000)
        self.assertEqual(vendor.transport.producerState, "paused")
        self.assertLess(len(wire.received()), 200000)
        wire.leave()
        self.assertTrue(vendor.transport.aborted)
        self.assertEqual(self.record.outcome, "client_closed")

    def test_events(self) -> None:
        """Frame by frame, and whole only with the event that says so."""
        for last, whole in ((b"speech.audio.done", True), (b"speech.audio.delta", False)):
            self.begin()
            wire = self.ask("/v1/audio/speech", self.SPEECH | {"stream_format": "sse"})
            vendor = self.vendor()
            vendor.chunked("text/event-stream; charset=utf-8")
            vendor.chunk(b'data: {"type":"speech.audio.delta","audio":"AA=="}\n\n')
            self.assertIn(b"AA==", wire.received())
            end = b'{"type":"%b","usage":{"input_tokens":4,"output_tokens":6}}' % last
            vendor.chunk(b"event: x\ndata: " + end + b"\n\n")
            vendor.say(b"0\r\n\r\n")
            self.edge.reactor.advance(0)
            response = wire.response()
            self.assertEqual((response.complete, wire.transport.gone), (whole, not whole))
            self.assertIn(b"event: x\ndata: " + end + b"\n\n", response.body)
            self.assertEqual(b"UPSTREAM_ERROR" in response.body, not whole)
            self.assertEqual((self.record.stream, self.record.outcome), (True, "ok" if whole else "cut"))
            if whole:
                self.assertEqual((self.record.accounting.usage.input, self.record.accounting.usage.output), (4, 6))

    def test_several_pictures(self) -> None:
        """With two asked for, the first one completed is not the end."""
        self.begin()
        wire = self.ask("/v1/images/generations", {"model": "g", "prompt": "p", "stream": True, "n": 2})
        vendor = self.vendor()
        vendor.chunked("text/event-stream")
        for _ in range(2):
            self.edge.reactor.advance(10)
            self.assertFalse(wire.transport.gone)
            vendor.chunk(b'data: {"type":"image_generation.partial_image"}\n\n')
            vendor.chunk(b'data: {"type":"image_generation.completed"}\n\n')
        self.edge.reactor.advance(2)  # it does not even end its body
        self.assertTrue(wire.response().complete)

    def test_an_error_event(self) -> None:
        self.begin()
        wire = self.ask("/v1/images/generations", {"model": "g", "prompt": "p", "stream": True})
        vendor = self.vendor()
        vendor.chunked("text/event-stream")
        vendor.chunk(b'event: error\ndata: {"type":"error","error":{"message":"overloaded"}}\n\n')
        response = wire.response()
        self.assertEqual(response.status, 502)
        self.assertIn("overloaded", response.error["message"])


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
        self.begin()
        data = body(MODEL + b"m", FILE + b"s" * 3 * HELD)
        wire = self.edge.wire()
        wire.send(self.head(len(data)) + data[: 2 * HELD])
        vendor = self.vendor()
        wire.leave()
        self.assertTrue(vendor.transport.aborted)
        self.assertEqual(self.record.outcome, "client_closed")

    def test_the_deadline_begins_when_it_is_here(self) -> None:
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
        self.assertEqual(self.upload(data).response().status, 400)
        for path, headers in ((f"{TRANSCRIBE}?model=a%20b", {}), (TRANSCRIBE, {"x-llmedge-model": "a b"})):
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

    def test_only_what_is_held_can_be_sent_again(self) -> None:
        for size, again in ((1000, True), (2 * HELD, False)):
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

    def begin(self, more: str = "", toml: str = TOML) -> None:
        server = '[server]\nhttp_parser = "twisted"\n'
        self.edge = Edge(more.replace("[server]\n", server) + toml if "[server]" in more else server + more + toml)
