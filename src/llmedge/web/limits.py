"""Requests a minute: the bucket all callers share and each caller's own."""

from __future__ import annotations

from llmedge.config.settings import RateLimit as RateLimitSettings
from llmedge.errors import Overloaded, RateLimited
from llmedge.model import Caller, Clock
from llmedge.state.memory import TokenBucket


class RateLimiter:
    """Callers come from configuration, so the number of buckets is bounded."""

    def __init__(self, settings: RateLimitSettings, clock: Clock, previous: RateLimiter | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._shared = TokenBucket(clock, settings.rpm, settings.burst)
        self._own: dict[str, TokenBucket] = {}
        if previous is not None:  # a change of configuration refills no bucket
            if (previous._shared.rpm, previous._shared.burst) == (settings.rpm, settings.burst):
                self._shared = previous._shared
            self._own = dict(previous._own)

    def take(self, caller: Caller) -> tuple[int, int, bytes]:
        """Take a token for one request of ``caller``, from its own bucket and the shared one, or from neither.

        :returns: see :meth:`state`.
        :raises RateLimited: with the seconds to wait.
        """
        shared = self._shared
        own = None if caller.rpm is None else self._bucket(caller)
        if own is not None and (wait := own.take()):
            raise RateLimited(
                f"The key '{caller.name}' is over its {own.rpm} requests a minute, {own.burst} at once.",
                scope="key",
                retry_after=wait,
            )
        if wait := shared.take():
            if own is not None:
                own.refund()
            raise RateLimited(
                f"The gateway is over its {shared.rpm} requests a minute, {shared.burst} at once.",
                scope="global",
                retry_after=wait,
            )
        left = shared.left
        if own is not None and (mine := own.left) <= left:
            return own.rpm, mine, duration(own.reset)
        return shared.rpm, left, duration(shared.reset)

    def state(self, caller: Caller | None) -> tuple[int, int, bytes]:
        """``(limit, remaining, reset)`` of the bucket nearest to refusing ``caller``."""
        own = self._bucket(caller) if caller is not None else None
        bucket, left = self._shared, self._shared.remaining
        if own is not None and own.remaining <= left:
            bucket, left = own, own.left
        return bucket.rpm, left, duration(bucket.reset)

    def _bucket(self, caller: Caller) -> TokenBucket | None:
        if caller.rpm is None:
            return None
        bucket = self._own.get(caller.name)
        burst = caller.burst or self._settings.burst
        if bucket is None or (bucket.rpm, bucket.burst) != (caller.rpm, burst):
            bucket = TokenBucket(self._clock, caller.rpm, burst)
            self._own[caller.name] = bucket
        return bucket


class Concurrency:
    """Requests under way.

    :param total: how many there may be; ``each`` from one address, 0 for no limit of its own.
    """

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
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


def duration(seconds: float) -> bytes:
    """OpenAI's form of a duration: ``12ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".").encode() + b"s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm%ds" % (minutes, rest)
