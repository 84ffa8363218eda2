"""Requests and tokens a minute of one deployment."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from llmedge.errors import TargetBusy
from llmedge.state.interfaces import Bucket


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
        if self._requests is not None:
            await _take(self._requests, 1.0, "requests")
        if self._tokens is not None:
            try:
                await _take(self._tokens, float(tokens), "tokens")
            except BaseException:  # cancelled too
                if self._requests is not None:
                    self._requests.refund()
                raise
        return Reservation(self._requests, self._tokens, tokens)


class Reservation:
    """What was taken for one call. The first of ``settle`` and ``cancel`` counts."""

    __slots__ = ("_open", "_requests", "_reserved", "_tokens")

    def __init__(self, requests: Bucket | None, tokens: Bucket | None, reserved: int) -> None:
        self._requests = requests
        self._tokens = tokens
        self._reserved = reserved
        self._open = True

    def settle(self, used: int) -> None:
        """The call was made and used ``used`` tokens."""
        if self._open:
            self._open = False
            if self._tokens is not None and used != self._reserved:
                self._tokens.refund(float(self._reserved - used))

    def cancel(self) -> None:
        """The call was never put to the vendor. Harmless after ``settle``."""
        if self._open:
            self.settle(0)
            if self._requests is not None:
                self._requests.refund()


async def _take(bucket: Bucket, amount: float, what: str) -> None:
    wait = bucket.take(amount)
    if isinstance(wait, Deferred):
        wait = await wait
    if wait:
        raise TargetBusy(f"has no {what} left this minute", retry_after=wait)
