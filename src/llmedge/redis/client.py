"""A Redis that may be lost at any time: nobody waits for one that is away, and it is found again by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.config.redis_url import Address, RedisUrl
from llmedge.redis.connection import Connection, Lost, Tally
from llmedge.redis.places import PATIENCE, Endpoints, Places, login, within
from llmedge.redis.refusals import Refusal, Unavailable

log = Logger()

HOLD = 10.0
"""Seconds for which a server that failed is left alone."""
FIRST, LONGEST = 0.1, 4.0
"""Seconds before a connection is tried again: they double; up to half is left to chance."""
STEADY = 10.0
"""Seconds a connection has to last for the next one to be tried at :data:`FIRST` again."""
ASK_AGAIN = 1.0
"""Seconds between two questions to the Sentinels, while it is waited for, whether another server is the master."""
IN_USE, READ_ONLY, AWAY = 0, 1, 2
"""The values of :attr:`Redis.state`: the second is one that takes no writes."""
_MAY_FAIL = ("OOM", "MISCONF", "NOREPLICAS")
"""A server that answers a write so can be read all the same."""


class Redis:
    """One connection, kept.

    :param timeout: seconds a read waits.
    :param prefix: what all names begin with.
    :ivar entered: called when it is in use again, before anybody asks for anything.
    """

    def __init__(
        self,
        reactor: Any,
        url: RedisUrl,
        places: Places,
        endpoints: Endpoints,
        timeout: float,
        prefix: bytes,
        random: Random,
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._places = places
        self._endpoints = endpoints
        self._timeout = timeout
        self.prefix = prefix
        self._random = random
        self._connection: Connection | None = None
        self._keeping: Deferred[None] | None = None
        self._said_away = False
        self._tally = Tally()
        self.state = AWAY
        self.entered: list[Callable[[], object]] = []

    def start(self) -> None:
        """Be connected from now on, whenever that can be had."""
        self._keeping = Deferred.fromCoroutine(self._keep())
        self._keeping.addErrback(_unless_cancelled)

    def stop(self) -> None:
        """Whoever waits has nothing."""
        keeping, self._keeping = self._keeping, None
        connection, self._connection = self._connection, None
        self.state = AWAY
        if keeping is not None:
            keeping.cancel()
        if connection is not None:
            connection.drop("the gateway stops")
        self._endpoints.close()

    # For those who use it

    def read(self, *command: bytes) -> Deferred[Any] | None:
        """What is answered; ``None`` where that is nothing, an error, or late: it does not fail, and fires in time.

        ``None`` itself: it is not asked, because it is away, or too many wait for it.
        """
        connection = self._connection
        answer = None if connection is None else connection.read(*command)
        if answer is None:
            self._tally.skipped += 1
        return answer

    def write(self, *command: bytes) -> None:
        """What becomes of it nobody waits for."""
        if self._connection is None:
            self._tally.dropped += 1
        else:
            self._connection.write(*command)

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        tally = self._tally
        about = "The Redis that is shared: 0 in use, 1 takes no writes, 2 away."
        yield GaugeMetricFamily("llm_cache_redis_state", about, self.state)
        reads = CounterMetricFamily("llm_cache_redis_reads", "Reads of the shared Redis.", labels=["outcome"])
        for outcome in ("answered", "late", "failed", "skipped"):
            reads.add_metric([outcome], getattr(tally, outcome))
        yield reads
        writes = CounterMetricFamily("llm_cache_redis_writes", "Writes to the shared Redis.", labels=["outcome"])
        for outcome in ("sent", "refused", "dropped"):
            writes.add_metric([outcome], getattr(tally, outcome))
        yield writes

    # Keeping it

    async def _keep(self) -> None:
        failed = 0
        address: Address | None = None
        while True:
            began = self._reactor.seconds()
            try:
                address = await self._places.find()
                connection = await within(self._reactor, PATIENCE, self._open(address))
            except Unavailable as error:
                lost = Lost(str(error), False)
            else:
                lost = await self._use(address, connection)
            self._leave(lost.why)
            if self._reactor.seconds() - began >= STEADY:
                failed = 0
            pause = min(LONGEST, FIRST * 2.0**failed) * (1.0 - 0.5 * self._random.random())
            failed = min(failed + 1, 30)
            await self._rest(HOLD if lost.failing else pause, address)

    async def _open(self, address: Address) -> Connection:
        """A connection on which an answer has come in time, to what will be asked."""
        connection = await self._endpoints.connect(
            address, lambda: Connection(self._reactor, self._timeout, self._tally, self._writes)
        )
        try:
            await self._greet(connection)
        except BaseException:
            connection.drop("")
            raise
        return connection

    async def _greet(self, connection: Connection) -> None:
        """:raises Unavailable: it is not what is wanted, or too slow."""
        name = self.prefix + b"probe"
        steps = [
            (login(self._url.user, self._url.password), "it takes no such user and password"),
            ((b"SELECT", b"%d" % self._url.database), f"it has no database {self._url.database}"),
            ((b"SET", name, b"1", b"PX", b"1000"), "it takes no writes"),
        ]
        for command, otherwise in steps:
            if not command or command == (b"SELECT", b"0"):
                continue
            try:
                await connection.ask(*command)
            except Refusal as refusal:
                if command[0] != b"SET" or refusal.code not in _MAY_FAIL:
                    raise Unavailable(refusal.words(otherwise)) from None
        await within(self._reactor, self._timeout, self._probe(connection, name))

    async def _probe(self, connection: Connection, name: bytes) -> None:
        """Two keys, which only a server that is no part of a cluster has."""
        try:
            await connection.ask(b"MGET", name, name + b"2")
        except Refusal as refusal:
            raise Unavailable(refusal.words()) from None

    async def _use(self, address: Address, connection: Connection) -> Lost:
        """How it ended."""
        self._connection, self.state = connection, IN_USE
        log.info("redis {where} is in use", where=self._named(address))
        self._said_away = False
        for entered in self.entered:
            entered()
        return await connection.lost

    def _leave(self, why: str) -> None:
        self._connection, self.state = None, AWAY
        if not self._said_away:
            self._said_away = True
            log.warn("redis {where} is away, and nobody waits for it: {why}", where=str(self._url), why=why)

    def _writes(self, refused: str) -> None:
        self.state = READ_ONLY if refused else IN_USE
        if refused:
            log.warn("redis {where} takes no writes: {why}", where=str(self._url), why=refused)
        else:
            log.info("redis {where} takes writes again", where=str(self._url))

    def _named(self, address: Address) -> str:
        return f"{self._url} at {address}" if self._url.master else str(address)

    async def _rest(self, seconds: float, left: Address | None) -> None:
        """Wait; not for longer than it takes the Sentinels to call another server the master than the one left."""
        until = self._reactor.seconds() + seconds
        while (rest := until - self._reactor.seconds()) > 0:
            await self._pause(min(rest, ASK_AGAIN) if self._places.moves else rest)
            if self._places.moves and rest > ASK_AGAIN:
                try:
                    if await self._places.find() != left:
                        return
                except Unavailable:
                    pass  # it is asked again

    async def _pause(self, seconds: float) -> None:
        done: Deferred[None] = Deferred(lambda _: delayed.cancel())
        delayed = self._reactor.callLater(seconds, done.callback, None)
        await done


def _unless_cancelled(failure: Failure) -> None:
    failure.trap(CancelledError, ConnectingCancelledError)  # type: ignore[no-untyped-call]  # twisted has no types here
