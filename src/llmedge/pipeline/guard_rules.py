"""The guardrails of one configuration, made; and what they ask of the models that are configured here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, cast

import attrs
import msgspec
from twisted.internet.defer import Deferred, TimeoutError

from llmedge.call import Call
from llmedge.config import Settings
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError, NotFound, UpstreamTimeout
from llmedge.guards.interfaces import Ask, Checker, Detector, GuardDeps, Material
from llmedge.guards.registry import made
from llmedge.guards.rules import Guard, GuardRules
from llmedge.guards.stats import GuardStats
from llmedge.model import Answer, Deadline, InThread, RawObject
from llmedge.operations import Operation
from llmedge.pipeline.guard import Guards
from llmedge.pipeline.plan import RouteDeps
from llmedge.pipeline.reserve import Reserve
from llmedge.pipeline.route import Route
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import Handler, Stage, StageDeps, compose
from llmedge.record import Record
from llmedge.streams import Reply


def guards_of(
    settings: Settings, parts: StageDeps, routing: RouteDeps, deps: Any, in_thread: InThread, reserved: bool
) -> Guards:
    """All of ``settings``.

    :param deps: the room's, a :class:`llmedge.pipeline.build.PipelineDeps`.
    :param reserved: there are limits and budgets.
    :raises ConfigError: one cannot be made.
    """
    within: list[Stage] = [Settle(parts), *([Reserve(parts)] if reserved else [])]
    asking = Asking(compose(within, Route(routing)), parts, deps.observers, deps.reactor)
    given = GuardDeps(deps.reactor, deps.client, settings.upstream, in_thread, cast(Ask, asking))
    guards = []
    for each in settings.guardrails:
        guard = made(each, given)
        detector = guard if isinstance(guard, Detector) else None
        guards.append(Guard(each, detector, guard if detector is None and isinstance(guard, Checker) else None))
    return Guards(GuardRules(guards), deps.guard_stats or GuardStats())


@attrs.frozen(eq=False)
class Asking:
    """Asks models of the configuration in the name of whom a guardrail is at work for: past all guardrails, and past
    that caller's limits but for its budgets. Each such call has a record of its own.

    :ivar handlers: those stages that keep the books, around the route.
    """

    handlers: Any
    parts: StageDeps
    observers: list[Callable[[Record], None]]
    clock: Any

    async def __call__(
        self, operation: Operation, dialect: str, model: str, fields: RawObject, about: Material, seconds: float
    ) -> tuple[Answer, int | None]:
        """:raises EdgeError: there is no answer."""
        match = self.parts.models.find(model)
        if match is None:
            raise NotFound(f"The model '{model}', which a guardrail asks, does not exist here.", param="model")
        call, now = about.call, self.clock.seconds()
        record = Record(
            request_id=f"guard_{secrets.token_hex(12)}",
            method=call.record.method,
            route=call.record.route,
            peer=call.record.peer,
            received=now,
            operation="guardrail",
            caller=call.caller.name,
            account=call.record.account,
            model=model,
            model_label=match.label,
        )
        limits = tuple(attrs.evolve(each, rpm=None, tpm=None, max_concurrency=None) for each in call.caller.limits)
        caller = attrs.evolve(call.caller, limits=limits)
        body = {**fields, "model": msgspec.Raw(msgspec.json.encode(model))}
        deadline = Deadline(self.clock, seconds)
        asked = Call(operation, DIALECTS[dialect].name, model, body, False, False, 1, caller, deadline, record)
        asked.match = match
        handler: Handler = self.handlers[operation]
        try:
            work: Deferred[Reply] = Deferred.fromCoroutine(_awaited(handler, asked))
            reply = await work.addTimeout(seconds, self.clock)
            assert isinstance(reply, Answer), "no stream was asked for"
        except TimeoutError:
            raise UpstreamTimeout(f"No answer came within {seconds:g} s.") from None
        except EdgeError as error:
            record.status = error.status
            raise
        else:
            record.status = 200
            return reply, record.accounting.cost
        finally:
            record.ended = self.clock.seconds()
            record.outcome = record.outcome or "aborted"
            for observe in self.observers:
                cast(Any, observe)(record)


async def _awaited(handler: Handler, call: Call) -> Reply:
    return await handler(call)
