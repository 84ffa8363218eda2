"""Finds in texts of any length, and texts without them, whole or as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llmedge.guards.interfaces import Detector, Find, Replace

WINDOW = 4096
"""Characters that are looked at in one step."""


def looked_at(detector: Detector, text: str) -> Iterator[list[Find]]:
    """The finds of a text, a window a step: together, and in this order, all that ``detector`` finds in the whole."""
    size = len(text)
    if size <= WINDOW:
        yield detector.find(text)
        return
    reach, done, start = detector.reach, 0, 0
    while done < size:
        end = min(size, done + WINDOW)
        start, behind = max(0, done - 2 * reach), min(size, end + 2 * reach)
        found = [Find(start + each.start, start + each.end, each.kind) for each in detector.find(text[start:behind])]
        found = [each for each in found if each.start >= done and (each.start < end or end == size)]
        yield found
        done = max([end, *(each.end for each in found)])


def replaced(text: str, finds: Iterable[Find], replace: Replace) -> str:
    """``text`` with something else for each find."""
    parts, done = [], 0
    for start, end, kind in finds:
        parts += [text[done:start], replace(kind, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


class Redactor:
    """Redacts one text that comes in pieces: what goes on is, in the end, what redacting the whole would give.

    :ivar finds: kind → how many so far. :ivar held: what is held back.
    """

    def __init__(self, detector: Detector, replace: Replace) -> None:
        self.finds: dict[str, int] = {}
        self.held = ""
        self._detector = detector
        self._replace = replace
        self._before = ""
        """The end of what has gone on, as it came: what is behind it may depend on it."""

    def feed(self, text: str) -> str:
        """What may go on now."""
        return self._on(text, False)

    def end(self) -> str:
        """The rest of it."""
        return self._on("", True)

    def _on(self, text: str, last: bool) -> str:
        held = self.held + text
        whole = self._before + held
        begin = len(self._before)
        cut = len(whole) if last else len(whole) - min(len(held), self._detector.growing(whole))
        finds = [each for each in self._detector.find(whole) if each.end > begin and each.start < cut]
        finds = [each for each in finds if each.start >= begin]
        if finds and finds[-1].end > cut:
            cut = finds.pop().start
        for each in finds:
            self.finds[each.kind] = self.finds.get(each.kind, 0) + 1
        moved = [Find(each.start - begin, each.end - begin, each.kind) for each in finds]
        out = replaced(whole[begin:cut], moved, self._replace)
        self._before, self.held = whole[:cut][-self._detector.reach :], whole[cut:]
        return out
