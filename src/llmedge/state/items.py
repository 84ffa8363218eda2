"""Items of answers that clients refer to by id, kept for a while in this process."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from llmedge.model import Clock

OVERHEAD = 300
"""Bytes, about, that keeping an item takes beside its own."""


class ItemMemory:
    """The newest items, as JSON, each found by its owner only.

    The Responses API is said to keep what it answered, so clients send an item's id in its place
    (platform.openai.com/docs/api-reference/responses/create, ``item_reference``). A translated answer is kept by
    nobody else.

    :param limit: bytes of all items together; who has not been here for longest loses his oldest first.
    :param share: bytes of one owner's, so that nobody crowds the others out.
    :param seconds: how long one is kept.
    """

    def __init__(self, clock: Clock, limit: int = 64 << 20, share: int = 16 << 20, seconds: float = 3600.0) -> None:
        self._clock = clock
        self._limit = limit
        self._share = share
        self._seconds = seconds
        self._owners: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0
        self._lock = Lock()  # large answers are written in threads

    def put(self, owner: str, name: str, item: bytes) -> None:
        """Keep ``item`` under ``name``."""
        with self._lock:
            kept = self._owners.setdefault(owner, _Kept())
            self._owners.move_to_end(owner)
            self._size += kept.put(name, self._clock.seconds(), item)
            while kept.size > self._share:
                self._size -= kept.drop()
            while self._size > self._limit:
                eldest = next(iter(self._owners))
                if self._owners[eldest].items:
                    self._size -= self._owners[eldest].drop()
                else:
                    del self._owners[eldest]

    def get(self, owner: str, name: str) -> bytes | None:
        """The item, if it is still there."""
        kept = self._owners.get(owner)
        found = None if kept is None else kept.items.get(name)
        if found is None or self._clock.seconds() - found[0] > self._seconds:
            return None
        return found[1]


class _Kept:
    """One owner's items, the oldest first."""

    __slots__ = ("items", "size")

    def __init__(self) -> None:
        self.items: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.size = 0

    def put(self, name: str, now: float, item: bytes) -> int:
        """How many bytes more they are."""
        before = self.items.pop(name, None)
        self.items[name] = now, item
        more = _size(item) - (0 if before is None else _size(before[1]))
        self.size += more
        return more

    def drop(self) -> int:
        """Forget the oldest; its bytes."""
        _, (_, item) = self.items.popitem(last=False)
        self.size -= _size(item)
        return _size(item)


def _size(item: bytes) -> int:
    """What it takes to keep it, its id and its place included: many small ones are not free."""
    return len(item) + OVERHEAD
