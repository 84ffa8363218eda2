"""Detectors at the texts of a request, or of a whole answer: in steps, none of them long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

from twisted.logger import Logger

from llmedge.guards.body import Body
from llmedge.guards.interfaces import Detector, Find, Medium
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.places import Slot, Unit
from llmedge.guards.redaction import WINDOW, looked_at, replaced
from llmedge.guards.rules import GuardSet
from llmedge.guards.verdicts import Stop, Tally

log = Logger()

_STEP = 262144
"""Bytes that are hashed in one step."""

Looking = Sequence[tuple[Tally, Detector]]


class Clean:
    """Digests of what was found clean, and by whom: the next turn of a conversation costs what is new in it. Of those
    that were not seen for longest, the older half is forgotten.

    :param most: digests.
    """

    def __init__(self, most: int = 65536) -> None:
        self._most = most // 2
        self._young: dict[bytes, list[Medium]] = {}
        self._old: dict[bytes, list[Medium]] = {}

    def get(self, digest: bytes) -> list[Medium] | None:
        """The media in it; ``None``: it is not known."""
        found = self._young.get(digest)
        if found is None and (found := self._old.get(digest)) is not None:
            self.add(digest, found)
        return found

    def add(self, digest: bytes, media: list[Medium]) -> None:
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[digest] = media


_TELL = ("block", "route", "report")
"""Actions for which nothing need be replaced."""
_NONE: list[Medium] = []


def look(body: Body, held: GuardSet, looking: Looking, clean: Clean, escape: Placeholders | None) -> Iterator[None]:
    """Look at a request, a piece a step.

    :param escape: of the call, where values get placeholders: what looks like one already has to be told from them.
    :raises Stop: a guardrail takes its action. :raises EdgeError: one cannot say, or cannot read it.
    :raises ValueError: a piece is not JSON.
    """
    sha, tags, field, tag = hashlib.sha256, held.tags, "", b""
    for piece in body.pieces:
        raw = piece.raw
        if piece.field != field:
            field = piece.field
            tag = tags.get(field) or held.tag(field)
        if len(raw := memoryview(raw)) > _STEP:
            digest = sha()
            for start in range(0, len(raw), _STEP):
                digest.update(raw[start : start + _STEP])
                yield
            key = digest.digest()[:16] + tag
        else:
            key = sha(raw).digest()[:16] + tag
        media = clean.get(key)
        if media is None:
            unit = body.unit(piece)
            yield
            if escape is not None:
                _escape(unit, escape)
            yield from look_at(unit, looking)
            media = unit.media
            if not unit.changed and not any(tally.finds or tally.failed for tally, _ in looking):
                lean = [Medium(each.kind, each.where) for each in media] if media else _NONE
                clean.add(key, lean)
        if media:
            for tally, _ in looking:
                tally.cannot_read(media)
        yield


def look_at(unit: Unit, looking: Looking) -> Iterator[None]:
    """Look at one unit.

    :raises Stop: a guardrail takes its action. :raises GuardrailUnavailable: one cannot say.
    """
    for tally, detector in looking:
        if tally.failed:
            continue
        begun = perf_counter()
        on = tally.guard.on
        try:
            for slot in unit.slots:
                if slot.where in on:
                    if len(slot.text) > WINDOW:
                        tally.seconds += perf_counter() - begun
                        yield from _windows(slot, tally, detector)
                        begun = perf_counter()
                    elif finds := detector.find(slot.text):
                        _found(slot, tally, finds)
            if unit.fixed and tally.guard.settings.action in _TELL:
                for find in detector.find("\n".join(unit.fixed)[:WINDOW]):
                    tally.replace(find.kind, "")
        except Stop:
            raise
        except Exception:
            broken(tally)
        finally:
            tally.seconds += perf_counter() - begun


def broken(tally: Tally) -> None:
    """A detector, or a checker, has a defect.

    :raises GuardrailUnavailable: it is closed then.
    """
    log.failure("the guardrail {guardrail} failed", guardrail=tally.guard.name)
    tally.fail("bug")


def _found(slot: Slot, tally: Tally, finds: list[Find]) -> None:
    text = replaced(slot.text, finds, tally.replace)
    if tally.changes:
        slot.put(text)


def _windows(slot: Slot, tally: Tally, detector: Detector) -> Iterator[None]:
    """A long text, a window a step."""
    finds: list[Find] = []
    begun = perf_counter()
    for found in looked_at(detector, slot.text):
        finds += found
        if found and tally.stops:
            break
        tally.seconds += perf_counter() - begun
        yield
        begun = perf_counter()
    if finds:
        _found(slot, tally, finds)
    tally.seconds += perf_counter() - begun


def _escape(unit: Unit, placeholders: Placeholders) -> None:
    for slot in unit.slots:
        if "<" in slot.text and (text := placeholders.escaped(slot.text)) != slot.text:
            slot.put(text)


async def in_turns(steps: Iterator[Any], clock: Any, most: float = 0.001) -> None:
    """Do all ``steps``; after each ``most`` seconds of it others have their turn."""
    from twisted.internet.task import deferLater

    begun = perf_counter()
    for _ in steps:
        if perf_counter() - begun > most:
            await deferLater(clock, 0)
            begun = perf_counter()
