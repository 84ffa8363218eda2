import hiredis
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.redis import connection as module
from llmedge.redis.connection import FAILURES, READS, Connection, Lost, Tally
from llmedge.redis.refusals import Gone, Refusal


class OnWire(SynchronousTestCase):
    """A connection whose other end is the test."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.tally = Tally()
        self.writes: list[str] = []
        self.connection = Connection(self.clock, 0.05, self.tally, self.writes.append)
        self.transport = StringTransport()
        self.connection.makeConnection(self.transport)
        self.lost: list[Lost] = []
        self.connection.lost.addCallback(self.lost.append)

    def sent(self) -> list[list[bytes]]:
        """The commands that went out."""
        reader = hiredis.Reader()
        reader.feed(self.transport.value())
        self.transport.clear()
        commands = []
        while (command := reader.gets()) is not False:
            commands.append(command)
        return commands

    def read(self, *command: bytes) -> list[object]:
        """What a read has got, once it has."""
        got: list[object] = []
        answer = self.connection.read(*(command or (b"GET", b"a")))
        assert answer is not None
        answer.addBoth(got.append)
        return got

    def late(self) -> None:
        self.clock.pump([0.05, 0.002])


class Answers(OnWire):
    def test_in_the_order_of_the_questions(self) -> None:
        first, second = self.read(b"GET", b"a"), self.read(b"GET", b"b")
        self.assertEqual(self.sent(), [[b"GET", b"a"], [b"GET", b"b"]])
        self.connection.dataReceived(b"$1\r\nx\r")
        self.assertEqual((first, second), ([], []))
        self.connection.dataReceived(b"\n$-1\r\n")
        self.assertEqual((first, second), ([b"x"], [None]))
        self.assertEqual(self.tally.answered, 2)

    @given(st.lists(st.binary(max_size=40) | st.none(), min_size=1, max_size=12), st.integers(1, 9))
    def test_in_whatever_pieces(self, values: list[bytes | None], size: int) -> None:
        self.setUp()
        got = [self.read() for _ in values]
        wire = b"".join(b"$-1\r\n" if each is None else b"$%d\r\n%b\r\n" % (len(each), each) for each in values)
        for start in range(0, len(wire), size):
            self.connection.dataReceived(wire[start : start + size])
        self.assertEqual(got, [[each] for each in values])

    def test_an_answer_that_is_late_is_nobodys(self) -> None:
        """The next one gets its own."""
        first = self.read()
        self.clock.advance(0.04)
        second = self.read()
        self.clock.advance(0.0101)
        self.clock.advance(0.002)
        self.assertEqual((first, second), ([None], []))
        self.connection.dataReceived(b"$1\r\nx\r\n$1\r\ny\r\n")
        self.assertEqual((first, second), ([None], [b"y"]))
        self.assertEqual((self.tally.late, self.tally.answered), (1, 1))

    def test_what_is_in_the_socket_when_we_are_late_counts(self) -> None:
        """A process that was held up itself reads before it judges."""
        got = self.read()
        self.clock.advance(3.0)
        self.connection.dataReceived(b"$1\r\nx\r\n")
        self.clock.advance(1.0)
        self.assertEqual(got, [b"x"])
        self.assertEqual(self.lost, [])

    def test_whoever_leaves_does_not_disturb(self) -> None:
        answer = self.connection.read(b"GET", b"a")
        assert answer is not None
        answer.addErrback(lambda failure: None)
        answer.cancel()
        second = self.read(b"GET", b"b")
        self.connection.dataReceived(b"$1\r\nx\r\n$1\r\ny\r\n")
        self.assertEqual(second, [b"y"])

    def test_only_so_many_wait(self) -> None:
        waiting = [self.read() for _ in range(READS)]
        self.assertIsNone(self.connection.read(b"GET", b"a"))
        self.connection.dataReceived(b"$-1\r\n")
        self.assertIsNotNone(self.connection.read(b"GET", b"a"))
        self.assertEqual(waiting[:2], [[None], []])

    def test_what_is_asked_gets_errors(self) -> None:
        answer = self.connection.ask(b"AUTH", b"pw")
        self.connection.dataReceived(b"-WRONGPASS invalid 'pw'\r\n")
        refusal = self.failureResultOf(answer, Refusal).value
        self.assertEqual(refusal.code, "WRONGPASS")
        self.assertNotIn("pw", str(refusal) + refusal.words())


class Failing(OnWire):
    def test_so_many_in_a_row(self) -> None:
        """All who wait are let go with it."""
        waiting = [self.read() for _ in range(FAILURES)]
        self.clock.advance(0.02)
        later = self.read()
        self.clock.advance(0.03)
        self.assertEqual(self.lost, [])
        self.clock.advance(0.002)
        self.assertEqual(self.lost, [Lost("no answer within 0.05 s", True)])
        self.assertEqual([*waiting, later], [[None]] * (FAILURES + 1))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_between_them_begins_anew(self) -> None:
        for _ in range(3):
            for _ in range(FAILURES - 1):
                self.read()
            self.late()
            self.connection.dataReceived(b"$-1\r\n" * (FAILURES - 1))
            got = self.read()
            self.connection.dataReceived(b"$1\r\nx\r\n")
            self.assertEqual(got, [b"x"])
        self.assertEqual(self.lost, [])

    def test_few_over_two_seconds(self) -> None:
        for _ in range(2):
            self.read()
            self.late()
            self.clock.advance(0.9)
        self.assertEqual(self.lost, [])
        self.clock.advance(0.2)
        self.read()
        self.late()
        self.assertEqual(len(self.lost), 1)

    def test_errors_of_the_server(self) -> None:
        got = [self.read() for _ in range(FAILURES)]
        self.connection.dataReceived(b"-LOADING Redis is loading the dataset in memory\r\n" * FAILURES)
        self.assertEqual(got, [[None]] * FAILURES)
        self.assertEqual(self.lost, [Lost("it is loading what it has on disk (LOADING)", True)])

    def test_errors_about_the_data(self) -> None:
        """Somebody else's value under our name says nothing of the server."""
        got = [self.read() for _ in range(20)]
        self.connection.dataReceived(b"-WRONGTYPE Operation against a key holding the wrong kind\r\n" * 20)
        self.assertEqual(got, [[None]] * 20)
        self.assertEqual(self.lost, [])

    def test_a_connection_that_is_closed(self) -> None:
        """Nobody waits for his time to be over."""
        got, asked = self.read(), self.connection.ask(b"PING")
        self.connection.write(b"SET", b"a", b"b")
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(got, [None])
        self.assertEqual(self.failureResultOf(asked, Gone).value.words(), "it closed the connection")
        self.assertEqual(self.lost, [Lost("it closed the connection", False)])
        self.assertIsNone(self.connection.read(b"GET", b"a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another_protocol(self) -> None:
        for said in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$1\r\nx\r\n$1\r\ny\r\n", b":x\r\n"):
            self.setUp()
            self.read()
            self.connection.dataReceived(said)
            self.assertEqual(self.lost, [Lost("it does not speak Redis's protocol", False)], said)

    def test_an_answer_without_end(self) -> None:
        """It does not fill the memory."""
        self.patch(module, "LARGEST", 1000)
        self.read()
        self.connection.dataReceived(b"$100000\r\n" + bytes(500))
        self.assertEqual(self.lost, [])
        self.connection.dataReceived(bytes(600))
        self.assertIn("more than 1000 bytes", self.lost[0].why)


class Writes(OnWire):
    def write(self, size: int = 1) -> None:
        self.connection.write(b"SET", b"a", bytes(size))

    def test_nobody_waits(self) -> None:
        self.write()
        got = self.read()
        self.assertEqual([command[0] for command in self.sent()], [b"SET", b"GET"])
        self.connection.dataReceived(b"+OK\r\n$1\r\nx\r\n")
        self.assertEqual(got, [b"x"])

    def test_only_so_much_is_on_its_way(self) -> None:
        """A server that is frozen does not have us keep what it does not take."""
        self.patch(module, "UNACKNOWLEDGED", 10_000)
        for _ in range(50):
            self.write(1000)
        self.assertLess(len(self.transport.value()), 10_000)
        self.assertEqual(self.tally.sent + self.tally.dropped, 50)
        sent = self.tally.sent
        self.connection.dataReceived(b"+OK\r\n" * sent)
        self.sent()
        self.write(20_000)
        self.write(1)
        self.assertEqual([len(command[2]) for command in self.sent()], [20_000])
        self.assertEqual((self.tally.sent, self.tally.dropped), (sent + 1, 50 - sent + 1))

    def test_a_full_server_is_told_nothing_for_a_while(self) -> None:
        """It is read all the same; each change is told once."""
        self.write()
        self.write()
        self.connection.dataReceived(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * 2)
        self.assertEqual(self.writes, ["its memory is full (OOM)"])
        self.sent()
        self.write()
        self.assertEqual(self.sent(), [])
        self.clock.advance(module.WRITES_AGAIN)
        self.write()
        self.connection.dataReceived(b"-OOM still\r\n")
        self.write()
        self.assertEqual(len(self.sent()), 1)
        self.clock.advance(module.WRITES_AGAIN)
        self.write()
        self.connection.dataReceived(b"+OK\r\n")
        self.assertEqual(self.writes, ["its memory is full (OOM)", ""])
        self.assertEqual(self.lost, [])
        self.assertEqual((self.tally.refused, self.tally.dropped), (3, 2))

    def test_a_write_that_is_wrong_says_nothing_of_others(self) -> None:
        self.write()
        self.connection.dataReceived(b"-ERR invalid expire time in 'set' command\r\n")
        self.assertEqual(self.writes, [])

    def test_a_replica_is_left(self) -> None:
        """The master is another one now."""
        self.write()
        self.connection.dataReceived(b"-READONLY You can't write against a read only replica.\r\n")
        self.assertEqual(self.lost, [Lost("it is a replica (READONLY)", True)])


class Dropped(OnWire):
    def test_even_if_nobody_wants_to_know_any_more(self) -> None:
        """Who waited for the end has left before."""
        connection = Connection(self.clock, 0.05, self.tally, self.writes.append)
        transport = StringTransport()
        connection.makeConnection(transport)
        waiting: Deferred[Lost] = connection.lost
        waiting.addErrback(lambda failure: None)
        waiting.cancel()
        connection.drop("")
        self.assertTrue(transport.disconnecting)
