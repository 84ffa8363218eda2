"""Finds in texts of any length, and texts without them, whole or as they come.

There is one way to look at a text: a piece at a time, up to where no find can lie over the cut (``Detector.growing``),
and on from there with the end of what was before. So the whole gives what the pieces give, wherever it is split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmedge.guards.interfaces import Detector, Find, Replace

WINDOW = 1024
"""Characters that are looked at in one step, and what the last step left."""
SMALL = 256
"""The same where there may be finds: as many as it has words, maybe."""


def is_quiet(detector: Detector, text: str) -> bool:
    """Whether ``detector`` tells at a glance that nothing of its is in ``text``."""
    quiet = getattr(detector, "quiet", None)
    return quiet is not None and quiet(text)


def looked_at(detector: Detector, text: str) -> Iterator[list[Find]]:
    """The finds of a text, a window a step: together, and in this order, all that ``detector`` finds in the whole."""
    size = len(text)
    done = end = 0
    while end < size:
        begin = max(0, done - detector.context)
        following = min(size, end + WINDOW)
        if is_quiet(detector, piece := text[begin:following]):
            finds: list[Find] = []
            held = 0 if following == size else detector.growing(piece)
            cut = max(done - begin, len(piece) - held)
        else:
            following = min(size, end + SMALL)
            finds, cut = _settled(detector, text[begin:following], done - begin, following == size)
        end = following
        yield [Find(each.start + begin, each.end + begin, each.kind) for each in finds]
        done = begin + cut


def _settled(detector: Detector, text: str, start: int, last: bool) -> tuple[list[Find], int]:
    """The finds from ``start`` on that are what they are whatever follows, and up to where that is known."""
    cut = len(text) if last else max(start, len(text) - detector.growing(text))
    if cut == start:
        return [], start
    finds = [each for each in detector.find(text, start) if each.start < cut]
    if finds and finds[-1].end > cut:
        cut = finds.pop().start
    return finds, cut


def replaced(text: str, finds: Iterable[Find], replace: Replace) -> str:
    """``text`` with something else for each find."""
    parts, done = [], 0
    for start, end, kind in finds:
        parts += [text[done:start], replace(kind, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


def mask(kind: str, text: str) -> str:
    """``[EMAIL]``."""
    return f"[{kind}]"


def covered(value: Any, detectors: Sequence[Detector]) -> Any:
    """JSON of any shape with masks for all that ``detectors`` find; for a text that one of them fails at, nothing."""
    if isinstance(value, str):
        for detector in detectors:
            try:
                value = replaced(value, detector.find(value), mask)
            except Exception:  # which is told where it is asked for its own sake
                return ""
        return value
    if isinstance(value, Mapping):
        return {covered(name, detectors): covered(each, detectors) for name, each in value.items()}
    return [covered(each, detectors) for each in value] if isinstance(value, list) else value


class Redactor:
    """Redacts one text that comes in pieces: what goes on is, in the end, what redacting the whole would give. Of one
    that goes on after its end, what would be a find with what was before that is one as well: the rest of it.

    :ivar finds: kind → how many so far.
    """

    def __init__(self, detector: Detector, replace: Replace) -> None:
        self.finds: dict[str, int] = {}
        self._detector = detector
        self._replace = replace
        self._text = ""
        """What is held, behind what has gone on before it and may decide what it is."""
        self._gone = 0
        """How much of it has gone on."""
        self._ended = False

    def feed(self, text: str) -> str:
        """What may go on now."""
        return self._on(text, False)

    def end(self) -> str:
        """The rest of it."""
        rest = self._on("", True)
        self._ended = True
        return rest

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._text) - self._gone

    def _on(self, text: str, last: bool) -> str:
        whole, begin = self._text + text, self._gone
        finds, cut = _settled(self._detector, whole, begin, last)
        if self._ended and cut > begin:
            self._ended = False
            if over := [each for each in self._detector.find(whole) if each.start < begin < each.end]:
                cut = max(cut, over[0].end)
                finds = [Find(begin, over[0].end, over[0].kind), *(each for each in finds if each.start >= over[0].end)]
        for each in finds:
            self.finds[each.kind] = self.finds.get(each.kind, 0) + 1
        moved = [Find(each.start - begin, each.end - begin, each.kind) for each in finds]
        kept = max(0, cut - self._detector.context)
        self._text, self._gone = whole[kept:], cut - kept
        return replaced(whole[begin:cut], moved, self._replace)
