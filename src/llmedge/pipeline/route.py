"""Put a call where it can be answered. Who is asked next is decided in :mod:`llmedge.pipeline.plan`, what is known of
the targets kept in :mod:`llmedge.pipeline.deployments`, what each failure means in :mod:`llmedge.pipeline.verdicts`."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from llmedge.call import Call
from llmedge.errors import EdgeError, TargetError
from llmedge.pipeline.attempt import choose, make
from llmedge.pipeline.plan import Plan, RouteDeps
from llmedge.pipeline.race import race
from llmedge.pipeline.recover import BufferedStream, KeptBytes, RecoveringStream
from llmedge.pipeline.routed import RoutedStream
from llmedge.pipeline.shadow import Shadows
from llmedge.pipeline.verdicts import Next, verdict_of
from llmedge.streams import Reply


class Route:
    """The innermost handler of the call onion."""

    def __init__(self, deps: RouteDeps, shadows: Shadows | None = None) -> None:
        self.shadows = shadows
        self.kept = KeptBytes()
        self._deps = deps

    def __call__(self, call: Call) -> Awaitable[Reply]:
        """:raises EdgeError: the client's fault at once, a target's only when no target is left."""
        deps, match = self._deps, call.match
        assert match is not None, "Admit found it"
        deps.deployments.retries.deposit()
        model = match.model
        if model.shadow and self.shadows is not None and call.upload is None:
            self.shadows.mirror(call, match)
        plan = Plan(deps, call, match)
        elsewhere = len(match.candidates) > 1 or (model.fallbacks and not call.hints.no_fallback)
        recovery = model.stream_recovery or ("splice" if elsewhere else "off")
        passed = call.operation.passes_through
        if recovery == "off" or (passed and recovery != "buffer") or not (call.stream or passed):
            return ask(plan, call)  # of what is passed through nobody here knows what is said in it
        return self._recoverable(plan, call, recovery)

    async def _recoverable(self, plan: Plan, call: Call, recovery: str) -> Reply:
        reply = await ask(plan, call)
        if not isinstance(reply, RoutedStream):
            return reply
        if recovery == "buffer":
            return BufferedStream(reply, plan, call, partial(ask, plan))
        return RecoveringStream(reply, plan, call, self.kept, recovery)


async def ask(plan: Plan, call: Call) -> Reply:
    """A whole answer to ``call``, or a stream that has begun.

    :raises EdgeError: nobody gave one.
    """
    while True:
        option = plan.next() or await choose(plan, call)
        if option is None:
            raise plan.none_left()
        try:
            if plan.hedges and plan.others_left:
                return await race(plan, option, call)
            return await make(plan, option, plan.kind, call)
        except TargetError:
            if call.upload is not None and call.upload.spent:
                raise plan.none_left() from None
            plan.kind = "next"
        except EdgeError as error:
            if verdict_of(error).next is not Next.LARGER:
                raise
            if not plan.go_larger():
                raise plan.none_left() from None
