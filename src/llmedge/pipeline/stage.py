"""The call onion: a stage gets a call and the next stage, and may answer, change, delay or refuse."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from llmedge.call import Call
from llmedge.streams import Reply

Handler = Callable[[Call], Awaitable[Reply]]


class Stage(Protocol):
    """One layer. Raises :class:`~llmedge.errors.EdgeError` to refuse."""

    def __call__(self, call: Call, proceed: Handler) -> Awaitable[Reply]: ...


def compose(stages: Sequence[Stage], last: Handler) -> Handler:
    """``stages`` around ``last``, the first one outermost."""
    handler = last
    for stage in reversed(stages):
        handler = _bind(stage, handler)
    return handler


def _bind(stage: Stage, proceed: Handler) -> Handler:
    return partial(stage, proceed=proceed)
