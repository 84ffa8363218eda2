"""The call onion: a stage gets a call and the next stage, and may answer, change, delay or refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs

from llmedge.call import Call
from llmedge.operations import Operation
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.tokens import TokenCounter
from llmedge.state.allowances import Allowances
from llmedge.state.funds import Fund
from llmedge.state.items import ItemMemory
from llmedge.streams import Reply

Handler = Callable[[Call], Awaitable[Reply]]


@attrs.frozen
class StageDeps:
    """What stages are built with.

    :ivar known: waits, for some seconds at most, until what was spent of funds before is known.
    :ivar queue_wait: seconds that a call may wait for its turn.
    :ivar ledger: where calls are written down; ``None``: nowhere.
    :ivar guards: what the stages have of guardrails; ``None``: none are configured.
    :ivar cache: what its stage is built with besides; ``None`` where there is none.
    :ivar warm: who has the beginnings of prompts; ``None``: they are not to be kept.
    """

    models: ModelIndex
    prices: Prices
    tokens: TokenCounter
    items: ItemMemory
    allowances: Allowances
    known: Callable[[Sequence[Fund], float], Awaitable[None]]
    queue_wait: float = 5.0
    ledger: Any = None
    guards: Any = None
    cache: Any = None
    warm: Any = None


class Stage(ABC):
    """One layer.

    :cvar operations: those it is for; ``None``: all.
    """

    operations: ClassVar[Collection[Operation] | None] = None

    def __init__(self, deps: StageDeps) -> None:
        self.deps = deps

    @abstractmethod
    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        """Answer ``call``, or have ``proceed`` do so, which is the next stage.

        :raises EdgeError: to refuse.
        """


def compose(stages: Sequence[Stage], last: Handler) -> Mapping[Operation, Handler]:
    """For each operation ``last`` inside those of ``stages`` that are for it, the first one outermost."""
    handlers: dict[Operation, Handler] = {}
    for operation in Operation:
        handler = last
        for stage in reversed(stages):
            if stage.operations is None or operation in stage.operations:
                handler = partial(stage, proceed=handler)
        handlers[operation] = handler
    return handlers
