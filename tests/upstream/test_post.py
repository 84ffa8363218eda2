"""One POST over our own connections."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import EdgeError
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
