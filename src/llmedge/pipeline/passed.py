"""What is passed through as a stream, under guardrails: texts that are heard, say. It is held until it is whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from llmedge.call import Call
from llmedge.errors import EdgeError
from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import GuardFailed, Material, Medium, Place
from llmedge.guards.looking import in_turns, look_at
from llmedge.guards.places import Unit, answered, spoken
from llmedge.guards.verdicts import Stop, Tally, blocked
from llmedge.model import Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.streams import AwaitedStream, Batch, ReplyStream

HELD = 67108864
"""Bytes of a stream that are held."""
_data = msgspec.json.Decoder().decode
_OF_EVENTS = re.compile(rb"(?:(?:(?:data|event|id|retry)?:[^\n]*)?\r?\n)*")


class PassedText(AwaitedStream):
    """Bytes that nobody reads go on as they come, if every guardrail lets them.

    :param over: called when it has ended, or nobody wants more of it.
    """

    def __init__(self, stream: ReplyStream, call: Call, tallies: Sequence[Tally], over: Callable[[], None]) -> None:
        self._stream, self._call, self._tallies, self._over = stream, call, tallies, over
        by = call.record.routing.deciding_attempt
        medium = "audio" if call.operation is Operation.AUDIO_SPEECH else ""
        if by is not None and by.content_type.startswith(("audio/", "image/", "video/")):
            medium = "image" if by.content_type.startswith("image/") else "audio"
        self._held: Batch | None = None if medium else []  # all else is texts: SRT, WebVTT …
        if medium:
            for tally in tallies:
                tally.cannot_read([Medium(medium, "response")])
        elif by is not None and any(tally.guard.enforced for tally in tallies):
            by.content_length = None  # it may be another one

    @property
    def usage(self) -> Usage | None:
        return self._stream.usage

    async def next_batch(self) -> Batch:
        """All events at once, once they are here.

        :raises EdgeError: a guardrail lets them not pass.
        """
        if self._held is None:
            events = await self._stream.read()
            if events[-1].kind is EventKind.DONE:
                self._over()
            return events
        size = 0
        try:
            while not self._held or self._held[-1].kind is not EventKind.DONE:
                events = await self._stream.read()
                self._held += events
                size += sum([len(event.frame) for event in events])
                if size > HELD:
                    for tally in self._tallies:
                        tally.fail("too_large")
                    held, self._held = self._held, None
                    return held
            return await self._looked_at(self._held)
        except Stop as stop:
            raise blocked(stop) from None
        except EdgeError:
            self._stream.abort()
            raise
        finally:
            self._over()

    def abort(self) -> None:
        super().abort()
        self._stream.abort()
        self._over()

    async def _looked_at(self, events: Batch) -> Batch:
        clock = self._call.deadline.clock
        try:
            units = _Events(events)
        except GuardFailed as error:
            for tally in self._tallies:
                tally.fail(error.cause)
            return events
        for unit in units.all:
            for tally in self._tallies:
                tally.cannot_read(unit.media)
        looking = [(tally, tally.guard.detector) for tally in self._tallies if tally.guard.detector is not None]
        for unit in units.all:
            await in_turns(look_at(unit, looking), clock)
        if checkers := [tally for tally in self._tallies if tally.guard.checker is not None]:
            places: list[Place] = [slot for unit in units.all for slot in unit.slots]
            material = Material("response", places, self._call, answer=[units.said], position="end")
            await check_all(checkers, material, clock)
        return units.now() if any(unit.changed for unit in units.all) else events


class _Events:
    """The texts of events, what comes in pieces in one; or of a body that is none of them.

    :ivar said: that one.
    :raises GuardFailed: one of them nobody can read.
    """

    def __init__(self, events: Batch) -> None:
        self._events = events
        self._pieces: set[int] = set()
        self._units: dict[int, Unit] = {}
        self._body: Unit | None = None
        said: list[str] = []
        if not all(_OF_EVENTS.fullmatch(event.frame) for event in events):
            self._body = self._whole = _read(b"".join([event.frame for event in events]))
            self.said = "".join([slot.text for slot in self._whole.slots])
            return
        for number, event in enumerate(events):
            data = _data_of(event)
            if data in (b"", b"[DONE]"):
                continue
            try:
                read = _data(data) if data[:1] in (b"{", b"[") else None
                piece = read.get("delta") if isinstance(read, dict) else None
                if isinstance(piece, str):
                    said.append(piece)
                    self._pieces.add(number)
                else:
                    self._units[number] = _read(data)
            except (ValueError, RecursionError):
                raise GuardFailed("answer") from None
        self.said = "".join(said)
        self._whole = spoken(self.said)

    @property
    def all(self) -> list[Unit]:
        return [self._whole, *self._units.values()]

    def now(self) -> Batch:
        """The events with the texts as they are now; the first piece has all of what came in pieces."""
        if self._body is not None:
            return [Event(EventKind.CONTENT, self._body.json()), Event(EventKind.DONE, b"")]
        out: Batch = []
        rest = self._whole.json().decode()
        for number, event in enumerate(self._events):
            if number in self._pieces:
                if rest:
                    out.append(_framed(event, _with_delta(event, rest)))
                    rest = ""
            elif number in self._units and self._units[number].changed:
                out.append(_framed(event, self._units[number].json()))
            else:
                out.append(event)
        return out


def _read(data: bytes) -> Unit:
    """JSON, or a text.

    :raises GuardFailed: nobody can read it.
    """
    try:
        return answered(data) if data.lstrip()[:1] in (b"{", b"[") else spoken(data.decode())
    except (ValueError, RecursionError):
        raise GuardFailed("answer") from None


def _data_of(event: Event) -> bytes:
    lines = [line[5:].removeprefix(b" ") for line in event.frame.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines).strip()


def _with_delta(event: Event, text: str) -> bytes:
    return msgspec.json.encode(_data(_data_of(event)) | {"delta": text})


def _framed(event: Event, data: bytes) -> Event:
    name = next((line + b"\n" for line in event.frame.splitlines() if line.startswith(b"event:")), b"")
    return Event(event.kind, name + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n", 1)
