"""TLS towards vendors: one context for each way out, sessions that are resumed."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import attrs
from OpenSSL import SSL
from twisted.internet.endpoints import _WrapperEndpoint
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.egress import DEFAULT, Way
from llmedge.config.pem import Certificates
from llmedge.model import Clock
from llmedge.upstream.trust import Peer, context_for

SESSION_LIFE = 3600.0
"""Seconds after which a vendor has to show its certificate again: resumed sessions do not (RFC 8446 section 2.2)."""
_LOOKS = 4
"""Reads after a handshake at which a ticket may have come; it comes before anything else."""


class TlsContexts:
    """Keeps what takes long to make: loading the trust roots costs 5 ms, a connection should not.

    :param trusted: whom to trust where a way does not say it; by default what the platform trusts.
    """

    def __init__(self, reactor: Any, *trusted: Certificates) -> None:
        self._reactor = reactor
        self._trusted = trusted
        self._contexts: dict[Way, SSL.Context] = {}

    def peer(self, host: str, way: Way = DEFAULT) -> Peer:
        """Makes connections that verify the peer's certificate against ``host`` (RFC 9525)."""
        way = attrs.evolve(way, proxy=None)
        if way not in self._contexts:
            trusted = self._trusted if way.ca_file is None else (way.ca_file,)
            self._contexts[way] = context_for(trusted, way.client_cert, way.client_key)
        return Peer(host, self._contexts[way])

    def secure(self, host: str, endpoint: Any, way: Way = DEFAULT) -> Any:
        """``endpoint`` with TLS to ``host`` on it. What it connects resumes its own sessions, and nobody else's."""
        sessions = Sessions(self.peer(host, way), self._reactor)
        wrap = partial(_TlsFactory, sessions, self._reactor)
        return _WrapperEndpoint(endpoint, wrap)  # type: ignore[no-untyped-call]  # twisted has no types here


@implementer(IOpenSSLClientConnectionCreator)
class Sessions:
    """The last session with one origin, offered to each new connection.

    A resumed handshake proves that the peer is the one whose certificate was verified (RFC 8446 section 2.2), but no
    certificate is shown, and none is verified: so a session is kept only of a connection whose certificate was good,
    for :data:`SESSION_LIFE` seconds from there (or the certificate's end), however often it is renewed. A ticket is
    used more than once; that a watcher could tell our connections apart (RFC 8446 appendix C.4) gives nothing away
    that our address does not.
    """

    def __init__(self, options: Any, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._session: SSL.Session | None = None
        self._until = 0.0

    def clientConnectionForTLS(self, tls: Any) -> SSL.Connection:
        connection: SSL.Connection = self._options.clientConnectionForTLS(tls)
        now = self._clock.seconds()
        if self._session is not None and now < self._until:
            connection.set_session(self._session)
            tls.verified_until = self._until  # in case it is resumed: no session outlives the one before
        else:
            self._session = None
        return connection

    def verified(self, connection: SSL.Connection) -> float:
        """Until when the certificate that ``connection`` has just been shown is good enough."""
        until = self._clock.seconds() + SESSION_LIFE
        certificate = connection.get_peer_certificate(as_cryptography=True)
        return min(until, certificate.not_valid_after_utc.timestamp()) if certificate is not None else 0.0

    def keep(self, session: SSL.Session | None, until: float) -> None:
        """``session`` is the one to resume."""
        self._session = session
        self._until = until

    def forget(self) -> None:
        """A handshake failed: the next one is a full one."""
        self._session = None


class _Transport(BufferingTLSTransport):
    """Twisted's, with an eye on the session.

    Under TLS 1.2 it is whole with the handshake. Under TLS 1.3 tickets come behind it (RFC 8446 section 4.6.1), in
    the read after the one that completed it or, if they come in pieces, soon after.
    """

    factory: Any
    verified_until = 0.0
    _looks = _LOOKS

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # twisted has no types here
        if self._looks:
            self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._looks == _LOOKS:
            self.factory.sessions.forget()
        super().connectionLost(reason)

    def _look(self) -> None:
        connection: SSL.Connection | None = self.getHandle()  # type: ignore[no-untyped-call]
        if connection is None or connection.get_peer_finished() is None:
            return
        sessions: Sessions = self.factory.sessions
        first = self._looks == _LOOKS
        self._looks -= 1
        if first and not self.verified_until:
            self.verified_until = sessions.verified(connection)
        if connection.get_protocol_version() < SSL.TLS1_3_VERSION:
            self._looks = 0
        elif first:
            return
        sessions.keep(connection.get_session(), self.verified_until)


class _TlsFactory(TLSMemoryBIOFactory):
    protocol = _Transport

    def __init__(self, sessions: Sessions, reactor: Any, wrapped: Any) -> None:
        super().__init__(cast(Any, sessions), True, wrapped, reactor)
        self.sessions = sessions
