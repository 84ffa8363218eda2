"""Twisted's interface to our connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IClientRequest, IResponse
from zope.interface.verify import verifyObject

from llmedge.body import HIGH_WATER as HELD
from llmedge.errors import ConnectFailed, UpstreamCut, UpstreamMalformed, UpstreamTimeout, UpstreamTooLarge
from llmedge.upstream.agent import UpstreamAgent
from llmedge.upstream.exchange import HIGH_WATER
from tests.upstream.in_memory import EMPTY, OK, URL, Bytes, InMemory, Producer, Reader


class Requests(InMemory):
    def test_the_head(self) -> None:
        """Headers of the caller's, without those that frame the request."""
        self.assertTrue(verifyObject(IAgent, self.agent))
        self.ask(headers={"x-a": ["1", "2"], "content-length": ["7"], "connection": ["close"]})
        head = b"GET /x?y=1 HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
        self.assertEqual(self.sent(), head)

    def test_what_is_asked_for(self) -> None:
        """No path is ``/``, the fragment stays here, a Host that is given goes."""
        self.ask(url="http://a.example#top", headers={"host": ["b.example"]})
        self.assertEqual(self.sent(), b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")
        self.assertEqual(self.endpoint.connections[0].transport.aborted, False)

    def test_bodies(self) -> None:
        """A small one goes with the head; POST without one says so (RFC 9110 section 8.6)."""
        for body, sent in ((Bytes(b"abc"), b"Content-Length: 3\r\n\r\nabc"), (None, b"Content-Length: 0\r\n\r\n")):
            self.setUp()
            self.answer(self.ask(b"POST", body), EMPTY)
            self.assertEqual(self.sent(), b"POST /x?y=1 HTTP/1.1\r\nHost: a.example\r\n" + sent)

    def test_a_small_body_survives_a_stale_connection(self) -> None:
        """It is sent again on a new one."""
        self.answer(self.ask(), EMPTY)
        stale = self.connected()
        stale.transport.clear()
        asking = self.ask(b"POST", Bytes(b"abc"))
        stale.transport._tempDataLen = len(stale.transport.value())
        stale.transport.loseConnection()
        self.assertEqual(self.answer(asking, EMPTY).code, 200)
        self.assertTrue(self.sent().endswith(b"\r\n\r\nabc"))

    def test_a_body_of_unknown_length(self) -> None:
        """In chunks, as they come."""
        producer = Producer()
        asking = self.ask(b"PUT", producer)
        self.assertTrue(self.sent().endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        producer.consumer.write(b"abc")
        producer.consumer.write(b"")
        producer.consumer.write(b"de")
        self.assertTrue(self.sent().endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n"))
        producer.done.callback(None)
        self.assertTrue(self.sent().endswith(b"\r\n0\r\n\r\n"))
        self.assertEqual(self.answer(asking, EMPTY).code, 200)
        self.assertEqual(producer.calls, [])

    def test_a_large_body(self) -> None:
        """Of known length: framed by it, and held back at the pace of the socket."""
        producer = Producer(HELD * 4)
        self.ask(b"POST", producer)
        connection = self.connected()
        self.assertIn(b"Content-Length: %d\r\n" % (HELD * 4), self.sent())
        connection.transport.producer.pauseProducing()
        producer.consumer.write(b"x")
        producer.consumer.write(b"x" * (HELD + 1))
        self.assertEqual(producer.calls, ["pause"])
        connection.transport.producer.resumeProducing()
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.assertTrue(self.sent().endswith(b"x" * (HELD + 2)))

    def test_bodies_that_are_not_as_long_as_they_say(self) -> None:
        """Such a request is not completed; nothing of it goes out if it is small."""
        for length in (2, 4):
            self.failureResultOf(self.ask(b"POST", Bytes(b"abc", length)), ValueError)
        self.assertEqual((self.endpoint.waiting, self.endpoint.connections), ([], []))
        for size, calls in ((HELD, []), (HELD * 2 + 1, ["stop"])):
            producer = Producer(HELD * 2)
            asking = self.ask(b"POST", producer)
            connection = self.connected()
            producer.consumer.write(b"x" * size)
            producer.done.callback(None)
            self.failureResultOf(asking, ValueError)
            self.assertTrue(connection.transport.aborted)
            self.assertEqual([call for call in producer.calls if call == "stop"], calls)

    def test_a_body_that_fails(self) -> None:
        """Its failure is the request's, and the connection is closed."""
        for length in (3, UNKNOWN_LENGTH):
            producer = Producer(length)
            asking = self.ask(b"POST", producer)
            if length is UNKNOWN_LENGTH:
                self.connected()
            producer.done.errback(Failure(KeyError("no more")))
            self.failureResultOf(asking, KeyError)
            self.assertEqual(producer.calls, [])
        self.assertTrue(self.connected().transport.aborted)

    def test_an_early_answer(self) -> None:
        """Who refuses a body is not sent the rest of it (RFC 9112 section 9.5)."""
        producer = Producer()
        asking = self.ask(b"POST", producer)
        connection = self.connected()
        producer.consumer.write(b"abc")
        response = self.answer(asking, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        self.assertEqual((response.code, self.read(response).data, producer.calls), (413, b"no", ["stop"]))
        producer.consumer.write(b"more")
        self.assertFalse(connection.usable)

    def test_what_cannot_be_asked(self) -> None:
        """It is refused before anything is sent, and no error says a secret."""
        for method, url, headers in (
            (b"GET", "ftp://a.example/", {}),
            (b"GET", "/x", {}),
            (b"GET", "http://", {}),
            (b"GET", "http://user:secret@a.example/", {}),
            (b"GET", "http://a.example:x/", {}),
            (b"GET", "http://a.example/ HTTP/1.1\r\nx: y", {}),
            (b"GET /", URL, {}),
            (b"GET", URL, {"host": ["a\r\nx: y"]}),
        ):
            asking = self.ask(method, url=url, headers=headers)
            if headers:  # twisted's Headers make one line of it
                self.assertNotIn(b"\r\nx: y", self.sent())
            else:
                self.assertNotIn("secret", self.failureResultOf(asking, ValueError).getErrorMessage())

    def test_origins(self) -> None:
        """Where they are given nobody else is asked, whatever a redirect says."""
        self.agent = UpstreamAgent(self.clock, self.client, self.limits, origins=["http://A.example:80/any/path"])
        self.answer(self.ask(), EMPTY)
        for url in ("https://a.example/", "http://a.example:81/", "http://b.example/", "http://[::1]/"):
            self.failureResultOf(self.ask(url=url), ValueError)
        self.assertEqual(len(self.client._pools), 1)


class Times(InMemory):
    def test_cancelling(self) -> None:
        """Stops the connecting, or the answer, and the body's producer."""
        connecting = self.ask()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.endpoint.waiting.clear()
        producer = Producer()
        sending = self.ask(b"POST", producer)
        connection = self.connected()
        sending.cancel()
        self.failureResultOf(sending, CancelledError)
        self.assertEqual((connection.transport.aborted, producer.calls), (True, ["stop"]))
        collecting = Producer(3)
        self.failureResultOf(self.cancelled(self.ask(b"POST", collecting)), CancelledError)
        self.assertEqual((collecting.calls, self.clock.getDelayedCalls()), (["stop"], []))

    def cancelled(self, asking: Deferred[Any]) -> Deferred[Any]:
        asking.cancel()
        return asking

    def test_limits_of_upstream(self) -> None:
        """connect_timeout, then first_byte_timeout."""
        asking = self.ask()
        self.clock.advance(5.1)
        self.failureResultOf(asking, ConnectFailed)
        self.endpoint.waiting.clear()
        asking = self.ask()
        self.connected()
        self.clock.advance(7.1)
        self.failureResultOf(asking, UpstreamTimeout)

    def test_its_own_limit(self) -> None:
        """Holds where no other does."""
        asking = self.ask(b"POST", Producer())
        connection = self.connected()
        self.clock.advance(20.1)
        self.assertIn("within 20 s", self.failureResultOf(asking, UpstreamTimeout).value.message)
        self.assertTrue(connection.transport.aborted)

    def test_a_slow_body_has_its_own(self) -> None:
        """Once the headers are here only silence counts."""
        reader = self.read(self.answer(self.ask(), OK + b"Content-Length: 100\r\n\r\n"))
        for _ in range(20):
            self.clock.advance(2.5)
            self.connected().dataReceived(b"x")
        self.assertIsNone(reader.reason)
        self.clock.advance(3.1)
        self.assertIsInstance(reader.reason, UpstreamTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_body_that_nobody_reads(self) -> None:
        """Does not hold its connection for ever."""
        response = self.answer(self.ask(), OK + b"Content-Length: 100\r\n\r\nabc")
        self.clock.advance(3.1)
        self.assertTrue(self.connected().transport.aborted)
        reader = self.read(response)
        self.assertEqual(reader.data, b"abc")
        self.assertIsInstance(reader.reason, UpstreamTimeout)


class Answers(InMemory):
    def test_a_whole_answer(self) -> None:
        response = self.answer(
            self.ask(headers={"x-a": ["b"]}), b"HTTP/1.1 201 What\r\nContent-Length: 5\r\nX-B: c\r\n\r\nhel"
        )
        self.assertTrue(verifyObject(IResponse, response))
        self.assertTrue(verifyObject(IClientRequest, response.request))
        self.assertEqual((response.code, response.phrase, response.version), (201, b"Created", (b"HTTP", 1, 1)))
        self.assertEqual((response.length, response.headers.getRawHeaders("x-b")), (5, ["c"]))
        self.assertEqual((response.request.method, response.request.absoluteURI), (b"GET", URL.encode()))
        self.assertEqual(response.request.headers.getRawHeaders("x-a"), ["b"])
        reader = self.read(response)
        self.assertEqual((reader.data, reader.reason), (b"hel", None))
        self.connected().dataReceived(b"lo")
        self.assertEqual(reader.data, b"hello")
        self.assertIsInstance(reader.reason, ResponseDone)
        self.assertTrue(self.connected().usable)
        self.assertRaises(RuntimeError, response.deliverBody, Reader())
        self.answer(self.ask(), EMPTY)
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_lengths_and_ends(self) -> None:
        """Only a body that nothing but the connection's end delimits may have lost some of itself."""
        for head, body, length, end in (
            (b"Content-Length: 2\r\n", b"ok", 2, ResponseDone),
            (b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n0\r\n\r\n", UNKNOWN_LENGTH, ResponseDone),
            (b"", b"ok", UNKNOWN_LENGTH, PotentialDataLoss),
            (b"Content-Length: 3\r\n", b"ok", 3, UpstreamCut),
            (b"Transfer-Encoding: chunked\r\n", b"2\r\nok\r\n", UNKNOWN_LENGTH, UpstreamCut),
        ):
            self.setUp()
            response = self.answer(self.ask(), OK + head + b"\r\n" + body)
            self.assertEqual(response.length, length)
            reader = self.read(response)
            self.connected().transport.loseConnection()
            self.assertEqual((reader.data, type(reader.reason)), (b"ok", end), head)

    def test_answers_without_a_body(self) -> None:
        """Whatever their headers say (RFC 9112 section 6.3, rule 1)."""
        for method, status in ((b"HEAD", b"200"), (b"GET", b"204"), (b"GET", b"304")):
            self.setUp()
            head = b"HTTP/1.1 " + status + b" X\r\n" + (b"Content-Length: 9\r\n" if status != b"204" else b"") + b"\r\n"
            response = self.answer(self.ask(method), head)
            self.assertEqual(response.length, 0)
            self.assertIsInstance(self.read(response).reason, ResponseDone)
            self.assertEqual(self.connected().usable, method == b"GET")

    def test_redirects_are_answers(self) -> None:
        """The agent follows none."""
        response = self.answer(self.ask(), b"HTTP/1.1 302 X\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((response.code, response.headers.getRawHeaders("location")), (302, ["http://b/"]))
        other = self.answer(self.ask(), EMPTY)
        other.setPreviousResponse(response)
        self.assertIs(other.previousResponse, response)

    def test_interim_answers(self) -> None:
        """They are passed over."""
        response = self.answer(self.ask(), b"HTTP/1.1 103 X\r\nlink: x\r\n\r\n", EMPTY)
        self.assertEqual((response.code, response.headers.hasHeader("link")), (200, False))

    def test_too_much(self) -> None:
        """Too many headers are malformed; a body past the limit is cut there."""
        asking = self.ask()
        self.connected().dataReceived(OK + b"".join(b"x-%d: y\r\n" % i for i in range(300)) + b"\r\n")
        self.failureResultOf(asking, UpstreamMalformed)
        response = self.answer(self.ask(), OK + b"Content-Length: 1000000\r\n\r\n")
        reader = self.read(response)
        for _ in range(5):
            self.connected().dataReceived(b"x" * HIGH_WATER)
        self.assertIsInstance(reader.reason, UpstreamTooLarge)
        self.assertEqual(len(reader.data), HIGH_WATER * 4)
        self.assertTrue(self.connected().transport.aborted)

    def test_backpressure(self) -> None:
        """A reader that pauses is given nothing more, and pauses the socket."""
        reader = self.read(self.answer(self.ask(), OK + b"Content-Length: 1000000\r\n\r\nx"))
        transport = self.connected().transport
        reader.transport.pauseProducing()
        for _ in range(3):
            self.connected().dataReceived(b"y" * HIGH_WATER)
        self.assertEqual((reader.data.count(b"y"), transport.producerState), (0, "paused"))
        reader.transport.resumeProducing()
        self.assertEqual((reader.data.count(b"y"), transport.producerState), (HIGH_WATER * 3, "producing"))

    def test_a_reader_that_leaves(self) -> None:
        """From within ``dataReceived`` and from without."""
        for within in (True, False):
            self.setUp()
            reader = Reader()
            if within:
                reader.dataReceived = lambda data, reader=reader: reader.transport.loseConnection()  # type: ignore
            self.answer(self.ask(), OK + b"Content-Length: 9\r\n\r\nx").deliverBody(reader)
            if not within:
                reader.transport.stopProducing()
            self.assertIsInstance(reader.reason, ConnectionAborted)
            self.assertTrue(self.connected().transport.aborted)

    def test_a_reader_that_fails(self) -> None:
        """It hears its own failure, and the connection is closed."""
        reader = Reader()
        reader.dataReceived = lambda data: {}["no"]  # type: ignore
        self.answer(self.ask(), OK + b"Content-Length: 9\r\n\r\nx").deliverBody(reader)
        self.assertIsInstance(reader.reason, KeyError)
        self.assertTrue(self.connected().transport.aborted)
