"""Answers in this process: S3-FIFO, bounded in bytes.

Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023): most of what is asked for once is never
asked for again and leaves by a small queue; what was asked for again moves to the main one; what was just evicted is
known for a while and goes straight there when it comes back. A scan costs the others nothing, and a hit moves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from llmedge.cache.entry import OVERHEAD, Entry
from llmedge.model import Clock

SMALL = 0.1
"""Share of the bytes that newcomers have."""
MOST_USES = 3


class _Slot(msgspec.Struct, gc=False):
    """:ivar entry: ``None``: it is no longer alive. ``size``: in bytes. ``uses``: how often it was asked for again; -1:
    it is no longer alive."""

    entry: Entry | None
    size: int
    uses: int = 0


class MemoryCache:
    """:ivar size: bytes that are kept, about. ``evicted``: how many entries for want of room, ``expired``: of age."""

    def __init__(self, clock: Clock, max_bytes: int) -> None:
        self._clock = clock
        self.max_bytes = max_bytes
        self.size = self.evicted = self.expired = 0
        self._slots: dict[bytes, _Slot] = {}
        self._small: deque[tuple[bytes, _Slot]] = deque()
        self._main: deque[tuple[bytes, _Slot]] = deque()
        self._small_size = 0
        self._ghosts: set[int] = set()  # hashes of their keys: mistaking one for another does no harm
        self._ghosts_in_order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: object) -> bool:
        """Whether something is kept under it; that is no use of it."""
        return key in self._slots

    def get(self, key: bytes) -> Entry | None:
        """What is kept under ``key``; it may be stale."""
        slot = self._slots.get(key)
        if slot is None or (entry := slot.entry) is None:
            return None
        if self._clock.seconds() >= entry.stored + entry.keep:
            del self._slots[key]  # its place in a queue goes when its turn comes
            self._drop(slot)
            self.expired += 1
            return None
        if slot.uses < MOST_USES:
            slot.uses += 1
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep ``entry``, in the place of what was kept under ``key``."""
        slot = _Slot(entry, len(entry.body) + OVERHEAD)
        if slot.size > self.max_bytes:
            return
        before = self._slots.get(key)
        if before is not None:
            self._drop(before)
        self._slots[key] = slot
        self.size += slot.size
        if before is not None or (self._ghosts and hash(key) in self._ghosts):
            self._main.append((key, slot))
        else:
            self._small.append((key, slot))
            self._small_size += slot.size
        if self.size > self.max_bytes:
            self.shrink()
        elif len(self._small) + len(self._main) > 2 * len(self._slots) + 1000:  # what expired or was replaced
            self._small, self._main = self._living(self._small), self._living(self._main)

    def shrink(self) -> None:
        """Have no more than ``max_bytes``."""
        while self.size > self.max_bytes:
            if self._small_size > self.max_bytes * SMALL or not self._main:
                self._evict_small()
            else:
                self._evict_main()

    def remove(self, unwanted: Callable[[bytes], bool]) -> int:
        """Forget every entry whose key is ``unwanted``; how many that were."""
        keys = [key for key in self._slots if unwanted(key)]
        for key in keys:
            self._drop(self._slots.pop(key))
        return len(keys)

    def _drop(self, slot: _Slot) -> None:
        self.size -= slot.size
        slot.uses, slot.entry = -1, None  # its place in a queue is there until its turn comes

    def _evict_small(self) -> None:
        key, slot = self._small.popleft()
        self._small_size -= slot.size
        if slot.uses < 0:
            return
        if slot.uses:
            slot.uses = 0
            self._main.append((key, slot))
            return
        self._evict(key, slot)
        ghost = hash(key)
        self._ghosts.add(ghost)
        self._ghosts_in_order.append(ghost)
        if len(self._ghosts_in_order) > max(64, len(self._slots)):
            self._ghosts.discard(self._ghosts_in_order.popleft())

    def _evict_main(self) -> None:
        key, slot = self._main.popleft()
        if slot.uses > 0:
            slot.uses -= 1
            self._main.append((key, slot))
        elif slot.uses == 0:
            self._evict(key, slot)

    def _evict(self, key: bytes, slot: _Slot) -> None:
        del self._slots[key]
        self._drop(slot)
        self.evicted += 1

    def _living(self, queue: deque[tuple[bytes, _Slot]]) -> deque[tuple[bytes, _Slot]]:
        living = deque((key, slot) for key, slot in queue if slot.uses >= 0)
        if queue is self._small:
            self._small_size = sum(slot.size for _, slot in living)
        return living
