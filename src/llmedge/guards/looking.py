"""Detectors at the texts of a request, or of a whole answer: in steps, none of them long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from llmedge.guards.body import PLAIN, Body, Field, Plain, read_plain
from llmedge.guards.fields import ROLES
from llmedge.guards.interfaces import Detector, Find, Medium
from llmedge.guards.placeholders import Placeholders
from llmedge.guards.places import Slot, Unit
from llmedge.guards.redaction import SMALL, WINDOW, is_quiet, looked_at, replaced
from llmedge.guards.rules import GuardSet
from llmedge.guards.verdicts import Stop, Tally
from llmedge.threads import in_thread

log = Logger()

_STEP = 262144
"""Bytes that are hashed in one step."""

_EACH = 64
"""Characters that take as long as what looking at a text takes beside them."""
_TELL = ("block", "route", "report")
"""Actions for which nothing need be replaced."""
_NONE: list[Medium] = []
_SHORT = 4 * WINDOW
"""Characters of a message that may be looked at in one step, if that takes no more than :data:`SOON` seconds."""
_BYTES = 8 * _SHORT
"""Bytes of such a message, however it is spelled, at most."""
SOON = 0.0007
TURN = 0.001
"""Seconds after which others have their turn."""
_LONG = 16384
"""Bytes of a list whose beginning may be known."""
Looking = Sequence[tuple[Tally, Detector]]
Steps = Iterator[Callable[[], Any] | None]
"""Steps of work; what is given is one that takes long, to be done in a thread before the next."""


class Beginning(NamedTuple):
    """A list that was found clean, which others begin with: ``length`` bytes of them, ``number`` items."""

    length: int
    digest: bytes
    number: int
    media: list[Medium]


class Clean:
    """What was found clean, and by whom: the next turn of a conversation costs what is new in it. Of what was not seen
    for longest the older half is forgotten.

    :param most: digests.
    :ivar known: by digests of items, the media that are in each.
    :ivar beginnings: of long lists.
    """

    def __init__(self, most: int = 65536) -> None:
        self._most = most // 2
        self.known: dict[bytes, list[Medium]] = {}
        self._old: dict[bytes, list[Medium]] = {}
        self.beginnings: dict[bytes, Beginning] = {}

    def again(self, digest: bytes) -> list[Medium] | None:
        """The media in what was not seen lately; ``None``: it is not known."""
        found = self._old.get(digest)
        if found is not None:
            self.add(digest, found)
        return found

    def add(self, digest: bytes, media: list[Medium]) -> None:
        if len(self.known) >= self._most:
            self._old, self.known = self.known, {}
        self.known[digest] = media

    def begin(self, digest: bytes, beginning: Beginning) -> None:
        if len(self.beginnings) >= self._most // 8:
            self.beginnings.clear()
        self.beginnings[digest] = beginning


class Look:
    """Detectors at one request.

    :param escape: of the call, where values get placeholders: what looks like one already has to be told from them.
    """

    def __init__(self, body: Body, held: GuardSet, looking: Looking, clean: Clean, escape: Placeholders | None) -> None:
        self._body, self._held, self._looking, self._clean, self._escape = body, held, looking, clean, escape
        self._failures = 0
        self._by = [(tally, detector, tally.guard.on) for tally, detector in looking]

    def steps(self) -> Steps:
        """Look, some pieces a step.

        :raises Stop: a guardrail takes its action. :raises EdgeError: one cannot say, or cannot read it.
        :raises ValueError: a piece is not JSON.
        """
        for field in self._body.fields:
            tag = self._held.tags.get(field.name) or self._held.tag(field.name)
            if self._escape is not None:  # what looks like a placeholder is clean where there are none
                tag += b"<"
            if field.listed and len(memoryview(field.raw)) > _LONG:
                yield from self._long(field, tag)
            else:
                yield from self._items(field, field.items, 0, tag, [])

    def _long(self, field: Field, tag: bytes) -> Steps:
        """A long list: a conversation whose beginning was looked at when it was sent before."""
        view, clean = memoryview(field.raw), self._clean
        place = hashlib.sha256(_sampled(view)).digest()[:16] + tag
        begun = clean.beginnings.get(place)
        whole = hashlib.sha256()
        media: list[Medium] = []
        count = length = 0
        if begun is not None and begun.length < len(view) and view[begun.length] in b",]":
            yield from _hashed(whole, view[: begun.length])
            if whole.digest()[:16] == begun.digest:
                length, _, count, media = begun
                self._cannot_read(media)
                media = [*media]
            else:
                whole = hashlib.sha256()
        items = field.items_from(length) if length else field.items
        found = self._counted()
        yield from self._items(field, items, count, tag, media)
        changed = any(unit.changed for unit in self._body.made(field))
        if not changed and found == self._counted():
            yield from _hashed(whole, view[length : len(view) - 1])
            clean.begin(place, Beginning(len(view) - 1, whole.digest()[:16], count + len(items), media))

    def _items(self, field: Field, items: list[Any], first: int, tag: bytes, media: list[Medium]) -> Steps:
        """Some of a field; what media are in it comes to ``media``."""
        sha, clean = hashlib.sha256, self._clean
        reads = field.name == PLAIN
        for number, raw in enumerate(items, first):
            if len(view := memoryview(raw)) > _STEP:
                parts = sha()
                yield from _hashed(parts, view)
                digest = parts.digest()[:16] + tag
            else:
                digest = sha(raw).digest()[:16] + tag
            found = clean.known.get(digest)
            if found is None and (found := clean.again(digest)) is None:
                found = _NONE
                if reads and len(view) < _BYTES and (plain := read_plain(raw)) is not None and self._is_clean(plain):
                    clean.add(digest, found)
                else:
                    before = self._counted()
                    if (reading := self._body.later(field, number, raw)) is not None:
                        yield reading
                    unit = self._body.unit(field, number, raw)
                    if self._escape is not None:
                        _escape(unit, self._escape)
                    yield from look_at(unit, self._looking)
                    if unit.media:
                        found = [Medium(each.kind, each.where) for each in unit.media]
                    if not unit.changed and before == self._counted():
                        clean.add(digest, found)
                yield None
            elif number & 15 == 15:
                yield None
            if found:
                self._cannot_read(found)
                media += found

    def _is_clean(self, plain: Plain) -> bool:
        """Whether it is short, and clean: nothing else need be made of it. What takes its time is none of these."""
        text = plain.content
        size = len(text)
        if size > _SHORT or (self._escape is not None and "<" in text):
            return False
        where = ROLES[plain.role][1]
        for tally, detector, on in self._by:
            if where in on:
                begun = perf_counter()
                try:
                    if tally.failed:
                        return False
                    if not is_quiet(detector, text):
                        for finds in (detector.find(text),) if size <= SMALL else looked_at(detector, text):
                            if finds or perf_counter() - begun > SOON:
                                return False
                except Exception:  # which is told where it is looked at once more
                    return False
                tally.seconds += perf_counter() - begun
        return True

    def _counted(self) -> int:
        """Finds so far: what leaves them as they were is clean. Nothing is, once somebody has failed."""
        if any(tally.failed for tally, _ in self._looking):
            self._failures += 1
        return self._failures + sum([tally.count for tally, _ in self._looking])

    def _cannot_read(self, media: list[Medium]) -> None:
        for tally, _ in self._looking:
            tally.cannot_read(media)


def _sampled(view: memoryview) -> bytes:
    """Some of a list, the same of one that goes on a little further."""
    parts, at = [view[:256]], 1024
    while at <= len(view) // 2:
        parts.append(view[at : at + 64])
        at *= 2
    return b"".join(parts)


def _hashed(digest: Any, view: memoryview) -> Iterator[None]:
    for start in range(0, len(view), _STEP):
        digest.update(view[start : start + _STEP])
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
            room = WINDOW
            for slot in unit.slots:
                if room < 0 or perf_counter() - begun > SOON:
                    tally.seconds += perf_counter() - begun
                    yield
                    begun, room = perf_counter(), WINDOW
                if slot.where in on:
                    room -= len(slot.text) + _EACH
                    if SMALL < len(slot.text) <= WINDOW and is_quiet(detector, slot.text):
                        continue
                    if len(slot.text) > SMALL:
                        tally.seconds += perf_counter() - begun
                        yield from _windows(slot, tally, detector)
                        begun = perf_counter()
                    elif finds := detector.find(slot.text):
                        _found(slot, tally, finds)
            if unit.fixed and tally.guard.settings.action in _TELL:
                for finds in looked_at(detector, "\n".join(unit.fixed)):
                    for find in finds:
                        tally.replace(find.kind, "")
                    yield
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
    failure = Failure()  # type: ignore[no-untyped-call]  # twisted has no types here
    failure.value = RuntimeError("(its message is not shown: it may have what was said)")
    log.failure("the guardrail {guardrail} failed", failure, guardrail=tally.guard.name)
    tally.fail("bug")


def _found(slot: Slot, tally: Tally, finds: list[Find]) -> None:
    text = replaced(slot.text, finds, tally.replace)
    if tally.changes:
        slot.put(text)


def _windows(slot: Slot, tally: Tally, detector: Detector) -> Iterator[None]:
    """A long text, a window a step."""
    text, done, parts = slot.text, 0, list[str]()
    begun = perf_counter()
    for finds in looked_at(detector, text):
        new = []
        for start, end, kind in finds:
            new += [text[done:start], tally.replace(kind, text[start:end])]
            done = end
        if new:  # those of a window are one, as there may be a hundred thousand of them
            parts.append("".join(new))
        tally.seconds += perf_counter() - begun
        yield
        begun = perf_counter()
    if parts and tally.changes:
        slot.put("".join([*parts, text[done:]]))
    tally.seconds += perf_counter() - begun


def _escape(unit: Unit, placeholders: Placeholders) -> None:
    for slot in unit.slots:
        if "<" in slot.text and (text := placeholders.escaped(slot.text)) != slot.text:
            slot.put(text)


async def in_turns(steps: Steps, clock: Any) -> None:
    """Do all ``steps``; after each :data:`TURN` of it others have their turn."""
    begun = perf_counter()
    for step in steps:
        if step is not None:
            await in_thread(clock, step)
            begun = perf_counter()
        elif perf_counter() - begun > TURN:
            await deferLater(clock, 0)
            begun = perf_counter()
