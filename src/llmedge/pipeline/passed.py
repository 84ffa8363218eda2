"""What is passed through as a stream, under guardrails: texts that are heard, say. It is held until it is whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llmedge.call import Call
from llmedge.errors import EdgeError
from llmedge.guards.checking import check_all
from llmedge.guards.interfaces import Material, Medium, Place
from llmedge.guards.looking import in_turns, look_at
from llmedge.guards.places import Unit, answered, spoken
from llmedge.guards.verdicts import Stop, Tally, blocked
from llmedge.model import Event, EventKind, Usage
from llmedge.operations import Operation
from llmedge.streams import AwaitedStream, Batch, ReplyStream

HELD = 67108864
"""Bytes of a stream that are held."""
_data = msgspec.json.Decoder().decode


class PassedText(AwaitedStream):
    """Bytes that nobody reads go on as they come, if every guardrail lets them.

    :param over: called when it has ended, or nobody wants more of it.
    """

    def __init__(self, stream: ReplyStream, call: Call, tallies: Sequence[Tally], over: Callable[[], None]) -> None:
        self._stream, self._call, self._tallies, self._over = stream, call, tallies, over
        readable = call.stream and call.operation is not Operation.AUDIO_SPEECH
        self._held: Batch | None = [] if readable else None
        if not readable:
            for tally in tallies:
                tally.cannot_read([Medium("audio", "response")])

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
        finally:
            self._over()

    def abort(self) -> None:
        super().abort()
        self._stream.abort()
        self._over()

    async def _looked_at(self, events: Batch) -> Batch:
        clock, units = self._call.deadline.clock, _Events(events)
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
    """The texts of events, what comes in pieces in one.

    :ivar said: that one.
    """

    def __init__(self, events: Batch) -> None:
        self._events = events
        self._pieces: set[int] = set()
        self._units: dict[int, Unit] = {}
        said: list[str] = []
        for number, event in enumerate(events):
            data = b"\n".join([line[5:] for line in event.frame.splitlines() if line.startswith(b"data:")]).strip()
            if data[:1] != b"{":
                continue
            piece = _data(data).get("delta")
            if isinstance(piece, str):
                said.append(piece)
                self._pieces.add(number)
            else:
                try:
                    self._units[number] = answered(data)
                except ValueError:
                    raise EdgeError("The answer has an event that guardrails cannot read.") from None
        self.said = "".join(said)
        self._whole = spoken(self.said)

    @property
    def all(self) -> list[Unit]:
        return [self._whole, *self._units.values()]

    def now(self) -> Batch:
        """The events with the texts as they are now; the first piece has all of what came in pieces."""
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


def _with_delta(event: Event, text: str) -> bytes:
    data = next(line[5:] for line in event.frame.splitlines() if line.startswith(b"data:"))
    return msgspec.json.encode(_data(data) | {"delta": text})


def _framed(event: Event, data: bytes) -> Event:
    name = next((line + b"\n" for line in event.frame.splitlines() if line.startswith(b"event:")), b"")
    return Event(event.kind, name + b"data: " + data + b"\n\n", 1)
