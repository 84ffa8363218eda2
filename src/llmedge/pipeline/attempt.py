"""One try at one target, under a lease."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from llmedge.call import Call, Candidate
from llmedge.errors import ConnectFailed, EdgeError, InternalError, TargetBusy, TargetError, UpstreamTimeout
from llmedge.model import Answer
from llmedge.pipeline import content
from llmedge.pipeline.deployment import Lease
from llmedge.pipeline.kept import as_kept_elsewhere, note_keeper
from llmedge.pipeline.plan import Option, Plan, RouteDeps
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.shape import tokens_of
from llmedge.pipeline.signals import limit_words
from llmedge.pipeline.tokens import said_in_answer
from llmedge.pipeline.verdicts import LEFT, as_fallback, as_refusal, cause_of, verdict_of
from llmedge.record import Attempt, Content
from llmedge.streams import Reply

log = Logger()


async def attempt(
    deps: RouteDeps, call: Call, option: Option, lease: Lease, kind: str, plan: Plan | None = None
) -> Reply:
    """Put ``call`` to ``option``, until its first content. The record gets an :class:`~llmedge.model.Attempt`; the
    lease is given back when the answer ends, or fails.

    :param kind: why; see :class:`~llmedge.model.Attempt`.
    :param plan: is told what came of it.
    :raises TargetError: it failed. :raises EdgeError: the request itself is at fault.
    """
    record, clock, candidate = call.record, deps.clock, option.candidate
    started = clock.seconds()
    made = Attempt(candidate.target, started, kind=kind, queued=lease.slot.waited)
    if made.queued:
        made.queued_for = limit_words(lease.deployment.queue)
    lease.again = option.error is not None and not isinstance(option.error, ConnectFailed | TargetBusy)
    record.routing.attempts.append(made)
    if (trace := record.trace) is not None:
        made.span_id = trace.new_span_id()
        if trace.capture:
            record.content = Content(content.prompt(call))
    try:
        timeout = candidate.target.timeout
        if timeout is None or call.patience:
            reply = await deps.providers[candidate.target.provider].complete(call, made)
            if not isinstance(reply, Answer):
                reply = await RoutedStream.begin(reply, made, clock, lease)
        else:
            reply = await _within(timeout, deps, call, made, lease)
        if not isinstance(reply, Answer):
            lease.answered(now := clock.seconds(), now - started)
        else:
            ended = clock.seconds()
            made.usage = usage = reply.usage
            if usage is None and (record.routing.raced or kind == "shadow") and not call.operation.passes_through:
                made.said = said_in_answer(reply.body)  # nobody may look at it any more
            lease.answered(ended, ended - started, 0 if usage is None else usage.output)
            lease.end(None if usage is None else usage.input + usage.output)
            made.ended, made.outcome = ended, "ok"
            if record.content is not None:
                record.content.answer = content.answer(call, reply)
        if made.rate is not None:
            lease.deployment.pacer.keep_to(made.rate)
        record.routing.answered_by = made
        if call.remember is not None:
            note_keeper(call, candidate.name, reply)
        if plan is not None:
            plan.won(option)
        return reply
    except CancelledError:
        waited = clock.seconds() - started
        if kind != "shadow" and lease.deployment.overdue(lease.shape, waited, not call.deadline.left()):
            made.cause = "silent"  # whoever stopped waiting for it had reason to
            beaten = plan is not None and plan.winner is not None
            if lease.deployment.is_silent(call.caller.name, call.record.bytes_in, waited, beaten):
                lease.failed(LEFT, waited)
        if kind != "shadow":
            lease.deployment.waited_in_vain(lease.shape, waited)
        made.end(clock.seconds(), "aborted")
        raise
    except EdgeError as failure:
        error = as_refusal(failure)
        if call.previous:
            error = as_kept_elsewhere(error, call.previous)
        if plan is not None:
            error = as_fallback(error, plan.fallback_on)
        full = _failed(made, candidate, lease, error, clock.seconds(), record.request_id)
        if plan is not None:
            plan.failed(option, error, full)
        raise error from failure.__cause__
    except Exception as error:
        made.end(clock.seconds(), "defect", type(error).__name__)
        log.failure("{target} could not be asked", target=candidate.name)
        raise InternalError from error
    finally:
        if made.ended is not None and not lease.ended:
            lease.abandon()


async def _within(seconds: float, deps: RouteDeps, call: Call, made: Attempt, lease: Lease) -> Reply:
    """A whole answer, or a stream that has begun, of a provider that has no longer than ``seconds`` for it.

    :raises UpstreamTimeout: it took longer.
    """
    provider, clock = made.target.provider, deps.clock

    async def ask() -> Reply:
        reply = await deps.providers[provider].complete(call, made)
        return reply if isinstance(reply, Answer) else await RoutedStream.begin(reply, made, clock, lease)

    try:
        return await Deferred.fromCoroutine(ask()).addTimeout(seconds, clock)  # type: ignore[arg-type]  # see above
    except TimeoutError:
        raise UpstreamTimeout(f"did not answer within {seconds:g} s (its timeout)").of(provider) from None


def _failed(made: Attempt, candidate: Candidate, lease: Lease, error: EdgeError, now: float, request_id: str) -> bool:
    """:returns: as :meth:`Lease.failed`."""
    verdict = verdict_of(error)
    made.cause = cause_of(error)
    full = lease.failed(verdict, now - made.started, error.retry_after)
    if not isinstance(error, TargetError):
        made.end(now, "refused", error.message)
        return full
    made.end(now, error.outcome, error.message)
    # The request's doing, or nobody's loss:
    quiet = made.cause in ("unsupported", "fallback_on", "kept_elsewhere") or made.kind == "shadow"
    tell = log.debug if quiet else log.warn
    tell(
        "{target} failed ({cause}): {error}",
        target=candidate.name,
        cause=made.cause,
        error=error.message,
        request_id=request_id,
    )
    return full


def make(plan: Plan, option: Option, kind: str, call: Call) -> Coroutine[Any, Any, Reply]:
    """One try at ``option``, as the plan has it, which knows then what came of it.

    :param call: what is asked: the plan's own, or what goes on with it.
    :raises EdgeError: as for :func:`attempt`. :raises TargetBusy: there is no place for it.
    """
    if option.candidate.fallback and kind in ("first", "next"):
        kind = "fallback"
    lease = option.deployment.lease_now(plan.shape, option.breaker, option.last)
    if lease is None:
        return _make_later(plan, option, kind, call)
    return attempt(plan.deps, call, option, lease, kind, plan)


async def _make_later(plan: Plan, option: Option, kind: str, call: Call) -> Reply:
    queue_wait = option.deployment.queue.max_wait - option.waited
    if option.waited_for:
        queue_wait = min(queue_wait, plan.deps.routing.retry_before_fallback)
    elif plan.others_left:
        queue_wait = 0.0
    wait = min(call.deadline.left(), queue_wait)
    clock = plan.deps.clock
    since = clock.seconds()
    with call.record.routing.wait(clock):
        try:
            lease = await option.deployment.lease(
                call.caller.name,
                wait,
                tokens_of(call),
                plan.shape,
                option.breaker,
                option.last,
                again=option.failures > 0,
            )
        except TargetBusy as error:
            plan.busy(option, error, clock.seconds() - since)
            raise
        except CancelledError:
            plan.left(option, clock.seconds() - since)
            raise
    option.waited += lease.slot.waited
    return await attempt(plan.deps, call, option, lease, kind, plan)


async def choose(plan: Plan, call: Call) -> Option | None:
    """Who is asked next, waited for where a pause is due; ``None``: nobody is left."""
    left = call.deadline.left()
    if (option := plan.next()) is not None:
        return option
    if (found := plan.before_fallback(left)) is None:
        if (option := plan.next(patient=False)) is not None:
            return option
        found = plan.again(left)
    if found is None:
        return None
    option, pause = found
    if pause > 0.0:
        routing, clock = call.record.routing, plan.deps.clock
        since = clock.seconds()
        try:
            with routing.wait(clock):
                await deferLater(clock, pause)  # type: ignore[arg-type]  # a Clock is all it needs
        finally:
            routing.paused += clock.seconds() - since
    return option
