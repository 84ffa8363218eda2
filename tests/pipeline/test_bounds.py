"""What is held for a call: never less than it may cost, whatever it is paid by."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.money import USD
from llmedge.pipeline import bounds
from tests.fakes import CHAT, Edge, Wire, request
from tests.web.test_multipart import FILE, MODEL, TYPE, body

TOML = """
[rate_limit]
enabled = false
[providers.mock]
dialect = "mock"
latency = 1.0
[models.m]
targets = ["mock/x"]
[models.m.capabilities]
context = 100000
max_output = 1000
[prices."mock/x"]
PRICES
[[auth.keys]]
name = "a"
key = "key-a"
budgets = [{amount = 1000000, period = "total"}]
"""
KEY = {"x-api-key": "key-a"}
TOKENS = "input = 1\noutput = 10"
MICRO = USD // 10**6
"""What a token of input costs, by :data:`TOKENS`."""
TEXT = {"model": "m", "prompt": "hello", "max_tokens": 50}
GEMINI = {"contents": [{"parts": [{"text": "hello"}]}]}
ANTHROPIC = CHAT | {"model": "m", "max_tokens": 70}
SEARCHES = (
    ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "web_search"}]}),
    ("/v1/responses", {"model": "m", "input": "hi", "previous_response_id": "resp_1"}),
    ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "mcp", "server_url": "https://x"}]}),
    ("/v1/chat/completions", CHAT | {"model": "m", "web_search_options": {}}),
    ("/v1/messages", ANTHROPIC | {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("/v1/messages", ANTHROPIC | {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}),
    ("/v1beta/models/m:generateContent", GEMINI | {"tools": [{"googleSearch": {}}]}),
    ("/v1beta/models/m:generateContent", GEMINI | {"cachedContent": "cachedContents/1"}),
)
OWN_TOOLS = (
    ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "function", "name": "web_search"}]}),
    ("/v1/responses", {"model": "m", "input": "hi", "tools": [{"type": "custom", "name": "x"}]}),
    ("/v1/messages", ANTHROPIC | {"tools": [{"name": "web_search", "input_schema": {}}]}),
    ("/v1/messages", ANTHROPIC | {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
    ("/v1beta/models/m:generateContent", GEMINI | {"tools": [{"functionDeclarations": [{"name": "x"}]}]}),
)


class Held(SynchronousTestCase):
    def begin(self, prices: str, path: str, document: Any, kind: str = "application/json") -> tuple[Edge, Wire, int]:
        """A call under way; what is held for it."""
        edge = Edge(TOML.replace("PRICES", prices))
        wire = edge.wire()
        wire.send(request("POST", path, document, KEY, kind))
        (fund,) = edge.service._process.allowances.funds.values()
        return edge, wire, fund.held

    def held(self, prices: str, path: str, document: Any, kind: str = "application/json") -> int:
        """The same, once it has ended: it cost no more than was held, and nothing is held any more."""
        edge, wire, held = self.begin(prices, path, document, kind)
        edge.reactor.pump([0.5] * 4)
        self.assertEqual(wire.response().status, 200, wire.received())
        (record,) = edge.records
        self.assertLessEqual(record.accounting.cost or 0, held)
        (fund,) = edge.service._process.allowances.funds.values()
        self.assertEqual((fund.held, fund.spent), (0, record.accounting.cost or 0))
        return held

    def held_so_far(self, prices: str, path: str, data: bytes, length: bool = True) -> int:
        """What is held for an upload of which all but the end is here."""
        edge = Edge(TOML.replace("PRICES", prices))
        told = f"content-length: {len(data)}" if length else "transfer-encoding: chunked"
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: key-a\r\ncontent-type: {TYPE}\r\n{told}\r\n\r\n"
        data = data[:-10]
        edge.wire().send(head.encode() + (data if length else b"%x\r\n%b\r\n" % (len(data), data)))
        (fund,) = edge.service._process.allowances.funds.values()
        return int(fund.held)

    def test_of_texts(self) -> None:
        """A token for each byte, and as many as are asked for, in each dialect's words and for each answer."""
        for path, document, output in (
            ("/v1/chat/completions", CHAT | {"model": "m", "max_tokens": 50}, 50),
            ("/v1/chat/completions", CHAT | {"model": "m", "max_completion_tokens": 50, "max_tokens": 60}, 60),
            ("/v1/chat/completions", CHAT | {"model": "m", "max_tokens": 50, "n": 3}, 150),
            ("/v1/chat/completions", CHAT | {"model": "m"}, 1000),
            ("/v1/completions", TEXT, 50),
            ("/v1/completions", TEXT | {"n": 2, "best_of": 5}, 250),
            ("/v1/completions", TEXT | {"prompt": ["a", "b"], "n": 2, "best_of": 3}, 300),
            ("/v1/responses", {"model": "m", "input": "hi", "max_output_tokens": 40}, 40),
            ("/v1/messages", ANTHROPIC, 70),
            ("/v1beta/models/m:generateContent", GEMINI | {"generationConfig": {"maxOutputTokens": 30}}, 30),
            ("/v1/embeddings", {"model": "m", "input": ["hello", "you"]}, 0),
            ("/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "hello"}]}}, 0),
            ("/v1/moderations", {"model": "m", "input": "hello"}, 0),
        ):
            size = len(json.dumps(document))
            self.assertEqual(self.held(TOKENS, path, document), (size + 10 * output) * MICRO, (path, document))

    def test_of_what_may_be_read_either_way(self) -> None:
        """A limit in a form that only some servers take is none; two spellings of one field are refused."""
        for odd in ("100000", 100000.0, "5", 10**20, [5]):
            document = CHAT | {"model": "m", "max_tokens": 5, "max_completion_tokens": odd}
            _, _, held = self.begin(TOKENS, "/v1/chat/completions", document)
            self.assertEqual(held, (len(json.dumps(document)) + 10 * 1000) * MICRO, odd)
        for both in (
            {"generationConfig": {"maxOutputTokens": 5, "max_output_tokens": 500}},
            {"generationConfig": {"candidateCount": 1, "candidate_count": 8}},
            {"generationConfig": {"maxOutputTokens": 5}, "generation_config": {"maxOutputTokens": 500}},
        ):
            answer = Edge(TOML.replace("PRICES", TOKENS)).ask(
                "POST", "/v1beta/models/m:generateContent", GEMINI | both, headers=KEY
            )
            self.assertEqual(answer.status, 400, both)

    def test_of_what_the_vendor_finds(self) -> None:
        """As much as the model can read; not for tools that clients run."""
        for path, document in SEARCHES:
            _, _, held = self.begin(TOKENS, path, document)
            self.assertGreaterEqual(held, 100_000 * MICRO, document)
        for path, document in OWN_TOOLS:
            _, _, held = self.begin(TOKENS, path, document)
            self.assertTrue(0 < held < 20_000 * MICRO, document)

    def test_of_marks(self) -> None:
        """A text is looked through where there is any of them."""
        for mark in (*bounds._PICTURES, *bounds._ELSEWHERE):
            self.assertIsNotNone(bounds._of_any(b'[{"content":[{' + mark + b":1}]}]"), mark)
        self.assertIsNone(bounds._of_any(b'[{"role":"user","content":"an image of a file"}]'))

    def test_of_pictures_seen(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
        document = CHAT | {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [picture] * 2}]}
        size = len(json.dumps(document))
        self.assertGreaterEqual(self.held(TOKENS, "/v1/chat/completions", document), (size + 6000) * MICRO)

    def test_of_names_that_are_spelt_otherwise(self) -> None:
        """A JSON escape hides no picture and no file: as much is held as without it, at least."""
        part = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
        seen = CHAT | {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [part]}]}
        file = CHAT | {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [{"file_id": "x"}]}]}
        edit = {"model": "m", "prompt": "wider", "image": [{"image_url": "https://x/y.png"}]}
        for path, document in (
            ("/v1/chat/completions", seen),
            ("/v1/chat/completions", file),
            ("/v1/images/edits", edit),
        ):
            text = json.dumps(document)
            _, _, least = self.begin(TOKENS, path, text.encode())
            for plain, escaped in (("image", "\\u0069mage"), ("e_", "e\\u005f"), ("e_", "\\u0065\\u005F")):
                _, _, held = self.begin(TOKENS, path, text.replace(plain, escaped).encode())
                self.assertGreaterEqual(held, least, (path, escaped))
        accents = CHAT | {
            "model": "m",
            "messages": [{"role": "user", "content": "caf\u00e9 <\u4f60>"}],
            "max_tokens": 1,
        }
        size = len(text := json.dumps(accents))
        self.assertEqual(self.begin(TOKENS, "/v1/chat/completions", text.encode())[2], (size + 10) * MICRO)

    def test_of_counting(self) -> None:
        """Nothing, of the minute's tokens neither."""
        self.assertEqual(self.held(TOKENS, "/v1/messages/count_tokens", ANTHROPIC), 0)
        edge = Edge(TOML.replace("PRICES", TOKENS).replace("budgets", "tpm = 10\nbudgets"))
        for _ in range(3):
            wire = edge.wire()
            wire.send(request("POST", "/v1/messages/count_tokens", ANTHROPIC, KEY))
            edge.reactor.pump([0.5] * 3)
            self.assertEqual(wire.response().status, 200)

    def test_of_rankings(self) -> None:
        """Some count the query for each document; others take so much a search."""
        document = {"model": "m", "query": "what", "documents": ["a", "b", "c"]}
        size = len(json.dumps(document))
        self.assertEqual(self.held(TOKENS, "/v1/rerank", document), (size + 3 * len('"what"')) * MICRO)
        self.assertEqual(self.held("request = 0.002", "/v2/rerank", document), 2000 * MICRO)

    def test_of_speech(self) -> None:
        """By the character, or by the token."""
        document = {"model": "m", "input": "hello", "voice": "x"}
        self.assertEqual(self.held("characters = 15", "/v1/audio/speech", document), 5 * 15 * MICRO)
        tokens = self.held(TOKENS, "/v1/audio/speech", document)
        self.assertEqual(tokens, (len(json.dumps(document)) + 10 * 1000) * MICRO)

    def test_of_pictures_made(self) -> None:
        """Each of them, by the picture or by the token."""
        document = {"model": "m", "prompt": "hello", "n": 3}
        self.assertEqual(self.held("image = 0.04", "/v1/images/generations", document), 3 * 40_000 * MICRO)
        tokens = self.held(TOKENS, "/v1/images/generations", document)
        self.assertEqual(tokens, (len(json.dumps(document)) + 10 * 3 * 1000) * MICRO)

    def test_of_pictures_changed(self) -> None:
        """As the form says, where all of it is there before anybody is asked; else as many as may be."""
        number = b'Content-Disposition: form-data; name="n"\r\n\r\n'
        small = body(MODEL + b"m", number + b"2", FILE + b"x" * 100, FILE + b"y" * 100)
        self.assertEqual(self.held("image = 0.04", "/v1/images/edits", small, TYPE), 2 * 40_000 * MICRO)
        without = body(MODEL + b"m", FILE + b"x" * 100)
        self.assertEqual(self.held("image = 0.04", "/v1/images/edits", without, TYPE), 40_000 * MICRO)
        large = body(MODEL + b"m", number + b"1", FILE + b"x" * 2_000_000)
        self.assertEqual(self.held_so_far("image = 0.04", "/v1/images/edits", large), 10 * 40_000 * MICRO)
        tokens = self.held(TOKENS, "/v1/images/edits", small, TYPE)
        self.assertGreaterEqual(tokens, 2 * bounds._PICTURE_EDITED * MICRO)

    def test_of_recordings(self) -> None:
        """As long as so many bytes can be; where nobody says how many come, as long as an upload may be."""
        price = "audio_minute = 0.006"
        small, large = (body(MODEL + b"m", FILE + b"x" * size) for size in (1000, 3_000_000))
        for path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
            held = self.held(price, path, small, TYPE)
            self.assertEqual(held // MICRO, len(small) * bounds.MS_A_BYTE * 6000 // 60_000, path)
            for length, most in ((True, len(large)), (False, 26_214_400)):
                held = self.held_so_far(price, path, large, length)
                self.assertEqual(held // MICRO, most * bounds.MS_A_BYTE * 6000 // 60_000, path)

    def test_of_what_has_no_price(self) -> None:
        """A price for something else is none; one that nobody is paid is 0."""
        for prices, path, document in (
            ("image = 0.04", "/v1/chat/completions", CHAT | {"model": "m"}),
            ("characters = 15", "/v1/embeddings", {"model": "m", "input": "hi"}),
            ("audio_minute = 1", "/v1/images/generations", {"model": "m", "prompt": "hi"}),
        ):
            _, wire, held = self.begin(prices, path, document)
            self.assertEqual((wire.response().status, held), (400, 0), path)
        edge = Edge(TOML.replace('[prices."mock/x"]\nPRICES', ""))
        for path, document in (
            ("/v1/chat/completions", CHAT | {"model": "m"}),
            ("/v1/images/generations", {"model": "m", "prompt": "hi"}),
            ("/v1/audio/speech", {"model": "m", "input": "hello", "voice": "x"}),
            ("/v1/rerank", {"model": "m", "query": "what", "documents": ["a"]}),
        ):
            wire = edge.wire()
            wire.send(request("POST", path, document, KEY))
            edge.reactor.pump([0.5] * 4)
            self.assertEqual(wire.response().status, 200, path)
        self.assertEqual({(each.accounting.cost, each.accounting.unpriced) for each in edge.records}, {(0, False)})
