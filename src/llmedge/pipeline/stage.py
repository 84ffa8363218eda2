"""The call onion: a stage gets a call and the next stage, and may answer, change, delay or refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs

from llmedge.call import Call
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.tokens import TokenCounter
from llmedge.streams import Reply

Handler = Callable[[Call], Awaitable[Reply]]


@attrs.frozen
class StageDeps:
    """What stages are built with."""

    models: ModelIndex
    prices: Prices
    tokens: TokenCounter


class Stage(ABC):
    """One layer."""

    def __init__(self, deps: StageDeps) -> None:
        self.deps = deps

    @abstractmethod
    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]:
        """Answer ``call``, or have ``proceed`` do so, which is the next stage.

        :raises EdgeError: to refuse.
        """


def compose(stages: Sequence[Stage], last: Handler) -> Handler:
    """``stages`` around ``last``, the first one outermost."""
    handler = last
    for stage in reversed(stages):
        handler = _bind(stage, handler)
    return handler


def _bind(stage: Stage, proceed: Handler) -> Handler:
    return partial(stage, proceed=proceed)
