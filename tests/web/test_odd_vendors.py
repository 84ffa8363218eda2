"""Vendors that answer otherwise than they were asked to: nothing that one caller asks for shuts out the others."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes import Response
from tests.web.through import Through

VENDORS = "".join(
    f'[providers.{name}]\nvendor = "{vendor}"\ndialect = "{dialect}"\napi_key = "k"\n'
    f'base_url = "http://127.0.0.1:{port}/v1"\n[models.{name}]\ntargets = ["{name}/x"]\n'
    for port, (name, vendor, dialect) in enumerate(
        (("chat", "vllm", "openai"), ("claude", "anthropic", "anthropic"), ("gem", "gemini", "gemini")), 10
    )
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ANSWERS: dict[str, Any] = {
    "chat": {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "x",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine \ud83d"}}],
        "usage": USAGE,
    },
    "claude": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [{"type": "text", "text": "fine \ud83d"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    },
    "gem": {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "fine \ud83d"}]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7},
    },
}
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", CHAT),
    "openai_responses": ("/v1/responses", {"input": "hi"}),
    "anthropic": ("/v1/messages", CHAT | {"max_tokens": 9}),
    "gemini": ("/v1beta/models/{}:", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
}
TERMINAL = (b"[DONE]", b"response.completed", b"message_stop", b'"finishReason":"STOP"', b'"finishReason": "STOP"')
PATIENT = "[routing]\nretries = 2\n"


class Odd(Through):
    def put(self, client: str, model: str, stream: bool) -> Any:
        path, body = CLIENTS[client]
        if client == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return self.ask(path.format(model) + verb, body)
        return self.ask(path, body | {"model": model, "stream": stream})

    def test_a_whole_answer_to_a_stream_request(self) -> None:
        """It is a stream of one piece, from each vendor to each client; an error in it is that error."""
        for model, answer in ANSWERS.items():
            for client in CLIENTS:
                self.begin(VENDORS)
                wire = self.put(client, model, True)
                self.vendor().answer(200, json.dumps(answer, indent=1).encode())
                response = wire.response()
                where = (model, client)
                self.assertEqual(
                    (response.status, response.headers["content-type"][:17]), (200, "text/event-stream"), where
                )
                self.assertIn(b"fine", response.body, where)
                self.assertTrue(any(word in response.body for word in TERMINAL), where)
                self.assertEqual((self.record.outcome, self.record.accounting.usage.output), ("ok", 4), where)
                self.begin(VENDORS)
                wire = self.put(client, model, True)
                for _ in range(3):
                    self.vendor().answer(200, {"error": {"message": "boom", "type": "api_error"}})
                    self.edge.reactor.advance(1)
                response = wire.response()
                self.assertEqual(response.status, 502, where)
                self.assertIn(b"boom", response.body, where)

    def test_a_list_of_events(self) -> None:
        """As Google answers where ``alt=sse`` got lost on the way."""
        one, two = (json.loads(json.dumps(ANSWERS["gem"])) for _ in range(2))
        del one["candidates"][0]["finishReason"]
        one["candidates"][0]["content"]["parts"] = [{"text": "very "}]
        for client in CLIENTS:
            self.begin(VENDORS)
            wire = self.put(client, "gem", True)
            self.vendor().answer(200, json.dumps([one, two], indent=1).encode())
            response = wire.response()
            self.assertEqual(response.status, 200, client)
            self.assertLess(response.body.index(b"very "), response.body.index(b"fine"), client)
            self.assertEqual(self.record.accounting.usage.output, 4)
            self.begin(VENDORS)
            wire = self.put(client, "gem", True)
            self.vendor().answer(200, [one])
            self.assertEqual(wire.response().status, 502)

    def test_a_stream_by_another_name(self) -> None:
        """A stream, or a whole answer to who asked for one, whatever its vendor calls it; a page of HTML is none."""
        chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "fine"}, "finish_reason": "stop"}]}
        stream = b": hello\n\ndata: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk | {"usage": USAGE}).encode()
        whole = json.dumps(ANSWERS["chat"]).encode()
        for client in CLIENTS:
            for body in (stream, stream[9:], b"event: x\n" + stream[9:], whole):
                for kind in ("text/plain; charset=utf-8", "application/octet-stream", "application/json"):
                    self.begin(VENDORS)
                    wire = self.put(client, "chat", True)
                    self.vendor().answer(200, body, kind)
                    response = wire.response()
                    self.assertEqual(response.status, 200, (client, body, kind))
                    self.assertIn(b"fine", response.body)
                    self.assertTrue(any(word in response.body for word in TERMINAL))
                    self.assertEqual(self.record.accounting.usage.output, 4)
            for body in (stream.replace(b"[DONE]", b"{nope"), b"<html>data: fine</html>", b""):
                self.begin(VENDORS)
                wire = self.put(client, "chat", True)
                self.vendor().answer(200, body, "text/html")
                self.assertEqual(wire.response().status, 502, (client, body))

    def test_a_byte_order_mark(self) -> None:
        """Before an answer or an error, from each vendor to each client, it is ignored (RFC 8259 section 8.1), and not
        passed on."""
        for model, answer in ANSWERS.items():
            for client in CLIENTS:
                for stream in (False, True):
                    self.begin(VENDORS)
                    wire = self.put(client, model, stream)
                    self.vendor().answer(200, b"\xef\xbb\xbf" + json.dumps(answer, indent=1).encode())
                    response = wire.response()
                    self.assertEqual(response.status, 200, (model, client))
                    self.assertIn(b"fine", response.body)
                    self.assertNotIn(b"\xef\xbb\xbf", response.body)
                self.begin(VENDORS)
                wire = self.put(client, model, False)
                self.vendor().answer(400, b"\xef\xbb\xbf" + json.dumps({"error": {"message": "odd"}}).encode())
                response = wire.response()
                self.assertEqual(response.status, 400)
                self.assertIn(b"odd", response.body, (model, client))

    def test_half_a_character_in_a_whole_answer(self) -> None:
        """The bytes, within one dialect; U+FFFD elsewhere."""
        for model, answer in ANSWERS.items():
            for client, dialect in zip(CLIENTS, ("chat", "", "claude", "gem"), strict=True):
                self.begin(VENDORS)
                wire = self.put(client, model, False)
                raw = json.dumps(answer).encode()
                self.vendor().answer(200, raw)
                response = wire.response()
                self.assertEqual(response.status, 200, (model, client))
                if model == dialect:
                    self.assertEqual(response.body, raw)
                else:
                    self.assertIn("fine \ufffd", json.dumps(response.json(), ensure_ascii=False), (model, client))

    def test_what_a_vendor_cannot_do(self) -> None:
        """501 or 405: asked once, told as such in each dialect, and chats go on; the next target is asked."""
        for status in (501, 405):
            for path, body in (
                ("/v1/embeddings", {"model": "chat", "input": "x"}),
                ("/v1/audio/speech", {"model": "v/x", "input": "x"}),
                *((path, body | {"model": "chat"}) for path, body in list(CLIENTS.values())[:3]),
            ):
                self.begin(VENDORS + PATIENT)
                for _ in range(6):
                    wire = self.ask(path, body)
                    self.vendor().answer(status, {"error": {"message": "not here", "type": "not_supported_error"}})
                    response = wire.response()
                    self.assertEqual(response.status, 501, path)
                    self.assertIn("not here", response.error["message"])
                    self.assertEqual(len(self.record.routing.attempts), 1)
        self.begin('[models.two]\ntargets = ["v/x", "chat/x"]\n' + VENDORS)
        wire = self.ask("/v1/embeddings", {"model": "two", "input": "x"})
        self.vendor().answer(501, b"")
        good = {"object": "list", "data": [{"embedding": [0.5], "index": 0}], "model": "x"}
        self.vendor().answer(200, good)
        self.assertEqual(wire.response().json(), good)

    def test_half_a_character_beside_embeddings(self) -> None:
        """It is no reason to throw them away."""
        good = (
            b'{"object":"list","data":[{"embedding":[0.5],"index":0}],"model":"x\\ud800","usage":{"prompt_tokens":1}}'
        )
        paths = (
            ("/v1/embeddings", {"model": "chat", "input": "x"}),
            ("/v1beta/models/chat:embedContent", {"content": {"parts": [{"text": "x"}]}}),
        )
        for path, body in paths:
            self.begin(VENDORS)
            wire = self.ask(path, body)
            self.vendor().answer(200, good)
            self.assertIn(b"0.5", wire.response().body)

    def test_embeddings_in_a_form_of_the_vendors(self) -> None:
        """What was asked for is passed on; unasked, or from JSON that is none, it is a failure."""
        self.begin(VENDORS)
        asked = {"model": "chat", "input": "x", "encoding_format": "bytes"}
        wire = self.ask("/v1/embeddings", asked)
        self.vendor().answer(200, b"\x00\x01\xff", "application/octet-stream")
        response = wire.response()
        self.assertEqual((response.status, response.body), (200, b"\x00\x01\xff"))
        self.assertEqual(response.headers["content-type"], "application/octet-stream")
        for body, kind in ((asked, "application/json"), (asked | {"encoding_format": "float"}, "application/x-any")):
            wire = self.ask("/v1/embeddings", body)
            for _ in range(3):
                self.vendor().answer(200, b"\x00\x01\xff", kind)
                self.edge.reactor.advance(1)
            self.assertEqual(wire.response().status, 502)

    def test_health_is_an_operations_own(self) -> None:
        """Embeddings that fail for good leave chats alone, and one call that fails three times has failed once."""
        self.begin(VENDORS + PATIENT)

        def embeds() -> Response:
            before = len(self.edge.records)
            wire = self.ask("/v1/embeddings", {"model": "chat", "input": "x"})
            while len(self.edge.records) == before:
                self.vendor().answer(200, b"{nope")
                self.edge.reactor.advance(0.6)
            return wire.response()

        for _ in range(4):
            self.assertEqual(embeds().status, 502)
            self.assertGreater(len(self.record.routing.attempts), 1)
        self.assertEqual({each.cause for each in self.record.routing.attempts}, {"malformed"})
        self.assertEqual(embeds().status, 502)
        wire = self.ask("/v1/embeddings", {"model": "chat", "input": "x"}, headers={"x-llmedge-retries": "0"})
        self.assertEqual(wire.response().status, 503)
        self.assertIn("breaker: 5 in a row failed", self.record.error_message)
        wire = self.put("openai_chat", "chat", False)
        self.vendor().answer(200, ANSWERS["chat"])
        self.assertEqual(wire.response().status, 200)

    def test_texts_under_another_name(self) -> None:
        """A transcript is what its vendor wrote, whatever it calls that; HTML is shown as text."""
        form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nv/x\r\n--b--\r\n'
        for kind, shown in (
            ("application/x-subrip", "application/x-subrip"),
            ("text/html; charset=utf-8", "text/plain; charset=utf-8"),
            ("application/xhtml+xml", "text/plain; charset=utf-8"),
            ("nonsense", "text/plain; charset=utf-8"),
            ("text/vtt", "text/vtt"),
        ):
            for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
                self.begin()
                wire = self.ask(path, form, headers={"content-type": "multipart/form-data; boundary=b"})
                self.vendor().answer(200, b"<b>hello</b>", kind)
                response = wire.response()
                self.assertEqual((response.status, response.body), (200, b"<b>hello</b>"), kind)
                self.assertEqual(response.headers["content-type"], shown)

    def test_media_that_are_not_passed_on(self) -> None:
        """The work is done and billed: nobody is asked again for that, and the vendor is well."""
        self.begin(PATIENT)
        for _ in range(6):
            wire = self.ask("/v1/audio/speech", {"model": "v/x", "input": "x"})
            self.vendor().answer(200, b"<html>", "text/html")
            self.assertEqual(wire.response().status, 502)
            self.assertEqual([each.cause for each in self.record.routing.attempts], ["media_type"])

    def test_too_long_behind_a_status_of_200(self) -> None:
        """An error in a body or a stream that says so is asked once, and told as the client's."""
        error = {
            "error": {"message": "The input (9000 tokens) is longer than the model's context length.", "code": 400}
        }
        frame = f"data: {json.dumps(error)}\n\n".encode()
        for client in CLIENTS:
            for stream in (False, True):
                self.begin(VENDORS + PATIENT)
                wire = self.put(client, "chat", stream)
                if stream:
                    self.vendor().answer(200, frame, "text/event-stream")
                else:
                    self.vendor().answer(200, error)
                response = wire.response()
                self.assertEqual(response.status, 400, (client, stream))
                self.assertIn(b"9000 tokens", response.body)
                self.assertEqual([each.cause for each in self.record.routing.attempts], ["context_length"])

    def test_what_a_vendor_adds_to_an_error(self) -> None:
        """It is there, less our credential; much of it is not."""
        error = {"message": "too long", "type": "exceed_context_size_error", "code": 400, "n_ctx": 4096, "x": ["key k"]}
        toml = VENDORS.replace('"k"', '"secret-1"')
        for client in ("openai_chat", "openai_responses", "anthropic"):
            self.begin(toml)
            wire = self.put(client, "chat", False)
            self.vendor().answer(400, {"error": error | {"x": ["key secret-1"]}})
            response = wire.response()
            told = response.json()["error"]
            self.assertEqual((response.status, told["n_ctx"], told["message"]), (400, 4096, "too long"))
            self.assertNotIn(b"secret-1", response.body)
            wire = self.put(client, "chat", False)
            self.vendor().answer(400, {"error": error | {"x": "y" * 5000}})
            self.assertNotIn(b"yyy", wire.response().body)

    def test_counts_as_they_came(self) -> None:
        """What a vendor adds to a count is its client's, who speaks its dialect."""
        self.begin(VENDORS)
        wire = self.ask("/v1/messages/count_tokens", CHAT | {"model": "claude"})
        told = {"input_tokens": 5, "context_management": {"original_input_tokens": 9}}
        self.vendor().answer(200, told)
        self.assertEqual(wire.response().json(), told)
