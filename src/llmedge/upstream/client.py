"""HTTP requests to vendors over pooled connections."""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import Any

from twisted.internet import error as internet_error
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from llmedge.backpressure import WriteBackpressure
from llmedge.config.egress import DEFAULT, Way, proxy_for
from llmedge.config.origins import Origin, origin_of
from llmedge.config.proxy import Proxy
from llmedge.config.sections.upstream import Upstream
from llmedge.deadlines import Deadlines
from llmedge.errors import ConnectFailed, TargetBusy, UpstreamTimeout
from llmedge.model import Clock, UploadBody
from llmedge.record import Attempt, Routing
from llmedge.sockets import unsent
from llmedge.upstream.connection import Connection, StaleConnection
from llmedge.upstream.exchange import Exchange
from llmedge.upstream.reasons import explain
from llmedge.upstream.resolver import Names
from llmedge.upstream.tls import TlsContexts
from llmedge.upstream.tunnel import ToProxy, Tunnel, refused


class Client:
    """All connections to all vendors; one pool for each origin (scheme, host, port) and way there.

    :param reactor: ``IReactorTCP``, ``IReactorUNIX``, ``IReactorTime`` and ``IReactorPluggableNameResolver``.
    """

    def __init__(self, reactor: Any, limits: Upstream) -> None:
        self._reactor = reactor
        self._limits = limits
        self._way = DEFAULT
        self._tls = TlsContexts(reactor, *filter(None, (limits.ca_file, limits.ca_dir)))
        self._names = Names(reactor)
        self._pools: dict[tuple[Origin, Way], Pool] = {}

    def by(self, way: Way) -> Client:
        """The same, for what goes ``way``: a provider's calls, and all that is asked for it."""
        other = copy(self)
        other._way = way
        return other

    def pool_for(self, url: str) -> Pool:
        """The pool of the origin of ``url``. Destinations come from configuration only, never from a request."""
        origin = origin_of(url)
        key = origin, self._way
        if key not in self._pools:
            self._pools[key] = self._make(origin, proxy_for(url, self._limits, self._way.proxy))
        return self._pools[key]

    def _make(self, origin: Origin, proxy: Proxy | None) -> Pool:
        patience = self._limits.connect_timeout
        endpoint: Any
        if origin.socket:
            endpoint = UNIXClientEndpoint(self._reactor, origin.socket, patience)  # type: ignore[no-untyped-call]
        elif proxy is None:
            endpoint = self._names.endpoint(origin.host, origin.port, patience)
        else:
            endpoint = self._names.endpoint(proxy.host, proxy.port, patience)
            if proxy.scheme == "https":
                endpoint = self._tls.secure(proxy.host, endpoint, self._way)
            endpoint = ToProxy(endpoint)
            if not origin.secure:
                return ForwardPool(self._reactor, endpoint, self._limits, proxy, origin)
            endpoint = Tunnel(endpoint, origin.authority, proxy)
        if origin.secure:
            endpoint = self._tls.secure(origin.host, endpoint, self._way)
        return Pool(self._reactor, endpoint, self._limits, secure=origin.secure)

    def retire(self) -> None:
        """Finish what is under way and keep nothing: another client takes over."""
        for pool in self._pools.values():
            pool.retire()
        self._names.close()

    def close(self) -> None:
        """Drop every connection."""
        for pool in self._pools.values():
            pool.close()
        self._names.close()


class Pool:
    """Connections to one origin: the most recently used first, ``upstream.max_connections`` at most."""

    def __init__(self, reactor: Any, endpoint: Any, limits: Upstream, secure: bool) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._limits = limits
        self._secure = secure
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._opening = 0
        self._retired = False
        self._deadlines = Deadlines(reactor, Connection.expire)
        self._waiting: deque[Deferred[None]] = deque()

    async def send(
        self, request: bytes, attempt: Attempt, routing: Routing, body: UploadBody | None = None
    ) -> Exchange:
        """Send one request, head and body, and wait for the headers of the answer.

        A kept connection that the vendor had closed is replaced, as long as nothing of the request went out.

        :param body: comes behind ``request``, which is the head alone then and has said how it is framed. One that
            may not be had a second time gets a new connection: a kept one might be closed already.
        :raises EdgeError: ``body`` cannot be read.
        :raises ConnectFailed: no connection could be had.
        :raises TargetError: it was cut, malformed or silent before the headers were complete.
        """
        while True:
            if self._idle and (body is None or body.whole):
                connection = self._idle.pop()  # the one that was used last
            else:
                with routing.wait(self._reactor):
                    connection = await self._acquire(new=body is not None and not body.whole)
            attempt.connected = self._reactor.seconds()
            if (exchange := connection.start(request, attempt, routing)) is None:
                continue
            try:
                if body is not None:
                    connection.sending = True
                    with routing.wait(self._reactor):
                        await _send_body(connection, exchange, body, self._reactor, self._limits.idle_timeout)
                await exchange.headers()
                return exchange
            except StaleConnection:
                if body is not None:
                    if not body.again:
                        raise
                    body.rewind()
            except BaseException:
                exchange.abort()
                raise

    def close(self) -> None:
        for connection in tuple(self._open):
            connection.abort()
        self._deadlines.close()

    def retire(self) -> None:
        self._retired = True
        for connection in tuple(self._idle):
            connection.lose()

    async def _acquire(self, new: bool = False) -> Connection:
        while True:
            if new and len(self._open) + self._opening < self._limits.max_connections:
                return await self._connect()
            if self._idle:
                return self._idle.pop()
            if len(self._open) + self._opening < self._limits.max_connections:
                return await self._connect()
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            patience = self._limits.connect_timeout
            try:
                await turn.addTimeout(patience, self._reactor)
            except TimeoutError:
                raise TargetBusy(
                    f"has {self._limits.max_connections} connections (upstream.max_connections), and none came free "
                    f"within {patience:g} s"
                ) from None

    async def _connect(self) -> Connection:
        factory = Factory.forProtocol(
            lambda: Connection(self._reactor, self._limits, self._on_idle, self._on_lost, self._secure, self._deadlines)
        )
        factory.noisy = False

        def give_up(result: Any, timeout: float) -> Any:
            if isinstance(result, Failure):
                raise ConnectFailed(f"could not be reached within {timeout:g} s")
            return result

        self._opening += 1
        connecting: Deferred[Connection] = self._endpoint.connect(factory).addBoth(self._connected)
        try:
            return await connecting.addTimeout(self._limits.connect_timeout, self._reactor, onTimeoutCancel=give_up)
        except ConnectFailed:
            raise
        except (CancelledError, internet_error.ConnectingCancelledError):
            raise CancelledError from None  # endpoints have a name of their own for it
        except Exception as error:
            cause, why = explain(error)
            raise ConnectFailed(f"could not be reached: {why}", cause=cause) from error

    def _connected(self, result: Connection | Failure) -> Any:
        self._opening -= 1
        if isinstance(result, Failure):
            self._wake_next()
            return result
        self._open.add(result)  # from here on its loss makes room
        return result.ready

    def _on_idle(self, connection: Connection) -> None:
        if self._retired:
            connection.lose()
            return
        self._idle.append(connection)
        self._wake_next()

    def _on_lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_next()

    def _wake_next(self) -> None:
        if self._waiting:
            self._waiting.popleft().callback(None)


class ForwardPool(Pool):
    """Connections to a proxy, which asks ``origin`` itself: it is told the whole URL (RFC 9112 section 3.2.2), and
    sees everything, as everybody on the way to an http URL does."""

    def __init__(self, reactor: Any, endpoint: Any, limits: Upstream, proxy: Proxy, origin: Origin) -> None:
        super().__init__(reactor, endpoint, limits, secure=proxy.scheme == "https")
        self._origin = b"http://" + origin.authority.removesuffix(":80").encode("ascii")
        self._more = proxy.authorization

    async def send(
        self, request: bytes, attempt: Attempt, routing: Routing, body: UploadBody | None = None
    ) -> Exchange:
        method, _, rest = request.partition(b" ")
        line, _, fields = rest.partition(b"\r\n")
        request = b"%b %b%b\r\n%b%b" % (method, self._origin, line, self._more, fields)
        exchange = await super().send(request, attempt, routing, body)
        if exchange.status == 407:
            exchange.abort()
            raise ConnectFailed(f"could not be reached: {refused(407)}", cause="proxy")
        return exchange


async def _send_body(
    connection: Connection, exchange: Exchange, body: UploadBody, clock: Clock, patience: float
) -> None:
    """Read ``body`` and write it behind the head that ``connection`` has sent for ``exchange``. Return when it is out,
    or nothing is to be sent any more; what came of it, the exchange tells.

    Not more is read than the vendor's socket takes. A vendor that answers before it has everything, with an error or
    a whole answer, is sent no more (RFC 9110 section 10.1.1, RFC 9112 section 9.5); the connection then cannot be
    used again.

    :param patience: seconds in which the vendor has to take something, while some waits for it.
    :raises EdgeError: the body cannot be read.
    """
    transport = connection.transport
    chunked = body.length is None
    reading: Deferred[bytes] | None = None

    def stalled() -> None:
        exchange.fail(UpstreamTimeout(f"did not take the request's body within {patience:g} s"))

    def stop_if_unwanted() -> None:
        nonlocal reading
        if not exchange.wants_body:
            unwanted, reading = reading, None
            if unwanted is not None:
                unwanted.cancel()
            pace.resumeProducing()

    pace = WriteBackpressure(transport, clock, patience, lambda: unsent(transport), stalled)
    exchange.listen(stop_if_unwanted)
    pace.start()
    try:
        while exchange.wants_body:
            reading = Deferred.fromCoroutine(body.read())
            try:
                data = await reading
            except CancelledError:
                if reading is not None or exchange.wants_body:
                    raise  # it is the call that was cancelled
                return
            reading = None
            if not exchange.wants_body:
                return
            if data:
                connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            else:
                if chunked:
                    connection.send(b"0\r\n\r\n")
                connection.sending = False
                return
            await pace.ready()
    finally:
        exchange.listen(None)
        pace.stop()
