"""Who is asked next, and why: the targets of a model in their order, then its fallbacks, then again those that may
recover. Pure: it waits for nothing, and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import attrs

from llmedge.call import Call, Candidate, Match
from llmedge.config.sections.routing import Routing
from llmedge.dialects.tool_use import may_call_tools
from llmedge.errors import (
    EdgeError,
    KeptElsewhere,
    TargetBusy,
    TargetError,
    TargetFull,
    Unsupported,
    VendorRateLimited,
    VendorUnavailable,
)
from llmedge.model import Clock
from llmedge.operations import Operation
from llmedge.pipeline.deployment import Deployment
from llmedge.pipeline.deployments import Deployments
from llmedge.pipeline.kept import put_first
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.none_left import NEVER, NO_TOOLS, UNTAGGED, all_failed, all_passed_over
from llmedge.pipeline.shape import shape_of
from llmedge.pipeline.strategies import Strategies
from llmedge.pipeline.verdicts import Next, cause_of, verdict_of
from llmedge.providers.provider import Provider
from llmedge.record import FALLBACK, Skipped
from llmedge.state.breaker import State
from llmedge.state.budget import backoff

AUDIO = {Operation.AUDIO_SPEECH, Operation.AUDIO_TRANSCRIPTIONS, Operation.AUDIO_TRANSLATIONS}
"""What nobody waits for: a voice must not stop."""
BRIEFLY = {"status_500", "status_502", "status_503", "reset"}
"""Causes that may be gone at once."""
BRIEF = 0.25
"""Seconds after which a target that failed of one of them is asked again before a fallback is, at most."""
UNSERVED = "has not got the model"


@attrs.frozen
class RouteDeps:
    """What all calls are routed with."""

    models: ModelIndex
    providers: Mapping[str, Provider]
    deployments: Deployments
    strategies: Strategies
    routing: Routing
    clock: Clock
    random: Random


class Option:
    """A candidate that one call may ask, and what came of that so far.

    :ivar error: of the last try, where another one may do better; ``ready_at``: not before then.
    :ivar turned_away: at a full queue, while others were left.
    :ivar breaker: its health in what the call asks for.
    :ivar waited: seconds spent in its queue.
    :ivar last: nobody else is left. ``paid``: its try is a retry that the budget was asked for.
    :ivar waited_for: a fallback was not asked for its sake.
    """

    failures = 0
    last = paid = waited_for = False
    error: TargetError | None = None
    ready_at = 0.0
    turned_away = False
    waited = 0.0

    def __init__(self, candidate: Candidate, deployment: Deployment, operation: Operation) -> None:
        self.candidate = candidate
        self.deployment = deployment
        self.breaker = deployment.breaker_of(operation)

    @property
    def is_down(self) -> bool:
        """Nothing it was asked lately succeeded."""
        return self.breaker.is_down or self.deployment.pacer.is_refusing

    @property
    def lasts(self) -> bool:
        """It is out until somebody changes something."""
        return self.breaker.lasting and self.breaker.state is not State.CLOSED


class Plan:
    """One call's way through its targets.

    :ivar kind: why the next attempt is made; see :class:`~llmedge.model.Attempt`.
    :ivar failures: all of them, in their order.
    :ivar winner: who answered.
    :ivar hedges: another one may be asked while one is silent.
    :ivar fallback_on: statuses of refusals that are asked elsewhere.
    """

    kind = "first"
    winner: Option | None = None
    _least_context: int | None = None
    _tools: bool | None = None
    _in_fallbacks = False
    _first: EdgeError | None = None

    def __init__(self, deps: RouteDeps, call: Call, match: Match) -> None:
        self.deps = deps
        self._call = call
        self._match = match
        self.shape = shape_of(call)
        model, candidates, hints = match.model, match.candidates, call.hints
        if len(candidates) > 1:
            self._queue = deps.strategies.order(match.label, model, candidates, call)
        else:
            self._queue = list(candidates)
        self._fallbacks = [] if hints.no_fallback else list(model.fallbacks)
        self._larger = [] if hints.no_fallback else list(model.context_fallbacks)
        self._seen: set[str] = set()
        self._followed: set[str] = set()
        if call.kept_by:
            self._seen = put_first(call.kept_by, self._queue, self._fallbacks, deps.models)
        self._tried: list[Option] = []
        self._blocked: list[Option] = []
        self.failures: list[EdgeError] = []
        retries = deps.routing.retries
        self._retries = retries if hints.retries is None else min(retries, hints.retries)
        self.fallback_on = deps.routing.fallback_on if model.fallback_on is None else model.fallback_on
        hedge = deps.routing.hedge if model.hedge is None else model.hedge
        self._hedge = hedge
        self.hedges = (
            hedge != "off" and call.upload is None and (len(candidates) > 1 or bool(self._fallbacks or self._larger))
        )

    # Who is next

    @property
    def others_left(self) -> bool:
        """Whether there may be somebody who was not asked yet."""
        return bool(self._queue or self._fallbacks)

    def next(self, patient: bool = True) -> Option | None:
        """The next candidate that was not asked yet and may be; ``None`` when all have been, or when a target of the
        model asked for is worth waiting for; see :meth:`before_fallback`.

        :param patient: none is, if this is false.
        """
        while True:
            while self._queue:
                candidate = self._queue.pop(0)
                option = Option(candidate, self.deps.deployments.get(candidate.entry.target), self._call.operation)
                why = self._why_not(option)
                if not why:
                    return option
                self._pass_over(candidate, why)
                if why not in NEVER:
                    self._blocked.append(option)
            if not self._fallbacks:
                return self._last()
            if patient and self._worth_waiting() is not None:
                return None
            self._follow(self._fallbacks.pop(0))

    def before_fallback(self, left: float) -> tuple[Option, float] | None:
        """Before another *model* is asked: who is worth waiting for, and for how many seconds. One that says to come
        back very soon, and one that failed once, as servers do now and then. Each is waited for once.

        :param left: seconds the call has.
        """
        if (found := self._worth_waiting()) is None:
            return None
        option, pause = found
        option.waited_for = True
        if option.error is not None and not isinstance(option.error, VendorRateLimited):
            if pause >= left or not self.deps.deployments.retries.withdraw():
                return None
            option.paid = True
        if option in self._blocked:
            self._blocked.remove(option)
        self.kind = "next" if option.error is None else "retry"
        return option, pause if option.error is not None else 0.0  # who was not asked waits in the queue

    def _worth_waiting(self) -> tuple[Option, float] | None:
        most = self.deps.routing.retry_before_fallback
        if not most or not self._retries or not self._fallbacks or self._call.operation in AUDIO:
            return None
        now = self.deps.clock.seconds()
        for option in self._tried + self._blocked:
            if option.waited_for or option.candidate.fallback:
                continue
            told = option.deployment.pacer.told_to_wait(most)
            if option.error is None:
                pause = told
            elif cause_of(option.error) in BRIEFLY and not option.breaker.blocked_by():
                pause = told or (0.0 if option.error.retry_after else max(0.001, min(option.ready_at - now, BRIEF)))
            else:
                pause = 0.0 if cause_of(option.error) != "status_429" else told
            if pause > 0.0:
                return option, pause
        return None

    def _last(self) -> Option | None:
        """Who was left out though it may be asked where nobody else is left: some of its calls succeed, or its pause
        is short enough to wait for in its queue."""
        most = min(self.deps.routing.retry_after_max, self._call.deadline.left())
        asked = bool(self._call.record.routing.attempts)

        def order(option: Option) -> tuple[bool, float]:
            return self._lacks(option), option.deployment.pacer.paused(last=True)

        for option in sorted(self._blocked, key=order):
            if asked and self._lacks(option):
                break  # it is asked only where nobody else was, so that somebody says so
            paused = option.deployment.pacer.paused(last=True)
            if paused <= most and not option.deployment.blocked_by(option.breaker, last=True):
                self._blocked.remove(option)
                option.last = True
                return option
        return None

    def again(self, left: float) -> tuple[Option, float] | None:
        """Of those that failed or could not be asked, who may be asked again first, and after how many seconds.
        ``None``: nobody within ``left`` seconds, or the budget of retries is spent.
        """
        deps = self.deps
        ready = [
            (max(each.ready_at, each.deployment.available_at(each.breaker, last=True)), each)
            for each in self._tried
            if each.error is not None
            and each.failures <= self._retries
            and verdict_of(each.error).next is Next.RETRY
            and (isinstance(each.error, TargetBusy) or not each.is_down)  # else the next try is for others
        ]
        waits = self._retries and self._call.operation is not Operation.COUNT_TOKENS  # a count is estimated at once
        if waits or self.failures or self.winner is not None:  # who could not be asked at first may be back
            blocked = [each for each in self._blocked if not (self._lacks(each) or each.lasts)]
            ready += [(each.deployment.available_at(each.breaker, last=True), each) for each in blocked]
        if not ready:
            return None
        at, option = min(ready, key=lambda each: each[0])
        pause = max(0.0, at - deps.clock.seconds())
        if pause >= left or pause > max(deps.routing.retry_after_max, deps.routing.retry_cap):
            return None
        asked = option in self._tried and not isinstance(option.error, TargetBusy)
        if asked and not deps.deployments.retries.withdraw():
            return None
        option.paid = asked
        if option in self._blocked:
            self._blocked.remove(option)
        option.last = True
        self.kind = "retry" if asked else "next"
        return option, pause

    def patience(self, option: Option) -> float | None:
        """Seconds ``option`` may be silent before another one is asked too; ``None``: as long as it likes."""
        hedge = self._hedge
        return float(hedge) if isinstance(hedge, float | int) else option.deployment.patience(self.shape)

    def hedge(self, silent: Option) -> Option | None:
        """Who is asked as well, if one more call may be made for that.

        :param silent: who is late. Where it is known by now to be out, asking elsewhere is no extra call.
        """
        budget = self.deps.deployments.hedges
        out = bool(silent.deployment.blocked_by(silent.breaker))
        if not out and budget.balance < 1.0:
            return None
        option = self.next(patient=False)
        if option is not None and not out:
            budget.withdraw()
        return option

    def go_larger(self) -> bool:
        """The prompt was too long: targets with a larger window are left, the fallbacks for that and, behind a fallback
        that was too small, its own. Whether there are any."""
        known = self._least_context
        self._queue = [
            each
            for each in self._queue
            if known is not None and each.capabilities.context is not None and each.capabilities.context > known
        ]
        self._tried.clear()
        self._blocked.clear()
        larger, self._larger = self._larger, []
        for name in larger:
            self._follow(name)
        if not self._in_fallbacks:
            guesses = self._fallbacks if not larger and not self._queue else []
            self._fallbacks = []
            if guesses:
                self._guess(guesses)
        self.kind = "fallback"
        return bool(self._queue or self._fallbacks)

    def _guess(self, names: list[str]) -> None:
        """Take in the first fallback whose window nobody knows: it may be larger. Where it is not, the client is told
        what the first target said."""
        self._first = self.failures[-1]
        for name in names:
            self._follow(name)
            self._queue = [each for each in self._queue if each.capabilities.context is None][:1]
            self._fallbacks = []
            if self._queue:
                return

    def _follow(self, name: str) -> None:
        """Take the targets of the fallback ``name`` in; those already known are left out."""
        match = self.deps.models.find(name)
        if match is None or name in self._followed:  # fallbacks may name each other
            return
        self._followed.add(name)
        if not self._seen:
            self._seen = {candidate.name for candidate in self._match.candidates}
        for candidate in self.deps.strategies.order(match.label, match.model, match.candidates, self._call):
            if candidate.name not in self._seen:
                self._seen.add(candidate.name)
                self._queue.append(attrs.evolve(candidate, fallback=name))
        self._fallbacks += [each for each in match.model.fallbacks if each not in self._fallbacks]
        self._larger += match.model.context_fallbacks

    def _why_not(self, option: Option) -> str:
        candidate, call = option.candidate, self._call
        tags = call.hints.tags
        if tags and not tags.issubset(candidate.entry.tags):
            return UNTAGGED
        if candidate.target.capabilities.tools is False:  # first, since it holds whatever the target's health is
            if self._tools is None:
                self._tools = may_call_tools(call.fields)
            if self._tools:
                return NO_TOOLS
        if option.deployment.unserved and self._lacks(option):
            return UNSERVED
        return option.deployment.blocked_by(option.breaker)

    def _lacks(self, option: Option) -> bool:
        return option.deployment.lacks(self._call.operation, self._call.dialect)

    def _pass_over(self, candidate: Candidate, why: str, queued: float = 0.0) -> None:
        self._call.record.routing.skipped.append(Skipped(candidate.name, why, self.deps.clock.seconds(), queued))

    # What came of it

    def won(self, option: Option) -> None:
        """``option`` answered, or its stream has begun."""
        if option.paid:
            option.paid = False
            self.deps.deployments.retries.give_back()
        self.winner = option
        if option.deployment.unserved:
            option.deployment.unserved.pop((self._call.operation, self._call.dialect), None)  # it has it after all
        if option.candidate.fallback:
            self._call.record.facts[FALLBACK] = option.candidate.fallback
        elif FALLBACK in self._call.record.facts:  # of who answered before, and broke
            del self._call.record.facts[FALLBACK]

    def left(self, option: Option, queued: float) -> None:
        """Nobody wanted an answer any more, while there was no place at ``option``."""
        self._pass_over(option.candidate, "was left while it had no place", queued)

    def busy(self, option: Option, error: TargetBusy, queued: float) -> None:
        """There was no place at ``option``, for ``queued`` seconds; it was not asked."""
        self._pass_over(option.candidate, error.message, queued)
        error.of(option.candidate.target.provider)
        full = isinstance(error, TargetFull)
        if full and self.others_left and not option.turned_away:
            option.turned_away, option.error = True, error  # it did not get to wait: that is still to come
            self._tried.append(option)
            self.failures.append(error)
        elif full:
            self.failures.append(error)
            self._forget(option)  # nobody waits twice
        else:
            self.failed(option, error)

    def failed(self, option: Option, error: EdgeError, full: bool = False) -> None:
        """``option`` was asked in vain.

        :param full: it had no place, and its queue knows when it has.
        """
        if cause_of(error) == "context_length":
            context, known = option.candidate.capabilities.context, self._least_context
            self._least_context = context if known is None or context is None else min(known, context)
            self._in_fallbacks = bool(option.candidate.fallback)
        elif cause_of(error) == "unserved":
            option.deployment.note_unserved(self._call.operation, self._call.dialect)
        self.failures.append(error)
        if not isinstance(error, TargetError):
            self._forget(option)  # whatever it had failed of before: it would refuse the request again
            return
        routing = self.deps.routing
        pause = backoff(option.failures, routing.retry_base, routing.retry_cap, self.deps.random)
        if isinstance(error, VendorRateLimited | VendorUnavailable):
            pause += min(routing.retry_cap, routing.retry_base * 2.0**option.failures)
        option.failures += 1
        option.error = error
        if error.retry_after is not None and not full:
            if error.retry_after > routing.retry_after_max:
                option.failures = self._retries + 1  # too long to wait for
            pause = max(pause, error.retry_after)
        option.ready_at = self.deps.clock.seconds() + pause
        if option not in self._tried:
            self._tried.append(option)

    def broke(self, error: TargetError, again: bool = True) -> None:
        """The stream of the winner broke; ``again``: it may be asked once more, as after any failure."""
        assert self.winner is not None
        if again:
            self.failed(self.winner, error)
        else:
            self._forget(self.winner)
        self.kind = "next"

    def overtaken(self, option: Option) -> None:
        """Another one answered first. It may be asked anew where that one's stream breaks."""
        self._blocked.append(option)

    def _forget(self, option: Option) -> None:
        if option in self._tried:
            self._tried.remove(option)

    def none_left(self) -> EdgeError:
        """What the client is told where nobody answered and nobody is left. That the request cannot be served at all
        only if no time would change it: not where somebody could not be asked for now."""
        if self._first is not None and cause_of(self.failures[-1]) == "context_length":
            return self._first
        out = any(each.why not in (*NEVER, UNSERVED) for each in self._call.record.routing.skipped)
        if self.failures and not (out and all(isinstance(each, Unsupported | KeptElsewhere) for each in self.failures)):
            return all_failed(self.failures)
        waits = [each.deployment.available_at(each.breaker, last=True) for each in self._blocked]
        return all_passed_over(self._call, max(1.0, min(waits, default=0.0) - self.deps.clock.seconds()))
