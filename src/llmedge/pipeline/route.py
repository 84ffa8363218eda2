"""Put a call where it can be answered: targets in their order, then fallbacks, then again those that may recover.

One :class:`Run` for each call; what is known of the targets is in :mod:`llmedge.pipeline.deployments`, what each
failure means in :mod:`llmedge.pipeline.verdicts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
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
)
from llmedge.model import Answer, Attempt, Call, Clock, Passed, Reply
from llmedge.pipeline.attempts import UNTAGGED, Tried, all_failed, all_passed_over, end, tokens_of
from llmedge.pipeline.deployments import Deployments, Lease
from llmedge.pipeline.models import Candidate, Match, ModelIndex
from llmedge.pipeline.race import race
from llmedge.pipeline.recover import BufferedStream, RecoveringStream
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.shadow import Shadows
from llmedge.pipeline.strategies import Strategies
from llmedge.pipeline.verdicts import VERDICTS, Next, cause_of, verdict_of
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
        self.kept = 0
        """Bytes of streams under way that are kept for their recovery."""
        self.models = models
        self.providers = providers
        self.deployments = deployments
        self.strategies = strategies
        self.routing = routing
        self.clock = clock
        self.random = random

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """:raises EdgeError: the client's fault at once, a target's only when no target is left."""
        match = self.models.find(call.model)
        if match is None:
            raise NotFound(f"The model '{call.model}' does not exist here.", param="model")
        self.deployments.retries.deposit()
        self.deployments.hedges.deposit()
        if match.model.shadow and self.shadows is not None and call.upload is None:
            self.shadows.cast(call, match)
        return Run(self, call, match).reply()


class Run:
    """One call's way through its targets."""

    def __init__(self, route: Route, call: Call, match: Match) -> None:
        self.route = route
        self.call = call
        self.match = match
        model, candidates, wishes = match.model, match.candidates, call.wishes
        if len(candidates) > 1:
            self._queue = route.strategies.order(match.label, model, candidates, call)
        else:
            self._queue = list(candidates)
        self._fallbacks = [] if wishes.no_fallback else list(model.fallbacks)
        self._larger = [] if wishes.no_fallback else list(model.context_fallbacks)
        self._seen: set[str] = set()
        self._followed: set[str] = set()
        self._blocked: list[Candidate] = []
        self._least_context: int | None = None
        self._tried: dict[Candidate, Tried] = {}
        self.kind = "first"
        self.failures: list[EdgeError] = []
        retries = route.routing.retries
        wished = wishes.retries
        self.retries = retries if wished is None else min(retries, wished)
        hedge = route.routing.hedge if model.hedge is None else model.hedge
        self._hedge = None if hedge == "off" or call.upload is not None else hedge
        self.winner: Candidate | None = None
        elsewhere = len(candidates) > 1 or bool(self._fallbacks)
        self._recovery = model.stream_recovery or ("splice" if elsewhere else "off")
        if call.operation.passes_through and self._recovery != "buffer":
            self._recovery = "off"  # nobody here knows what is said in it

    def reply(self) -> Awaitable[Reply]:
        """The answer, from whoever gives one.

        :raises EdgeError: nobody did.
        """
        call = self.call
        if self._recovery == "off" or not (call.stream or call.operation.passes_through):
            return self.ask()
        return self._recoverable()

    async def _recoverable(self) -> Reply:
        reply = await self.ask()
        if not isinstance(reply, RoutedStream):
            return reply
        if self._recovery == "buffer":
            return BufferedStream(self, reply)
        return RecoveringStream(self, reply, self._recovery)

    async def ask(self) -> Reply:
        """A whole answer, or a stream that has begun.

        :raises EdgeError: nobody gave one.
        """
        while True:
            candidate = self.next() or await self._again()
            if candidate is None:
                raise self._none_left()
            try:
                if (self._queue or self._fallbacks) and self._hedge is not None:
                    return await race(self, candidate)
                return await self.attempt(candidate, self.kind)
            except ElsewhereError:
                if self.call.upload is not None and self.call.upload.spent:
                    raise self._none_left() from None
                self.kind = "next"
            except EdgeError as error:
                if verdict_of(error).next is not Next.LARGER or not self._go_larger():
                    raise

    def broke(self, error: ElsewhereError, again: bool = True) -> None:
        """The stream of the winner broke; ``again``: it may be asked once more, as after any failure."""
        assert self.winner is not None
        if again:
            self._note(self.winner, error)
        else:
            self._tried.pop(self.winner, None)
        self.kind = "next"

    # Who is next

    async def choose(self) -> Candidate | None:
        """Who is asked now; ``None``: nobody is left."""
        return self.next() or await self._again()

    @property
    def others_left(self) -> bool:
        """Whether there may be somebody who was not asked yet."""
        return bool(self._queue or self._fallbacks)

    def next(self) -> Candidate | None:
        """The next candidate that was not asked yet and may be; ``None`` when all have been."""
        while True:
            while self._queue:
                candidate = self._queue.pop(0)
                why = self._why_not(candidate)
                if not why:
                    return candidate
                self.pass_over(candidate, why)
                if why.startswith("breaker"):
                    self._blocked.append(candidate)
            if not self._fallbacks:
                return None
            self._follow(self._fallbacks.pop(0))

    def _follow(self, name: str) -> None:
        """Take the targets of the fallback ``name`` in; those already known are left out."""
        match = self.route.models.find(name)
        if match is None or name in self._followed:  # fallbacks may name each other
            return
        self._followed.add(name)
        if not self._seen:
            self._seen = {candidate.name for candidate in self.match.candidates}
        call = self.call
        for candidate in self.route.strategies.order(match.label, match.model, match.candidates, call):
            if candidate.name not in self._seen:
                self._seen.add(candidate.name)
                self._queue.append(Candidate(candidate.target, candidate.entry, candidate.capabilities, name))
        self._fallbacks += [each for each in match.model.fallbacks if each not in self._fallbacks]
        self._larger += match.model.context_fallbacks

    def _go_larger(self) -> bool:
        """The prompt was too long: only targets with a larger window, and the fallbacks for that, are left."""
        known = self._least_context
        self._queue = [
            each
            for each in self._queue
            if known is not None and each.capabilities.context is not None and each.capabilities.context > known
        ]
        self._fallbacks = []
        self._tried.clear()
        self._blocked.clear()
        larger, self._larger = self._larger, []
        for name in larger:
            self._follow(name)
        self._fallbacks = []
        self.kind = "fallback"
        return bool(self._queue)

    def _why_not(self, candidate: Candidate) -> str:
        tags = self.call.wishes.tags
        if tags and not tags.issubset(candidate.entry.tags):
            return UNTAGGED
        deployment = self.route.deployments.get(candidate.entry)
        blocked = deployment.breaker.blocked_by()
        if blocked:
            return f"breaker: {blocked}"
        if candidate.capabilities.tools is False and "tools" in self.call.fields:
            return "cannot call tools"
        return ""

    def pass_over(self, candidate: Candidate, why: str) -> None:
        """Note that a candidate was not asked."""
        self.call.record.passed_over.append(Passed(candidate.name, why, self.route.clock.seconds()))

    async def _again(self) -> Candidate | None:
        """Nobody is left who was not asked: wait for the first that may be asked again, in time."""
        route, call = self.route, self.call
        now = route.clock.seconds()
        ready: list[tuple[float, int, Candidate]] = []
        for number, (candidate, tried) in enumerate(self._tried.items()):
            if tried.error is None or tried.failures > self.retries:
                continue
            if verdict_of(tried.error).next is Next.RETRY:
                free = route.deployments.get(candidate.entry).breaker.available_at()
                ready.append((max(tried.ready_at, free), number, candidate))
        if self.failures or self.winner is not None:  # who could not be asked at first may be back
            ready += [
                (route.deployments.get(each.entry).breaker.available_at(), len(self._tried) + number, each)
                for number, each in enumerate(self._blocked)
            ]
        if not ready:
            return None
        at, _, candidate = min(ready, key=lambda each: each[:2])
        pause = max(0.0, at - now)
        if pause >= call.deadline.left() or pause > max(route.routing.retry_after_max, route.routing.retry_cap):
            return None
        asked = candidate in self._tried and not isinstance(self._tried[candidate].error, TargetBusy)
        if asked and not route.deployments.retries.withdraw():
            return None
        if candidate in self._blocked:
            self._blocked.remove(candidate)
        if pause > 0.0:
            call.record.begin_wait(now)
            try:
                await deferLater(route.clock, pause)  # type: ignore[arg-type]  # a Clock is all it needs
            finally:
                call.record.end_wait(route.clock.seconds())
                call.record.paused += route.clock.seconds() - now
        self.kind = "retry" if asked else "next"
        return candidate

    def _none_left(self) -> EdgeError:
        """What the client is told."""
        if self.failures:
            return all_failed(self.failures)
        waits = [self.route.deployments.get(each.entry).breaker.available_at() for each in self.match.candidates]
        wait = max(1.0, min(waits, default=0.0) - self.route.clock.seconds())
        return all_passed_over(self.call, wait)

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
        record, clock = call.record, route.clock
        lease = route.deployments.get(candidate.entry).lease_now(not call.stream) or await self._lease(candidate, call)
        started = clock.seconds()
        attempt = Attempt(candidate.target, started, kind=kind, queued=lease.waited)
        record.attempts.append(attempt)
        if (trace := record.trace) is not None:
            attempt.span_id = trace.new_span_id()
            if trace.capture:
                record.asked = bytes(call.fields.get("messages") or call.fields.get("prompt") or b"")
        try:
            reply = await route.providers[candidate.target.provider].complete(call, attempt)
            if not isinstance(reply, Answer):
                routed = await RoutedStream.begin(reply, attempt, clock, lease)
                lease.answered(clock.seconds() - started)
                self._won(attempt, candidate)
                return routed
            ended = clock.seconds()
            lease.answered(ended - started)
            attempt.usage = usage = reply.usage
            lease.end(None if usage is None else usage.input + usage.output)
            if attempt.ended is None:
                attempt.ended, attempt.outcome = ended, "ok"
            self._won(attempt, candidate)
            if trace is not None and trace.capture:
                record.answered = reply.body
            return reply
        except CancelledError:
            waited = clock.seconds() - started
            if self._overdue(candidate, call, waited):  # whoever stopped waiting for it had reason to
                attempt.cause = "silent"
                lease.failed(VERDICTS["silent"], waited)
            end(attempt, clock, "aborted")
            raise
        except EdgeError as error:
            self._failed(candidate, attempt, lease, error)
            raise
        except Exception as error:
            end(attempt, clock, "defect", type(error).__name__)
            log.failure("{target} could not be asked", target=candidate.name)
            raise InternalError from error
        finally:
            if attempt.ended is not None and not lease.ended:
                lease.abandon()

    def _won(self, attempt: Attempt, candidate: Candidate) -> None:
        self.winner = candidate
        self.call.record.answered_by = attempt
        self.call.record.fallback = candidate.fallback

    async def _lease(self, candidate: Candidate, call: Call) -> Lease:
        """A place at the deployment.

        :raises TargetBusy: there is none; noted as passed over.
        """
        clock = self.route.clock
        deployment = self.route.deployments.get(candidate.entry)
        others = self.others_left
        wait = 0.0 if others else call.deadline.left()
        call.record.begin_wait(clock.seconds())
        try:
            return await deployment.lease(call.caller.name, wait, tokens_of(call), not call.stream)
        except TargetBusy as error:
            self.pass_over(candidate, error.message)
            error.of(candidate.target.provider)
            tried = self._tried.setdefault(candidate, Tried())
            if others and error.retry_after is None and not tried.turned_away:
                tried.turned_away, tried.error = True, error  # it did not get to wait: that is still to come
                self.failures.append(error)
            else:
                self._note(candidate, error)
            raise
        finally:
            call.record.end_wait(clock.seconds())

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
            self._tried.pop(candidate, None)  # whatever it had failed of before: it would refuse it again
            return
        end(attempt, clock, error.outcome, error.message)
        if error.retry_after and (verdict.load is Outcome.OVERLOADED):
            lease.deployment.breaker.cool_down(clock.seconds() + error.retry_after)
        self._note(candidate, error)
        tell = log.debug if attempt.cause == "unsupported" else log.warn  # that is the request's doing
        tell(
            "{target} failed ({cause}): {error}",
            target=candidate.name,
            cause=attempt.cause,
            error=error.message,
            request_id=self.call.record.request_id,
        )

    def _note(self, candidate: Candidate, error: ElsewhereError) -> None:
        routing, clock = self.route.routing, self.route.clock
        tried = self._tried.setdefault(candidate, Tried())
        pause = backoff(tried.failures, routing.retry_base, routing.retry_cap, self.route.random)
        tried.failures += 1
        tried.error = error
        if error.retry_after is not None:
            if error.retry_after > routing.retry_after_max:
                tried.failures = self.retries + 1  # too long to wait for
            pause = max(pause, error.retry_after)
        tried.ready_at = clock.seconds() + pause
        self.failures.append(error)

    # Hedging

    def _overdue(self, candidate: Candidate, call: Call, waited: float) -> bool:
        """Whether nothing came from the candidate for longer than it ever takes."""
        deployment = self.route.deployments.get(candidate.entry)
        learned = (deployment.tail if call.stream else deployment.tail_whole).value
        if learned is not None:
            return waited >= max(HEDGE_LEAST, 2 * learned)
        return waited >= HEDGE_MOST and (call.stream or not call.deadline.left())

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

    def hedge(self, silent: Candidate) -> Candidate | None:
        """The candidate to ask as well, if one more call may be made for that.

        :param silent: who is late. Where it is known by now to be out, asking elsewhere is no extra call.
        """
        hedges = self.route.deployments.hedges
        out = bool(self.route.deployments.get(silent.entry).breaker.blocked_by())
        if not out and hedges.balance < 1.0:
            return None
        candidate = self.next()
        if candidate is not None and not out:
            hedges.withdraw()
        return candidate
