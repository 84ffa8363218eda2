"""Requests a minute, of all callers together and of each alone, and requests under way."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from llmedge.config.sections.rate_limit import RateLimit as RateLimitSettings
from llmedge.errors import Overloaded, RateLimited
from llmedge.model import Caller, Clock
from llmedge.state.interfaces import Bucket, Level
from llmedge.state.limiter import Claim, Shortage, take_all
from llmedge.state.memory import TokenBucket

Taken = tuple[Level, RateLimited | None]
"""The level of the bucket nearest to refusing, and the refusal where nothing was taken."""


class RateLimiter:
    """Callers come from configuration, so the number of buckets is bounded."""

    def __init__(self, settings: RateLimitSettings, clock: Clock, previous: RateLimiter | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._shared: Bucket = TokenBucket(clock, settings.rpm, settings.burst)
        self._own: dict[str, Bucket] = {}
        if previous is not None:  # a change of configuration refills no bucket
            if (previous._shared.rpm, previous._shared.burst) == (settings.rpm, settings.burst):
                self._shared = previous._shared
            self._own = dict(previous._own)

    def take(self, caller: Caller) -> Taken | Awaitable[Taken]:
        """Take a token for one request of ``caller``, from its own bucket and the shared one, or from neither."""
        claims = self._claims(caller)
        shortage = take_all(claims)
        if shortage is None or isinstance(shortage, Shortage):
            return _nearest(claims), shortage and self._refusal(caller, shortage)
        return self._take_later(caller, claims, shortage)

    async def _take_later(self, caller: Caller, claims: Sequence[Claim], asking: Awaitable[Shortage | None]) -> Taken:
        shortage = await asking
        return _nearest(claims), shortage and self._refusal(caller, shortage)

    def level(self) -> Level:
        """Of the bucket that all share."""
        return self._shared.level()

    def _claims(self, caller: Caller) -> tuple[Claim, ...]:
        shared = (self._shared, 1.0)
        if caller.rpm is None:
            return (shared,)
        own = self._own.get(caller.name)
        burst = caller.burst or self._settings.burst
        if own is None or own.rpm != caller.rpm or own.burst != burst:
            own = self._own[caller.name] = TokenBucket(self._clock, caller.rpm, burst)
        return (own, 1.0), shared

    def _refusal(self, caller: Caller, shortage: Shortage) -> RateLimited:
        bucket, wait = shortage
        shared = bucket is self._shared
        who = "The gateway" if shared else f"The key '{caller.name}'"
        return RateLimited(
            f"{who} is over its {bucket.rpm} requests a minute, {bucket.burst} at once.",
            scope="global" if shared else "key",
            retry_after=wait,
        )


def _nearest(claims: Sequence[Claim]) -> Level:
    """Of the bucket nearest to refusing; the first of those that are as near."""
    nearest = claims[0][0]
    for bucket, _ in claims[1:]:
        if bucket.left < nearest.left:
            nearest = bucket
    return nearest.level()


class Concurrency:
    """Requests under way.

    :param total: how many there may be; ``each`` from one address, 0 for no limit of its own.
    :ivar calls: those for inference, admitted or not, as ``AccessRecord`` counts them.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self.calls = 0
        self._count = 0
        self._by_address: dict[str, int] = {}

    def limit(self, total: int, each: int) -> None:
        """Change the limits; those inside stay."""
        self._total = total
        self._each = each

    def enter(self, address: str) -> None:
        """:raises Overloaded: there are too many."""
        if self._count >= self._total:
            raise Overloaded("The gateway has as many requests under way as it takes (server.max_requests).")
        count = self._by_address.get(address, 0)
        if self._each and count >= self._each:
            raise Overloaded("Your address has as many requests under way as it may (server.max_requests_per_address).")
        self._count += 1
        self._by_address[address] = count + 1

    def leave(self, address: str) -> None:
        self._count -= 1
        count = self._by_address[address] - 1
        if count:
            self._by_address[address] = count
        else:
            del self._by_address[address]
