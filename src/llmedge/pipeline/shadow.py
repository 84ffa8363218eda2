"""Shadow traffic: a copy of a call for a target that is being tried out; its answer is only recorded."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.call import Call, Candidate, Match
from llmedge.config.sections.models import TargetEntry
from llmedge.config.stars import filled
from llmedge.errors import EdgeError, InternalError
from llmedge.model import Account, Answer, Deadline, EventKind, Target
from llmedge.pipeline.attempt import attempt
from llmedge.pipeline.books import Books
from llmedge.pipeline.plan import Option, RouteDeps
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.shape import shape_of, tokens_of
from llmedge.pipeline.verdicts import cause_of
from llmedge.record import Attempt, Record

log = Logger()

OPERATORS = Account("shadow")
"""Whose copies are: what they cost is spent by no key, and no budget pays for it."""
AT_ONCE = 100
"""Copies under way; beyond them none is made."""


class Shadows:
    """:param observers: get the record of each copy, as they do of a request. Its operation is ``shadow``."""

    def __init__(self, deps: RouteDeps, prices: Prices, observers: list[Callable[[Record], None]]) -> None:
        self._deps = deps
        self._books = Books(prices)
        self._observers = observers
        self._under_way = 0

    def mirror(self, call: Call, match: Match) -> None:
        """Send a copy of ``call``, if its model has a shadow and the dice say so. Nobody waits for it."""
        model, deps = match.model, self._deps
        if call.hints.tags:
            return  # nothing is known of what the shadow may be given
        if not model.shadow or self._under_way >= AT_ONCE or deps.random.random() >= model.shadow_share:
            return
        provider, _, name = filled(model.shadow, match.label, call.model).partition("/")
        target = Target(provider, name, "drop")
        candidate = Candidate(target, TargetEntry(str(target)))
        deployment = deps.deployments.get(candidate.entry.target)
        option = Option(candidate, deployment, call.operation)
        if option.breaker.blocked_by():
            return
        record = Record(
            request_id=f"shadow_{secrets.token_hex(12)}",
            method=call.record.method,
            route=call.record.route,
            peer=call.record.peer,
            received=deps.clock.seconds(),
            operation="shadow",
            caller=call.caller.name,
            account=OPERATORS,
            model=call.model,
            model_label=match.label,
            stream=call.stream,
            message_count=call.record.message_count,
            bytes_in=call.record.bytes_in,
        )
        copy = call.changed(record=record, deadline=Deadline(deps.clock, call.deadline.seconds))
        self._under_way += 1
        asking: Deferred[None] = Deferred.fromCoroutine(self._ask(copy, option))
        late: Any = deps.clock.callLater(call.deadline.seconds, asking.cancel)
        asking.addBoth(self._ended, late, copy)

    async def _ask(self, call: Call, option: Option) -> None:
        record, deps, target = call.record, self._deps, option.candidate.target
        try:
            lease = await option.deployment.lease(
                call.caller.name, 0.0, tokens_of(call), shape_of(call), option.breaker
            )
            reply = await attempt(deps, call, option, lease, "shadow")
            if not isinstance(reply, Answer):
                record.first_event = deps.clock.seconds()
                try:
                    while (await reply.read())[-1].kind is not EventKind.DONE:
                        pass
                finally:
                    reply.abort()
        except EdgeError as error:
            if not record.routing.attempts:  # there was no place for it
                now = deps.clock.seconds()
                record.routing.attempts.append(Attempt(target, now, kind="shadow", cause=cause_of(error)))
                record.routing.attempts[0].end(now, cause_of(error), error.message)
            record.status = error.status
            record.fail(error, "defect" if isinstance(error, InternalError) else "error")
            return
        record.outcome, record.status = "ok", 200

    def _ended(self, result: Any, late: Any, call: Call) -> None:
        record = call.record
        self._under_way -= 1
        if late.active():
            late.cancel()
        record.ended = self._deps.clock.seconds()
        if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
            log.failure("a shadow call failed", failure=result, request_id=record.request_id)
            record.outcome = "defect"
        if not record.outcome:
            record.outcome = "aborted"
        self._books.enter_vain(call)
        for observe in self._observers:
            cast(Any, observe)(record)
