"""Who sends wrong keys: counted for each address, and answered ever more slowly."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger

from llmedge.errors import TooManyWrongKeys

log = Logger()

A_SECOND, AT_ONCE = 10.0, 10
"""Wrong keys of one address that are answered without a wait: a token bucket."""
LONGEST = 1.0
"""Seconds that an answer waits."""
WAITING = 100
"""Answers that wait, all addresses together."""
ADDRESSES = 10_000
"""That are remembered."""
SAID_AGAIN = 60.0
"""Seconds between two lines about an address."""


@attrs.define(eq=False)
class _Address:
    """:ivar left: answers that need not wait, as of ``then``; below zero those that do.

    :ivar said: when the log last named it; ``count``: wrong keys since.
    """

    then: float
    left: float
    said: float = float("-inf")
    count: int = 0


class WrongKeys:
    """Outlives the configuration. Keys that are right have nothing to do with it."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._addresses: dict[str, _Address] = {}
        self._waiting = 0

    def count(self, address: str) -> float:
        """One more from ``address``: the seconds for which its answer is to wait (:meth:`wait`).

        :raises TooManyWrongKeys: there are too many to wait.
        """
        now = self._clock.seconds()
        if ":" in address:
            address = _network(address)
        known = self._addresses.get(address) or self._first(address, now)
        known.count += 1
        if now - known.said >= SAID_AGAIN:
            log.warn("wrong API keys from {address}: {count}", address=address, count=known.count)
            known.said, known.count = now, 0
        left = known.left + (now - known.then) * A_SECOND if now > known.then else known.left
        left = min(left, AT_ONCE) - 1.0
        known.then = now
        if left >= 0.0:
            known.left = left
            return 0.0
        wait = -left / A_SECOND
        if wait > LONGEST + 1e-9 or self._waiting >= WAITING:
            known.left = left + 1.0
            raise TooManyWrongKeys(
                "Too many wrong API keys come from your address. A right one is let in.", retry_after=wait
            )
        known.left = left
        return wait

    def _first(self, address: str, now: float) -> _Address:
        if len(self._addresses) >= ADDRESSES:
            del self._addresses[next(iter(self._addresses))]  # the oldest
        known = self._addresses[address] = _Address(now, float(AT_ONCE))
        return known

    async def wait(self, seconds: float) -> None:
        """That long."""
        self._waiting += 1
        try:
            await deferLater(self._clock, seconds)
        finally:
            self._waiting -= 1


def _network(address: str) -> str:
    """Whoever has an IPv6 address has 2 to the 64th."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
