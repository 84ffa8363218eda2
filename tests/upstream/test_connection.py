from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import UpstreamCut, UpstreamMalformed, UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream import connection
from llmedge.upstream.connection import Connection
from llmedge.upstream.exchange import HIGH_WATER, Exchange
from tests.fakes import Transport

OK = b"HTTP/1.1 200 OK\r\n"


class Http(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = Upstream(first_byte_timeout=7, idle_timeout=3, max_response_size=1024, keepalive=20)
        self.idle: list[Connection] = []
        self.lost: list[Connection] = []
        self.connection = Connection(self.clock, self.limits, self.idle.append, self.lost.append, secure=False)
        self.transport = Transport()
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        self.record = Routing()

    def start(self) -> Exchange:
        return self.connection.start(b"request", Attempt(Target("p", "m"), 0.0), self.record)

    def later(self, coroutine: object) -> Deferred:
        return Deferred.fromCoroutine(coroutine)

    def test_a_whole_answer(self) -> None:
        """Status, headers and body arrive, and the connection may be used again."""
        exchange = self.start()
        self.assertEqual(self.transport.value(), b"request")
        headers = self.later(exchange.headers())
        self.connection.dataReceived(OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nhel")
        self.assertEqual(self.successResultOf(headers), 200)
        self.assertEqual(exchange.fields[b"x-a"], b"b")
        body = self.later(exchange.read_all())
        self.assertNoResult(body)
        self.connection.dataReceived(b"lo")
        self.assertEqual(self.successResultOf(body), b"hello")
        self.assertEqual(self.idle, [self.connection])
        second = self.start()
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(self.later(second.read())), b"")

    def test_interim_answers_are_not_the_answer(self) -> None:
        exchange = self.start()
        headers = self.later(exchange.headers())
        self.connection.dataReceived(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        self.assertNoResult(headers)
        self.connection.dataReceived(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(headers), 404)

    def test_a_second_answer_is_not_read(self) -> None:
        """Whatever follows the answer is neither added to it nor kept for the next call."""
        exchange = self.start()
        second = b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad"
        self.connection.dataReceived(OK + b"Content-Length: 4\r\n\r\ngood" + second)
        self.assertEqual(self.successResultOf(self.later(exchange.headers())), 200)
        self.assertEqual(self.successResultOf(self.later(exchange.read_all())), b"good")
        self.assertEqual((self.idle, self.transport.gone), ([], True))

    def test_cut(self) -> None:
        """A body that ends before its framing does is cut; what came is given first."""
        for head in (b"Content-Length: 9\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
            self.setUp()
            exchange = self.start()
            self.connection.dataReceived(OK + head)
            self.transport.loseConnection()
            self.assertEqual(self.successResultOf(self.later(exchange.read())), b"hello")
            self.failureResultOf(self.later(exchange.read()), UpstreamCut)
            self.assertEqual(self.lost, [self.connection])

    def test_cut_before_headers(self) -> None:
        headers = self.later(self.start().headers())
        self.connection.dataReceived(b"HTTP/1.1 200 O")
        self.transport.loseConnection()
        self.failureResultOf(headers, UpstreamCut)

    def test_a_body_framed_by_the_end_of_the_connection(self) -> None:
        """RFC 9112 section 6.3: without length or chunks the close is the end."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"\r\nhello")
        self.transport.loseConnection()
        self.assertEqual(self.successResultOf(self.later(exchange.read_all())), b"hello")

    def test_connection_close_is_not_pooled(self) -> None:
        self.start()
        self.connection.dataReceived(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.idle, [])
        self.assertTrue(self.transport.gone)

    def test_not_http(self) -> None:
        headers = self.later(self.start().headers())
        self.connection.dataReceived(b"SSH-2.0-OpenSSH\r\n")
        self.failureResultOf(headers, UpstreamMalformed)
        self.assertTrue(self.transport.aborted)

    def test_not_http_any_more(self) -> None:
        """What came before it in the same read is given first."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno size\r\n")
        self.assertEqual(self.successResultOf(self.later(exchange.headers())), 200)
        self.assertEqual(self.successResultOf(self.later(exchange.read())), b"hello")
        self.failureResultOf(self.later(exchange.read()), UpstreamMalformed)

    def test_a_kept_connection_that_its_vendor_has_closed(self) -> None:
        """It is not used again; a new one is not asked about: it would be replaced for ever."""
        self.patch(connection, "was_closed", lambda transport: True)
        self.start()
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.assertIsNone(self.start())
        self.assertEqual((self.transport.value(), self.transport.aborted), (b"request", True))

    def test_headers_without_end(self) -> None:
        """A vendor cannot fill our memory with headers."""
        headers = self.later(self.start().headers())
        self.connection.dataReceived(OK + b"".join(b"x-%d: y\r\n" % i for i in range(300)) + b"\r\n")
        self.failureResultOf(headers, UpstreamMalformed)

    def test_a_header_that_is_too_long(self) -> None:
        headers = self.later(self.start().headers())
        self.connection.dataReceived(OK + b"x-a: " + b"y" * 70_000 + b"\r\n\r\n")
        self.failureResultOf(headers, UpstreamMalformed)
        self.assertTrue(self.transport.aborted)

    def test_a_line_without_end(self) -> None:
        """What llhttp is still collecting counts as well."""
        exchange = self.start()
        headers = self.later(exchange.headers())
        self.connection.dataReceived(OK + b"x-a: ")
        for _ in range(40):
            self.connection.dataReceived(b"a" * 4096)
        self.failureResultOf(headers, UpstreamMalformed)
        self.assertTrue(self.transport.aborted)

    def test_interim_answers_without_end(self) -> None:
        """They are headers too, however few each of them has."""
        headers = self.later(self.start().headers())
        for _ in range(300):
            self.connection.dataReceived(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.failureResultOf(headers, UpstreamMalformed)

    def test_a_trickle_is_no_first_byte(self) -> None:
        """The time for the headers counts from the request, whatever else comes meanwhile."""
        headers = self.later(self.start().headers())
        for _ in range(3):
            self.clock.advance(2)
            self.connection.dataReceived(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertNoResult(headers)
        self.clock.advance(1.1)
        self.failureResultOf(headers, UpstreamTimeout)

    def test_nobody_is_told_of_part_of_a_head(self) -> None:
        """There is nothing to take before the head is complete; then the listener is told once for each read."""
        exchange = self.start()
        told: list[bytes | None] = []
        exchange.listen(lambda: told.append(exchange.take()))
        for data in (b"HTTP/1.1 100 Continue\r\n\r\n", OK, b"Content-Length: 3\r\n", b"\r\n", b"a", b"bc"):
            self.connection.dataReceived(data)
        self.assertEqual(told, [None, b"a", b"bc"])

    def test_what_one_exchange_waited_for_does_not_end_the_next(self) -> None:
        """They share a connection, and its one deadline."""
        self.start()
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.clock.advance(18)
        second = self.start()
        headers = self.later(second.headers())
        self.clock.advance(6.9)
        self.assertNoResult(headers)
        self.clock.advance(0.2)
        self.failureResultOf(headers, UpstreamTimeout)

    def test_trailers_are_no_headers(self) -> None:
        """What comes behind the body does not change what was said before it."""
        exchange = self.start()
        head = OK + b"content-type: a/b\r\ntransfer-encoding: chunked\r\n\r\n"
        self.connection.dataReceived(head + b"1\r\nx\r\n0\r\ncontent-type: c/d\r\nkeep-alive: timeout=1\r\n\r\n")
        self.assertEqual(self.successResultOf(self.later(exchange.read_all())), b"x")
        self.assertEqual((exchange.fields[b"content-type"], self.idle), (b"a/b", [self.connection]))

    def test_a_header_in_several_lines(self) -> None:
        exchange = self.start()
        twice = b"link: a\r\nlink: b\r\nretry-after: 1\r\nRetry-After: 2\r\n"
        self.connection.dataReceived(OK + twice + b"content-length: 0\r\n\r\n")
        self.assertEqual((exchange.fields[b"link"], exchange.fields[b"retry-after"]), (b"a, b", b"2"))

    def test_silence_before_headers(self) -> None:
        """first_byte_timeout fires, and closes the vendor's connection."""
        headers = self.later(self.start().headers())
        self.clock.advance(6.9)
        self.assertNoResult(headers)
        self.clock.advance(0.2)
        self.assertIn("first byte", self.failureResultOf(headers, UpstreamTimeout).getErrorMessage())
        self.assertTrue(self.transport.aborted)

    def test_silence_within_the_body(self) -> None:
        """idle_timeout counts from the last byte, not from the first."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"Content-Length: 100\r\n\r\n")
        for _ in range(4):
            reading = self.later(exchange.read())
            self.clock.advance(2.5)
            self.connection.dataReceived(b"x")
            self.assertEqual(self.successResultOf(reading), b"x")
        reading = self.later(exchange.read())
        self.clock.advance(3.1)
        self.failureResultOf(reading, UpstreamTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertAlmostEqual(self.record.waited, 13.1)

    def test_two_that_race_are_waited_for_once(self) -> None:
        """The time in which both are silent counts once; what is waited for alone, when the race is over, as it is."""
        self.record.raced = True
        first = self.start()
        one = self.later(first.headers())
        other = self.connection
        self.connection = Connection(self.clock, self.limits, self.idle.append, self.lost.append, secure=False)
        self.transport = Transport()
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        self.clock.advance(1)
        second = self.start()
        self.later(second.headers())
        self.clock.advance(1)
        other.dataReceived(OK + b"Content-Length: 2\r\n\r\n")
        self.assertEqual(self.successResultOf(one), 200)
        reading = self.later(first.read())
        self.clock.advance(1)
        second.abort()
        self.record.raced = False
        self.clock.advance(1)
        other.dataReceived(b"a")
        self.assertEqual((self.successResultOf(reading), self.record.waited, self.record.waiting), (b"a", 4.0, 0))
        self.later(first.read()).addErrback(lambda _: None)
        self.clock.advance(2)
        first.abort()
        self.assertEqual(self.record.waited, 6.0)

    def test_a_slow_consumer_is_no_silence(self) -> None:
        """Time in which nobody asked for more is not held against the vendor."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"Content-Length: 100\r\n\r\nx")
        self.successResultOf(self.later(exchange.read()))
        self.clock.advance(60)
        self.connection.dataReceived(b"y")
        self.assertEqual(self.successResultOf(self.later(exchange.read())), b"y")

    def test_backpressure(self) -> None:
        """What nobody reads is held up to the mark, then the socket is paused until it is read."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * HIGH_WATER)
        self.assertEqual(self.transport.producerState, "producing")
        self.connection.dataReceived(b"x")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(len(self.successResultOf(self.later(exchange.read()))), HIGH_WATER + 1)
        self.assertEqual(self.transport.producerState, "producing")

    def test_the_end_comes_though_the_socket_is_paused(self) -> None:
        """As under TLS, where one read of the socket comes in pieces: who uses the connection next has to hear from
        it."""
        exchange = self.start()
        size = HIGH_WATER + 10
        self.connection.dataReceived(OK + b"Content-Length: %d\r\n\r\n" % size + b"x" * (size - 1))
        self.assertEqual(self.transport.producerState, "paused")
        self.connection.dataReceived(b"x")
        self.assertEqual((self.idle, self.transport.producerState), ([self.connection], "producing"))
        self.assertEqual(len(self.successResultOf(self.later(exchange.read()))), size)

    def test_too_large(self) -> None:
        exchange = self.start()
        self.connection.dataReceived(OK + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000)
        self.failureResultOf(self.later(exchange.read_all()), UpstreamTooLarge)

    def test_announced_as_too_large(self) -> None:
        """Nobody waits for what would not be taken; what is exactly as large as may be is."""
        for length, refused in ((1024, False), (1025, True), (2**64 - 1, True)):
            self.setUp()
            exchange = self.start()
            self.connection.dataReceived(OK + b"Content-Length: %d\r\n\r\nx" % length)
            reading = self.later(exchange.read_all())
            self.assertEqual(self.transport.aborted, refused)
            if refused:
                self.failureResultOf(reading, UpstreamTooLarge)
            else:
                self.assertNoResult(reading)

    def test_cancelling_aborts(self) -> None:
        """Whoever stops waiting stops the vendor: nobody pays for what nobody reads."""
        headers = self.later(self.start().headers())
        headers.cancel()
        self.failureResultOf(headers, CancelledError)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.connection._deadlines._due, {})

    def test_a_vendor_that_does_not_close(self) -> None:
        """Within TLS closing waits for the vendor, which has a few seconds to it."""
        self.transport.loseConnection = lambda: None
        self.start()
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.clock.advance(20)
        self.assertFalse(self.connection.usable)
        self.assertFalse(self.transport.gone)
        self.clock.advance(5)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle_connections_are_given_up(self) -> None:
        self.start()
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.clock.advance(19)
        self.assertTrue(self.connection.usable)
        self.clock.advance(2)
        self.assertFalse(self.connection.usable)
        self.assertTrue(self.transport.gone)

    def test_the_vendor_says_how_long_it_keeps_a_connection(self) -> None:
        """We give it up a second earlier, so that no request meets a closing door."""
        self.start()
        self.connection.dataReceived(OK + b"Keep-Alive: timeout=5, max=100\r\nContent-Length: 0\r\n\r\n")
        self.clock.advance(3.9)
        self.assertTrue(self.connection.usable)
        self.clock.advance(0.2)
        self.assertFalse(self.connection.usable)

    def test_an_answer_to_nothing_closes(self) -> None:
        self.connection.dataReceived(OK + b"Content-Length: 0\r\n\r\n")
        self.assertTrue(self.transport.aborted)

    def test_drain(self) -> None:
        """After the last event the framing's end may still come; a vendor that goes on is cut off."""
        exchange = self.start()
        self.connection.dataReceived(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        exchange.drain()
        exchange.abort()  # whoever used it is done with it
        self.connection.dataReceived(b"0\r\n\r\n")
        self.assertEqual(self.idle, [self.connection])
        slow = self.start()
        self.connection.dataReceived(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        slow.drain()
        self.clock.advance(2)
        self.assertTrue(self.transport.aborted)
