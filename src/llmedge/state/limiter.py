"""Take from several buckets, or from none of them."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred

from llmedge.state.interfaces import Bucket

Claim = tuple[Bucket, float]
"""A bucket, and how much is to be taken from it."""


class Shortage(NamedTuple):
    """The bucket that has too little, and the seconds until it has enough."""

    bucket: Bucket
    wait: float


def take_all(claims: Sequence[Claim]) -> Shortage | Awaitable[Shortage | None] | None:
    """Take every claim, in order: ``None``, or the first that cannot be had (nothing is taken then).

    An awaitable only where a bucket has to ask somebody; if that is cancelled or fails, nothing is taken.
    """
    for count, (bucket, amount) in enumerate(claims):
        wait = bucket.take(amount)
        if wait:
            if isinstance(wait, Deferred):
                return _take_rest(claims, count, wait)
            give_back(claims[:count])
            return Shortage(bucket, wait)
    return None


async def _take_rest(claims: Sequence[Claim], count: int, answer: Deferred[float]) -> Shortage | None:
    """Go on with ``claims[count]``, whose bucket has been asked."""
    taken = claims[:count]
    try:
        if wait := await answer:
            shortage: Shortage | None = Shortage(claims[count][0], wait)
        else:
            taken = claims[: count + 1]
            rest = take_all(claims[count + 1 :])
            shortage = await rest if isinstance(rest, Awaitable) else rest
    except BaseException:  # cancelled too
        give_back(taken)
        raise
    if shortage is not None:
        give_back(taken)
    return shortage


def give_back(claims: Sequence[Claim]) -> None:
    """What the claims stood for was not done."""
    for bucket, amount in claims:
        bucket.refund(amount)
