"""A service that is asked: how it fails, how many wait for it, and when it is left alone."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards import service
from llmedge.guards.interfaces import GuardFailed
from llmedge.guards.service import together
from tests.guards.asking import CANARY, Checking, place

TOML = 'type = "webhook"\nurl = "http://127.0.0.1:8100"\ntimeout = 0.5'
TEXT = place(CANARY)


class Asking(Checking):
    def setUp(self) -> None:
        self.begin(TOML)
        self.lines: list[str] = []
        for level in ("info", "warn"):
            self.patch(service.log, level, lambda text, **fields: self.lines.append(text.format(**fields)))

    def refuse(self) -> None:
        """Nobody listens there."""
        _, _, factory = self.reactor.tcpClients.pop(0)[:3]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))  # type: ignore[no-untyped-call]

    def time_out(self) -> None:
        """As whoever waits does."""
        judging = self.check(TEXT)
        self.reactor.advance(0.5)
        judging.cancel()
        judging.addErrback(lambda failure: None)

    def is_asked(self) -> bool:
        judging = self.check(TEXT)
        if self.reactor.tcpClients:
            self.service().answer({"action": "NONE"})
            self.successResultOf(judging)
            return True
        self.fails(judging, "unavailable")
        return False

    def test_nobody_there(self) -> None:
        judging = self.check(TEXT)
        self.refuse()
        self.fails(judging, "unavailable")

    def test_cut(self) -> None:
        """While it answers, or before."""
        for begun in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"):
            self.begin(TOML)
            judging = self.check(TEXT)
            asked = self.service()
            if begun:
                asked.protocol.dataReceived(begun)
            asked.transport.abortConnection()
            self.fails(judging, "unavailable")

    def test_no_http(self) -> None:
        judging = self.check(TEXT)
        self.service().protocol.dataReceived(b"220 mail ESMTP\r\n")
        self.fails(judging, "unavailable")

    def test_given_up(self) -> None:
        """Nothing of it goes on: its connection is closed, no timer is left."""
        for begun in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"):
            self.begin(TOML)
            judging = self.check(TEXT)
            asked = self.service()
            if begun:
                asked.protocol.dataReceived(begun)
            judging.cancel()
            self.failureResultOf(judging)
            self.assertTrue(asked.transport.aborted)
            self.assertEqual(self.reactor.pending(), [])

    def test_given_up_before_there_is_a_connection(self) -> None:
        judging = self.check(TEXT)
        judging.cancel()
        self.failureResultOf(judging)
        self.assertEqual(self.reactor.pending(), [])

    def test_left_alone(self) -> None:
        """After five failures in a row nobody asks; after a second one does, and then all may. One line each tells."""
        for _ in range(5):
            judging = self.check(TEXT)
            self.refuse()
            self.fails(judging)
        self.assertFalse(self.is_asked())
        self.assertEqual(self.lines, ["the service of the guardrail g is left alone: 5 in a row failed"])
        self.reactor.advance(1)
        probe = self.check(TEXT)
        asked = self.service()
        self.fails(self.check(TEXT), "unavailable")
        asked.answer({"action": "NONE"})
        self.successResultOf(probe)
        self.assertEqual(self.lines[1:], ["the service of the guardrail g answers again"])
        for _ in range(2):
            judging = self.check(TEXT)
            asked.answer({"action": "NONE"})
            self.successResultOf(judging)
        self.assertNotIn(CANARY, repr(self.lines))

    def test_slow(self) -> None:
        """Who is given up for being slow is left alone; whose caller leaves is not."""
        for _ in range(5):
            self.time_out()
        self.reactor.tcpClients.clear()
        self.assertFalse(self.is_asked())
        self.begin(TOML)
        for _ in range(9):
            judging = self.check(TEXT)
            self.reactor.advance(0.1)
            judging.cancel()
            self.failureResultOf(judging)
        self.reactor.tcpClients.clear()
        self.assertTrue(self.is_asked())

    def test_wrong_questions(self) -> None:
        """A service that refuses one question is not ill; one that answers nonsense is."""
        for status, body, asked_on in ((400, {}, True), (413, {}, True), (200, b"?", False), (401, {}, False)):
            self.begin(TOML)
            for _ in range(6):
                judging = self.check(TEXT)
                if self.reactor.tcpClients or not judging.called:
                    self.service().answer(body, status)
                self.fails(judging)
            judging = self.check(TEXT)
            self.assertEqual(not judging.called, asked_on, (status, body))
            judging.addErrback(lambda failure: None)

    def test_too_many(self) -> None:
        """Those beyond the limit fail at once, and it counts who waits only."""
        self.patch(service, "MOST", 3)
        waiting = [self.check(TEXT) for _ in range(3)]
        self.fails(self.check(TEXT), "unavailable")
        waiting[0].cancel()
        self.failureResultOf(waiting[0])
        self.assertFalse(self.check(TEXT).called)
        self.fails(self.check(TEXT), "unavailable")


class Together(SynchronousTestCase):
    def setUp(self) -> None:
        self.begun: list[Deferred[str]] = []
        self.left: list[str] = []

    def one(self, name: str) -> Any:
        def begin() -> Deferred[str]:
            self.begun.append(found := Deferred(lambda _: self.left.append(name)))
            return found

        return begin

    def all(self, count: int) -> Deferred[list[str]]:
        return Deferred.fromCoroutine(together([self.one(str(n)) for n in range(count)]))

    def test_in_order(self) -> None:
        for count in (1, 3):
            self.begun = []
            asking = self.all(count)
            for number, each in reversed(list(enumerate(self.begun))):
                each.callback(f"said {number}")
            self.assertEqual(self.successResultOf(asking), [f"said {number}" for number in range(count)])

    def test_few_at_once(self) -> None:
        asking = self.all(20)
        self.assertEqual(len(self.begun), service.AT_ONCE)
        for number in range(20):
            self.begun[number].callback("x")
        self.assertEqual(len(self.successResultOf(asking)), 20)

    def test_the_first_failure(self) -> None:
        """It ends the others: those under way are given up, the rest is not begun."""
        asking = self.all(20)
        self.begun[2].errback(GuardFailed("answer"))
        self.assertEqual(self.failureResultOf(asking, GuardFailed).value.cause, "answer")
        self.assertEqual(len(self.begun), service.AT_ONCE)
        self.assertEqual(self.left, [str(number) for number in range(service.AT_ONCE) if number != 2])

    def test_given_up(self) -> None:
        asking = self.all(20)
        asking.cancel()
        self.failureResultOf(asking)
        self.assertEqual(self.left, [str(number) for number in range(service.AT_ONCE)])
