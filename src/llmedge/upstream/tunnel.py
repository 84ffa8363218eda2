"""Connections through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet import error as internet_error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.proxy import Proxy
from llmedge.upstream.reasons import ProxyFailed, explain

_MAX_HEAD = 16384
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r\n|\Z)")
_POLICY = (403, 405)
"""How a proxy says that it will not, whoever asks again."""


def refused(status: int) -> ProxyFailed:
    """What the status of an answer of the proxy's own means."""
    if status in (401, 407):  # tinyproxy says the former of a wrong login
        return ProxyFailed("its proxy wants a user name and a password, or others than it was given")
    return ProxyFailed(f"its proxy answered with status {status}", cause="proxy" if status in _POLICY else "connect")


@implementer(IStreamClientEndpoint)
class ToProxy:
    """Connects to a proxy, and says that it is the proxy where that fails."""

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Deferred[Any]:
        """:raises ProxyFailed: nobody was reached."""
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addErrback(_blame)


@implementer(IStreamClientEndpoint)
class Tunnel:
    """Connects through a proxy that knows no more of what is said than ``authority``.

    :param endpoint: the proxy's. :param authority: host and port to be connected with.
    """

    def __init__(self, endpoint: Any, authority: str, proxy: Proxy) -> None:
        self._endpoint = endpoint
        where = authority.encode("ascii")
        self._request = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (where, where, proxy.authorization)

    def connect(self, factory: Any) -> Deferred[Any]:
        """:raises ProxyFailed: the proxy is not there, or does not open a tunnel."""
        opening = Factory.forProtocol(lambda: _Opening(self._request, factory))
        opening.noisy = False
        connecting: Deferred[Any] = self._endpoint.connect(opening)
        return connecting.addCallback(lambda protocol: protocol.opened)


class _Opening(Protocol):
    """Asks for a tunnel and then hands on what comes through it.

    :ivar opened: fires with the protocol within.
    """

    transport: Any

    def __init__(self, request: bytes, factory: Any) -> None:
        self._request = request
        self._factory = factory
        self._head = b""
        self._inside: Any = None
        self.opened: Deferred[Any] = Deferred(self._leave)

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._inside is not None:
            self._inside.dataReceived(data)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        status = _STATUS.match(head)
        if end and status is not None and status[1].startswith(b"2"):
            self._inside = self._factory.buildProtocol(self.transport.getPeer())
            self._inside.makeConnection(self.transport)
            self.opened.callback(self._inside)
            if rest:
                self._inside.dataReceived(rest)
        elif end and status is not None:
            self._fail(refused(int(status[1])))
        elif end or len(self._head) > _MAX_HEAD:
            self._fail(ProxyFailed("its proxy answered with something that is not HTTP/1.1", cause="connect"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inside is not None:
            self._inside.connectionLost(reason)
        elif not self.opened.called:
            self.opened.errback(_blame(reason))

    def _leave(self, opened: Deferred[Any]) -> None:
        opened.errback(CancelledError())
        self.transport.abortConnection()

    def _fail(self, error: ProxyFailed) -> None:
        self.opened.errback(Failure(error))  # type: ignore[no-untyped-call]  # twisted has no types here
        self.transport.abortConnection()


def _blame(failure: Failure) -> Failure:
    """``failure`` as one of the proxy's."""
    error = failure.value
    if error is None or isinstance(error, CancelledError | internet_error.ConnectingCancelledError):
        return failure
    cause, why = explain(error)
    return Failure(ProxyFailed(f"its proxy could not be reached: {why}", cause))  # type: ignore[no-untyped-call]
