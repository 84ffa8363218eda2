"""Work that would hold up the reactor goes to its thread pool; small work is done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.threads import deferToThreadPool

R = TypeVar("R")

LARGE = 262144
"""Bytes of JSON from which reading or writing them takes more than a millisecond."""


async def maybe_in_thread(reactor: Any, size: int, function: Callable[..., R], *args: Any, **kw: Any) -> R:
    """``function(*args, **kw)``, in a thread if it has ``size`` bytes or more of :data:`LARGE` to deal with."""
    if size < LARGE:
        return function(*args, **kw)
    result: R = await deferToThreadPool(reactor, reactor.getThreadPool(), function, *args, **kw)
    return result
