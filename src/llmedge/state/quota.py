"""Requests and tokens a minute of one deployment."""

from __future__ import annotations

from collections.abc import Awaitable

from llmedge.errors import TargetBusy
from llmedge.state.interfaces import Bucket
from llmedge.state.limiter import Claim, take_all


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


class Reservation:
    """What was taken for one call. The first of ``commit`` and ``cancel`` counts."""

    __slots__ = ("_open", "_requests", "_reserved", "_tokens")

    def __init__(self, requests: Bucket | None, tokens: Bucket | None, reserved: int) -> None:
        self._requests = requests
        self._tokens = tokens
        self._reserved = reserved
        self._open = True

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
