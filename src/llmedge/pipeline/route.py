"""Put a call where it can be answered: targets in their order, then fallbacks, then again those that may recover.

One :class:`Run` for each call; what is known of the targets is in :mod:`llmedge.pipeline.deployments`, what each
failure means in :mod:`llmedge.pipeline.verdicts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from llmedge.config.settings import Routing
from llmedge.errors import (
    EdgeError,
    ElsewhereError,
    InternalError,
    NotFound,
    TargetBusy,
    Unsupported,
    VendorRateLimited,
)
from llmedge.model import Answer, Attempt, Call, Clock, Passed, Reply
from llmedge.pipeline.deployments import Deployments, Lease
from llmedge.pipeline.models import Candidate, Match, ModelIndex
from llmedge.pipeline.race import race
from llmedge.pipeline.recover import RecoveringStream
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.shadow import Shadows
from llmedge.pipeline.strategies import Strategies
from llmedge.pipeline.verdicts import Next, cause_of, verdict_of
from llmedge.providers.provider import Provider
from llmedge.state.budget import backoff
from llmedge.state.concurrency import Outcome

log = Logger()

HEDGE_LEAST, HEDGE_MOST = 2.0, 10.0
"""Seconds: bounds of how long a target may be silent before the next one is asked too."""


class Route:
    """The innermost handler of the call onion.

    :param clock: the reactor.
    """

    def __init__(
        self,
        models: ModelIndex,
        providers: Mapping[str, Provider],
        deployments: Deployments,
        strategies: Strategies,
        routing: Routing,
        clock: Clock,
        random: Random,
        shadows: Shadows | None = None,
    ) -> None:
        self.shadows = shadows
        self.models = models
        self.providers = providers
        self.deployments = deployments
        self.strategies = strategies
        self.routing = routing
        self.clock = clock
        self.random = random

    async def __call__(self, call: Call) -> Reply:
        """:raises EdgeError: the client's fault at once, a target's only when no target is left."""
        match = self.models.find(call.model)
        if match is None:
            raise NotFound(f"The model '{call.model}' does not exist here.", param="model")
        self.deployments.retries.deposit()
        self.deployments.hedges.deposit()
        if match.model.shadow and self.shadows is not None:
            self.shadows.cast(call, match)
        return await Run(self, call, match).reply()


class _Tried:
    """What one candidate has been through in one call."""

    __slots__ = ("error", "failures", "ready_at")

    def __init__(self) -> None:
        self.failures = 0
        self.error: ElsewhereError | None = None
        self.ready_at = 0.0


class Run:
    """One call's way through its targets."""

    def __init__(self, route: Route, call: Call, match: Match) -> None:
        self.route = route
        self.call = call
        self.match = match
        model = match.model
        self._queue = route.strategies.order(match.label, model, match.candidates, call)
        self._fallbacks = [] if call.wishes.no_fallback else list(model.fallbacks)
        self._larger = [] if call.wishes.no_fallback else list(model.context_fallbacks)
        self._seen = {candidate.name for candidate in match.candidates}
        self._least_context: int | None = None
        self._tried: dict[Candidate, _Tried] = {}
        self._kind = "first"
        self.failures: list[EdgeError] = []
        retries = route.routing.retries
        wished = call.wishes.retries
        self._retries = retries if wished is None else min(retries, wished)
        hedge = route.routing.hedge if model.hedge is None else model.hedge
        self._hedge = None if hedge == "off" else hedge
        self._winner: Candidate | None = None
        elsewhere = len(match.candidates) > 1 or bool(self._fallbacks)
        self._recovery = model.stream_recovery or ("splice" if elsewhere else "off")

    async def reply(self) -> Reply:
        """The answer, from whoever gives one.

        :raises EdgeError: nobody did.
        """
        while True:
            candidate = self.next()
            if candidate is None:
                candidate = await self._again()
            try:
                if self._hedge is not None and (self._queue or self._fallbacks):
                    reply = await race(self, candidate)
                else:
                    reply = await self.attempt(candidate, self._kind)
                if self._recovery in ("splice", "continue") and isinstance(reply, RoutedStream):
                    assert self._winner is not None
                    return RecoveringStream(self, reply, self._winner, self._recovery)
                return reply
            except ElsewhereError:
                self._kind = "next"
            except EdgeError as error:
                if verdict_of(error).next is not Next.LARGER or not self._go_larger():
                    raise

    # Who is next

    def next(self) -> Candidate | None:
        """The next candidate that was not asked yet and may be; ``None`` when all have been."""
        while True:
            while self._queue:
                candidate = self._queue.pop(0)
                why = self._why_not(candidate)
                if not why:
                    return candidate
                self.pass_over(candidate, why)
            if not self._fallbacks:
                return None
            self._follow(self._fallbacks.pop(0))

    def _follow(self, name: str) -> None:
        """Take the targets of the fallback ``name`` in; those already known are left out."""
        match = self.route.models.find(name)
        if match is None:
            return
        call = self.call
        for candidate in self.route.strategies.order(match.label, match.model, match.candidates, call):
            if candidate.name not in self._seen:
                self._seen.add(candidate.name)
                self._queue.append(Candidate(candidate.target, candidate.entry, candidate.capabilities, name))
        self._fallbacks += [each for each in match.model.fallbacks if each not in self._fallbacks]

    def _go_larger(self) -> bool:
        """The prompt was too long: only targets with a larger window, and the fallbacks for that, are left."""
        known = self._least_context
        self._queue = [
            each
            for each in self._queue
            if known is not None and each.capabilities.context is not None and each.capabilities.context > known
        ]
        self._fallbacks = []
        larger, self._larger = self._larger, []
        for name in larger:
            self._follow(name)
        self._fallbacks = []
        self._kind = "fallback"
        return bool(self._queue)

    def _why_not(self, candidate: Candidate) -> str:
        deployment = self.route.deployments.get(candidate.entry)
        blocked = deployment.breaker.blocked_by()
        if blocked:
            return f"breaker: {blocked}"
        fields = self.call.fields
        if candidate.capabilities.tools is False and "tools" in fields:
            return "cannot call tools"
        return ""

    def pass_over(self, candidate: Candidate, why: str) -> None:
        """Note that a candidate was not asked."""
        self.call.record.passed_over.append(Passed(candidate.name, why))

    async def _again(self) -> Candidate:
        """Nobody is left who was not asked: wait for the first that may be asked again.

        :raises EdgeError: nobody may, or not in time.
        """
        route, call = self.route, self.call
        now = route.clock.seconds()
        ready: list[tuple[float, int, Candidate]] = []
        for number, (candidate, tried) in enumerate(self._tried.items()):
            if tried.error is None or tried.failures > self._retries:
                continue
            if verdict_of(tried.error).next is Next.RETRY:
                free = route.deployments.get(candidate.entry).breaker.available_at()
                ready.append((max(tried.ready_at, free), number, candidate))
        if not ready:
            raise self._none_left()
        at, _, candidate = min(ready, key=lambda each: each[:2])
        pause = max(0.0, at - now)
        if pause >= call.deadline.left() or pause > max(route.routing.retry_after_max, route.routing.retry_cap):
            raise self._none_left()
        asked = not isinstance(self._tried[candidate].error, TargetBusy)
        if asked and not route.deployments.retries.withdraw():
            raise self._none_left()
        call.record.paused += pause
        call.record.waited += pause
        if pause:
            await deferLater(route.clock, pause)  # type: ignore[arg-type]  # a Clock is all it needs
        self._kind = "retry"
        return candidate

    def _none_left(self) -> EdgeError:
        """What the client is told."""
        if self.failures:
            return all_failed(self.failures)
        deployments = [self.route.deployments.get(each.entry) for each in self.match.candidates]
        waits = [each.breaker.available_at() for each in deployments]
        wait = max(1.0, min(waits, default=0.0) - self.route.clock.seconds())
        passed = self.call.record.passed_over
        reasons = "; ".join(f"{each.target} ({each.why})" for each in passed)
        if passed and all(each.why == "breaker: cooldown" for each in passed):  # they said when to come back
            names = sorted({each.target.partition("/")[0] for each in passed})
            said = " ".join(f"The provider '{name}' is limiting the gateway's rate." for name in names)
            return VendorRateLimited(said, retry_after=wait)
        return TargetBusy(f"No target of '{self.call.model}' can be asked now: {reasons}.", retry_after=wait)

    # Asking

    async def attempt(self, candidate: Candidate, kind: str, call: Call | None = None) -> Reply:
        """One try at one target, until its first content.

        :param call: what is asked, where it is not the call itself.

        :raises ElsewhereError: it failed; the failure is noted.
        :raises EdgeError: the request itself is at fault.
        """
        route = self.route
        call = call or self.call
        if candidate.fallback and kind in ("first", "next"):
            kind = "fallback"
        lease = await self._lease(candidate, call)
        attempt = Attempt(candidate.target, route.clock.seconds(), kind=kind, queued=lease.waited)
        call.record.attempts.append(attempt)
        if (trace := call.record.trace) is not None:
            attempt.span_id = trace.new_span_id()
            if trace.capture:
                call.record.asked = bytes(call.fields.get("messages") or call.fields.get("prompt") or b"")
        try:
            reply = await route.providers[candidate.target.provider].complete(call, attempt)
            if not isinstance(reply, Answer):
                routed = await RoutedStream.begin(reply, attempt, route.clock, lease, whole=self._recovery == "buffer")
                lease.answered(route.clock.seconds() - attempt.started)
                self._won(attempt, candidate)
                return routed
            lease.answered(route.clock.seconds() - attempt.started)
            usage = reply.usage
            attempt.usage = usage
            lease.end(None if usage is None else usage.input + usage.output)
            end(attempt, route.clock, "ok")
            self._won(attempt, candidate)
            if trace is not None and trace.capture:
                call.record.answered = reply.body
            return reply
        except CancelledError:
            end(attempt, route.clock, "aborted")
            raise
        except EdgeError as error:
            self._failed(candidate, attempt, lease, error)
            raise
        except Exception as error:
            end(attempt, route.clock, "defect", type(error).__name__)
            log.failure("{target} could not be asked", target=candidate.name)
            raise InternalError from error
        finally:
            if attempt.ended is not None:
                lease.abandon()

    def _won(self, attempt: Attempt, candidate: Candidate) -> None:
        self._winner = candidate
        self.call.record.answered_by = attempt
        self.call.record.fallback = candidate.fallback

    async def _lease(self, candidate: Candidate, call: Call) -> Lease:
        """A place at the deployment.

        :raises TargetBusy: there is none; noted as passed over.
        """
        route = self.route
        deployment = route.deployments.get(candidate.entry)
        reservation = None
        try:
            if deployment.quota is not None:
                reservation = await deployment.quota.reserve(_tokens(call))
            try:
                wait = 0.0 if self._queue or self._fallbacks else call.deadline.left()
                slot = await deployment.queue.acquire(call.caller.name, wait)
                ticket = deployment.breaker.begin()
                if ticket is None:
                    slot.release()
                    raise TargetBusy("is being left alone after failures")
            except BaseException:
                if reservation is not None:
                    reservation.cancel()
                raise
        except TargetBusy as error:
            self.pass_over(candidate, error.message)
            self._note(candidate, error.of(candidate.target.provider))
            raise
        call.record.waited += slot.waited
        return Lease(deployment, ticket, slot, reservation, not call.stream)

    def _failed(self, candidate: Candidate, attempt: Attempt, lease: Lease, error: EdgeError) -> None:
        clock = self.route.clock
        verdict = verdict_of(error)
        attempt.cause = cause_of(error)
        waited = clock.seconds() - attempt.started
        lease.failed(verdict, waited)
        if attempt.cause == "context_length":
            context = candidate.capabilities.context
            known = self._least_context
            self._least_context = context if known is None or context is None else min(known, context)
        if not isinstance(error, ElsewhereError):
            end(attempt, clock, "refused", error.message)
            self.failures.append(error)
            return
        end(attempt, clock, error.outcome, error.message)
        if error.retry_after and (verdict.load is Outcome.OVERLOADED):
            lease.deployment.breaker.cool_down(clock.seconds() + error.retry_after)
        self._note(candidate, error)
        log.warn(
            "{target} failed ({cause}): {error}",
            target=candidate.name,
            cause=attempt.cause,
            error=error.message,
            request_id=self.call.record.request_id,
        )

    def _note(self, candidate: Candidate, error: ElsewhereError) -> None:
        routing, clock = self.route.routing, self.route.clock
        tried = self._tried.setdefault(candidate, _Tried())
        pause = backoff(tried.failures, routing.retry_base, routing.retry_cap, self.route.random)
        tried.failures += 1
        tried.error = error
        if error.retry_after is not None:
            if error.retry_after > routing.retry_after_max:
                tried.failures = self._retries + 1  # too long to wait for
            pause = max(pause, error.retry_after)
        tried.ready_at = clock.seconds() + pause
        self.failures.append(error)

    # Hedging

    def patience(self, candidate: Candidate) -> float | None:
        """Seconds the candidate may be silent before the next one is asked too; ``None``: as long as it likes."""
        hedge = self._hedge
        if isinstance(hedge, float | int):
            return float(hedge)
        deployment = self.route.deployments.get(candidate.entry)
        if self.call.stream:
            learned = deployment.tail.value
            return min(HEDGE_MOST, max(HEDGE_LEAST, 2 * learned)) if learned is not None else HEDGE_MOST
        learned = deployment.tail_whole.value  # how long a whole answer takes is no sign of trouble until it is known
        return max(HEDGE_LEAST, 2 * learned) if learned is not None else None

    def hedge(self) -> Candidate | None:
        """The candidate to ask as well, if one more call may be made for that."""
        if not self._queue and not self._fallbacks:
            return None
        if self.route.deployments.hedges.balance < 1.0:
            return None
        candidate = self.next()
        if candidate is not None:
            self.route.deployments.hedges.withdraw()
        return candidate


def end(attempt: Attempt, clock: Clock, outcome: str, error: str = "") -> None:
    """Note how an attempt ended; the first time counts."""
    if attempt.ended is None:
        attempt.ended = clock.seconds()
        attempt.outcome = outcome
        attempt.error = error


def all_failed(failures: list[EdgeError]) -> EdgeError:
    """What the client is told: the error that says most, and every failure's reason."""
    # What we never asked, or what could not be said to one target, tells less than what a vendor answered.
    telling = [error for error in failures if not isinstance(error, TargetBusy | Unsupported)] or failures
    last = telling[-1]
    if len(failures) > 1:
        reasons = list(dict.fromkeys(error.message for error in failures))
        if len(reasons) > 1:
            last.message = f"All {len(failures)} attempts failed. " + " ".join(reasons)
        waits = [error.retry_after for error in failures if error.retry_after is not None]
        last.retry_after = min(waits, default=None)
    return last


def _tokens(call: Call) -> int:
    """About how many tokens the call will use: four bytes each, and what may be written."""
    most = 0
    for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"):
        raw = bytes(call.fields.get(name, b""))
        if raw.isdigit():
            most = int(raw)
            break
    return call.record.bytes_in // 4 + most
