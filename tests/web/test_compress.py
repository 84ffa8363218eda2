"""Compressed answers."""

import gzip

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, request


class Gzip(SynchronousTestCase):
    LONG = {"messages": [{"role": "user", "content": "word " * 1000}]}
    ACCEPT = {"accept-encoding": "gzip, deflate"}

    def test_long_answers(self) -> None:
        """They are packed where the client takes that, and unpack to the same."""
        edge = Edge()
        plain = edge.ask(body=CHAT | self.LONG)
        packed = edge.ask(body=CHAT | self.LONG, headers=self.ACCEPT)
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertIn("Accept-Encoding", packed.headers["vary"])
        self.assertIn("Accept-Encoding", plain.headers["vary"])
        self.assertTrue(packed.complete)
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertNotIn("content-encoding", plain.headers)

    def test_short_answers_and_refusals(self) -> None:
        """Tiny bodies are not worth it, and q=0 means no."""
        edge = Edge()
        self.assertNotIn("content-encoding", edge.ask("GET", "/health", headers=self.ACCEPT).headers)
        for accept, packed in (
            ("gzip;q=0", False),
            ("*", True),
            ("*;q=0", False),
            ("gzip;q=0, *", True),
        ):
            response = edge.ask(body=CHAT | self.LONG, headers={"accept-encoding": accept})
            self.assertEqual("content-encoding" in response.headers, packed, accept)

    def test_what_the_client_prefers(self) -> None:
        """The coding with the most weight; among equals zstd, br, gzip."""
        import brotli
        import zstandard

        edge = Edge()
        plain = edge.ask(body=CHAT | self.LONG).body
        unpack = {
            "gzip": gzip.decompress,
            "br": brotli.decompress,
            "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        }
        for accept, coding in (
            ("gzip, br, zstd", "zstd"),
            ("gzip, br", "br"),
            ("br;q=0.5, gzip;q=0.8", "gzip"),
            ("zstd;q=0, *", "br"),
        ):
            response = edge.ask(body=CHAT | self.LONG, headers={"accept-encoding": accept})
            self.assertEqual(response.headers["content-encoding"], coding, accept)
            self.assertEqual(unpack[coding](response.body), plain)

    def test_streams_are_never_held_back(self) -> None:
        """Each event is readable the moment the vendor gave it, whatever the client accepts."""
        edge = Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nchunk_interval = 1\n')
        wire = edge.wire()
        wire.send(request(body=CHAT | {"stream": True}, headers=self.ACCEPT))
        edge.reactor.advance(1)
        self.assertIn(b'"content":"This"', wire.received())
        self.assertNotIn(b"content-encoding", wire.received().lower())
        edge.reactor.advance(1)
        self.assertIn(b'"content":" is"', wire.received())
        self.assertNotIn(b'"content":" a"', wire.received())
        wire.leave()
