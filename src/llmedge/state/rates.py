"""Requests and tokens a minute: of all callers together, of each alone, of a deployment. What has to be taken from
several buckets is taken from all of them, or from none."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple

import attrs
from twisted.internet.defer import Deferred

from llmedge.config.sections.rate_limit import RateLimit as RateLimitSettings
from llmedge.errors import RateLimited, TargetBusy
from llmedge.model import Caller, Clock, Limits
from llmedge.state.interfaces import Bucket, Level
from llmedge.state.memory import TokenBucket

MOST = 10_000
"""Buckets of callers beyond which full ones are forgotten."""
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


Taken = tuple[Level, RateLimited | None]
"""The level of the bucket that refused, else of the one nearest to it, and the refusal where nothing was taken."""


def _nearest(claims: Sequence[Claim]) -> Bucket:
    """The bucket nearest to its end."""
    nearest = claims[0][0]
    for bucket, _ in claims:
        if bucket.left < nearest.left:
            nearest = bucket
    return nearest


_KNOWN = 1000
"""Callers whose buckets need not be looked for."""


class RateLimiter:
    """Callers come and go: full buckets are forgotten where there are too many."""

    def __init__(self, settings: RateLimitSettings, clock: Clock, previous: RateLimiter | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._shared: Bucket = TokenBucket(clock, settings.rpm, settings.burst)
        self._own: dict[str, Bucket] = {}
        self._known: dict[int, tuple[Caller, tuple[Claim, ...]]] = {}
        self._most = MOST
        if previous is not None:  # a change of configuration refills no bucket
            if (previous._shared.rpm, previous._shared.burst) == (settings.rpm, settings.burst):
                self._shared = previous._shared
            self._own = dict(previous._own)

    def take(self, caller: Caller) -> Taken | Awaitable[Taken]:
        """Take a token for one request of ``caller``, from its own bucket and the shared one, or from neither."""
        claims = self._claims(caller)
        shortage = take_all(claims)
        if shortage is None:
            return _nearest(claims).level(True), None
        if isinstance(shortage, Shortage):
            return shortage.bucket.level(True), self._refusal(caller, claims, shortage)
        return self._take_later(caller, claims, shortage)

    async def _take_later(self, caller: Caller, claims: Sequence[Claim], asking: Awaitable[Shortage | None]) -> Taken:
        if (shortage := await asking) is None:
            return _nearest(claims).level(True), None
        return shortage.bucket.level(True), self._refusal(caller, claims, shortage)

    def level(self) -> Level:
        """Of the bucket that all share."""
        return self._shared.level()

    def _claims(self, caller: Caller) -> tuple[Claim, ...]:
        known = self._known.get(id(caller))
        if known is not None and known[0] is caller:
            return known[1]
        if len(self._own) >= self._most:
            self._own = {id: each for id, each in self._own.items() if each.level().reset > 0}
            self._known.clear()
            self._most = max(MOST, 2 * len(self._own))
        shared = (self._shared, 1.0)
        claims = (*((self._bucket(each, each.rpm), 1.0) for each in caller.limits if each.rpm is not None), shared)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[id(caller)] = caller, claims
        return claims

    def _bucket(self, limits: Limits, rpm: int) -> Bucket:
        own = self._own.get(limits.id)
        burst = limits.burst or self._settings.burst
        if own is None or own.rpm != rpm or own.burst != burst:
            own = self._own[limits.id] = TokenBucket(self._clock, rpm, burst)
        return own

    def _refusal(self, caller: Caller, claims: Sequence[Claim], shortage: Shortage) -> RateLimited:
        bucket, wait = shortage
        scope, who = "global", "The gateway"
        for limits, (claimed, _) in zip((each for each in caller.limits if each.rpm is not None), claims, strict=False):
            if claimed is bucket:
                scope, who = limits.kind, limits.who
        return RateLimited(
            f"{who} is over its {bucket.rpm} requests a minute, {bucket.burst} at once.",
            scope=scope,
            retry_after=wait,
        )


class Quota:
    """Takes from both buckets or from neither; ``None`` is no limit.

    How many tokens a call uses is known when it is over. An estimate is taken before, the difference settled after:
    what was not used is given back, what was used beyond it is owed.
    """

    def __init__(self, requests: Bucket | None = None, tokens: Bucket | None = None) -> None:
        self._requests = requests
        self._tokens = tokens

    async def reserve(self, tokens: int) -> Reservation:
        """Take one request and ``tokens`` tokens (input and the most that may be written).

        :raises TargetBusy: with the seconds to wait.
        """
        claims: list[Claim] = []
        if self._requests is not None:
            claims.append((self._requests, 1.0))
        if self._tokens is not None:
            claims.append((self._tokens, float(tokens)))
        shortage = take_all(claims)
        if isinstance(shortage, Awaitable):
            shortage = await shortage
        if shortage is not None:
            what = "requests" if shortage.bucket is self._requests else "tokens"
            raise TargetBusy(f"has no {what} left this minute", retry_after=shortage.wait)
        return Reservation(self._requests, self._tokens, tokens)


@attrs.define(eq=False)
class Reservation:
    """What was taken for one call. The first of ``commit`` and ``cancel`` counts."""

    _requests: Bucket | None
    _tokens: Bucket | None
    _reserved: int
    _open: bool = True

    def commit(self, used: int) -> None:
        """The call was made and used ``used`` tokens."""
        if self._open:
            self._open = False
            if self._tokens is not None and used != self._reserved:
                self._tokens.refund(float(self._reserved - used))

    def cancel(self) -> None:
        """The call was never put to the vendor. Harmless after ``commit``."""
        if self._open:
            self.commit(0)
            if self._requests is not None:
                self._requests.refund()


def quota(clock: Clock, requests: int | None = None, tokens: int | None = None) -> Quota:
    """Limits of requests and tokens a minute, ``None`` for none; a whole minute's worth may be taken at once."""
    return Quota(
        None if requests is None else TokenBucket(clock, requests, requests),
        None if tokens is None else TokenBucket(clock, tokens, tokens),
    )
