"""What is held in memory for clients: bodies, messages that wait, answers that nobody reads."""

from __future__ import annotations

from collections import Counter

SMALL = 65536
"""Bytes up to which nothing is counted: the limits on connections and requests bound that."""


class Held:
    """One budget for all of it.

    :ivar most: bytes, all together; each owner, a caller or an address, may have half of it.
    :ivar total: bytes that are held now.
    """

    def __init__(self) -> None:
        self.most = 0
        self.total = 0
        self._by_owner: Counter[str] = Counter()
        self._holders: dict[object, tuple[str, int]] = {}

    def hold(self, holder: object, owner: str, size: int) -> bool:
        """``holder`` holds ``size`` bytes for ``owner``, whatever it held before.

        :returns: whether it may. If not, it is to let go of them.
        """
        self.drop(holder)
        if size <= SMALL:
            return True
        if self.total + size > self.most or self._by_owner[owner] + size > self.most // 2:
            return False
        self.total += size
        self._by_owner[owner] += size
        self._holders[holder] = owner, size
        return True

    def drop(self, holder: object) -> None:
        """``holder`` holds nothing any more."""
        if holder in self._holders:
            owner, size = self._holders.pop(holder)
            self.total -= size
            self._by_owner[owner] -= size
            if not self._by_owner[owner]:
                del self._by_owner[owner]
