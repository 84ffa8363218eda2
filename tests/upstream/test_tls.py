"""TLS towards vendors over loopback sockets; the server is Python's own ssl."""

from __future__ import annotations

import socket
import ssl
from threading import Thread
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from llmedge.config.pem import read_certificates
from llmedge.config.sections.upstream import Upstream
from llmedge.errors import ConnectFailed
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.tls import SESSION_LIFE, Sessions, TlsContexts
from tests.e2e.certificates import Authority
from tests.e2e.service import PATIENCE, TIMEOUT
from tests.upstream import loopback

reactor: Any = _reactor
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Server:
    """One connection after the other, one answer each. ``seen`` is whether each was resumed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.seen: list[bool | None] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as tls:
                    tls.settimeout(PATIENCE)
                    tls.recv(65536)
                    self.seen.append(tls.session_reused)
                    tls.sendall(ANSWER)
                    tls.recv(1)
            except OSError:
                plain.close()

    def stop(self) -> Deferred[None]:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        return deferToThread(self._thread.join, PATIENCE)


class Resumption(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.authority = Authority()
        self.client = loopback.client(self, Upstream(connect_timeout=PATIENCE))
        self.client._tls = TlsContexts(reactor, read_certificates(self.authority.path))

    def context(self, name: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(*self.authority.issue(name, name))
        return context

    def serve(self, context: ssl.SSLContext) -> Server:
        server = Server(context)
        self.addCleanup(server.stop)
        return server

    async def ask(self, server: Server) -> bytes:
        pool = self.client.pool_for(f"https://localhost:{server.port}")
        record = Routing()
        exchange = await pool.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", Attempt(Target("p", "m"), 0.0), record)
        answer = await exchange.read_all()
        await deferLater(reactor, 0)  # the read that brought its end is over, and tickets in it are seen
        return answer

    def sessions(self, server: Server) -> Sessions:
        endpoint = self.client.pool_for(f"https://localhost:{server.port}")._endpoint
        return endpoint._wrapperFactory(Factory()).sessions

    async def test_a_second_connection_resumes(self) -> None:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            server = self.serve(self.context("localhost", version))
            for _ in range(3):
                self.assertEqual(await self.ask(server), b"ok")
            self.assertEqual(server.seen, [False, True, True], version)

    async def test_sessions_stay_with_their_origin(self) -> None:
        """The same name at another port may be somebody else."""
        context = self.context("localhost")
        for _ in range(2):
            server = self.serve(context)
            await self.ask(server)
            self.assertEqual(server.seen, [False])

    async def test_another_server_has_to_prove_its_name(self) -> None:
        """Whoever cannot resume the session is verified, in full; a session is never kept of one who failed."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            server = self.serve(self.context("localhost", version))
            await self.ask(server)
            server.context = self.context("other.example", version)
            error = await self.assertFailure(Deferred.fromCoroutine(self.ask(server)), ConnectFailed)
            self.assertEqual(error.cause, "tls")
            self.assertIsNone(self.sessions(server)._session)
            await self.assertFailure(Deferred.fromCoroutine(self.ask(server)), ConnectFailed)
            self.assertEqual(server.seen[:1], [False])
            self.assertNotIn(True, server.seen)

    async def test_certificates_are_seen_again(self) -> None:
        """No certificate is shown where a session is resumed: so that is done for so long only, renewed or not."""
        server = self.serve(self.context("localhost"))
        await self.ask(server)
        until = self.sessions(server)._until
        await self.ask(server)
        self.assertEqual((server.seen, self.sessions(server)._until), ([False, True], until))
        self.assertLessEqual(until, reactor.seconds() + SESSION_LIFE)
        server.context.load_cert_chain(*self.authority.issue("late", "other.example"))  # its tickets still hold
        self.assertEqual(await self.ask(server), b"ok")
        later = Clock()
        later.advance(until)
        self.sessions(server)._clock = later
        await self.assertFailure(Deferred.fromCoroutine(self.ask(server)), ConnectFailed)
