"""Which targets have the beginnings of prompts in their caches, as far as is known here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from llmedge.model import Clock

MOST = 50_000
"""Beginnings that are kept: some 20 MB. Who was not used for longest goes."""
TARGETS = 16
"""Of one beginning: clients can ask for any name where there is a pattern."""


class Warm:
    """Digest of a beginning → the targets that have it, each until when, the latest last. Of this process alone."""

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._known: OrderedDict[bytes, dict[str, float]] = OrderedDict()

    def note(self, beginnings: Sequence[bytes], target: str, until: float) -> None:
        """``target`` has read them, and keeps them ``until`` then (the clock's seconds) unless it reads them again."""
        for each in beginnings:
            having = self._known.setdefault(each, {})
            self._known.move_to_end(each)
            having[target] = max(until, having.pop(target, until))
            if len(having) > TARGETS:
                del having[next(iter(having))]
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def ranks(self, beginnings: Sequence[bytes]) -> dict[str, int]:
        """Of the targets that have any of them: 0 for who had the longest last, as it has most of it; 1 for the others.

        :param beginnings: of one prompt, the longest first.
        """
        now = self._clock.seconds()
        found: dict[str, int] = {}
        for place, each in enumerate(beginnings):
            having = [target for target, until in self._known.get(each, {}).items() if until > now]
            for target in having:
                found.setdefault(target, 1)
            if having and not place:
                found[having[-1]] = 0
        return found
