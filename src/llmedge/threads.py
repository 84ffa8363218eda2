"""Work that would hold up the reactor goes to its thread pool; small work is done at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.threads import deferToThreadPool

R = TypeVar("R")

LARGE = 262144
"""Bytes of JSON from which reading or writing them takes more than a millisecond."""


FEW = 16384
"""Bytes of JSON that take no longer, whatever is in them."""
_MANY = 1000


def is_heavy(raw: bytes) -> bool:
    """Whether to deal with a JSON text takes more than some milliseconds: it is large, or of many small things."""
    if len(raw) < FEW:
        return False
    return len(raw) >= LARGE or raw.count(b"{") + raw.count(b"[") > _MANY or raw.count(b",") > 4 * _MANY


async def maybe_in_thread(reactor: Any, size: int, function: Callable[..., R], *args: Any, **kw: Any) -> R:
    """``function(*args, **kw)``, in a thread if it has ``size`` bytes or more of :data:`LARGE` to deal with."""
    if size < LARGE:
        return function(*args, **kw)
    return await in_thread(reactor, function, *args, **kw)


async def in_thread(reactor: Any, function: Callable[..., R], *args: Any, **kw: Any) -> R:
    """``function(*args, **kw)``, in a thread. It holds up the reactor all the same while it is in C code that is not
    done: each step of it has to be short."""
    result: R = await deferToThreadPool(reactor, reactor.getThreadPool(), function, *args, **kw)
    return result
