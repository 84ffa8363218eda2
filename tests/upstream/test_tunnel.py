"""CONNECT, in memory: what goes to the proxy, and what is made of what it says."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.proxy import parse_proxy
from llmedge.upstream.reasons import ProxyFailed
from llmedge.upstream.trust import TlsRefused
from llmedge.upstream.tunnel import ToProxy, Tunnel
from tests.upstream.test_client import Endpoint


class Inside(Protocol):
    """What a tunnel is for."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False

    def connectionMade(self) -> None:
        self.transport.write(b"hello")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = Failure(ConnectionRefusedError())) -> None:  # noqa: B008
        self.lost = True


class Tunnelling(SynchronousTestCase):
    def begin(self, proxy: str = "http://proxy.example:3128", authority: str = "v.example:443") -> Deferred[Any]:
        self.endpoint = Endpoint()
        tunnel = Tunnel(ToProxy(self.endpoint), authority, parse_proxy(proxy))
        opening: Deferred[Any] = tunnel.connect(Factory.forProtocol(Inside))
        return opening

    def reply(self, *pieces: bytes, **how: str) -> Deferred[Any]:
        opening = self.begin(**how)
        connection: Any = self.endpoint.succeed()
        for piece in pieces:
            connection.dataReceived(piece)
        return opening

    @property
    def transport(self) -> Any:
        return self.endpoint.connections[0].transport

    def test_what_is_asked(self) -> None:
        """RFC 9110 section 9.3.6; a login is shown at once, not when it is asked for: most proxies then hang up."""
        for proxy, authority, asked in (
            ("http://p", "v.example:443", b"CONNECT v.example:443 HTTP/1.1\r\nHost: v.example:443\r\n\r\n"),
            ("http://p", "[::1]:8443", b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"),
            (
                "http://us%40er:pa%3ass@p",
                "v:1",
                b"CONNECT v:1 HTTP/1.1\r\nHost: v:1\r\nProxy-Authorization: Basic dXNAZXI6cGE6c3M=\r\n\r\n",
            ),
        ):
            self.reply(proxy=proxy, authority=authority)
            self.assertEqual(self.transport.value(), asked)

    def test_a_tunnel(self) -> None:
        """However the answer comes in; what follows it is of whoever is at the other end."""
        whole = b"HTTP/1.1 200 Connection established\r\nProxy-agent: x\r\n\r\nWORLD"
        for pieces in ([whole], [whole[i : i + 1] for i in range(len(whole))], [b"HTTP/1.0 200\r\n\r\n", b"WORLD"]):
            inside = self.successResultOf(self.reply(*pieces))
            self.assertEqual(inside.heard, b"WORLD")
            self.assertTrue(self.transport.value().endswith(b"\r\n\r\nhello"))
            self.assertIs(inside.transport, self.transport)
            self.transport.loseConnection()
            self.assertTrue(inside.lost)

    def test_refusals(self) -> None:
        """What whoever asks again would hear again is told apart."""
        for reply, cause, words in (
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n<html>", "proxy", "a user name and a password"),
            (b"HTTP/1.0 401 Unauthorized\r\n\r\n", "proxy", "a user name and a password"),
            (b"HTTP/1.1 403 Filtered\r\nContent-Length: 5\r\n\r\nno no", "proxy", "answered with status 403"),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "connect", "answered with status 503"),
            (b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "connect", "answered with status 302"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "connect", "not HTTP/1.1"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "connect", "not HTTP/1.1"),
            (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 20000, "connect", "not HTTP/1.1"),
        ):
            error = self.failureResultOf(self.reply(reply), ProxyFailed).value
            self.assertEqual(error.cause, cause)
            self.assertIn(words, str(error))
            self.assertTrue(self.transport.aborted)

    def test_it_closes(self) -> None:
        for pieces in ([], [b"HTTP/1.1 200"]):
            opening = self.reply(*pieces)
            self.transport.loseConnection()
            self.assertEqual(self.failureResultOf(opening, ProxyFailed).value.cause, "reset")

    def test_it_is_not_there(self) -> None:
        """The failure is the proxy's, not the vendor's, and says so."""
        for error, cause, words in (
            (ConnectionRefusedError(), "refused", "its proxy could not be reached: connection refused"),
            (DNSLookupError(), "dns", "its proxy could not be reached: its host name does not resolve"),
            (
                TlsRefused("certificate has expired"),
                "tls",
                "its proxy could not be reached: TLS failed: certificate has",
            ),
        ):
            opening = self.begin()
            self.endpoint.waiting[0][0].errback(Failure(error))
            failure = self.failureResultOf(opening, ProxyFailed).value
            self.assertEqual(failure.cause, cause)
            self.assertIn(words, str(failure))

    def test_leaving(self) -> None:
        """Who gives up, gives up: while the proxy is called, and while it calls the vendor."""
        opening = self.begin()
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        opening = self.reply(b"HTTP/1.1 200")
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertTrue(self.transport.aborted)
