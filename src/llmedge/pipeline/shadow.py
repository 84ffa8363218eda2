"""Shadow traffic: a copy of a call for a target that is being tried out; its answer is only recorded."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.config.kinds import TargetEntry
from llmedge.errors import EdgeError, ElsewhereError
from llmedge.model import Answer, Attempt, Call, Clock, Deadline, EventKind, Record, Target
from llmedge.pipeline.attempts import tokens_of
from llmedge.pipeline.deployments import Deployments, Lease
from llmedge.pipeline.models import Match
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.verdicts import cause_of, verdict_of
from llmedge.providers.provider import Provider
from llmedge.state.concurrency import Outcome

log = Logger()

AT_ONCE = 100
"""Copies under way; beyond them none is made."""


class Shadows:
    """:param observers: get the record of each copy, as they do of a request. Its operation is ``shadow``."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        prices: Prices,
        observers: list[Callable[[Record], None]],
        clock: Clock,
        random: Random,
        deployments: Deployments,
    ) -> None:
        self._deployments = deployments
        self._providers = providers
        self._prices = prices
        self._observers = observers
        self._clock = clock
        self._random = random
        self._under_way = 0

    def cast(self, call: Call, match: Match) -> None:
        """Send a copy of ``call``, if its model has a shadow and the dice say so. Nobody waits for it."""
        model = match.model
        if call.wishes.tags:
            return  # nothing is known of what the shadow may be given
        if not model.shadow or self._under_way >= AT_ONCE or self._random.random() >= model.shadow_share:
            return
        provider, _, name = model.shadow.partition("/")
        target = Target(provider, call.model if name == "*" else name, drop=True)
        if self._deployments.get(TargetEntry(str(target))).breaker.blocked_by():
            return
        record = Record(
            request_id=f"shadow_{secrets.token_hex(12)}",
            method=call.record.method,
            route=call.record.route,
            peer=call.record.peer,
            received=self._clock.seconds(),
            operation="shadow",
            caller=call.caller.name,
            model=call.model,
            model_label=match.label,
            stream=call.stream,
            message_count=call.record.message_count,
            bytes_in=call.record.bytes_in,
        )
        copy = msgspec.structs.replace(
            call, record=record, deadline=Deadline(self._clock, call.deadline.seconds), form=None
        )
        self._under_way += 1
        asking: Deferred[None] = Deferred.fromCoroutine(
            self._ask(copy, Attempt(target, record.received, kind="shadow"))
        )
        late: Any = self._clock.callLater(call.deadline.seconds, asking.cancel)
        asking.addBoth(self._ended, late, record)

    async def _ask(self, call: Call, attempt: Attempt) -> None:
        record = call.record
        record.attempts.append(attempt)
        record.answered_by = attempt
        lease: Lease | None = None
        deployment = self._deployments.get(TargetEntry(str(attempt.target)))
        try:
            lease = await deployment.lease(call.caller.name, 0.0, tokens_of(call), not call.stream)
            reply = await self._providers[attempt.target.provider].complete(call, attempt)
            if not isinstance(reply, Answer):
                try:
                    done = False
                    while not done:
                        done = (await reply.next())[-1].kind is EventKind.DONE
                        if lease.pace is None:
                            lease.answered(self._clock.seconds() - attempt.started)
                        if record.first_event is None:
                            record.first_event = self._clock.seconds()
                finally:
                    reply.abort()
            if lease.pace is None:
                lease.answered(self._clock.seconds() - attempt.started)
            lease.end(None if reply.usage is None else reply.usage.input + reply.usage.output)
            record.usage = attempt.usage = reply.usage
            if reply.usage is not None:
                record.cost = attempt.cost = self._prices.price(attempt.target, reply.usage)
            record.outcome = attempt.outcome = "ok"
            record.status = 200
        except EdgeError as error:
            if lease is not None:
                verdict, now = verdict_of(error), self._clock.seconds()
                lease.failed(verdict, now - attempt.started)
                if error.retry_after and verdict.load is Outcome.OVERLOADED:
                    deployment.breaker.cool_down(now + error.retry_after)
            record.status = error.status
            record.fail(error)
            attempt.outcome = error.outcome if isinstance(error, ElsewhereError) else "refused"
            attempt.cause, attempt.error = cause_of(error), error.message
        finally:
            if lease is not None:
                lease.abandon()
            attempt.ended = self._clock.seconds()

    def _ended(self, result: Any, late: Any, record: Record) -> None:
        self._under_way -= 1
        if late.active():
            late.cancel()
        record.ended = self._clock.seconds()
        if isinstance(result, Failure) and not isinstance(result.value, CancelledError):
            log.failure("a shadow call failed", failure=result, request_id=record.request_id)
            record.outcome = record.attempts[0].outcome = "defect"
        if not record.outcome:
            record.outcome = record.attempts[0].outcome = "aborted"
        for observe in self._observers:
            cast(Any, observe)(record)
