"""Where to connect to: always the same, or whom the Sentinels call the master
(redis.io/docs/latest/develop/reference/sentinel-clients)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from twisted.internet import error as internet_error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from llmedge.config.egress import Way
from llmedge.config.redis_url import Address, RedisUrl
from llmedge.config.secret import Secret
from llmedge.model import Clock
from llmedge.redis.connection import Connection, Tally
from llmedge.redis.refusals import Refusal, Unavailable
from llmedge.upstream.reasons import explain
from llmedge.upstream.resolver import Names
from llmedge.upstream.tls import TlsContexts

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds for a connection to be opened, TLS and all that is said first included."""
SENTINEL_PATIENCE = 0.5
"""Seconds for a Sentinel to answer before the next one is asked."""


class Places(Protocol):
    """:ivar moves: it may be another one the next time."""

    moves: bool

    async def find(self) -> Address:
        """:raises Unavailable: nobody says it."""


class Endpoints:
    """Connections to addresses, within TLS where ``url`` says so.

    :param tls: whom to trust.
    """

    def __init__(self, reactor: Any, url: RedisUrl, tls: TlsContexts, way: Way) -> None:
        self._reactor = reactor
        self._names = Names(reactor)
        self._tls = tls if url.secure else None
        self._way = way

    async def connect(self, address: Address, protocol: Callable[[], Connection]) -> Connection:
        """:raises Unavailable: it cannot be reached."""
        factory: Any = Factory.forProtocol(protocol)
        factory.noisy = False
        try:
            connection: Connection = await self._to(address).connect(factory)
        except (internet_error.ConnectError, internet_error.DNSLookupError) as error:
            raise Unavailable(explain(error)[1]) from None
        return connection

    def _to(self, address: Address) -> Any:
        if address.socket:
            return UNIXClientEndpoint(self._reactor, address.socket, PATIENCE)  # type: ignore[no-untyped-call]
        endpoint = self._names.endpoint(address.host, address.port, PATIENCE)
        return endpoint if self._tls is None else self._tls.secure(address.host, endpoint, self._way)

    def close(self) -> None:
        self._names.close()


class Fixed:
    moves = False

    def __init__(self, address: Address) -> None:
        self._address = address

    async def find(self) -> Address:
        return self._address


class Sentinels:
    """Asks one after another; who answered last is asked first."""

    moves = True

    def __init__(self, reactor: Any, url: RedisUrl, endpoints: Endpoints) -> None:
        self._reactor = reactor
        self._endpoints = endpoints
        self._order = list(url.addresses)
        self._master = url.master
        self._login = login(url.user, url.password)

    async def find(self) -> Address:
        why = ""
        for sentinel in list(self._order):
            try:
                found = await within(self._reactor, SENTINEL_PATIENCE, self._ask(sentinel))
            except Unavailable as error:
                why = str(error)
            else:
                self._order.remove(sentinel)
                self._order.insert(0, sentinel)
                return found
        raise Unavailable(f"no Sentinel says where it is; the last one: {why}")

    async def _ask(self, sentinel: Address) -> Address:
        connection = await self._endpoints.connect(sentinel, self._connection)
        question = (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._master.encode())
        try:
            try:
                reply = await connection.ask(*question)
            except Refusal as refusal:
                if refusal.code != "NOAUTH" or not self._login:
                    raise
                await connection.ask(*self._login)
                reply = await connection.ask(*question)
        except Refusal as refusal:
            raise Unavailable(refusal.words()) from None
        finally:
            connection.drop("")
        if reply is None:
            raise Unavailable(f"it knows no master {self._master}")
        try:
            host, port = reply
            return Address(host.decode("ascii"), int(port))
        except (AttributeError, TypeError, ValueError):
            raise Unavailable("it does not speak as a Sentinel does") from None

    def _connection(self) -> Connection:
        return Connection(self._reactor, SENTINEL_PATIENCE, Tally(), lambda why: None)


def login(user: str, password: Secret | None) -> tuple[bytes, ...]:
    """The command that says who asks; ``()``: nobody in particular."""
    if password is None:
        return ()
    return (b"AUTH", *((user.encode(),) if user else ()), password.reveal().encode())


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """:raises Unavailable: it takes longer than ``seconds``, and is given up; or as it does."""

    def late(result: Any, _: float) -> Any:
        if isinstance(result, Failure):
            raise Unavailable(f"no answer within {seconds:g} s")
        return result

    timed: Any = clock
    return await Deferred.fromCoroutine(work).addTimeout(seconds, timed, late)
