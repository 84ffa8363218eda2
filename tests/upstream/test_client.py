from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import ConnectFailed, TargetBusy, UpstreamCut
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.client import Client, Pool
from llmedge.upstream.connection import Connection
from tests.fakes import Transport

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Endpoint:
    """Connects when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any]] = []
        self.connections: list[Connection] = []

    def connect(self, factory: Any) -> Deferred[Any]:
        connecting: Deferred[Any] = Deferred()
        self.waiting.append((connecting, factory))
        return connecting

    def succeed(self) -> Connection:
        connecting, factory = self.waiting.pop(0)
        connection = factory.buildProtocol(None)
        transport = Transport()
        transport.protocol = connection
        connection.makeConnection(transport)
        self.connections.append(connection)
        connecting.callback(connection)
        return connection


class Body:
    """A body of so many pieces, as an upload gives it."""

    def __init__(self, *pieces: bytes, length: int | None, whole: bool) -> None:
        self.pieces = pieces
        self.length = length
        self.whole = whole
        self.again = True
        self.given = 0

    async def read(self) -> bytes:
        self.given += 1
        self.again = self.whole or self.given < 2
        return self.pieces[self.given - 1] if self.given <= len(self.pieces) else b""

    def rewind(self) -> None:
        self.given = 0


class Pooling(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.pool = Pool(self.clock, self.endpoint, Upstream(max_connections=2, connect_timeout=5), secure=False)
        self.record = Routing()

    def exchanges(self) -> int:
        """How many requests are on the way."""
        return sum(connection._exchange is not None for connection in self.endpoint.connections)

    def send(self, body: Body | None = None) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.pool.send(b"x", Attempt(Target("p", "m"), 0.0), self.record, body))

    def test_a_connection_is_used_again(self) -> None:
        """Newest first, so that the others can go idle."""
        for _ in range(2):
            self.send()
            self.endpoint.succeed()
        first, second = self.endpoint.connections
        first.dataReceived(EMPTY)
        second.dataReceived(EMPTY)
        self.send()
        self.assertIsNotNone(second._exchange)
        self.assertIsNone(first._exchange)

    def test_at_most_max_connections(self) -> None:
        """More calls wait their turn; one that gives up gives its turn on, so that no place is lost."""
        self.send()
        self.send()
        third, fourth = self.send(), self.send()
        connection = self.endpoint.succeed()
        self.endpoint.succeed()
        self.assertEqual(self.endpoint.waiting, [])
        self.assertNoResult(third)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        connection.dataReceived(EMPTY)
        self.assertEqual((self.exchanges(), len(self.endpoint.connections)), (2, 2))
        connection.dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(fourth).status, 200)

    def test_the_wait_for_a_connection_is_bounded(self) -> None:
        """Whoever gets none in the time a connection may take goes elsewhere; the next in line keeps its turn."""
        self.send()
        self.send()
        connection = self.endpoint.succeed()
        self.endpoint.succeed()
        late = self.send()
        self.clock.advance(3)
        later = self.send()
        self.clock.advance(2.1)
        self.assertIn("upstream.max_connections", self.failureResultOf(late, TargetBusy).value.message)
        connection.dataReceived(EMPTY)
        connection.dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(later).status, 200)

    def test_a_lost_connection_frees_its_place(self) -> None:
        first = self.send()
        self.send()
        self.endpoint.succeed()
        waiting = self.send()
        self.endpoint.connections[0].transport.loseConnection()
        self.failureResultOf(first, UpstreamCut)
        self.assertEqual(len(self.endpoint.waiting), 2)
        self.endpoint.succeed()
        self.endpoint.succeed().dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(waiting).status, 200)

    def test_a_stale_connection_is_replaced(self) -> None:
        """A kept connection that the vendor closed first costs nobody an answer, if no byte went out on it."""
        self.send()
        stale = self.endpoint.succeed()
        stale.dataReceived(EMPTY)
        sending = self.send()
        stale.transport._tempDataLen = 1  # the kernel has taken nothing of the one byte
        stale.transport.loseConnection()
        self.assertNoResult(sending)
        self.endpoint.succeed().dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(sending).status, 200)

    def kept(self) -> Connection:
        """A connection that waits for its next request."""
        self.send()
        connection = self.endpoint.succeed()
        connection.dataReceived(EMPTY)
        connection.transport.clear()
        return connection

    def test_a_body_in_pieces(self) -> None:
        for length, sent in ((6, b"xabcdef"), (None, b"x3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")):
            connection = self.kept()
            sending = self.send(Body(b"abc", b"def", length=length, whole=True))
            self.assertEqual(connection.transport.value(), sent)
            connection.dataReceived(EMPTY)
            self.assertEqual(self.successResultOf(sending).status, 200)
            self.assertTrue(connection.usable)
            connection.transport.loseConnection()

    def test_a_body_that_goes_by_gets_a_new_connection(self) -> None:
        """What cannot be sent again is not risked on a connection that may be closed already."""
        self.kept()
        sending = self.send(Body(b"abc", b"def", length=6, whole=False))
        self.endpoint.succeed().dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(sending).status, 200)

    def test_a_stale_connection_with_a_body(self) -> None:
        """A body that is all here is sent again from its beginning, if nothing of it went out."""
        for whole in (True, False):
            self.setUp()
            stale = self.kept()
            self.pool._limits = Upstream(max_connections=1)
            body = Body(b"abc", b"def", length=6, whole=whole)
            sending = self.send(body)
            stale.transport._tempDataLen = 7
            stale.transport.loseConnection()
            if whole:
                second = self.endpoint.succeed()
                self.assertEqual(second.transport.value(), b"xabcdef")
                second.dataReceived(EMPTY)
                self.assertEqual(self.successResultOf(sending).status, 200)
            else:
                self.failureResultOf(sending, UpstreamCut)
                self.assertEqual(self.endpoint.waiting, [])

    def test_a_new_connection_that_closes_is_no_stale_one(self) -> None:
        """A vendor that accepts and hangs up is cut off once, not asked for ever."""
        sending = self.send()
        new = self.endpoint.succeed()
        new.transport._tempDataLen = 1
        new.transport.loseConnection()
        self.failureResultOf(sending, UpstreamCut)
        self.assertEqual(self.endpoint.waiting, [])

    def test_a_request_that_went_out_is_never_sent_twice(self) -> None:
        """The vendor may have done, and billed, the work."""
        self.send()
        stale = self.endpoint.succeed()
        stale.dataReceived(EMPTY)
        sending = self.send()
        stale.transport.loseConnection()
        self.failureResultOf(sending, UpstreamCut)
        self.assertEqual(self.endpoint.waiting, [])

    def test_a_handshake_takes_one_place(self) -> None:
        """A connection that is being secured is one connection, not two."""
        self.pool._secure = True
        first = self.send()
        self.endpoint.succeed()
        self.send()
        self.assertEqual(len(self.endpoint.waiting), 1)
        self.endpoint.succeed()
        third = self.send()
        self.assertEqual(len(self.endpoint.waiting), 0)
        self.endpoint.connections[0].transport.loseConnection()
        self.failureResultOf(first, ConnectFailed)
        self.assertEqual(len(self.endpoint.waiting), 1)
        third.cancel()
        self.failureResultOf(third, CancelledError)

    def test_refused(self) -> None:
        sending = self.send()
        self.endpoint.waiting[0][0].errback(Failure(ConnectionRefusedError()))
        self.assertIn("connection refused", self.failureResultOf(sending, ConnectFailed).value.message)
        self.assertEqual(self.pool._opening, 0)

    def test_connect_timeout(self) -> None:
        """connect_timeout fires."""
        sending = self.send()
        self.clock.advance(4.9)
        self.assertNoResult(sending)
        self.clock.advance(0.2)
        self.assertIn("within 5 s", self.failureResultOf(sending, ConnectFailed).value.message)
        self.assertEqual((self.pool._opening, self.clock.getDelayedCalls()), (0, []))

    def test_leaving_while_connecting(self) -> None:
        """A client that leaves stops the connecting, and no place is lost."""
        sending = self.send()
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual((self.pool._opening, self.clock.getDelayedCalls()), (0, []))

    def test_pools_are_by_origin(self) -> None:
        client = Client(self.clock, Upstream())
        a = client.pool_for("http://127.0.0.1:1/v1")
        self.assertIs(a, client.pool_for("http://127.0.0.1:1/other"))
        self.assertIsNot(a, client.pool_for("http://127.0.0.1:2/v1"))
