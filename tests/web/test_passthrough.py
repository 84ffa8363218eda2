"""Endpoints that are passed through: JSON and media."""

from __future__ import annotations

import json
from typing import Any

from llmedge.model import Usage
from tests.fakes import request
from tests.web.through import TWO, Through


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
        """They have a default; other operations name what is missing."""
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
        self.assertIn("paths.rerank of [providers.v]", response.error["message"])

    def test_reranking(self) -> None:
        """At each path people ask: in the version of that path where the vendor has it as well, else in its own."""
        body = {"model": "c/r", "query": "q", "documents": ["a"], "top_n": 1}
        cohere = '[providers.c]\nvendor = "cohere"\napi_key = "k"\nbase_url = "http://127.0.0.1:9/v1"\n'
        vllm = '[providers.c]\nvendor = "vllm"\nbase_url = "http://127.0.0.1:9/v1"\n'
        for toml, asked in (
            (cohere, ("/v1/rerank", "/v2/rerank", "/v2/rerank")),
            (cohere + 'paths = { rerank = "/other" }\n', ("/v1/other",) * 3),
            (vllm, ("/v1/rerank",) * 3),
        ):
            for path, there in zip(("/v1/rerank", "/v2/rerank", "/rerank"), asked, strict=True):
                self.begin(toml)
                wire = self.ask(path, body)
                vendor = self.vendor()
                self.assertEqual(vendor.head[0], f"POST {there} HTTP/1.1")
                self.assertEqual(json.loads(vendor.body), body | {"model": "r"})
                answer = {"results": [{"index": 0, "relevance_score": 0.9}], "meta": {}}
                vendor.answer(200, answer)
                self.assertEqual(wire.response().json(), answer)
                self.assertEqual((self.record.route, self.record.operation), (path, "rerank"))

    def test_usage(self) -> None:
        """As each operation tells it; where it is nothing, none is made up."""
        self.begin()
        for said, counted in (
            ({"usage": {"input_tokens": 7, "output_tokens": 9, "total_tokens": 16}}, (7, 9, 0)),
            ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, (3, 0, 0)),
            ({"usage": {"total_tokens": 5}}, (5, 0, 0)),
            ({"usage": {"input_tokens": 7, "input_token_details": {"audio_tokens": 4}}}, (7, 0, 4)),
            ({"meta": {"tokens": {"input_tokens": 2, "output_tokens": 0}}}, (2, 0, 0)),
            ({"usage": {"type": "duration", "seconds": 9}}, (0, 0, 0)),
            ({"meta": {"billed_units": {"search_units": 9}}}, None),
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
        """The status waits for content, the rest for nothing."""
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
        self.assertEqual(
            (self.record.outcome, self.record.stream, self.record.accounting.usage), ("ok", False, Usage(characters=2))
        )

    def test_the_length_is_kept(self) -> None:
        """A body of known length is one for the client as well."""
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
        """The client gets a 502, not half an answer."""
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
        """As the first event it is a status, with the vendor's words."""
        self.begin()
        wire = self.ask("/v1/images/generations", {"model": "g", "prompt": "p", "stream": True})
        vendor = self.vendor()
        vendor.chunked("text/event-stream")
        vendor.chunk(b'event: error\ndata: {"type":"error","error":{"message":"overloaded"}}\n\n')
        response = wire.response()
        self.assertEqual(response.status, 502)
        self.assertIn("overloaded", response.error["message"])


DEFAULTS = """
[providers.o]
vendor = "openai"
api_key = "k"
base_url = "http://127.0.0.1:9/v1"
[providers.c]
dialect = "anthropic"
api_key = "k"
base_url = "http://127.0.0.1:9"
[models.art]
targets = ["o/gpt-image-1"]
[models.poor]
targets = ["c/claude"]
"""


class DefaultModels(Through):
    """Bodies that name no model, where OpenAI's documents say that they may."""

    def begin_with(self, **models: str) -> None:
        table = ", ".join(f'{name} = "{model}"' for name, model in models.items())
        self.begin(f"[routing]\ndefault_models = {{{table}}}\n" + DEFAULTS, "")

    def test_pictures(self) -> None:
        """As JSON, ``null`` too, and as a form, in which the model is then said last; a name of the client's counts."""
        for path, document in (
            ("/v1/images/generations", {"prompt": "x"}),
            ("/v1/images/generations", {"prompt": "x", "model": None}),
            ("/v1/images/edits", {"prompt": "x", "images": []}),
        ):
            self.begin_with(images="art")
            wire = self.ask(path, document)
            self.assertEqual(json.loads(self.vendor().body), document | {"model": "gpt-image-1"})
            self.vendor().answer(200, {"data": []})
            self.assertEqual((wire.response().status, self.record.model_label), (200, "art"))
        for part, model in ((b"", b"gpt-image-1"), (b"model", b"dall-e-2")):
            self.begin_with(images="art")
            said = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\no/dall-e-2\r\n' % (part or b"prompt")
            self.ask(
                "/v1/images/edits", said + b"--b--\r\n", headers={"content-type": "multipart/form-data; boundary=b"}
            )
            named = b'Content-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--' % model
            self.assertIn(named, self.vendor().body)

    def test_moderations(self) -> None:
        """Theirs goes before OpenAI's own."""
        self.begin_with(moderations="o/omni-2")
        self.ask("/v1/moderations", {"input": "x"})
        self.assertEqual(json.loads(self.vendor().body)["model"], "omni-2")

    def test_responses(self) -> None:
        """A stored prompt names its own model: the default says only who is asked."""
        for stored, sent in (({"id": "pmpt_1"}, None), (None, "gpt-5")):
            document = {"input": "x", "prompt": stored}
            self.begin_with(responses="o/gpt-5")
            self.ask("/v1/responses", document)
            self.assertEqual(json.loads(self.vendor().body), document | ({"model": sent} if sent else {}))
        self.begin_with(responses="poor")
        self.ask("/v1/responses", {"input": "x"})
        self.assertEqual(json.loads(self.vendor().body)["model"], "claude")
        response = self.ask("/v1/responses", {"input": "x", "prompt": {"id": "p"}}).response()
        self.assertEqual((response.status, response.error["param"]), (400, "prompt"))

    def test_without_one(self) -> None:
        """The 400 names the setting; elsewhere there is none."""
        self.begin(DEFAULTS, "")
        form = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--b--\r\n'
        for path, setting, body, kind in (
            ("/v1/responses", "responses", {"prompt": {"id": "p"}}, "application/json"),
            ("/v1/images/generations", "images", {}, "application/json"),
            ("/v1/images/edits", "images", form, "multipart/form-data; boundary=b"),
            ("/v1/chat/completions", "", {"messages": []}, "application/json"),
        ):
            response = self.ask(path, body, headers={"content-type": kind}).response()
            self.assertEqual((response.status, response.error["param"]), (400, "model"), path)
            said = f"routing.default_models.{setting}" if setting else ""
            self.assertEqual("default_models" in response.error["message"], bool(said))
            self.assertIn(said, response.error["message"])
