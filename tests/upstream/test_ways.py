"""Which way a request goes: straight, through a proxy that reads it, through a tunnel, or into a unix socket."""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from llmedge.config.egress import Way
from llmedge.config.pem import read_certificates
from llmedge.config.proxy import parse_proxy
from llmedge.config.sections.upstream import Upstream
from llmedge.errors import ConnectFailed
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.client import Client
from tests.e2e.certificates import Authority
from tests.e2e.service import PATIENCE, TIMEOUT
from tests.folders import new_folder
from tests.upstream import loopback
from tests.upstream.test_client import Body
from tests.upstream.test_client import Endpoint as Manual
from tests.upstream.test_tls import Server

PROXIES = Upstream(
    https_proxy=parse_proxy("http://10.0.0.1:3128"),
    http_proxy=parse_proxy("http://10.0.0.2:3129"),
    no_proxy=("inside.example",),
)
OWN, OFF = Way(parse_proxy("10.0.0.3")), Way(parse_proxy("off"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def send(client: Client, url: str, data: bytes = b"GET / HTTP/1.1\r\n\r\n", body: Any = None) -> Deferred[Any]:
    sending = client.pool_for(url).send(data, Attempt(Target("p", "m"), 0.0), Routing(), body)
    return Deferred.fromCoroutine(sending)


class Choosing(SynchronousTestCase):
    def test_who_is_called(self) -> None:
        """An address: no name is looked up for a vendor that a proxy calls."""
        for url, way, called in (
            ("https://192.0.2.1/v1", Way(), ("10.0.0.1", 3128)),
            ("http://192.0.2.1/v1", Way(), ("10.0.0.2", 3129)),
            ("https://192.0.2.1/v1", OWN, ("10.0.0.3", 80)),
            ("https://192.0.2.1:8443/v1", OFF, ("192.0.2.1", 8443)),
            ("https://vendor.example/v1", Way(), ("10.0.0.1", 3128)),
        ):
            reactor = MemoryReactorClock()
            send(Client(reactor, PROXIES).by(way), url)
            self.assertEqual([client[:2] for client in reactor.tcpClients], [called], url)

    def test_sockets(self) -> None:
        """No proxy has anything to do with them."""
        reactor = MemoryReactorClock()
        send(Client(reactor, PROXIES).by(OWN), "http+unix://%2Frun%2FX%20y.sock/v1")
        self.assertEqual([client[0] for client in reactor.unixClients], ["/run/X y.sock"])

    def test_pools_are_by_origin_and_way(self) -> None:
        """Connections are shared by providers that go the same way, and by no others."""
        client = Client(MemoryReactorClock(), PROXIES)
        url = "https://192.0.2.1/v1"
        pool = client.pool_for(url)
        self.assertIs(client.by(Way()).pool_for(url), pool)
        self.assertIs(client.by(Way(parse_proxy("10.0.0.3"))).pool_for(url), client.by(OWN).pool_for(url))
        others = [client.by(way).pool_for(url) for way in (OWN, OFF, Way(parse_proxy("u:p@10.0.0.3")))]
        self.assertEqual(len({id(each) for each in (pool, *others)}), 4)


class Forwarding(SynchronousTestCase):
    """A proxy that asks http URLs for us (RFC 9112 section 3.2.2)."""

    def begin(self, url: str = "http://192.0.2.1:8000/v1", proxy: str = "http://u:p@10.0.0.2") -> None:
        self.client = Client(MemoryReactorClock(), Upstream(http_proxy=parse_proxy(proxy)))
        self.endpoint: Any = Manual()
        self.url = url
        self.client.pool_for(url)._endpoint = self.endpoint

    def test_the_request(self) -> None:
        plain, port = "http://[2001:db8::1]/", "http://192.0.2.1:8000/v1"
        login = b"Proxy-Authorization: Basic dTpw\r\n"
        for url, proxy, target, more in (
            (port, "u:p@10.0.0.2", b"http://192.0.2.1:8000/v1/chat?a=b", login),
            (plain, "10.0.0.2", b"http://[2001:db8::1]/v1/chat?a=b", b""),
        ):
            self.begin(url, proxy)
            sending = send(self.client, url, b"POST /v1/chat?a=b HTTP/1.1\r\nhost: x\r\n\r\n{}")
            connection = self.endpoint.succeed()
            self.assertEqual(connection.transport.value(), b"POST %b HTTP/1.1\r\n%bhost: x\r\n\r\n{}" % (target, more))
            connection.dataReceived(OK)
            self.assertEqual(self.successResultOf(sending).status, 200)

    def test_a_body_in_pieces(self) -> None:
        self.begin(proxy="10.0.0.2")
        head = b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n"
        send(self.client, self.url, head, Body(b"abc", length=3, whole=True))
        sent = self.endpoint.succeed().transport.value()
        self.assertEqual(sent, b"POST http://192.0.2.1:8000/ HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc")

    def test_it_wants_to_know_who_asks(self) -> None:
        """That is no answer of the vendor's."""
        self.begin()
        sending = send(self.client, self.url)
        self.endpoint.succeed().dataReceived(b"HTTP/1.1 407 X\r\nContent-Length: 6\r\n\r\n<html>")
        error = self.failureResultOf(sending, ConnectFailed).value
        self.assertEqual(error.cause, "proxy")
        self.assertIn("a user name and a password", error.message)


class Sockets(TestCase):
    timeout = TIMEOUT

    def ask(self, path: str) -> Deferred[Any]:
        return send(self.client, "http+unix://" + path.replace("/", "%2F"))

    def setUp(self) -> None:
        self.client = loopback.client(self, Upstream(connect_timeout=PATIENCE))

    async def test_a_socket(self) -> None:
        """It closes behind its answer, which the next request finds out before it is sent."""
        path = str(new_folder() / "s.sock")
        server = loopback.PlainServer(OK, path)
        self.addCleanup(server.stop)
        for _ in range(3):
            self.assertEqual(await (await self.ask(path)).read_all(), b"ok")
        self.assertEqual(server.heard, [b"GET / HTTP/1.1\r\n\r\n"] * 3)

    async def test_no_socket(self) -> None:
        error = await self.assertFailure(self.ask("/nonexistent/s.sock"), ConnectFailed)
        self.assertEqual(error.cause, "refused")
        self.assertIn("there is no such socket", error.message)


class SecureProxies(TestCase):
    """The proxy itself may want TLS: then there is TLS within TLS, each end with its own name."""

    timeout = TIMEOUT

    def setUp(self) -> None:
        self.authority = Authority()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("vendor", "vendor.example"))
        self.vendor = Server(context)
        self.addCleanup(self.vendor.stop)
        self.tunnels = loopback.Tunnels()

    def ask(self, name: str) -> Deferred[Any]:
        """:param name: in the proxy's certificate."""
        cert, key = self.authority.issue("proxy", name)
        context = DefaultOpenSSLContextFactory(key, cert)
        port = loopback.reactor.listenSSL(0, self.tunnels, context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        proxy = parse_proxy(f"https://user:word@localhost:{port.getHost().port}")
        trusted = read_certificates(self.authority.path)
        client = loopback.client(self, Upstream(connect_timeout=PATIENCE, https_proxy=proxy, ca_file=trusted))
        return send(client, f"https://vendor.example:{self.vendor.port}/v1")

    async def test_tls_within_tls(self) -> None:
        exchange = await self.ask("localhost")
        self.assertEqual(await exchange.read_all(), b"ok")
        (head,) = self.tunnels.heads
        self.assertTrue(head.startswith(b"CONNECT vendor.example:%d HTTP/1.1\r\n" % self.vendor.port))
        self.assertIn(b"Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n", head)

    async def test_somebody_else(self) -> None:
        """Who is not the proxy gets to know neither the login nor where we wanted to go."""
        error = await self.assertFailure(self.ask("other.example"), ConnectFailed)
        self.assertEqual((error.cause, self.tunnels.heads), ("tls", []))
        self.assertIn("its proxy could not be reached: TLS failed: hostname mismatch", error.message)
