"""Requests a minute: the bucket all callers share and each caller's own."""

from __future__ import annotations

from llmedge.config.settings import RateLimit as RateLimitSettings
from llmedge.errors import RateLimited
from llmedge.model import Caller, Clock
from llmedge.state.memory import TokenBucket


class RateLimiter:
    """Callers come from configuration, so the number of buckets is bounded."""

    def __init__(self, settings: RateLimitSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._shared = TokenBucket(clock, settings.rpm, settings.burst)
        self._own: dict[str, TokenBucket] = {}

    def take(self, caller: Caller) -> None:
        """Take a token for one request of ``caller``, from its own bucket and the shared one, or from neither.

        :raises RateLimited: with the seconds to wait.
        """
        own = self._bucket(caller)
        if own is not None and (wait := own.take()):
            raise RateLimited(
                f"The key '{caller.name}' is over its {own.rpm} requests a minute.", scope="key", retry_after=wait
            )
        if wait := self._shared.take():
            if own is not None:
                own.refund()
            raise RateLimited(
                f"The gateway is over its {self._shared.rpm} requests a minute.", scope="global", retry_after=wait
            )

    def state(self, caller: Caller | None) -> tuple[int, int, bytes]:
        """``(limit, remaining, reset)`` of the bucket nearest to refusing ``caller``."""
        own = self._bucket(caller) if caller is not None else None
        bucket = own if own is not None and own.remaining <= self._shared.remaining else self._shared
        return bucket.rpm, bucket.remaining, duration(bucket.reset)

    def _bucket(self, caller: Caller) -> TokenBucket | None:
        if caller.rpm is None:
            return None
        bucket = self._own.get(caller.name)
        if bucket is None:
            bucket = TokenBucket(self._clock, caller.rpm, caller.burst or self._settings.burst)
            self._own[caller.name] = bucket
        return bucket


def duration(seconds: float) -> bytes:
    """OpenAI's form of a duration: ``12ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".").encode() + b"s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm%ds" % (minutes, rest)
