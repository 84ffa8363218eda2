"""One connection to a Redis: commands go out as they come, and answers come in that order (RESP2,
redis.io/docs/latest/develop/reference/protocol-spec)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import hiredis
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from llmedge.deadlines import Deadlines
from llmedge.model import Clock
from llmedge.redis.refusals import Gone, Refusal
from llmedge.sockets import write_now
from llmedge.upstream.reasons import explain
from llmedge.upstream.trust import TlsRefused

READS = 64
"""Reads that may wait at once; more are not asked."""
FAILURES = 5
"""Failures of reads in a row after which the server is left alone, and not asked by anybody."""
FAILING = 2.0
"""Seconds of nothing but failures after which it is, however few they are."""
UNACKNOWLEDGED = 4 * 1024 * 1024
"""Bytes of writes that may be on their way; more are dropped. One alone may be larger."""
WRITES_AGAIN = 10.0
"""Seconds for which nothing is written after a write was refused."""
LARGEST = 64 * 1024 * 1024
"""Bytes of one answer; where there are more, it is not of ours."""
_MORE = object()
_pack: Any = hiredis.pack_command


class Lost(NamedTuple):
    """Why a connection is no more. ``failing``: the server is not to be asked for a while."""

    why: str
    failing: bool


class Tally:
    """What became of all reads and writes; for metrics."""

    __slots__ = ("answered", "dropped", "failed", "late", "refused", "sent", "skipped")

    def __init__(self) -> None:
        self.answered = self.late = self.failed = self.skipped = 0
        self.sent = self.refused = self.dropped = 0


class _Read:
    __slots__ = ("answer", "looked")

    def __init__(self) -> None:
        self.answer: Deferred[Any] | None = Deferred()  # None: nobody waits any more
        self.looked = False


class Connection(Protocol):
    """:param timeout: seconds a read waits.
    :param tell_writes: told why writes are refused, and ``""`` when they are taken again.
    :ivar lost: fires with a :class:`Lost`, once.
    """

    def __init__(self, clock: Clock, timeout: float, tally: Tally, tell_writes: Callable[[str], None]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._tally = tally
        self._tell_writes = tell_writes
        self._reader: Any = hiredis.Reader(protocolError=ValueError, replyError=Refusal, notEnoughData=_MORE)
        self._waiting: deque[Callable[[Any], None]] = deque()
        self._deadlines = Deadlines(clock, self._expired)
        self._reads = 0
        self._partial = 0  # bytes of an answer that is not whole yet, at most
        self._failures = 0
        self._failing_since = 0.0
        self._unacknowledged = 0
        self._no_writes_until = 0.0
        self._writes_refused = False
        self._is_over = False
        self.lost: Deferred[Lost] = Deferred()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        for name in ("setTcpNoDelay", "setTcpKeepAlive"):  # a unix socket has neither
            if hasattr(transport, name):
                getattr(transport, name)(True)

    # Asking

    def read(self, *command: bytes) -> Deferred[Any] | None:
        """What is answered; ``None`` where that is nothing, an error, or late. It does not fail, and fires in time.

        ``None`` itself: too many wait already, or it is over.
        """
        if self._reads >= READS or self._is_over:
            return None
        read = _Read()
        self._reads += 1
        self._deadlines.set(read, self._clock.seconds() + self._timeout)
        self._send(_pack(command), partial(self._answered, read))
        return read.answer

    def write(self, *command: bytes) -> None:
        """What becomes of it nobody waits for: it is dropped where the server does not keep up."""
        if self._writes_refused and self._clock.seconds() < self._no_writes_until:
            self._tally.dropped += 1
            return
        data = _pack(command)
        if self._unacknowledged and self._unacknowledged + len(data) > UNACKNOWLEDGED:
            self._tally.dropped += 1
            return
        self._unacknowledged += len(data)
        self._tally.sent += 1
        self._send(data, partial(self._acknowledged, len(data)))

    def ask(self, *command: bytes) -> Deferred[Any]:
        """Whatever is answered, whenever that is.

        :raises Refusal: an error is.
        """
        answer: Deferred[Any] = Deferred()
        self._send(_pack(command), partial(_give, answer))
        return answer

    def drop(self, why: str, failing: bool = False) -> None:
        """Be no more, at once, with all that waits."""
        if not self._is_over:
            transport: Any = self.transport
            transport.abortConnection()
            self._end(Lost(why, failing))

    def _send(self, data: bytes, then: Callable[[Any], None]) -> None:
        if self._is_over:  # somebody still has it
            then(Gone("the connection is closed"))
            return
        transport: Any = self.transport
        if self._waiting:  # what is asked in one turn goes out in one piece
            transport.write(data)
        else:
            write_now(transport, data)
        self._waiting.append(then)

    # Answers

    def dataReceived(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _MORE:
                self._partial = 0
                if not self._waiting:
                    raise ValueError
                self._waiting.popleft()(reply)
        except ValueError:
            self.drop("it does not speak Redis's protocol")
            return
        self._partial += len(data)
        if self._partial > LARGEST:
            self.drop(f"it sent more than {LARGEST} bytes in one answer")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        why = "it closed the connection"
        if isinstance(reason.value, SSL.Error | TlsRefused):
            why = explain(reason.value)[1]
        self._end(Lost(why, False))

    def _end(self, lost: Lost) -> None:
        if self._is_over:
            return
        self._is_over = True
        self.lost.callback(lost)
        self._deadlines.close()
        gone = Gone(lost.why)
        while self._waiting:
            self._waiting.popleft()(gone)

    def _answered(self, read: _Read, reply: Any) -> None:
        answer, read.answer = read.answer, None
        if answer is None:
            return
        self._reads -= 1
        self._deadlines.drop(read)
        if not isinstance(reply, Refusal):
            self._failures = 0
            self._tally.answered += 1
        else:
            self._tally.failed += 1
            if not reply.of_data and not isinstance(reply, Gone):
                self._failed(reply.words())
            reply = None
        answer.callback(reply)

    def _expired(self, read: _Read) -> None:
        if not read.looked:  # were we late ourselves, the answer is in the socket, which is read before this comes back
            read.looked = True
            self._deadlines.set(read, self._clock.seconds())
            return
        answer, read.answer = read.answer, None
        assert answer is not None
        self._reads -= 1
        self._tally.late += 1
        self._failed(f"no answer within {self._timeout:g} s")
        answer.callback(None)

    def _failed(self, why: str) -> None:
        now = self._clock.seconds()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if self._failures >= FAILURES or now - self._failing_since >= FAILING:
            self.drop(why, failing=True)

    def _acknowledged(self, size: int, reply: Any) -> None:
        self._unacknowledged -= size
        if isinstance(reply, Gone):
            return
        refused = isinstance(reply, Refusal) and not reply.of_data
        if refused:
            self._tally.refused += 1
            self._no_writes_until = self._clock.seconds() + WRITES_AGAIN
            if reply.code == "READONLY":  # the master is another one now
                self.drop(reply.words(), failing=True)
                return
        if refused != self._writes_refused:
            self._writes_refused = refused
            self._tell_writes(reply.words() if refused else "")


def _give(answer: Deferred[Any], reply: Any) -> None:
    if isinstance(reply, Refusal):
        answer.errback(reply)
    else:
        answer.callback(reply)
