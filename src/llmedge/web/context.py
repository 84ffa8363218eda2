"""What the layers know of one request, and tell each other."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from llmedge.config.sections.server import Server
from llmedge.deadlines import Deadlines
from llmedge.driver import CoroutineDriver
from llmedge.errors import EdgeError, RateLimited, Stopping
from llmedge.model import Caller, Deadline
from llmedge.record import REFUSED_BY, Attempt, Record
from llmedge.web.head import NO_HEAD, RequestHead


@attrs.define(eq=False, repr=False)  # its head may hold a key
class RequestContext:
    """One request's. What has no default is there from the layer on that finds it out; to ask before is a defect.

    :ivar received: clock seconds of the first byte.
    :ivar head: what its head says; shared with other requests.
    :ivar refusal: why this request must not reach the onion's inside, found while it was parsed.
    :ivar record: from ``AccessRecord`` on: what happens to it.
    :ivar caller: from ``Authenticate`` on: who asks; not there where it is ``exempt`` from saying so.
    :ivar deadline: from ``EnforceDeadline`` on; kept by ``deadlines``.
    :ivar stream_timeout: where the model asked for has one that is not the server's.
    :ivar identifying: who sent it, or why they may not, where that was asked before its body was here.
    :ivar work: what answers, for the deadline to cancel.
    :ivar expired: it was cancelled by the deadline, or ``cut_off``: its client is told so.
    """

    received: float
    head: RequestHead = NO_HEAD
    refusal: EdgeError | None = None
    record: Record = attrs.field(init=False)
    caller: Caller = attrs.field(init=False)
    exempt: bool = False
    deadline: Deadline = attrs.field(init=False)
    stream_timeout: float = attrs.field(init=False)
    deadlines: Deadlines | None = None
    identifying: Deferred[Caller | EdgeError] | None = None
    work: Deferred[Any] | CoroutineDriver | None = None
    expired: bool = False
    cut_off: EdgeError | None = None

    def fail(self, error: EdgeError) -> None:
        """Have the record, if it got that far, say what its client is told."""
        if hasattr(self, "record"):
            self.record.fail(error, "stopped" if isinstance(error, Stopping) else "error")
            if isinstance(error, RateLimited):
                self.record.facts[REFUSED_BY] = error.scope

    @property
    def deciding_attempt(self) -> Attempt | None:
        """The vendor's, whose failure the client is told of; ``None`` where none was asked."""
        return self.record.routing.deciding_attempt if hasattr(self, "record") else None

    def expire(self) -> None:
        """The deadline has passed."""
        if self.work is not None and not self.work.called:
            self.expired = True
            self.work.cancel()

    def allow(self, seconds: float) -> None:
        """It has ``seconds`` instead of what it had."""
        deadline = self.deadline
        deadline.at += seconds - deadline.seconds
        deadline.seconds = seconds
        if self.deadlines is not None:
            self.deadlines.move(self, deadline.at)

    def stream_seconds(self, limits: Server) -> float:
        """What a stream may take, from the request's first byte to its last."""
        return getattr(self, "stream_timeout", limits.stream_timeout)

    def begin_answer(self, limits: Server) -> None:
        """The answer has begun: from now on the time of a stream holds."""
        self.extend_deadline(self.stream_seconds(limits))

    def cut(self, error: EdgeError) -> bool:
        """The gateway ends: cancel what answers, whose client is told ``error``. Whether there was something."""
        if self.work is None or self.work.called:
            return False
        self.expired, self.cut_off = True, error
        self.fail(error)
        self.work.cancel()
        return True

    def extend_deadline(self, seconds: float) -> None:
        """From now on ``seconds`` from the first byte in hold."""
        if self.deadlines is not None:
            self.deadlines.move(self, self.received + seconds)
