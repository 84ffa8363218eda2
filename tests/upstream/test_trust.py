"""Whose certificates are good enough, and what is said of the others. The server is Python's own ssl."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from llmedge.config.egress import Way
from llmedge.config.pem import read_certificates, read_directories, read_key
from llmedge.config.sections.upstream import Upstream
from llmedge.errors import ConnectFailed
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.client import Client
from tests.e2e.certificates import Authority
from tests.e2e.service import PATIENCE, TIMEOUT
from tests.folders import new_folder
from tests.upstream import loopback
from tests.upstream.test_tls import Server

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Asking(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.authority = Authority()
        self.trusting = Way(ca_file=read_certificates(self.authority.path))

    def serve(
        self, certificate: tuple[str, str], clients: str = "", version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ) -> Server:
        """:param clients: path of the authority of the clients that are let in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(*certificate)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        server = Server(context)
        self.addCleanup(server.stop)
        return server

    async def ask(
        self,
        port: int,
        way: Way,
        host: str = "localhost",
        upstream: Upstream | None = None,
        client: Client | None = None,
    ) -> bytes:
        client = client or loopback.client(self, upstream or Upstream(connect_timeout=PATIENCE))
        pool = client.by(way).pool_for(f"https://{host}:{port}")
        exchange = await pool.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", Attempt(Target("p", "m"), 0.0), Routing())
        return await exchange.read_all()

    async def refusal(self, port: int, way: Way, host: str = "localhost") -> str:
        """What is said, where the certificate is the reason."""
        error = await self.assertFailure(Deferred.fromCoroutine(self.ask(port, way, host)), ConnectFailed)
        self.assertEqual(error.cause, "tls")
        message: str = error.message
        return message

    async def test_what_is_wrong_with_a_certificate(self) -> None:
        """In OpenSSL's words, so that they can be searched for."""
        issue, other = self.authority.issue, Authority("other")
        for certificate, host, words in (
            (other.issue("a", "localhost"), "localhost", "unable to get local issuer certificate"),
            (issue("b", "localhost", days=-0.5), "localhost", "certificate has expired"),
            (issue("c", "else.example", "*.localhost"), "localhost", "hostname mismatch"),
            (issue("d", "localhost"), "127.0.0.1", "hostname mismatch"),
            (issue("e", "127.0.0.2"), "127.0.0.1", "hostname mismatch"),
            (issue("f", "localhost", alternative=False), "localhost", "hostname mismatch"),
            (issue("g", "localhost", client=True), "localhost", "unsuitable certificate purpose"),
            (issue("h", "localhost", own=True), "localhost", "self-signed certificate"),
        ):
            for version in VERSIONS:
                server = self.serve(certificate, version=version)
                message = await self.refusal(server.port, self.trusting, host)
                self.assertIn(f"TLS failed: {words}", message)
                self.assertEqual(server.seen, [])

    async def test_good_ones(self) -> None:
        for names, host in ((["localhost"], "localhost"), (["x.example", "127.0.0.1"], "127.0.0.1")):
            server = self.serve(self.authority.issue("good", *names))
            self.assertEqual(await self.ask(server.port, self.trusting, host), b"ok")

    async def test_a_name_with_an_underscore(self) -> None:
        """Good enough for resolvers and certificates."""
        client = loopback.client(self, Upstream(connect_timeout=PATIENCE))
        client._names._look_ups._getaddrinfo = lambda name, *_: (  # type: ignore[union-attr]
            socket.getaddrinfo("127.0.0.1" if name == "my_vllm" else name, 0, type=socket.SOCK_STREAM)
        )
        server = self.serve(self.authority.issue("container", "my_vllm"))
        self.assertEqual(await self.ask(server.port, self.trusting, "my_vllm", client=client), b"ok")
        server = self.serve(self.authority.issue("other", "my-vllm"))
        asking = Deferred.fromCoroutine(self.ask(server.port, self.trusting, "my_vllm", client=client))
        self.assertIn("hostname mismatch", (await self.assertFailure(asking, ConnectFailed)).message)

    async def test_whom_a_provider_trusts_is_its_own_affair(self) -> None:
        """Its ``ca_file`` stands in the place of everybody else, and counts for nobody else."""
        other = Authority("other")
        everywhere = Upstream(connect_timeout=PATIENCE, ca_file=read_certificates(other.path))
        server = self.serve(self.authority.issue("own", "localhost"))
        self.assertEqual(await self.ask(server.port, self.trusting, upstream=everywhere), b"ok")
        await self.assertFailure(
            Deferred.fromCoroutine(self.ask(server.port, Way(), upstream=everywhere)), ConnectFailed
        )
        server = self.serve(other.issue("others", "localhost"))
        self.assertEqual(await self.ask(server.port, Way(), upstream=everywhere), b"ok")
        await self.refusal(server.port, self.trusting)

    async def test_several_authorities(self) -> None:
        """A bundle has many; a file and a directory count both."""
        bundle = new_folder() / "bundle.pem"
        bundle.write_bytes(Path(Authority("first").path).read_bytes() + Path(self.authority.path).read_bytes())
        server = self.serve(self.authority.issue("own", "localhost"))
        self.assertEqual(await self.ask(server.port, Way(ca_file=read_certificates(str(bundle)))), b"ok")
        trusted = Upstream(
            connect_timeout=PATIENCE,
            ca_file=read_certificates(Authority("second").path),
            ca_dir=read_directories(self.authority.hashed()),
        )
        self.assertEqual(await self.ask(server.port, Way(), upstream=trusted), b"ok")

    async def test_a_certificate_of_our_own(self) -> None:
        """Shown to who asks for it, with its key beside it or in a file of its own."""
        mine = Authority("mine")
        cert, key = mine.issue("gateway", "gateway.example", client=True)
        both = new_folder() / "both.pem"
        both.write_bytes(Path(cert).read_bytes() + Path(key).read_bytes())
        ca = self.trusting.ca_file
        for version in VERSIONS:
            server = self.serve(self.authority.issue("vendor", "localhost"), mine.path, version)
            for way in (
                Way(None, ca, read_certificates(cert), read_key(key)),
                Way(None, ca, read_certificates(str(both))),
            ):
                self.assertEqual(await self.ask(server.port, way), b"ok")

    async def test_a_certificate_that_is_wanted(self) -> None:
        """One that is missing, or that the vendor does not trust: it says so, and we pass it on."""
        mine, other = Authority("mine"), Authority("other")
        cert, key = other.issue("gateway", "gateway.example", client=True)
        ca = self.trusting.ca_file
        for version in VERSIONS:
            server = self.serve(self.authority.issue("vendor", "localhost"), mine.path, version)
            self.assertIn("client_cert", await self.refusal(server.port, self.trusting))
            way = Way(None, ca, read_certificates(cert), read_key(key))
            self.assertIn("does not know who signed the client_cert", await self.refusal(server.port, way))

    async def test_no_tls_at_all(self) -> None:
        server = loopback.PlainServer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        self.addCleanup(server.stop)
        self.assertIn("is it http?", await self.refusal(server.port, Way()))
