"""One POST over our own connections."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import EdgeError, UpstreamTooLarge
from llmedge.upstream.client import Client
from llmedge.upstream.post import TIMEOUT, Poster
from tests.fakes import Edge
from tests.web.through import Asked


class Posting(SynchronousTestCase):
    def setUp(self) -> None:
        self.edge = Edge()
        self.reactor = self.edge.reactor
        self.poster = Poster(self.reactor, Client(self.reactor, Upstream()))

    def post(self) -> tuple[Deferred[int], Asked]:
        asking = self.poster("http://127.0.0.1:9/hook", {"webhook-id": "a"}, b"{}")
        return asking, Asked(self.edge)

    def test_its_status(self) -> None:
        """Whatever it is; a redirect is not followed."""
        for status in (200, 302, 500):
            asking, asked = self.post()
            line, headers = asked.head
            self.assertEqual((line, asked.body), ("POST /hook HTTP/1.1", b"{}"))
            self.assertEqual(headers, {"Host": "127.0.0.1:9", "Content-Length": "2", "webhook-id": "a"})
            asked.say(b"HTTP/1.1 %d X\r\nlocation: http://127.0.0.1:8/\r\ncontent-length: 1000000\r\n\r\nx" % status)
            self.assertEqual(self.successResultOf(asking), status)
            self.assertEqual(self.reactor.tcpClients, [])

    def test_silence(self) -> None:
        asking, _ = self.post()
        self.reactor.advance(TIMEOUT)
        self.assertIn("did not answer within 20 s", self.failureResultOf(asking, EdgeError).value.message)

    def whole(self, most: int = 100) -> tuple[Deferred[tuple[int, bytes]], Asked]:
        asking = self.poster.whole("http://127.0.0.1:9/a?b=c", {"x-key": "k"}, b"{}", most)
        return Deferred.fromCoroutine(asking), Asked(self.edge)

    def test_a_whole_answer(self) -> None:
        """With its status, in whatever pieces it comes; the connection is kept for the next."""
        asking, asked = self.whole()
        self.assertEqual(asked.head[0], "POST /a?b=c HTTP/1.1")
        asked.chunked("application/json")
        asked.chunk(b'{"a":')
        asked.chunk(b" 1}")
        asked.say(b"0\r\n\r\n")
        self.assertEqual(self.successResultOf(asking), (200, b'{"a": 1}'))
        again = Deferred.fromCoroutine(self.poster.whole("http://127.0.0.1:9/", {}, b"", 9))
        self.assertEqual(self.reactor.tcpClients, [])
        asked.answer(500, b"no")
        self.assertEqual(self.successResultOf(again), (500, b"no"))

    def test_too_much(self) -> None:
        """Nobody waits for the rest."""
        asking, asked = self.whole(most=9)
        asked.say(b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n0123456789")
        self.assertIn("more than 9 bytes", self.failureResultOf(asking, UpstreamTooLarge).value.message)
        self.assertTrue(asked.transport.aborted)

    def test_given_up(self) -> None:
        for said in (b"", b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n0"):
            asking, asked = self.whole()
            asked.say(said)
            asking.cancel()
            self.failureResultOf(asking)
            self.assertTrue(asked.transport.aborted)
