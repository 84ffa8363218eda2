"""Small documents, fetched whole."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from llmedge.errors import UpstreamCut, UpstreamTooLarge
from llmedge.upstream import fetch
from llmedge.upstream.fetch import Fetcher
from tests.upstream.in_memory import OK, InMemory


class Fetched(InMemory):
    def setUp(self) -> None:
        super().setUp()
        self.fetching: Deferred[Any] = Deferred.fromCoroutine(
            Fetcher(self.clock, self.client, self.limits)("http://a.example/keys?p=1")
        )

    def test_whole(self) -> None:
        """Status, what is said of its life, body; asked for by its path, without a cookie or a body."""
        self.assertTrue(self.sent().startswith(b"GET /keys?p=1 HTTP/1.1\r\n"))
        self.assertIn(b"Accept: application/json", self.sent())
        self.connected().dataReceived(
            OK + b"Cache-Control: public\r\nCache-Control: max-age=5\r\nContent-Length: 2\r\n\r\n{"
        )
        self.assertNoResult(self.fetching)
        self.connected().dataReceived(b"}")
        self.assertEqual(self.successResultOf(self.fetching), (200, "public, max-age=5", b"{}"))

    def test_no_redirect(self) -> None:
        """Where it leads nobody has said in the configuration."""
        self.connected().dataReceived(
            b"HTTP/1.1 302 Found\r\nLocation: http://a.example/x\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(self.successResultOf(self.fetching), (302, "", b""))

    def test_too_much(self) -> None:
        self.patch(fetch, "MOST", 10)
        self.connected().dataReceived(OK + b"Content-Length: 11\r\n\r\n" + b"x" * 11)
        self.failureResultOf(self.fetching, UpstreamTooLarge)

    def test_cut(self) -> None:
        self.connected().dataReceived(OK + b"Content-Length: 11\r\n\r\nx")
        self.connected().transport.loseConnection()
        self.failureResultOf(self.fetching, UpstreamCut)
